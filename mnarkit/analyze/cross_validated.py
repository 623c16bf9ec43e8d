"""A cross-validated metric with a variance that knows that its folds share their training rows."""

from typing import Any

import numpy as np
import pandas as pd

from mnarkit.errors import DataError
from mnarkit.estimates import floats

__all__ = ["cross_validated"]


def cross_validated(scores: Any, *, test_share: float) -> tuple[Any, Any, float]:
    """Mean of J scores, (1/J + n_test/n_train) s² and J - 1, for `analyze`: the corrected resampled variance.

    The scores of folds are not independent: their models are trained on the same rows. s²/J is too small, and no
    unbiased estimate of the variance exists. This one is the usual repair, and an approximation.

    Parameters
    ----------
    scores : array-like, shape (J,), or DataFrame
        A metric on the test rows of each of J splits, at least 3; a DataFrame has a column a metric.
    test_share : float
        The share of rows that each split tests on, in (0, 1): 1/K for K folds.

    Returns
    -------
    estimate, variance : float, or Series by metric
        The mean of the scores and its variance.
    df : float
        Degrees of freedom, J - 1.

    Raises
    ------
    DataError
        Fewer than 3 scores, one that is not finite, or a share outside (0, 1).

    References
    ----------
    Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52, 239-281.
    Bengio, Y. and Grandvalet, Y. (2004). No unbiased estimator of the variance of K-fold cross-validation. JMLR 5,
    1089-1105.

    Examples
    --------
    >>> import mnarkit as mk
    >>> estimate, variance, df = mk.cross_validated([0.80, 0.84, 0.82, 0.86, 0.78], test_share=0.2)
    >>> print(f"{estimate:.2f} {variance:.5f} {df:g}")
    0.82 0.00045 4
    """
    if isinstance(test_share, bool) or not isinstance(test_share, (int, float)) or not 0 < test_share < 1:
        raise DataError(f"test_share= is the share of rows in a test part, inside (0, 1), not {test_share!r}")
    values = floats(scores, "the scores")
    splits = len(values) if values.ndim else 0
    if values.ndim not in (1, 2) or splits < 3:
        raise DataError(f"the scores are one for each of 3 splits or more, not of shape {values.shape}")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise DataError(f"{bad} of {values.size} scores are not finite numbers; a split may lack a class")
    factor = 1 / splits + test_share / (1 - test_share)
    estimate, variance = values.mean(axis=0), factor * values.var(axis=0, ddof=1)
    if isinstance(scores, pd.DataFrame):
        names = scores.columns
        return pd.Series(estimate, index=names), pd.Series(variance, index=names), splits - 1.0
    return (float(estimate), float(variance), splits - 1.0) if values.ndim == 1 else (estimate, variance, splits - 1.0)
