"""Models with every unseen value as a parameter, as PyMC users write them: the latent side of posteriors that agree.

They have the priors of the scenarios in `tests.calibration.scenarios`, in the columns' own units. A threshold alone
is no place for NUTS: its unseen values are weighed by the normal distribution function, in closed form.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor

from tests.calibration.scenarios import CURVED, HAZARD, OF_COUNT, OF_TERMS, OF_V, OF_Y, WAVES

__all__ = [
    "bernoulli_selection",
    "dropout",
    "limits",
    "own_lines",
    "poisson_selection",
    "shared_dropout",
    "square_selection",
    "threshold_selection",
    "two_selections",
]

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


def _spread(name: str, k: int, sd: float) -> tuple[Any, Any, Any]:
    """Standard deviations, correlations and Cholesky factor of k random terms: half normal(sd) and LKJ(2)."""
    chol, corr, sds = pm.LKJCholeskyCov(f"{name}_chol", n=k, eta=2, sd_dist=pm.HalfNormal.dist(sd, shape=k))
    return sds, corr, chol


def shared_dropout(table: pd.DataFrame) -> pm.Model:
    """Everybody has an intercept and a slope, which move the four waves and leaving; one residual sd.

    Their priors are for the line on times that are centered and divided by their sd, as `Growth` has them.
    """
    y, times = table[list(WAVES)].to_numpy(), np.array(CURVED.times)
    left, scale = np.isfinite(y).sum(axis=1), np.sqrt(np.mean(np.nanvar(y, axis=0, ddof=1)))
    middle, width = times.mean(), times.std()
    to_own = np.array([[1.0, -middle / width], [0.0, 1 / width]])  # from that line to the one on 1, t
    with pm.Model() as model:
        mean = pt.dot(to_own, pm.Normal("mean", 0, 10 * scale, shape=2))
        _, _, chol = _spread("line", 2, 1.5)
        u = pt.dot(pm.MvNormal("u", np.zeros(2), chol=chol, shape=(len(y), 2)), to_own.T)
        root = pt.dot(to_own, chol)
        cov = pt.dot(root, root.T)
        sd = pm.Deterministic("random_sd", pt.sqrt(pt.diag(cov)))
        pm.Deterministic("random_corr", cov / pt.outer(sd, sd))
        pm.Deterministic("growth", mean[:, None])
        residual = pm.HalfNormal("residual_sd", 1.5, shape=1)
        at = np.nonzero(np.isfinite(y))
        line = (mean[0] + u[:, 0])[at[0]] + (mean[1] + u[:, 1])[at[0]] * times[at[1]]
        pm.Normal("y", line, residual[0], observed=y[at])
        h = _priors("dropout", OF_TERMS)
        propensity = h[0] + h[1] * u[:, 0] + h[2] * u[:, 1]
        for t in range(1, 4):
            here = np.flatnonzero(left >= t)
            _probit(f"leaves{t}", left[here] == t, propensity[here])
    return model


def limits(table: pd.DataFrame) -> pm.Model:
    """Two columns; an unseen y lies below -0.3 and an unseen v above 0.6, as far from there as a parameter says."""
    y = table[["y", "v"]].to_numpy()
    with pm.Model() as model:
        full = pt.as_tensor(np.nan_to_num(y))
        for j, (limit, way) in enumerate(((-0.3, -1.0), (0.6, 1.0))):
            holes = np.flatnonzero(np.isnan(y[:, j]))
            beyond = pm.HalfFlat(f"beyond{j}", shape=len(holes))
            full = pt.set_subtensor(full[holes, j], limit + way * beyond)
        _joint(full, table[["one", "x"]].to_numpy())
    return model


def poisson_selection(table: pd.DataFrame) -> pm.Model:
    """A count, missing by its own value (probit): the unseen ones are Poisson parameters."""
    y, x, z = table["y"].to_numpy(), table["x"].to_numpy(), table["z"].to_numpy()
    holes, kept = np.flatnonzero(np.isnan(y)), np.flatnonzero(~np.isnan(y))
    with pm.Model() as model:
        b, a = pm.Normal("coef_y", 0, 0.5, shape=2), _priors("missing_y", OF_COUNT)
        mean = pt.exp(b[0] + b[1] * x)
        unseen = pm.Poisson("unseen", mean[holes], shape=len(holes))
        full = pt.set_subtensor(pt.as_tensor(np.nan_to_num(y))[holes], unseen)
        pm.Poisson("y", mean[kept], observed=y[kept].astype(int))
        _probit("of_y", np.isnan(y), a[0] + a[1] * full + a[2] * z)
    return model


def own_lines(table: pd.DataFrame, priors: Mapping[str, Any]) -> pm.Model:
    """A long table: everybody has a line of their own, and a value may be missing by itself and the time (probit).

    The random intercept's prior is for the mean time of the rows in the model: all that are recorded, or with a model
    of the holes all there are.
    """
    y, time, person = table["y"].to_numpy(), table["time"].to_numpy(), table["id"].to_numpy()
    rows = np.arange(len(y)) if priors else np.flatnonzero(np.isfinite(y))
    to_own = np.array([[1.0, -time[rows].mean()], [0.0, 1.0]])
    with pm.Model() as model:
        b, sd_y = pm.Normal("coef_y", 0, 1, shape=2), pm.HalfNormal("sd_y", 1.5)
        _, _, chol = _spread("line", 2, 1.5)
        root = pt.dot(to_own, chol)
        u = pt.dot(pm.Normal("u", 0, 1, shape=(person.max() + 1, 2)), root.T)
        cov = pt.dot(root, root.T)
        sd = pm.Deterministic("random_sd_y", pt.sqrt(pt.diag(cov)))
        pm.Deterministic("random_corr_y", cov / pt.outer(sd, sd))
        full = _completed(y) if priors else pt.as_tensor(y)
        line = b[0] + u[person, 0] + (b[1] + u[person, 1]) * time
        pm.Potential("values", pm.logp(pm.Normal.dist(line[rows], sd_y), full[rows]).sum())
        if priors:
            a = _priors("missing_y", priors)
            _probit("of_y", np.isnan(y), a[0] + a[1] * full + a[2] * time)
    return model


def square_selection(table: pd.DataFrame, priors: Mapping[str, Any]) -> pm.Model:
    """A normal column, missing by its value and its square (logit)."""
    y, x = table["y"].to_numpy(), table["x"].to_numpy()
    with pm.Model() as model:
        b, sd = pm.Normal("coef_y", 0, 1, shape=2), pm.HalfNormal("sd_y", 1.5)
        full, a = _completed(y), _priors("missing_y", priors)
        pm.Potential("values", pm.logp(pm.Normal.dist(b[0] + b[1] * x, sd), full).sum())
        pm.Bernoulli("r", logit_p=a[0] + a[1] * full + a[2] * full**2, observed=np.isnan(y).astype(int))
    return model


def threshold_selection(table: pd.DataFrame, priors: Mapping[str, Any], threshold: float) -> pm.Model:
    """A normal column, missing more or less often above a threshold (probit)."""
    y, x = table["y"].to_numpy(), table["x"].to_numpy()
    holes, kept = np.flatnonzero(np.isnan(y)), np.flatnonzero(np.isfinite(y))
    with pm.Model() as model:
        b, sd, a = pm.Normal("coef_y", 0, 1, shape=2), pm.HalfNormal("sd_y", 1.5), _priors("missing_y", priors)
        mean = b[0] + b[1] * x
        pm.Normal("y", mean[kept], sd, observed=y[kept])
        _probit("of_kept", np.zeros(len(kept), dtype=bool), a[0] + a[1] * (y[kept] > threshold))
        above = pt.exp(pm.logcdf(pm.Normal.dist(), (mean[holes] - threshold) / sd))
        low, high = (pt.exp(pm.logcdf(pm.Normal.dist(), u)) for u in (a[0], a[0] + a[1]))
        pm.Potential("of_holes", pt.log(low + (high - low) * above).sum())
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
