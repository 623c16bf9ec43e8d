"""P(Z₁ < h, Z₂ < k) of two standard normals with correlation r, in logarithms, with derivatives.

Where the probability is not small, Plackett's identity ∂Φ₂/∂r = φ₂(h, k; r) is integrated from r = 0, where Φ₂ is a
product, or from r = ±1, where it is one Φ or a difference of two (Drezner & Wesolowsky 1990, eq. 3; Genz 2004,
section 2): good to 1e-15 absolute. In a tail the relative error counts, and

    Φ₂ = ∫₀^∞ φ(h - s) Φ(m + b s) ds,   m = (k - r h) / √(1 - r²),   b = r / √(1 - r²),   h ≤ k,

whose integrand is positive and log-concave, is integrated around its mode in logarithms. The derivatives are
elementary: ∂Φ₂/∂h = φ(h) Φ((k - r h) / √(1 - r²)), ∂Φ₂/∂r = φ₂(h, k; r).
"""

import math

import numba
import numpy as np

from mnarkit.normal.signs import log_normal_cdf

__all__ = [
    "both_below",
    "log_both_below",
    "log_density",
    "log_two_signs",
    "mean_slopes",
    "pair_weights",
    "quantile_both_below",
    "quantile_given_below",
    "two_signs",
]

_LOG_2PI = math.log(2 * math.pi)
_ROOT_2 = math.sqrt(2.0)
_ROOT_2PI = math.sqrt(2 * math.pi)
_SMALL = 1e-5  # below it 1e-15 absolute is not enough
_CLOSE = 1 - 1e-12  # correlations are kept inside ±this
_DROP = 40.0  # an integrand below exp(-40) of its mode is nothing
_FEW, _SOME, _MANY = (np.polynomial.legendre.leggauss(n) for n in (6, 12, 20))
_X6, _W6 = _FEW
_X12, _W12 = _SOME
_X20, _W20 = _MANY


@numba.njit(cache=True, error_model="numpy")
def normal_cdf(x):
    """Φ(x)."""
    return 0.5 * math.erfc(-x / _ROOT_2)


@numba.njit(cache=True, error_model="numpy")
def from_independence(h, k, r, nodes, weights):
    """∫₀^r φ₂(h, k; s) ds, over the angle whose sine is s."""
    half, total = 0.5 * math.asin(r), 0.0
    product, squares = h * k, 0.5 * (h * h + k * k)
    for i in range(len(nodes)):
        s = math.sin(half * (1.0 + nodes[i]))
        total += weights[i] * math.exp((s * product - squares) / (1.0 - s * s))
    return half * total / (2 * math.pi)


@numba.njit(cache=True, error_model="numpy")
def from_identity(h, k, width):
    """∫ φ₂(h, k; s) ds from √(1 - width²) to 1, over x = √(1 - s²): the x² and x⁴ around 0 by hand, the rest by nodes.

    The integrand is exp(-(h - k)² / 2x²) f(x) with f(x) = exp(-hk / (1 + √(1 - x²))) / √(1 - x²), whose series is
    exp(-hk / 2) (1 + c x² + c d x⁴ + …); the first factor alone has a layer of width |h - k| at 0.
    """
    gap, product = abs(h - k), h * k
    if 0.5 * product + 0.5 * (gap / width) ** 2 > 100.0:
        return 0.0
    c, d = (4.0 - product) / 8.0, (12.0 - product) / 16.0
    edge = math.exp(-0.5 * (gap / width) ** 2)
    zeroth = width * edge - gap * _ROOT_2PI * normal_cdf(-gap / width)
    second = (width**3 * edge - gap * gap * zeroth) / 3.0
    fourth = (width**5 * edge - gap * gap * second) / 5.0
    scale, rest = math.exp(-0.5 * product), 0.0
    for i in range(len(_X20)):
        x = 0.5 * width * (1.0 + _X20[i])
        square = x * x
        root = math.sqrt(1.0 - square)
        f = math.exp(-product / (1.0 + root)) / root
        series = scale * (1.0 + c * square * (1.0 + d * square))
        rest += _W20[i] * math.exp(-0.5 * gap * gap / square) * (f - series)
    return (scale * (zeroth + c * (second + d * fourth)) + 0.5 * width * rest) / (2 * math.pi)


