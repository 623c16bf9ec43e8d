"""Rows with more correlated propensities than can be integrated well: their unseen values are sampled instead.

Notation of `likelihood`, for the unseen columns m that a row's propensities read: with L L' = Var(y_m | y_o),

    y_m = E[y_m | y_o] + L e,  e ~ N(0, I);    f(y_o, r, e) = f(y_o) Π φ(e) Π_k P(sign of z_k | y_o, y_m)

for any link: given the values the signs are independent. The kernel has f(y_o), and the deviations e are parameters
with a prior of their own, so what is here is the last product and its gradient. Rows: `joint.crowded_rows`.
"""

import hashlib
import math
from pathlib import Path

import numba
import numpy as np

from mnarkit.normal.lattice import root_back, root_of
from mnarkit.normal.likelihood import KERNEL_KEY, unpack
from mnarkit.normal.propensity import invert_seen
from mnarkit.normal.signs import log_sign

__all__ = ["CROWDED_KEY", "crowded_loglik_and_gradient", "draw_by_rejection"]

_TRIES = 1_000_000  # proposals a row: beyond them, which does not happen, the last one is taken as it is
_CLIMBS = 30  # steps towards the mode; any point will do, and near it most proposals are kept


@numba.njit(cache=True, error_model="numpy", nogil=True)
def split_read(code, o, m):
    """Fill o and m with the numbers of the seen columns and of the unseen ones that are read; how many of each."""
    k, left = 0, 0
    for j in range(len(code)):
        if code[j] == 1:
            o[k] = j
            k += 1
        elif code[j] == 2:
            m[left] = j
            left += 1
    return k, left


@numba.njit(cache=True, error_model="numpy", nogil=True)
def regression_on_seen(S, o, m, inv):
    """W (d, k), the coefficients of y_m on y_o, and the root L (d, d) of what is left."""
    k, d = len(o), len(m)
    W, rest = np.zeros((d, k)), np.empty((d, d))
    for i in range(d):
        for j in range(k):
            for r in range(k):
                W[i, j] += S[m[i], o[r]] * inv[r, j]
    for i in range(d):
        for j in range(d):
            rest[i, j] = S[m[i], m[j]]
            for r in range(k):
                rest[i, j] -= W[i, r] * S[o[r], m[j]]
    return W, root_of(rest, d)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def times(a, b, rows, inner, columns):
    """Multiply a and b, of their first rows and columns; Numba's own product takes seconds to compile."""
    made = np.zeros((rows, columns))
    for i in range(rows):
        for r in range(inner):
            for j in range(columns):
                made[i, j] += a[i, r] * b[r, j]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def regression_back(S, o, m, inv, W, L, dW, dL, dS):
    """Carry the gradient in W and L back to S, both of its halves."""
    k, d = len(o), len(m)
    low = np.zeros((d, d))
    root_back(L, dL, low)
    half = np.empty((d, d))  # of Var(y_m | y_o) as a symmetric matrix
    for i in range(d):
        for j in range(d):
            half[i, j] = 0.5 * (low[i, j] + low[j, i])
    on_cross, inner = times(dW, inv, d, k, k), times(half, W, d, d, k)
    for i in range(d):
        for j in range(d):
            dS[m[i], m[j]] += half[i, j]
        for r in range(k):
            part = 0.5 * on_cross[i, r] - inner[i, r]
            dS[m[i], o[r]] += part
            dS[o[r], m[i]] += part
            inner[i, r] -= on_cross[i, r]
    for i in range(k):
        for j in range(k):
            for r in range(d):  # W'(half W) less the symmetric part of W' on_cross
                dS[o[i], o[j]] += 0.5 * (W[r, i] * inner[r, j] + inner[r, i] * W[r, j])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def crowded_loglik_and_gradient(B, S, A, D, c, t, e, reals, whole):
    """Σ log P(sign of z_k | y_o, y_m) over the rows and propensities of `crowded_rows`, packed.

    Returns
    -------
    tuple
        The value (-inf where S is not positive definite) and seven arrays shaped as B, S, A, D, c, t and e.
    """
    _, code, group, start, sign, x, y, w, w_start, weights, slopes, sizes, _ = unpack(reals, whole)
    p, q = B.shape
    dB, dS, dA, dD = np.zeros(B.shape), np.zeros(S.shape), np.zeros(A.shape), np.zeros(D.shape)
    dc, dt, de = np.zeros(c.shape), np.zeros(t.shape), np.zeros(e.shape)
    chol, root, inv = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    seen, read = np.empty(p, np.int64), np.empty(p, np.int64)
    full, gap, on_m = np.empty(p), np.empty(p), np.empty(p)
    value, at = 0.0, 0
    for g in range(len(code)):
        k, d = split_read(code[g], seen, read)
        o, m = seen[:k], read[:d]
        cov = S[group[g]]
        if np.isnan(invert_seen(cov, o, k, chol, root, inv)):
            return -np.inf, dB, dS, dA, dD, dc, dt, de
        W, L = regression_on_seen(cov, o, m, inv)
        dW, dL = np.zeros(W.shape), np.zeros(L.shape)
        for row in range(start[g], start[g + 1]):
            fill_row(B, o, m, W, L, x[row], y[row], e, at, gap, full)
            on_m[:d] = 0.0
            for i in range(len(A)):
                if sign[g, i] == 0:
                    continue
                u = predictor(A[i], D[i], c, code[g], full, x[row], w[row], w_start[i], w_start[i + 1])
                part, d_u, _, d_t = log_sign(u, sign[g, i], 0.0, t[i], weights[i], slopes[i], sizes[i])
                value += part
                dt[i] += d_t
                for j in range(p):
                    if code[g, j]:
                        dA[i, j] += d_u * full[j]
                for l in range(q):
                    dD[i, l] += d_u * x[row, l]
                for l in range(w_start[i], w_start[i + 1]):
                    dc[l] += d_u * w[row, l]
                for j in range(d):
                    on_m[j] += d_u * A[i, m[j]]
            row_back(o, m, W, L, x[row], e, at, gap, on_m, dB, dW, dL, de)
            at += d
        regression_back(cov, o, m, inv, W, L, dW, dL, dS[group[g]])
    return value, dB, dS, dA, dD, dc, dt, de


