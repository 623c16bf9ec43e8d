"""How often each column is missing, by segment, with Wilson intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.explore.columns import Column, apart, said, said_apart

__all__ = ["LEVEL", "rates", "rates_by", "segments_of", "wilson"]

LEVEL = 0.95
_BINS = 5
_FEW = 10  # different values of a number that are segments of their own
_MISSING = "(missing)"  # the segment of rows in which the column has a hole
_MOST = 20  # segments; the rarest levels beyond are put together


def wilson(count: np.ndarray, n: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (1927): the p for which |p̂ - p| ≤ z √(p (1 - p) / n).

    Parameters
    ----------
    count, n : int arrays
        Successes and trials, n > 0.
    level : float
        Its nominal coverage.
    """
    z2 = ndtri(0.5 + level / 2) ** 2
    share = count / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    low = np.where(count == 0, 0.0, middle - half)
    return low, np.where(count == n, 1.0, middle + half)


def rates(columns: Sequence[Column]) -> pd.DataFrame:
    """Columns `column`, `n`, `missing`, `rate`, `low`, `high`: a row per column, in the table's order."""
    return _with_interval(
        pd.DataFrame(
            {
                "column": [c.name for c in columns],
                "n": [len(c.seen) for c in columns],
                "missing": [c.n_missing for c in columns],
            }
        )
    )


def rates_by(columns: Sequence[Column], by: str, data: IncompleteData) -> pd.DataFrame:
    """Columns `segment`, `column`, `n`, `missing`, `rate`, `low`, `high`, for every column but `by`."""
    if not isinstance(by, str):
        raise DataError(f"by={by!r} is of type {type(by).__name__}; give the name of one column")
    data.require([by], "by=")
    labels, which = segments_of(next(c for c in columns if c.name == by))
    n = np.bincount(which, minlength=len(labels))
    tables = [
        pd.DataFrame(
            {
                "segment": labels,
                "column": column.name,
                "n": n,
                "missing": np.bincount(which, ~column.seen, len(labels)).astype(int),
            }
        )
        for column in columns
        if column.name != by
    ]
    if not tables:
        raise DataError(f"by={by!r} is the only column; a table of two columns at least has rates by segment")
    return _with_interval(pd.concat(tables, ignore_index=True))


def _with_interval(table: pd.DataFrame) -> pd.DataFrame:
    low, high = wilson(table["missing"].to_numpy(float), table["n"].to_numpy(float))
    return table.assign(rate=table["missing"] / table["n"], low=low, high=high)


def segments_of(column: Column) -> tuple[list[str], np.ndarray]:
    """Labels of the segments, and the segment of each row: levels, few values, or five bins; then the missing."""
    if column.kind == "other":
        raise DataError(
            f"by={column.name!r} holds things without levels; name a column of numbers, dates or categories"
        )
    values = column.values[column.seen]
    distinct = np.unique(values)
    if column.kind == "category" or len(distinct) <= _FEW:
        labels, found = _levels(column, values, distinct)
    else:
        labels, found = _bins(column, values)
    which = np.full(len(column.seen), len(labels))
    which[column.seen] = found
    return ([*labels, _MISSING], which) if column.n_missing else (labels, which)


def _levels(column: Column, values: np.ndarray, distinct: np.ndarray) -> tuple[list[str], np.ndarray]:
    place = np.searchsorted(distinct, values)
    count = np.bincount(place, minlength=len(distinct))
    kept = np.arange(len(distinct))
    if len(distinct) > _MOST:
        kept = np.sort(np.argsort(-count, kind="stable")[:_MOST])
    if not column.ordered:
        kept = np.array(sorted(kept, key=lambda k: said(column, distinct[k])), dtype=int)
    new = np.full(len(distinct), len(kept))
    new[kept] = np.arange(len(kept))
    rest = len(distinct) - len(kept)
    others = [f"(other: {rest:,} levels)"] if rest else []
    return [*said_apart(column, distinct[kept].tolist(), [_MISSING, *others]), *others], new[place]


def _bins(column: Column, values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Equal shares of the rows as far as ties allow; each bin is named by the least and greatest value in it."""
    edges = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
    place = np.unique(np.searchsorted(edges, values), return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(place))[:-1])
    ends = [(part.min(), part.max()) for part in parts]
    short, exact = ([_span(*(said(column, end, exact=e) for end in pair)) for pair in ends] for e in (False, True))
    return apart(short, exact), place


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
