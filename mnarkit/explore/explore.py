"""The verb: look at the holes of a table."""

from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.explore.columns import read_columns
from mnarkit.explore.exploration import Exploration
from mnarkit.explore.heaping import heaping
from mnarkit.explore.mcar import little_test
from mnarkit.explore.patterns import dropout, find_patterns, flux, monotone_order, pattern_means, pattern_table
from mnarkit.explore.predictors import predict_holes
from mnarkit.explore.rates import rates, rates_by
from mnarkit.explore.thresholds import thresholds

__all__ = ["explore"]

_ROWS = 20_000  # for thresholds and heaping
_TESTED = 100_000  # for Little's test


def explore(df: Any, by: str | None = None, *, seed: int = 1) -> Exploration:
    """Describe the holes of a table: rates, patterns, what goes with them, jumps, heaps, and Little's test.

    Counts, rates, means and differences use every row. Fits, thresholds, heaping and Little's test use a random part
    of a large table, which the summary says.

    Parameters
    ----------
    df : DataFrame
        A pandas, polars or arrow table with columns of any type; a cell is missing if it is null or NaN.
    by : str, optional
        Rates by segment of this column: its levels (the 20 commonest), or five bins of a number or date; rows in which
        it is missing are a segment too.
    seed : int
        Of every random number.

    Returns
    -------
    Exploration

    Raises
    ------
    DataError
        Not a table, no rows, names that are not text or occur twice, infinite values, `by` not one name.
    SpecError
        `by` is not a column.

    References
    ----------
    Little (1988). A test of missing completely at random for multivariate data with missing values. JASA 83, 1198-1202.
    van Buuren (2018). Flexible Imputation of Missing Data, 2nd ed., section 4.1.
    Lausen & Schumacher (1992). Maximally selected rank statistics. Biometrics 48, 73-85.

    Examples
    --------
    >>> import mnarkit as mk
    >>> found = mk.explore(mk.load_dataset("wages"), by="kidslt6")
    >>> found.patterns[["count", "n_missing"]].values.tolist()
    [[428, 0], [325, 2]]
    >>> found.by.query("column == 'lwage'")[["segment", "missing", "n"]].values.tolist()
    [['0', 231, 606], ['1', 72, 118], ['2', 19, 26], ['3', 3, 3]]
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SpecError(f"seed is a whole number of at least 0, not {seed!r}")
    data = IncompleteData.of(df)
    columns = read_columns(data)
    by_segment = None if by is None else rates_by(columns, by, data)
    patterns = find_patterns(columns)
    predicted = predict_holes(columns, seed)
    sample = _sample(data.n, _ROWS, seed)
    index = pd.RangeIndex(1, len(patterns.count) + 1, name="pattern")
    return Exploration(
        data=data,
        segment=by,
        seed=int(seed),
        rows=len(sample),
        rates=rates(columns),
        by=by_segment,
        patterns=pattern_table(patterns),
        seen=pd.DataFrame(patterns.seen, columns=list(patterns.names), index=index),
        means=pattern_means(columns, patterns),
        monotone=monotone_order(patterns),
        dropout=dropout(patterns),
        predictors=predicted.table,
        auc=predicted.auc,
        flux=flux(patterns),
        thresholds=thresholds(columns, sample),
        heaping=heaping(columns, sample),
        mcar=little_test(columns, _sample(data.n, _TESTED, seed)),
    )


def _sample(n: int, most: int, seed: int) -> np.ndarray:
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
