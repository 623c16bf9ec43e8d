"""P(all signs) of three and more propensities of a row, by a fixed lattice, with the gradient of what is computed.

With a_k = ± u_k and Σ = Var(± z) = L L', the variables are taken one after the other (Genz 1992, section 2): y_i is the
quantile w_i of its normal below b_i = (a_i - Σ_j L_ij y_j) / L_ii, and

    P = ∫ Π_i Φ(b_i) · Φ₂(the last two | y) dw   over the unit cube of all but the last two,

a smooth integral over d - 2 variables, taken by points that never change, so that value and gradient are smooth
functions of the parameters: for three propensities to 1e-6, four to 1e-4, five and more, by a lattice, to 1e-2 of P.
Probit links alone.
"""

import math

import numba
import numpy as np

from mnarkit.normal.orthants import log_both_below, log_two_signs, quantile_both_below, two_signs
from mnarkit.normal.signs import log_normal_cdf

__all__ = ["all_mean_slopes", "draw_all", "log_all_signs"]

_POINTS = 1021
_TRIES = (
    1_000_000  # proposals a row: beyond them, where the signs have nearly no chance, the last one is taken as it is
)
_SMALL = 1e-5  # below it the last factor is taken in logarithms
_X40, _W40 = np.polynomial.legendre.leggauss(40)
_X24, _W24 = np.polynomial.legendre.leggauss(24)


@numba.njit(cache=True, error_model="numpy")
def quantile_of_log(log_p):
    """Φ⁻¹(exp(log_p)), by Newton's method on log Φ, which is concave: from the left it never overshoots."""
    way = 1.0
    if log_p > -math.log(2.0):
        log_p, way = math.log(max(-math.expm1(log_p), 1e-300)), -1.0
    x = -math.sqrt(-2.0 * log_p)
    for _ in range(50):
        value, mills = log_normal_cdf(x)
        step = (log_p - value) / mills
        x += step
        if abs(step) < 1e-14 * (1.0 + abs(x)):
            break
    return way * x


@numba.njit(cache=True, error_model="numpy")
def points_of(dimension):
    """Points in the unit cube (N, dimension), and their weights (N,): Gauss-Legendre in one and two, a lattice beyond.

    Each coordinate is stretched at both ends by x²(3 - 2x): quantiles run away there, and a lattice wants a period.
    """
    if dimension == 1:
        made, weights = 0.5 * (1.0 + _X40.reshape((40, 1))), 0.5 * _W40
    elif dimension == 2:
        made, weights = np.empty((576, 2)), np.empty(576)
        for i in range(24):
            for j in range(24):
                made[24 * i + j, 0], made[24 * i + j, 1] = 0.5 * (1.0 + _X24[i]), 0.5 * (1.0 + _X24[j])
                weights[24 * i + j] = 0.25 * _W24[i] * _W24[j]
    else:
        root = 2.0  # of x^(dimension + 1) = x + 1, whose powers are far from any ratio of small numbers
        for _ in range(60):
            root = (1.0 + root) ** (1.0 / (dimension + 1.0))
        made, weights = np.empty((_POINTS, dimension)), np.full(_POINTS, 1.0 / _POINTS)
        for n in range(_POINTS):
            for i in range(dimension):
                made[n, i] = (0.5 + (n + 1) * root ** (-(i + 1.0))) % 1.0
    for n in range(len(made)):
        for i in range(dimension):
            x = made[n, i]
            weights[n] *= 6.0 * x * (1.0 - x)
            made[n, i] = min(max(x * x * (3.0 - 2.0 * x), 1e-14), 1.0 - 1e-14)
    return made, weights / weights.sum()


@numba.njit(cache=True, error_model="numpy")
def root_of(cov, head):
    """The first `head` columns of the Cholesky factor, (d, head)."""
    d = len(cov)
    L = np.zeros((d, head))
    for j in range(head):
        for i in range(j, d):
            rest = cov[i, j]
            for r in range(j):
                rest -= L[i, r] * L[j, r]
            L[i, j] = math.sqrt(max(rest, 1e-300)) if i == j else rest / L[j, j]
    return L


