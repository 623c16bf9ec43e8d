"""Least squares over all points at once: estimates affine, variances quadratic in the amounts, or a moving design."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mnarkit.analyze.regression import designs
from mnarkit.estimates import Estimates
from mnarkit.formula import Design, Formula
from mnarkit.likelihoods import LeastSquares
from mnarkit.pool import Pooled
from mnarkit.sensitivity.curves import Stack, stacked
from mnarkit.sensitivity.source import Moved

__all__ = ["MovingDesign", "MovingOutcome", "affine_parts", "least_squares"]

_SAME = 1e-10  # of a column's largest value
_ASIDE = 0.37
_MOST = 2_000_000  # numbers in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class MovingOutcome:
    """Only the outcome moves: θ̂_k(u) = C_k u and RSS_k(u) = u'G_k u, with u = (1, steps).

    Attributes
    ----------
    source : Moved
        The imputations.
    terms : tuple of str
        Of the design.
    coefficients : (m, A + 1, q) array
        C_k.
    squares : (m, A + 1, A + 1) array
        G_k, products of the residuals, over the residual degrees of freedom.
    inverse : (m, q) array
        The diagonal of (X'X)⁻¹.
    df : float
        Degrees of freedom of the complete data.
    what : str
        The analysis.
    """

    source: Moved
    terms: tuple[str, ...]
    coefficients: np.ndarray
    squares: np.ndarray
    inverse: np.ndarray
    df: float
    what: str

    @property
    def how(self) -> str:
        """How points are reached."""
        return "exact arithmetic: the outcome is affine in the amounts"

    def pooled(self, points: np.ndarray, level: float) -> Stack:
        """Q̄ = c̄'u, B = u'Su and W = u'Vu with one S and one V a term: no loop over imputations or points."""
        u = _with_one(self.source, points)
        mean = self.coefficients.mean(axis=0)
        around = self.coefficients - mean
        between = np.einsum("maq,mbq->qab", around, around) / (len(around) - 1)
        within = np.einsum("mab,mq->qab", self.squares, self.inverse) / len(around)
        at = [np.einsum("ga,qab,gb->gq", u, matrix, u) for matrix in (within, between)]
        return Stack.of(
            Pooled(self.terms, u @ mean, at[0], np.maximum(at[1], 0.0), len(around), level, self.df, self.what)
        )

    def estimates(self, point: Sequence[float]) -> Estimates:
        """The m estimates at one point."""
        u = _with_one(self.source, np.array([point]))[0]
        values = np.einsum("a,maq->mq", u, self.coefficients)
        variance = np.einsum("a,mab,b->m", u, self.squares, u)
        return Estimates.of(
            values, variance[:, None] * self.inverse, terms=self.terms, df_complete=self.df, what=self.what
        )


@dataclass(frozen=True, slots=True, eq=False)
class MovingDesign:
    """Predictors move too: Z = (X, y) is affine in u = (1, steps), so Z'Z = Σ u_a u_b Z_a'Z_b.

    Attributes
    ----------
    source : Moved
        The imputations.
    terms : tuple of str
        Of the design.
    factors : (m, q + 1, q + 1) array
        Triangular factors R of Z at the neutral point.
    products : (m, A + 1, A + 1, q + 1, q + 1) array
        Z_a'Z_b in the coordinates Z R⁻¹, which are orthonormal at the neutral point.
    rows : int
        The rows of each table.
    df : float
        Degrees of freedom of the complete data.
    what : str
        The analysis.
    """

    source: Moved
    terms: tuple[str, ...]
    factors: np.ndarray
    products: np.ndarray
    rows: int
    df: float
    what: str

    @property
    def how(self) -> str:
        """How points are reached."""
        return "exact arithmetic: the design is affine in the amounts"

    def pooled(self, points: np.ndarray, level: float) -> Stack:
        """Pool at every point, from one small factor an imputation and point."""
        u = _with_one(self.source, points)
        size = max(1, _MOST // self.factors.size)
        edges = [*range(0, len(u), size), len(u)]
        return stacked([self._block(u[a:b], level) for a, b in pairwise(edges)])

    def _block(self, u: np.ndarray, level: float) -> Stack:
        fits = [self._fits(one) for one in u]
        values = np.stack([fit.estimates for fit in fits])
        within = np.stack([np.diagonal(fit.covariances, axis1=1, axis2=2) for fit in fits]).mean(axis=1)
        around = values - values[:, :1]
        mean = values[:, 0] + around.mean(axis=1)
        return Stack.of(
            Pooled(self.terms, mean, within, around.var(axis=1, ddof=1), values.shape[1], level, self.df, self.what)
        )

    def _fits(self, u: np.ndarray) -> LeastSquares:
        products = np.einsum("a,mabij,b->mij", u, self.products, u)
        inside = np.linalg.cholesky((products + products.mT) / 2).mT
        return LeastSquares(inside @ self.factors, self.rows, None)

    def estimates(self, point: Sequence[float]) -> Estimates:
        """The m estimates at one point."""
        fits = self._fits(_with_one(self.source, np.array([point]))[0])
        return Estimates(self.terms, fits.estimates, fits.covariances, self.df, self.what)


def _with_one(source: Moved, points: np.ndarray) -> np.ndarray:
    steps = np.asarray(points, dtype=float) - np.array([axis.neutral for axis in source.axes])
    return np.column_stack([np.ones(len(steps)), steps])


def least_squares(source: Moved, formula: Formula) -> MovingOutcome | MovingDesign | None:
    """Find the few numbers from which every point follows; None if the design is not affine in the amounts.

    That is so where a moving column stands inside a function or is multiplied with another moving one.
    """
    built, x, y = designs(source.base, formula)
    moving = source.moves & {c for term in formula.terms for c in term.columns}
    if not moving:
        return _outcome(source, formula, built, x, y)
    return _design(source, formula, built, np.concatenate([x, y[..., None]], axis=2))


def _outcome(source: Moved, formula: Formula, built: Design, x: np.ndarray, y: np.ndarray) -> MovingOutcome:
    response = str(formula.response)
    each = np.stack([y, *(_full(source, slopes, response, y.shape) for slopes in source.slopes)], axis=-1)
    q, r = np.linalg.qr(x)
    on = q.mT @ each
    inverse = np.linalg.inv(r)
    rest = each - q @ on
    df = x.shape[1] - x.shape[2]
    return MovingOutcome(
        source,
        built.names,
        np.linalg.solve(r, on).mT,
        rest.mT @ rest / df,
        np.square(inverse).sum(axis=2),
        float(df),
        formula.text,
    )


def _full(source: Moved, slopes: object, column: str, shape: tuple[int, ...]) -> np.ndarray:
    """What one unit does to a column, zero where it is recorded, (m, n)."""
    made = np.zeros(shape)
    if isinstance(slopes, dict) and column in slopes:
        made[:, ~source.base.data.seen(column)] = slopes[column]
    return made


def _design(source: Moved, formula: Formula, built: Design, z: np.ndarray) -> MovingDesign | None:
    parts = affine_parts(source, formula, built, z)
    if parts is None:
        return None
    factors = np.linalg.qr(z, mode="r")
    inside = [np.linalg.solve(factors.mT, part.mT).mT for part in parts]
    products = np.stack([np.stack([a.mT @ b for b in inside], axis=1) for a in inside], axis=1)
    df = float(z.shape[1] - len(built.names))
    return MovingDesign(source, built.names, factors, products, z.shape[1], df, formula.text)


def affine_parts(source: Moved, formula: Formula, built: Design, z: np.ndarray) -> list[np.ndarray] | None:
    """Z at the neutral point and what one unit of each amount adds to it, (m, n, ·) each; None if Z is not affine.

    Z is X, with y as a last column if `z` has it; whether it is affine is seen at a point aside.
    """
    neutral = [axis.neutral for axis in source.axes]
    parts = [z]
    for a in range(len(neutral)):
        there = _z(source, formula, built, [n + (b == a) for b, n in enumerate(neutral)], z.shape[2])
        if there is None:
            return None
        parts.append(there - z)
    steps = _ASIDE * np.arange(1, len(neutral) + 1)
    aside = _z(source, formula, built, (neutral + steps).tolist(), z.shape[2])
    if aside is None:
        return None
    gap = np.abs(aside - z - sum(s * part for s, part in zip(steps, parts[1:], strict=True))).max(axis=(0, 1))
    return None if np.any(gap > _SAME * np.maximum(np.abs(z).max(axis=(0, 1)), 1e-300)) else parts


def _z(source: Moved, formula: Formula, built: Design, point: list[float], width: int) -> np.ndarray | None:
    there, x, y = designs(source.at(point), formula)
    return np.concatenate([x, y[..., None]], axis=2)[:, :, :width] if there.names == built.names else None
