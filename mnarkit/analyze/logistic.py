"""Logistic: a logistic regression of completed tables, all imputations at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from mnarkit.analyze.regression import designs
from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError
from mnarkit.estimates import Estimates, count, which
from mnarkit.formula import Design, Formula, parse

__all__ = ["Logistic", "event_rows", "logistic", "logistic_fits"]

_DONE = 1e-20  # of the Newton decrement g'H⁻¹g: the next step would be lost in rounding
_SEPARATED = 1e12  # a variance, of predictors that are at most 1: the likelihood keeps rising
_MOST = 60


@dataclass(frozen=True, slots=True)
class Logistic:
    """logit P(event) = Xβ: an analysis for `analyze`, `sensitivity` and `tipping_point`.

    Parameters
    ----------
    formula : str
        `"relapse ~ arm + age"`, the left side a column of 0 and 1 or of truth values; with `event`, the predictors
        alone, `"arm + age"`.
    event : str, optional
        A condition on completed columns, such as `"score <= 7"`: whether it holds is the outcome.

    Raises
    ------
    FormulaError
        A formula that cannot be read, a left side beside `event`, or neither.

    Notes
    -----
    Factor levels and the constants of `center`, `scale` and `poly` are those of all imputations together, as for a
    formula of least squares. Confidence intervals are normal on complete data.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import pandas as pd
    >>> tables = [pd.DataFrame({"y": [1.0, 5.0, 2.0, 6.0, v], "x": [0.0, 1.0, 2.0, 3.0, 0.5]}) for v in (4.5, 1.0)]
    >>> mk.analyze(tables, mk.Logistic("x", event="y > 3"))
    Estimates of logit P(y > 3) ~ x: 2 imputations, 2 terms, df_complete inf
    """

    formula: str
    event: str | None = None

    def __post_init__(self) -> None:
        parsed = parse(self.formula)
        if self.event is None and parsed.kind != "value":
            raise FormulaError(
                f"Logistic takes 'y ~ x', or predictors and event='y <= 7', not {self.formula!r} without an event"
            )
        if self.event is not None:
            condition(self.event)
            if parsed.kind is not None:
                raise FormulaError(f"the outcome is the event {self.event!r}; give the predictors alone, 'x + z'")
        object.__setattr__(self, "formula", parsed.text)

    @property
    def read(self) -> Formula:
        """The formula, read."""
        return parse(self.formula)

    @property
    def outcome(self) -> tuple[str, ...]:
        """The columns that the outcome reads."""
        return (str(self.read.response),) if self.event is None else tuple(sorted(condition(self.event).columns))

    def __str__(self) -> str:
        return self.formula if self.event is None else f"logit P({self.event}) ~ {self.formula}"

    def __call__(self, table: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame, float]:
        """Fit one completed table: estimates, covariance and infinite degrees of freedom."""
        made = logistic([table], self)
        names = list(made.terms)
        covariance = pd.DataFrame(made.covariances[0], index=names, columns=names)
        return pd.Series(made.estimates[0], index=names), covariance, np.inf


def logistic(tables: Any, what: Logistic, df_complete: float | None = None) -> Estimates:
    """Fit every completed table by Newton's method, all of them in step."""
    built, x, y = outcome_of(tables, what)
    values, covariances = logistic_fits(x, y, what=str(what))
    df = np.inf if df_complete is None else df_complete
    return Estimates(built.names, values, covariances, df, str(what))


def outcome_of(tables: Any, what: Logistic) -> tuple[Design, np.ndarray, np.ndarray]:
    """Design, X (m, n, q) and the outcome, 0 and 1, (m, n)."""
    built, x, y = designs(tables, what.read)
    if what.event is None:
        _check_binary(y, what)
        return built, x, y
    return built, x, np.stack([event_rows(what, table) for table in tables])


def event_rows(what: Logistic, table: pd.DataFrame) -> np.ndarray:
    """Whether the event holds, as 0 and 1, by row."""
    return evaluate(condition(str(what.event)), IncompleteData.of(table)).astype(float)


