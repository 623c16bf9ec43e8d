"""Limits as rows of the kernel: z = limit - y without error, of which the sign, or an interval, is known."""

from dataclasses import dataclass, replace

import numpy as np

from mnarkit.normal.patterns import Patterns, group_rows
from mnarkit.spec.bounds import Bounds

__all__ = ["BETWEEN", "LimitRows", "group_with_limits", "limit_rows"]

BETWEEN = 2.0  # the kernel's sign of 0 < z < width


@dataclass(frozen=True, slots=True, eq=False)
class LimitRows:
    """Limits as rows of the kernel, one for each column that has some.

    Attributes
    ----------
    columns : tuple of int
        The modelled columns.
    sign : (n, L) array
        +1 below `high`, -1 above `low`, 2 between the two, 0 where nothing is known.
    w : list of (n, 2) arrays
        The limit, `high` where there is one, and the width of the interval, which has no coefficient.
    """

    columns: tuple[int, ...]
    sign: np.ndarray
    w: list[np.ndarray]


def limit_rows(bounds: Bounds | None, n: int) -> LimitRows:
    """Say limits on n rows as rows of the kernel."""
    if bounds is None:
        return LimitRows((), np.zeros((n, 0)), [])
    columns = np.flatnonzero(bounds.cells.any(axis=0))
    low, high = bounds.low[:, columns], bounds.high[:, columns]
    below, above = np.isfinite(high), np.isfinite(low)
    limit = np.where(below, high, np.where(above, low, 0.0))
    width = np.where(below & above, high, 0.0) - np.where(below & above, low, 0.0)
    sign = np.where(below & above, BETWEEN, 1.0 * below - above)
    w = [np.column_stack(pair) for pair in zip(limit.T, width.T, strict=True)]
    return LimitRows(tuple(columns.tolist()), sign, w)


def group_with_limits(seen: np.ndarray, group: np.ndarray, sign: np.ndarray) -> tuple[Patterns, np.ndarray]:
    """Group rows by seen columns, covariance and further keys, signs of limits: the patterns, and their keys (G, L)."""
    if not sign.shape[1]:
        patterns = group_rows(seen, group)
        return patterns, np.zeros((len(patterns.seen), 0))
    kinds, kind = np.unique(np.column_stack([group, sign]), axis=0, return_inverse=True)
    patterns = group_rows(seen, kind.ravel())
    of_kind = kinds[patterns.group]
    return replace(patterns, group=of_kind[:, 0].astype(np.int64)), of_kind[:, 1:]
