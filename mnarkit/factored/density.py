"""Log densities of every family given its linear predictor, once for NumPy and for PyTensor.

η is the linear predictor in the units of the link, `aux` the auxiliary parameters by name; `a` holds the arithmetic.
Terms that depend on recorded counts alone stand in `constants`, which is computed once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from mnarkit.factored.arithmetic import Arithmetic

__all__ = ["constants", "indicator", "log_density"]

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_FAR = 1e6  # a cutpoint beyond which nothing lies


def log_density(
    family: str, y: Any, eta: Any, aux: Mapping[str, Any], bounds: tuple[float, float], a: Arithmetic
) -> Any:
    """Log f(y | η), elementwise over (N,); `categorical` has η of shape (N, K - 1). `constants` are left out."""
    if family == "beta":
        low, high = bounds
        return _beta((y - low) / (high - low), eta, aux, a) - np.log(high - low)
    return _DENSITIES[family](y, eta, aux, a)


def indicator(link: str, sign: Any, eta: Any, a: Arithmetic) -> Any:
    """Log P(indicator as it is | η): sign is +1 where the value is missing and -1 where it is recorded."""
    return a.log_normal_cdf(sign * eta) if link == "probit" else -a.softplus(-sign * eta)


def constants(family: str, y: np.ndarray) -> np.ndarray:
    """Take the part of log f that depends on data alone: -log y! for counts."""
    return -special.gammaln(y + 1) if family in ("poisson", "negative_binomial") else np.zeros(len(y))


def _normal(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    return -0.5 * ((y - eta) / aux["sd"]) ** 2 - a.xp.log(aux["sd"]) - _HALF_LOG_2PI


def _lognormal(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    log_y = a.xp.log(y)
    return _normal(log_y, eta, aux, a) - log_y


def _student_t(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    df, scale = aux["df"], aux["scale"]
    head = a.gammaln((df + 1) / 2) - a.gammaln(df / 2) - 0.5 * a.xp.log(np.pi * df) - a.xp.log(scale)
    return head - (df + 1) / 2 * a.xp.log1p(((y - eta) / scale) ** 2 / df)


def _skew_normal(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    """2/ω φ(z) Φ(α z), z = (y - ξ)/ω, with mean η and sd σ (Azzalini 1985): δ = α/√(1 + α²), ω = σ/√(1 - 2δ²/π)."""
    sd, skew = aux["sd"], aux["skew"]
    delta = skew / a.xp.sqrt(1 + skew**2)
    omega = sd / a.xp.sqrt(1 - 2 / np.pi * delta**2)
    z = (y - eta) / omega + np.sqrt(2 / np.pi) * delta
    return np.log(2) - a.xp.log(omega) - 0.5 * z**2 - _HALF_LOG_2PI + a.log_normal_cdf(skew * z)


def _bernoulli(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    return -a.softplus((1 - 2 * y) * eta)


def _ordinal(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    """log(expit(u) - expit(l)) = log expit(u) + log expit(-l) + log(1 - exp(l - u)), l < u the cutpoints less η."""
    cuts = a.xp.concatenate([[-_FAR], aux["cutpoints"], [_FAR]])
    level = y.astype("int64")
    lower, upper = cuts[level] - eta, cuts[level + 1] - eta
    return -a.softplus(-upper) - a.softplus(lower) + a.xp.log(-a.xp.expm1(lower - upper))


def _categorical(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    every = a.xp.concatenate([0.0 * eta[:, :1], eta], axis=1)
    return every[a.xp.arange(every.shape[0]), y.astype("int64")] - a.log_sum_exp(every)


def _poisson(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    return y * eta - a.xp.exp(eta)


def _negative_binomial(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    """Var y = μ + (cv μ)², size k = 1 / cv²; log(k + μ) is taken as log k + softplus(η - log k)."""
    log_size = -2 * a.xp.log(aux["cv"])
    size = a.xp.exp(log_size)
    past = a.softplus(eta - log_size)
    return a.gammaln(y + size) - a.gammaln(size) + y * (eta - log_size) - (y + size) * past


def _gamma(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    """Mean exp η, sd cv times the mean: shape k = 1 / cv²."""
    shape = aux["cv"] ** -2.0
    log_y = a.xp.log(y)
    return shape * (a.xp.log(shape) + log_y - eta - a.xp.exp(log_y - eta)) - log_y - a.gammaln(shape)


def _beta(y: Any, eta: Any, aux: Mapping[str, Any], a: Arithmetic) -> Any:
    """Mean μ = expit η, variance spread² μ (1 - μ): precision 1 / spread² - 1."""
    precision = aux["spread"] ** -2.0 - 1
    one = precision * a.xp.exp(-a.softplus(-eta))
    two = precision * a.xp.exp(-a.softplus(eta))
    head = a.gammaln(precision) - a.gammaln(one) - a.gammaln(two)
    return head + (one - 1) * a.xp.log(y) + (two - 1) * a.xp.log1p(-y)


_DENSITIES: Mapping[str, Callable[[Any, Any, Mapping[str, Any], Arithmetic], Any]] = {
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
