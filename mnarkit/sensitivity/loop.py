"""Any analysis at every point: the tables completed there, analyzed, pooled."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.analyze import Analysis, analyze
from mnarkit.errors import CongenialityWarning, DataError
from mnarkit.estimates import Estimates
from mnarkit.pool import pool
from mnarkit.sensitivity.curves import Stack, stacked
from mnarkit.sensitivity.source import Moved, Source
from mnarkit.sensitivity.tasks import Arrays, Runner

__all__ = ["LoopCurve", "as_arrays", "as_estimates"]


@dataclass(frozen=True, slots=True, eq=False)
class LoopCurve:
    """A function of completed tables, run at each point.

    Attributes
    ----------
    source : Source
        The imputations.
    what : str, Logistic or callable
        The analysis.
    df_complete : float or None
        As in `analyze`.
    runner : Runner
        In which processes, and where finished points are kept.
    known : dict
        Points that were run already.
    """

    source: Source
    what: Analysis
    df_complete: float | None
    runner: Runner
    known: dict[tuple[float, ...], Estimates]

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of the analysis."""
        return self.estimates([axis.neutral for axis in self.source.axes]).terms

    @property
    def how(self) -> str:
        """How points are reached."""
        moved = "cells moved" if isinstance(self.source, Moved) else "imputed again"
        return f"{moved} and analyzed at each point, with the same random numbers"

    def pooled(self, points: np.ndarray, level: float) -> Stack:
        """Run the points that were not run before, and pool."""
        self._run([tuple(map(float, p)) for p in points])
        return stacked([Stack.of(pool(self.known[tuple(map(float, p))], level=level)) for p in points])

    def estimates(self, point: Sequence[float]) -> Estimates:
        """The m estimates at one point."""
        key = tuple(map(float, point))
        self._run([key])
        return self.known[key]

    def _run(self, points: list[tuple[float, ...]]) -> None:
        todo = [p for p in dict.fromkeys(points) if p not in self.known]
        task = Task(self.source, self.what, self.df_complete)
        for point, arrays in zip(todo, self.runner.run(task, todo, "sensitivity") if todo else [], strict=True):
            self.known[point] = as_estimates(arrays, str(getattr(self.what, "__name__", self.what)))


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One point, as a worker gets it."""

    source: Source
    what: Any
    df_complete: float | None

    def __call__(self, point: tuple[float, ...]) -> Arrays:
        """Complete, analyze."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CongenialityWarning)  # said once, before
            try:
                made = analyze(self.source.at(point), self.what, df_complete=self.df_complete, progress=False)
            except DataError as error:
                named = zip(self.source.axes, point, strict=True)
                place = ", ".join(f"{axis.name} = {value:g}" for axis, value in named)
                raise DataError(f"at {place}: {error}") from error
        return as_arrays(made)


def as_arrays(estimates: Estimates) -> Arrays:
    """Estimates as arrays that a file can hold."""
    df = np.nan if estimates.df_complete is None else estimates.df_complete
    return {
        "terms": np.array(estimates.terms, dtype=str),
        "estimates": estimates.estimates,
        "variances": estimates.variances,
        "df_complete": np.array(df),
    }


def as_estimates(arrays: Arrays, what: str) -> Estimates:
    """Undo `as_arrays`, but for covariances between terms."""
    df = float(arrays["df_complete"])
    return Estimates.of(
        arrays["estimates"],
        arrays["variances"],
        terms=[str(t) for t in arrays["terms"]],
        df_complete=None if np.isnan(df) else df,
        what=what,
    )
