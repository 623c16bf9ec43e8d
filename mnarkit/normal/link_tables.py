"""log F and its derivatives for the probit and the logit, from tables: faster than erfc, exp and log.

A cell of width 1/32 has the polynomial of degree 5 that agrees with log F and two derivatives at both its ends; the
error is below 1e-12 in log F and 1e-10 in F'/F (a test compares them).
"""

import math

import numba
import numpy as np
from scipy.special import log_expit, log_ndtr

from mnarkit.normal.signs import log_normal_cdf

__all__ = ["log_link"]

_CELLS = 32  # a unit
_LOW, _HIGH = -40, 40  # below, the logit is x and the probit is computed; above, both are 0 to 1e-17


def _coefficients(value: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Coefficients of the polynomial of each cell in (x - left end) * 32, constant first: (cells, 6)."""
    d, s = first / _CELLS, second / _CELLS**2
    v0, v1, d0, d1, s0, s1 = value[:-1], value[1:], d[:-1], d[1:], s[:-1], s[1:]
    rise = v1 - v0
    third = 10 * rise - 6 * d0 - 4 * d1 - 1.5 * s0 + 0.5 * s1
    fourth = -15 * rise + 8 * d0 + 7 * d1 + 1.5 * s0 - s1
    fifth = 6 * rise - 3 * (d0 + d1) - 0.5 * (s0 - s1)
    return np.column_stack([v0, d0, s0 / 2, third, fourth, fifth])


def _tables() -> np.ndarray:
    x = np.linspace(_LOW, _HIGH, (_HIGH - _LOW) * _CELLS + 1)
    mills = np.exp(-0.5 * x**2 - 0.5 * math.log(2 * math.pi) - log_ndtr(x))
    above = np.exp(log_expit(-x))
    probit = _coefficients(log_ndtr(x), mills, -mills * (x + mills))
    return np.concatenate([probit.ravel(), _coefficients(log_expit(x), above, -above * (1 - above)).ravel()])


_TABLES = _tables()  # the probit's cells, then the logit's, six numbers each
_LOGIT = len(_TABLES) // 2


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_link(x, logistic):
    """Log F, F' / F and F'' / F at x."""
    if x >= _HIGH:
        return 0.0, 0.0, 0.0
    if x <= _LOW:
        if logistic:
            return x, 1.0, 1.0
        value, mills = log_normal_cdf(x)
        return value, mills, -x * mills
    at = (x - _LOW) * _CELLS
    cell = int(at)
    s = at - cell
    k = 6 * cell + (_LOGIT if logistic else 0)
    a, b, c = _TABLES[k + 1], _TABLES[k + 2], _TABLES[k + 3]
    d, e = _TABLES[k + 4], _TABLES[k + 5]
    value = _TABLES[k] + s * (a + s * (b + s * (c + s * (d + s * e))))
    first = (a + s * (2 * b + s * (3 * c + s * (4 * d + s * 5 * e)))) * _CELLS
    return value, first, first * (2.0 * first - 1.0) if logistic else -x * first
