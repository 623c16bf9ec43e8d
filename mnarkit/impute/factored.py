"""Imputations from a factored fit: the sampled cells of a draw, and exact draws of all the others given it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.factored.check import check_late_factored, named_in
from mnarkit.factored.draw import auxiliary, draw_unseen, mean_and_sd, predictor_at
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.fit import Fit, latent_draw, stacked_draws
from mnarkit.normal.layout import Amount, amounts_of
from mnarkit.priors import Prior
from mnarkit.spec.missingness import Missingness
from mnarkit.spec.pattern_mixture import Scale
from mnarkit.spec.spec import Spec

__all__ = ["impute_factored"]


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
    draws = stacked_draws(fit)
    own, added = (_amounts(spec, rows, fit) for spec in (fit.spec, Spec(fit.spec.model, *late)))
    every = []
    for k, number in enumerate(numbers):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
        par = {name: values[number] for name, values in draws.items()}
        y = draw_unseen(layout, par, latent_draw(fit, layout.columns, number), rng)
        for amount in own:
            _move(y, amount, float(par.get(amount.name, amount.component.amount)), layout, par)
        for amount in added:
            declared = amount.component.amount
            _move(y, amount, float(declared.draw(rng)) if isinstance(declared, Prior) else declared, layout, par)
        every.append(y)
    return {one.column: one.decode(_holes(every, one.seen, j)) for j, one in enumerate(layout.coded)}


def _holes(every: list[np.ndarray], seen: np.ndarray, j: int) -> np.ndarray:
    return np.stack([y[~seen, j] for y in every])


def _amounts(spec: Spec, rows: IncompleteData, fit: Fit) -> tuple[Amount, ...]:
    moved = {c for b in spec.pattern_mixtures for c in b.columns}
    sds = tuple(float(np.nanstd(fit.data.number(c), ddof=1)) if c in moved else np.nan for c in spec.model.columns)
    return amounts_of(spec, rows, sds)


def _move(y: np.ndarray, amount: Amount, value: float, layout: Layout, par: dict[str, Any]) -> None:
    """Apply one amount to its cells in place, added at the end; `sd` and `percent` are of the row's own family."""
    j = layout.columns.index(amount.component.column)
    one, cells = layout.coded[j], np.flatnonzero(amount.cells)
    if isinstance(amount.component, Scale):
        y[cells, j] *= value
    elif len(cells):
        mean, sd = mean_and_sd(one, predictor_at(layout, j, cells, y, par), auxiliary(one, par))
        unit = {"sd": sd, "sd_observed": amount.sd_observed, "percent": mean / 100}
        y[cells, j] += value * unit.get(amount.component.unit, 1.0)
    low, high = one.bounds
    out = int(np.sum((y[cells, j] <= low) | (y[cells, j] >= high)))
    if out:
        raise DataError(
            f"{amount.component} moves {out} of {len(cells)} cells of {one.column!r} out of ({low:g}, {high:g}), where "
            f"{one.family.name} values lie; take a smaller amount, or Scale"
        )
