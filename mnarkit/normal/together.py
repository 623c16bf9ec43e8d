"""Propensities of a row that are correlated given what is seen: their part of the log likelihood, and its gradient.

Notation of `likelihood`; C is the covariance of A_j'y over the propensities of a row given y_o; together their signs
have the probability of an orthant. C enters by v alone: C_jk = (v of A_j + A_k, less v of A_j and of A_k) / 2.
Where `joint` is 2 the propensities read random terms alone: C has rank one or two, and `factors` integrates over those.
"""

import hashlib
from pathlib import Path

import numba
import numpy as np

from mnarkit.normal.factors import FACTORS_KEY, log_factor_signs, roots
from mnarkit.normal.likelihood import loglik_and_gradient, unit_loglik, unpack
from mnarkit.normal.propensity import chain_rule, covariance_of_two, invert_seen, propensity, split
from mnarkit.normal.rectangles import log_rectangle

__all__ = [
    "TOGETHER_KEY",
    "loglik_and_gradient_together",
    "packed_loglik_and_gradient_together",
    "unit_loglik_together",
]


@numba.njit(cache=True, error_model="numpy")
def read_together(S, B, A, D, o, m, k, inv, omega, on_x, on_y, C):
    """Fill ω, the coefficients of u on x and y, and C of the propensities in A and D."""
    cov = np.empty(len(S))
    for j in range(len(A)):
        C[j, j] = propensity(S, B, A[j], D[j], o, m, k, inv, cov, omega[j], on_x[j], on_y[j])
        for i in range(j):
            C[i, j] = C[j, i] = covariance_of_two(S, A[i], A[j], o, m, k, omega[i])


@numba.njit(cache=True, error_model="numpy")
def row_means(row, members, on_x, on_y, c, x, y, w, w_start, u, width):
    """Fill u with the means of a row's propensities given what is seen of it, unseen y being zero, and their widths."""
    for j in range(len(members)):
        end = w_start[members[j] + 1]
        width[j] = w[row, end - 1] if end > w_start[members[j]] else 0.0  # read where an interval is known alone
        u[j] = 0.0
        for l in range(x.shape[1]):
            u[j] += on_x[j, l] * x[row, l]
        for l in range(y.shape[1]):
            u[j] += on_y[j, l] * y[row, l]
        for l in range(w_start[members[j]], w_start[members[j] + 1]):
            u[j] += c[l] * w[row, l]


@numba.njit(cache=True, error_model="numpy")
def log_orthant(u, width, C, L, rank, t, sign, weights, slopes, sizes, g_u, g_C, g_t):
    """Log P(all signs), and its derivatives in u, in C (on and above the diagonal) and in t; rank < 0: no factors."""
    if rank >= 0:
        return log_factor_signs(u, L, rank, t, sign, sizes > 1, g_u, g_C, g_t)
    return log_rectangle(u, width, C, t, sign, weights, slopes, sizes, g_u, g_C, g_t)


@numba.njit(cache=True, error_model="numpy")
def factors_of(C, kind):
    """Give L and the rank of C where the propensities read random terms alone, and else a rank of -1."""
    return roots(C) if kind == 2 else (np.zeros((len(C), 2)), -1)


@numba.njit(cache=True, error_model="numpy")
def add_signs_together(
    kind, S, B, A, D, c, t, o, m, k, inv, members, first, end, sign, x, y, w, w_start, weights, slopes, sizes, dB, dS,
    dA, dD, dc, dt,
):  # fmt: skip
    """Add the gradient of log P(signs of the members) over the rows from first to end; its value."""
    p, q, d = len(S), x.shape[1], len(members)
    a, t_here, sign_here = A[members], t[members], sign[members]
    link = weights[members], slopes[members], sizes[members]
    omega, on_x, on_y, C = np.empty((d, p)), np.empty((d, q)), np.empty((d, p)), np.empty((d, d))
    read_together(S, B, a, D[members], o, m, k, inv, omega, on_x, on_y, C)
    L, rank = factors_of(C, kind)
    u, width, g_u, g_C, g_t = np.empty(d), np.empty(d), np.empty(d), np.empty((d, d)), np.empty(d)
    g_x, g_y, total_C = np.zeros((d, q)), np.zeros((d, p)), np.zeros((d, d))
    value = 0.0
    for row in range(first, end):
        row_means(row, members, on_x, on_y, c, x, y, w, w_start, u, width)
        value += log_orthant(u, width, C, L, rank, t_here, sign_here, *link, g_u, g_C, g_t)
        for j in range(d):
            for l in range(q):
                g_x[j, l] += g_u[j] * x[row, l]
            for l in range(k):
                g_y[j, o[l]] += g_u[j] * y[row, o[l]]
            for l in range(w_start[members[j]], w_start[members[j] + 1]):
                dc[l] += g_u[j] * w[row, l]
            dt[members[j]] += g_t[j]
            for i in range(j + 1):
                total_C[i, j] += g_C[i, j]
    carry_back(S, B, a, o, m, k, inv, members, omega, g_x, g_y, total_C, dB, dS, dA, dD)
    return value


