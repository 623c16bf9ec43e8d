"""Whether moments are of full rank: predictors that others determine, columns that predictors determine."""

from dataclasses import dataclass

import numpy as np

from mnarkit.errors import DataError
from mnarkit.normal.moments import Moments
from mnarkit.spec.collinear import dependence, determined_by, said_collinear, said_determined

__all__ = ["Turn", "check_moments"]

_APART = 1e-6  # smallest eigenvalue of the predictors' correlations above which cross-products keep their digits
_SUSPECT = 1e-8  # a residual share of a variance above which rows need not be asked
_ROUNDING = 4 * np.finfo(float).eps


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """Predictors x (n, k), without the intercept, turned apart: ((x - center) / scale) @ matrix."""

    center: np.ndarray
    scale: np.ndarray
    matrix: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Turn rows."""
        return np.ascontiguousarray(((x - self.center) / self.scale) @ self.matrix)

    def before(self, x_map: np.ndarray, terms: tuple[str, ...]) -> np.ndarray:
        """Put the turn before the standardising map (q, q) of what was turned."""
        moving = np.array([t != "Intercept" for t in terms])
        made = np.eye(len(terms))
        made[np.ix_(moving, moving)] = self.matrix / self.scale[:, None]
        made[np.ix_(~moving, moving)] = -(self.center / self.scale) @ self.matrix
        return made @ x_map


def check_moments(made: Moments) -> Turn | None:
    """Refuse dependent predictors and determined columns; where predictors are nearly dependent, say how to turn them.

    Sums of squares keep 16 digits of the predictors as they are, and so lose what others leave of them: these are to be
    summed once more, turned so that nothing is common to them.

    Raises
    ------
    DataError
        Names the culprit.
    """
    q = len(made.terms)
    x = made.rows[:, :q]
    products = x.T @ x
    what = f"the predictors of {', '.join(map(repr, made.columns))}"
    _check_constant(made, products, what)
    error = _ROUNDING * np.maximum(np.abs(made.x_map[0]), 1.0)  # -mean / sd, where there is an intercept
    size = np.maximum(np.sqrt(np.diag(products)), np.finfo(float).tiny)
    apart = bool(np.linalg.eigvalsh(products / np.outer(size, size))[0] > _APART)
    found = None if apart else dependence(x, error, made.terms)
    if found is not None:
        raise DataError(said_collinear(found, made.terms, what, f"in all {made.n} rows with a recorded value"))
    if made.terms != ("Intercept",):
        for j in range(len(made.columns)):
            _check_determined(made, j, error)
    return None if apart else _turn(made)


def _check_constant(made: Moments, products: np.ndarray, what: str) -> None:
    """Without its mean over the rows used, a constant predictor is nothing; standardised, others are of size 1."""
    if made.terms[:1] != ("Intercept",):
        return
    spread = np.diag(products) - products[0] ** 2 / products[0, 0]
    for name, left in list(zip(made.terms, spread, strict=True))[1:]:
        if left <= 1e-12 * made.n:
            raise DataError(
                f"{name!r} among {what} is constant in all {made.n} rows with a recorded value; leave it out"
            )


def _check_determined(made: Moments, j: int, x_error: np.ndarray) -> None:
    q = len(made.terms)
    rows = made.rows[made.seen[made.pattern_of_row, j]]
    x, y = rows[:, :q], rows[:, q + j]
    xy = x.T @ y
    left = y @ y - xy @ np.linalg.lstsq(x.T @ x, xy, rcond=None)[0]
    if left > _SUSPECT * (y @ y):
        return
    error = _ROUNDING * max(abs(made.center[j]) / made.scale[j], 1.0)
    found = determined_by(x, y, x_error, error, made.terms)
    if found:
        raise DataError(said_determined(made.columns[j], found, int(made.count @ made.seen[:, j])))


def _turn(made: Moments) -> Turn:
    """From X = QR: with R⁻¹ after it, a standardised X has cross-products of n on the diagonal and 0 elsewhere."""
    root = np.linalg.qr(made.rows[:, : len(made.terms)], mode="r")
    moving = np.flatnonzero([t != "Intercept" for t in made.terms])
    scale = 1 / made.x_map[moving, moving]
    centered = len(moving) < len(made.terms)
    center = -made.x_map[0, moving] * scale if centered else np.zeros(len(moving))
    return Turn(center, scale, (np.linalg.inv(root) * np.sqrt(made.n))[np.ix_(moving, moving)])