def _check_binary(y: np.ndarray, what: Logistic) -> None:
    wrong = ~np.isin(y, (0.0, 1.0))
    if wrong.any():
        column = what.outcome[0]
        raise DataError(
            f"{column!r} has {count(int(wrong.any(axis=0).sum()), 'row')} with another value than 0 and 1; say which "
            f"values are the event: mk.Logistic('x + z', event='{column} > 0.5')"
        )


def logistic_fits(
    x: np.ndarray,
    y: np.ndarray,
    start: np.ndarray | None = None,
    *,
    what: str = "a logistic regression",
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood of logistic regressions, in step.

    Parameters
    ----------
    x : (m or 1, n, q) array
        Designs; one for all if the first axis is 1.
    y : (m, n) array
        Outcomes, 0 and 1.
    start : (m, q) array, optional
        Where to begin; near the maximum two or three steps are enough.
    what : str
        The analysis, for errors.
    weights : (n,) array, optional
        Of the rows; the covariances are then the inverse of the weighted information.

    Returns
    -------
    estimates, covariances : (m, q), (m, q, q) arrays

    Raises
    ------
    DataError
        An outcome that does not vary, or predictors that separate it.
    """
    flat = np.flatnonzero(y.min(axis=1) == y.max(axis=1))
    if flat.size:
        value = "never" if not y[flat[0], 0] else "always"
        raise DataError(f"{what}: the event {value} happens in {which(int(flat[0]), len(y))}")
    size = np.maximum(np.abs(x).max(axis=(0, 1)), 1e-300)
    scaled = x / size
    w = np.ones(y.shape[1]) if weights is None else weights
    beta = np.zeros((len(y), x.shape[2])) if start is None else start * size
    value = _loglik(scaled, y, beta, w)
    worst = 0
    for _ in range(_MOST):
        step, decrement, spread = _newton(scaled, y, beta, w)
        beta, value = _uphill(scaled, y, beta, step, value, w)
        worst = int(np.argmax(np.diagonal(spread, axis1=1, axis2=2).max(axis=1)))
        if not spread[worst].max() < _SEPARATED:
            break
        if decrement.max() < _DONE:
            return beta / size, spread / np.outer(size, size)
    raise DataError(
        f"{what} has no maximum in {which(worst, len(y))}: predictors separate the event from the rest; leave one out"
    )


def _inverse(information: np.ndarray) -> np.ndarray:
    """Invert, infinite where that cannot be done."""
    try:
        return np.linalg.inv(information)
    except np.linalg.LinAlgError:
        alone = np.linalg.matrix_rank(information) < information.shape[-1]
        safe = np.where(alone[:, None, None], np.eye(information.shape[-1]), information)
        return np.where(alone[:, None, None], np.inf, np.linalg.pinv(safe))


def _newton(x: np.ndarray, y: np.ndarray, beta: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step, decrement g'H⁻¹g and H⁻¹."""
    p = expit((x @ beta[..., None])[..., 0])
    gradient = (x.mT @ (w * (y - p))[..., None])[..., 0]
    information = (x.mT * (w * p * (1 - p))[:, None, :]) @ x
    spread = _inverse(information)
    with np.errstate(all="ignore"):
        step = np.nan_to_num((spread @ gradient[..., None])[..., 0])
    return step, (gradient * step).sum(axis=1), spread


def _uphill(
    x: np.ndarray, y: np.ndarray, beta: np.ndarray, step: np.ndarray, before: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take the step, halved where the likelihood would fall."""
    moved = beta + step
    value = _loglik(x, y, moved, w)
    for halving in range(1, 30):
        falls = ~(value >= before - 1e-9 * np.abs(before))
        if not falls.any():
            break
        moved = np.where(falls[:, None], beta + step / 2**halving, moved)
        value = _loglik(x, y, moved, w)
    return moved, value


def _loglik(x: np.ndarray, y: np.ndarray, beta: np.ndarray, w: np.ndarray) -> np.ndarray:
    eta = (x @ beta[..., None])[..., 0]
    with np.errstate(invalid="ignore"):
        return (w * (y * eta - np.logaddexp(0.0, eta))).sum(axis=1)
