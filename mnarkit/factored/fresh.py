"""New tables at given parameters: each column from its family, after those by which it is explained; the holes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from mnarkit.factored.columns import filled
from mnarkit.factored.draw import draw_family
from mnarkit.factored.layout import Layout
from mnarkit.factored.points import auxiliary, predictor_at

__all__ = ["Fresh"]


# a cached property needs a dict, so no slots
@dataclass(frozen=True, eq=False)
class Fresh:
    """Draws rows for the predictors of a layout's table."""

    layout: Layout

    @cached_property
    def fixed(self) -> list[np.ndarray | None]:
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
    def hidden(self) -> np.ndarray:
        """Columns whose holes have an indicator, (p,) bool."""
        made = np.zeros(len(self.layout.coded), dtype=bool)
        made[[f.column for f in self.layout.factors if f.of_indicator]] = True
        return made

    def values(self, par: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
        """Numbers and codes of every column and row, (n, p)."""
        layout, rows = self.layout, np.arange(self.layout.data.n)
        numbers = np.column_stack([np.full(len(rows), one.values[one.seen][0]) for one in layout.coded])
        for j, (one, x, factor) in enumerate(zip(layout.coded, self.fixed, layout.factors, strict=False)):
            if x is None or factor.random is not None:
                eta = predictor_at(layout, j, rows, numbers, par)
            else:
                eta = x @ par[factor.name].T
            numbers[:, j] = draw_family(one, eta, auxiliary(one, par), rng)
        return numbers

    def missing(self, numbers: np.ndarray, par: Mapping[str, Any]) -> dict[int, np.ndarray]:
        """P(missing | numbers) of every row, (n,), by column with an indicator."""
        layout, rows = self.layout, np.arange(self.layout.data.n)
        table = filled(layout.data.frame, layout.coded, {c.column: numbers[:, j] for j, c in enumerate(layout.coded)})
        made = {}
        for built, factor in zip(layout.designs.built, layout.factors, strict=True):
            if factor.of_indicator:
                eta, random = built.rebuild(table) @ par[factor.name], factor.random
                if random is not None:
                    eta = eta + (random.every[rows] * par[random.effects][random.of_row[rows]]).sum(axis=1)
                made[factor.column] = ndtr(eta) if factor.link == "probit" else expit(eta)
        return made
