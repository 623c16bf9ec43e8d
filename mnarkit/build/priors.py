"""Priors as free variables of an open PyMC model, on standardised columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor

from mnarkit.priors import Prior

__all__ = ["coefficient", "location_scale", "positive"]

_NORMAL_DF = 1e8  # a Student t with so many degrees of freedom is normal to 1e-8
# untyped: PyTensor annotates its results as variables without arithmetic, and elementwise functions as returning None
pt: Any = pytensor.tensor


def location_scale(name: str, priors: list[Prior], units: np.ndarray, *, dims: Sequence[str | None]) -> Any:
    """Coefficients with normal or Student t priors, one for each along the last axis, in standardised units."""
    raw = np.array([p.unit == "raw" for p in priors])
    factor: Any = pm.Data(f"{name}_unit", np.where(raw, units, 1.0)) if raw.any() else 1.0
    mean = np.array([p.values[-2] for p in priors]) * factor
    scale = np.array([p.values[-1] for p in priors]) * factor
    if all(p.family == "normal" for p in priors):
        return pm.Normal(name, mu=mean, sigma=scale, dims=dims)
    df = np.array([p.values[0] if p.family == "student_t" else _NORMAL_DF for p in priors])
    return pm.StudentT(name, nu=df, mu=mean, sigma=scale, dims=dims)


def positive(name: str, prior: Prior, units: Any, *, dims: Sequence[str | None] | None) -> Any:
    """A half normal or half Student t parameter, in standardised units."""
    factor: Any = pm.Data(f"{name}_unit", units) if prior.unit == "raw" else 1.0
    if prior.family == "half_normal":
        return pm.HalfNormal(name, sigma=prior.values[0] * factor, dims=dims)
    return pm.HalfStudentT(name, nu=prior.values[0], sigma=prior.values[1] * factor, dims=dims)


def coefficient(name: str, prior: Prior | float, unit: float) -> Any:
    """One coefficient with a prior, or a number that fixes it in raw units; standardised."""
    raw = not isinstance(prior, Prior) or prior.unit == "raw"
    factor: Any = pm.Data(f"{name}_unit", np.asarray(unit)) if raw else 1.0
    if not isinstance(prior, Prior):
        return pt.as_tensor(prior) * factor
    a, b = prior.values[-2] * factor, prior.values[-1] * factor
    match prior.family:
        case "uniform":
            return pm.Uniform(name, a, b)
        case "student_t":
            return pm.StudentT(name, nu=prior.values[0], mu=a, sigma=b)
    return pm.Normal(name, mu=a, sigma=b)
