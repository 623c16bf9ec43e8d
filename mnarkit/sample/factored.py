"""Sampling a factored spec, and the sentences that only it has."""

import warnings
from functools import partial
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from mnarkit.data import IncompleteData
from mnarkit.errors import ConvergenceWarning
from mnarkit.factored.coords import coords_of, dims_of
from mnarkit.factored.grid import ORDER
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.factored.likelihood import unit_loglik
from mnarkit.factored.posterior import Posterior, posterior_of
from mnarkit.factored.tail import neglected, said_neglected, said_unresolved
from mnarkit.factored.words import blocks_of
from mnarkit.fit import Fit, effects_draw, latent_draw, stacked_draws
from mnarkit.normal.declared import amounts_of, draw_amounts, free_amounts
from mnarkit.plan import Plan
from mnarkit.sample.convergence import troubles
from mnarkit.sample.nuts import NUTS, function_model, run_nuts
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.sample.tidy import statistics_of, tree_of
from mnarkit.spec.bounds import limits_said
from mnarkit.spec.engine import engine_of
from mnarkit.spec.spec import Spec

__all__ = ["draw_factored", "sample_factored"]

_MOST_LOGLIK = 50_000_000  # values kept: 400 MB
_LATENT_RHAT, _CHECKED_DRAWS, _FINER_DRAWS = 1.05, 40, 5
_MOST_LOW_RANK = 60  # parameters: beyond it a diagonal mass matrix costs less than what it loses


def sample_factored(
    spec: Spec, data: IncompleteData, settings: Settings, rests: tuple[str, ...], drawn: Drawn | None = None
) -> Fit:
    """Draw from the posterior of a factored spec; sampled cells stand in the group `latent`.

    `drawn` are draws of a PyMC model that the user extended.
    """
    layout = lay_out(spec, data, designs_of(spec, data))
    made = draw_factored(posterior_of(spec, layout), settings) if drawn is None else drawn
    cells = [f"{c}_missing" for c, rows in zip(layout.columns, layout.latent, strict=True) if len(rows)]
    random = [f.random.effects for f in layout.factors if f.random is not None]
    names = [*cells, *random]
    posterior = made.posterior.drop_vars([*names, *(f"{n}_obs" for n in cells), *(f"{n}_group" for n in random)])
    if drawn is None:
        posterior = posterior.assign(_prior_only(spec, data, settings))
    tree = tree_of(Drawn(posterior, made.statistics, made.sampler), spec, settings)
    if names:
        held = made.posterior[names]
        own = {f"{n}_obs" for n in cells} | {f"{n}_{dim}" for n in random for dim in ("group", "term")}
        tree["latent"] = xr.DataTree(held.drop_vars([c for c in held.coords if c not in own]))
    engine = engine_of(spec, data)
    notes = (Plan(engine.name, engine.because, blocks_of(layout)).sentence, *rests, *limits_said(spec, data))
    fit = Fit(spec, data, tree, settings.seed, notes)
    if names:
        what = "rows share random effects" if random else "cells are sampled"
        notes = (*notes, f"{what}, so no log likelihood by row is kept: it would be given those values")
    else:
        _add_loglik(fit, layout)
    found = (*troubles(fit), *_troubled_cells(tree, names), *_tails(fit, layout), *_between_points(fit, layout))
    for sentence in found:
        warnings.warn(sentence, ConvergenceWarning, stacklevel=3)
    return Fit(spec, data, tree, settings.seed, (*notes, *found))


def draw_factored(posterior: Posterior, settings: Settings) -> Drawn:
    """Draw with nutpie's NUTS from the log posterior as a plain function: there is nothing to compile."""
    model = function_model(posterior.size, lambda: posterior, partial(_start, posterior.size))
    tree = run_nuts(model, settings, "low_rank" if posterior.size <= _MOST_LOW_RANK else "diag")
    theta = tree["sample_stats"].to_dataset()["unconstrained_draw"].values
    return Drawn(_named(posterior, theta, settings.seed), statistics_of(tree), NUTS)


