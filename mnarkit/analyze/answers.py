"""Answers: what an analysis says about one completed table, whatever form it comes in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.errors import DataError
from mnarkit.estimates import count, degrees, diagonal, floats, numbered

__all__ = ["Answer", "listed", "parameters", "read", "scalars"]

_MOST = 200  # parameters of a posterior that is read as estimates


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One imputation's analysis.

    Names, estimates (k,), covariance (k, k), degrees of freedom, and how many parameters its log likelihood has; None
    where degrees of freedom or likelihood are not known.
    """

    names: tuple[str, ...]
    estimates: np.ndarray
    covariance: np.ndarray
    df: float | None
    size: int | None = None


def _is_result(answer: Any) -> bool:
    """Whether it is a fitted statsmodels result."""
    return hasattr(answer, "params") and callable(getattr(answer, "cov_params", None))


def parameters(result: Any) -> Any:
    """The estimates of a fitted statsmodels result, with their names where it has them."""
    params = result.params
    names = getattr(getattr(result, "model", None), "exog_names", None)
    if not isinstance(params, pd.Series) and names is not None and np.shape(params) == (len(names),):
        return pd.Series(params, index=names)
    return params


def read(answer: Any, where: str) -> Answer:
    """Read what a function returned, or say in one line what it may return."""
    if _is_result(answer):
        return _of_result(answer, where)
    if hasattr(answer, "params_") and hasattr(answer, "variance_matrix_"):  # lifelines, with normal intervals
        return _of_numbers(_flat(answer.params_), np.asarray(answer.variance_matrix_), np.inf, where=where)
    if hasattr(answer, "coef_") and np.ndim(getattr(answer, "sigma_", 0.0)) == 2:  # scikit-learn's Bayesian models
        names = getattr(answer, "feature_names_in_", None)
        return _of_numbers(pd.Series(answer.coef_, index=names), answer.sigma_, where=where)
    if _is_posterior(answer):
        return _of_posterior(answer, where)
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        return _of_numbers(*answer, where=where)
    raise DataError(
        f"{where} returned {type(answer).__name__}; it must return (estimates, covariance), "
        "(estimates, covariance, df_complete), a fitted statsmodels or lifelines result, or a posterior"
    )


def _is_posterior(answer: Any) -> bool:
    """Whether it is what PyMC or Bambi return: a tree with the group 'posterior'."""
    return "posterior" in getattr(answer, "children", ()) and callable(getattr(answer["posterior"], "to_dataset", None))


def _of_posterior(answer: Any, where: str) -> Answer:
    """Means and covariances of all scalar parameters, normal; `mix_posteriors` keeps the draws instead."""
    named = scalars(answer["posterior"].to_dataset().transpose("chain", "draw", ...))
    if len(named) > _MOST:
        raise DataError(
            f"{where} returned a posterior of {len(named)} parameters; return those of interest alone, or use "
            "mk.mix_posteriors"
        )
    values = np.stack([draws.ravel() for draws in named.values()])
    return _of_numbers(
        pd.Series(values.mean(axis=1), index=list(named)), np.atleast_2d(np.cov(values)), np.inf, where=where
    )


def scalars(posterior: Any) -> dict[str, np.ndarray]:
    """Every scalar parameter of a Dataset with dims (chain, draw, ...) by name: (chains, draws) each."""
    found = {}
    for name, variable in posterior.data_vars.items():
        inner = variable.dims[2:]
        for at in np.ndindex(*variable.shape[2:]):
            labels = [
                str(variable.coords[d].values[i]) if d in variable.coords else str(i)
                for d, i in zip(inner, at, strict=True)
            ]
            found[f"{name}[{', '.join(labels)}]" if labels else str(name)] = variable.values[(..., *at)]
    return found


def _flat(params: pd.Series) -> pd.Series:
    """Name coefficients of several equations 'equation: term'."""
    if not isinstance(params.index, pd.MultiIndex):
        return params
    return params.set_axis([": ".join(map(str, levels)) for levels in params.index])


def _of_result(result: Any, where: str) -> Answer:
    """Read a fitted statsmodels result; on the normal distribution it has infinite degrees of freedom."""
    params = parameters(result)
    df = getattr(result, "df_resid", None) if getattr(result, "use_t", True) else np.inf
    read = _of_numbers(params, np.asarray(result.cov_params()), df, where=where)
    if not callable(getattr(getattr(result, "model", None), "loglike", None)):
        return read
    # statsmodels keeps the scale at 1 where the family has none of its own
    return replace(read, size=len(read.names) + int(getattr(result, "scale", 1.0) != 1.0))


def _of_numbers(estimates: Any, covariance: Any, df: Any = None, *, where: str) -> Answer:
    names, values = _labelled(estimates, f"{where}: the estimates")
    spread = floats(_in_order(covariance, names, where), f"{where}: the covariances")
    values = np.atleast_1d(values)
    k = len(values)
    if spread.ndim == 2 and not np.isfinite(spread).all():
        bad = count(int((~np.isfinite(spread)).sum()), "value")
        raise DataError(f"{where}: the covariance matrix has {bad} that are not finite numbers")
    if values.ndim == 1 and spread.size == k and spread.ndim < 2:
        spread = diagonal(spread.reshape(k))
    if values.ndim != 1 or not k or spread.shape != (k, k):
        raise DataError(
            f"{where}: estimates of shape {values.shape} with covariances of shape {spread.shape}; "
            "for k estimates give (k, k) covariances or k variances"
        )
    if not np.allclose(spread, spread.T, rtol=1e-6, atol=0, equal_nan=True):
        raise DataError(f"{where}: the covariance matrix is not symmetric")
    return Answer(numbered(k) if names is None else names, values, spread, degrees(df))


def _labelled(values: Any, what: str) -> tuple[tuple[str, ...] | None, np.ndarray]:
    if isinstance(values, Mapping):
        values = pd.Series(dict(values))
    names = tuple(map(str, values.index)) if isinstance(values, pd.Series) else None
    return names, floats(values, what)


def _in_order(covariance: Any, names: tuple[str, ...] | None, where: str) -> Any:
    """Labelled covariances or variances in the order of the labelled estimates."""
    if isinstance(covariance, Mapping):
        covariance = pd.Series(dict(covariance))
    if names is None or not isinstance(covariance, (pd.Series, pd.DataFrame)):
        return covariance
    axes = [list(map(str, axis)) for axis in covariance.axes]
    if any(sorted(axis) != sorted(names) for axis in axes):
        raise DataError(
            f"{where}: the estimates are of {listed(names)}, the covariances of {listed(axes[-1])}; name them alike"
        )
    values = covariance.to_numpy()
    for axis, labels in enumerate(axes):
        values = np.take(values, [labels.index(name) for name in names], axis=axis)
    return values


def listed(names: Iterable[str]) -> str:
    """Quote names and join them."""
    return ", ".join(map(repr, names))
