"""A factored spec as a plain PyMC model: its parameters, its sampled cells, and one likelihood of all factors."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor
from pymc.distributions.transforms import ordered

from mnarkit.build import arithmetic
from mnarkit.build.blocks import add_amounts
from mnarkit.build.priors import coefficient, location_scale, positive
from mnarkit.build.random_terms import add_random, over_of, random_as_data, read_effects
from mnarkit.data import IncompleteData
from mnarkit.factored.check import check_factored
from mnarkit.factored.columns import Coded
from mnarkit.factored.coords import coords_of, dims_of
from mnarkit.factored.layout import Factor, Inputs, Layout, designs_of, lay_out
from mnarkit.factored.likelihood import loglik
from mnarkit.factored.posterior import prior_of_term
from mnarkit.factored.scaling import back_of, standardise, unconstrained_scale
from mnarkit.families import DEFAULTS, FAMILIES
from mnarkit.normal.declared import amounts_of
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.engine import regressions_of
from mnarkit.spec.model_priors import RANDOM_PRIORS
from mnarkit.spec.spec import Spec

__all__ = ["BuiltFactored", "build_factored"]

pt: Any = pytensor.tensor  # untyped: PyTensor annotates its results as variables without arithmetic


@dataclass(frozen=True, slots=True, eq=False)
class BuiltFactored:
    """A PyMC model with what it was made from, in the columns' own units and standardised."""

    model: pm.Model
    layout: Layout
    standard: Layout


