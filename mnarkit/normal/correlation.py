"""A covariance from standard deviations and partial correlations, with its gradient, as plain functions of arrays.

Σ = M M', M_ij = s_i L_ij, and L the Cholesky factor of the correlation matrix whose partial correlation of i > j given
the columns before j is P_ij: L_ij = P_ij √Π_{k<j} (1 - P_ik²), L_ii = √Π_{k<i} (1 - P_ik²)
(Lewandowski, Kurowicka & Joe 2009, section 2.4). P comes as a vector, row by row below the diagonal.
"""

import hashlib
import math
from pathlib import Path

import numba
import numpy as np

__all__ = ["COVARIANCE_KEY", "covariance", "covariance_gradient", "partial_correlations"]


@numba.njit(cache=True)
def correlation_root(partial, p):
    """L, and the factors √Π (1 - P²) before each of its entries."""
    root, before = np.zeros((p, p)), np.zeros((p, p))
    at = 0
    for i in range(p):
        before[i, 0] = 1.0
        for j in range(i):
            root[i, j] = partial[at] * before[i, j]
            before[i, j + 1] = before[i, j] * math.sqrt(1.0 - partial[at] * partial[at])
            at += 1
        root[i, i] = before[i, i]
    return root, before


@numba.njit(cache=True)
def covariance(sd, partial):
    """Σ (p, p) from s (p,) and P (p (p - 1) / 2,)."""
    p = len(sd)
    root, _ = correlation_root(partial, p)
    cov = np.zeros((p, p))
    for i in range(p):
        for j in range(i + 1):
            for k in range(j + 1):
                cov[i, j] += root[i, k] * root[j, k]
            cov[i, j] *= sd[i] * sd[j]
            cov[j, i] = cov[i, j]
    return cov


@numba.njit(cache=True)
def covariance_gradient(sd, partial, seed):
    """∂/∂(s, P) of Σ_ij seed_ij Σ_ij."""
    p = len(sd)
    root, before = correlation_root(partial, p)
    d_sd, d_partial = np.zeros(p), np.zeros(len(partial))
    for i in range(p):
        on_root = np.zeros(p)
        for k in range(i + 1):
            for j in range(k, p):
                on_root[k] += (seed[i, j] + seed[j, i]) * sd[j] * root[j, k]
            d_sd[i] += on_root[k] * root[i, k]
            on_root[k] *= sd[i]
        on_before = on_root[i]
        for j in range(i - 1, -1, -1):
            at = i * (i - 1) // 2 + j
            left = math.sqrt(1.0 - partial[at] * partial[at])
            d_partial[at] = before[i, j] * (on_root[j] - on_before * partial[at] / left)
            on_before = on_root[j] * partial[at] + on_before * left
    return d_sd, d_partial


def partial_correlations(cov: np.ndarray) -> np.ndarray:
    """P of a covariance matrix, the inverse of `covariance`."""
    sd = np.sqrt(np.diag(cov))
    root = np.tril(np.linalg.cholesky(cov / np.outer(sd, sd)), -1)
    before = np.sqrt(np.maximum(1 - np.cumsum(root**2, axis=1) + root**2, np.finfo(float).tiny))
    return (root / before)[np.tril_indices(len(sd), -1)]


COVARIANCE_KEY = hashlib.sha256(Path(__file__).read_bytes() + numba.__version__.encode()).hexdigest()
