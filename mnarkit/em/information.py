"""Observed and complete-data information of the normal model under MAR, in closed form.

Per pattern, with W = Σ_oo⁻¹ (zero outside o), D the residual products, N = W D W and R the products of residual and x,

    -∂²/∂B_ab ∂B_cd = W_ac (X'X)_bd,    -∂²/∂B_ab ∂Σ[U] = (W U W R)_ab,
    -∂²/∂Σ[U] ∂Σ[V] = tr(N U W V) - ½ n tr(W U W V)

for symmetric directions U and V (Magnus & Neudecker 2019, chapter 17). Sums over patterns are products of matrices.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from mnarkit.em.penalty import Penalty
from mnarkit.normal.moments import Moments

__all__ = ["Information", "information_of"]

_BLOCK = 2048  # patterns at a time: 30 columns take 15 MB
_FLAT = 1e-8  # a fraction of missing information this close to 1 is 1 up to the rounding of its sums


@dataclass(frozen=True, slots=True, eq=False)
class Information:
    """Information of θ = (coef, lower triangle of cov), standardised, at a maximum: (k, k) each.

    Attributes
    ----------
    observed, complete : arrays
        Of the values seen, and expected of all values, a prior included in both.
    """

    observed: np.ndarray
    complete: np.ndarray

    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Fractions of missing information in ascending order, and directions V with V' I_complete V = 1."""
        return linalg.eigh(self.complete - self.observed, self.complete)

    def covariance(self) -> np.ndarray | None:
        """Invert the observed information; None where the likelihood is flat."""
        fractions, directions = self._directions()
        if not fractions[-1] < 1 - _FLAT:
            return None
        return (directions / (1 - fractions)) @ directions.T

    def flat(self) -> np.ndarray:
        """How far the flattest direction moves the parameters, (k,), in units of their complete-data errors."""
        directions = self._directions()[1]
        return np.abs(directions[:, -1]) / np.sqrt(np.sum(directions**2, axis=1))

    def fractions(self) -> np.ndarray | None:
        """Fraction of missing information of each parameter, 1 - V_complete / V_observed, (k,)."""
        covariance = self.covariance()
        return None if covariance is None else 1 - np.diag(np.linalg.inv(self.complete)) / np.diag(covariance)

    def worst(self) -> tuple[float, np.ndarray]:
        """Take the largest fraction of missing information, the rate at which EM converges, and its direction (k,).

        The direction is how θ changes between steps late in EM; `complete @ direction` are the weights of the worst
        linear function (Schafer 1997, section 3.3.4).
        """
        fractions, directions = self._directions()
        return float(fractions[-1]), directions[:, -1]


def information_of(
    coef: np.ndarray, cov: np.ndarray, moments: Moments, penalty: Penalty, left_out: np.ndarray
) -> Information:
    """Information at (coef, cov), standardised."""
    p, q = coef.shape
    seen = moments.seen & ~left_out
    sums = _Sums.zero(p, q)
    for first in range(0, len(seen), _BLOCK):
        here = slice(first, first + _BLOCK)
        sums.add(coef, cov, seen[here], moments.count[here].astype(float), _products(moments, first))
    prior = _Sums.zero(p, q)
    padded = np.zeros((1, q + p, q + p))
    padded[0, q:, q:] = penalty.scatter
    prior.add(coef * 0, cov, np.ones((1, p), dtype=bool), np.array([penalty.weight]), padded)
    whole = _Sums.zero(p, q)
    total = np.zeros((1, q + p, q + p))
    total[0, :q, :q] = moments.products()[:q, :q]
    n = moments.n + penalty.weight
    total[0, q:, q:] = n * cov
    whole.add(coef * 0, cov, np.ones((1, p), dtype=bool), np.array([n]), total)
    return Information(sums.matrix() + prior.matrix(), whole.matrix())


def _products(moments: Moments, first: int) -> np.ndarray:
    """Cross-products of a block of patterns, (g, q + p, q + p)."""
    bounds = moments.start[first : first + _BLOCK + 1]
    each = [moments.rows[a:b].T @ moments.rows[a:b] for a, b in itertools.pairwise(bounds)]
    return np.stack(each)


@dataclass(slots=True, eq=False)
class _Sums:
    """Sums over patterns of outer products: Σ W⊗N, Σ n W⊗W, Σ W⊗X'X, Σ W⊗(W R)."""

    p: int
    q: int
    wn: np.ndarray
    ww: np.ndarray
    wx: np.ndarray
    wr: np.ndarray

    @classmethod
    def zero(cls, p: int, q: int) -> "_Sums":
        return cls(p, q, *(np.zeros((p * p, k)) for k in (p * p, p * p, q * q, p * q)))

    def add(self, coef: np.ndarray, cov: np.ndarray, seen: np.ndarray, n: np.ndarray, products: np.ndarray) -> None:
        """Add patterns with these seen columns, counts and cross-products."""
        q = self.q
        both = seen[:, :, None] & seen[:, None, :]
        inverse = np.linalg.inv(np.where(both, cov, np.eye(self.p)))
        w = np.where(both, inverse, 0.0)
        xx, yx, yy = products[:, :q, :q], products[:, q:, :q], products[:, q:, q:]
        gap = yx - coef @ xx
        residual = yy - coef @ yx.transpose(0, 2, 1) - gap @ coef.T
        flat = w.reshape(len(w), -1)
        self.wn += flat.T @ (w @ residual @ w).reshape(len(w), -1)
        self.ww += (flat * n[:, None]).T @ flat
        self.wx += flat.T @ xx.reshape(len(w), -1)
        self.wr += flat.T @ (w @ gap).reshape(len(w), -1)

    def matrix(self) -> np.ndarray:
        """Assemble the information of (coef, lower triangle of cov)."""
        p, q = self.p, self.q
        i, j = np.tril_indices(p)
        half = np.where(i == j, 0.5, 1.0)
        on_coef = self.wx.reshape(p, p, q, q).transpose(0, 2, 1, 3).reshape(p * q, p * q)
        # -∂²/∂B_ab ∂Σ_ij = h (W_ai (WR)_jb + W_aj (WR)_ib)
        wr = self.wr.reshape(p, p, p, q)
        cross = half * (wr[:, i, j, :] + wr[:, j, i, :]).transpose(0, 2, 1).reshape(p * q, len(i))
        on_cov = _traces(self.wn.reshape(p, p, p, p), i, j) - 0.5 * _traces(self.ww.reshape(p, p, p, p), i, j)
        on_cov *= np.outer(half, half)
        on_cov = (on_cov + on_cov.T) / 2
        return np.block([[on_coef, cross], [cross.T, on_cov]])


def _traces(both: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Σ tr(W U N V) over the pairs of symmetric directions, from both[a, b, c, d] = Σ W_ab N_cd."""
    a, b, c, d = i[:, None], j[:, None], i[None, :], j[None, :]
    # tr(W E_ij N E_kl) = W_li N_jk, for (i, j), (j, i) and (k, l), (l, k)
    return both[d, a, b, c] + both[d, b, a, c] + both[c, a, b, d] + both[c, b, a, d]
