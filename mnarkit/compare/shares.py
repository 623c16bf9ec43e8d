"""How often a model of the indicators expects a column to be missing, by group."""

from functools import reduce

import numpy as np
import pandas as pd
from scipy.special import ndtr

from mnarkit.compare.entry import Entry
from mnarkit.compare.unseen import Groups
from mnarkit.em import EMFit
from mnarkit.em.analysis import Analyst
from mnarkit.factored.fresh import Fresh
from mnarkit.factored.layout import designs_of as factored_designs
from mnarkit.factored.layout import lay_out as factored_layout
from mnarkit.fit import Fit, draw_parameters, stacked_draws
from mnarkit.formula import parse
from mnarkit.impute.draw import draw_order
from mnarkit.impute.factored import parameters_at
from mnarkit.normal.layout import Indicator, KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.engine import engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import Heckman, Selection

__all__ = ["shares_of"]

_TOLD = (Selection, Heckman, Dropout)  # whose holes depend on what is in the table and the values, not on random terms


def shares_of(one: Entry, groups: Groups, m: int, seed: int) -> pd.DataFrame:
    """Observed and predicted share of missing values by column and group, over m draws of (θ, y).

    y is drawn from the data model for every row, so a prediction does not look at what is recorded; given y the
    probability of a hole is exact. NaN where the belief has no model of the column's holes.
    """
    beliefs = one.spec.selections
    told = beliefs and all(isinstance(b, _TOLD) for b in beliefs)
    told = told and not any(t.holes for b in beliefs if isinstance(b, Selection) for t in parse(b.formula).terms)
    factored = engine_of(one.spec, one.data).name == "factored"
    predicted = (_of_factors if factored else _predicted)(one, groups, m, seed) if told else {}
    parts = []
    for column in one.spec.model.columns:
        missing = ~one.data.seen(column)
        if not missing.any():
            continue
        rows = np.arange(one.data.n)
        each = predicted.get(column, np.full((1, len(groups.labels)), np.nan))
        error = each.std(axis=0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.full(each.shape[1], np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "assumption": one.name,
                    "column": column,
                    "group": groups.labels,
                    "n": groups.count(rows),
                    "missing": groups.mean(missing.astype(float), rows),
                    "predicted": each.mean(axis=0),
                    "mc_error": error,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _predicted(one: Entry, groups: Groups, m: int, seed: int) -> dict[str, np.ndarray]:
    """By column, predicted shares by draw and group, (m, groups)."""
    table = fitted_table(one.spec, one.data)
    layout = lay_out(one.spec, table, designs_of(one.spec, table))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 1)))
    everywhere = np.arange(one.data.n)
    found: dict[str, list[np.ndarray]] = {}
    for parameters in _draws(one.fit, layout, m):
        for column, probability in _missing_given_y(parameters, layout, rows, rng).items():
            found.setdefault(column, []).append(groups.mean(probability, everywhere))
    return {column: np.stack(each) for column, each in found.items()}


def _of_factors(one: Entry, groups: Groups, m: int, seed: int) -> dict[str, np.ndarray]:
    """Predicted shares as `_predicted`, of a factored fit."""
    assert isinstance(one.fit, Fit)  # there is no EM for factors
    layout = factored_layout(one.spec, one.data, factored_designs(one.spec, one.data))
    fresh, draws = Fresh(layout), stacked_draws(one.fit)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 1)))
    everywhere = np.arange(one.data.n)
    found: dict[str, list[np.ndarray]] = {}
    for number in draw_order(one.fit.n_draws, m):
        par = parameters_at(one.fit, layout, draws, number, rng)
        for j, probability in fresh.missing(fresh.values(par, rng), par).items():
            found.setdefault(layout.columns[j], []).append(groups.mean(probability, everywhere))
    return {column: np.stack(each) for column, each in found.items()}


def _draws(fit: Fit | EMFit, layout: Layout, m: int) -> list[Parameters]:
    """Posterior draws in the order of the imputations; the maximum m times for an `EMFit`."""
    if isinstance(fit, Fit):
        draws = stacked_draws(fit)
        return [draw_parameters(draws, layout, number)[0] for number in draw_order(fit.n_draws, m)]
    assert fit.data is not None
    at = Analyst.of(fit.spec, fit.data, fit.indicators, fit.params.to_numpy(), lambda: np.empty((0, 0)))
    return [at.parameters(at.theta)] * m


def _missing_given_y(
    parameters: Parameters, layout: Layout, rows: KernelData, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """P(missing | y, x) by column with a model of its holes, (n,), at one draw of y for every row."""
    on_x, cov, on_y, direct, own, error = kernel_parameters(parameters, layout, rows)
    x, w, start, weights, slopes, sizes = (rows.arrays[i] for i in (5, 7, 8, 9, 10, 11))
    order, patterns = rows.patterns.order, rows.patterns
    group = np.repeat(patterns.group, patterns.count)
    noise = rng.standard_normal((len(order), len(layout.columns)))
    y = x @ on_x.T
    for g in np.unique(group):
        y[group == g] += noise[group == g] @ np.linalg.cholesky(cov[g]).T
    probability = np.empty((len(order), len(error)))
    for k in range(len(error)):
        u = x @ direct[k] + y @ on_y[k] + w[:, start[k] : start[k + 1]] @ own[start[k] : start[k + 1]]
        mixed = ndtr(u[:, None] * slopes[k, : sizes[k]] / np.sqrt(error[k])) @ weights[k, : sizes[k]]
        probability[order, k] = mixed
    return _by_column(probability, layout)


def _by_column(probability: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """From P(indicator = 1) to P(missing); a wave is missing when its row has left by then."""
    found, at = {}, 0
    for indicator in layout.indicators:
        mine = probability[:, at : at + indicator.n_rows]
        at += indicator.n_rows
        mine = mine if indicator.groups is None else indicator.groups.own(mine)
        found |= _of_indicator(indicator, mine, layout.columns)
    return found


def _of_indicator(indicator: Indicator, mine: np.ndarray, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    if indicator.hazard is None:
        return {columns[indicator.column]: 1 - mine[:, 0] if indicator.recorded else mine[:, 0]}
    stays = [1 - mine[:, k] for k in range(mine.shape[1])]
    found = {}
    for wave, column in enumerate(indicator.hazard.order):
        so_far = [s for s, t in zip(stays, indicator.hazard.at, strict=True) if t <= wave]
        if so_far:
            found[columns[column]] = 1 - reduce(np.multiply, so_far)
    return found
