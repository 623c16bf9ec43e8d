"""One pattern of holes: the inverse of its seen covariance, its propensities given what is seen, and the way back.

Notation and shapes as in `likelihood`: ω = S_oo⁻¹ S_om A_m, u = on_x·x + on_y·y_o + c·w, v = Var(A'y | y_o).
"""

import math

import numba
import numpy as np

__all__ = ["chain_rule", "covariance_of_two", "invert_seen", "propensity", "split"]


@numba.njit(cache=True, error_model="numpy")
def invert_seen(S, o, k, chol, root, inv):
    """Fill inv[:k, :k] with S_oo⁻¹; log |S_oo|, or NaN where S_oo is not positive definite."""
    log_det = 0.0
    for j in range(k):
        pivot = S[o[j], o[j]]
        for r in range(j):
            pivot -= chol[j, r] ** 2
        if not pivot > 0:
            return np.nan
        chol[j, j] = math.sqrt(pivot)
        log_det += math.log(pivot)
        for i in range(j + 1, k):
            rest = S[o[i], o[j]]
            for r in range(j):
                rest -= chol[i, r] * chol[j, r]
            chol[i, j] = rest / chol[j, j]
    for j in range(k):
        root[j, j] = 1 / chol[j, j]
        for i in range(j + 1, k):
            rest = 0.0
            for r in range(j, i):
                rest -= chol[i, r] * root[r, j]
            root[i, j] = rest / chol[i, i]
    for i in range(k):
        for j in range(i + 1):
            dot = 0.0
            for r in range(i, k):
                dot += root[r, i] * root[r, j]
            inv[i, j] = inv[j, i] = dot
    return log_det


@numba.njit(cache=True, error_model="numpy")
def split(seen, o, m):
    """Fill o and m with the numbers of the seen and the unseen columns; how many are seen."""
    k, left = 0, 0
    for j in range(seen.shape[0]):
        if seen[j]:
            o[k] = j
            k += 1
        else:
            m[left] = j
            left += 1
    return k


@numba.njit(cache=True, error_model="numpy")
def propensity(S, B, A, D, o, m, k, inv, cov, omega, on_x, on_y):
    """Fill ω and the coefficients of u on x and on y (zero where unseen); v = Var(A'y | y_o)."""
    p, q = B.shape
    v = 0.0
    for i in range(p - k):
        for j in range(p - k):
            v += A[m[i]] * S[m[i], m[j]] * A[m[j]]
    for i in range(k):
        cov[i] = 0.0
        for j in range(p - k):
            cov[i] += S[o[i], m[j]] * A[m[j]]
    for i in range(p):
        on_y[i] = 0.0
    for i in range(k):
        omega[i] = 0.0
        for j in range(k):
            omega[i] += inv[i, j] * cov[j]
        on_y[o[i]] = A[o[i]] + omega[i]
        v -= omega[i] * cov[i]
    for l in range(q):
        on_x[l] = D[l]
        for j in range(p - k):
            on_x[l] += A[m[j]] * B[m[j], l]
        for i in range(k):
            on_x[l] -= omega[i] * B[o[i], l]
    return max(v, 0.0)


@numba.njit(cache=True, error_model="numpy")
def chain_rule(B, S, A, o, m, k, inv, omega, g_x, g_y, g_v, dB, dS, dA, dD):
    """Carry the gradient in (on_x, on_y, v) back to B, S, A and D."""
    p, q = B.shape
    g_omega, h = np.empty(k), np.empty(k)
    for l in range(q):
        dD[l] += g_x[l]
    for i in range(k):
        dA[o[i]] += g_y[o[i]]
        g_omega[i] = g_y[o[i]]
        for l in range(q):
            g_omega[i] -= B[o[i], l] * g_x[l]
            dB[o[i], l] -= omega[i] * g_x[l]
    for i in range(k):
        h[i] = 0.0
        for j in range(k):
            h[i] += inv[i, j] * g_omega[j]
    for j in range(p - k):
        c = m[j]
        for l in range(q):
            dA[c] += B[c, l] * g_x[l]
            dB[c, l] += A[c] * g_x[l]
        for i in range(p - k):
            dA[c] += 2 * g_v * S[c, m[i]] * A[m[i]]
            dS[c, m[i]] += g_v * A[c] * A[m[i]]
        for i in range(k):
            dA[c] += S[c, o[i]] * (h[i] - 2 * g_v * omega[i])
            cross = 0.5 * h[i] * A[c] - g_v * omega[i] * A[c]
            dS[o[i], c] += cross
            dS[c, o[i]] += cross
    for i in range(k):
        for j in range(k):
            dS[o[i], o[j]] += g_v * omega[i] * omega[j] - 0.5 * (h[i] * omega[j] + omega[i] * h[j])


@numba.njit(cache=True, error_model="numpy")
def covariance_of_two(S, a, b, o, m, k, omega):
    """Cov(a'y, b'y | y_o) from the ω of a."""
    p, made = len(S), 0.0
    for j in range(p - k):
        inner = 0.0
        for i in range(p - k):
            inner += S[m[i], m[j]] * a[m[i]]
        for i in range(k):
            inner -= omega[i] * S[o[i], m[j]]
        made += inner * b[m[j]]
    return made
