"""Summed cells of a row drawn jointly: values by their weights, and between the points of a sum exactly."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.factored import arithmetic
from mnarkit.factored.cells import Block
from mnarkit.factored.columns import Coded, filled
from mnarkit.factored.density import constants, indicator, log_density
from mnarkit.factored.grid import from_line, log_slope
from mnarkit.factored.layout import Layout
from mnarkit.families import FAMILIES

__all__ = ["auxiliary", "draw_block", "predictor_at"]

_STEPS = 4  # of an independence sampler whose weights are near 1: a point stands for a third of an sd or less


def draw_block(
    layout: Layout,
    par: Mapping[str, Any],
    numbers: np.ndarray,
    block: Block,
    logs: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draw the summed cells of a block into `numbers`, (n, p).

    `logs` are the log densities of its candidates, weights of points included, and `weights` their shares, (m, K).
    Points are proposed by their shares, with a place between the ends of what they stand for; the density there over
    that of the point decides whether it is taken.
    """
    values, chosen = _proposed(layout, block, weights, rng)
    _put(numbers, block.rows, values)
    if not layout.roles.pointwise[block.rows].any():
        return
    now = _ratio(layout, par, numbers, block, logs, chosen)
    for _ in range(_STEPS):
        tried, chosen = _proposed(layout, block, weights, rng)
        held = numbers[block.rows].copy()
        _put(numbers, block.rows, tried)
        new = _ratio(layout, par, numbers, block, logs, chosen)
        stay = ~(np.log(rng.random(len(new))) < new - now)
        numbers[block.rows[stay]] = held[stay]
        now = np.where(stay, now, new)


def _put(numbers: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    numbers[rows] = np.where(np.isnan(values), numbers[rows], values)


def _proposed(
    layout: Layout, block: Block, weights: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates by their shares, points moved to a place between their ends: values (m, p), NaN where not summed."""
    m = np.arange(len(weights))
    drawn = (np.cumsum(weights, axis=1) < rng.random((len(weights), 1))).sum(axis=1)
    chosen = np.minimum(drawn, weights.shape[1] - 1)
    values = block.candidates[m, chosen].copy()
    for j, grid in enumerate(layout.grids):
        here = np.flatnonzero(layout.roles.pointwise[block.rows, j])
        if grid is None or not len(here):
            continue
        at, k = np.searchsorted(grid.rows, block.rows[here]), block.digits[here, chosen[here], j]
        low, high = grid.low[at, k], grid.high[at, k]
        values[here, j] = from_line(layout.coded[j], low + (high - low) * rng.random(len(here)))[0]
    return values, chosen


def _ratio(
    layout: Layout, par: Mapping[str, Any], numbers: np.ndarray, block: Block, logs: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Log of the density on the line at the values over that at the points by which they were proposed, (m,)."""
    found = _log_joint(layout, par, numbers, block.rows) - logs[np.arange(len(chosen)), chosen]
    for j, grid in enumerate(layout.grids):
        here = np.flatnonzero(layout.roles.pointwise[block.rows, j])
        if grid is None or not len(here):
            continue
        at, k = np.searchsorted(grid.rows, block.rows[here]), block.digits[here, chosen[here], j]
        values = numbers[block.rows[here], j]
        found[here] += np.log(grid.high[at, k] - grid.low[at, k]) + log_slope(layout.coded[j], values)
    return found


def _log_joint(layout: Layout, par: Mapping[str, Any], numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Log density of all factors that read a summed cell, at completed rows of the table."""
    found = np.zeros(len(rows))
    for k, factor in enumerate(layout.factors):
        own = [layout.columns.index(c) for c in layout.designs.built[k].columns if c in layout.columns]
        own += [] if factor.of_indicator else [factor.column]
        here = np.flatnonzero(layout.roles.active[rows, k] & layout.roles.summed[rows][:, own].any(axis=1))
        if len(here):
            found[here] += _at(layout, k, rows[here], numbers, par)
    return found


def _at(layout: Layout, k: int, rows: np.ndarray, numbers: np.ndarray, par: Mapping[str, Any]) -> np.ndarray:
    factor, one = layout.factors[k], layout.coded[layout.factors[k].column]
    eta = predictor_at(layout, k, rows, numbers, par)
    if factor.of_indicator:
        present = (one.seen | layout.limited[:, factor.column])[rows]
        return indicator(factor.link, np.where(present, -1.0, 1.0), eta, arithmetic)
    y = numbers[rows, factor.column]
    value = log_density(factor.family, y, eta, auxiliary(one, par), factor.bounds, arithmetic)
    return value + constants(factor.family, y)


def predictor_at(layout: Layout, k: int, rows: np.ndarray, numbers: np.ndarray, par: Mapping[str, Any]) -> np.ndarray:
    """Give the linear predictor of factor k in rows of the table whose predictors are completed."""
    built, factor = layout.designs.built[k], layout.factors[k]
    held = {c.column: numbers[rows, i] for i, c in enumerate(layout.coded)}
    table: IncompleteData = filled(layout.data.frame.iloc[rows], layout.coded, held, built.holes)
    x = built.rebuild(table)[:, [built.names.index(t) for t in factor.terms]]
    eta, random = x @ par[factor.name].T, factor.random
    if random is None:
        return eta
    return eta + (random.every[rows] * par[random.effects][random.of_row[rows]]).sum(axis=1)


def auxiliary(one: Coded, par: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the auxiliary parameters of a column by the names of its family."""
    return {name: par[f"{name}_{one.column}"] for name in FAMILIES[one.family.name].auxiliary}
