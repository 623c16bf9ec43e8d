"""The observed-data log likelihood of the extended normal with its gradient, as plain functions of arrays.

Notation of this module alone: y ~ N(Bx, S); o and m are the seen and unseen columns of a pattern; indicator k is 1 when
z_k = D_k·x + A_k·y + c_k·w_k + e_k > 0, e_k ~ N(0, t_k). Given y_o, z_k is normal with mean u and variance t_k + v,

    ω = S_oo⁻¹ S_om A_m,   u = (D + A_m B_m − ω'B_o) x + (A_o + ω)' y_o + c·w,   v = A_m' S_mm A_m − ω' S_om A_m,

so P(sign | y_o) = Φ(± u / √(t + v)); a link that is a scale mixture of probits (logit: eight) sums
Σ_j p_j Φ(± u / √(t / s_j² + v)). A limit of y_j is z = limit - y_j with t = 0, of which an interval may be known too,
0 < z < width (sign 2, the width in the last column of w, whose coefficient is 0). Propensities that are correlated
given y_o are left to `together`.
Written as loops on purpose: on matrices this small they run and compile faster than the same code on `numpy.linalg`.
"""

import hashlib
import math
from pathlib import Path

import numba
import numpy as np

from mnarkit.normal.propensity import chain_rule, invert_seen, propensity, split
from mnarkit.normal.signs import log_between, log_sign

__all__ = ["KERNEL_KEY", "loglik_and_gradient", "pack", "packed_loglik_and_gradient", "unit_loglik", "unpack"]

_LOG_2PI = math.log(2 * math.pi)


@numba.njit(cache=True, error_model="numpy")
def seen_values(n, T, B, inv, log_det, o, k, dB, dS):
    """Add the normal part of one pattern to dB and dS; its log density from n rows with cross-products T."""
    q = B.shape[1]
    gap = np.empty((k, q))  # T_yx - B_o T_xx
    scatter = np.empty((k, k))  # Σ (y_o - B_o x)(y_o - B_o x)'
    for i in range(k):
        for l in range(q):
            gap[i, l] = T[q + o[i], l]
            for r in range(q):
                gap[i, l] -= B[o[i], r] * T[r, l]
    for i in range(k):
        for j in range(k):
            scatter[i, j] = T[q + o[i], q + o[j]]
            for l in range(q):
                scatter[i, j] -= B[o[i], l] * T[l, q + o[j]] + gap[i, l] * B[o[j], l]
    weighted = np.zeros((k, k))  # S_oo⁻¹ scatter
    trace = 0.0
    for i in range(k):
        for j in range(k):
            for r in range(k):
                weighted[i, j] += inv[i, r] * scatter[r, j]
        trace += weighted[i, i]
        for l in range(q):
            for j in range(k):
                dB[o[i], l] += inv[i, j] * gap[j, l]
        for j in range(k):
            dot = 0.0
            for r in range(k):
                dot += weighted[i, r] * inv[r, j]
            dS[o[i], o[j]] -= 0.5 * (n * inv[i, j] - dot)
    return -0.5 * n * (k * _LOG_2PI + log_det) - 0.5 * trace


@numba.njit(cache=True, error_model="numpy")
def loglik_and_gradient(
    B, S, A, D, c, t, cross, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint
):
    """Log f(y_o, r) over all rows, and its gradient in (B, S, A, D, c, t).

    Parameters
    ----------
    B, S : (p, q), (H, p, p) arrays
        Regression coefficients and a covariance per group.
    A, D, c, t : (K, p), (K, q), (R,), (K,) arrays
        Each indicator's coefficients on y, on x and on its own columns w, and its error variance.
    cross, seen, group, start, sign : (G, q + p, q + p), (G, p), (G,), (G + 1,), (G, K) arrays
        Per pattern: cross-products, seen columns, covariance, first row, and +1 where the indicator is 1, -1 where it
        is 0, 0 where the rows have none, 2 between two limits.
    x, y, w : (n, q), (n, p), (n, R) arrays
        Rows sorted by pattern, unseen y zero; empty where there is no indicator.
    w_start, weights, slopes, sizes : (K + 1,), (K, J), (K, J), (K,) arrays
        The columns of w of indicator k, and its link as a mixture of probits.
    joint : (G, K) array
        1 where the propensity is correlated, given what pattern g sees, with the others of that pattern that have 1, or
        2 where they are by random terms alone; these are left out here, and added by `together`.

    Returns
    -------
    tuple
        The value (-inf where S is not positive definite) and six arrays shaped as the parameters.
    """
    p, q = B.shape
    dB, dS, dA, dD, dc, dt = (
        np.zeros(B.shape),
        np.zeros(S.shape),
        np.zeros(A.shape),
        np.zeros(D.shape),
        np.zeros(c.shape),
        np.zeros(t.shape),
    )
    chol, root, inv = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    o, m, cov, omega = np.empty(p, np.int64), np.empty(p, np.int64), np.empty(p), np.empty(p)
    on_x, on_y, g_x, g_y = np.empty(q), np.empty(p), np.empty(q), np.empty(p)
    value = 0.0
    for g in range(seen.shape[0]):
        k = split(seen[g], o, m)
        cov_g = S[group[g]]
        log_det = invert_seen(cov_g, o, k, chol, root, inv)
        if np.isnan(log_det):
            return -np.inf, dB, dS, dA, dD, dc, dt
        rows = start[g + 1] - start[g]
        if k:
            value += seen_values(rows, cross[g], B, inv, log_det, o, k, dB, dS[group[g]])
        for i in range(A.shape[0]):
            if sign[g, i] == 0 or joint[g, i]:  # no indicator in these rows, or one of several
                continue
            v = propensity(cov_g, B, A[i], D[i], o, m, k, inv, cov, omega, on_x, on_y)
            g_x[:] = 0.0
            g_y[:] = 0.0
            g_v = 0.0
            here, t_i, link_weights, link_slopes, size = sign[g, i], t[i], weights[i], slopes[i], sizes[i]
            for row in range(start[g], start[g + 1]):
                u = 0.0
                for l in range(q):
                    u += on_x[l] * x[row, l]
                for j in range(k):
                    u += on_y[o[j]] * y[row, o[j]]
                for l in range(w_start[i], w_start[i + 1]):
                    u += c[l] * w[row, l]
                if here == 2.0:
                    d_t = 0.0
                    part, d_u, d_v = log_between(u, w[row, w_start[i + 1] - 1], v)
                else:
                    part, d_u, d_v, d_t = log_sign(u, here, v, t_i, link_weights, link_slopes, size)
                value += part
                g_v += d_v
                dt[i] += d_t
                for l in range(q):
                    g_x[l] += d_u * x[row, l]
                for j in range(k):
                    g_y[o[j]] += d_u * y[row, o[j]]
                for l in range(w_start[i], w_start[i + 1]):
                    dc[l] += d_u * w[row, l]
            chain_rule(B, cov_g, A[i], o, m, k, inv, omega, g_x, g_y, g_v, dB, dS[group[g]], dA[i], dD[i])
    return value, dB, dS, dA, dD, dc, dt


