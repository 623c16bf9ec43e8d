"""Ignorable holes against columns outside the model: one that goes with holes and with values breaks MAR."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mnarkit.diagnose.finding import Finding
from mnarkit.diagnose.replicate_normal import hidden_holes
from mnarkit.diagnose.segments import Segments, segments_of
from mnarkit.fit import Fit
from mnarkit.formula import design
from mnarkit.impute import Imputations
from mnarkit.spec.check import named_columns
from mnarkit.spec.events import fitted_table

__all__ = ["outside_findings"]

_LEVEL = 0.05  # over all columns looked at
_FEWEST = 20  # holes, and recorded values


def outside_findings(fit: Fit, imputations: Imputations) -> tuple[Finding, ...]:
    """Test each column that the spec does not name, for each column with ignorable holes.

    Two likelihood-ratio tests, given the predictors and the other modelled columns (their holes filled once): does it
    go with the holes (logistic), and does it go with the recorded values (normal)? Both must hold for an alarm.
    """
    segments = segments_of(fit.spec, fit.data)
    named = set(named_columns(fit.spec))
    others = [c for c in dict.fromkeys(segments.columns) if c not in named]
    found: list[Finding] = []
    for column in imputations.cells:
        given = _given(fit, imputations, column)
        if others and given is not None:
            found += _column(column, given, segments, others)
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    x: np.ndarray  # predictors and other modelled columns
    y: np.ndarray
    missing: np.ndarray


def _given(fit: Fit, imputations: Imputations, column: str) -> _Given | None:
    """Lay one column out, if it has ignorable holes; those of rows whose hole is modelled count as recorded nowhere."""
    table = fitted_table(fit.spec, fit.data)
    y = table.number(column)
    hidden = hidden_holes(fit.spec, table)[:, fit.spec.model.columns.index(column)]
    missing = np.isnan(y)
    if (missing & ~hidden).sum() < _FEWEST or (~missing).sum() < _FEWEST:
        return None
    completed = imputations[0]
    rest = [completed[c].to_numpy(dtype=float) for c in fit.spec.model.columns if c != column]
    x = np.column_stack([design(fit.spec.model.predictors, table).matrix, *rest])
    kept = ~hidden
    return _Given(x[kept], y[kept], missing[kept]) if kept.all() else None


def _column(column: str, given: _Given, segments: Segments, others: list[str]) -> list[Finding]:
    tests = {c: _tests(given, _dummies(segments, c)) for c in others}
    harm = {c: min(1.0, len(others) * max(p)) for c, p in tests.items()}
    goes = {c: min(1.0, len(others) * p[0]) for c, p in tests.items()}
    alarms = [c for c in others if harm[c] < _LEVEL]
    harmless = [c for c in others if goes[c] < _LEVEL and c not in alarms]
    what = f"holes of {column} and columns outside the model ({len(others)})"
    measure = "p of the strongest, adjusted"
    if not alarms:
        said = f"none goes both with the holes of {column} and with its values, given the model"
        said += f"; {', '.join(harmless)} with the holes alone, which does no harm" if harmless else ""
        return [Finding("predictive", what, measure, min(harm.values()), said)]
    return [
        Finding(
            "predictive",
            f"holes of {column} and {c}, outside the model",
            "p, adjusted",
            harm[c],
            f"{c} goes with the holes of {column} and with its recorded values, given the model: the holes are not "
            f"ignorable without it; add {c} to the data model",
            True,
        )
        for c in alarms
    ]


def _dummies(segments: Segments, column: str) -> np.ndarray:
    rows = segments.rows[:, [c == column for c in segments.columns]]
    return rows[:, 1:] if rows.shape[1] > 1 else rows


def _tests(given: _Given, added: np.ndarray) -> tuple[float, float]:
    """p-values of the holes, and of the recorded values, on the added columns."""
    more = np.column_stack([given.x, added])
    seen = ~given.missing
    with_holes = 2 * (_logistic(more, given.missing) - _logistic(given.x, given.missing))
    rest = [_residual(given.x[seen], given.y[seen]), _residual(more[seen], given.y[seen])]
    with_values = seen.sum() * np.log(rest[0] / rest[1])
    df = added.shape[1]
    return float(stats.chi2.sf(with_holes, df)), float(stats.chi2.sf(with_values, df))


def _residual(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum((y - x @ np.linalg.lstsq(x, y)[0]) ** 2))


def _logistic(x: np.ndarray, one: np.ndarray) -> float:
    """Maximum of the logistic log likelihood, by Newton steps with a ridge that only keeps separated rows finite."""
    scale = np.maximum(np.abs(x).max(axis=0), 1e-300)
    z, beta = x / scale, np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(z @ beta, -30, 30)))
        information = (z * (p * (1 - p))[:, None]).T @ z + 1e-6 * np.eye(len(beta))
        step = np.linalg.lstsq(information, z.T @ (one - p) - 1e-6 * beta)[0]
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            break
    eta = z @ beta
    return float(np.sum(one * eta - np.logaddexp(0, eta)))