@numba.njit(cache=True, error_model="numpy")
def root_back(L, g_L, g_cov):
    """Carry a gradient in the factor's columns back to the covariance, at and below its diagonal."""
    d, head = L.shape
    for j in range(head - 1, -1, -1):
        for i in range(d - 1, j - 1, -1):
            if i > j:
                on = g_L[i, j] / L[j, j]
                g_L[j, j] -= on * L[i, j]
            else:
                on = 0.5 * g_L[j, j] / L[j, j]
            g_cov[i, j] += on
            for r in range(j):
                g_L[i, r] -= on * L[j, r]
                g_L[j, r] -= on * L[i, r]


@numba.njit(cache=True, error_model="numpy")
def walk(a, L, tail, points, in_logs, y, b, mills, log_head, last, slopes):
    """Fill, for every point, y, b, φ/Φ of b, log Π Φ(b), and the last factor or its logarithm with its slopes."""
    head = L.shape[1]
    ones, nothing = np.ones(2), np.zeros(2)
    weights, sizes = np.ones((2, 1)), np.array([1, 1])
    u, v = np.empty(2), np.array([tail[0, 0], tail[1, 1]])
    for n in range(len(points)):
        log_head[n] = 0.0
        for i in range(head):
            rest = a[i]
            for j in range(i):
                rest -= L[i, j] * y[n, j]
            b[n, i] = rest / L[i, i]
            value, mills[n, i] = log_normal_cdf(b[n, i])
            log_head[n] += value
            y[n, i] = quantile_of_log(math.log(points[n, i]) + value)
        for i in range(2):
            u[i] = a[head + i]
            for j in range(head):
                u[i] -= L[head + i, j] * y[n, j]
        if in_logs:
            last[n] = log_two_signs(u, v, tail[0, 1], nothing, ones, weights, weights, sizes, slopes[n])
        else:
            last[n] = two_signs(u, v, tail[0, 1], nothing, ones, weights, weights, sizes, slopes[n])


@numba.njit(cache=True, error_model="numpy")
def walk_back(share, last_share, L, y, b, mills, slopes, g_a, g_L, g_tail):
    """Add a point's part of the gradient in a, in L and in the last covariance.

    Its share is that of the integrand in the sum, and what the slopes of the last factor are to be multiplied by.
    """
    head = L.shape[1]
    g_y = np.zeros(head)
    for i in range(2):
        on = last_share * slopes[i]
        g_a[head + i] += on
        g_tail[i, i] += last_share * slopes[2 + i]
        for j in range(head):
            g_L[head + i, j] -= on * y[j]
            g_y[j] -= on * L[head + i, j]
    g_tail[1, 0] += last_share * slopes[4]
    for i in range(head - 1, -1, -1):
        on = (share + g_y[i] / max(log_normal_cdf(y[i])[1], 1e-300)) * mills[i] / L[i, i]
        g_a[i] += on
        g_L[i, i] -= on * b[i]
        for j in range(i):
            g_L[i, j] -= on * y[j]
            g_y[j] -= on * L[i, j]


@numba.njit(cache=True, error_model="numpy")
def signed_cov(C, t, sign):
    """Variance of ± z, the signs turned so that each is asked to be above 0."""
    d = len(t)
    made = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            made[i, j] = sign[i] * sign[j] * C[i, j] + (t[i] if i == j else 0.0)
    return made


@numba.njit(cache=True, error_model="numpy")
def tail_of(cov, L):
    """Var of the last two given the others, (2, 2)."""
    head = L.shape[1]
    made = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            made[i, j] = cov[head + i, head + j]
            for r in range(head):
                made[i, j] -= L[head + i, r] * L[head + j, r]
    return made


