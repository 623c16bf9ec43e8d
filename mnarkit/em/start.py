"""Where EM under MAR starts: available cases, complete cases, a fit, or parameters by name."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from mnarkit.em.names import coef_names, cov_names
from mnarkit.errors import DataError, SpecError
from mnarkit.normal.moments import Moments

__all__ = ["MARStart", "available", "is_finite_number", "named_point", "start_point", "to_standard"]

_FAR = 1e100  # standard deviations beyond which squares overflow

type MARStart = Literal["available", "complete", "available-correlated"] | tuple[str, float] | Mapping[str, float]
type Point = tuple[np.ndarray, np.ndarray]


def start_point(start: MARStart | Point, moments: Moments) -> Point:
    """Coefficients (p, q) and covariance (p, p) on standardised columns."""
    match start:
        case str("available"):
            return available(moments)
        case str("complete"):
            return _complete(moments)
        case str("available-correlated"):
            return _correlated(moments, _mean_correlation(moments))
        case (str("available-correlated"), float() | int() as r):
            return _correlated(moments, _checked(float(r), len(moments.columns)))
        case (np.ndarray() as coef, np.ndarray() as cov):
            return _near(*to_standard(coef, _positive_definite(cov, moments.columns), moments.terms, moments), moments)
    shown = repr(start)
    raise SpecError(
        "start= is 'available', 'complete', 'available-correlated', ('available-correlated', r), an EMFit of the same "
        f"model, or its parameters by name, not {shown if len(shown) <= 60 else type(start).__name__}"
    )


def named_point(start: Mapping[str, float] | pd.Series, moments: Moments) -> Point:
    """Turn parameters by name into (coef, cov) in the columns' own units.

    Raises
    ------
    SpecError
        A parameter that is missing, unknown, or not a finite number.
    """
    names = [*coef_names(moments.columns, moments.terms), *cov_names(moments.columns)]
    given = dict(start)
    missing, odd = [n for n in names if n not in given], [n for n in given if n not in names]
    if missing or odd:
        raise SpecError(
            f"start= by name needs {len(names)} parameters ({', '.join(names[:6])}, ...); "
            f"{f'{missing[0]!r} is missing' if missing else f'{odd[0]!r} is none of them'}"
        )
    for name in names:
        if not is_finite_number(given[name]):
            raise SpecError(f"start= has {name!r} = {given[name]!r}; every parameter to start at is a finite number")
    vector, (p, q) = np.array([float(given[n]) for n in names]), (len(moments.columns), len(moments.terms))
    cov = np.zeros((p, p))
    cov[np.tril_indices(p)] = vector[p * q :]
    return vector[: p * q].reshape(p, q), cov + np.tril(cov, -1).T


def is_finite_number(value: Any) -> bool:
    """Whether a value is one finite number, and no truth value."""
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        return plain and bool(np.isfinite(float(value)))
    except OverflowError:  # a whole number of Python has no bound
        return False


def _near(coef: np.ndarray, cov: np.ndarray, moments: Moments) -> Point:
    """Refuse a start so far away that its likelihood overflows."""
    size = np.concatenate([np.abs(coef).ravel(), np.abs(cov[np.tril_indices(len(cov))])])
    if not size.max() < _FAR:
        name = [*coef_names(moments.columns, moments.terms), *cov_names(moments.columns)][int(np.argmax(size))]
        raise SpecError(
            f"start= has {name!r} {size.max():.1g} times as large as the columns' spread would have it; "
            "start nearer, or use start='available'"
        )
    return coef, cov


def available(moments: Moments) -> Point:
    """Regress each column on the predictors where it is seen: residual variances (n_seen - rank), correlations 0."""
    q, p = len(moments.terms), len(moments.columns)
    coef, variance = np.zeros((p, q)), np.ones(p)
    x, seen = moments.rows[:, :q], moments.seen[moments.pattern_of_row].astype(float)
    xx = seen.T @ (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)  # of the rows where each column is seen
    total = moments.products()
    recorded = moments.seen.T @ moments.count
    for j in range(p):
        whole = total[np.ix_([*range(q), q + j], [*range(q), q + j])]
        whole[:q, :q] = xx[j].reshape(q, q)
        coef[[j]], left, rank = _regression(whole, q, [q])
        variance[j] = max(left.item() / max(recorded[j] - rank, 1), np.finfo(float).tiny)
    return coef, np.diag(variance)


def _regression(total: np.ndarray, q: int, columns: list[int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Coefficients on the first q columns, residual products, rank."""
    xx, xy = total[:q, :q], total[np.ix_(range(q), columns)]
    coef, _, rank, _ = np.linalg.lstsq(xx, xy, rcond=None)
    left = total[np.ix_(columns, columns)] - coef.T @ xy
    return coef.T, left, int(rank)


