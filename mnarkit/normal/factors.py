"""Propensities of a row that move together by one or two common factors: their signs, integrated over the factors.

P = ∫ N(ξ; 0, I) Π_k F(sign_k (u_k + L_k'ξ) / √t_k) dξ, C = L L' of rank one or two, F the normal or logistic
distribution function (logistic: t = 1). Given the random terms of a growth curve, propensities that read nothing else
are independent, so this is exact however many there are, where an orthant of that dimension is not.

The integral is a sum over equally spaced points, which for a product of smooth functions that falls off as a normal
does converges faster than any power of the step (Trefethen & Weideman 2014, section 5): with steps of
1 / √(1 + tr L'L) it is good to 1e-7. ∂ log P / ∂C needs no derivative of L: it is E[F_j'/F_j F_k'/F_k] off the diagonal
and E[F_j''/F_j] / 2 on it, by the heat equation.
"""

import hashlib
import math
from pathlib import Path

import numba
import numpy as np

from mnarkit.normal.likelihood import KERNEL_KEY
from mnarkit.normal.link_tables import log_link

__all__ = ["FACTORS_KEY", "draw_factors", "factor_mean_slopes", "log_factor_signs", "roots"]

_STEP = 1.0  # of the sum, times √(1 + tr L'L): the relative error is about exp(-2π²)
_DEPTH = 20.0  # terms below exp(-20) of the largest are left out
_SMALL = 1e-10  # share of the variance below which a factor is none
_NEWTON = 12
_TRIES = 100_000
_MOST = 1e6  # points of the sum; a sampler in search of its step meets propensities so wide that there are many more


@numba.njit(cache=True, error_model="numpy", nogil=True)
def roots(C):
    """Give L (d, 2) with L L' = C, by pivoted Cholesky, and the number of factors; C has rank two at most."""
    d = len(C)
    L, rest = np.zeros((d, 2)), C.copy()
    least, rank = _SMALL * max(np.trace(C), 1e-300), 0
    for r in range(min(2, d)):
        at = np.argmax(np.diag(rest))
        if not rest[at, at] > least:
            break
        L[:, r] = rest[:, at] / math.sqrt(rest[at, at])
        for i in range(d):
            for j in range(d):
                rest[i, j] -= L[i, r] * L[j, r]
        rank += 1
    return L, rank


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_terms(u, L, e, t, sign, logistic, first, second):
    """Log Π F at the factors e, with each propensity's F'/F and F''/F as derivatives in u."""
    total = 0.0
    for k in range(len(u)):
        root = math.sqrt(t[k])
        value, one, two = log_link(sign[k] * (u[k] + L[k, 0] * e[0] + L[k, 1] * e[1]) / root, logistic[k])
        total += value
        first[k], second[k] = sign[k] * one / root, two / t[k]
    return total


@numba.njit(cache=True, error_model="numpy", nogil=True)
def mode_of(u, L, t, sign, logistic, e, hessian, first, second):
    """Fill e with the mode of N(e; 0, I) Π F, and hessian with that of minus its logarithm; Newton's steps from 0."""
    e[0], e[1] = 0.0, 0.0
    for _ in range(_NEWTON):
        log_terms(u, L, e, t, sign, logistic, first, second)
        g0, g1, a, b, c = -e[0], -e[1], 1.0, 0.0, 1.0
        for k in range(len(u)):
            bend = first[k] * first[k] - second[k]  # -(log F)''
            g0 += first[k] * L[k, 0]
            g1 += first[k] * L[k, 1]
            a += bend * L[k, 0] * L[k, 0]
            b += bend * L[k, 0] * L[k, 1]
            c += bend * L[k, 1] * L[k, 1]
        det = a * c - b * b
        s0, s1 = (c * g0 - b * g1) / det, (a * g1 - b * g0) / det
        size = math.sqrt(s0 * s0 + s1 * s1)
        short = min(1.0, 4.0 / size) if size > 0 else 1.0
        e[0] += short * s0
        e[1] += short * s1
        hessian[0], hessian[1], hessian[2] = a, b, c
        if size < 0.05:
            return