@numba.njit(cache=True, error_model="numpy")
def both_below(h, k, r):
    """Φ₂(h, k; r), good to 1e-15 absolute."""
    size = abs(r)
    if size < 0.3:
        made = normal_cdf(h) * normal_cdf(k) + from_independence(h, k, r, _X6, _W6)
    elif size < 0.75:
        made = normal_cdf(h) * normal_cdf(k) + from_independence(h, k, r, _X12, _W12)
    elif size < 0.925:
        made = normal_cdf(h) * normal_cdf(k) + from_independence(h, k, r, _X20, _W20)
    elif r > 0:
        made = normal_cdf(min(h, k)) - from_identity(h, k, math.sqrt((1.0 - r) * (1.0 + r)))
    else:
        made = max(normal_cdf(h) - normal_cdf(-k), 0.0) + from_identity(h, -k, math.sqrt((1.0 - r) * (1.0 + r)))
    return max(made, 0.0)


@numba.njit(cache=True, error_model="numpy")
def log_integrand(s, h, m, b):
    """Log φ(h - s) Φ(m + b s) without its constant, and its slope in s."""
    value, mills = log_normal_cdf(m + b * s)
    return value - 0.5 * (h - s) ** 2, h - s + b * mills


@numba.njit(cache=True, error_model="numpy")
def mode_of(h, m, b):
    """Where on s ≥ 0 the integrand is largest."""
    if log_integrand(0.0, h, m, b)[1] <= 0:
        return 0.0
    low, high = 0.0, 1.0
    while log_integrand(high, h, m, b)[1] > 0:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if log_integrand(middle, h, m, b)[1] > 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@numba.njit(cache=True, error_model="numpy")
def reach(way, mode, h, m, b):
    """How far from its mode, in direction `way` and not beyond s = 0, the integrand has fallen to nothing."""
    top = log_integrand(mode, h, m, b)[0]
    low, high = 0.0, 1.0 / (1.0 + abs(b))
    most = mode if way < 0 else np.inf
    while high < most and log_integrand(mode + way * high, h, m, b)[0] > top - _DROP:
        low, high = high, 2.0 * high
    if high > most and log_integrand(0.0, h, m, b)[0] > top - _DROP:
        return most
    high = min(high, most)
    for _ in range(8):
        middle = 0.5 * (low + high)
        if log_integrand(mode + way * middle, h, m, b)[0] > top - _DROP:
            low = middle
        else:
            high = middle
    return high


@numba.njit(cache=True, error_model="numpy")
def piece(start, length, grain, h, m, b, top):
    """∫ exp(log integrand - top) over `length` from `start` on (back where negative), panels doubling from grain."""
    total, at, panel = 0.0, 0.0, min(grain, abs(length))
    way = 1.0 if length > 0 else -1.0
    while at < abs(length):
        panel = min(panel, abs(length) - at)
        for i in range(len(_X20)):
            s = start + way * (at + 0.5 * panel * (1.0 + _X20[i]))
            total += 0.5 * panel * _W20[i] * math.exp(log_integrand(s, h, m, b)[0] - top)
        at += panel
        panel *= 2.0
    return total


@numba.njit(cache=True, error_model="numpy")
def log_both_below_in_tail(h, k, r):
    """Log Φ₂(h, k; r) by quadrature in logarithms, good to 1e-12 relative wherever the probability lies."""
    h, k = min(h, k), max(h, k)
    root = math.sqrt((1.0 - r) * (1.0 + r))
    # k - r h without the cancellation where r is near ±1
    m = ((k - h) + (1.0 - r) * h) / root if r > 0 else ((k + h) - (1.0 + r) * h) / root
    b = r / root
    mode = mode_of(h, m, b)
    top = log_integrand(mode, h, m, b)[0]
    edges = np.empty(4)  # where Φ turns is a place to refine at, as is the mode
    edges[0], edges[3] = mode - reach(-1.0, mode, h, m, b), mode + reach(1.0, mode, h, m, b)
    turn = min(max(-m / b, edges[0]), edges[3]) if b != 0 else mode
    edges[1], edges[2] = min(mode, turn), max(mode, turn)
    grain, total = 3.0 / (1.0 + abs(b)), 0.0
    for i in range(3):
        half = 0.5 * (edges[i + 1] - edges[i])
        if half > 0:
            first = min(grain, 0.5 * half)
            total += piece(edges[i], half, first, h, m, b, top) + piece(edges[i + 1], -half, first, h, m, b, top)
    return top + math.log(total) - 0.5 * _LOG_2PI


