"""Amounts applied to filled cells after the fit: shifts and scales with `of="prediction"`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mnarkit.errors import DataError
from mnarkit.normal.conditional import conditional_mean
from mnarkit.normal.declared import Amount
from mnarkit.normal.layout import Layout
from mnarkit.normal.parameters import Parameters, residual_sd
from mnarkit.normal.patterns import group_rows
from mnarkit.spec.amounts import carried
from mnarkit.spec.pattern_mixture import Scale

__all__ = ["carry_slopes", "move"]


def move(
    y: np.ndarray, moves: Sequence[tuple[Amount, float]], parameters: Parameters, layout: Layout, seen: np.ndarray
) -> None:
    """Apply amounts to their cells in place, column by column and as declared within a column.

    An amount that is carried moves the later cells of its row too: cells drawn from y_m | y_o ~ N(μ, U D Uᵀ), U unit
    lower triangular, are y_m = μ + U e; what is added to e_j moves y_m by U_·j. That is the same as drawing the cells
    one after another, each given the moved ones before it.

    Parameters
    ----------
    y : (n, p) array
        Completed.
    moves : sequence of (Amount, float)
        With their values.
    parameters, layout : Parameters, Layout
        In the columns' own units.
    seen : (n, p) bool array
        The recorded cells, on which all others are conditioned.
    """
    if layout.arms is None:
        _move(y, moves, parameters, layout, seen)
        return
    for arm, cov in enumerate(parameters.cov):
        rows = layout.arms.code == arm
        here = [(replace(amount, cells=amount.cells & rows), value) for amount, value in moves]
        _move(y, here, replace(parameters, cov=cov), layout, seen)


def _move(
    y: np.ndarray, moves: Sequence[tuple[Amount, float]], parameters: Parameters, layout: Layout, seen: np.ndarray
) -> None:
    """`move` with one covariance."""
    for j in range(y.shape[1]):
        distance = None
        for amount, value in moves:
            if amount.column != j:
                continue
            held = y[amount.cells, j]
            y[amount.cells, j] = _moved(held, amount, value, parameters, layout)
            if carried(amount.component):
                distance = np.zeros(len(y)) if distance is None else distance
                distance[amount.cells] += y[amount.cells, j] - held
        if distance is not None:
            _carry(y, j, distance, parameters.cov, seen)


def _moved(held: np.ndarray, amount: Amount, value: float, parameters: Parameters, layout: Layout) -> np.ndarray:
    """The values of an amount's cells after it."""
    j, times = amount.column, amount.times[amount.cells]
    if isinstance(amount.component, Scale):
        return held * value**times
    match amount.component.unit:
        case "sd":
            unit: Any = residual_sd(parameters.cov, j, amount.predictors)
        case "sd_observed":
            unit = amount.sd_observed
        case "percent":
            unit = _positive_mean(amount, parameters, layout) / 100
        case _:
            unit = 1.0
    return held + value * times * unit


def _positive_mean(amount: Amount, parameters: Parameters, layout: Layout) -> np.ndarray:
    mean = conditional_mean(layout.y, layout.x @ parameters.coef.T, parameters.cov)[0][amount.cells, amount.column]
    if np.any(mean <= 0):
        raise DataError(
            f"{layout.columns[amount.column]!r}: the conditional mean is not above 0 in {int(np.sum(mean <= 0))} of "
            f"{len(mean)} rows, so percent has no meaning there; use unit='sd' or 'raw'"
        )
    return mean


def _carry(y: np.ndarray, j: int, distance: np.ndarray, cov: np.ndarray, seen: np.ndarray) -> None:
    """Move the later unseen cells of every row by their slopes on cell j."""
    rows = np.flatnonzero(distance)
    patterns = group_rows(seen[rows])
    for g, mask in enumerate(patterns.seen):
        later, slopes = carry_slopes(cov, mask, j)
        at = rows[patterns.rows(g)]
        y[np.ix_(at, later)] += distance[at][:, None] * slopes


def carry_slopes(cov: np.ndarray, seen: np.ndarray, j: int) -> tuple[np.ndarray, np.ndarray]:
    """The unseen columns after j, and their slopes on column j given the seen columns and the unseen ones up to j."""
    unseen = np.flatnonzero(~seen)
    later = unseen[unseen > j]
    given = np.concatenate([np.flatnonzero(seen), unseen[unseen <= j]])
    slopes = np.linalg.solve(cov[np.ix_(given, given)], cov[np.ix_(given, later)])
    return later, slopes[-1]
