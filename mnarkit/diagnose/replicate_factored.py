"""Tables drawn from a factored fit: each column from its family, after those by which it is explained; the holes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.factored.columns import Coded
from mnarkit.factored.draw import draw_unseen
from mnarkit.factored.fresh import Fresh
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.fit import Fit, latent_draw, stacked_draws
from mnarkit.formula import parse
from mnarkit.impute.factored import parameters_at
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
    layout = lay_out(fit.spec, fit.data, designs_of(fit.spec, fit.data))
    if any(factor.random is not None for factor in layout.factors):
        return None  # tables with new effects for every group are not drawn here
    fresh = Fresh(layout)
    return _Factored(fit, layout, stacked_draws(fit), fresh, _fixed_predictors(fresh))


def _fixed_predictors(fresh: Fresh) -> np.ndarray:
    """An intercept, and what the designs of the columns read of fully seen columns."""
    every = np.column_stack([np.ones((fresh.layout.data.n, 1)), *(x for x in fresh.fixed if x is not None)])
    _, first = np.unique(every, axis=1, return_index=True)
    return every[:, np.sort(first)]


@dataclass(frozen=True, slots=True, eq=False)
class _Factored:
    """Numbers and codes; a column of unordered levels stands as one column of 0 and 1 for each level but the first."""

    fit: Fit
    layout: Layout
    draws: dict[str, np.ndarray]
    fresh: Fresh
    x: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for one in self.layout.coded for name in _names(one))

    @property
    def modelled(self) -> np.ndarray:
        """Of the columns of 0 and 1 of one column, the first stands for its holes."""
        pairs = zip(self.layout.coded, self.fresh.hidden, strict=True)
        return np.array([bool(h) and k == 0 for one, h in pairs for k in range(len(_names(one)))])

    @property
    def constant(self) -> bool:
        return all(h or one.seen.all() for one, h in zip(self.layout.coded, self.fresh.hidden, strict=True))

    def completed(self, number: int, rng: np.random.Generator) -> np.ndarray:
        par = parameters_at(self.fit, self.layout, self.draws, number, rng)
        numbers, _ = draw_unseen(self.layout, par, latent_draw(self.fit, self.layout.columns, number), rng)
        seen = np.column_stack([one.seen for one in self.layout.coded])
        return _expanded(self.layout, np.where(seen | ~self.fresh.hidden, numbers, np.nan))

    def replicated(self, number: int, rng: np.random.Generator) -> np.ndarray:
        par = parameters_at(self.fit, self.layout, self.draws, number, rng)
        numbers = self.fresh.values(par, rng)
        left = numbers.copy()
        for j, share in self.fresh.missing(numbers, par).items():
            left[rng.random(len(left)) < share, j] = np.nan
        return _expanded(self.layout, left)


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
