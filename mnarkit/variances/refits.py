"""A spec fitted again on other rows of its table: without one, or drawn with replacement."""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.em import EMFit, em
from mnarkit.em.analysis import Analyst
from mnarkit.em.normal import mar_path
from mnarkit.em.penalty import penalty
from mnarkit.em.start import start_point
from mnarkit.em.units import Units
from mnarkit.errors import DataError, MnarkitWarning
from mnarkit.normal.layout import Layout, kernel_data
from mnarkit.normal.moments import gather, moments
from mnarkit.normal.rank import check_moments
from mnarkit.normal.reference import ReferenceRows
from mnarkit.normal.structure import structure_of
from mnarkit.spec.data_models import MvNormal
from mnarkit.spec.missingness import MAR
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec

__all__ = ["Refits"]


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """The fit of all rows, and what refits on some of them start from.

    Attributes
    ----------
    fit : EMFit
        The maximum of the likelihood on all rows.
    analyst : Analyst
        The same, laid out on the table.
    arrays : bool
        Whether a refit needs no more than arrays: under a likelihood that is that of MAR, with no structure.
    """

    spec: Spec
    data: IncompleteData
    fit: EMFit
    analyst: Analyst
    arrays: bool

    @classmethod
    def of(cls, spec: Spec, data: IncompleteData) -> "Refits":
        """Fit all rows."""
        fit = em(spec, data, progress=False)
        return cls(spec, data, fit, _laid(fit), _of_arrays(spec))

    @property
    def distance(self) -> np.ndarray:
        """E[y unseen | belief] - E[y unseen | MAR] at the estimates of all rows, (n, p); 0 where recorded."""
        theta = self.analyst.theta
        moved = self.analyst.predicted(theta) - self.analyst.before_amounts(theta)
        recorded = np.column_stack([self.data.seen(c) for c in self.analyst.layout.columns])
        return np.where(recorded, 0.0, moved)

    def on(self, rows: np.ndarray) -> Analyst:
        """Fit some rows, which may stand there several times, and lay the fit out on them.

        Raises
        ------
        MnarkitError
            The rows cannot be fitted.
        """
        data = IncompleteData.of(self.data.frame.iloc[rows].reset_index(drop=True))
        if not self.arrays:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MnarkitWarning)
                fit = em(self.spec, data, start=self.fit, progress=False)
            if not fit.converged:
                raise DataError(f"the fit did not converge: {fit.reason}")
            return _laid(fit)
        layout = _layout_of(self.analyst.layout, rows)
        reference = None if self.analyst.reference is None else _reference_of(self.analyst.reference, rows)
        kernel = kernel_data(layout, keep_empty_rows=True, products=False)
        theta = _maximum(layout, (self.fit.coef, self.fit.cov))
        return replace(self.analyst, data=data, layout=layout, rows=kernel, reference=reference, theta=theta)


def _of_arrays(spec: Spec) -> bool:
    """Whether the likelihood is that of MAR with a free covariance, and what departs from it comes afterwards."""
    plain = (MAR, PatternMixture, Reference)
    inside = any(c.of == "model" for c in spec.amounts)
    known = all(isinstance(b, plain) for b in spec.missingness)
    common = structure_of(spec.model) is None and not (isinstance(spec.model, MvNormal) and spec.model.by)
    return known and not inside and spec.restriction is None and common


def _laid(fit: EMFit) -> Analyst:
    assert fit.data is not None  # the tables here are in memory
    return Analyst.of(fit.spec, fit.data, fit.indicators, fit.params.to_numpy(), lambda: np.empty((0, 0)))


def _layout_of(layout: Layout, rows: np.ndarray) -> Layout:
    y = layout.y[rows]
    amounts = tuple(
        replace(
            a,
            cells=a.cells[rows],
            times=a.times[rows],
            sd_observed=float(np.nanstd(y[:, a.column], ddof=1)),
        )
        for a in layout.amounts
    )
    return replace(layout, y=y, x=layout.x[rows], amounts=amounts)


def _reference_of(reference: ReferenceRows, rows: np.ndarray) -> ReferenceRows:
    events = reference.events
    return replace(
        reference,
        events=replace(events, first=events.first[rows], strategy=events.strategy[rows], aside=events.aside[rows]),
        y=reference.y[rows],
        x=reference.x[rows],
        x_control=reference.x_control[rows],
        arm=reference.arm[rows],
        arm_control=reference.arm_control[rows],
    )


def _maximum(layout: Layout, start: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Maximise the MAR likelihood on the rows of a layout: (coef, lower triangle of cov) in the columns' own units."""
    recorded, needed = layout.seen.sum(axis=0), len(layout.terms) + 1
    if recorded.min() < needed:
        column = layout.columns[int(np.argmin(recorded))]
        raise DataError(f"{column!r} has {recorded.min()} recorded values for {needed} parameters")
    predictors = layout.x[:, [t != "Intercept" for t in layout.terms]]
    reduced = moments(*gather([(predictors, layout.y)]), layout.columns, layout.terms)
    held = penalty(None, reduced.scale, reduced.scale)
    check_moments(reduced)
    try:
        found = mar_path(reduced, start_point(start, reduced), held, tol=1e-8, max_iter=10_000)
    except np.linalg.LinAlgError as error:
        raise DataError(f"the predictors {', '.join(layout.terms)} are collinear") from error
    if not found.path.converged:
        raise DataError(f"the fit did not converge: {found.path.reason}")
    return Units.of(reduced).own(found.path.points[-1])