def _complete(moments: Moments) -> Point:
    q, p = len(moments.terms), len(moments.columns)
    whole = moments.seen.all(axis=1)
    n = int(moments.count[whole].sum())
    if n < p + q:
        raise DataError(
            f"{n} rows are complete in {', '.join(map(repr, moments.columns))}; start='complete' needs at least "
            f"{p + q}: use start='available'"
        )
    coef, left, rank = _regression(moments.products(whole), q, list(range(q, q + p)))
    return coef.reshape(p, q), _positive_definite(left / (n - rank), moments.columns)


def _mean_correlation(moments: Moments) -> float:
    """Average the residual correlations of the pairs of columns over the rows where both are seen."""
    p = len(moments.columns)
    coef, _ = available(moments)
    residual = np.hstack([-coef, np.eye(p)])
    found = []
    for j, k in zip(*np.tril_indices(p, -1), strict=True):
        here = moments.seen[:, j] & moments.seen[:, k]
        pair = residual[[j, k]] @ moments.products(here) @ residual[[j, k]].T if here.any() else np.eye(2)
        if here.any() and pair[0, 0] > 0 and pair[1, 1] > 0:
            found.append(pair[0, 1] / np.sqrt(pair[0, 0] * pair[1, 1]))
    low = -1 / max(p - 1, 1)
    return float(np.clip(np.mean(found or [0.0]), 0.99 * low, 0.99))


def _correlated(moments: Moments, r: float) -> Point:
    coef, cov = available(moments)
    sd = np.sqrt(np.diag(cov))
    return coef, np.outer(sd, sd) * (r + (1 - r) * np.eye(len(sd)))


def _checked(r: float, p: int) -> float:
    low = -1 / max(p - 1, 1)
    if not low < r < 1:
        raise SpecError(f"a common correlation of {p} columns lies inside ({low:.3g}, 1), not {r:g}")
    return r


def _positive_definite(cov: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    sd = np.sqrt(np.maximum(np.diag(cov), np.finfo(float).tiny))
    smallest = np.linalg.eigvalsh(cov / np.outer(sd, sd))[0] if np.all(np.isfinite(cov)) else np.nan
    if not smallest > 1e-12:
        raise SpecError(
            f"the covariance of {', '.join(map(repr, columns))} to start at is not positive definite (smallest "
            f"eigenvalue of its correlations {smallest:.3g}); use start='available'"
        )
    return cov


class Scaled(Protocol):
    """How columns were standardised: `Moments`, or `normal.layout.Scaling`."""

    @property
    def center(self) -> np.ndarray:
        """Center of the modelled columns, (p,)."""
        ...

    @property
    def scale(self) -> np.ndarray:
        """Scale of the modelled columns, (p,)."""
        ...

    @property
    def x_map(self) -> np.ndarray:
        """Standardised predictors are x @ x_map, (q, q)."""
        ...


def to_standard(coef: np.ndarray, cov: np.ndarray, terms: tuple[str, ...], scaled: Scaled) -> Point:
    """Carry a point in the columns' own units to standardised columns."""
    intercept = np.array([t == "Intercept" for t in terms])
    shifted = coef - np.where(intercept, scaled.center[:, None], 0.0)
    made = np.linalg.solve(scaled.x_map, (shifted / scaled.scale[:, None]).T).T
    return made, cov / np.outer(scaled.scale, scaled.scale)
