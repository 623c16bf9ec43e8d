"""Odds of ordered categories multiplied: what an odds ratio does to probabilities."""

import numpy as np

__all__ = ["multiply_odds"]


def multiply_odds(probabilities: np.ndarray, odds_ratio: np.ndarray | float) -> np.ndarray:
    """Multiply P(Y ≥ k) / P(Y < k) by the odds ratio for every k: (n, K) probabilities of ordered categories.

    With two categories these are the odds of the second. Categories stay where they are if the ratio is 1; a ratio
    above 1 moves probability to higher ones. The cumulative odds are proportional to those before, so a model with
    proportional cumulative odds keeps its slopes.

    Parameters
    ----------
    probabilities : (n, K) array
        Rows sum to 1; columns in the order of the categories.
    odds_ratio : float or (n,) array
        Above 0.

    Returns
    -------
    (n, K) array
        Rows sum to 1.

    References
    ----------
    McCullagh, P. (1980). Regression models for ordinal data. JRSS B 42, 109-142, section 2.2 (proportional odds).

    Examples
    --------
    >>> import numpy as np
    >>> from mnarkit.odds import multiply_odds
    >>> multiply_odds(np.array([[0.5, 0.5], [0.8, 0.2]]), 4.0).tolist()
    [[0.2, 0.8], [0.5, 0.5]]
    """
    p = np.asarray(probabilities, dtype=float)
    ratio = np.broadcast_to(np.asarray(odds_ratio, dtype=float), p.shape[:1])[:, None]
    below = np.cumsum(p, axis=1)[:, :-1]
    above = np.cumsum(p[:, ::-1], axis=1)[:, ::-1][:, 1:]
    total = below + ratio * above  # 0 in neither term: a boundary between categories has one of them above 0
    # P(Y = k) from the two boundaries of k, by whichever tail is the smaller, so that small ones keep their digits
    n = len(p)
    low, high = below / total, ratio * above / total
    low, high = (
        np.hstack([np.zeros((n, 1)), low, np.ones((n, 1))]),
        np.hstack([np.ones((n, 1)), high, np.zeros((n, 1))]),
    )
    by_low, by_high = np.diff(low, axis=1), -np.diff(high, axis=1)
    return np.maximum(np.where(low[:, 1:] < 0.5, by_low, by_high), 0.0)
