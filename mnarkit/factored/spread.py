"""A correlation matrix of few random terms from partial correlations, once for NumPy and for PyTensor.

L is its Cholesky factor, and P_ij the partial correlation of i > j given the terms before j:
L_ij = P_ij √Π_{k<j} (1 - P_ik²), L_ii = √Π_{k<i} (1 - P_ik²) (Lewandowski, Kurowicka & Joe 2009, section 2.4).
"""

from typing import Any

import numpy as np

__all__ = ["beta_shapes", "root_entries", "root_gradient", "root_of"]


def beta_shapes(k: int, eta: float) -> np.ndarray:
    """LKJ(eta): (1 + P_ij) / 2 ~ Beta(a, a), a = eta + (k - 2 - j) / 2, row by row below the diagonal."""
    return eta + (k - 2 - np.tril_indices(k, -1)[1]) / 2


def root_entries(partial: Any, k: int, xp: Any) -> list[list[Any]]:
    """L as a list of rows, each up to the diagonal; `partial` is indexed by place, row by row."""
    rows, at = [], 0
    for i in range(k):
        before, row = 1.0, []
        for _ in range(i):
            row.append(partial[at] * before)
            before = before * xp.sqrt(1 - partial[at] ** 2)
            at += 1
        rows.append([*row, before])
    return rows


def root_of(partial: np.ndarray, k: int) -> np.ndarray:
    """L, (k, k)."""
    made = np.zeros((k, k))
    for i, row in enumerate(root_entries(partial, k, np)):
        made[i, : i + 1] = row
    return made


def root_gradient(partial: np.ndarray, k: int, on_root: np.ndarray) -> np.ndarray:
    """∂/∂P of Σ on_root ∘ L."""
    made = np.zeros(len(partial))
    for i in range(1, k):
        first = i * (i - 1) // 2
        left = np.sqrt(1 - partial[first : first + i] ** 2)
        before = np.concatenate([[1.0], np.cumprod(left)])
        on_before = on_root[i, i]
        for j in range(i - 1, -1, -1):
            p = partial[first + j]
            made[first + j] = before[j] * (on_root[i, j] - on_before * p / left[j])
            on_before = on_root[i, j] * p + on_before * left[j]
    return made
