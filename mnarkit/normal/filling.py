"""The E-step per pattern, compiled: pseudo-rows filled by conditional means, on the smaller side of each pattern."""

import numba
import numpy as np

from mnarkit.normal.likelihood import invert_seen, split

__all__ = ["fill_rows"]


@numba.njit(cache=True)
def conditional(cov, precision, log_det, o, m, k, work, slope, variance):
    """Fill the regression of the unseen m on the seen o and its residual covariance; log |Σ_oo|, NaN where singular."""
    unseen = len(m) - k
    chol, root, inverse = work[0], work[1], work[2]
    if unseen <= k:
        seen_det = log_det + invert_seen(precision, m, unseen, chol, root, inverse)
        for a in range(unseen):
            for c in range(unseen):
                variance[a, c] = inverse[a, c]
            for b in range(k):
                dot = 0.0
                for c in range(unseen):
                    dot += inverse[a, c] * precision[m[c], o[b]]
                slope[a, b] = -dot
        return seen_det
    seen_det = invert_seen(cov, o, k, chol, root, inverse)
    for a in range(unseen):
        for b in range(k):
            dot = 0.0
            for c in range(k):
                dot += cov[m[a], o[c]] * inverse[c, b]
            slope[a, b] = dot
    for a in range(unseen):
        for c in range(unseen):
            dot = cov[m[a], m[c]]
            for b in range(k):
                dot -= slope[a, b] * cov[o[b], m[c]]
            variance[a, c] = dot
    return seen_det


@numba.njit(cache=True)
def fill_rows(coef, cov, precision, log_det, seen, count, rows, start):
    """Fill the unseen entries of pseudo-rows (x, y) by their conditional means.

    Returns
    -------
    tuple
        The filled rows (R, q + p), Σ n Var(y | y_o) (p, p), and Σ n log |Σ_oo|.
    """
    p, q = coef.shape
    filled, spread, total = rows.copy(), np.zeros((p, p)), 0.0
    o, m = np.empty(p, np.int64), np.empty(p, np.int64)
    work, slope, variance = np.empty((3, p, p)), np.empty((p, p)), np.empty((p, p))
    gap = np.empty(p)
    for g in range(len(seen)):
        k = split(seen[g], o, m)
        n = count[g]
        if k == p:
            total += n * log_det
            continue
        total += n * conditional(cov, precision, log_det, o, m, k, work, slope, variance)
        for a in range(p - k):
            for c in range(p - k):
                spread[m[a], m[c]] += n * variance[a, c]
        for i in range(start[g], start[g + 1]):
            row = filled[i]
            for b in range(k):
                gap[b] = row[q + o[b]]
                for l in range(q):
                    gap[b] -= coef[o[b], l] * row[l]
            for a in range(p - k):
                mean = 0.0
                for l in range(q):
                    mean += coef[m[a], l] * row[l]
                for b in range(k):
                    mean += slope[a, b] * gap[b]
                row[q + m[a]] = mean
    return filled, spread, total
