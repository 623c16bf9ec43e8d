"""The rank of a design, and whether it determines a modelled column: one rule for rows and for their cross-products.

Cross-products in double precision keep 16 digits of a variance, so what others leave of a column is known to them while
it is above a millionth of the column's spread. That is the bound everywhere.
"""

from typing import NamedTuple

import numpy as np

from mnarkit.data import check_magnitude
from mnarkit.errors import DataError
from mnarkit.formula import Design

__all__ = [
    "Dependence",
    "check_undetermined",
    "dependence",
    "determined_by",
    "full_rank",
    "said_collinear",
    "said_determined",
    "standard",
]

_LEAST = 1e-6  # what others must leave of a column, as a share of its spread
_ROUNDING = 4 * np.finfo(float).eps  # of a value, by itself and by the mean taken off it
_EXACT = 1e-11  # a share that is rounding alone


class Dependence(NamedTuple):
    """A column of which those before it leave nothing that could be told from rounding.

    Attributes
    ----------
    column : int
        Its place.
    share : float
        What they leave, as a share of its spread.
    others : tuple of int
        Those of them that determine it.
    """

    column: int
    share: float
    others: tuple[int, ...]


def full_rank(matrix: np.ndarray, built: Design, what: str, which: str = "") -> None:
    """Name the first column that the ones before it determine, and those of them that do."""
    for coding in built.codings.values():
        if len(coding.levels) == 1 and "Intercept" in built.names:
            level = f"{coding.levels[0]!r} in all {len(matrix)} rows"
            raise DataError(f"{coding.column!r} among {what} is constant, {level}; leave it out")
    for j, name in enumerate(built.names):
        check_magnitude(name, matrix[:, j])
        if name != "Intercept" and np.ptp(matrix[:, j]) == 0 and "Intercept" in built.names:
            raise DataError(f"{name!r} among {what} is constant in all {len(matrix)} rows{which}; leave it out")
    found = dependence(*standard(matrix, "Intercept" in built.names), built.names)
    if found is not None:
        raise DataError(said_collinear(found, built.names, what, f"in all {len(matrix)} rows{which}"))


def said_collinear(found: Dependence, names: tuple[str, ...], what: str, where: str) -> str:
    """Say what was found, and what to do."""
    others = ", ".join(repr(names[k]) for k in found.others)
    if not others:
        return f"{names[found.column]!r} among {what} is constant {where}; leave it out"
    if found.share <= _EXACT:
        return f"{names[found.column]!r} among {what} is perfectly collinear with {others} {where}; leave one out"
    return (
        f"{names[found.column]!r} among {what} is nearly collinear with {others} {where} (1 - R² = "
        f"{found.share**2:.1g}, too little for double precision); leave one out, or center what they are made of"
    )


def standard(matrix: np.ndarray, centered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Take means off columns and divide by what is largest then; and how far rounding may have moved each, (q,)."""
    largest = np.maximum(np.abs(matrix).max(axis=0, initial=0.0), np.finfo(float).tiny)
    x = matrix / largest
    if not centered:
        return x, np.full(x.shape[1], _ROUNDING)
    x = np.where(np.ptp(x, axis=0) == 0, x, x - x.mean(axis=0))
    spread = np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)
    return x / spread, _ROUNDING / spread


def dependence(x: np.ndarray, error: np.ndarray, names: tuple[str, ...]) -> Dependence | None:
    """Find the first column of which those before it leave less than a millionth, or than rounding (error, (q,)).

    `x` are rows (n, q) of a standardised design, or pseudo-rows with the same cross-products; an intercept is first.
    """
    first, size = int(names[:1] == ("Intercept",)), np.sqrt(len(x))
    root = np.zeros((x.shape[1], x.shape[1]))
    made = np.linalg.qr(x, mode="r")
    root[: len(made)] = made
    for j in range(first, len(root)):
        spread, left = np.linalg.norm(root[first:, j]), abs(root[j, j])
        if left > max(_LEAST * spread, error[j] * size):
            continue
        coef = np.linalg.lstsq(root[:, first:j], root[:, j], rcond=None)[0]
        part = np.abs(coef) * np.linalg.norm(root[first:, first:j], axis=0)
        others = first + np.flatnonzero(part > 1e-6 * part.max(initial=0.0))
        return Dependence(j, float(left / max(spread, np.finfo(float).tiny)), tuple(others.tolist()))
    return None


def check_undetermined(column: str, values: np.ndarray, matrix: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuse a modelled column that the predictors determine where it is recorded: its variance would be 0.

    Raises
    ------
    DataError
        Names the predictors, and counts the values.
    """
    centered = "Intercept" in names
    if len(names) == centered:
        return
    (x, x_error), (y, y_error) = standard(matrix, centered), standard(values[:, None], centered)
    found = determined_by(x, y[:, 0], x_error, y_error.item(), names)
    if found:
        raise DataError(said_determined(column, found, len(values)))


def said_determined(column: str, found: str, n: int) -> str:
    """Say that a column has no variance given its predictors."""
    return (
        f"{column!r} is determined exactly by {found} (all {n} recorded values, up to rounding or a millionth of its "
        f"spread), so that it has no variance to estimate; leave {column!r}, or what determines it, out of the model"
    )


def determined_by(x: np.ndarray, y: np.ndarray, x_error: np.ndarray, y_error: float, names: tuple[str, ...]) -> str:
    """Name the predictors of which y is a linear function up to the arithmetic, or give an empty text.

    `x` (n, q) and `y` (n,) are standardised rows, or pseudo-rows with the same cross-products.
    """
    centered = names[:1] == ("Intercept",)
    root = np.linalg.qr(np.column_stack([x, y]), mode="r")
    coef = np.linalg.lstsq(root[:, :-1], root[:, -1], rcond=None)[0]
    left = np.linalg.norm(root[:, -1] - root[:, :-1] @ coef)
    error = max(y_error, float(np.max(x_error * np.abs(coef), initial=0.0)))
    if left > max(_LEAST * np.linalg.norm(root[int(centered) :, -1]), error * np.sqrt(len(x))):
        return ""
    part = np.abs(coef) * np.linalg.norm(root[int(centered) :, :-1], axis=0)
    by = [n for n, p in zip(names, part, strict=True) if p > 1e-6 * part.max() and n != "Intercept"]
    return ", ".join(by[:6]) + (f" and {len(by) - 6} more" if len(by) > 6 else "")
