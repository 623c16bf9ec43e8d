"""Log posterior of the extended normal and its gradient in one unconstrained vector, compiled once and for all specs.

Notation of this module alone: v are the values of the free scalars; (coef, covs) are made of the first of them; the
kernel's A and c are linear in the rest, given as triplets (row, column, value) of a sparse matrix; a Heckman row k of
column j has A_kj = ρ / √S_jj, D_k = -A_kj B_j, t_k = 1 - ρ². What goes forward comes back by the chain rule, by hand.
"""

import numba
import numpy as np

from mnarkit.normal.correlation import covariance, covariance_gradient
from mnarkit.normal.crowded import crowded_loglik_and_gradient
from mnarkit.normal.likelihood import packed_loglik_and_gradient
from mnarkit.normal.together import packed_loglik_and_gradient_together
from mnarkit.sample.moving import append_moves, carry_moves_back
from mnarkit.sample.random_terms import (
    append_random_terms,
    carry_random_terms_back,
    sd_of_coefficient,
    spread_of_terms,
)
from mnarkit.sample.scalars import place

__all__ = [
    "FREE",
    "GROWTH",
    "LAGS",
    "all_moments",
    "all_spreads",
    "arguments",
    "log_density",
    "log_density_together",
    "moments_of_values",
]

FREE, GROWTH, CS, AR, TOEP = range(5)
LAGS = {"CS": CS, "AR": AR, "TOEP": TOEP}  # by the first letters of a structure's kind


