"""Whether a design is of full rank, and which column others determine."""

import numpy as np

from mnarkit.errors import DataError
from mnarkit.formula import Design

__all__ = ["full_rank"]


def full_rank(matrix: np.ndarray, built: Design, what: str, which: str = "") -> None:
    """Name the first column that the ones before it determine, and those of them that do."""
    for coding in built.codings.values():
        if len(coding.levels) == 1 and "Intercept" in built.names:
            level = f"{coding.levels[0]!r} in all {len(matrix)} rows"
            raise DataError(f"{coding.column!r} among {what} is constant, {level}; leave it out")
    x = matrix / np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)
    for j, name in enumerate(built.names):
        if name != "Intercept" and np.ptp(matrix[:, j]) == 0 and "Intercept" in built.names:
            raise DataError(f"{name!r} among {what} is constant in all {len(x)} rows{which}; leave it out")
    if np.linalg.matrix_rank(x) == x.shape[1]:
        return
    j = next(j for j in range(1, x.shape[1] + 1) if np.linalg.matrix_rank(x[:, :j]) < j) - 1
    share = np.abs(np.linalg.lstsq(x[:, :j], x[:, j])[0])
    with_it = ", ".join(repr(name) for name, s in zip(built.names, share, strict=False) if s > 1e-8 * share.max())
    raise DataError(
        f"{built.names[j]!r} among {what} is perfectly collinear with {with_it} in all {len(x)} rows{which}; "
        "leave one out"
    )
