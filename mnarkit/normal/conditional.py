"""What is unseen given what is seen: moments, and exact independent draws."""

from collections.abc import Callable
from typing import Any

import lazy_loader
import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from mnarkit.normal.layout import KernelData
from mnarkit.normal.limits import BETWEEN
from mnarkit.normal.patterns import group_rows

__all__ = ["conditional_mean", "draw_unseen", "expected_unseen", "truncated_normal"]

# Numba takes a second to import; it is needed where propensities of a row are correlated
_kernel: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.normal",
    submod_attrs={
        "orthants": ["mean_slopes", "pair_weights", "quantile_given_below"],
        "crowded": ["draw_by_rejection"],
        "lattice": ["all_mean_slopes", "draw_all"],
        "rectangles": ["draw_rectangles", "draws_between", "rectangle_slopes"],
        "signs": ["between_slopes"],
        "factors": ["draw_factors", "factor_mean_slopes", "roots"],
    },
)[0]


def conditional_mean(
    y: np.ndarray, mean: np.ndarray, covs: np.ndarray, arm: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """E[y | y_seen] and the diagonal of Var(y | y_seen), both (n, p), for y_i ~ N(mean_i, cov); NaN is unseen.

    The covariance is one, (p, p), or that of the row's arm, (levels, p, p).
    """
    full, variance = y.copy(), np.zeros(y.shape)
    patterns = group_rows(~np.isnan(y), arm)
    for g, seen in enumerate(patterns.seen):
        o, m, rows = np.flatnonzero(seen), np.flatnonzero(~seen), patterns.rows(g)
        cov = covs if arm is None else covs[patterns.group[g]]
        slope = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)]).T
        gap = y[np.ix_(rows, o)] - mean[np.ix_(rows, o)]
        full[np.ix_(rows, m)] = mean[np.ix_(rows, m)] + gap @ slope.T
        variance[np.ix_(rows, m)] = np.diag(cov[np.ix_(m, m)] - slope @ cov[np.ix_(o, m)])
    return full, variance


def truncated_normal(
    mean: np.ndarray, sd: np.ndarray | float, sign: np.ndarray | float, uniform: np.ndarray
) -> np.ndarray:
    """Draws of z ~ N(mean, sd²) given sign·z > 0, by inversion in logs: exact in either tail.

    Parameters
    ----------
    mean, sd, sign : arrays
        Broadcast against `uniform`; sign is +1 or -1.
    uniform : array
        Uniform draws in (0, 1).
    """
    toward = sign * mean / sd
    below = -ndtri_exp(np.log(uniform) + log_ndtr(toward))  # standard normal above -toward
    return mean + sign * sd * np.where(below > -toward, below, -toward)


