"""EM's map for selection models: truncated normal moments, then least squares of y on x and of z on (w, y).

Given the sign of its propensity z ~ N(η, 1 / s²), s the slope of a component of the link (probit: one, s = 1), (y_m, z)
has closed moments; the M-step for the indicator is least squares weighted by s². The unit variance of z's error is
restored by parameter expansion (Liu, Rubin & Wu 1998), which keeps EM monotone and makes it quicker.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from mnarkit.em.loop import Step
from mnarkit.em.objective import Coefficients, Objective
from mnarkit.normal.parameters import Parameters

__all__ = ["selection_map"]


@dataclass(frozen=True, slots=True, eq=False)
class _Signed:
    """z and y_m of the rows of a pattern given the sign of z, by component of the link.

    Attributes
    ----------
    share, mean, var : (rows, J) arrays
        Posterior weights of the components, and E[z] and Var(z) in each.
    gain, total : (m, J), (J,) arrays
        The regression of y_m on z, and Var z before its sign is known.
    """

    share: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    gain: np.ndarray
    total: np.ndarray


@dataclass(slots=True, eq=False)
class _Products:
    """Σ E[s² h h'], Σ E[s² h z], Σ E[s² z²] of one indicator, h = (w, y in its formula)."""

    hh: np.ndarray
    hz: np.ndarray
    zz: float = 0.0


def selection_map(objective: Objective) -> Callable[[np.ndarray], Step]:
    """EM's map of θ for selection models with one slope for all rows, without amounts inside the likelihood."""
    _, _, _, start, sign, x, y, w, w_start, weights, slopes, sizes, _ = objective.rows.arrays
    seen = objective.rows.patterns.seen
    xx = x.T @ x

    def step(theta: np.ndarray) -> Step:
        par = objective.parameters(theta)
        mean = x @ par.coef.T
        yx, yy = np.zeros(par.coef.shape), np.zeros(par.cov.shape)
        products = [_Products(np.zeros((len(b), len(b))), np.zeros(len(b))) for b in par.indicators]
        for g, mask in enumerate(seen):
            o, m, here = np.flatnonzero(mask), np.flatnonzero(~mask), slice(start[g], start[g + 1])
            full, rest = _given_seen(y[here], mean[here], par.cov, o, m)
            moved = full
            spread = np.zeros(par.cov.shape)
            spread[np.ix_(m, m)] = len(full) * rest
            for k, indicator in enumerate(objective.standard.indicators):
                own = w[here, w_start[k] : w_start[k + 1]]
                at = np.array(indicator.slopes, dtype=int)
                beta, r = par.indicators[k], own.shape[1]
                on_unseen = np.zeros(len(par.cov))
                on_unseen[at] = beta[r:]
                u = own @ beta[:r] + full[:, at] @ beta[r:]
                link = weights[k, : sizes[k]], slopes[k, : sizes[k]]
                signed = _given_sign(u, on_unseen[m], rest, sign[g, k], *link)
                _add(products[k], signed, u, own, full, rest, m, at, link[1])
                if np.isin(at, m).any():
                    pull = (signed.share * (signed.mean - u[:, None])) @ signed.gain.T
                    moved = full.copy()
                    moved[:, m] += pull
                    spread[np.ix_(m, m)] += _spread(signed, u) - pull.T @ pull
            yx += moved.T @ x[here]
            yy += moved.T @ moved + spread
        coef = np.linalg.solve(xx, yx.T).T
        cov = (yy - coef @ yx.T) / len(x)
        betas = [_coefficients(one, found, len(x)) for one, found in zip(objective.indicators, products, strict=True)]
        after = Parameters(coef, (cov + cov.T) / 2, betas, par.rho, par.amounts)
        return Step(objective.theta(after), objective.loglik(theta))

    return step


def _given_seen(
    y: np.ndarray, mean: np.ndarray, cov: np.ndarray, o: np.ndarray, m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows filled with E[y_m | y_o], and Var(y_m | y_o)."""
    slope = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)]).T
    full = y.copy()
    full[:, m] = mean[:, m] + (y[:, o] - mean[:, o]) @ slope.T
    return full, cov[np.ix_(m, m)] - slope @ cov[np.ix_(o, m)]


def _given_sign(
    u: np.ndarray, a: np.ndarray, rest: np.ndarray, sign: float, weights: np.ndarray, slopes: np.ndarray
) -> _Signed:
    total = 1 / slopes**2 + a @ rest @ a
    sd = np.sqrt(total)
    toward = sign * u[:, None] / sd
    part = np.log(weights) + log_ndtr(toward)
    share = np.exp(part - part.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    mills = np.exp(-0.5 * toward**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(toward))
    var = total * np.maximum(1 - mills * (mills + toward), 0.0)
    return _Signed(share, u[:, None] + sign * sd * mills, var, np.outer(rest @ a, 1 / total), total)


def _spread(signed: _Signed, u: np.ndarray) -> np.ndarray:
    """Σ E[(y_m - full)(y_m - full)'] beyond Var(y_m | y_o), from z's sign."""
    size = signed.share * ((signed.mean - u[:, None]) ** 2 + signed.var - signed.total)
    return (signed.gain * size.sum(axis=0)) @ signed.gain.T


def _add(
    products: _Products,
    signed: _Signed,
    u: np.ndarray,
    own: np.ndarray,
    full: np.ndarray,
    rest: np.ndarray,
    m: np.ndarray,
    at: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """Add a pattern's rows to the products of one indicator."""
    r = own.shape[1]
    inside = np.array([np.flatnonzero(m == j)[0] if j in m else -1 for j in at], dtype=int)
    unseen = np.flatnonzero(inside >= 0)
    for j, slope in enumerate(slopes):
        weight = slope**2 * signed.share[:, j]
        away = signed.mean[:, j] - u
        h = np.hstack([own, full[:, at]])
        gain = signed.gain[inside[unseen], j]
        h[:, r + unseen] += np.outer(away, gain)
        products.hh += h.T @ (weight[:, None] * h)
        products.hz += h.T @ (weight * signed.mean[:, j])
        products.zz += float(weight @ (signed.mean[:, j] ** 2 + signed.var[:, j]))
        if len(unseen):
            block = rest[np.ix_(inside[unseen], inside[unseen])]
            less = weight @ (signed.total[j] - signed.var[:, j])
            products.hh[np.ix_(r + unseen, r + unseen)] += weight.sum() * block - less * np.outer(gain, gain)
            products.hz[r + unseen] += gain * (weight @ signed.var[:, j])


def _coefficients(one: Coefficients, products: _Products, n: int) -> np.ndarray:
    """Weighted least squares of z on h over the free coefficients, the error's variance divided out if all are."""
    a, b = one.free_map, one.fixed
    free = np.linalg.solve(a.T @ products.hh @ a, a.T @ (products.hz - products.hh @ b))
    beta = a @ free + b
    if a.shape[1] < a.shape[0]:
        return beta
    return beta / np.sqrt((products.zz - beta @ products.hz) / n)