@numba.njit(cache=True, error_model="numpy", nogil=True)
def add_line(start, other, step, top, u, L, t, sign, logistic, first, second, e, g_u, g_C, g_t):
    """Add the terms of a line of points, outwards from its start; their total, and the largest logarithm."""
    d, total, highest = len(u), 0.0, -np.inf
    e[1] = other
    for side in (1.0, -1.0):
        e[0] = start if side > 0 else start - step
        while True:
            here = log_terms(u, L, e, t, sign, logistic, first, second) - 0.5 * (e[0] * e[0] + e[1] * e[1])
            highest = max(highest, here)
            share = math.exp(here - top)
            total += share
            for k in range(d):
                g_u[k] += share * first[k]
                g_C[k, k] += 0.5 * share * second[k]
                g_t[k] -= 0.5 * share * first[k] * (u[k] + L[k, 0] * e[0] + L[k, 1] * e[1]) / t[k]
                for i in range(k):
                    g_C[i, k] += share * first[i] * first[k]
            if not here > max(top, highest) - _DEPTH:
                break
            e[0] += side * step
    return total, highest


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_factor_signs(u, L, rank, t, sign, logistic, g_u, g_C, g_t):
    """Log P(all signs), and its derivatives in u, in C (at and above its diagonal) and in t.

    It is -inf where C is so large that the sum has more points, or terms, than can be added up.
    """
    d = len(u)
    e, at, hessian = np.zeros(2), np.zeros(2), np.zeros(3)
    first, second = np.empty(d), np.empty(d)
    g_u[:], g_C[:], g_t[:] = 0.0, 0.0, 0.0
    width = 1.0
    for k in range(d):
        width += L[k, 0] * L[k, 0] + L[k, 1] * L[k, 1]
    step = _STEP / math.sqrt(width)
    if (2.0 * math.sqrt(2.0 * _DEPTH) / step) ** rank > _MOST:
        return -np.inf
    if rank:
        mode_of(u, L, t, sign, logistic, at, hessian, first, second)
    top = log_terms(u, L, at, t, sign, logistic, first, second) - 0.5 * (at[0] * at[0] + at[1] * at[1])
    if rank == 2:
        total = 0.0
        for side in (1.0, -1.0):
            other = at[1] if side > 0 else at[1] - step
            while True:
                start = at[0] - hessian[1] / hessian[0] * (other - at[1])
                start = at[0] + step * round((start - at[0]) / step)
                part, highest = add_line(
                    start, other, step, top, u, L, t, sign, logistic, first, second, e, g_u, g_C, g_t
                )
                total += part
                if not highest > top - _DEPTH:
                    break
                other += side * step
        factor = step * step / (2.0 * math.pi)
    elif rank == 1:
        total, _ = add_line(at[0], 0.0, step, top, u, L, t, sign, logistic, first, second, e, g_u, g_C, g_t)
        factor = step / math.sqrt(2.0 * math.pi)
    else:
        total, factor = 1.0, 1.0
        for k in range(d):
            g_u[k], g_C[k, k], g_t[k] = first[k], 0.5 * second[k], -0.5 * first[k] * u[k] / t[k]
            for i in range(k):
                g_C[i, k] = first[i] * first[k]
    if not 0.0 < total < np.inf:
        g_u[:], g_C[:], g_t[:] = 0.0, 0.0, 0.0
        return -np.inf
    for k in range(d):
        g_u[k] /= total
        g_t[k] /= total
        for i in range(k + 1):
            g_C[i, k] /= total
    return top + math.log(total * factor)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def factor_mean_slopes(u, C, t, sign, logistic):
    """∂ log P(all signs) / ∂u of every row of u, (n, d)."""
    d = u.shape[1]
    L, rank = roots(C)
    made, g_C, g_t = np.empty(u.shape), np.empty((d, d)), np.empty(d)
    for row in range(len(u)):
        log_factor_signs(u[row], L, rank, t, sign, logistic, made[row], g_C, g_t)
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def draw_factors(u, C, t, sign, logistic, rng):
    """Draw ξ given all signs for every row of u (n, d), exactly: (n, 2), zero where there is no factor.

    log F is concave, so with its tangent at any point the target lies below a normal of unit variance: draws from that
    are kept with the probability that log F stands below the tangent.
    """
    n, d = u.shape
    L, rank = roots(C)
    made, centre, e = np.zeros((n, 2)), np.zeros(2), np.zeros(2)
    hessian, first, second, slope = np.zeros(3), np.empty(d), np.empty(d), np.zeros(2)
    for row in range(n):
        mode_of(u[row], L, t, sign, logistic, centre, hessian, first, second)
        top = log_terms(u[row], L, centre, t, sign, logistic, first, second)
        slope[:] = 0.0
        for k in range(d):
            slope[0] += first[k] * L[k, 0]
            slope[1] += first[k] * L[k, 1]
        for _ in range(_TRIES):
            for r in range(rank):
                e[r] = slope[r] + rng.standard_normal()
            tangent = top + slope[0] * (e[0] - centre[0]) + slope[1] * (e[1] - centre[1])
            here = log_terms(u[row], L, e, t, sign, logistic, first, second)
            if math.log(max(rng.random(), 1e-300)) < here - tangent:
                break
        made[row, :rank] = e[:rank]
    return made


_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("factors", "link_tables")]
FACTORS_KEY = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES) + KERNEL_KEY.encode()).hexdigest()
