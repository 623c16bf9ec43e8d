"""Sampling through a compiled PyMC model: for a model that the user extended, and for what has no kernel of its own."""

import warnings
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pytensor.compile.maker import function as compile_function
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph

from mnarkit.build import Built, build_parts
from mnarkit.data import IncompleteData
from mnarkit.sample.nuts import NUTS, run_nuts
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.sample.start import start_of
from mnarkit.sample.tidy import statistics_of
from mnarkit.spec.spec import Spec

__all__ = ["draw_from_model", "draw_through_pymc", "named_draws"]

_COMPILED: OrderedDict[Hashable, Any] = OrderedDict()
_KEPT = 16  # compiled models, each a few MB
_INTERPRETED = Mode(linker="py", optimizer="fast_compile")


def draw_through_pymc(spec: Spec, data: IncompleteData, settings: Settings, model: pm.Model | None = None) -> Drawn:
    """Draw from the extended normal of a spec as a PyMC model, or as the user extended it."""
    built = build_parts(spec, data)
    start = start_of(spec, data, built.scaling, built.standard)
    if model is not None:
        return draw_from_model(model, start, settings)
    return draw_from_model(built.model, start, settings, key=_key(spec, data, built))


def _key(spec: Spec, data: IncompleteData, built: Built) -> Hashable:
    """Specs and shapes that share one graph; where units of the table stand in the graph, the table itself."""
    rows = built.rows
    terms = tuple(i.terms for i in built.layout.indicators)
    shapes = (built.layout.terms, terms, rows.pieces, rows.groups, rows.together, rows.limited)
    constants = built.layout.model_amounts or any(i.lines is not None for i in built.layout.indicators)
    return spec, shapes, data.fingerprint() if constants else None


def draw_from_model(
    model: pm.Model, start: dict[str, np.ndarray], settings: Settings, *, key: Hashable | None = None
) -> Drawn:
    """Draw from any PyMC model of continuous parameters with nutpie's NUTS.

    Parameters
    ----------
    model : pymc.Model
        All variables but those whose names end in `_z` are kept, with their dims.
    start : dict
        Values of free variables, by name, in the units of the model; the others start at random.
    settings : Settings
    key : hashable, optional
        Models of one key differ in their `pm.Data` alone and are compiled once a process.
    """
    compiled = _compile(model, start) if key is None else _kept(key, model, start)
    tree = run_nuts(compiled, settings)
    stats = tree["sample_stats"].to_dataset()
    named = named_draws(stats["unconstrained_draw"].values, model)
    return Drawn(named, statistics_of(tree), NUTS)


def _kept(key: Hashable, model: pm.Model, start: dict[str, np.ndarray]) -> Any:
    """Compile, or put new data into what was compiled for the same key in this process."""
    if key not in _COMPILED:
        _COMPILED[key] = _compile(model, start)
        while len(_COMPILED) > _KEPT:
            _COMPILED.popitem(last=False)
    known = {variable.name for variable in _COMPILED[key].shared_var_keys}
    arrays = {v.name: v.get_value(borrow=True) for v in model.data_vars if v.name in known}
    return _COMPILED[key].with_data(**arrays)


def _compile(model: pm.Model, start: dict[str, np.ndarray]) -> Any:
    jitter = {v for v in model.free_RVs if v.name not in start}
    points: dict[Any, Any] = {name: value for name, value in start.items() if name in model.named_vars}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTensor and Numba on caching; nothing that a user could act on
        return nutpie.compile_pymc_model(model, var_names=[], initial_points=points, jitter_rvs=jitter)


def named_draws(unconstrained: np.ndarray, model: pm.Model) -> xr.Dataset:
    """Every variable of the model that does not end in `_z`, computed from the unconstrained draws in one call.

    Interpreted on whole arrays: that is faster than compiling it.
    """
    wanted = [v for v in (*model.free_RVs, *model.deterministics) if not v.name.endswith("_z")]
    batch = [pt.tensor(shape=(None, *v.type.shape), dtype=v.dtype) for v in model.value_vars]
    outputs = vectorize_graph(model.replace_rvs_by_values(wanted), dict(zip(model.value_vars, batch, strict=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTensor looks for a BLAS that is not used
        function: Any = compile_function(batch, outputs, mode=_INTERPRETED, on_unused_input="ignore")
    chains, draws = unconstrained.shape[:2]
    point = model.initial_point()
    shapes = [np.shape(point[v.name]) for v in model.value_vars]
    edges = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1]
    pieces = np.split(unconstrained.reshape(chains * draws, -1), edges, axis=1)
    made = function(*(v.reshape(chains * draws, *shape) for v, shape in zip(pieces, shapes, strict=True)))
    made = [_for_all(m, v.ndim, chains * draws) for m, v in zip(made, wanted, strict=True)]
    dims = {v.name: ("chain", "draw", *(model.named_vars_to_dims.get(v.name) or _own_dims(v))) for v in wanted}
    data = {v.name: (dims[v.name], m.reshape(chains, draws, *m.shape[1:])) for v, m in zip(wanted, made, strict=True)}
    used = {d for names in dims.values() for d in names}
    coords = {name: list(labels) for name, labels in model.coords.items() if name in used and labels is not None}
    return xr.Dataset(data, coords={"chain": np.arange(chains), "draw": np.arange(draws), **coords})


def _for_all(made: np.ndarray, ndim: int, count: int) -> np.ndarray:
    """Repeat what does not depend on the draws, as a ρ that is given."""
    return made if made.ndim > ndim else np.repeat(made[None], count, axis=0)


def _own_dims(variable: Any) -> tuple[str, ...]:
    return tuple(f"{variable.name}_dim_{i}" for i in range(variable.ndim))
