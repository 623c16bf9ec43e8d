"""Sensitivity, the noun: pooled results over the values of an assumption that no data can tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.errors import DataError
from mnarkit.sensitivity.curves import COLUMNS, Stack
from mnarkit.sensitivity.grid import Axis
from mnarkit.spec.spec import Spec

__all__ = ["Sensitivity", "checked_terms"]

_MOST = 41  # points of one assumption that are printed


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sensitivity:
    """What an analysis pools to at each point of a grid of assumptions.

    Attributes
    ----------
    what : str
        The analysis.
    axes : tuple of Axis
        What is varied, one or two assumptions.
    points : ndarray, shape (G, axes)
        The values, the last axis fastest.
    terms : tuple of str
        Of the analysis, k of them.
    stack : Stack
        Pooled numbers by name, (G, k).
    reached : tuple of str
        How each point was reached.
    checks : DataFrame
        Of reweighted points, k̂ and the effective sample size; without columns for amounts.
    m, seed, level : int, int, float
        Imputations at each point, their seed, and the level of the intervals.
    n : int
        The rows of the table.
    spec : Spec
        Of the fit.
    under : tuple
        Late beliefs below the ones that are varied.
    notes : tuple of str
        What the result rests on.
    """

    what: str
    axes: tuple[Axis, ...]
    points: np.ndarray
    terms: tuple[str, ...]
    stack: Stack
    reached: tuple[str, ...]
    checks: pd.DataFrame
    m: int
    seed: int
    level: float
    n: int
    spec: Spec
    under: tuple[object, ...]
    notes: tuple[str, ...]

    @property
    def assumption(self) -> str:
        """The untestable assumption that is varied."""
        return "; ".join(axis.assumption for axis in self.axes)

    def to_frame(self) -> pd.DataFrame:
        """Give one row a point and term.

        Returns
        -------
        DataFrame
            A column for each assumption, `term`, the columns of `Pooled.to_frame`, `reached`, and `k_hat` and `ess`
            where points were reweighted.
        """
        g, k = len(self.points), len(self.terms)
        front = {axis.name: np.repeat(self.points[:, a], k) for a, axis in enumerate(self.axes)}
        front |= {"term": np.tile(np.array(self.terms, dtype=object), g)}
        middle = {name: self.stack[name].ravel() for name in COLUMNS}
        back = {"reached": np.repeat(np.array(self.reached, dtype=object), k)}
        back |= {str(name): np.repeat(values.to_numpy(), k) for name, values in self.checks.items()}
        return pd.DataFrame(front | middle | back)

    def curve(self, term: str) -> pd.DataFrame:
        """Give the rows of one term.

        Parameters
        ----------
        term : str
            Of the analysis.

        Returns
        -------
        DataFrame
            As `to_frame`, without the term.

        Raises
        ------
        DataError
            A term that does not exist.
        """
        (chosen,) = checked_terms([term], self.terms, self.what)
        frame = self.to_frame()
        return frame[frame["term"] == chosen].drop(columns="term").reset_index(drop=True)

    def __str__(self) -> str:
        head = [
            f"Sensitivity of {self.what}, {self.n} rows, m = {self.m}, seed {self.seed}, "
            f"{100 * self.level:g}% confidence intervals",
            *(f"Varied       {a.name}, {a.grid.low:g} to {a.grid.high:g} ({a.unit})" for a in self.axes),
            *(f"Base         {belief}" for belief in (*self.spec.missingness, *self.under)),
            f"Untestable   {self.assumption}: no data can tell which value holds",
            *(f"Note         {note}" for note in self.notes),
        ]
        return "\n".join([*head, self._table()])

    def __repr__(self) -> str:
        return str(self)

    def _table(self) -> str:
        s = self.stack
        if len(self.axes) == 2 or len(self.points) > _MOST:
            lines = []
            for j, term in enumerate(self.terms):
                low, high = int(np.argmin(s["estimate"][:, j])), int(np.argmax(s["estimate"][:, j]))
                lines.append(
                    f"{term}: {self._cell(low, j)} at {self._at(low)}, {self._cell(high, j)} at {self._at(high)}"
                )
            return "\n".join([f"{len(self.points)} points; smallest and largest estimate with its interval:", *lines])
        cells = {term: [self._cell(g, j) for g in range(len(self.points))] for j, term in enumerate(self.terms)}
        return pd.DataFrame(cells, index=[f"{v:g}" for v in self.points[:, 0]]).to_string()

    def _cell(self, g: int, j: int) -> str:
        s = self.stack
        return f"{s['estimate'][g, j]:.4g} [{s['ci_low'][g, j]:.4g}, {s['ci_high'][g, j]:.4g}]"

    def _at(self, g: int) -> str:
        return ", ".join(f"{v:g}" for v in self.points[g])


def checked_terms(asked: Sequence[str], terms: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Check that terms are those of the analysis."""
    unknown = [term for term in asked if term not in terms]
    if unknown:
        raise DataError(f"{what!r} has no term {unknown[0]!r}; its terms are {', '.join(map(repr, terms))}")
    return tuple(asked)
