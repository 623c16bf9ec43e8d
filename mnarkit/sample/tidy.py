"""What is kept of a sampler: the groups that a reader needs, with the names that PyMC gives to sampler statistics."""

import json

import numpy as np
import xarray as xr

from mnarkit.families import DEFAULTS
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.spec.spec import Spec

__all__ = ["statistics_of", "tree_of"]

_KEPT = {"logp": "lp", "depth": "tree_depth", **{n: n for n in ("diverging", "energy", "n_steps", "step_size")}}


def statistics_of(tree: xr.DataTree) -> xr.Dataset:
    """Sampler statistics of nutpie under the names that PyMC gives them."""
    stats = tree["sample_stats"].to_dataset()
    kept = stats[[name for name in _KEPT if name in stats]]
    kept = kept.rename({k: v for k, v in _KEPT.items() if k in stats and k != v})
    kept["tree_depth"] = kept["tree_depth"].astype(np.int64)
    kept["n_steps"] = kept["n_steps"].astype(np.int64)
    kept.attrs = {}
    return kept


def tree_of(drawn: Drawn, spec: Spec, settings: Settings) -> xr.DataTree:
    """Put draws and statistics in one tree, with the record of how they were made."""
    made = xr.DataTree.from_dict({"posterior": drawn.posterior, "sample_stats": drawn.statistics})
    priors = {" ".join(k) if isinstance(k, tuple) else k: repr(v) for k, v in DEFAULTS.items()}
    made.attrs = {
        "spec": spec.to_json(),
        "seed": settings.seed,
        "tune": settings.tune,
        "target_accept": settings.target_accept,
        "default_priors": json.dumps(priors),
        "sampler": drawn.sampler,
        "untestable": " | ".join(b.assumption for b in spec.missingness),
    }
    return made
