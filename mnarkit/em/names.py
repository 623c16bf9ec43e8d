"""Names of parameters, and the vector in which they stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.errors import SpecError

__all__ = [
    "IndicatorEstimate",
    "coef_names",
    "cov_names",
    "finite_values",
    "pack_cov",
    "pack_named",
    "unpack_cov",
]


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


def cov_names(columns: tuple[str, ...], arms: tuple[str, ...] = ()) -> list[str]:
    """Name the lower triangle of a covariance row by row: `var(a)`, `cov(a, b)`, `var(b)`, ...; `var(a)[arm]`, ..."""
    pairs = list(zip(*np.tril_indices(len(columns)), strict=True))
    one = [f"cov({columns[j]}, {columns[i]})" if i != j else f"var({columns[i]})" for i, j in pairs]
    return [f"{name}[{arm}]" for arm in arms for name in one] if arms else one


def pack_cov(cov: np.ndarray) -> np.ndarray:
    """Lay the lower triangle of a covariance, (p, p) or one for each arm, out as a vector."""
    lower = np.tril_indices(cov.shape[-1])
    return cov[..., lower[0], lower[1]].ravel()


def unpack_cov(values: np.ndarray, p: int, arms: int = 0) -> np.ndarray:
    """Undo `pack_cov`."""
    cov = np.zeros((max(arms, 1), p, p), dtype=values.dtype)
    lower = np.tril_indices(p)
    cov[:, lower[0], lower[1]] = values.reshape(len(cov), -1)
    cov = cov + np.tril(cov, -1).transpose(0, 2, 1)
    return cov if arms else cov[0]


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
    values, names = [coef.ravel(), pack_cov(cov)], []
    for one in indicators:
        values.append(one.coef)
        names += [f"{one.name}{one.between}{term}" for term in one.terms]
        if one.rho is not None:
            values.append(np.array([one.rho]))
            names.append(f"rho{one.name[one.name.index('(') :]}")
    return np.concatenate(values), names