def pack(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lay the data arrays of `loglik_and_gradient` in one vector of reals and one of whole numbers, sizes first.

    Every separate array that a compiled sampler reads costs it seconds of compile time.
    """
    cross, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint = arrays
    head = [len(group), y.shape[1], cross.shape[1], len(x), w.shape[1], len(sizes), weights.shape[1]]
    whole = [np.array(head), seen.ravel(), group, start, w_start, sizes, joint.ravel()]
    reals = [a.ravel() for a in (cross, sign, x, y, w, weights, slopes)]
    return np.concatenate(reals), np.concatenate(whole).astype(np.int64)


@numba.njit(cache=True, error_model="numpy")
def take(values, at, rows, columns):
    """Take the next rows x columns of a vector, and say where the rest begins."""
    end = at + rows * columns
    return values[at:end].reshape((rows, columns)), end


@numba.njit(cache=True, error_model="numpy")
def unpack(reals, whole):
    """Undo `pack`."""
    whole = whole.astype(np.int64)  # PyMC stores whole numbers in 32 bits
    G, p, size, n, R, K, J = whole[0], whole[1], whole[2], whole[3], whole[4], whole[5], whole[6]
    seen, at = take(whole, 7, G, p)
    group = whole[at : at + G]
    start = whole[at + G : at + 2 * G + 1]
    w_start = whole[at + 2 * G + 1 : at + 2 * G + K + 2]
    sizes = whole[at + 2 * G + K + 2 : at + 2 * G + 2 * K + 2]
    joint, _ = take(whole, at + 2 * G + 2 * K + 2, G, K)
    cross, at = take(reals, 0, G * size, size)
    sign, at = take(reals, at, G, K)
    x, at = take(reals, at, n, size - p)
    y, at = take(reals, at, n, p)
    w, at = take(reals, at, n, R)
    weights, at = take(reals, at, K, J)
    slopes, at = take(reals, at, K, J)
    cross = cross.reshape((G, size, size))
    return cross, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint


@numba.njit(cache=True, error_model="numpy")
def packed_loglik_and_gradient(B, S, A, D, c, t, reals, whole):
    """`loglik_and_gradient` on what `pack` made."""
    return loglik_and_gradient(B, S, A, D, c, t, *unpack(reals, whole))


@numba.njit(cache=True, error_model="numpy")
def unit_loglik(B, S, A, D, c, t, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint, out):
    """Fill out (n,) with log f(y_o, r) of each row, rows sorted by pattern; arguments as in `loglik_and_gradient`."""
    p, q = B.shape
    chol, root, inv = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    o, m, cov, omega = np.empty(p, np.int64), np.empty(p, np.int64), np.empty(p), np.empty(p)
    on_x, on_y, dev = np.empty(q), np.empty(p), np.empty(p)
    for g in range(seen.shape[0]):
        k = split(seen[g], o, m)
        log_det = invert_seen(S[group[g]], o, k, chol, root, inv)
        for row in range(start[g], start[g + 1]):
            for j in range(k):
                dev[j] = y[row, o[j]]
                for l in range(q):
                    dev[j] -= B[o[j], l] * x[row, l]
            out[row] = -0.5 * (k * _LOG_2PI + log_det)
            for i in range(k):
                for j in range(k):
                    out[row] -= 0.5 * dev[i] * inv[i, j] * dev[j]
        for i in range(A.shape[0]):
            if sign[g, i] == 0 or joint[g, i]:
                continue
            v = propensity(S[group[g]], B, A[i], D[i], o, m, k, inv, cov, omega, on_x, on_y)
            for row in range(start[g], start[g + 1]):
                u = 0.0
                for l in range(q):
                    u += on_x[l] * x[row, l]
                for j in range(k):
                    u += on_y[o[j]] * y[row, o[j]]
                for l in range(w_start[i], w_start[i + 1]):
                    u += c[l] * w[row, l]
                if sign[g, i] == 2.0:
                    out[row] += log_between(u, w[row, w_start[i + 1] - 1], v)[0]
                else:
                    out[row] += log_sign(u, sign[g, i], v, t[i], weights[i], slopes[i], sizes[i])[0]


# PyTensor finds compiled code by this key alone: a kernel that changes under an old key would silently run old code
_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("likelihood", "propensity", "signs")]
KERNEL_KEY = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES) + numba.__version__.encode()).hexdigest()