def draw_unseen(
    arguments: tuple[np.ndarray, ...], data: KernelData, y: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw y_m ~ p(y_m | y_o, r, θ) for every row: the completed (n, p) table.

    Parameters
    ----------
    arguments : tuple
        (B, S, A, D, c, t) of `likelihood.loglik_and_gradient`.
    data : KernelData
        Of all rows.
    y : (n, p) array
        NaN where unseen; without random terms, which the kernel has as columns after these.
    rng : numpy Generator
        Consumed in the same amount whatever the values are.
    """
    coef, covs, on_y, on_x, own, var = arguments
    _, seen, group, start, sign, x, _, w, w_start, weights, slopes, sizes, joint = data.arrays
    wide = y.shape[1]
    out, mean = _with_random_terms(y, seen), x @ coef.T
    noise = rng.standard_normal(out.shape)
    uniform = rng.random((len(y), 2 * len(sizes))) if len(sizes) else np.empty((len(y), 0))
    error = rng.standard_normal((len(y), len(sizes)))
    for g, mask in enumerate(seen.astype(bool)):
        o, m, rows = np.flatnonzero(mask), np.flatnonzero(~mask), data.patterns.rows(g)
        if not len(m):
            continue
        here = slice(start[g], start[g + 1])
        cov = covs[group[g]]
        slope = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)]).T
        rest = cov[np.ix_(m, m)] - slope @ cov[np.ix_(o, m)]
        full = out[rows]
        full[:, m] = mean[here][:, m] + (full[:, o] - mean[here][:, o]) @ slope.T
        root = _root(rest)
        deviation = noise[rows][:, m] @ root.T
        these = np.flatnonzero(joint[g])
        if len(these) and joint[g, these[0]] == 2:
            u = _means(these, full, x[here], w[here], arguments, w_start)
            shared = u, on_y[np.ix_(these, m)], rest, var[these], sign[g, these], sizes[these] > 1
            deviation += _given_factors(deviation, shared, rng.spawn(1)[0])
        elif len(these) and joint[g, these[0]] == 3:
            u = _means(these, full, x[here], w[here], arguments, w_start)
            link = weights[these], slopes[these], sizes[these]
            signs = on_y[np.ix_(these, m)], root, var[these], sign[g, these], *link
            deviation = _kernel("draw_by_rejection")(u, *signs, rng.spawn(1)[0]) @ root.T
        elif BETWEEN in sign[g, these]:
            u = _means(these, full, x[here], w[here], arguments, w_start)
            link = weights[these], slopes[these], sizes[these]
            together = u, on_y[np.ix_(these, m)], rest, var[these], sign[g, these], link
            width = w[here][:, w_start[these + 1] - 1]
            deviation += _given_between(deviation, together, width, error[np.ix_(rows, these)], rng.spawn(1)[0])
        elif len(these) > 2:
            u = _means(these, full, x[here], w[here], arguments, w_start)
            together = u, on_y[np.ix_(these, m)], rest, var[these], sign[g, these]
            deviation += _given_all(deviation, together, error[np.ix_(rows, these)], rng.spawn(1)[0])
        elif len(these):
            u = _means(these, full, x[here], w[here], arguments, w_start)
            pair = (
                u,
                on_y[np.ix_(these, m)],
                rest,
                var[these],
                sign[g, these],
                (weights[these], slopes[these], sizes[these]),
            )
            levels = uniform[np.ix_(rows, 2 * these + 1)]
            deviation += _given_both(deviation, pair, uniform[rows, 2 * these[0]], levels, error[np.ix_(rows, these)])
        for k in _alone(on_y[:, m], sign[g], these):
            columns = slice(w_start[k], w_start[k + 1])
            u = full @ on_y[k] + x[here] @ on_x[k] + w[here, columns] @ own[columns]
            link = weights[k, : sizes[k]], slopes[k, : sizes[k]]
            propensity = u, on_y[k, m], rest, var[k], sign[g, k], link
            if sign[g, k] == BETWEEN:
                width = w[here, w_start[k + 1] - 1]
                deviation += _given_width(deviation, propensity, width, uniform[rows, 2 * k + 1])
                continue
            deviation += _given_sign(
                deviation, propensity, uniform[rows, 2 * k], uniform[rows, 2 * k + 1], error[rows, k]
            )
        full[:, m] += deviation
        for k, j in enumerate(data.limited, start=len(sizes) - len(data.limited)):
            full[:, j] = _inside(full[:, j], sign[g, k], w[here, w_start[k]], w[here, w_start[k] + 1])
        out[np.ix_(rows, m)] = full[:, m]
    return out[:, :wide]


def _inside(y: np.ndarray, sign: float, limit: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Keep draws within their limits, which rounding alone can leave."""
    if sign == 0:
        return y
    low = limit - width if sign == BETWEEN else limit if sign < 0 else -np.inf
    return np.clip(y, low, limit if sign > 0 else np.inf)


def expected_unseen(arguments: tuple[np.ndarray, ...], data: KernelData, y: np.ndarray) -> np.ndarray:
    """E[y | y_o, r, θ] of every row, (n, p); arguments as in `draw_unseen`."""
    coef, covs, on_y, on_x, own, var = arguments
    _, seen, group, start, sign, x, _, w, w_start, weights, slopes, sizes, joint = data.arrays
    out, mean = _with_random_terms(y, seen), x @ coef.T
    for g, mask in enumerate(seen.astype(bool)):
        o, m, rows = np.flatnonzero(mask), np.flatnonzero(~mask), data.patterns.rows(g)
        if not len(m):
            continue
        here = slice(start[g], start[g + 1])
        cov = covs[group[g]]
        slope = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)]).T
        rest = cov[np.ix_(m, m)] - slope @ cov[np.ix_(o, m)]
        full = out[rows]
        full[:, m] = mean[here][:, m] + (full[:, o] - mean[here][:, o]) @ slope.T
        moved = np.zeros((len(rows), len(m)))
        these = np.flatnonzero(joint[g])
        if len(these):
            u, a = _means(these, full, x[here], w[here], arguments, w_start), on_y[np.ix_(these, m)]
            links = weights[these], slopes[these], sizes[these]
            inner = a @ rest @ a.T
            if joint[g, these[0]] == 2:
                on_mean = _kernel("factor_mean_slopes")(u, inner, var[these], sign[g, these], sizes[these] > 1)
            elif BETWEEN in sign[g, these]:
                width = w[here][:, w_start[these + 1] - 1]
                on_mean = _kernel("rectangle_slopes")(u, width, inner, var[these], sign[g, these], *links)
            elif len(these) > 2:
                on_mean = _kernel("all_mean_slopes")(u, inner, var[these], sign[g, these])
            else:
                on_mean = _kernel("mean_slopes")(u, np.diag(inner), inner[0, 1], var[these], sign[g, these], *links)
            moved = on_mean @ a @ rest
        for k in _alone(on_y[:, m], sign[g], these):
            u = (
                full @ on_y[k]
                + x[here] @ on_x[k]
                + w[here, w_start[k] : w_start[k + 1]] @ own[w_start[k] : w_start[k + 1]]
            )
            a = on_y[k, m]
            if sign[g, k] == BETWEEN:
                moved += np.outer(_kernel("between_slopes")(u, w[here, w_start[k + 1] - 1], a @ rest @ a), rest @ a)
                continue
            moved += np.outer(
                _pull(u, a @ rest @ a, var[k], sign[g, k], weights[k, : sizes[k]], slopes[k, : sizes[k]]), rest @ a
            )
        out[np.ix_(rows, m)] = full[:, m] + moved
    return out[:, : y.shape[1]]


