"""Models with every unseen value as a parameter, as PyMC users write them: the latent side of posteriors that agree.

They have the priors of the scenarios in `tests.calibration.scenarios`, in the columns' own units.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor

from tests.calibration.scenarios import HAZARD, OF_V, OF_Y, WAVES

__all__ = ["bernoulli_selection", "dropout", "two_selections"]

pt: Any = pytensor.tensor


def _priors(name: str, terms: Mapping[str, Any]) -> Any:
    """Independent normal priors, in the order of the terms."""
    each = np.array([prior.values for prior in terms.values()])
    return pm.Normal(name, each[:, 0], each[:, 1], shape=len(each))


def _completed(y: np.ndarray) -> Any:
    """The values, with a flat parameter in each hole."""
    holes = np.nonzero(np.isnan(y))
    return pt.set_subtensor(pt.as_tensor(np.nan_to_num(y))[holes], pm.Flat("unseen", shape=len(holes[0])))


def _probit(name: str, missing: np.ndarray, u: Any) -> None:
    pm.Potential(name, pm.logcdf(pm.Normal.dist(), np.where(missing, 1.0, -1.0) * u).sum())


def _joint(full: Any, x: np.ndarray) -> None:
    """Columns jointly normal around x coef', with N(0, 1), half-normal(1.5) and LKJ(2) priors."""
    p = full.type.shape[1]
    coef = pm.Normal("coef", 0, 1, shape=(p, x.shape[1]))
    chol, corr, sd = pm.LKJCholeskyCov("chol", n=p, eta=2, sd_dist=pm.HalfNormal.dist(1.5, shape=p))
    pm.Deterministic("sd", sd)
    pm.Deterministic("corr", corr)
    pm.Potential("values", pm.logp(pm.MvNormal.dist(pt.dot(x, coef.T), chol=chol), full).sum())


def two_selections(table: pd.DataFrame) -> pm.Model:
    """Two columns, each missing by its own value (and z, or x)."""
    y, x, z = table[["y", "v"]].to_numpy(), table["x"].to_numpy(), table["z"].to_numpy()
    with pm.Model() as model:
        full = _completed(y)
        _joint(full, table[["one", "x"]].to_numpy())
        a, b = _priors("missing_y", OF_Y), _priors("missing_v", OF_V)
        _probit("of_y", np.isnan(y[:, 0]), a[0] + a[1] * full[:, 0] + a[2] * z)
        _probit("of_v", np.isnan(y[:, 1]), b[0] + b[1] * full[:, 1] + b[2] * x)
    return model


def dropout(table: pd.DataFrame) -> pm.Model:
    """Four waves, a hazard on the previous and the current value."""
    y = table[list(WAVES)].to_numpy()
    left = np.isfinite(y).sum(axis=1)
    with pm.Model() as model:
        full = _completed(y)
        _joint(full, np.ones((len(y), 1)))
        h = _priors("dropout", HAZARD)
        for t in range(1, 4):
            at = np.flatnonzero(left >= t)
            _probit(f"leaves{t}", left[at] == t, h[0] + h[1] * full[at, t - 1] + h[2] * full[at, t])
    return model


def bernoulli_selection(table: pd.DataFrame, priors: Mapping[str, Any]) -> pm.Model:
    """A binary outcome, missing by its own value (logit): the unseen ones are Bernoulli parameters."""
    y, x, z = table["y"].to_numpy(), table["x"].to_numpy(), table["z"].to_numpy()
    holes = np.flatnonzero(np.isnan(y))
    with pm.Model() as model:
        b, a = pm.Normal("coef_y", 0, 1, shape=2), _priors("missing_y", priors)
        eta = b[0] + b[1] * x
        unseen = pm.Bernoulli("unseen", logit_p=eta[holes], shape=len(holes))
        full = pt.set_subtensor(pt.as_tensor(np.nan_to_num(y))[holes], unseen)
        kept = np.flatnonzero(~np.isnan(y))
        pm.Bernoulli("y", logit_p=eta[kept], observed=y[kept].astype(int))
        u = a[0] + a[1] * full + a[2] * z
        pm.Bernoulli("r", logit_p=u, observed=np.isnan(y).astype(int))
    return model
