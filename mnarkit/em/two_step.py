"""Heckman's two-step estimator: probit, inverse Mills ratio, least squares (Greene 2003, section 22.4.3)."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from mnarkit.errors import ConvergenceError
from mnarkit.normal.layout import Layout

__all__ = ["TwoStep", "two_step"]


@dataclass(frozen=True, slots=True, eq=False)
class TwoStep:
    """Estimates of one Heckman indicator's column, in the units of the layout.

    Attributes
    ----------
    coef, mills, sigma, rho : (q,) array, float, float, float
        The regression, the coefficient of the inverse Mills ratio, and σ and ρ = mills / σ, which may lie outside
        [-1, 1].
    selection : (r,) array
        Probit coefficients of being recorded.
    coef_cov, selection_cov : arrays
        Covariances of (coef, mills) and of the probit.
    """

    coef: np.ndarray
    mills: float
    sigma: float
    rho: float
    selection: np.ndarray
    coef_cov: np.ndarray
    selection_cov: np.ndarray


def two_step(layout: Layout, k: int = 0) -> TwoStep:
    """Fit the column of indicator k on the predictors of the data model."""
    indicator = layout.indicators[k]
    seen = layout.seen[:, indicator.column]
    w, x, y = indicator.w, layout.x[seen], layout.y[seen, indicator.column]
    gamma, gamma_cov = _probit(w, seen)
    index = w[seen] @ gamma
    mills = np.exp(-0.5 * index**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(index))
    delta = mills * (mills + index)
    z = np.column_stack([x, mills])
    beta, _, rank, _ = np.linalg.lstsq(z, y)
    if rank < z.shape[1]:
        raise ConvergenceError(
            f"the inverse Mills ratio of {layout.columns[indicator.column]!r} is collinear with its predictors; "
            "two-step needs a column that moves being recorded and is not among them"
        )
    residual = y - z @ beta
    sigma = np.sqrt(np.mean(residual**2) + beta[-1] ** 2 * delta.mean())
    rho = beta[-1] / sigma
    inverse = np.linalg.inv(z.T @ z)
    across = z.T @ (delta[:, None] * w[seen])
    middle = z.T @ ((1 - rho**2 * delta)[:, None] * z) + rho**2 * across @ gamma_cov @ across.T
    return TwoStep(
        beta[:-1], float(beta[-1]), float(sigma), float(rho), gamma, sigma**2 * inverse @ middle @ inverse, gamma_cov
    )


def _probit(w: np.ndarray, recorded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood by Newton's method, and the inverse observed information; log Φ is concave."""
    sign = np.where(recorded, 1.0, -1.0)
    gamma = np.zeros(w.shape[1])
    for _ in range(100):
        toward = sign * (w @ gamma)
        mills = np.exp(-0.5 * toward**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(toward))
        information = w.T @ ((mills * (mills + toward))[:, None] * w)
        try:
            step = np.linalg.solve(information, w.T @ (sign * mills))
        except np.linalg.LinAlgError:
            break
        largest = np.abs(w @ step).max()
        gamma = gamma + step * min(1.0, 2.0 / max(largest, 1e-300))
        if largest < 1e-10:
            return gamma, np.linalg.inv(information)
    raise ConvergenceError(
        "the probit of being recorded has no maximum: its predictors separate the rows; leave one out"
    )
