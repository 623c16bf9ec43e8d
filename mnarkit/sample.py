"""sample: draws from the posterior of a spec, with the sentences that a reader needs beside them."""

import json
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import arviz as az
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
from mnarkit.em.normal import mar_start
from mnarkit.errors import ConvergenceError, ConvergenceWarning, IdentificationWarning, SpecError
from mnarkit.families import DEFAULTS
from mnarkit.fit import Fit, checked_seed, draw_parameters, stacked_draws
from mnarkit.normal.correlation import partial_correlations
from mnarkit.normal.layout import kernel_data
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import kernel_parameters
from mnarkit.normal.sources import moments_of
from mnarkit.normal.structure import Structure
from mnarkit.normal.together import unit_loglik_together
from mnarkit.spec.bounds import limits_said
from mnarkit.spec.check import identification
from mnarkit.spec.events import fitted_table
from mnarkit.spec.propensities import orthants
from mnarkit.spec.spec import Spec, require_spec

__all__ = ["sample"]

_COMPILED: OrderedDict[Any, Any] = OrderedDict()
_KEPT = 16  # compiled models, each a few MB
_MOST_LOGLIK = 50_000_000  # values of log_likelihood kept by default: 400 MB
_INTERPRETED = Mode(linker="py", optimizer="fast_compile")
_RHAT, _ESS_PER_CHAIN = 1.01, 100


def sample(
    spec: Spec,
    df: object,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float = 0.9,
    seed: int | None = None,
    progress: bool = True,
    model: pm.Model | None = None,
) -> Fit:
    """Draw from p(θ | y_seen, r), NUTS by nutpie, started at the MAR maximum of the likelihood.

    Parameters
    ----------
    spec : Spec
        Data model and beliefs; `print(spec)` says what cannot be tested.
    df : DataFrame
        The table.
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain, and the number of chains.
    cores : int, optional
        Chains at a time; the draws do not depend on it.
    target_accept : float
        Of NUTS, in (0, 1).
    seed : int, optional
        Without one, a seed is taken from the system and recorded in `Fit.seed`.
    progress : bool
        Show a progress bar.
    model : pymc.Model, optional
        `mk.build(spec, df)` as you extended it.

    Returns
    -------
    Fit

    Raises
    ------
    SpecError, DataError
        The spec does not fit the table.

    Warns
    -----
    IdentificationWarning
        What a selection model is identified by.
    ConvergenceWarning
        Divergences, R-hat above 1.01, effective sample size below 100 a chain.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> dict(fit.draws["posterior"].sizes)["term"]
    2
    """
    require_spec(spec)
    _check_settings(draws, tune, chains, target_accept)
    seed = checked_seed(seed)
    data = IncompleteData.of(df)
    built = build_parts(spec, data)
    rests = identification(spec)
    for sentence in rests:
        warnings.warn(sentence, IdentificationWarning, stacklevel=2)
    compiled = _compile(spec, built, data, model)
    tree = nutpie.sample(
        compiled,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=seed,
        target_accept=target_accept,
        adaptation="low_rank",  # predictors are correlated: 6 to 9 times the effective draws per second of a diagonal
        progress_bar=progress,
        save_warmup=False,
        store_unconstrained=True,
    )
    settings = {"tune": tune, "target_accept": target_accept}
    notes = (*rests, *limits_said(spec, data), *orthants(spec, data))
    fit = Fit(spec, data, _tidy(tree, built.model if model is None else model, spec, seed, settings), seed, notes)
    _add_loglik(fit, built)
    troubles = _troubles(fit)
    for sentence in troubles:
        warnings.warn(sentence, ConvergenceWarning, stacklevel=2)
    return Fit(spec, data, fit.draws, seed, (*notes, *troubles))


def _check_settings(draws: int, tune: int, chains: int, target_accept: float) -> None:
    for name, value in {"draws": draws, "tune": tune, "chains": chains}.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise SpecError(f"{name}= is a whole number of at least 1, not {value!r}")
    if not 0 < target_accept < 1:
        raise SpecError(f"target_accept= lies inside (0, 1), not {target_accept!r}")


