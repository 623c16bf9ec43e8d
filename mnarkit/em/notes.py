"""Sentences on a MAR maximum: what the likelihood leaves open, and what was left out of it."""

import numpy as np

from mnarkit.normal.moments import Moments

__all__ = ["boundary", "dependent", "never_together"]

_SINGULAR = 1e-8  # smallest eigenvalue of the correlations at which the maximum lies on the boundary


def never_together(moments: Moments) -> list[tuple[str, str]]:
    """Pairs of columns that no row has both of: nothing tells their residual covariance given the others."""
    seen = moments.seen.astype(float)
    apart = np.argwhere(np.triu(seen.T @ seen == 0, 1))
    return [(moments.columns[j], moments.columns[k]) for j, k in apart]


def dependent(moments: Moments, cov: np.ndarray, left_out: np.ndarray) -> list[str]:
    """One sentence for every column that others determine where they are seen together."""
    said = []
    for j in np.flatnonzero(left_out.any(axis=0)):
        g = np.flatnonzero(left_out[:, j])[0]
        others = np.flatnonzero(moments.seen[g] & ~left_out[g])
        slope = np.linalg.lstsq(cov[np.ix_(others, others)], cov[others, j], rcond=1e-10)[0]
        size = np.abs(slope) * np.sqrt(np.diag(cov)[others])
        by = ", ".join(repr(moments.columns[k]) for k, s in zip(others, size, strict=True) if s > 1e-6 * size.max())
        rows = int(moments.count[left_out[:, j]].sum())
        said.append(
            f"{moments.columns[j]!r} is determined by {by}: it is left out of the likelihood of the {rows} rows where "
            "they are seen together, and the covariance is singular; leave one out, or use a prior"
        )
    return said


def boundary(moments: Moments, cov: np.ndarray) -> str | None:
    """Say that the maximum lies where the covariance is singular."""
    sd = np.sqrt(np.diag(cov))
    smallest = np.linalg.eigvalsh(cov / np.outer(sd, sd))[0]
    if smallest > _SINGULAR:
        return None
    return (
        f"the estimates lie on the boundary: the correlations of {', '.join(map(repr, moments.columns))} have an "
        f"eigenvalue of {max(smallest, 0.0):.1g}, and the likelihood may have no maximum inside; a prior, such as "
        "prior=mk.Ridge(1), has one"
    )
