"""Log densities with their derivatives, in NumPy: in the linear predictor, in auxiliary parameters and in the value.

The values are those of `density.py`, which PyTensor shares; the tests compare them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

__all__ = ["Slopes", "indicator_slopes", "slope_in_value", "slopes"]

type Slopes = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
type Auxiliary = Mapping[str, Any]

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_FAR = 1e6


def slopes(family: str, y: np.ndarray, eta: np.ndarray, aux: Auxiliary, bounds: tuple[float, float]) -> Slopes:
    """Log f(y | η), its derivative in η, and those in the auxiliary parameters by name; each elementwise.

    `categorical` has η and its derivative of shape (N, K - 1), `ordinal` the derivative in its cutpoints (N, K - 1).
    """
    if family == "beta":
        low, high = bounds
        value, d_eta, more = _beta((y - low) / (high - low), eta, aux)
        return value - np.log(high - low), d_eta, more
    return _SLOPES[family](y, eta, aux)


def indicator_slopes(link: str, sign: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log P(indicator as it is | η) and its derivative in η."""
    at = sign * eta
    if link == "probit":
        value = special.log_ndtr(at)
        return value, sign * np.exp(-0.5 * at**2 - _HALF_LOG_2PI - value)
    return -_softplus(-at), sign * special.expit(-at)


