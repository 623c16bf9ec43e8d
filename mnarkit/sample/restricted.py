"""Exact posterior draws of the regressions behind an identifying restriction: independent, no Markov chain."""

import numpy as np
import xarray as xr

from mnarkit.data import IncompleteData
from mnarkit.formula import design
from mnarkit.normal.declared import amounts_of, draw_amounts, free_amounts
from mnarkit.normal.restriction import compose, draw_regression, regressions_of
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.spec.spec import Spec

__all__ = ["draw_restricted"]


def draw_restricted(spec: Spec, data: IncompleteData, settings: Settings) -> tuple[Drawn, tuple[str, ...]]:
    """Draw (B, Σ) as the donors' regressions make them, with the sentences on the donors.

    Amounts with priors that are applied when imputing are drawn here too.
    """
    fits, donors = regressions_of(spec, data)
    terms = design(spec.model.predictors, data).names
    coefs, covs = [], []
    for chain in range(settings.chains):
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(chain,)))
        each = [draw_regression(fit, settings.draws, rng) for fit in fits]
        coef, cov = compose([c for c, _ in each], [v for _, v in each], len(terms))
        coefs.append(coef)
        covs.append(cov)
    columns = list(spec.model.columns)
    coef, cov = np.stack(coefs), np.stack(covs)
    sd = np.sqrt(np.diagonal(cov, axis1=2, axis2=3))
    at = ("chain", "draw")
    arrays = {"coef": ((*at, "column_name", "term"), coef), "sd": ((*at, "column_name"), sd)}
    coords = {"column_name": columns, "term": list(terms)}
    if len(columns) > 1:
        corr = cov / (sd[..., :, None] * sd[..., None, :])
        arrays["corr"] = ((*at, "column_name", "column_name_2"), corr)
        coords["column_name_2"] = columns
    numbered = {"chain": np.arange(settings.chains), "draw": np.arange(settings.draws)}
    posterior = xr.Dataset(arrays, coords=numbered | coords)
    posterior = posterior.assign(_amounts(spec, data, settings))
    none = np.zeros((settings.chains, settings.draws), dtype=bool)
    statistics = xr.Dataset({"diverging": (at, none)}, coords=numbered)
    said = "the posterior of each wave's regression on its donors is known (prior 1/σ²): the draws are independent"
    return Drawn(posterior, statistics, "exact draws"), (*donors.notes, said)


def _amounts(spec: Spec, data: IncompleteData, settings: Settings) -> dict[str, tuple[tuple[str, str], np.ndarray]]:
    """Amounts with priors, by name: nothing in the data informs them."""
    every = amounts_of(spec, data, tuple(1.0 for _ in spec.model.columns))
    names = [name for free in free_amounts(every) for name in free.names]
    if not names:
        return {}
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(settings.chains,)))
    drawn = [draw_amounts(every, rng) for _ in range(settings.chains * settings.draws)]
    shape = settings.chains, settings.draws
    return {n: (("chain", "draw"), np.array([one[n] for one in drawn]).reshape(shape)) for n in names}
