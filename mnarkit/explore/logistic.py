"""Ridge logistic regression, and how well it tells holes from recorded values on rows that it has not seen."""

import numpy as np
from scipy.special import expit, ndtri

__all__ = ["area_under_curve", "cross_validated_auc", "fit_logistic"]

_FOLDS = 5
_STEPS = 50


def fit_logistic(x: np.ndarray, y: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Maximise Σ y η - log(1 + e^η) - ½ |β|², η = a + x β, by Newton's method with step halving.

    Parameters
    ----------
    x : (n, k) array
        Features in units of their standard deviation, so that one penalty fits all.
    y : (n,) array
        0 and 1, both present.
    start : (1 + k,) array, optional
        Where to start; the maximum is one and does not depend on it.

    Returns
    -------
    (1 + k,) array
        a, which is not penalised, and β.
    """
    x = np.column_stack([np.ones(len(x)), x])
    ridge = np.concatenate([[0.0], np.ones(x.shape[1] - 1)])
    beta = np.zeros(x.shape[1]) if start is None else start
    value = _penalised(beta, x, y, ridge)
    for _ in range(_STEPS):
        p = expit(x @ beta)
        gradient = x.T @ (y - p) - ridge * beta
        weighted = x * (p * (1 - p))[:, None]
        step = np.linalg.solve(weighted.T @ x + np.diag(np.maximum(ridge, 1e-9)), gradient)
        size, after = 1.0, _penalised(beta + step, x, y, ridge)
        while after < value and size > 1e-6:
            size /= 2
            after = _penalised(beta + size * step, x, y, ridge)
        beta, gain, value = beta + size * step, after - value, after
        if gain < 1e-9 * len(y):
            break
    return beta


def _penalised(beta: np.ndarray, x: np.ndarray, y: np.ndarray, ridge: np.ndarray) -> float:
    eta = x @ beta
    return float(y @ eta - np.logaddexp(0.0, eta).sum() - 0.5 * ridge @ beta**2)


def area_under_curve(score: np.ndarray, y: np.ndarray) -> float:
    """P(score of a 1 > score of a 0) + ½ P(equal): the Mann-Whitney statistic as a share."""
    n1 = y.sum()
    which, count = np.unique(score, return_inverse=True, return_counts=True)[1:]
    rank = (np.cumsum(count) - (count - 1) / 2)[which]  # ties share the mean of theirs
    return float((rank[y == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(y) - n1)))


def cross_validated_auc(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, level: float
) -> tuple[float, float, float]:
    """AUC on held-out rows, the mean of five folds with the same share of ones, and an approximate interval.

    The interval takes the standard error of one AUC on all rows (Hanley & McNeil 1982, eq. 1) and lies within [0, 1].
    """
    fold = np.empty(len(y), dtype=int)
    for value in (0, 1):
        rows = np.flatnonzero(y == value)
        fold[rng.permutation(rows)] = np.arange(len(rows)) % _FOLDS
    start = fit_logistic(x, y)
    each = []
    for k in range(_FOLDS):
        out = fold == k
        beta = fit_logistic(x[~out], y[~out], start)
        each.append(area_under_curve(x[out] @ beta[1:], y[out]))
    auc = float(np.mean(each))
    half = ndtri(0.5 + level / 2) * _hanley_mcneil(auc, y.sum(), len(y) - y.sum())
    return auc, max(auc - half, 0.0), min(auc + half, 1.0)


def _hanley_mcneil(auc: float, n1: float, n0: float) -> float:
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return float(np.sqrt((auc * (1 - auc) + (n1 - 1) * (q1 - auc**2) + (n0 - 1) * (q2 - auc**2)) / (n1 * n0)))
