"""Log probabilities of the sign of one normal propensity, with derivatives, as compiled functions of numbers.

P(sign z > 0) for z normal with mean u and variance t / s² + v is Φ(sign u / √(t / s² + v)); a link that is a mixture of
probits with weights p_j and slopes s_j (logit: eight) sums over j. Of limits an interval may be known, 0 < z < width.
"""

import math

import numba
import numpy as np

__all__ = ["between_slopes", "log_between", "log_normal_cdf", "log_sign", "log_sign_probit"]

_LOG_2PI = math.log(2 * math.pi)
_ROOT_2 = math.sqrt(2.0)
_ROOT_2PI = math.sqrt(2 * math.pi)


@numba.njit(cache=True, error_model="numpy")
def log_normal_cdf(x):
    """Log Φ(x) and φ(x) / Φ(x), to full precision in either tail."""
    if x < -36.0:  # erfc is about to underflow; the next term of this series is below 1e-12
        r = 1.0 / (x * x)
        series = 1.0 - r * (1.0 - 3.0 * r * (1.0 - 5.0 * r * (1.0 - 7.0 * r)))
        return -0.5 * x * x - 0.5 * _LOG_2PI - math.log(-x) + math.log(series), -x / series
    density = math.exp(-0.5 * x * x) / _ROOT_2PI
    if x > 1.0:
        above = 0.5 * math.erfc(x / _ROOT_2)
        return math.log1p(-above), density / (1.0 - above)
    below = 0.5 * math.erfc(-x / _ROOT_2)
    return math.log(below), density / below


@numba.njit(cache=True, error_model="numpy")
def log_sign_probit(u, sign, v, t, slope):
    """Log Φ(sign u / √(t / s² + v)) and its derivatives in u, v and t."""
    var = t / (slope * slope) + v
    a = sign * u / math.sqrt(var)
    value, mills = log_normal_cdf(a)
    d_var = -0.5 * mills * a / var
    return value, mills * sign / math.sqrt(var), d_var, d_var / (slope * slope)


@numba.njit(cache=True, error_model="numpy")
def log_sign(u, sign, v, t, weights, slopes, size):
    """Log Σ_j p_j Φ(sign u / √(t / s_j² + v)) and its derivatives in u, v and t."""
    if size == 1:
        return log_sign_probit(u, sign, v, t, slopes[0])
    total, d_u, d_v, d_t = 0.0, 0.0, 0.0, 0.0
    for j in range(size):
        square = slopes[j] * slopes[j]
        var = t / square + v
        a = sign * u / math.sqrt(var)
        total += weights[j] * 0.5 * math.erfc(-a / _ROOT_2)
        density = weights[j] * math.exp(-0.5 * a * a) / _ROOT_2PI
        d_u += density * sign / math.sqrt(var)
        d_v -= 0.5 * density * a / var
        d_t -= 0.5 * density * a / (var * square)
    if total > 1e-290:
        return math.log(total), d_u / total, d_v / total, d_t / total
    widest = np.argmin(slopes[:size])  # all components have underflowed: the widest is what is left
    value, d_u, d_v, d_t = log_sign_probit(u, sign, v, t, slopes[widest])
    return value + math.log(weights[widest]), d_u, d_v, d_t


@numba.njit(cache=True, error_model="numpy")
def log_between(u, width, var):
    """Log P(0 < z < width), z ~ N(u, var), and its derivatives in u and in var: to full precision however narrow.

    With a, b the standardised ends, h = b - a and m their middle, Φ(b) - Φ(a) is a difference in the lower tail, or
    h φ(m) (1 + He₂ h²/24 + He₄ h⁴/1920 + He₆ h⁶/322560), He(m) the Hermite polynomials, where that is narrow.
    """
    sd = math.sqrt(var)
    way = 1.0 if 2.0 * u > width else -1.0  # the interval turned into the lower half
    h = width / sd
    m = -way * (u - 0.5 * width) / sd
    a, b = m - 0.5 * h, m + 0.5 * h
    if h * (1.0 - m) < 0.1:
        q, s = h * h, m * m
        more = 1.0 + q * ((s - 1.0) / 24.0 + q * ((s * (s - 6.0) + 3.0) / 1920.0
            + q * (s * (s * (s - 15.0) + 45.0) - 15.0) / 322560.0))  # fmt: skip
        value = math.log(h) - 0.5 * (s + _LOG_2PI) + math.log(more)
    else:
        value = log_normal_cdf(b)[0]
        value += math.log(-math.expm1(log_normal_cdf(a)[0] - value))
    at_a = math.exp(-0.5 * (a * a + _LOG_2PI) - value)
    gap = -at_a * math.expm1(-h * m)  # (φ(a) - φ(b)) / P
    return value, way * gap / sd, -0.5 * (h * (at_a - gap) - a * gap) / var


@numba.njit(cache=True, error_model="numpy")
def between_slopes(u, width, var):
    """∂ log P(0 < z < width) / ∂u of every element of u and width: (E[z | between] - u) / var."""
    out = np.empty(len(u))
    for row in range(len(u)):
        out[row] = log_between(u[row], width[row], var)[1]
    return out
