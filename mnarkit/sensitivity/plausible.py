"""How large an amount is: in sds, of the recorded range, and beside what the predictors explain."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mnarkit.errors import MnarkitError
from mnarkit.fit import Fit
from mnarkit.formula import design
from mnarkit.impute import Imputations
from mnarkit.sensitivity.source import Source

__all__ = ["plausibility", "reading"]


def plausibility(fit: Fit, source: Source, point: Sequence[float]) -> pd.DataFrame:
    """Say how far each column's unseen values move at one point, a row an assumption and column.

    Columns: `assumption`, `value`, `column_name`, `cells`, `raw` (the mean move), `in_sd` (residual sds),
    `in_sd_observed`, `of_range` (of the recorded range), `of_explained` (sds of the fitted values), `r_squared` (of the
    predictors on the recorded values), `mean_recorded`, `mean_mar`, `mean_there` (of the unseen values), `outside`
    (share of the moved values beyond the recorded range).
    """
    neutral = [axis.neutral for axis in source.axes]
    base = source.at(neutral)
    rows = []
    for a, axis in enumerate(source.axes):
        there = source.at([point[b] if a == b else value for b, value in enumerate(neutral)])
        rows += [{"assumption": axis.name, "value": point[a]} | _row(fit, c, base, there) for c in axis.columns]
    return pd.DataFrame(rows)


def _row(fit: Fit, column: str, base: Imputations, there: Imputations) -> dict[str, object]:
    move = there.cells[column] - base.cells[column]
    touched = np.any(move != 0, axis=0)
    touched = touched if touched.any() else np.ones(move.shape[1], dtype=bool)
    recorded = fit.data.number(column)[fit.data.seen(column)]
    raw = float(move[:, touched].mean())
    low, high = recorded.min(), recorded.max()
    values = there.cells[column][:, touched]
    spread, share = _explained(fit, column)
    return {
        "column_name": column,
        "cells": int(touched.sum()),
        "raw": raw,
        "in_sd": raw / _residual_sd(fit, column),
        "in_sd_observed": raw / recorded.std(ddof=1),
        "of_range": raw / (high - low),
        "of_explained": raw / spread if spread > 0 else np.nan,
        "r_squared": share,
        "mean_recorded": float(recorded.mean()),
        "mean_mar": float(base.cells[column][:, touched].mean()),
        "mean_there": float(values.mean()),
        "outside": float(np.mean((values < low) | (values > high))),
    }


def _residual_sd(fit: Fit, column: str) -> float:
    """The posterior mean of the residual sd; NaN where the model has none by that name."""
    posterior = fit.draws["posterior"].to_dataset()
    columns = list(getattr(fit.spec.model, "columns", ()))
    if "sd" in posterior and column in columns and posterior["sd"].shape[-1] == len(columns):
        return float(posterior["sd"].values[..., columns.index(column)].mean())
    return np.nan


def _explained(fit: Fit, column: str) -> tuple[float, float]:
    """The sd of the values that the model's predictors fit to the recorded ones, and R²."""
    predictors = getattr(fit.spec.model, "predictors", None)
    if predictors is None:
        return np.nan, np.nan
    try:
        x = design(predictors, fit.data).matrix[fit.data.seen(column)]
    except MnarkitError:  # predictors that are themselves incomplete: another engine's
        return np.nan, np.nan
    y = fit.data.number(column)[fit.data.seen(column)]
    fitted = x @ np.linalg.lstsq(x, y)[0]
    return float(fitted.std(ddof=1)), float(fitted.var() / y.var())


def reading(row: pd.Series) -> str:
    """Say one row as a sentence."""
    pieces = [f"{row['raw']:+.3g} in its own unit"]
    pieces += [f"{row['in_sd']:+.2g} residual sd"] if np.isfinite(row["in_sd"]) else []
    pieces += [
        f"{row['in_sd_observed']:+.2g} sd of the recorded values",
        f"{100 * row['of_range']:+.0f}% of their range",
    ]
    if np.isfinite(row["of_explained"]):
        pieces.append(f"{row['of_explained']:+.2g} times what the predictors explain (R² {row['r_squared']:.2f})")
    return (
        f"{row['assumption']}, {row['column_name']}: {', '.join(pieces)}; the mean of the {row['cells']} unseen values "
        f"goes from {row['mean_mar']:.4g} to {row['mean_there']:.4g} (recorded: {row['mean_recorded']:.4g}), and "
        f"{100 * row['outside']:.0f}% of them lie beyond the recorded range"
    )
