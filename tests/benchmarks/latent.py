"""Selection with two incomplete columns, every unseen value a latent variable, as PyMC users write it."""

from collections.abc import Callable

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

NAMES = ["coef", "chol_stds", "missing_y1", "missing_y2"]


def two_selections_table(n: int = 2000) -> pd.DataFrame:
    """y1 missing more often where it is large, y2 where it is small; both in a tenth of the rows."""
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, n))
    y = np.outer(x, [0.6, -0.4]) + rng.multivariate_normal([0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], size=n)
    holes = np.column_stack([-0.6 + 0.5 * z + 0.8 * y[:, 0], -0.6 - 0.5 * z - 0.8 * y[:, 1]]) + rng.normal(size=y.shape)
    return pd.DataFrame(np.where(holes > 0, np.nan, y), columns=["y1", "y2"]).assign(x=x, z=z)


def two_selections_model(table: pd.DataFrame) -> pm.Model:
    """The priors of `mk.Spec(MvNormal("y1", "y2", given="x"), Selection("missing(y1) ~ y1 + z"), …)`."""
    y, x, z = table[["y1", "y2"]].to_numpy(), table["x"].to_numpy(), table["z"].to_numpy()
    standard = (y - np.nanmean(y, axis=0)) / np.nanstd(y, axis=0, ddof=1)
    x, z = ((v - v.mean()) / v.std(ddof=1) for v in (x, z))
    holes = np.isnan(standard)
    with pm.Model() as model:
        coef = pm.Normal("coef", 0, 10, shape=(2, 2))
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=1, sd_dist=pm.HalfStudentT.dist(nu=3, sigma=2.5, shape=2))
        unseen = pm.Flat("unseen", shape=int(holes.sum()))
        full = pt.set_subtensor(pt.as_tensor(np.nan_to_num(standard))[np.nonzero(holes)], unseen)
        mean = coef[:, 0] + x[:, None] * coef[:, 1]
        pm.Potential("rows", pm.logp(pm.MvNormal.dist(mean, chol=chol), full).sum())
        for j, column in enumerate(("y1", "y2")):
            slopes = pm.Normal(f"missing_{column}", 0, np.array([3.0, 1.5, 1.5]), shape=3)
            u = slopes[0] + slopes[1] * z + slopes[2] * full[:, j]
            toward = np.where(holes[:, j], 1.0, -1.0) * u
            pm.Potential(f"indicator_{column}", pm.logcdf(pm.Normal.dist(0, 1), toward).sum())
    return model


def by_nutpie(model: pm.Model, names: list[str], draws: int) -> Callable[[], xr.Dataset]:
    """Draw from it by nutpie: sampling alone."""
    compiled = nutpie.compile_pymc_model(model, var_names=names)

    def run() -> xr.Dataset:
        tree = nutpie.sample(
            compiled, draws=draws, tune=draws, chains=2, cores=2, seed=1, progress_bar=False, save_warmup=False
        )
        return tree["posterior"].to_dataset()[names]

    return run


def by_pymc(model: pm.Model, names: list[str], draws: int) -> tuple[xr.Dataset, float]:
    """Draw from it by PyMC's own sampler; seconds of sampling, as PyMC tells them."""
    with model:
        tree = pm.sample(draws, tune=draws, chains=2, cores=2, random_seed=1, nuts_sampler="pymc", progressbar=False)
    return tree["posterior"].to_dataset()[names], float(tree["posterior"].attrs["sampling_time"])