@numba.njit(cache=True, error_model="numpy")
def log_both_below(h, k, r):
    """Log Φ₂(h, k; r), good to 1e-10 relative in any tail; |r| is kept a little below 1."""
    r = min(max(r, -_CLOSE), _CLOSE)
    made = both_below(h, k, r)
    return math.log(made) if made > _SMALL else log_both_below_in_tail(h, k, r)


@numba.njit(cache=True, error_model="numpy")
def log_density(h, k, r):
    """Log φ₂(h, k; r)."""
    left = (1.0 - r) * (1.0 + r)
    return -_LOG_2PI - 0.5 * math.log(left) - 0.5 * (h * h + (k - r * h) ** 2 / left)


@numba.njit(cache=True, error_model="numpy")
def log_slope(h, k, r):
    """Log ∂Φ₂/∂h = log φ(h) Φ((k - r h) / √(1 - r²))."""
    return -0.5 * (_LOG_2PI + h * h) + log_normal_cdf((k - r * h) / math.sqrt((1.0 - r) * (1.0 + r)))[0]


@numba.njit(cache=True, error_model="numpy")
def add_slopes(out, share, d_h, d_k, d_r, h, k, r, sign_a, sign_b, var_a, var_b, square_a, square_b):
    """Add share times the derivatives of a component in (u_a, u_b, v_a, v_b, c, t_a, t_b) to out."""
    root_a, root_b = math.sqrt(var_a), math.sqrt(var_b)
    on_a, on_b = -0.5 * (d_h * h + d_r * r) / var_a, -0.5 * (d_k * k + d_r * r) / var_b
    out[0] += share * d_h * sign_a / root_a
    out[1] += share * d_k * sign_b / root_b
    out[2] += share * on_a
    out[3] += share * on_b
    out[4] += share * d_r * sign_a * sign_b / (root_a * root_b)
    out[5] += share * on_a / square_a
    out[6] += share * on_b / square_b


@numba.njit(cache=True, error_model="numpy")
def two_signs(u, v, c, t, sign, weights, slopes, sizes, out):
    """P(both signs) of two propensities, summed over the components of both links; its derivatives in out (7,).

    Parameters
    ----------
    u, v, c, t : (2,), (2,), float, (2,)
        Means, variances and covariance of what the propensities read of the unseen values, and error variances.
    sign, weights, slopes, sizes : (2,), (2, J), (2, J), (2,)
        +1 or -1, and the links as mixtures of probits.
    out : (7,) array
        Filled with ∂/∂(u_a, u_b, v_a, v_b, c, t_a, t_b).
    """
    total = 0.0
    out[:] = 0.0
    for i in range(sizes[0]):
        square_a = slopes[0, i] ** 2
        var_a = t[0] / square_a + v[0]
        h = sign[0] * u[0] / math.sqrt(var_a)
        for j in range(sizes[1]):
            square_b = slopes[1, j] ** 2
            var_b = t[1] / square_b + v[1]
            k = sign[1] * u[1] / math.sqrt(var_b)
            r = min(max(sign[0] * sign[1] * c / math.sqrt(var_a * var_b), -_CLOSE), _CLOSE)
            share = weights[0, i] * weights[1, j]
            left = (1.0 - r) * (1.0 + r)
            root = math.sqrt(left)
            total += share * both_below(h, k, r)
            d_h = math.exp(-0.5 * h * h) / _ROOT_2PI * normal_cdf((k - r * h) / root)
            d_k = math.exp(-0.5 * k * k) / _ROOT_2PI * normal_cdf((h - r * k) / root)
            d_r = math.exp(-0.5 * (h * h + (k - r * h) ** 2 / left)) / (2 * math.pi * root)
            add_slopes(out, share, d_h, d_k, d_r, h, k, r, sign[0], sign[1], var_a, var_b, square_a, square_b)
    return total


@numba.njit(cache=True, error_model="numpy")
def log_two_signs(u, v, c, t, sign, weights, slopes, sizes, out):
    """Log P(both signs), and its derivatives in out (7,); arguments of `two_signs`."""
    total = two_signs(u, v, c, t, sign, weights, slopes, sizes, out)
    if total > _SMALL:
        out /= total
        return math.log(total)
    return log_two_signs_in_tail(u, v, c, t, sign, weights, slopes, sizes, out)


