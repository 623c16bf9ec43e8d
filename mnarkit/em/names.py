"""Names of parameters, and the vector in which they stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.errors import SpecError

__all__ = ["IndicatorEstimate", "coef_names", "cov_names", "finite_values", "pack_named"]


@dataclass(frozen=True, slots=True, eq=False)
class IndicatorEstimate:
    """Estimates of a modelled indicator.

    Attributes
    ----------
    name : str
        `missing(y)` or `recorded(y)`.
    terms, coef : tuple of str, array
        Coefficients in the columns' own units.
    rho : float or None
        The error correlation of a Heckman model.
    between : str
        What stands between name and term.
    """

    name: str
    terms: tuple[str, ...]
    coef: np.ndarray
    rho: float | None = None
    between: str = " ~ "


def coef_names(columns: tuple[str, ...], terms: tuple[str, ...]) -> list[str]:
    """Name coefficients, `y ~ x`, column by column."""
    return [f"{column} ~ {term}" for column in columns for term in terms]


def cov_names(columns: tuple[str, ...]) -> list[str]:
    """Name the lower triangle of a covariance row by row: `var(a)`, `cov(a, b)`, `var(b)`, ..."""
    pairs = zip(*np.tril_indices(len(columns)), strict=True)
    return [f"cov({columns[j]}, {columns[i]})" if i != j else f"var({columns[i]})" for i, j in pairs]


def finite_values(given: Mapping[str, Any], names: list[str]) -> np.ndarray:
    """Take start values by name, in order.

    Raises
    ------
    SpecError
        One that is no finite number of usual size, with its name.
    """
    for name in names:
        value = given[name]
        if not isinstance(value, (int, float, np.integer, np.floating)) or not abs(float(value)) < 1e100:
            raise SpecError(f"start= has {value!r} for {name!r}; every start value is a finite number")
    return np.array([float(given[name]) for name in names])


def pack_named(
    coef: np.ndarray, cov: np.ndarray, indicators: tuple[IndicatorEstimate, ...]
) -> tuple[np.ndarray, list[str]]:
    """All estimates in one vector, and the names of those after the covariance."""
    values, names = [coef.ravel(), cov[np.tril_indices(len(cov))]], []
    for one in indicators:
        values.append(one.coef)
        names += [f"{one.name}{one.between}{term}" for term in one.terms]
        if one.rho is not None:
            values.append(np.array([one.rho]))
            names.append(f"rho{one.name[one.name.index('(') :]}")
    return np.concatenate(values), names
