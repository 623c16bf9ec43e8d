"""Names of parameters, and the vector in which they stand."""

from dataclasses import dataclass

import numpy as np

__all__ = ["IndicatorEstimate", "coef_names", "cov_names", "pack_named"]


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
    """

    name: str
    terms: tuple[str, ...]
    coef: np.ndarray
    rho: float | None = None


def coef_names(columns: tuple[str, ...], terms: tuple[str, ...]) -> list[str]:
    """Name coefficients, `y ~ x`, column by column."""
    return [f"{column} ~ {term}" for column in columns for term in terms]


def cov_names(columns: tuple[str, ...]) -> list[str]:
    """Name the lower triangle of a covariance row by row: `var(a)`, `cov(a, b)`, `var(b)`, ..."""
    pairs = zip(*np.tril_indices(len(columns)), strict=True)
    return [f"cov({columns[j]}, {columns[i]})" if i != j else f"var({columns[i]})" for i, j in pairs]


def pack_named(
    coef: np.ndarray, cov: np.ndarray, indicators: tuple[IndicatorEstimate, ...]
) -> tuple[np.ndarray, list[str]]:
    """All estimates in one vector, and the names of those after the covariance."""
    values, names = [coef.ravel(), cov[np.tril_indices(len(cov))]], []
    for one in indicators:
        values.append(one.coef)
        names += [f"{one.name} ~ {term}" for term in one.terms]
        if one.rho is not None:
            values.append(np.array([one.rho]))
            names.append(f"rho{one.name[one.name.index('(') :]}")
    return np.concatenate(values), names