@numba.njit(cache=True, error_model="numpy")
def log_two_signs_in_tail(u, v, c, t, sign, weights, slopes, sizes, out):
    """`log_two_signs` in logarithms."""
    parts = np.empty(sizes[0] * sizes[1])
    log_components(u, v, c, t, sign, weights, slopes, sizes, parts)
    top = parts.max()
    total = 0.0
    for i in range(len(parts)):
        total += math.exp(parts[i] - top)
    value = top + math.log(total)
    out[:] = 0.0
    for i in range(sizes[0]):
        square_a = slopes[0, i] ** 2
        var_a = t[0] / square_a + v[0]
        h = sign[0] * u[0] / math.sqrt(var_a)
        for j in range(sizes[1]):
            square_b = slopes[1, j] ** 2
            var_b = t[1] / square_b + v[1]
            k = sign[1] * u[1] / math.sqrt(var_b)
            r = min(max(sign[0] * sign[1] * c / math.sqrt(var_a * var_b), -_CLOSE), _CLOSE)
            at = math.log(weights[0, i] * weights[1, j]) - value
            d_h = math.exp(at + log_slope(h, k, r))
            d_k = math.exp(at + log_slope(k, h, r))
            d_r = math.exp(at + log_density(h, k, r))
            add_slopes(out, 1.0, d_h, d_k, d_r, h, k, r, sign[0], sign[1], var_a, var_b, square_a, square_b)
    return value


@numba.njit(cache=True, error_model="numpy")
def log_components(u, v, c, t, sign, weights, slopes, sizes, out):
    """Fill out with log p_i p_j Φ₂ of every pair of components, the second's fastest; arguments of `two_signs`."""
    for i in range(sizes[0]):
        var_a = t[0] / slopes[0, i] ** 2 + v[0]
        for j in range(sizes[1]):
            var_b = t[1] / slopes[1, j] ** 2 + v[1]
            h, k = sign[0] * u[0] / math.sqrt(var_a), sign[1] * u[1] / math.sqrt(var_b)
            r = sign[0] * sign[1] * c / math.sqrt(var_a * var_b)
            out[i * sizes[1] + j] = math.log(weights[0, i] * weights[1, j]) + log_both_below(h, k, r)


@numba.njit(cache=True, error_model="numpy")
def pair_weights(u, v, c, t, sign, weights, slopes, sizes):
    """`log_components` of every row of u (n, 2), unnormalised posterior weights in logarithms: (n, J J')."""
    out = np.empty((len(u), sizes[0] * sizes[1]))
    for row in range(len(u)):
        log_components(u[row], v, c, t, sign, weights, slopes, sizes, out[row])
    return out


@numba.njit(cache=True, error_model="numpy")
def mean_slopes(u, v, c, t, sign, weights, slopes, sizes):
    """∂ log P(both signs) / ∂u of every row of u (n, 2): Var(z)⁻¹ (E[z | both signs] - u), (n, 2)."""
    made, out = np.empty(u.shape), np.empty(7)
    for row in range(len(u)):
        log_two_signs(u[row], v, c, t, sign, weights, slopes, sizes, out)
        made[row, 0], made[row, 1] = out[0], out[1]
    return made


@numba.njit(cache=True, error_model="numpy")
def quantile_both_below(uniform, h, k, r):
    """The x below h with P(Z₁ < x | Z₁ < h, Z₂ < k) = uniform: Newton inside a bracket.

    Log Φ₂ is concave and increasing in x, so that Newton's steps from the left stay there.
    """
    r = min(max(r, -_CLOSE), _CLOSE)
    target = math.log(max(uniform, 1e-300)) + log_both_below(h, k, r)
    high, width = h, 1.0
    low = high - width
    while log_both_below(low, k, r) > target:
        high, width = low, 2.0 * width
        low = high - width
    x = low
    for _ in range(100):
        value = log_both_below(x, k, r)
        if value < target:
            low = x
        else:
            high = x
        ahead = x + (target - value) * math.exp(min(value - log_slope(x, k, r), 700.0))
        if not low < ahead < high:
            ahead = 0.5 * (low + high)
        if abs(ahead - x) < 1e-13 * (1.0 + abs(x)):
            break
        x = ahead
    return x


@numba.njit(cache=True, error_model="numpy")
def quantile_given_below(uniform, h, k, r):
    """`quantile_both_below` of every element of arrays."""
    out = np.empty(len(h))
    for row in range(len(h)):
        out[row] = quantile_both_below(uniform[row], h[row], k[row], r[row])
    return out