def _with_random_terms(y: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Copy y (n, p), with a column that nobody sees for each random term that the kernel has."""
    return np.hstack([y, np.full((len(y), seen.shape[1] - y.shape[1]), np.nan)])


def _alone(on_unseen: np.ndarray, sign: np.ndarray, these: np.ndarray) -> list[int]:
    """Find the propensities that read unseen values, without those that are taken together."""
    return [int(k) for k in np.flatnonzero(np.any(on_unseen != 0, axis=1) & (sign != 0)) if k not in these]


def _means(
    these: np.ndarray,
    full: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    arguments: tuple[np.ndarray, ...],
    w_start: np.ndarray,
) -> np.ndarray:
    """Means of these propensities given what is seen, (rows, d)."""
    _, _, on_y, on_x, own, _ = arguments
    own_part = [w[:, w_start[k] : w_start[k + 1]] @ own[w_start[k] : w_start[k + 1]] for k in these]
    return full @ on_y[these].T + x @ on_x[these].T + np.column_stack(own_part)


def _pull(u: np.ndarray, v: float, t: float, sign: float, weights: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """E[(z - u) / Var z | sign of z], over the components of the link: sign φ/Φ(sign u / s) / s."""
    spread = np.sqrt(t / slopes**2 + v)
    toward = sign * u[:, None] / spread
    part = np.log(weights) + log_ndtr(toward)
    share = np.exp(part - part.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    mills = np.exp(-0.5 * toward**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(toward))
    return sign * (share * mills / spread).sum(axis=1)


def _given_sign(
    deviation: np.ndarray, propensity: tuple, pick: np.ndarray, level: np.ndarray, error: np.ndarray
) -> np.ndarray:
    """Correct a free draw of y_m - E y_m to one given the sign of its propensity: what to add (Matheron's rule)."""
    u, a, rest, t, sign, (weights, slopes) = propensity
    v = a @ rest @ a
    spread = np.sqrt(t / slopes**2 + v)  # of each component of the link
    part = np.log(weights) + log_ndtr(sign * u[:, None] / spread)
    share = np.exp(part - part.max(axis=1, keepdims=True)).cumsum(axis=1)
    component = (share < pick[:, None] * share[:, -1:]).sum(axis=1)
    z = truncated_normal(u, spread[component], sign, level)
    free = u + deviation @ a + np.sqrt(t) / slopes[component] * error
    return np.outer((z - free) / spread[component] ** 2, rest @ a)


def _given_both(
    deviation: np.ndarray, pair: tuple, pick: np.ndarray, level: np.ndarray, error: np.ndarray
) -> np.ndarray:
    """`_given_sign` for two propensities: the first by inversion given both signs, the second given the first."""
    u, a, rest, t, sign, (weights, slopes, sizes) = pair
    inner = a @ rest @ a.T
    c = inner[0, 1]
    part = _kernel("pair_weights")(u, np.diag(inner), c, t, sign, weights, slopes, sizes)
    share = np.exp(part - part.max(axis=1, keepdims=True)).cumsum(axis=1)
    component = np.divmod((share < pick[:, None] * share[:, -1:]).sum(axis=1), sizes[1])
    noise = t / np.column_stack([slopes[i, component[i]] for i in (0, 1)]) ** 2
    total = noise + np.diag(inner)
    toward = sign * u / np.sqrt(total)
    corr = sign[0] * sign[1] * c / np.sqrt(total[:, 0] * total[:, 1])
    first = -_kernel("quantile_given_below")(level[:, 0], toward[:, 0], toward[:, 1], corr)
    first = u[:, 0] + sign[0] * np.sqrt(total[:, 0]) * first
    mean = u[:, 1] + c / total[:, 0] * (first - u[:, 0])
    left = np.maximum(total[:, 1] - c**2 / total[:, 0], noise[:, 1])  # rounding where both nearly are one
    second = truncated_normal(mean, np.sqrt(left), sign[1], level[:, 1])
    gap = np.column_stack([first, second]) - u - deviation @ a.T - np.sqrt(noise) * error
    on_second = (gap[:, 1] - c / total[:, 0] * gap[:, 0]) / left
    on_first = (gap[:, 0] - c * on_second) / total[:, 0]
    return np.column_stack([on_first, on_second]) @ a @ rest


def _given_width(deviation: np.ndarray, propensity: tuple, width: np.ndarray, level: np.ndarray) -> np.ndarray:
    """`_given_sign` where an interval is known, 0 < z < width."""
    u, a, rest, *_ = propensity
    v = a @ rest @ a
    z = _kernel("draws_between")(u, np.sqrt(v), width, np.maximum(level, 1e-300))
    return np.outer((z - u - deviation @ a) / v, rest @ a)


def _given_between(
    deviation: np.ndarray, together: tuple, width: np.ndarray, error: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """`_given_all` where intervals are among what is known, with any links."""
    u, a, rest, t, sign, (weights, slopes, sizes) = together
    inner = a @ rest @ a.T
    z, noise = _kernel("draw_rectangles")(u, width, inner, t, sign, weights, slopes, sizes, rng)
    gap = z - u - deviation @ a.T - np.sqrt(noise) * error
    total = inner + np.eye(len(t)) * noise[:, None, :]
    return np.linalg.solve(total, gap[:, :, None])[:, :, 0] @ a @ rest


def _given_all(deviation: np.ndarray, together: tuple, error: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`_given_sign` for three and more propensities with probit links, by a stream of random numbers of their own."""
    u, a, rest, t, sign = together
    inner = a @ rest @ a.T
    gap = _kernel("draw_all")(u, inner, t, sign, rng) - u - deviation @ a.T - np.sqrt(t) * error
    return np.linalg.solve(inner + np.diag(t), gap.T).T @ a @ rest


def _given_factors(deviation: np.ndarray, shared: tuple, rng: np.random.Generator) -> np.ndarray:
    """`_given_sign` for propensities that read random terms alone: the factors given the signs, then the rest."""
    u, a, rest, t, sign, logistic = shared
    loading, rank = _kernel("roots")(a @ rest @ a.T)
    if not rank:
        return np.zeros(deviation.shape)
    factor = np.linalg.pinv(loading[:, :rank]) @ a  # the factors are linear in the unseen values: (rank, m)
    drawn = _kernel("draw_factors")(u, a @ rest @ a.T, t, sign, logistic, rng)[:, :rank]
    return (drawn - deviation @ factor.T) @ (factor @ rest)


def _root(cov: np.ndarray) -> np.ndarray:
    """R with R R' = cov, which may be singular."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0.0))
