"""The normal density of clusters whose random terms are integrated out, with its gradient, as functions of arrays.

In a cluster y = η + Z b + e, b = B u, u ~ N(0, I_k), e ~ N(0, σ² I), so that V = σ² I + Z B B' Z'. With
M = I + B' Z'Z B / σ², V⁻¹ r = (r - Z B M⁻¹ B' Z' r / σ²) / σ² and |V| = σ^(2n) |M| (Laird & Ware 1982, section 3): a
k x k matrix a cluster, whatever its size.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

__all__ = ["Clustered", "clustered", "cross_products", "draw_effects", "sums"]

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True, slots=True, eq=False)
class Clustered:
    """Log density, a share of it by row (N,), and its derivatives in η (N,), in σ, by row, and in B (k, k)."""

    value: np.ndarray
    d_eta: np.ndarray
    d_sd: np.ndarray
    d_root: np.ndarray


def sums(values: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
    """Sums of rows (N, k) over each of `count` clusters: (count, k)."""
    return np.column_stack([np.bincount(at, column, count) for column in values.T])


def cross_products(z: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
    """Z'Z of each cluster: (count, k, k)."""
    k = z.shape[1]
    each = (z[:, :, None] * z[:, None, :]).reshape(len(z), k * k)
    return sums(each, at, count).reshape(count, k, k)


def clustered(r: np.ndarray, z: np.ndarray, at: np.ndarray, zz: np.ndarray, sd: float, root: np.ndarray) -> Clustered:
    """Log density of residuals r = y - η, (N,), of the clusters `at`, with Z (N, k), Z'Z `zz`, σ `sd` and B `root`."""
    return Clustered(*_clustered(r, z, at, zz, float(sd), np.ascontiguousarray(root)))


@numba.njit(cache=True, error_model="numpy")
def _clustered(r, z, at, zz, sd, root):
    (rows, k), count, precision = z.shape, len(zz), 1.0 / (sd * sd)
    value, a, d_sd, d_root = np.empty(rows), np.empty(rows), np.empty(rows), np.zeros((k, k))
    inverse, log_det, trace = np.empty((count, k, k)), np.empty(count), np.empty(count)
    b_zz, toward, alpha = np.empty((count, k, k)), np.zeros((count, k)), np.zeros((count, k))
    for g in range(count):
        b_zz[g] = _product(root.T, zz[g])
        log_det[g] = _invert(_product(b_zz[g], root), precision, inverse[g])
        trace[g] = 0.0
        for c in range(k):
            trace[g] += inverse[g, c, c]
    for i in range(rows):
        for c in range(k):
            toward[at[i], c] += z[i, c] * r[i]
    for g in range(count):  # from Z'r to what V⁻¹ takes off: B M⁻¹ B' Z'r / σ²
        toward[g] = precision * _applied(root, _applied(inverse[g], _applied(root.T, toward[g])))
    for i in range(rows):
        moved = 0.0
        for c in range(k):
            moved += z[i, c] * toward[at[i], c]
        a[i] = precision * (r[i] - moved)
        value[i] = -0.5 * r[i] * a[i] - math.log(sd) - _HALF_LOG_2PI
        d_sd[i] = sd * a[i] * a[i] - 1.0 / sd
        for c in range(k):
            alpha[at[i], c] += z[i, c] * a[i]
    for i in range(rows - 1, -1, -1):  # what a cluster has once goes to one of its rows
        g = at[i]
        value[i] -= 0.5 * log_det[g]
        d_sd[i] += (k - trace[g]) / sd
        log_det[g], trace[g] = 0.0, k
    for g in range(count):
        seen = _applied(root.T, alpha[g])
        taken = precision * _product(b_zz[g].T, inverse[g])
        for c in range(k):
            for d in range(k):
                d_root[c, d] += alpha[g, c] * seen[d] - taken[c, d]
    return value, a, d_sd, d_root


@numba.njit(cache=True, error_model="numpy")
def _product(a, b):
    made = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                made[i, j] += a[i, k] * b[k, j]
    return made


@numba.njit(cache=True, error_model="numpy")
def _applied(a, v):
    made = np.zeros(a.shape[0])
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            made[i] += a[i, k] * v[k]
    return made


@numba.njit(cache=True, error_model="numpy")
def _invert(m, factor, inverse):
    """(I + factor m)⁻¹ into `inverse`, by elimination (positive definite: no pivots); the log determinant."""
    k, log_det = len(m), 0.0
    for i in range(k):
        for j in range(k):
            m[i, j] *= factor
            inverse[i, j] = 1.0 if i == j else 0.0
        m[i, i] += 1.0
    for i in range(k):
        pivot = m[i, i]
        log_det += math.log(pivot)
        for j in range(k):
            m[i, j] /= pivot
            inverse[i, j] /= pivot
        for other in range(k):
            share = m[other, i]
            if other == i or share == 0.0:
                continue
            for j in range(k):
                m[other, j] -= share * m[i, j]
                inverse[other, j] -= share * inverse[i, j]
    return log_det


def draw_effects(
    r: np.ndarray,
    z: np.ndarray,
    at: np.ndarray,
    zz: np.ndarray,
    sd: float,
    root: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """Draw b of each cluster given its residuals, (count, k): u ~ N(M⁻¹ B'Z'r / σ², M⁻¹), from noise (count, k)."""
    m = np.eye(len(root)) + np.matmul(root.T, zz) @ root / sd**2
    lower = np.linalg.cholesky(m)
    toward = (sums(z * r[:, None], at, len(zz)) @ root / sd**2)[:, :, None]
    mean = np.linalg.solve(m, toward)[:, :, 0]
    return (mean + np.linalg.solve(lower.transpose(0, 2, 1), noise[:, :, None])[:, :, 0]) @ root.T