def build_factored(spec: Spec, data: IncompleteData) -> BuiltFactored:
    """Build the model: `coef_y`, `sd_y` …, `missing_y`, and `y_missing` for the cells that are sampled."""
    check_factored(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    standard = standardise(layout)
    with pm.Model(coords=coords_of(layout)) as model:
        latent = [_sampled(one, rows) for one, rows in zip(layout.coded, layout.latent, strict=True)]
        par: dict[str, Any] = {}
        for factor, declared in zip(standard.factors, _priors(spec, standard), strict=True):
            par |= _parameters(factor, layout.coded[factor.column], declared, dims_of(layout)[factor.name], par)
        add_amounts(amounts_of(spec, data, tuple(np.nan for _ in spec.model.columns)))
        factors = [_as_data(f) for f in standard.factors]
        pm.Potential("loglik", loglik(factors, par, latent, layout.columns, arithmetic))
    return BuiltFactored(model, layout, standard)


def _priors(spec: Spec, layout: Layout) -> list[dict[str, Any]]:
    """Priors by name for each factor: those of the regressions, and by term those of the indicators."""
    declared = [r.priors for r in regressions_of(spec)] + [b.priors for b in spec.selections]
    return [prior_table(p) for p in declared]


def _parameters(
    factor: Factor, one: Coded, declared: dict[str, Any], dims: tuple[str, ...], before: dict[str, Any]
) -> dict[str, Any]:
    """Free parameters of a factor on standardised columns, and the same in own units as deterministics.

    `before` are those of the factors before it.
    """
    if factor.of_indicator:
        own = {name: prior for name, prior in declared.items() if name not in RANDOM_PRIORS}
        coef = _indicator_coefficients(factor, own, dims)
        _in_own_units(factor, coef, dims, before)
        read = {} if factor.shared is None else read_effects(factor.shared, before)
        return {factor.name: coef} | read | add_random(factor, declared)
    each: Any = [prior_of_term(factor, term, declared) for term in factor.terms]
    coef = location_scale(f"{factor.name}_z", each, factor.scale / factor.unit, dims=dims)
    own = _in_own_units(factor, coef, dims, before)
    aux = {name: _auxiliary(name, factor, one, declared, own) for name in FAMILIES[factor.family].auxiliary}
    named = {f"{name}_{one.column}": value for name, value in aux.items()}
    return {factor.name: coef} | named | add_random(factor, declared)


def _in_own_units(factor: Factor, coef: Any, dims: tuple[str, ...], before: dict[str, Any]) -> Any:
    back = back_of(factor)
    onto: Any = pm.Data(f"{factor.name}_own_map", back.map)
    origin: Any = pm.Data(f"{factor.name}_own_origin", back.origin)
    own = pt.dot(coef, onto.T) + origin
    if factor.shared is not None:
        own = pt.set_subtensor(own[factor.shared.places], own[factor.shared.places] / over_of(factor.shared, before))
    return pm.Deterministic(factor.name, own, dims=dims)


def _auxiliary(name: str, factor: Factor, one: Coded, declared: dict[str, Any], own: Any) -> Any:
    """A parameter besides the coefficients, in own units."""
    whole, prior = f"{name}_{one.column}", declared.get(name, DEFAULTS.get(name))
    unit = np.asarray(factor.unit)
    match name:
        case "cutpoints":
            start = np.linspace(-1, 1, len(one.levels or ()) - 1)
            dim = f"{one.column}_cutpoint"
            cuts: Any = pm.Logistic(f"{whole}_z", 0, 1, dims=dim, transform=ordered, initval=start)
            pm.Deterministic(whole, cuts + pt.dot(own, pm.Data(f"{whole}_moved", back_of(factor).moved)), dims=dim)
            return cuts
        case "sd" | "scale":
            value: Any = positive(f"{whole}_z", prior, 1 / unit, dims=None)
            return pm.Deterministic(whole, value * pm.Data(f"{whole}_scale", unit))
        case "cv":
            return positive(whole, prior, np.asarray(1.0), dims=None)
        case "df":
            more: Any = pm.Gamma(f"{whole}_z", *prior.values)
            return pm.Deterministic(whole, 1 + more)
        case "spread":
            return pm.Uniform(whole, *prior.values)
    return coefficient(whole, prior, 1.0)


def _indicator_coefficients(factor: Factor, declared: dict[str, Any], dims: tuple[str, ...]) -> Any:
    """Coefficients in the order of the terms, standardised; numbers fix them in raw units."""
    each: Any = [prior_of_term(factor, term, declared) for term in factor.terms]
    if not declared:
        return location_scale(f"{factor.name}_z", each, factor.scale, dims=dims)
    numbered = zip(factor.terms, each, factor.scale, strict=True)
    coef = pt.stack([coefficient(f"{factor.name}_{t}_z", p, u) for t, p, u in numbered])
    for i, (term, prior) in enumerate(zip(factor.terms, each, strict=True)):
        if term == "Intercept" and not isinstance(prior, Prior):  # fixed, raw: take off what the slopes carry there
            onto: Any = pm.Data(f"{factor.name}_own_intercept", back_of(factor).map[i])
            coef = pt.set_subtensor(coef[i], coef[i] - pt.dot(onto, pt.set_subtensor(coef[i], 0.0)))
    return coef


def _sampled(one: Coded, rows: np.ndarray) -> Any:
    """Cells that are sampled, flat on their support: a real vector, its map onto the support, and its Jacobian."""
    if not len(rows):
        return np.zeros(0)
    name, dim = f"{one.column}_missing", f"{one.column}_missing_obs"
    support, center, scale = unconstrained_scale(one)
    free: Any = pm.Flat(f"{name}_z", dims=dim)
    real = center + scale * free
    low, high = one.bounds
    match support:
        case "positive":
            values, jacobian = pt.exp(real), real
        case "interval":
            values = low + (high - low) * pt.sigmoid(real)
            jacobian = -pt.softplus(real) - pt.softplus(-real) + np.log(high - low)
        case _:
            values, jacobian = real, 0.0 * real
    pm.Potential(f"{name}_jacobian", pt.sum(jacobian) + len(rows) * np.log(scale))
    return pm.Deterministic(name, values, dims=dim)


_ARRAYS = ("x", "y", "constant", "direct", "curve_at", "rest", "response_at", "response_cells", "center", "scale")


def _as_data(factor: Factor) -> Factor:
    """Put the arrays of a factor into `pm.Data`, so that what is compiled serves other tables."""
    held: dict[str, Any] = {n: pm.Data(f"{factor.name}_{n}", np.asarray(getattr(factor, n))) for n in _ARRAYS}
    held |= {n: pm.Data(f"{factor.name}_{n}", np.asarray(getattr(factor, n))) for n in ("origin", "unit")}
    maps = tuple(pm.Data(f"{factor.name}_block_{k}", m) for k, m in enumerate(factor.maps))
    inputs = tuple(_inputs_as_data(factor, i) for i in factor.inputs)
    random = None if factor.random is None else random_as_data(factor.random)
    shared = factor.shared
    if shared is not None:
        at: Any = pm.Data(f"{factor.name}_shared_at", shared.at)
        shared = replace(shared, at=at)
    return replace(factor, maps=maps, inputs=inputs, random=random, shared=shared, **held)


def _inputs_as_data(factor: Factor, one: Inputs) -> Inputs:
    name = f"{factor.name}_{one.column}"
    held: dict[str, Any] = {f.name: pm.Data(f"{name}_{f.name}", getattr(one, f.name)) for f in fields(one)[1:]}
    return replace(one, **held)
