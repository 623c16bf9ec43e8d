"""Tables drawn from a factored fit: each column from its family, after those by which it is explained; the holes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from mnarkit.factored.columns import Coded, filled
from mnarkit.factored.draw import auxiliary, draw_family, draw_unseen, predictor_at
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.fit import Fit, latent_draw, stacked_draws
from mnarkit.formula import parse
from mnarkit.spec.missingness import MAR, Selection
from mnarkit.spec.pattern_mixture import PatternMixture

__all__ = ["factored_replicator"]

_KNOWN = (MAR, Selection, PatternMixture)


def factored_replicator(fit: Fit) -> "_Factored | None":
    """Make the replicator of a factored fit; None for beliefs or terms whose tables are not drawn here."""
    if not all(isinstance(b, _KNOWN) for b in fit.spec.missingness):
        return None
    if any(term.holes for belief in fit.spec.selections for term in parse(belief.formula).terms):
        return None  # indicators that read others are drawn one after the other, which is not written
    return _Factored(fit, lay_out(fit.spec, fit.data, designs_of(fit.spec, fit.data)), stacked_draws(fit))


# a cached property needs a dict, so no slots
@dataclass(frozen=True, eq=False)
class _Factored:
    """Numbers and codes; a column of unordered levels stands as one column of 0 and 1 for each level but the first."""

    fit: Fit
    layout: Layout
    draws: dict[str, np.ndarray]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for one in self.layout.coded for name in _names(one))

    @cached_property
    def x(self) -> np.ndarray:
        """An intercept, and what the designs of the columns read of fully seen columns."""
        coded, built = self.layout.coded, self.layout.designs.built
        free = [d for d in built[: len(coded)] if not set(d.columns) & set(self.layout.columns)]
        made = [d.rebuild(self.layout.data) for d in free]
        every = np.column_stack([np.ones((self.layout.data.n, 1)), *made])
        _, first = np.unique(every, axis=1, return_index=True)
        return every[:, np.sort(first)]

    @cached_property
    def _fixed(self) -> list[np.ndarray | None]:
        """By column, its design where that reads fully seen columns alone."""
        made: list[np.ndarray | None] = []
        for built, factor in zip(
            self.layout.designs.built[: len(self.layout.coded)], self.layout.factors, strict=False
        ):
            reads = set(built.columns) & set(self.layout.columns)
            kept = [built.names.index(term) for term in factor.terms]
            made.append(None if reads else built.rebuild(self.layout.data)[:, kept])
        return made

    @cached_property
    def _hidden(self) -> np.ndarray:
        """Columns whose holes have an indicator, (p,) bool."""
        made = np.zeros(len(self.layout.coded), dtype=bool)
        made[[f.column for f in self.layout.factors if f.of_indicator]] = True
        return made

    @property
    def modelled(self) -> np.ndarray:
        """Of the columns of 0 and 1 of one column, the first stands for its holes."""
        pairs = zip(self.layout.coded, self._hidden, strict=True)
        return np.array([bool(h) and k == 0 for one, h in pairs for k in range(len(_names(one)))])

    @property
    def constant(self) -> bool:
        return all(h or one.seen.all() for one, h in zip(self.layout.coded, self._hidden, strict=True))

    def completed(self, number: int, rng: np.random.Generator) -> np.ndarray:
        par = {name: values[number] for name, values in self.draws.items()}
        latent = latent_draw(self.fit, self.layout.columns, number)
        numbers, _ = draw_unseen(self.layout, par, latent, rng)
        seen = np.column_stack([one.seen for one in self.layout.coded])
        return _expanded(self.layout, np.where(seen | ~self._hidden, numbers, np.nan))

    def replicated(self, number: int, rng: np.random.Generator) -> np.ndarray:
        par = {name: values[number] for name, values in self.draws.items()}
        layout = self.layout
        rows = np.arange(layout.data.n)
        numbers = np.column_stack([np.full(len(rows), one.values[one.seen][0]) for one in layout.coded])
        for j, one in enumerate(layout.coded):
            fixed, factor = self._fixed[j], layout.factors[j]
            eta = predictor_at(layout, j, rows, numbers, par) if fixed is None else fixed @ par[factor.name].T
            numbers[:, j] = draw_family(one, eta, auxiliary(one, par), rng)
        held = {one.column: numbers[:, j] for j, one in enumerate(layout.coded)}
        table = filled(layout.data.frame, layout.coded, held)
        left = numbers.copy()
        for k, factor in enumerate(layout.factors):
            if factor.of_indicator:
                eta = layout.designs.built[k].rebuild(table) @ par[factor.name]
                share = ndtr(eta) if factor.link == "probit" else expit(eta)
                left[rng.random(len(rows)) < share, factor.column] = np.nan
        return _expanded(layout, left)


def _names(one: Coded) -> list[str]:
    levels: tuple[Any, ...] = one.levels or ()
    return [f"{one.column} = {v}" for v in levels[1:]] if one.family.name == "categorical" else [one.column]


def _expanded(layout: Layout, numbers: np.ndarray) -> np.ndarray:
    """Give each unordered level but the first a column of its own."""
    parts = []
    for j, one in enumerate(layout.coded):
        values = numbers[:, [j]]
        if one.family.name == "categorical":
            codes = np.arange(1, len(one.levels or ()))
            values = np.where(np.isnan(values), np.nan, (values == codes).astype(float))
        parts.append(values)
    return np.column_stack(parts)