def _start(size: int, seed: int) -> np.ndarray:
    """Start around the middle of the priors, where the standardised columns put the parameters."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, size)


def _named(posterior: Posterior, theta: np.ndarray, seed: int) -> xr.Dataset:
    """Parameters in own units at every draw, with their dims; effects that were integrated out are drawn here."""
    chains, draws = theta.shape[:2]
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed, spawn_key=(2,)).spawn(chains * draws)]
    flat = zip(theta.reshape(chains * draws, -1), rngs, strict=True)
    each = [posterior.own(one) | posterior.effects(one, rng) for one, rng in flat]
    dims = dims_of(posterior.layout)
    arrays = {name: np.array([one[name] for one in each]) for name in each[0]}
    data = {n: (("chain", "draw", *dims[n]), v.reshape(chains, draws, *v.shape[1:])) for n, v in arrays.items()}
    return xr.Dataset(
        data, coords={"chain": np.arange(chains), "draw": np.arange(draws), **coords_of(posterior.layout)}
    )


def _prior_only(spec: Spec, data: IncompleteData, settings: Settings) -> dict[str, Any]:
    """Draw the amounts that have a prior and are applied when imputing: nothing in the data informs them."""
    amounts = amounts_of(spec, data, tuple(np.nan for _ in spec.model.columns))
    free = {name for each in free_amounts(amounts) for name in each.names}
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(1,)))
    shape = settings.chains, settings.draws
    each = [draw_amounts(amounts, rng) for _ in range(shape[0] * shape[1])] if free else []
    return {n: (("chain", "draw"), np.reshape([one[n] for one in each], shape)) for n in sorted(free)}


def _add_loglik(fit: Fit, layout: Layout) -> None:
    """Fill the group `log_likelihood` with the rows that say something, unless it would be too large."""
    if layout.data.n * fit.n_draws > _MOST_LOGLIK:
        return
    draws = stacked_draws(fit)
    each = ({n: v[number] for n, v in draws.items()} for number in range(fit.n_draws))
    values = np.stack([unit_loglik(layout, par) for par in each])
    speaks = layout.roles.active.any(axis=1)
    sizes = fit.draws["posterior"].sizes
    shaped = values[:, speaks].reshape(sizes["chain"], sizes["draw"], -1)
    coords = {name: fit.draws["posterior"][name].values for name in ("chain", "draw")} | {"obs": np.flatnonzero(speaks)}
    fit.draws["log_likelihood"] = xr.DataTree(xr.Dataset({"unit": (("chain", "draw", "obs"), shaped)}, coords=coords))


def _troubled_cells(tree: xr.DataTree, names: list[str]) -> tuple[str, ...]:
    """Say R-hat of sampled cells where it is bad; there are many of them, so that the bound is wider."""
    if not names or tree["posterior"].sizes["chain"] < 2:
        return ()
    rhat = az.rhat(tree["latent"].to_dataset())
    worst = max(float(np.nanmax(v.values)) for v in rhat.data_vars.values())
    tree.attrs["rhat_max_latent"] = round(worst, 4)
    if worst <= _LATENT_RHAT:
        return ()
    return (
        f"R-hat of a sampled cell or random effect is {worst:.3f}, above {_LATENT_RHAT}: the imputations disagree; "
        "tune longer",
    )


def _tails(fit: Fit, layout: Layout) -> tuple[str, ...]:
    return said_neglected(layout, neglected(layout, _some_draws(fit, layout, _CHECKED_DRAWS)))


def _between_points(fit: Fit, layout: Layout) -> tuple[str, ...]:
    if all(grid is None for grid in layout.grids):
        return ()
    finer = lay_out(fit.spec, fit.data, layout.designs, order=2 * ORDER)
    return said_unresolved(layout, finer, _some_draws(fit, layout, _FINER_DRAWS))


def _some_draws(fit: Fit, layout: Layout, most: int) -> list[tuple[dict[str, np.ndarray], list[np.ndarray]]]:
    """Parameters, effects of groups and sampled cells at draws spread over the fit."""
    draws = stacked_draws(fit)
    some = np.unique(np.linspace(0, fit.n_draws - 1, most).astype(int))
    each = [({n: v[k] for n, v in draws.items()}, latent_draw(fit, layout.columns, k)) for k in some.tolist()]
    for random in (f.random for f in layout.factors if f.random is not None):
        for k, (par, _) in zip(some.tolist(), each, strict=True):
            held = effects_draw(fit, random.effects, k)
            par[random.effects] = np.array([held[label] for label in random.labels[: random.known]])
    return each
