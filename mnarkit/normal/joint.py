"""Which propensities of a row are correlated given what is seen, and which rows have too many of them to integrate."""

import numpy as np

from mnarkit.spec.propensities import too_many

__all__ = ["crowded_rows", "deviations", "joint_propensities"]


def joint_propensities(
    reading: np.ndarray, sign: np.ndarray, seen: np.ndarray, kinds: tuple[np.ndarray, np.ndarray, np.ndarray], most: int
) -> np.ndarray:
    """Say which propensities are correlated given what is seen, for each pattern: (G, K) of 0 to 3.

    They are those that are asked for and read an unseen column, where several do: the unseen columns are correlated. 2
    says that they read random terms alone, and are independent given one or two numbers; 3 that they are too many, and
    the unseen values are sampled.

    Parameters
    ----------
    reading, sign, seen : (K, p), (G, K), (G, p) arrays
        The columns that each depends on, and as in `likelihood.loglik_and_gradient`.
    kinds : three (K,) arrays of bool
        Whether it reads random terms, is a logit, is a limit.
    most : int
        How many are integrated.
    """
    hidden, logit, limited = kinds
    unseen = (sign != 0) & (~seen[:, None, :].astype(bool) & reading).any(axis=2)
    together = unseen & (unseen.sum(axis=1, keepdims=True) > 1)
    many = too_many(together & ~hidden, logit, limited, most)
    return np.where(together, np.where(hidden, 2, np.where(many[:, None], 3, 1)), 0).astype(np.int64)


def crowded_rows(arrays: tuple[np.ndarray, ...], reads: np.ndarray) -> tuple[np.ndarray, ...] | None:
    """Take the patterns that `joint` marks by 3 out of the kernel's arrays, None where there are none.

    `reads` (K, p) says which columns each propensity depends on.
    """
    _, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint = arrays
    these = np.flatnonzero((joint == 3).any(axis=1))
    if not len(these):
        return None
    rows = np.concatenate([np.arange(start[g], start[g + 1]) for g in these])
    code = seen[these].copy()
    for at, g in enumerate(these):
        read = reads[joint[g] == 3].any(axis=0)
        code[at, read & (seen[g] == 0)] = 2
    starts = np.concatenate([[0], np.cumsum(start[these + 1] - start[these])])
    signs = np.where(joint[these] == 3, sign[these], 0.0)
    width = x.shape[1] + y.shape[1]
    none = np.zeros((len(these), width, width))
    kept = none, code, group[these], starts, signs, x[rows], y[rows], w[rows], w_start, weights, slopes, sizes
    return (*kept, np.zeros_like(joint[these]))


def deviations(crowd: tuple[np.ndarray, ...]) -> int:
    """Count the sampled deviations."""
    _, code, _, start, *_ = crowd
    return int(((code == 2).sum(axis=1) * np.diff(start)).sum())
