"""Values hidden inside their limits: the table keeps the limit in place of the value."""

import numpy as np
import pandas as pd

from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.spec.limits import Bound, Limits
from mnarkit.spec.spec import Spec

__all__ = ["hide_inside"]


def hide_inside(spec: Spec, seen: np.ndarray, frame: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Hide what is still seen and lies inside its limits; bounds that do not hold for a hole are emptied.

    Parameters
    ----------
    spec : Spec
    seen : (n, p) bool array
        What the beliefs have left.
    frame : DataFrame
        The complete table.

    Returns
    -------
    (n, p) bool array, DataFrame
        What is seen now, and the table with its columns of bounds as they are recorded.

    Raises
    ------
    SpecError
        A constant limit that would be read of a hole for which it does not hold.
    """
    left, made, data = seen.copy(), frame.copy(), IncompleteData.of(frame)
    inside = {limits: _inside(limits, data) for limits in spec.limits}
    for limits, true in inside.items():
        left[:, spec.model.columns.index(limits.column)] &= ~true
    for limits, true in inside.items():
        j = spec.model.columns.index(limits.column)
        false = _rows(limits, data) & ~left[:, j] & ~(seen[:, j] & true)
        if len(limits.bounds) == 2:
            false |= left[:, j]  # a value is not recorded outside of an interval of its own
        if false.any() and not limits.bounds:
            raise SpecError(
                f"{int(false.sum())} holes of {limits.column!r} are made by something else than {limits}, which a "
                "table could not tell apart; give the limit as a column, which is empty there"
            )
        for column in limits.bounds:
            made.loc[false, column] = np.nan
    return left, made


def _rows(limits: Limits, data: IncompleteData) -> np.ndarray:
    return np.ones(data.n, dtype=bool) if limits.where is None else evaluate(condition(limits.where), data)


def _inside(limits: Limits, data: IncompleteData) -> np.ndarray:
    """Rows whose value lies inside the limits, where there are any."""
    value = data.number(limits.column)
    low, high = _values(limits.low, data, -np.inf), _values(limits.high, data, np.inf)
    known = np.isfinite(low) | np.isfinite(high)
    return _rows(limits, data) & known & (low <= value) & (value <= high)


def _values(bound: Bound | None, data: IncompleteData, without: float) -> np.ndarray:
    if isinstance(bound, str):
        return (
            np.where(data.seen(bound), data.number(bound), without)
            if data.seen(bound).any()
            else np.full(data.n, without)
        )
    return np.full(data.n, without if bound is None else bound)
