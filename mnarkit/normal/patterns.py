"""Rows grouped by which columns are seen, and one cross-product matrix per pattern."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Patterns", "cross_products", "group_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """Rows sorted so that those with the same seen columns (and the same group) are neighbours.

    Attributes
    ----------
    seen : (G, p) bool array
        Which columns pattern g has.
    group : (G,) int array
        The group of pattern g (rows with another covariance are another group).
    order : (n,) int array
        Row numbers of the table, pattern after pattern.
    start : (G + 1,) int array
        Pattern g holds `order[start[g]:start[g + 1]]`.
    """

    seen: np.ndarray
    group: np.ndarray
    order: np.ndarray
    start: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Rows per pattern, (G,)."""
        return np.diff(self.start)

    def rows(self, g: int) -> np.ndarray:
        """Row numbers of pattern g in the table."""
        return self.order[self.start[g] : self.start[g + 1]]


def group_rows(seen: np.ndarray, group: np.ndarray | None = None) -> Patterns:
    """Group the rows of an (n, p) mask by their exact bits, and by group where one is given.

    Patterns are keyed on packed bytes, never on a number that could collide.
    """
    n, p = seen.shape
    group = np.zeros(n, dtype=np.int64) if group is None else np.asarray(group, dtype=np.int64)
    key = np.hstack([np.packbits(seen, axis=1), group.astype(">i8").view(np.uint8).reshape(n, 8)])
    key = np.ascontiguousarray(key).view(f"V{key.shape[1]}").ravel()
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    start = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=len(first)))]).astype(np.int64)
    order = np.argsort(which, kind="stable").astype(np.int64)
    return Patterns(seen[first].reshape(len(first), p), group[first], order, start)


def cross_products(x: np.ndarray, y: np.ndarray, patterns: Patterns) -> np.ndarray:
    """T_g = Σ_{i in g} z zᵀ with z = (x, y_seen), unseen columns zero: (G, q + p, q + p).

    Columns should be centered and scaled before, against cancellation.
    """
    q, p = x.shape[1], y.shape[1]
    out = np.zeros((len(patterns.group), q + p, q + p))
    for g, seen in enumerate(patterns.seen):
        rows = patterns.rows(g)
        z = np.hstack([x[rows], np.where(seen, y[rows], 0.0)])
        out[g] = z.T @ z
    return out
