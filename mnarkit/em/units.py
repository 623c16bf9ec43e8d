"""From standardised columns to the columns' own units and back: a linear map of (coef, covariance)."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from mnarkit.em.start import Point, to_standard
from mnarkit.normal.moments import Moments

__all__ = ["Units"]


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """θ in own units = `jacobian` @ θ standardised + `offset`, θ = (coef, lower triangle of cov)."""

    moments: Moments
    jacobian: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, moments: Moments) -> "Units":
        """Read the scaling of moments."""
        lower = np.tril_indices(len(moments.columns))
        jacobian = linalg.block_diag(
            np.kron(np.diag(moments.scale), moments.x_map), np.diag(np.outer(moments.scale, moments.scale)[lower])
        )
        intercept = np.array([t == "Intercept" for t in moments.terms], dtype=float)
        offset = np.concatenate([np.outer(moments.center, intercept).ravel(), np.zeros(len(lower[0]))])
        return cls(moments, jacobian, offset)

    def own(self, points: np.ndarray) -> np.ndarray:
        """Carry points, (..., k), to the columns' own units."""
        return points @ self.jacobian.T + self.offset

    def standard(self, coef: np.ndarray, cov: np.ndarray) -> Point:
        """Carry a point to the standardised columns."""
        return to_standard(coef, cov, self.moments.terms, self.moments)
