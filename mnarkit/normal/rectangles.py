"""P(signs and intervals) of propensities of a row that are correlated given what is seen: moments and draws.

An interval 0 < z < width (sign 2) is one sign less another; which two is chosen so that neither is near 1.
"""

import math

import numba
import numpy as np

from mnarkit.normal.lattice import log_all_signs, quantile_of_log
from mnarkit.normal.orthants import log_two_signs
from mnarkit.normal.signs import log_between, log_normal_cdf

__all__ = ["draw_rectangles", "draws_between", "log_rectangle", "rectangle_slopes"]

_TRIES = 1_000_000  # as in `lattice.draw_all`


@numba.njit(cache=True, error_model="numpy")
def log_orthant(u, C, t, sign, weights, slopes, sizes, g_u, g_C, g_t):
    """Log P(all signs), and its derivatives in u, in C (above and on the diagonal) and in t."""
    if len(u) > 2:
        return log_all_signs(u, C, t, sign, g_u, g_C, g_t)
    out = np.empty(7)
    value = log_two_signs(u, np.diag(C), C[0, 1], t, sign, weights, slopes, sizes, out)
    g_u[0], g_u[1] = out[0], out[1]
    g_C[0, 0], g_C[1, 1], g_C[0, 1] = out[2], out[3], out[4]
    g_t[0], g_t[1] = out[5], out[6]
    return value


@numba.njit(cache=True, error_model="numpy")
def log_rectangle(u, width, C, t, sign, weights, slopes, sizes, g_u, g_C, g_t):
    """`log_orthant` where some signs are 2: an interval, 0 < z < width."""
    between = np.flatnonzero(sign == 2.0)
    if not len(between):
        return log_orthant(u, C, t, sign, weights, slopes, sizes, g_u, g_C, g_t)
    d, terms = len(u), 2 ** len(between)
    values, share = np.empty(terms), np.empty(terms)
    each_u, each_C, each_t = np.empty((terms, d)), np.empty((terms, d, d)), np.empty((terms, d))
    for i in range(terms):
        at, way, share[i] = u.copy(), sign.copy(), 1.0
        for bit in range(len(between)):
            j, less = between[bit], (i >> bit) & 1
            below = 2.0 * u[j] > width[j]  # z below an end, or above it: whichever is the smaller
            way[j] = -1.0 if below else 1.0
            share[i] *= -1.0 if less else 1.0
            if below != bool(less):
                at[j] -= width[j]
        values[i] = log_orthant(at, C, t, way, weights, slopes, sizes, each_u[i], each_C[i], each_t[i])
    top = values.max()
    share *= np.exp(values - top)
    total = max(share.sum(), 1e-300)
    g_u[:], g_C[:], g_t[:] = 0.0, 0.0, 0.0
    for i in range(terms):
        for j in range(d):
            g_u[j] += share[i] / total * each_u[i, j]
            g_t[j] += share[i] / total * each_t[i, j]
            for k in range(j, d):
                g_C[j, k] += share[i] / total * each_C[i, j, k]
    return top + math.log(total)


@numba.njit(cache=True, error_model="numpy")
def rectangle_slopes(u, width, C, t, sign, weights, slopes, sizes):
    """∂ log P / ∂u of every row of u, (n, d): Var(z)⁻¹ (E[z | signs and intervals] - u)."""
    d = u.shape[1]
    made, g_C, g_t = np.empty(u.shape), np.empty((d, d)), np.empty(d)
    for row in range(len(u)):
        log_rectangle(u[row], width[row], C, t, sign, weights, slopes, sizes, made[row], g_C, g_t)
    return made


@numba.njit(cache=True, error_model="numpy")
def draw_between(mean, sd, width, sign, uniform):
    """Draw z ~ N(mean, sd²) given its sign, or 0 < z < width, by inversion; the draw and the log probability."""
    if sign != 2.0:
        value = log_normal_cdf(sign * mean / sd)[0]
        return mean - sign * sd * quantile_of_log(math.log(uniform) + value), value
    value = log_between(mean, width, sd * sd)[0]
    way = 1.0 if 2.0 * mean > width else -1.0
    near = -mean / sd if way > 0 else (mean - width) / sd  # the lower end, turned
    log_p = log_normal_cdf(near)[0]
    if value - log_p < 700.0:
        log_p += math.log1p(uniform * math.exp(value - log_p))
    else:
        log_p = math.log(uniform) + value
    return min(max(mean + way * sd * quantile_of_log(min(log_p, -1e-300)), 0.0), width), value


@numba.njit(cache=True, error_model="numpy")
def draws_between(mean, sd, width, uniform):
    """Draw z ~ N(mean, sd²) given 0 < z < width for every element of mean, width and uniform."""
    out = np.empty(len(mean))
    for row in range(len(mean)):
        out[row] = draw_between(mean[row], sd, width[row], 2.0, uniform[row])[0]
    return out


@numba.njit(cache=True, error_model="numpy")
def draw_rectangles(u, width, C, t, sign, weights, slopes, sizes, rng):
    """Draw z ~ N(u, C + t / s²) given signs and intervals, for every row of u (n, d), with its t / s²: by rejection.

    Each is proposed given those before it, the intervals first, and all are kept with the probability of what follows.
    """
    n, d = u.shape
    first = np.argsort(-sign)  # intervals first
    made, noise = np.empty((n, d)), np.empty((n, d))
    cov, L = np.empty((d, d)), np.empty((d, d))
    y = np.empty(d)
    for row in range(n):
        for _ in range(_TRIES):
            for j in range(d):
                noise[row, j] = t[j] / slopes[j, drawn_component(weights[j], sizes[j], rng)] ** 2
            for a in range(d):
                for b in range(d):
                    cov[a, b] = C[first[a], first[b]] + (noise[row, first[a]] if a == b else 0.0)
            L[:] = np.linalg.cholesky(cov)
            log_kept = 0.0
            for a in range(d):
                j, mean = first[a], u[row, first[a]]
                for b in range(a):
                    mean += L[a, b] * y[b]
                z, value = draw_between(mean, L[a, a], width[row, j], sign[j], max(rng.random(), 1e-300))
                y[a] = (z - mean) / L[a, a]
                made[row, j] = z
                log_kept += value if a or sign[j] != 2.0 else 0.0
            if math.log(max(rng.random(), 1e-300)) < log_kept:
                break
    return made, noise


@numba.njit(cache=True, error_model="numpy")
def drawn_component(weights, size, rng):
    """Draw a component of a link."""
    if size == 1:
        return 0
    left = rng.random() * weights[:size].sum()
    for j in range(size - 1):
        left -= weights[j]
        if left < 0:
            return j
    return size - 1