@numba.njit(cache=True, error_model="numpy", nogil=True)
def lag_correlations(shape, kind, p, out):
    """Fill out with the correlations of lags 0 to p - 1, real or complex; partial ones by Levinson's recursion."""
    out[0] = 1.0
    if kind == TOEP:
        phi, last = np.zeros_like(out), np.zeros_like(out)
        for k in range(p - 1):
            rest, made = out[0], shape[k] * 0.0
            for j in range(k):
                rest -= phi[j] * out[j + 1]
                made += phi[j] * out[k - j]
            out[k + 1] = made + shape[k] * rest
            for j in range(k):
                last[j] = phi[j] - shape[k] * phi[k - 1 - j]
            last[k] = shape[k]
            phi[:] = last
        return
    for k in range(1, p):
        out[k] = shape[0] if kind == CS else out[k - 1] * shape[0]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def spread_of(v, at, shares, g):
    """Covariance (g, g) of sds and partial correlations that begin at v[at] and v[shares]."""
    if g == 1:
        return np.full((1, 1), v[at] * v[at])
    return covariance(v[at : at + g], 2 * v[shares : shares + g * (g - 1) // 2] - 1)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def spread_gradient(v, at, shares, g, seed, out):
    """Add the gradient of Σ seed_ij S_ij, S of `spread_of`, to out."""
    if g == 1:
        out[at] += 2 * v[at] * seed[0, 0]
        return
    pairs = g * (g - 1) // 2
    d_sd, d_partial = covariance_gradient(v[at : at + g], 2 * v[shares : shares + pairs] - 1, seed)
    for i in range(g):
        out[at + i] += d_sd[i]
    for i in range(pairs):
        out[shares + i] += 2 * d_partial[i]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def moments_of_values(v, plan, basis):
    """(coef, covs) from the values: (p, q) and (arms, p, p).

    plan = (kind, p, q, g, one sd a column, ..., arms), basis (p, g) of a growth curve. The sds of all arms stand before
    the shapes of all arms.
    """
    kind, p, q, g, by_wave, arms = plan[0], plan[1], plan[2], plan[3], plan[4], plan[9]
    coef, covs = np.zeros((p, q)), np.zeros((arms, p, p))
    at = g * q
    sds = p if by_wave else 1
    if kind == GROWTH:
        cov, spread = covs[0], spread_of(v, at + sds, at + sds + g, g)
        for i in range(p):
            for a in range(g):
                for l in range(q):
                    coef[i, l] += basis[i, a] * v[a * q + l]
                for j in range(p):
                    for b in range(g):
                        cov[i, j] += basis[i, a] * spread[a, b] * basis[j, b]
            sd = v[at + (i if by_wave else 0)]
            cov[i, i] += sd * sd
        return coef, covs
    for i in range(p):
        for l in range(q):
            coef[i, l] = v[i * q + l]
    lags = np.empty(p)
    for arm in range(arms):
        sd_at, shape_at = at + arm * sds, at + arms * sds + arm * shape_size(kind, p)
        if kind == FREE:
            covs[arm] = spread_of(v, sd_at, shape_at, p)
            continue
        lag_correlations(v[shape_at:], kind, p, lags)
        for i in range(p):
            for j in range(p):
                a, b = sd_at + (i if by_wave else 0), sd_at + (j if by_wave else 0)
                covs[arm, i, j] = lags[abs(i - j)] * v[a] * v[b]
    return coef, covs


@numba.njit(cache=True, error_model="numpy", nogil=True)
def shape_size(kind, p):
    """How many scalars the correlations of p columns are made of."""
    if kind == FREE:
        return p * (p - 1) // 2
    return p - 1 if kind == TOEP else 1


@numba.njit(cache=True, error_model="numpy", nogil=True)
def all_moments(values, plan, basis, coef, cov):
    """Fill coef (n, p, q) and cov (n, arms, p, p) from values (n, k)."""
    for i in range(len(values)):
        coef[i], cov[i] = moments_of_values(values[i], plan, basis)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def all_spreads(values, at, out):
    """Fill out (n, g, g) with the covariance of the random terms, from values (n, k)."""
    for i in range(len(values)):
        out[i] = spread_of(values[i], at, at + out.shape[1], out.shape[1])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def moments_gradient(v, plan, basis, d_coef, d_covs, out):
    """Add the gradient of Σ d_coef coef + Σ d_covs covs to out."""
    kind, p, q, g, by_wave, arms = plan[0], plan[1], plan[2], plan[3], plan[4], plan[9]
    if kind != GROWTH:
        for i in range(p):
            for l in range(q):
                out[i * q + l] += d_coef[i, l]
    at = g * q
    sds = p if by_wave else 1
    if kind == GROWTH:
        seed, d_cov = np.zeros((g, g)), d_covs[0]
        for i in range(p):
            for a in range(g):
                for l in range(q):
                    out[a * q + l] += basis[i, a] * d_coef[i, l]
                for j in range(p):
                    for b in range(g):
                        seed[a, b] += basis[i, a] * d_cov[i, j] * basis[j, b]
            here = at + (i if by_wave else 0)
            out[here] += 2 * v[here] * d_cov[i, i]
        spread_gradient(v, at + sds, at + sds + g, g, seed, out)
        return
    for arm in range(arms):
        sd_at, shape_at = at + arm * sds, at + arms * sds + arm * shape_size(kind, p)
        if kind == FREE:
            spread_gradient(v, sd_at, shape_at, p, d_covs[arm], out)
        else:
            lags_gradient(v, sd_at, shape_at, kind, by_wave, d_covs[arm], out)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def lags_gradient(v, sd_at, shape_at, kind, by_wave, d_cov, out):
    """Add the gradient of Σ d_cov cov, cov of sds and correlations by lag, to out."""
    p = len(d_cov)
    lags, d_lags = np.empty(p), np.zeros(p)
    lag_correlations(v[shape_at:], kind, p, lags)
    for i in range(p):
        for j in range(p):
            a, b, lag = sd_at + (i if by_wave else 0), sd_at + (j if by_wave else 0), abs(i - j)
            d_lags[lag] += d_cov[i, j] * v[a] * v[b]
            out[a] += d_cov[i, j] * lags[lag] * v[b]
            out[b] += d_cov[i, j] * lags[lag] * v[a]
    size = shape_size(kind, p)
    moved, made = np.empty(size, np.complex128), np.empty(p, np.complex128)
    for k in range(size):  # complex steps: exact, and for few parameters
        for j in range(size):
            moved[j] = v[shape_at + j]
        moved[k] += 1e-30j
        lag_correlations(moved, kind, p, made)
        for j in range(p):
            out[shape_at + k] += d_lags[j] * made[j].imag / 1e-30


@numba.njit(cache=True, error_model="numpy", nogil=True)
def arguments(v, design):
    """(coef, covs) and the kernel's (B, S, A, D, c, t); with several arms S is covs, and nothing else reads them."""
    plan, basis, lines, fixed, heckman, rhos, moves, hidden = design
    powers, back, of_term, at = hidden
    p, K, R, first = plan[1] + len(back), plan[5], plan[6], plan[7]
    coef, covs = moments_of_values(v, plan, basis)
    cov = covs[0]
    B, S = append_moves(v, coef, cov, moves)
    if len(covs) > 1:
        S = covs
    random = np.zeros((0, 0))
    if len(back):
        random = spread_of_terms(spread_of(v, at, at + len(back), len(back)), back)
        B, S = append_random_terms(B, S, random, powers)
    flat = fixed.copy()
    for i in range(len(lines)):
        k = int(lines[i, 1])
        flat[int(lines[i, 0])] += lines[i, 2] * v[first + k] / sd_of_coefficient(random, of_term, k)
    A, c = flat[: K * p].copy().reshape((K, p)), flat[K * p : K * p + R].copy()
    D, t = np.zeros((K, B.shape[1])), np.ones(K)
    t[K - plan[8] :] = 0.0  # limits have no error
    for i in range(len(heckman)):
        k, j, where = heckman[i, 0], heckman[i, 1], heckman[i, 2]
        rho = v[where] if where >= 0 else rhos[i]
        A[k, j] = rho / np.sqrt(cov[j, j])
        for l in range(B.shape[1]):
            D[k, l] = -A[k, j] * B[j, l]
        t[k] = 1 - rho * rho
    return coef, covs, B, S, A, D, c, t


@numba.njit(cache=True, error_model="numpy", nogil=True)
def arguments_gradient(v, design, coef, covs, B, dB, dS, dA, dD, dc, dt, out):
    """Carry the gradient in the kernel's arguments back to the values, added to out."""
    plan, basis, lines, _, heckman, rhos, moves, hidden = design
    powers, back, of_term, at = hidden
    p, K, first = plan[1] + len(back), plan[5], plan[7]
    d_covs = np.zeros(covs.shape)
    cov, d_cov = covs[0], d_covs[0]
    random = np.zeros((0, 0))
    if len(back):
        random = spread_of_terms(spread_of(v, at, at + len(back), len(back)), back)
    d_random = np.zeros(random.shape)
    for i in range(len(heckman)):
        k, j, where = heckman[i, 0], heckman[i, 1], heckman[i, 2]
        rho, root = v[where] if where >= 0 else rhos[i], np.sqrt(cov[j, j])
        slope = rho / root
        d_slope = dA[k, j]
        for l in range(B.shape[1]):
            d_slope -= dD[k, l] * B[j, l]
            dB[j, l] -= slope * dD[k, l]
        d_cov[j, j] -= 0.5 * d_slope * slope / cov[j, j]
        if where >= 0:
            out[where] += d_slope / root - 2 * rho * dt[k]
    for i in range(len(lines)):
        row = int(lines[i, 0])
        seed = dA[row // p, row % p] if row < K * p else dc[row - K * p]
        k = int(lines[i, 1])
        sd, term = sd_of_coefficient(random, of_term, k), of_term[k]
        out[first + k] += lines[i, 2] * seed / sd
        if term >= 0:
            d_random[term, term] -= 0.5 * lines[i, 2] * seed * v[first + k] / (sd * random[term, term])
    d_coef = np.zeros(coef.shape)
    if len(back):
        spread_gradient(v, at, at + len(back), len(back), carry_random_terms_back(dS, powers, back, d_random), out)
        size = len(cov)
        dB, dS = dB[:size].copy(), dS[:, :size, :size].copy()
    if len(covs) > 1:
        d_coef += dB
        d_covs += dS
    else:
        carry_moves_back(v, coef, cov, moves, dB, dS, d_coef, d_cov, out)
    moments_gradient(v, plan, basis, d_coef, d_covs, out)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def usable(v, covs):
    """Whether numbers can still say the values."""
    for i in range(len(v)):
        if not np.isfinite(v[i]):
            return False
    least, most = np.inf, 0.0
    for arm in range(len(covs)):
        least, most = min(least, np.min(np.diag(covs[arm]))), max(most, np.max(np.diag(covs[arm])))
    return least > 0 and most < np.inf


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_density(theta, scalars, design, reals, whole):
    """Log posterior density of θ, and its gradient; -inf where numbers can no longer say it."""
    k = len(theta)
    v, slope, gradient, d_v = np.empty(k), np.empty(k), np.empty(k), np.zeros(k)
    prior = place(theta, scalars[0], scalars[1], scalars[2], v, slope, gradient)
    coef, covs, B, S, A, D, c, t = arguments(v, design)
    if not usable(v, covs):
        return -np.inf, d_v
    value, dB, dS, dA, dD, dc, dt = packed_loglik_and_gradient(B, S, A, D, c, t, reals, whole)
    arguments_gradient(v, design, coef, covs, B, dB, dS, dA, dD, dc, dt, d_v)
    for i in range(k):
        gradient[i] += d_v[i] * slope[i]
    return value + prior, gradient


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_density_together(theta, scalars, design, reals, whole):
    """`log_density` where propensities of a row are correlated given what is seen: a kernel that loads for longer."""
    k = len(theta)
    v, slope, gradient, d_v = np.empty(k), np.empty(k), np.empty(k), np.zeros(k)
    prior = place(theta, scalars[0], scalars[1], scalars[2], v, slope, gradient)
    coef, covs, B, S, A, D, c, t = arguments(v, design)
    if not usable(v, covs):
        return -np.inf, d_v
    value, dB, dS, dA, dD, dc, dt = packed_loglik_and_gradient_together(B, S, A, D, c, t, reals, whole)
    arguments_gradient(v, design, coef, covs, B, dB, dS, dA, dD, dc, dt, d_v)
    for i in range(k):
        gradient[i] += d_v[i] * slope[i]
    return value + prior, gradient


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_density_of_sampled(theta, scalars, design, reals, whole, sampled):
    """What rows whose unseen values are sampled add, the last `sampled` values being their deviations.

    It is not one function with `log_density_together`, whose kernel would then be compiled twice.
    """
    k = len(theta)
    v, slope, gradient, d_v = np.empty(k), np.empty(k), np.empty(k), np.zeros(k)
    place(theta, scalars[0], scalars[1], scalars[2], v, slope, gradient)
    coef, covs, B, S, A, D, c, t = arguments(v, design)
    if not usable(v, covs):
        return -np.inf, d_v
    value, dB, dS, dA, dD, dc, dt, de = crowded_loglik_and_gradient(B, S, A, D, c, t, v[k - sampled :], reals, whole)
    arguments_gradient(v, design, coef, covs, B, dB, dS, dA, dD, dc, dt, d_v)
    d_v[k - sampled :] += de
    for i in range(k):
        d_v[i] *= slope[i]
    return value, d_v
