"""Unconstrained draws in the columns' own units, under the names and dims of the PyMC model."""

import numpy as np
import xarray as xr

from mnarkit.normal.coords import coords_of
from mnarkit.normal.structure import from_partial
from mnarkit.sample.density import all_moments, all_spreads
from mnarkit.sample.target import Target

__all__ = ["posterior_of"]

type Named = dict[str, tuple[tuple[str, ...], np.ndarray]]


def posterior_of(target: Target, theta: np.ndarray) -> xr.Dataset:
    """Name the parameters of θ (chains, draws, k)."""
    chains, draws, size = theta.shape
    values = target.values(theta.reshape(chains * draws, size))
    made: Named = {}
    for part in (_moments, _structure, _indicators, _scalars):
        made |= part(target, values)
    data = {k: (("chain", "draw", *dims), v.reshape(chains, draws, *v.shape[1:])) for k, (dims, v) in made.items()}
    used = {d for dims, _ in made.values() for d in dims}
    coords = {name: labels for name, labels in coords_of(target.layout).items() if name in used}
    return xr.Dataset(data, coords={"chain": np.arange(chains), "draw": np.arange(draws), **coords})


def _moments(target: Target, values: np.ndarray) -> Named:
    scaling, (p, q) = target.scaling, (len(target.layout.columns), len(target.layout.terms))
    arms = target.layout.arms
    coef, cov = np.empty((len(values), p, q)), np.empty((len(values), 1 if arms is None else len(arms.labels), p, p))
    all_moments(values, target.design[0], target.design[1], coef, cov)
    dims: tuple[str, ...] = () if arms is None else ("arm",)
    cov = cov[:, 0] if arms is None else cov
    intercept = np.array([t == "Intercept" for t in target.layout.terms])
    origin = np.where(intercept, scaling.center[:, None], 0.0)
    sd = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    made: Named = {
        "coef": (("column_name", "term"), scaling.scale[:, None] * coef @ scaling.x_map.T + origin),
        "sd": ((*dims, "column_name"), scaling.scale * sd),
    }
    if p > 1:
        made["corr"] = ((*dims, "column_name", "column_name_2"), cov / (sd[..., :, None] * sd[..., None, :]))
    return made


def _structure(target: Target, values: np.ndarray) -> Named:
    structure, scaling = target.standard.structure, target.scaling
    if structure is None:
        return {}
    named = target.by_name(values)
    if structure.basis is None:
        shape = named["shape_z"]
        if structure.kind.startswith("TOEP"):
            shape = np.stack(from_partial(np.moveaxis(shape, -1, 0), structure.p)[1:], axis=-1)
        return {"lag_corr": (("lag",) if target.layout.arms is None else ("arm", "lag"), shape)}
    g, scale = structure.basis.shape[1], scaling.scale[0]
    spread = np.empty((len(values), g, g))
    all_spreads(values, g * len(target.layout.terms) + named["residual_sd_z"].shape[1], spread)
    assert structure.back is not None
    spread = scale**2 * structure.back @ spread @ structure.back.T
    mean = scale * structure.back @ named["growth_z"] @ scaling.x_map.T
    mean[:, 0] += np.where([t == "Intercept" for t in target.layout.terms], scaling.center[0], 0.0)
    sd = np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
    made: Named = {
        "growth": (("curve", "term"), mean),
        "random_sd": (("curve",), sd),
        "residual_sd": (("column_name" if structure.by_wave else "common_sd",), scale * named["residual_sd_z"]),
    }
    if g > 1:
        made["random_corr"] = (("curve", "curve_2"), spread / (sd[:, :, None] * sd[:, None, :]))
    return made


def _indicators(target: Target, values: np.ndarray) -> Named:
    made: Named = {}
    named, free = target.by_name(values), target.coefficients(values)
    each = zip(target.spec.selections, target.layout.indicators, target.equations, strict=True)
    for belief, indicator, equation in each:
        k = equation.free_map.shape[1]
        beta = free[:, :k] @ equation.free_map.T + equation.fixed
        made[indicator.name] = ((f"{indicator.name}_term",), beta @ equation.own.T)
        free = free[:, k:]
        if equation.rho is None:
            continue
        name = f"rho_{belief.columns[0]}"
        given = np.full(len(values), equation.rho)
        made[name] = ((), named.get(name, named.get(f"{name}_z", given)))
    return made


def _scalars(target: Target, values: np.ndarray) -> Named:
    """Amounts with a prior, as declared."""
    return {name: ((), at + values @ factors) for name, (at, factors) in target.amounts.items()}
