"""Weights of a survey design in an analysis: weighted estimates with sandwich covariances."""

from typing import Any

import numpy as np

from mnarkit.analyze.logistic import Logistic, logistic_fits, outcome_of
from mnarkit.analyze.regression import designs
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.estimates import Estimates, which
from mnarkit.formula import Formula
from mnarkit.spec.data_models import formulas_of

__all__ = ["weighted", "weights_said"]


def weighted(tables: Any, what: Formula | Logistic, column: str, df_complete: float | None) -> Estimates:
    """Weighted least squares or a weighted logistic regression, with covariances A⁻¹ (n / (n - 1)) Σ u u' A⁻¹.

    u = w x (y - ŷ) by row, A = Σ w x x' (logistic: w p (1 - p) x x'). Rows count as drawn independently with unequal
    probabilities; strata and clusters are not known.

    References
    ----------
    Binder, D. (1983). On the variances of asymptotically normal estimators from complex surveys. International
    Statistical Review 51, 279-292, section 3.
    """
    if isinstance(what, Logistic):
        built, x, y = outcome_of(tables, what)
    else:
        built, x, y = designs(tables, what)
    w = _weights(tables, column, y.shape[1])
    if isinstance(what, Logistic):
        values, bread = logistic_fits(x, y, what=str(what), weights=w)
        fitted = 1 / (1 + np.exp(-(x @ values[..., None])[..., 0]))
    else:
        bread = np.linalg.inv((x.mT * w) @ x)
        values = (bread @ ((x.mT * w) @ y[..., None]))[..., 0]
        fitted = (x @ values[..., None])[..., 0]
    scores = x * (w * (y - fitted))[..., None]
    n, k = y.shape[1], x.shape[2]
    spread = bread @ (scores.mT @ scores) @ bread * (n / (n - 1))
    text = what.text if isinstance(what, Formula) else str(what)
    df = float(n - k) if df_complete is None else df_complete
    lines = built if isinstance(what, Formula) else None  # `predict` is of straight lines
    return Estimates(built.names, values, spread, df, f"{text}, weights {column}", None, lines)


def _weights(tables: Any, column: str, n: int) -> np.ndarray:
    """The weights, (n,), with mean 1: their size does not matter."""
    each = []
    for k, table in enumerate(tables):
        data = IncompleteData.of(table)
        data.require([column], "weights=")
        holes = int((~data.seen(column)).sum())
        if holes:
            raise DataError(
                f"{column!r} has {holes} holes in {which(k, len(tables))}; every row of a sample has a weight"
            )
        each.append(data.number(column))
    first = each[0]
    wrong = int(np.sum(~(first > 0) | ~np.isfinite(first)))
    if wrong:
        raise DataError(
            f"{column!r} has {wrong} of {n} weights that are not above 0 and finite, such as "
            f"{first[~(first > 0) | ~np.isfinite(first)][0]:g}; leave those rows out, or correct them"
        )
    if any(not np.array_equal(first, other) for other in each[1:]):
        raise DataError(f"{column!r} differs between imputations; weights come with the sample and are not imputed")
    return first / first.mean()


def weights_said(imputations: Any, column: str) -> str:
    """Say what weights in the analysis do not do."""
    said = f"the weights {column} are in the analysis alone: the model behind the imputations did not use them"
    model = getattr(getattr(imputations, "spec", None), "model", None)
    known = (
        set()
        if model is None
        else {*model.columns, *(c for f in formulas_of(model) for t in f.terms for c in t.columns)}
    )
    if column in known:
        return (
            f"{said}, but has {column} as a predictor; see that what the design rests on (strata, sizes) is there too"
        )
    return (
        f"{said}; put what they rest on (strata, sizes, {column} itself) into the data model, or imputed values are "
        "those of the sample and not of the population"
    )
