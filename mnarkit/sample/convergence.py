"""Whether the chains can be used: divergences, R-hat and effective sample size, in sentences where they are bad."""

from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from mnarkit.fit import Fit

__all__ = ["moving", "troubles"]

_RHAT, _ESS_PER_CHAIN = 1.01, 100


def troubles(fit: Fit) -> tuple[str, ...]:
    """Say divergences, R-hat and effective sample size where they are bad; keep their numbers in the attributes."""
    chains = fit.draws["posterior"].sizes["chain"]
    found = []
    posterior = moving(fit.draws["posterior"].to_dataset())
    diverging = int(fit.draws["sample_stats"].dataset["diverging"].sum())
    if diverging:
        found.append(f"{diverging} of {fit.n_draws} draws diverged: raise target_accept, or give narrower priors")
    with np.errstate(all="ignore"):  # a coefficient that a number fixes has no spread
        least, ess = _worst(az.ess(posterior), np.nanmin)
    fit.draws.attrs.update(divergences=diverging, ess_min=round(ess, 1) if np.isfinite(ess) else 0.0)
    if not np.isfinite(ess):
        return (*found, f"R-hat and effective sample size cannot be computed from {fit.n_draws} draws: take more draws")
    if ess < _ESS_PER_CHAIN * chains:
        found.append(
            f"the effective sample size of {least} is {ess:.0f}, below {_ESS_PER_CHAIN} a chain: take more draws"
        )
    if chains > 1:
        with np.errstate(all="ignore"):
            most, rhat = _worst(az.rhat(posterior), np.nanmax)
        fit.draws.attrs["rhat_max"] = round(rhat, 4)
        if rhat > _RHAT:
            found.append(
                f"R-hat of {most} is {rhat:.3f}, above {_RHAT}: the chains disagree, do not use these draws; "
                "tune longer"
            )
    return tuple(found)


def moving(posterior: xr.Dataset) -> xr.Dataset:
    """Drop what cannot move from the posterior: the diagonal and the upper half of the correlations."""
    if "corr" not in posterior:
        return posterior
    labels = posterior["column_name"].values
    rows, columns = np.tril_indices(len(labels), -1)
    pairs = [f"{labels[i]}, {labels[j]}" for i, j in zip(rows, columns, strict=True)]
    corr = posterior["corr"].transpose(..., "column_name", "column_name_2")
    below = xr.DataArray(corr.values[..., rows, columns], dims=(*corr.dims[:-2], "pair"), coords={"pair": pairs})
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