@numba.njit(cache=True, error_model="numpy", nogil=True)
def fill_row(B, o, m, W, L, x, y, e, at, gap, full):
    """Fill the deviations of what is seen, and the values of a row: those seen, and those made of e from `at` on."""
    for i in range(len(o)):
        full[o[i]] = gap[i] = y[o[i]]
        for l in range(len(x)):
            gap[i] -= B[o[i], l] * x[l]
    for j in range(len(m)):
        full[m[j]] = 0.0
        for l in range(len(x)):
            full[m[j]] += B[m[j], l] * x[l]
        for i in range(len(o)):
            full[m[j]] += W[j, i] * gap[i]
        for i in range(j + 1):
            full[m[j]] += L[j, i] * e[at + i]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def predictor(a, on_x, c, code, full, x, w, first, end):
    """Take a'y + d'x + c'w of a row."""
    u = 0.0
    for j in range(len(a)):
        if code[j]:
            u += a[j] * full[j]
    for l in range(len(x)):
        u += on_x[l] * x[l]
    for l in range(first, end):
        u += c[l] * w[l]
    return u


@numba.njit(cache=True, error_model="numpy", nogil=True)
def row_back(o, m, W, L, x, e, at, gap, on_m, dB, dW, dL, de):
    """Carry the gradient in the values y_m of a row back to B, W, L and e."""
    for j in range(len(m)):
        for l in range(len(x)):
            dB[m[j], l] += on_m[j] * x[l]
        for i in range(len(o)):
            dW[j, i] += on_m[j] * gap[i]
            for l in range(len(x)):
                dB[o[i], l] -= on_m[j] * W[j, i] * x[l]
        for i in range(j + 1):
            dL[j, i] += on_m[j] * e[at + i]
            de[at + i] += on_m[j] * L[j, i]


@numba.njit(cache=True, error_model="numpy")
def draw_by_rejection(u, a, root, t, sign, weights, slopes, sizes, rng):
    """Draw e (n, r) ~ N(0, I) given all signs of u (n, d) + a (d, m) root (m, r) e: exact, for any link.

    g(e), the log probability of the signs, is concave, so it lies below its tangent at any point: e is proposed from
    N(∇g, I) there, and kept with the probability exp(g - tangent). The point is near the mode, where most are kept.
    """
    n, d, r = len(u), len(t), root.shape[1]
    on_e = times(a, root, d, root.shape[0], r)
    link = t, sign, weights, slopes, sizes
    made, at, slope, unused = np.empty((n, r)), np.empty(r), np.empty(r), np.empty(r)
    step = 1.0
    for i in range(d):
        for j in range(r):
            step += on_e[i, j] ** 2 * slopes[i, : sizes[i]].max() ** 2 / t[i]
    for row in range(n):
        at[:] = 0.0
        top = log_signs(u[row], on_e, at, link, slope)
        for _ in range(_CLIMBS):
            for j in range(r):
                at[j] += (slope[j] - at[j]) / step
            top = log_signs(u[row], on_e, at, link, slope)
        for _ in range(_TRIES):
            below = top
            for j in range(r):
                made[row, j] = slope[j] + rng.standard_normal()
                below += slope[j] * (made[row, j] - at[j])
            kept = log_signs(u[row], on_e, made[row], link, unused) - below
            if math.log(max(rng.random(), 1e-300)) < kept:
                break
    return made


@numba.njit(cache=True, error_model="numpy")
def log_signs(u, on_e, e, link, slope):
    """Log P(all signs) at deviations e, its slopes filled."""
    t, sign, weights, slopes, sizes = link
    slope[:] = 0.0
    value = 0.0
    for i in range(len(u)):
        z = u[i]
        for j in range(len(e)):
            z += on_e[i, j] * e[j]
        part, d_z, _, _ = log_sign(z, sign[i], 0.0, t[i], weights[i], slopes[i], sizes[i])
        value += part
        for j in range(len(e)):
            slope[j] += d_z * on_e[i, j]
    return value


_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("crowded", "lattice")]
CROWDED_KEY = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES) + KERNEL_KEY.encode()).hexdigest()
