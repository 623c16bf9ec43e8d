"""The functions that densities are made of, for PyTensor, under the names of `factored/arithmetic.py`."""

from typing import Any

import numpy as np
import pytensor.tensor
from pytensor.gradient import disconnected_grad

__all__ = ["add", "gammaln", "log_normal_cdf", "log_sum_exp", "put", "softplus", "xp"]

pt: Any = pytensor.tensor  # untyped: PyTensor annotates its results as variables without arithmetic

xp = pt
gammaln = pt.gammaln
softplus = pt.softplus


def log_normal_cdf(x: Any) -> Any:
    """Log Φ(x), in double precision on both sides; each side is kept where it is finite, for its gradient."""
    left, right = pt.minimum(x, -1.0), pt.maximum(x, -1.0)
    far = pt.log(0.5 * pt.erfcx(-left / np.sqrt(2))) - 0.5 * left**2
    return pt.switch(x < -1.0, far, pt.log1p(-0.5 * pt.erfc(right / np.sqrt(2))))


def log_sum_exp(x: Any) -> Any:
    """Log Σ exp x over the last axis."""
    most: Any = disconnected_grad(pt.max(x, axis=-1, keepdims=True))
    return pt.log(pt.sum(pt.exp(x - most), axis=-1)) + most[..., 0]


def put(x: Any, at: Any, values: Any) -> Any:
    """X with `values` in the places `at` of its first axis."""
    return pt.set_subtensor(x[at], values)


def add(x: Any, at: Any, values: Any) -> Any:
    """X with `values` added in the places `at`, each place once."""
    return pt.inc_subtensor(x[at], values)