def _compile(spec: Spec, built: Built, data: IncompleteData, model: pm.Model | None) -> Any:
    """Compile, or put new data into what was compiled for the same spec and shapes in this process."""
    if model is not None:
        return _compile_model(model, _start(spec, data, built))
    rows = built.rows
    terms = tuple(i.terms for i in built.layout.indicators)
    shapes = (built.layout.terms, terms, rows.pieces, rows.groups, rows.together, built.layout.limited_columns)
    constants = built.layout.model_amounts or any(i.hazard is not None for i in built.layout.indicators)
    fixed = data.fingerprint() if constants else None  # their units stand in the graph
    key = (spec, shapes, fixed)
    if key not in _COMPILED:
        _COMPILED[key] = _compile_model(built.model, _start(spec, data, built))
        while len(_COMPILED) > _KEPT:
            _COMPILED.popitem(last=False)
    known = {variable.name for variable in _COMPILED[key].shared_var_keys}
    arrays = {v.name: v.get_value(borrow=True) for v in built.model.data_vars if v.name in known}
    return _COMPILED[key].with_data(**arrays)


def _compile_model(model: pm.Model, start: dict[str, np.ndarray]) -> Any:
    jitter = {v for v in model.free_RVs if v.name not in start}
    points: dict[Any, Any] = {name: value for name, value in start.items() if name in model.named_vars}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTensor and Numba on caching; nothing that a user could act on
        return nutpie.compile_pymc_model(model, var_names=[], initial_points=points, jitter_rvs=jitter)


def _start(spec: Spec, data: IncompleteData, built: Built) -> dict[str, np.ndarray]:
    """Place the data model's free variables at the MAR maximum, on standardised columns."""
    try:
        point = mar_start(moments_of(spec.mar(), fitted_table(spec, data)), built.scaling)
    except ConvergenceError:
        return {}
    if point is None:
        return {}
    coef, cov = point
    structure = built.standard.structure
    if structure is not None:
        return _structured_start(structure, coef, cov)
    sd = np.sqrt(np.diag(cov))
    start = {"coef_z": coef, "sd_z": sd}
    if len(sd) > 1:
        start["partial_corr_z"] = (1 + np.clip(partial_correlations(cov), -0.99, 0.99)) / 2
    return start


def _structured_start(structure: Structure, coef: np.ndarray, cov: np.ndarray) -> dict[str, np.ndarray]:
    """Place the parameters of a structure near the unstructured maximum."""
    near = structure.nearest(coef, cov)
    if structure.basis is None:
        return {"coef_z": near.mean, "shape_z": near.shape, "sd_z": near.sd}
    spread = np.sqrt(np.diag(near.shape))
    start = {"growth_z": near.mean, "random_sd_z": spread, "residual_sd_z": near.sd}
    if len(spread) > 1:
        start["random_corr_z"] = (1 + np.clip(partial_correlations(near.shape), -0.9, 0.9)) / 2
    return start


def _tidy(tree: xr.DataTree, model: pm.Model, spec: Spec, seed: int, settings: dict[str, Any]) -> xr.DataTree:
    """Keep the groups that a reader needs, with the names that PyMC gives to sampler statistics."""
    stats = tree["sample_stats"].to_dataset()
    names = {"logp": "lp", "depth": "tree_depth", **{n: n for n in ("diverging", "energy", "n_steps", "step_size")}}
    kept = stats[[name for name in names if name in stats]]
    kept = kept.rename({k: v for k, v in names.items() if k in stats and k != v})
    kept["tree_depth"] = kept["tree_depth"].astype(np.int64)
    kept["n_steps"] = kept["n_steps"].astype(np.int64)
    kept.attrs = {}
    made = xr.DataTree.from_dict({"posterior": _named(stats["unconstrained_draw"].values, model), "sample_stats": kept})
    priors = {" ".join(k) if isinstance(k, tuple) else k: repr(v) for k, v in DEFAULTS.items()}
    made.attrs = {
        "spec": spec.to_json(),
        "seed": seed,
        **settings,
        "default_priors": json.dumps(priors),
        "sampler": f"nutpie {nutpie.__version__}",
        "untestable": " | ".join(b.assumption for b in spec.missingness),
    }
    return made


def _named(unconstrained: np.ndarray, model: pm.Model) -> xr.Dataset:
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
    dims = {v.name: ("chain", "draw", *(model.named_vars_to_dims.get(v.name) or _own_dims(v))) for v in wanted}
    data = {v.name: (dims[v.name], m.reshape(chains, draws, *m.shape[1:])) for v, m in zip(wanted, made, strict=True)}
    used = {d for names in dims.values() for d in names}
    coords = {name: list(labels) for name, labels in model.coords.items() if name in used and labels is not None}
    return xr.Dataset(data, coords={"chain": np.arange(chains), "draw": np.arange(draws), **coords})


