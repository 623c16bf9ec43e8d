"""Every parameter of a posterior as a number of its own, with its name."""

import itertools
from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

__all__ = ["scalars_of"]

_SYMMETRIC = ("corr", "random_corr")
_UNITS = ("cell", "obs", "id")  # dims along which unseen cells and random terms stand, not parameters


def scalars_of(posterior: xr.Dataset) -> dict[str, np.ndarray]:
    """Name every scalar parameter that moves, `coef[lwage, educ]`: (chains, draws) each.

    The diagonal and the upper half of correlations are left out, as are latent values of single rows.
    """
    made: dict[str, np.ndarray] = {}
    for name, variable in posterior.data_vars.items():
        if any(_of_units(str(d)) for d in variable.dims):
            continue
        inner = [d for d in variable.dims if d not in ("chain", "draw")]
        values = variable.transpose("chain", "draw", *inner).values
        for at in itertools.product(*(range(variable.sizes[d]) for d in inner)):
            if name in _SYMMETRIC and at[-2] <= at[-1]:
                continue
            one = values[(slice(None), slice(None), *at)].astype(float)
            if np.ptp(one) > 0:
                made[_label(variable, inner, at)] = one
    return made


def _of_units(dim: str) -> bool:
    return dim in _UNITS or dim.endswith(("_obs", "_id"))


def _label(variable: xr.DataArray, inner: Sequence[Hashable], at: tuple[int, ...]) -> str:
    if not at:
        return str(variable.name)
    said = [
        str(variable.coords[d].values[i]) if d in variable.coords else str(i) for d, i in zip(inner, at, strict=True)
    ]
    return f"{variable.name}[{', '.join(said)}]"
