"""The functions that densities are made of, for NumPy; `build/` has the same names for PyTensor."""

from typing import Any, Protocol

import numpy as np
from scipy import special

__all__ = ["Arithmetic", "add", "gammaln", "log_normal_cdf", "log_sum_exp", "put", "softplus", "xp"]


class Arithmetic(Protocol):
    """What a density needs: `xp` is NumPy or PyTensor, the rest differs between them."""

    xp: Any
    gammaln: Any
    softplus: Any
    log_normal_cdf: Any
    log_sum_exp: Any
    put: Any
    add: Any


xp = np
gammaln = special.gammaln
log_normal_cdf = special.log_ndtr


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp x), elementwise."""
    return np.logaddexp(0.0, x)


def log_sum_exp(x: np.ndarray) -> np.ndarray:
    """Log Σ exp x over the last axis."""
    return special.logsumexp(x, axis=-1)


def put(x: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """X with `values` in the places `at` of its first axis."""
    made = np.array(x, dtype=np.float64)
    made[at] = values
    return made


def add(x: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """X with `values` added in the places `at`, each place once."""
    made = np.array(x, dtype=np.float64)
    made[at] += values
    return made
