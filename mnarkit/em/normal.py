"""EM for the multivariate normal, and normal regression, under MAR: the map, and the loop over it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnarkit.em.loop import Criterion, Path, Step, iterate
from mnarkit.em.penalty import Penalty
from mnarkit.em.start import Point, Scaled, available, to_standard
from mnarkit.em.units import Units
from mnarkit.normal.expectation import expected_products
from mnarkit.normal.moments import Moments

__all__ = ["MARPath", "mar_path", "mar_start", "unpack"]

_EPSILON = np.finfo(float).eps
_NEGATIVE = -1e-8  # an eigenvalue of the correlations below this is no rounding: the point is outside the space


@dataclass(frozen=True, slots=True, eq=False)
class MARPath:
    """The loop's path over θ = (coef, lower triangle of cov), standardised, and what was left out at its end.

    Attributes
    ----------
    left_out : (G, p) bool array
        Seen columns that others determine, by pattern: left out of the likelihood there.
    """

    path: Path
    left_out: np.ndarray


def mar_path(
    moments: Moments,
    start: Point,
    penalty: Penalty,
    *,
    tol: float,
    max_iter: int,
    criterion: Criterion = "parameter",
    accelerate: bool = True,
    watch: Callable[[int, float, float], None] = lambda iteration, objective, change: None,
) -> MARPath:
    """Maximise log f(y_seen | B, Σ) + log p(Σ) from a start, on standardised columns."""
    p, q = len(moments.columns), len(moments.terms)
    xx = moments.products()[:q, :q]
    left_out = np.zeros(moments.seen.shape, dtype=bool)

    def step(theta: np.ndarray) -> Step:
        nonlocal left_out
        coef, cov = unpack(theta, p, q)
        smallest = _smallest(cov)
        yx, yy, loglik, left = expected_products(coef, cov, moments)
        coef_after = np.linalg.solve(xx, yx.T).T
        cov_after = (yy - coef_after @ yx.T + penalty.scatter) / (moments.n + penalty.weight)
        left_out = left
        after = pack(coef_after, (cov_after + cov_after.T) / 2)
        rounding = _EPSILON * moments.n * p / max(smallest, _EPSILON)
        regime = left.tobytes() if left.any() else None
        return Step(after, loglik + penalty.log_density(cov), regime, rounding)

    path = iterate(
        step,
        pack(*start),
        tol=tol,
        max_iter=max_iter,
        accelerate=accelerate,
        criterion=criterion,
        watch=watch,
    )
    return MARPath(path, left_out)


def mar_start(moments: Moments, scaled: Scaled) -> Point | None:
    """Take (coef, cov) near the MAR maximum on columns standardised as `scaled`, for other engines to start at.

    None where the data determine some columns by others.
    """
    p, q = len(moments.columns), len(moments.terms)
    none = Penalty(0.0, np.zeros((p, p)))
    found = mar_path(moments, available(moments), none, tol=1e-4, max_iter=500)
    if found.left_out.any():
        return None
    coef, cov = unpack(Units.of(moments).own(found.path.points[-1]), p, q)
    return to_standard(coef, cov, moments.terms, scaled)


def pack(coef: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Lay coefficients and the lower triangle of the covariance in one vector."""
    return np.concatenate([coef.ravel(), cov[np.tril_indices(len(cov))]])


def unpack(theta: np.ndarray, p: int, q: int) -> Point:
    """Undo `pack`."""
    cov = np.zeros((p, p))
    cov[np.tril_indices(p)] = theta[p * q :]
    return theta[: p * q].reshape(p, q), cov + np.tril(cov, -1).T


def _smallest(cov: np.ndarray) -> float:
    """Smallest eigenvalue of the correlations, refused where the covariance is none."""
    variance = np.diag(cov)
    if not np.all(variance > 0):
        raise np.linalg.LinAlgError("a variance is not positive")
    smallest = float(np.linalg.eigvalsh(cov / np.sqrt(np.outer(variance, variance)))[0])
    if smallest < _NEGATIVE:
        raise np.linalg.LinAlgError("the covariance is not positive definite")
    return smallest
