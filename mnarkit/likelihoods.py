"""Log likelihoods of one analysis on m completed tables: at their maxima, at given coefficients, and stacked."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["LeastSquares", "Likelihoods"]


class Likelihoods(Protocol):
    """What tests of nested models ask of an analysis; θ are its k coefficients, in the order of its terms."""

    @property
    def size(self) -> int:
        """The number of free parameters, those of the residuals included."""
        ...

    def fitted(self) -> np.ndarray:
        """The largest l_k, shape (m,)."""
        ...

    def at(self, coefficients: np.ndarray) -> np.ndarray:
        """l_k at the slopes given, maximised over intercept and residual variance in each imputation, shape (m,)."""
        ...

    def stacked(self) -> float:
        """The largest (1/m) Σ l_k of parameters that all imputations share."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LeastSquares:
    """Normal regressions of y on X, by the triangular factors F of (X, y): F'F = (X, y)'(X, y).

    Attributes
    ----------
    factors : ndarray, shape (m, q + 1, q + 1)
        One factor an imputation, all that the likelihood depends on.
    rows : int
        The rows of each table.
    intercept : ndarray, shape (q,), or None
        The coefficients of X that give a column of ones.
    """

    factors: np.ndarray
    rows: int
    intercept: np.ndarray | None

    @property
    def size(self) -> int:
        """Coefficients and a residual variance: q + 1."""
        return self.factors.shape[-1]

    @property
    def estimates(self) -> np.ndarray:
        """θ̂_k = R⁻¹ Q'y, shape (m, q)."""
        return np.linalg.solve(self.factors[:, :-1, :-1], self.factors[:, :-1, -1:])[..., 0]

    @property
    def covariances(self) -> np.ndarray:
        """σ̂²_k (X'X)⁻¹ with σ̂² = RSS / (n - q), shape (m, q, q)."""
        inverse = np.linalg.inv(self.factors[:, :-1, :-1])
        variance = np.square(self.factors[:, -1, -1]) / (self.rows - self.size + 1)
        return variance[:, None, None] * inverse @ inverse.mT

    def fitted(self) -> np.ndarray:
        """-n/2 (log(2π RSS/n) + 1), shape (m,)."""
        return self._concentrated(np.square(self.factors[:, -1, -1]), self.rows)

    def at(self, coefficients: np.ndarray) -> np.ndarray:
        """Give the same with the RSS left by these slopes, after the intercept that fits each imputation best."""
        residuals = self.factors @ np.append(-coefficients, 1.0)
        if self.intercept is not None:
            ones = self.factors[:, :, :-1] @ self.intercept
            length = np.square(ones).sum(axis=1)
            residuals = residuals - ones * ((ones * residuals).sum(axis=1) / length)[:, None]
        return self._concentrated(np.square(residuals).sum(axis=1), self.rows)

    def stacked(self) -> float:
        """One regression on the m tables under one another, its log likelihood over m."""
        m, size, _ = self.factors.shape
        together = np.linalg.qr(self.factors.reshape(m * size, size), mode="r")
        return float(self._concentrated(np.square(together[-1, -1]), m * self.rows).max()) / m

    def under(self, matrix: np.ndarray, values: np.ndarray) -> "LeastSquares":
        """Restrict θ to Rθ = r: y - Xθ₀ on XN, where Rθ₀ = r and the columns of N span the null space of R."""
        particular = np.linalg.lstsq(matrix, values)[0]
        free = np.linalg.svd(matrix)[2][len(matrix) :].T
        columns = np.zeros((self.size, free.shape[1] + 1))
        columns[:-1, :-1], columns[:-1, -1], columns[-1, -1] = free, -particular, 1.0
        untouched = self.intercept is not None and np.allclose(matrix @ self.intercept, 0)
        intercept = free.T @ self.intercept if self.intercept is not None and untouched else None
        return LeastSquares(np.linalg.qr(self.factors @ columns, mode="r"), self.rows, intercept)

    def _concentrated(self, squares: np.ndarray, rows: int) -> np.ndarray:
        """-n/2 (log(2π RSS/n) + 1); infinite where nothing but rounding is left of y."""
        rounding = 1e-24 * np.square(self.factors[:, :, -1]).sum(axis=1)
        with np.errstate(divide="ignore"):
            return -rows / 2 * (np.log(2 * np.pi * np.where(squares <= rounding, 0.0, squares) / rows) + 1)
