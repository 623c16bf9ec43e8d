"""Limits on a table: the interval of every unseen cell that has one, and whether they can be true."""

from dataclasses import dataclass

import numpy as np

from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.spec.limits import Bound, Limits
from mnarkit.spec.spec import Spec

__all__ = ["Bounds", "bounds_of", "check_limits", "limits_said", "measured_table", "present_cells"]


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """low ≤ y ≤ high of the modelled columns' unseen cells, (n, p) each, ±inf where nothing is known."""

    low: np.ndarray
    high: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """The cells of which something is known, (n, p)."""
        return np.isfinite(self.low) | np.isfinite(self.high)


def bounds_of(spec: Spec, data: IncompleteData) -> Bounds:
    """Read the limits of a spec on a table; several limits of one cell hold together."""
    shape = data.n, len(spec.model.columns)
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    for limits in spec.limits:
        j = spec.model.columns.index(limits.column)
        cells = _cells(limits, data)
        low[cells, j] = np.maximum(low[cells, j], _values(limits.low, data, -np.inf)[cells])
        high[cells, j] = np.minimum(high[cells, j], _values(limits.high, data, np.inf)[cells])
    return Bounds(low, high)


def present_cells(spec: Spec, data: IncompleteData) -> np.ndarray:
    """Which modelled cells were measured, (n, p): recorded, or known up to limits."""
    seen = np.column_stack([data.seen(c) for c in spec.model.columns])
    return seen | bounds_of(spec, data).cells if spec.limits else seen


def measured_table(spec: Spec, data: IncompleteData) -> IncompleteData:
    """Give the table on which `missing(y)` is read: cells known up to limits count as recorded."""
    if not spec.limits:
        return data
    bounds = bounds_of(spec, data)
    frame = data.frame.copy(deep=False)
    for j, column in enumerate(spec.model.columns):
        cells = bounds.cells[:, j]
        if cells.any():
            inside = np.where(np.isfinite(bounds.low[:, j]), bounds.low[:, j], bounds.high[:, j])
            values = np.where(cells, inside, data.number(column) if data.seen(column).any() else np.nan)
            frame[column] = values
    return IncompleteData.of(frame)


def check_limits(spec: Spec, data: IncompleteData, *, holes_needed: bool = True) -> None:
    """Check that limits have cells, can be read, and can be true.

    Raises
    ------
    SpecError, DataError
        What is wrong, with counts.
    """
    for limits in spec.limits:
        for bound in limits.bounds:
            if bound in spec.model.columns:
                raise SpecError(f"{limits} takes the modelled column {bound!r} as a bound; a bound is not modelled")
            if data.seen(bound).any():
                data.number(bound)
        if holes_needed:
            _some_cell(limits, data)
        _recorded_inside(limits, data)
    found = bounds_of(spec, data)
    for j, column in enumerate(spec.model.columns):
        crossed = int(np.sum(found.low[:, j] >= found.high[:, j]))
        if crossed:
            raise DataError(
                f"{column!r} has {crossed} holes whose lower limit is not below their upper one; correct the limits, "
                "or record the value where both are one"
            )


def _some_cell(limits: Limits, data: IncompleteData) -> None:
    holes = int((~data.seen(limits.column)).sum())
    if not holes:
        raise SpecError(f"{limits.column!r} has no holes in {data.n} rows, so {limits} says nothing; leave it out")
    cells = _cells(limits, data)
    low, high = _values(limits.low, data, -np.inf), _values(limits.high, data, np.inf)
    if not np.any(cells & (np.isfinite(low) | np.isfinite(high))):
        raise SpecError(f"none of the {holes} holes of {limits.column!r} has a bound under {limits}; leave it out")


def _recorded_inside(limits: Limits, data: IncompleteData) -> None:
    """Refuse values recorded outside of an interval of their own; one-sided limits speak of holes alone."""
    if len(limits.bounds) < 2 or not data.seen(limits.column).any():
        return
    value = data.number(limits.column)
    outside = (value < _values(limits.low, data, -np.inf)) | (value > _values(limits.high, data, np.inf))
    outside &= _rows(limits, data)
    if outside.any():
        raise DataError(
            f"{limits.column!r} has {int(outside.sum())} recorded values outside of their own limits, {limits}; "
            "correct them, or make the limits of those rows missing"
        )


def limits_said(spec: Spec, data: IncompleteData) -> tuple[str, ...]:
    """Say how many cells are known up to limits, by column."""
    if not spec.limits:
        return ()
    found = bounds_of(spec, data)
    said = []
    for j, column in enumerate(spec.model.columns):
        low, high = np.isfinite(found.low[:, j]), np.isfinite(found.high[:, j])
        if (low | high).any():
            counts = {"below a limit": ~low & high, "above a limit": low & ~high, "between two": low & high}
            ways = ", ".join(f"{int(rows.sum())} {way}" for way, rows in counts.items() if rows.any())
            holes = int((~data.seen(column)).sum())
            said.append(
                f"{int((low | high).sum())} of {holes} holes of {column} are known up to limits ({ways}): data, with "
                f"which the model of {column} must hold beyond the limits too; no belief or amount moves them"
            )
    return tuple(said)


def _rows(limits: Limits, data: IncompleteData) -> np.ndarray:
    return np.ones(data.n, dtype=bool) if limits.where is None else evaluate(condition(limits.where), data)


def _cells(limits: Limits, data: IncompleteData) -> np.ndarray:
    return _rows(limits, data) & ~data.seen(limits.column)


def _values(bound: Bound | None, data: IncompleteData, without: float) -> np.ndarray:
    """A bound for every row; where there is none, what bounds nothing."""
    if bound is None or (isinstance(bound, str) and not data.seen(bound).any()):
        return np.full(data.n, without)
    if isinstance(bound, str):
        return np.where(data.seen(bound), data.number(bound), without)
    return np.full(data.n, bound)
