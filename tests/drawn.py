"""A fit without a sampler: draws from the normal approximation of the likelihood at its maximum."""

import json
import warnings

import numpy as np
import pandas as pd
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData


def drawn_fit(spec: mk.Spec, frame: pd.DataFrame, *, draws: int = 200, chains: int = 2, seed: int = 7) -> mk.Fit:
    """Draws of (coef, cov, indicators, rho) around `em`'s estimates, in the form that `mk.sample` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mk.errors.MnarkitWarning)
        fit = mk.em(spec, frame, progress=False)
    p, q = len(fit.columns), len(fit.terms)
    rng = np.random.default_rng(seed)
    theta = rng.multivariate_normal(fit.params, fit.covariance.to_numpy(), (chains, draws))
    arms, each = (len(fit.arms),) if fit.arms else (), p * (p + 1) // 2
    lower, at = np.tril_indices(p), p * q + max(len(fit.arms), 1) * each
    cov = np.zeros((chains, draws, *arms, p, p))
    flat = theta[..., p * q : at].reshape(chains, draws, *arms, each)
    cov[..., lower[0], lower[1]] = cov[..., lower[1], lower[0]] = flat
    sd = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    here, dim = ("chain", "draw"), ("arm",) if fit.arms else ()
    arrays = {
        "coef": ((*here, "column_name", "term"), theta[..., : p * q].reshape(chains, draws, p, q)),
        "sd": ((*here, *dim, "column_name"), sd),
        "corr": ((*here, *dim, "column_name", "column_name_2"), cov / (sd[..., :, None] * sd[..., None, :])),
    }
    for one in fit.indicators:
        kind, column = one.name.removesuffix(")").split("(")
        arrays[f"{kind}_{column}"] = ((*here, f"{kind}_{column}_term"), theta[..., at : at + len(one.terms)])
        at += len(one.terms)
        if one.rho is not None:
            arrays[f"rho_{column}"] = (here, theta[..., at])
            at += 1
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), "column_name": list(fit.columns)}
    coords |= {"column_name_2": list(fit.columns), "term": list(fit.terms)}
    coords |= {"arm": list(fit.arms)} if fit.arms else {}
    stats = {"diverging": (here, np.zeros((chains, draws), dtype=bool)), "energy": (here, theta[..., 0])}
    groups = {"posterior": xr.Dataset(arrays, coords=coords), "sample_stats": xr.Dataset(stats)}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"spec": spec.to_json(), "seed": seed, "default_priors": json.dumps({})}
    return mk.Fit(spec, IncompleteData.of(frame), tree, seed, fit.notes)
