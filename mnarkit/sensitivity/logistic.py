"""Logistic regressions over all points: one prepared design, Newton's method started at the neighbouring point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.analyze.logistic import Logistic, event_rows, logistic, logistic_fits
from mnarkit.analyze.regression import designs
from mnarkit.condition import condition
from mnarkit.errors import DataError
from mnarkit.estimates import Estimates, degrees
from mnarkit.pool import pool
from mnarkit.sensitivity.curves import Stack, stacked
from mnarkit.sensitivity.least_squares import affine_parts
from mnarkit.sensitivity.source import Moved

__all__ = ["LogisticCurve", "logistic_curve"]


@dataclass(frozen=True, slots=True, eq=False)
class LogisticCurve:
    """Logistic regressions of moved tables.

    Attributes
    ----------
    source : Moved
        The imputations.
    what : Logistic
        The analysis.
    terms : tuple of str
        Of the design.
    parts : list of (m or 1, n, q) array, or None
        X at the neutral point, and what one unit of each amount does to it; None if it must be built at each point.
    outcome : (m, n) array
        At the neutral point.
    event : DataFrame or None
        Of the rows in which the event may change: its columns, the imputations under one another.
    rows : (r,) array
        Which rows these are.
    df : float
        Degrees of freedom on complete data.
    """

    source: Moved
    what: Logistic
    terms: tuple[str, ...]
    parts: list[np.ndarray] | None
    outcome: np.ndarray
    event: pd.DataFrame | None
    rows: np.ndarray
    df: float

    @property
    def how(self) -> str:
        """How points are reached."""
        return "fitted at each point, on prepared designs, started at the point before"

    def pooled(self, points: np.ndarray, level: float) -> Stack:
        """Pool at every point; the order of the points decides where each begins, not where it ends."""
        made: list[Stack | None] = [None] * len(points)
        beta = None
        for g in _serpentine(points):
            fitted = self._fit(points[g], beta)
            beta = fitted.estimates
            made[g] = Stack.of(pool(fitted, level=level))
        return stacked([one for one in made if one is not None])

    def estimates(self, point: Sequence[float]) -> Estimates:
        """The m estimates at one point."""
        return self._fit(np.asarray(point, dtype=float), None)

    def _fit(self, point: np.ndarray, start: np.ndarray | None) -> Estimates:
        place = ", ".join(f"{axis.name} = {v:g}" for axis, v in zip(self.source.axes, point, strict=True))
        try:
            if self.parts is None:
                return logistic(self.source.at(point.tolist()), self.what, self.df)
            steps = self.source.steps(point.tolist())
            x = self.parts[0] + sum(s * part for s, part in zip(steps, self.parts[1:], strict=False))
            values, covariances = logistic_fits(x, self._outcome(steps), start, what=str(self.what))
        except DataError as error:
            raise DataError(f"at {place}: {error}") from error
        return Estimates(self.terms, values, covariances, self.df, str(self.what))

    def _outcome(self, steps: np.ndarray) -> np.ndarray:
        """Whether the event holds, looked at again only in the rows that move."""
        if self.event is None:
            return self.outcome
        moved, m = self.event.copy(), len(self.outcome)
        for column in moved.columns.intersection(list(self.source.moves)):
            full = np.zeros(self.outcome.shape)
            holes = ~self.source.base.data.seen(str(column))
            for step, slopes in zip(steps, self.source.slopes, strict=True):
                full[:, holes] += step * slopes[str(column)]
            moved[column] = moved[column].to_numpy(dtype=float) + full[:, self.rows].ravel()
        made = self.outcome.copy()
        made[:, self.rows] = event_rows(self.what, moved).reshape(m, -1)
        return made


def _serpentine(points: np.ndarray) -> list[int]:
    """Order points so that each is next to the one before: along the last axis, to and fro."""
    first = np.unique(points[:, 0])
    order: list[int] = []
    for i, value in enumerate(first if points.shape[1] > 1 else []):
        row = np.flatnonzero(points[:, 0] == value)
        row = row[np.argsort(points[row, 1])]
        order += (row if i % 2 == 0 else row[::-1]).tolist()
    return order or np.argsort(points[:, 0]).tolist()


def logistic_curve(source: Moved, what: Logistic, df_complete: float | None) -> LogisticCurve:
    """Prepare design and outcome."""
    built, x, _ = designs(source.base, what.read)
    moving = source.moves & {c for term in what.read.terms for c in term.columns}
    parts = [x[:1] if (x == x[:1]).all() else x] if not moving else affine_parts(source, what.read, built, x)
    outcome = _neutral_outcome(source, what)
    event, rows = None, np.array([], dtype=int)
    touched = sorted(source.moves & set(what.outcome))
    if what.event is not None and touched:
        holes = np.logical_or.reduce([~source.base.data.seen(c) for c in touched])
        rows = np.flatnonzero(holes)
        columns = sorted(condition(what.event).columns)
        event = pd.concat([table[columns].iloc[rows] for table in source.base], ignore_index=True)
    df = np.inf if df_complete is None else degrees(df_complete)
    return LogisticCurve(source, what, built.names, parts, outcome, event, rows, float(np.inf if df is None else df))


def _neutral_outcome(source: Moved, what: Logistic) -> np.ndarray:
    if what.event is not None:
        return np.stack([event_rows(what, table) for table in source.base])
    return designs(source.base, what.read)[2]