@numba.njit(cache=True, error_model="numpy")
def log_all_signs(u, C, t, sign, g_u, g_C, g_t):
    """Log P(all signs), d ≥ 3, and its derivatives in u, in C (at and above its diagonal) and in t."""
    d = len(u)
    head = d - 2
    cov = signed_cov(C, t, sign)
    L = root_of(cov, head)
    points, weights = points_of(head)
    n = len(points)
    y, b, mills = np.empty((n, head)), np.empty((n, head)), np.empty((n, head))
    log_head, last, slopes = np.empty(n), np.empty(n), np.empty((n, 7))
    tail = tail_of(cov, L)
    walk(sign * u, L, tail, points, False, y, b, mills, log_head, last, slopes)
    top = log_head.max()
    last_share = weights * np.exp(log_head - top)
    share = last_share * last
    total = share.sum()
    if not total > _SMALL * last_share.sum():
        walk(sign * u, L, tail, points, True, y, b, mills, log_head, last, slopes)
        top = (log_head + last).max()
        share = weights * np.exp(log_head + last - top)
        last_share, total = share, share.sum()
    g_a, g_L, g_cov, g_tail = np.zeros(d), np.zeros((d, head)), np.zeros((d, d)), np.zeros((2, 2))
    for i in range(n):
        walk_back(share[i] / total, last_share[i] / total, L, y[i], b[i], mills[i], slopes[i], g_a, g_L, g_tail)
    for i in range(2):
        for j in range(i + 1):
            g_cov[head + i, head + j] += g_tail[i, j]
            for r in range(head):
                g_L[head + i, r] -= g_tail[i, j] * L[head + j, r]
                g_L[head + j, r] -= g_tail[i, j] * L[head + i, r]
    root_back(L, g_L, g_cov)
    for i in range(d):
        g_u[i], g_t[i] = sign[i] * g_a[i], g_cov[i, i]
        for j in range(i + 1):
            g_C[j, i] = sign[i] * sign[j] * g_cov[i, j]
    return top + math.log(total)


@numba.njit(cache=True, error_model="numpy")
def all_mean_slopes(u, C, t, sign):
    """∂ log P(all signs) / ∂u of every row of u, (n, d)."""
    d = u.shape[1]
    made, g_C, g_t = np.empty(u.shape), np.empty((d, d)), np.empty(d)
    for row in range(len(u)):
        log_all_signs(u[row], C, t, sign, made[row], g_C, g_t)
    return made


@numba.njit(cache=True, error_model="numpy")
def draw_all(u, C, t, sign, rng):
    """Draw z ~ N(u, C + diag t) given all signs, for every row of u (n, d): exact, by rejection.

    The first variables are proposed each given those before it, and kept with the probability of the signs that follow;
    the last two are drawn by inversion.
    """
    n, d = u.shape
    head = d - 2
    cov = signed_cov(C, t, sign)
    L = root_of(cov, head)
    tail = tail_of(cov, L)
    sd = np.sqrt(np.array([tail[0, 0], tail[1, 1]]))
    r = tail[0, 1] / (sd[0] * sd[1])
    made, y, left = np.empty((n, d)), np.empty(head), np.empty(2)
    for row in range(n):
        for _ in range(_TRIES):
            log_kept = 0.0
            for i in range(d):
                rest = sign[i] * u[row, i]
                for j in range(min(i, head)):
                    rest -= L[i, j] * y[j]
                if i < head:
                    value = log_normal_cdf(rest / L[i, i])[0]
                    log_kept += value if i else 0.0
                    y[i] = quantile_of_log(math.log(max(rng.random(), 1e-300)) + value)
                else:
                    left[i - head] = rest
            log_kept += log_both_below(left[0] / sd[0], left[1] / sd[1], r)
            if math.log(max(rng.random(), 1e-300)) < log_kept:
                break
        for i in range(head):
            made[row, i] = 0.0
            for j in range(i + 1):
                made[row, i] += L[i, j] * y[j]
        first = quantile_both_below(rng.random(), left[0] / sd[0], left[1] / sd[1], r)
        spread = math.sqrt((1.0 - r) * (1.0 + r))
        bound = log_normal_cdf((left[1] / sd[1] - r * first) / spread)[0]
        second = r * first + spread * quantile_of_log(math.log(max(rng.random(), 1e-300)) + bound)
        made[row, head], made[row, head + 1] = sd[0] * first, sd[1] * second
        for i in range(2):
            for j in range(head):
                made[row, head + i] += L[head + i, j] * y[j]
        for i in range(d):
            made[row, i] = u[row, i] - sign[i] * made[row, i]
    return made
