"""Imputations from a factored fit: the sampled cells of a draw, and exact draws of all the others given it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.factored.check import check_late_factored, named_in
from mnarkit.factored.draw import draw_unseen, level_probabilities, mean_and_sd
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.factored.points import auxiliary, predictor_at
from mnarkit.factored.random_terms import whole_effects
from mnarkit.fit import Fit, effects_draw, latent_draw, stacked_draws
from mnarkit.normal.declared import Amount, amounts_of, draw_amounts
from mnarkit.odds import multiply_odds
from mnarkit.priors import Prior
from mnarkit.spec.missingness import Missingness
from mnarkit.spec.odds_ratio import OddsRatio
from mnarkit.spec.pattern_mixture import Scale
from mnarkit.spec.spec import Spec

__all__ = ["impute_factored", "parameters_at"]


def impute_factored(
    fit: Fit, rows: IncompleteData, late: Sequence[Missingness], seed: int, numbers: Sequence[int]
) -> dict[str, np.ndarray]:
    """Values of the holes of each modelled column, (m, holes), in the column's own kind; imputation k has its stream.

    Raises
    ------
    SpecError
        Rows that were not in the fit have cells that are sampled there, or a late belief that factors cannot apply.
    DataError
        Values or levels that the fit does not know.
    """
    rows.require(named_in(fit.spec), "the spec")
    check_late_factored(fit.spec, late, rows)
    layout = lay_out(fit.spec, rows, designs_of(fit.spec, fit.data))
    if rows is not fit.data and any(len(cells) for cells in layout.latent):
        names = ", ".join(c for c, cells in zip(layout.columns, layout.latent, strict=True) if len(cells))
        raise SpecError(
            f"unseen values of {names} are sampled together with the parameters, so only the rows of the fit can be "
            "imputed; fit the new rows too"
        )
    if rows is not fit.data:
        _check_groups(fit, layout)
    draws = stacked_draws(fit)
    own, added = (_amounts(spec, rows, fit) for spec in (fit.spec, Spec(fit.spec.model, *late, *fit.spec.limits)))
    every = []
    for k, number in enumerate(numbers):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
        par = parameters_at(fit, layout, draws, number, rng)
        y, weights = draw_unseen(layout, par, latent_draw(fit, layout.columns, number), rng)
        values = [(a, float(par.get(a.name, _number(a)))) for a in own]
        drawn = draw_amounts(added, rng)
        for amount, value in [*values, *((a, drawn[a.name]) for a in added)]:
            j = layout.columns.index(fit.spec.model.columns[amount.column])
            if isinstance(amount.component, OddsRatio):
                _multiply_odds(y, amount, value, layout, par, weights, rng, j)
            else:
                _move(y, amount, value, layout, par, j)
        every.append(y)
    return {one.column: one.decode(_holes(every, one.seen, j)) for j, one in enumerate(layout.coded)}


def parameters_at(
    fit: Fit, layout: Layout, draws: dict[str, np.ndarray], number: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Parameters by name in one of `stacked_draws`, and random effects of all groups: those known, and new ones."""
    par: dict[str, Any] = {name: values[number] for name, values in draws.items()}
    for random in (f.random for f in layout.factors if f.random is not None):
        par[random.effects] = whole_effects(random, effects_draw(fit, random.effects, number), par, rng)
    return par


def _check_groups(fit: Fit, layout: Layout) -> None:
    """Refuse rows with recorded values of a group whose effects the fit does not know; without any, they are drawn."""
    for random in (f.random for f in layout.factors if f.random is not None):
        known = effects_draw(fit, random.effects, 0)
        new = [label for label in random.labels[: random.known] if label not in known]
        if new:
            raise DataError(
                f"{len(new)} levels of {random.bar.group!r}, the first {new[0]!r}, have values here and none in the "
                "fit, which knows nothing of their random effects; fit these rows too"
            )


def _holes(every: list[np.ndarray], seen: np.ndarray, j: int) -> np.ndarray:
    return np.stack([y[~seen, j] for y in every])


def _amounts(spec: Spec, rows: IncompleteData, fit: Fit) -> tuple[Amount, ...]:
    components = [c for c in spec.amounts if not isinstance(c, OddsRatio)]
    moved = {column for c in components for column in c.columns}
    sds = tuple(float(np.nanstd(fit.data.number(c), ddof=1)) if c in moved else np.nan for c in spec.model.columns)
    return amounts_of(spec, rows, sds)


def _number(amount: Amount) -> float:
    return np.nan if isinstance(amount.declared, Prior) else float(amount.declared)


def _move(y: np.ndarray, amount: Amount, value: float, layout: Layout, par: dict[str, Any], j: int) -> None:
    """Apply one amount to its cells in place, added last; `sd` and `percent` are of the row's own family."""
    one, cells = layout.coded[j], np.flatnonzero(amount.cells)
    times = amount.times[cells]
    if isinstance(amount.component, Scale):
        y[cells, j] *= value**times
    elif len(cells):
        mean, sd = mean_and_sd(one, predictor_at(layout, j, cells, y, par), auxiliary(one, par))
        unit = {"sd": sd, "sd_observed": amount.sd_observed, "percent": mean / 100}
        y[cells, j] += value * times * unit.get(str(amount.component.unit), 1.0)
    low, high = one.bounds
    out = int(np.sum((y[cells, j] <= low) | (y[cells, j] >= high)))
    if out:
        raise DataError(
            f"{amount.component} moves {out} of {len(cells)} cells of {one.column!r} out of ({low:g}, {high:g}), where "
            f"{one.family.name} values lie; take a smaller amount, or Scale"
        )


def _multiply_odds(
    y: np.ndarray,
    amount: Amount,
    value: float,
    layout: Layout,
    par: dict[str, Any],
    weights: Sequence[np.ndarray],
    rng: np.random.Generator,
    j: int,
) -> None:
    """Draw the cells of an odds ratio again, by the same place within the old and the new probabilities."""
    cells = np.flatnonzero(amount.cells)
    if not len(cells):
        return
    old = level_probabilities(layout, j, cells, y, par, weights)
    new = multiply_odds(old, np.exp(value * amount.times[cells]))
    held, rows = y[cells, j].astype(np.int64), np.arange(len(cells))
    below = np.hstack([np.zeros((len(cells), 1)), np.cumsum(old, axis=1)])[rows, held]
    place = below + rng.random(len(cells)) * old[rows, held]
    y[cells, j] = np.minimum((np.cumsum(new, axis=1) < place[:, None]).sum(axis=1), old.shape[1] - 1)