def slope_in_value(
    family: str, y: np.ndarray, eta: np.ndarray, aux: Auxiliary, bounds: tuple[float, float]
) -> np.ndarray:
    """Derivative of log f(y | η) in y, for continuous families."""
    match family:
        case "normal" | "student_t" | "skew_normal":
            return -_SLOPES[family](y, eta, aux)[1]
        case "lognormal":
            return (-_SLOPES[family](y, eta, aux)[1] - 1) / y
        case "gamma":
            shape = aux["cv"] ** -2.0
            return (shape - 1 - shape * y * np.exp(-eta)) / y
    low, high = bounds
    inside, precision = (y - low) / (high - low), aux["spread"] ** -2.0 - 1
    one, two = precision * special.expit(eta), precision * special.expit(-eta)
    return ((one - 1) / inside - (two - 1) / (1 - inside)) / (high - low)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _normal(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    sd = aux["sd"]
    z = (y - eta) / sd
    return -0.5 * z**2 - np.log(sd) - _HALF_LOG_2PI, z / sd, {"sd": (z**2 - 1) / sd}


def _lognormal(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    log_y = np.log(y)
    value, d_eta, more = _normal(log_y, eta, aux)
    return value - log_y, d_eta, more


def _student_t(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    df, scale = aux["df"], aux["scale"]
    r = (y - eta) / scale
    q, slope = r**2 / df, (df + 1) * r / (scale * (df + r**2))
    head = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(np.pi * df) - np.log(scale)
    d_head = 0.5 * (special.digamma((df + 1) / 2) - special.digamma(df / 2) - 1 / df)
    in_df = d_head - 0.5 * np.log1p(q) + 0.5 * (df + 1) * q / (df * (1 + q))
    return head - 0.5 * (df + 1) * np.log1p(q), slope, {"scale": slope * r - 1 / scale, "df": in_df}


def _skew_normal(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    sd, skew = aux["sd"], aux["skew"]
    b, k = np.sqrt(2 / np.pi), 2 / np.pi
    delta = skew / np.sqrt(1 + skew**2)
    left = 1 - k * delta**2
    omega = sd / np.sqrt(left)
    r = (y - eta) / omega
    z = r + b * delta
    log_cdf = special.log_ndtr(skew * z)
    mills = np.exp(-0.5 * (skew * z) ** 2 - _HALF_LOG_2PI - log_cdf)
    in_z = -z + skew * mills
    d_delta = (1 + skew**2) ** -1.5
    d_log_omega = k * delta * d_delta / left
    value = np.log(2) - np.log(omega) - 0.5 * z**2 - _HALF_LOG_2PI + log_cdf
    in_skew = -d_log_omega + in_z * (b * d_delta - r * d_log_omega) + mills * z
    return value, -in_z / omega, {"sd": -(1 + in_z * r) / sd, "skew": in_skew}


def _bernoulli(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    small = np.exp(-np.abs(eta))
    p = np.where(eta > 0, 1.0, small) / (1 + small)
    return y * eta - np.maximum(eta, 0) - np.log1p(small), y - p, {}


def _ordinal(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    cuts = np.concatenate([[-_FAR], aux["cutpoints"], [_FAR]])
    level = y.astype(np.int64)
    lower, upper = cuts[level] - eta, cuts[level + 1] - eta
    value = -_softplus(-upper) - _softplus(lower) + np.log(-np.expm1(lower - upper))
    ratio = 1 / np.expm1(np.minimum(upper - lower, 700.0))
    in_upper, in_lower = special.expit(-upper) + ratio, -special.expit(lower) - ratio
    on = np.zeros((len(y), len(cuts)))
    rows = np.arange(len(y))
    on[rows, level + 1] = in_upper
    on[rows, level] = in_lower
    return value, -(in_upper + in_lower), {"cutpoints": on[:, 1:-1]}


def _categorical(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    every = np.column_stack([np.zeros(len(eta)), eta])
    level, rows = y.astype(np.int64), np.arange(len(eta))
    whole = special.logsumexp(every, axis=1)
    d_eta = -np.exp(every - whole[:, None])
    d_eta[rows, level] += 1
    return every[rows, level] - whole, d_eta[:, 1:], {}


def _poisson(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    mean = np.exp(eta)
    return y * eta - mean, y - mean, {}


def _negative_binomial(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    log_size = -2 * np.log(aux["cv"])
    size, past = np.exp(log_size), _softplus(eta - log_size)
    share = special.expit(eta - log_size)
    value = special.gammaln(y + size) - special.gammaln(size) + y * (eta - log_size) - (y + size) * past
    in_size = special.digamma(y + size) - special.digamma(size) - past
    in_log_size = size * in_size - y + (y + size) * share
    return value, y - (y + size) * share, {"cv": -2 / aux["cv"] * in_log_size}


def _gamma(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    shape, log_y = aux["cv"] ** -2.0, np.log(y)
    ratio = np.exp(log_y - eta)
    bracket = np.log(shape) + log_y - eta - ratio
    in_shape = bracket + 1 - special.digamma(shape)
    value = shape * bracket - log_y - special.gammaln(shape)
    return value, shape * (ratio - 1), {"cv": -2 * aux["cv"] ** -3.0 * in_shape}


def _beta(y: np.ndarray, eta: np.ndarray, aux: Auxiliary) -> Slopes:
    precision = aux["spread"] ** -2.0 - 1
    mean, rest = special.expit(eta), special.expit(-eta)
    one, two = precision * mean, precision * rest
    log_y, log_rest = np.log(y), np.log1p(-y)
    head = special.gammaln(precision) - special.gammaln(one) - special.gammaln(two)
    in_one, in_two = log_y - special.digamma(one), log_rest - special.digamma(two)
    in_precision = special.digamma(precision) + mean * in_one + rest * in_two
    value = head + (one - 1) * log_y + (two - 1) * log_rest
    d_eta = precision * mean * rest * (in_one - in_two)
    return value, d_eta, {"spread": -2 * aux["spread"] ** -3.0 * in_precision}


_SLOPES: Mapping[str, Callable[[np.ndarray, np.ndarray, Auxiliary], Slopes]] = {
    "normal": _normal,
    "lognormal": _lognormal,
    "student_t": _student_t,
    "skew_normal": _skew_normal,
    "bernoulli": _bernoulli,
    "ordinal": _ordinal,
    "categorical": _categorical,
    "poisson": _poisson,
    "negative_binomial": _negative_binomial,
    "gamma": _gamma,
}