def _own_dims(variable: Any) -> tuple[str, ...]:
    return tuple(f"{variable.name}_dim_{i}" for i in range(variable.ndim))


def _add_loglik(fit: Fit, built: Built) -> None:
    """Fill the group `log_likelihood`, unless it would be larger than memory should be spent on.

    Its rows (`obs`, positions in the table) are those that say something: without an indicator, a row in which nothing
    is seen has log likelihood 0 whatever the parameters are, and leave-one-out has no meaning for it.
    """
    n = fit.data.n
    if n * fit.n_draws > _MOST_LOGLIK:
        return
    rows = kernel_data(built.layout, keep_empty_rows=True, products=False)
    by_row = unit_loglik_together if rows.together else unit_loglik
    draws = stacked_draws(fit)
    values, row = np.empty((fit.n_draws, n)), np.empty(n)
    for number in range(fit.n_draws):
        parameters, _ = draw_parameters(draws, built.layout, number)
        arguments = (*kernel_parameters(parameters, built.layout, rows), *rows.arrays[1:], row)
        by_row(*arguments)
        values[number, rows.patterns.order] = row
    sizes = fit.draws["posterior"].sizes
    speaks = np.ones(n, dtype=bool) if built.layout.indicators else built.layout.present.any(axis=1)
    shaped = values[:, speaks].reshape(sizes["chain"], sizes["draw"], -1)
    coords = {name: fit.draws["posterior"][name].values for name in ("chain", "draw")} | {"obs": np.flatnonzero(speaks)}
    fit.draws["log_likelihood"] = xr.DataTree(xr.Dataset({"unit": (("chain", "draw", "obs"), shaped)}, coords=coords))


def _troubles(fit: Fit) -> tuple[str, ...]:
    """Say divergences, R-hat and effective sample size where they are bad; keep their numbers in the attributes."""
    chains = fit.draws["posterior"].sizes["chain"]
    found = []
    posterior = _free(fit.draws["posterior"].to_dataset())
    diverging = int(fit.draws["sample_stats"].dataset["diverging"].sum())
    if diverging:
        found.append(f"{diverging} of {fit.n_draws} draws diverged: raise target_accept, or give narrower priors")
    least, ess = _worst(az.ess(posterior), np.nanmin)
    fit.draws.attrs.update(divergences=diverging, ess_min=round(ess, 1) if np.isfinite(ess) else 0.0)
    if not np.isfinite(ess):
        return (*found, f"R-hat and effective sample size cannot be computed from {fit.n_draws} draws: take more draws")
    if ess < _ESS_PER_CHAIN * chains:
        found.append(
            f"the effective sample size of {least} is {ess:.0f}, below {_ESS_PER_CHAIN} a chain: take more draws"
        )
    if chains > 1:
        most, rhat = _worst(az.rhat(posterior), np.nanmax)
        fit.draws.attrs["rhat_max"] = round(rhat, 4)
        if rhat > _RHAT:
            found.append(
                f"R-hat of {most} is {rhat:.3f}, above {_RHAT}: the chains disagree, do not use these draws; "
                "tune longer"
            )
    return tuple(found)


def _free(posterior: xr.Dataset) -> xr.Dataset:
    """Drop what cannot move from the posterior: the diagonal and the upper half of the correlations."""
    if "corr" not in posterior:
        return posterior
    labels = posterior["column_name"].values
    rows, columns = np.tril_indices(len(labels), -1)
    pairs = [f"{labels[i]}, {labels[j]}" for i, j in zip(rows, columns, strict=True)]
    values = posterior["corr"].values[:, :, rows, columns]
    below = xr.DataArray(values, dims=("chain", "draw", "pair"), coords={"pair": pairs})
    return posterior.drop_vars("corr").assign(corr=below)


def _worst(values: xr.Dataset, pick: Callable[..., Any]) -> tuple[str, float]:
    """Find the parameter with the smallest or largest value, with its coordinates."""
    each = {str(name): float(pick(v.values)) for name, v in values.data_vars.items() if np.isfinite(v.values).any()}
    if not each:
        return "no parameter", np.nan
    name = (min if pick is np.nanmin else max)(each, key=lambda k: each[k])
    array = values[name]
    where = np.argwhere(array.values == each[name])[0]
    labels = [str(array.coords[d].values[i]) for d, i in zip(array.dims, where, strict=True)]
    return (f"{name}[{', '.join(labels)}]" if labels else name), each[name]
