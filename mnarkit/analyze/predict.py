"""Predict: what an analysis expects at given rows, by imputation."""

from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.estimates import Estimates

__all__ = ["predict"]

_MOST = 1_000  # every row is a term with covariances to all others


def predict(estimates: Estimates, rows: Any, *, average: bool = False) -> Estimates:
    """E[y | x] = x'θ̂_k at given rows, with its covariance, for `pool`.

    Parameters
    ----------
    estimates : Estimates
        An analysis by formula.
    rows : DataFrame
        The columns of the formula's right side, complete; at most 1,000 rows, or any number with `average`.
    average : bool
        Whether to give the mean over the rows, a margin: set a column of the table to one value first to ask what the
        mean would be if all rows had it. The rows count as fixed.

    Returns
    -------
    Estimates
        One term a row, named by the index of the table ("row 3"), or the term "average".

    Raises
    ------
    DataError
        An analysis by function, too many rows, a hole, or a level that the analysis has not seen.
    SpecError
        A column that is missing.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import pandas as pd
    >>> completed = [pd.DataFrame({"y": [1.0, 2.0, 4.0, v], "x": [0.0, 1.0, 2.0, 3.0]}) for v in (4.5, 5.0, 6.0)]
    >>> line = mk.analyze(completed, "y ~ x")
    >>> mk.pool(mk.predict(line, pd.DataFrame({"x": [1.5]}))).estimate.round(3).tolist()
    [3.042]
    """
    if not isinstance(estimates, Estimates):
        raise DataError(f"predict takes Estimates, from analyze(...), not {type(estimates).__name__}")
    if estimates.design is None:
        raise DataError(
            f"{estimates.what!r} was not analyzed by a formula, so its terms at other rows are not known; "
            "predict within the function and return the predictions with their covariance"
        )
    data = IncompleteData.of(rows)
    if data.n > _MOST and not average:
        raise DataError(f"{data.n:,} rows would be as many terms; give at most {_MOST:,}, or average=True")
    matrix = estimates.design.rebuild(data)
    if average:
        return estimates.combine(matrix.mean(axis=0), ["average"])
    labels = data.frame.index if data.frame.index.is_unique else np.arange(data.n)
    return estimates.combine(matrix, [f"row {label}" for label in labels])
