"""The normal density of clusters whose random terms are integrated out, with its gradient, as functions of arrays.

In a cluster y = η + Z b + e, b = B u, u ~ N(0, I_k), e ~ N(0, σ² I), so that V = σ² I + Z B B' Z'. With
M = I + B' Z'Z B / σ², V⁻¹ r = (r - Z B M⁻¹ B' Z' r / σ²) / σ² and |V| = σ^(2n) |M| (Laird & Ware 1982, section 3): a
k x k matrix a cluster, whatever its size.
"""

from dataclasses import dataclass

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
    count, k = len(zz), len(root)
    b_zz = np.matmul(root.T, zz) / sd**2
    m = np.eye(k) + b_zz @ root
    inverse, log_det = _inverses(m)
    moved = np.einsum("gab,gb->ga", inverse, sums(z * r[:, None], at, count) @ root / sd**2)
    a = (r - (z * (moved @ root.T)[at]).sum(axis=1)) / sd**2
    value = -0.5 * r * a - np.log(sd) - _HALF_LOG_2PI
    value[_first(at, count)] -= 0.5 * log_det
    trace = np.trace(inverse, axis1=1, axis2=2)
    d_sd = sd * a**2 - 1 / sd
    d_sd[_first(at, count)] += (k - trace) / sd
    alpha = sums(z * a[:, None], at, count)
    d_root = (alpha.T @ alpha) @ root - np.einsum("gba,gbc->ac", b_zz, inverse)
    return Clustered(value, a, d_sd, d_root)


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


def _first(at: np.ndarray, count: int) -> np.ndarray:
    """Find a row of each cluster, to hold what the cluster has once."""
    rows = np.zeros(count, dtype=np.int64)
    rows[at[::-1]] = np.arange(len(at))[::-1]
    return rows


def _inverses(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and log determinants of (count, k, k); in closed form up to k = 2, which is most of the cases."""
    if m.shape[1] == 1:
        return 1 / m, np.log(m[:, 0, 0])
    if m.shape[1] == 2:
        det = m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0]
        adjugate = np.empty_like(m)
        adjugate[:, 0, 0], adjugate[:, 1, 1] = m[:, 1, 1], m[:, 0, 0]
        adjugate[:, 0, 1], adjugate[:, 1, 0] = -m[:, 0, 1], -m[:, 1, 0]
        return adjugate / det[:, None, None], np.log(det)
    return np.linalg.inv(m), np.linalg.slogdet(m)[1]
