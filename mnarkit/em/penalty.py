"""Priors of a covariance, for posterior modes where the likelihood alone is flat or unbounded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnarkit.errors import SpecError

__all__ = ["CovariancePrior", "InverseWishart", "Jeffreys", "Penalty", "Ridge", "penalty"]


@dataclass(frozen=True, slots=True)
class Ridge:
    """|Σ|^(-(ξ + p + 1) / 2) exp(-½ tr(Σ⁻¹ Λ⁻¹)), Λ⁻¹ = ξ times the variances that EM starts at, correlations 0.

    Parameters
    ----------
    df : float
        ξ, above 0: correlations shrink toward 0 as if ξ further rows without correlation had been seen.

    References
    ----------
    Schafer (1997). Analysis of Incomplete Multivariate Data, section 5.2.3.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Ridge(3)
    Ridge(df=3.0)
    """

    df: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", _above(self.df, 0.0, "Ridge: df"))


@dataclass(frozen=True, slots=True)
class InverseWishart:
    """|Σ|^(-(ξ + p + 1) / 2) exp(-½ tr(Σ⁻¹ Λ⁻¹)): Σ inverse-Wishart, with the scale matrix Λ⁻¹.

    Parameters
    ----------
    df : float
        ξ, above -(p + 1).
    scale : (p, p) nested sequence
        Λ⁻¹, in the squared units of the modelled columns and in their order: symmetric, no negative eigenvalue.

    References
    ----------
    Schafer (1997). Analysis of Incomplete Multivariate Data, section 5.2.2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.InverseWishart(3, [[2.0, 0.0], [0.0, 1.0]]).df
    3.0
    """

    df: float
    scale: tuple[tuple[float, ...], ...]

    def __init__(self, df: float, scale: Sequence[Sequence[float]]) -> None:
        object.__setattr__(self, "df", _above(df, -np.inf, "InverseWishart: df"))
        matrix = _matrix(scale)
        if matrix is None or not np.allclose(matrix, matrix.T):
            raise SpecError(f"InverseWishart: scale is a symmetric (p, p) matrix of numbers, not {scale!r}")
        if np.linalg.eigvalsh(matrix)[0] < -1e-10 * np.abs(matrix).max():
            raise SpecError(f"InverseWishart: scale has a negative eigenvalue ({np.linalg.eigvalsh(matrix)[0]:g})")
        object.__setattr__(self, "scale", tuple(tuple(row) for row in matrix.tolist()))


@dataclass(frozen=True, slots=True)
class Jeffreys:
    """|Σ|^(-(p + 1) / 2): the non-informative prior; its mode divides by n + p + 1 instead of n.

    References
    ----------
    Schafer (1997). Analysis of Incomplete Multivariate Data, eq. 5.18.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Jeffreys()
    Jeffreys()
    """


type CovariancePrior = Ridge | InverseWishart | Jeffreys


@dataclass(frozen=True, slots=True, eq=False)
class Penalty:
    """log p(Σ) = -½ weight log|Σ| - ½ tr(Σ⁻¹ scatter), without its normalising constant."""

    weight: float
    scatter: np.ndarray

    def log_density(self, cov: np.ndarray) -> float:
        """Take log p(Σ)."""
        if not self.weight and not self.scatter.any():
            return 0.0
        sign, log_det = np.linalg.slogdet(cov)
        if sign <= 0:
            return -np.inf
        return float(-0.5 * self.weight * log_det - 0.5 * np.trace(np.linalg.solve(cov, self.scatter)))


def penalty(prior: CovariancePrior | None, start_variances: np.ndarray, scale: np.ndarray) -> Penalty:
    """Put a prior on columns divided by `scale`; `start_variances` are those of the divided columns."""
    p = len(scale)
    match prior:
        case None:
            return Penalty(0.0, np.zeros((p, p)))
        case Ridge(df):
            return Penalty(df + p + 1, df * np.diag(start_variances))
        case InverseWishart(df, given):
            matrix = np.array(given)
            if matrix.shape != (p, p):
                raise SpecError(f"InverseWishart: scale is {len(matrix)} x {len(matrix)} for {p} modelled columns")
            if df <= -(p + 1):
                raise SpecError(f"InverseWishart: df is above -(p + 1) = {-(p + 1)} for {p} columns, not {df:g}")
            return Penalty(df + p + 1, matrix / np.outer(scale, scale))
        case Jeffreys():
            return Penalty(p + 1.0, np.zeros((p, p)))
    raise SpecError(f"prior= is mk.Ridge(df), mk.InverseWishart(df, scale), mk.Jeffreys() or None, not {prior!r}")


def _matrix(scale: object) -> np.ndarray | None:
    """Read a square matrix of numbers, or None."""
    try:
        made = np.array(scale, dtype=float)
    except (TypeError, ValueError):
        return None
    square = made.ndim == 2 and len(set(made.shape)) == 1 and made.size and np.all(np.isfinite(made))
    return made if square else None


def _above(value: float, low: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low < value < np.inf:
        raise SpecError(f"{what} is a number{f' above {low:g}' if np.isfinite(low) else ''}, not {value!r}")
    return float(value)
