"""An estimate on many refits, in one process or several, with the same numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd

from mnarkit.analyze import Analysis, analyze
from mnarkit.data import IncompleteData
from mnarkit.em.analysis import Analyst
from mnarkit.errors import DataError, MnarkitError
from mnarkit.formula import design, parse
from mnarkit.progress import Line
from mnarkit.variances.refits import Refits

__all__ = ["Estimand", "Job", "estimates_on", "run"]

joblib: Any = lazy_loader.load("joblib")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One refit and what is completed from it.

    Attributes
    ----------
    name : str
        Which rows, in words: 'without row 3'.
    rows : (r,) int array
        Their positions.
    expected, anchored : bool
        Conditional means under the belief; those under MAR moved by the distance of all rows.
    seeds : tuple of SeedSequence
        One random draw each.
    """

    name: str
    rows: np.ndarray
    expected: bool = False
    anchored: bool = False
    seeds: tuple[np.random.SeedSequence, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Estimand:
    """An analysis whose estimate is asked for many times.

    Attributes
    ----------
    matrix : (n, k) array or None
        Of a formula whose terms mean the same on every choice of rows (no constants taken from the data), its
        predictors on the whole table: rows of it are the predictors of a refit.
    """

    what: Analysis
    response: str = ""
    names: tuple[str, ...] = ()
    matrix: np.ndarray | None = None

    @classmethod
    def of(cls, what: Analysis, data: IncompleteData) -> "Estimand":
        """Build the predictors, where that can be done once."""
        if not isinstance(what, str):
            return cls(what)
        parsed = parse(what)
        used = {column for term in parsed.terms for column in term.columns}
        if any("(" in term.name for term in parsed.terms) or not all(data.seen(column).all() for column in used):
            return cls(what)
        built = design(parsed, data)
        return cls(what, str(parsed.response), built.names, built.matrix)

    def on(self, tables: Sequence[pd.DataFrame], rows: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """Estimate on completed tables that hold these rows of the whole: the terms, and (tables, k) estimates."""
        if self.matrix is None:
            made = analyze(tables, self.what, progress=False)
            return made.terms, made.estimates
        x = self.matrix[rows]
        y = np.column_stack([table[self.response].to_numpy(dtype=float) for table in tables])
        found, _, rank, _ = np.linalg.lstsq(x, y)
        if rank < len(self.names):
            raise DataError(f"the terms of {self.what!r} are collinear on these rows")
        return self.names, found.T


def estimates_on(
    analyst: Analyst, estimand: Estimand, job: Job, distance: np.ndarray | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Give the terms, and an estimate for each table that a job asks for, (tables, k)."""
    tables = []
    if job.expected:
        tables.append(analyst.filled(analyst.predicted(analyst.theta)))
    if job.anchored and distance is not None:
        tables.append(analyst.filled(analyst.before_amounts(analyst.theta) + distance[job.rows]))
    tables += [analyst.filled(analyst.drawn(np.random.default_rng(seed))) for seed in job.seeds]
    return estimand.on(tables, job.rows)


def run(
    refits: Refits,
    estimand: Estimand,
    jobs: Sequence[Job],
    distance: np.ndarray | None,
    terms: tuple[str, ...],
    *,
    workers: int,
    progress: bool,
    label: str,
) -> np.ndarray:
    """Do every job: (jobs, tables, k), in their order."""
    calls = ((refits, estimand, job, distance, terms) for job in jobs)
    done: Iterable[np.ndarray] = (_one(*call) for call in calls)
    if min(workers, len(jobs)) > 1:
        done = joblib.Parallel(n_jobs=min(workers, len(jobs)), return_as="generator")(
            joblib.delayed(_one)(*call) for call in calls
        )
    out = []
    with Line(progress) as line:
        for made in done:
            out.append(made)
            line.tell_share(len(out), len(jobs), label)
    return np.stack(out)


def _one(
    refits: Refits, estimand: Estimand, job: Job, distance: np.ndarray | None, terms: tuple[str, ...]
) -> np.ndarray:
    try:
        found, values = estimates_on(refits.on(job.rows), estimand, job, distance)
    except MnarkitError as error:
        raise DataError(
            f"{job.name}: {error}; the method needs every refit: leave out the method, or merge sparse groups "
            "(a bootstrap keeps the groups named by strata=)"
        ) from error
    if sorted(found) != sorted(terms):
        raise DataError(
            f"{job.name}: the analysis has the terms {', '.join(map(repr, found))}, on all rows "
            f"{', '.join(map(repr, terms))}; the method needs the same in every refit"
        )
    return values[:, [found.index(term) for term in terms]]
