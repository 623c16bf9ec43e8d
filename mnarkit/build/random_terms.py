"""Random terms of a factor in an open PyMC model: their spread, their correlations and the effects themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor

from mnarkit.build.priors import positive
from mnarkit.factored.layout import Factor
from mnarkit.factored.random_pieces import sd_prior
from mnarkit.factored.random_terms import RandomTerms, own_map
from mnarkit.factored.shared import Shared
from mnarkit.factored.spread import beta_shapes, root_entries
from mnarkit.families import DEFAULTS

__all__ = ["add_random", "over_of", "random_as_data", "read_effects"]

pt: Any = pytensor.tensor  # untyped: PyTensor annotates its results as variables without arithmetic


def add_random(factor: Factor, declared: dict[str, Any]) -> dict[str, Any]:
    """`random_sd_y`, `random_corr_y` and `random_y` in own units; effects of standardised terms by name.

    The effects are variables here, so that a model can be extended by what they explain; `mk.sample` integrates them
    out where it can.
    """
    random = factor.random
    if random is None:
        return {}
    term = f"{random.effects}_term"
    sd = positive(f"{random.sd}_z", sd_prior(factor.link, declared), random.scale / factor.unit, dims=(term,))
    root = sd[:, None] * _root(random, declared)
    dims = (f"{random.effects}_group", term)
    free: Any = pm.Normal(f"{random.effects}_z", 0, 1, dims=dims)
    effects = pt.dot(free, root.T)
    onto: Any = pm.Data(f"{random.effects}_own_map", own_map(random, float(factor.unit)))
    held = pm.Deterministic(random.effects, pt.dot(effects, onto.T), dims=dims)
    own = pt.dot(onto, root)
    cov = pt.dot(own, own.T)
    spread = pt.sqrt(pt.diag(cov))
    pm.Deterministic(random.sd, spread, dims=(term,))
    if random.k > 1:
        pm.Deterministic(random.corr, cov / (spread[:, None] * spread[None, :]), dims=(term, f"{term}_2"))
    return {random.effects: effects, f"{random.effects}_own": held, f"{random.effects}_sd": spread}


def read_effects(shared: Shared, par: dict[str, Any]) -> dict[str, Any]:
    """Random effects as an indicator reads them, from those in own units, per sd where its coefficients are."""
    over = over_of(shared, par)
    return {shared.scaled: par[f"{shared.effects}_own"][:, shared.which] / over[None, :]}


def over_of(shared: Shared, par: dict[str, Any]) -> Any:
    """Give what coefficients of random effects are divided by, to be in own units, (s,)."""
    return pt.switch(shared.per_sd, par[f"{shared.effects}_sd"][shared.which], 1.0)


def _root(random: RandomTerms, declared: dict[str, Any]) -> Any:
    """Give the Cholesky factor of the correlations, (k, k)."""
    if random.k == 1:
        return np.ones((1, 1))
    a = beta_shapes(random.k, declared.get("random_corr", DEFAULTS["corr"]).values[0])
    free: Any = pm.Beta(f"{random.corr}_z", a, a, shape=len(a))
    rows = root_entries(2 * free - 1, random.k, pt)
    zero = pt.as_tensor(0.0)
    full = [[*map(pt.as_tensor, row), *[zero] * (random.k - len(row))] for row in rows]
    return pt.stack([pt.stack(row) for row in full])


def random_as_data(random: RandomTerms) -> RandomTerms:
    """Put the terms and the groups of the rows into `pm.Data`."""
    x: Any = pm.Data(f"{random.effects}_x", random.x)
    at: Any = pm.Data(f"{random.effects}_at", random.at)
    return replace(random, x=x, at=at)