@numba.njit(cache=True, error_model="numpy")
def carry_back(S, B, a, o, m, k, inv, members, omega, g_x, g_y, g_C, dB, dS, dA, dD):
    """Carry the gradient in u and C back to B, S, A and D."""
    d, p, q = len(a), len(S), g_x.shape[1]
    nothing_x, nothing_y, nothing_D = np.zeros(q), np.zeros(p), np.zeros(q)
    for j in range(d):
        g_v = g_C[j, j]
        for i in range(d):
            g_v -= 0.5 * g_C[min(i, j), max(i, j)] if i != j else 0.0
        at = members[j]
        chain_rule(B, S, a[j], o, m, k, inv, omega[j], g_x[j], g_y[j], g_v, dB, dS, dA[at], dD[at])
        for i in range(j):
            both = np.zeros(p)
            chain_rule(
                B, S, a[i] + a[j], o, m, k, inv, omega[i] + omega[j], nothing_x, nothing_y, 0.5 * g_C[i, j], dB, dS,
                both, nothing_D,
            )  # fmt: skip
            dA[members[i]] += both
            dA[at] += both


@numba.njit(cache=True, error_model="numpy")
def signs_together(
    kind, S, B, A, D, c, t, o, m, k, inv, members, first, end, sign, x, y, w, w_start, weights, slopes, sizes, out
):
    """Add log P(signs of the members) of each row from first to end to out."""
    p, q, d = len(S), x.shape[1], len(members)
    omega, on_x, on_y, C = np.empty((d, p)), np.empty((d, q)), np.empty((d, p)), np.empty((d, d))
    read_together(S, B, A[members], D[members], o, m, k, inv, omega, on_x, on_y, C)
    L, rank = factors_of(C, kind)
    link = weights[members], slopes[members], sizes[members]
    u, width, g_u, g_C, g_t = np.empty(d), np.empty(d), np.empty(d), np.empty((d, d)), np.empty(d)
    for row in range(first, end):
        row_means(row, members, on_x, on_y, c, x, y, w, w_start, u, width)
        out[row] += log_orthant(u, width, C, L, rank, t[members], sign[members], *link, g_u, g_C, g_t)


@numba.njit(cache=True, error_model="numpy")
def loglik_and_gradient_together(
    B, S, A, D, c, t, cross, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint
):
    """`likelihood.loglik_and_gradient` with the propensities that `joint` marks."""
    value, dB, dS, dA, dD, dc, dt = loglik_and_gradient(
        B, S, A, D, c, t, cross, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint
    )
    if not np.isfinite(value):
        return -np.inf, dB, dS, dA, dD, dc, dt
    p = len(B)
    chol, root, inv = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    o, m = np.empty(p, np.int64), np.empty(p, np.int64)
    for g in range(len(seen)):
        members = np.flatnonzero(joint[g])
        if not len(members) or joint[g, members[0]] == 3:  # those are in `crowded`
            continue
        k, at = split(seen[g], o, m), group[g]
        invert_seen(S[at], o, k, chol, root, inv)
        value += add_signs_together(
            joint[g, members[0]], S[at], B, A, D, c, t, o, m, k, inv, members, start[g], start[g + 1], sign[g], x, y,
            w, w_start, weights, slopes, sizes, dB, dS[at], dA, dD, dc, dt,
        )  # fmt: skip
    return value, dB, dS, dA, dD, dc, dt


@numba.njit(cache=True, error_model="numpy")
def packed_loglik_and_gradient_together(B, S, A, D, c, t, reals, whole):
    """`loglik_and_gradient_together` on what `likelihood.pack` made."""
    return loglik_and_gradient_together(B, S, A, D, c, t, *unpack(reals, whole))


@numba.njit(cache=True, error_model="numpy")
def unit_loglik_together(
    B, S, A, D, c, t, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint, out
):
    """`likelihood.unit_loglik` with the propensities that `joint` marks."""
    unit_loglik(B, S, A, D, c, t, seen, group, start, sign, x, y, w, w_start, weights, slopes, sizes, joint, out)
    p = len(B)
    chol, root, inv = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    o, m = np.empty(p, np.int64), np.empty(p, np.int64)
    for g in range(len(seen)):
        members = np.flatnonzero(joint[g])
        if not len(members) or joint[g, members[0]] == 3:  # those are in `crowded`
            continue
        k, at = split(seen[g], o, m), group[g]
        invert_seen(S[at], o, k, chol, root, inv)
        signs_together(
            joint[g, members[0]], S[at], B, A, D, c, t, o, m, k, inv, members, start[g], start[g + 1], sign[g], x, y,
            w, w_start, weights, slopes, sizes, out,
        )  # fmt: skip


_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("together", "rectangles", "lattice", "orthants")]
TOGETHER_KEY = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES) + FACTORS_KEY.encode()).hexdigest()
