"""Speed as ratios against peers, measured in one run: `uv run python -m tests.benchmarks`."""

import logging
import time
import warnings
from collections.abc import Callable

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.sample.convergence import moving
from mnarkit.sample.direct import draw_directly
from mnarkit.sample.settings import Settings
from mnarkit.sample.target import Target
from tests.benchmarks import jags, latent


def least_ess(posterior: xr.Dataset) -> float:
    """Smallest bulk effective sample size over all parameters that move."""
    values = np.concatenate([np.ravel(v.values) for v in az.ess(posterior).data_vars.values()])
    return float(np.nanmin(values))


def timed(run: Callable[[], xr.Dataset]) -> tuple[float, float]:
    """Effective draws per second and seconds, tuning included."""
    began = time.perf_counter()
    posterior = run()
    seconds = time.perf_counter() - began
    return least_ess(posterior) / seconds, seconds


def timed_again(run: Callable[[], xr.Dataset]) -> tuple[float, float]:
    """The same, a first call, which loads code, not counted."""
    run()
    return timed(run)


def direct_run(spec: mk.Spec, table: pd.DataFrame, draws: int) -> Callable[[], xr.Dataset]:
    """Sampling alone: the table is laid out before."""
    data = IncompleteData.of(table)
    target, settings = Target.of(spec, data), Settings(draws, draws, chains=2, cores=2, seed=1)
    assert target is not None  # what cannot be sampled without compiling is another benchmark
    return lambda: moving(draw_directly(target, data, settings).posterior)


def joint_table(n: int, p: int = 5, holes: float = 0.15) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(p, p))
    y = rng.multivariate_normal(rng.normal(size=p), root @ root.T + np.eye(p), size=n)
    y[rng.random(y.shape) < holes] = np.nan
    return pd.DataFrame(y, columns=[f"y{j}" for j in range(p)])


def latent_model(table: pd.DataFrame) -> pm.Model:
    """The same model with every hole as a latent variable, as PyMC users write it."""
    y = table.to_numpy()
    z = (y - np.nanmean(y, axis=0)) / np.nanstd(y, axis=0, ddof=1)
    holes = np.isnan(z)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10, shape=z.shape[1])
        sd = pm.HalfStudentT.dist(nu=3, sigma=2.5, shape=z.shape[1])
        chol, _, _ = pm.LKJCholeskyCov("chol", n=z.shape[1], eta=1, sd_dist=sd)
        unseen = pm.Flat("unseen", shape=int(holes.sum()))
        full = pt.set_subtensor(pt.as_tensor(np.nan_to_num(z))[np.nonzero(holes)], unseen)
        pm.Potential("rows", pm.logp(pm.MvNormal.dist(mean, chol=chol), full).sum())
    return model


def against_latent(rate: float, model: pm.Model, names: list[str], draws: tuple[int, int]) -> None:
    """Print what both samplers reach on the model with latent values, beside our rate; draws of nutpie and of PyMC."""
    posterior, seconds = latent.by_pymc(model, names, draws[1])
    peers = {
        "nutpie": timed(latent.by_nutpie(model, names, draws[0])),
        "PyMC's own sampler": (least_ess(posterior) / seconds, seconds),
    }
    for name, (peer, spent) in peers.items():
        print(
            f"  holes as latent variables in PyMC, {name}: {peer:.1f} min-ESS/s ({spent:.0f} s): {rate / peer:.0f} x",
            flush=True,
        )


def two_selections(n: int = 2000, draws: int = 1000, peer_draws: tuple[int, int] = (1000, 300)) -> None:
    """Selection with two incomplete columns: both missing in a row has a bivariate orthant probability."""
    table = latent.two_selections_table(n)
    spec = mk.Spec(
        mk.MvNormal("y1", "y2", given="x"), mk.Selection("missing(y1) ~ y1 + z"), mk.Selection("missing(y2) ~ y2 + z")
    )
    rate, seconds = timed_again(direct_run(spec, table, draws))
    both = table[["y1", "y2"]].isna().all(axis=1).mean()
    print(
        f"selection with two incomplete columns, n = {n:,}, both missing in {both:.0%}: {rate:.0f} min-ESS/s "
        f"({seconds:.2f} s)",
        flush=True,
    )
    model = latent.two_selections_model(table)
    against_latent(rate, model, latent.NAMES, peer_draws)


def selection_table(n: int = 2000) -> pd.DataFrame:
    """42 % of y missing, more often where it is large."""
    rng = np.random.default_rng(3)
    x1, x2, z = rng.normal(size=(3, n))
    y = 1 + 0.6 * x1 - 0.4 * x2 + rng.normal(size=n)
    missing = -0.9 + 0.5 * z + 0.6 * y + rng.normal(size=n) > 0
    return pd.DataFrame({"y": np.where(missing, np.nan, y), "x1": x1, "x2": x2, "z": z})


def jags_rate(table: pd.DataFrame, draws: int = 8000) -> tuple[float, float]:
    """Effective draws per second and seconds of JAGS; its chains mix slowly, and short ones hide their rate."""
    began = time.perf_counter()
    posterior = jags.selection(table, draws=draws)
    seconds = time.perf_counter() - began
    return least_ess(posterior) / seconds, seconds


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    joint = mk.Spec(mk.MvNormal(*(f"y{j}" for j in range(5))))
    rate, seconds = timed_again(direct_run(joint, joint_table(1000), 1000))
    print(f"multivariate normal, n = 1,000, p = 5, 15 % holes: {rate:.0f} min-ESS/s ({seconds:.2f} s)", flush=True)
    rate_large, seconds_large = timed_again(direct_run(joint, joint_table(100_000), 1000))
    print(
        f"  n = 100,000: {rate_large:.0f} min-ESS/s ({seconds_large:.2f} s), "
        f"{seconds_large / seconds:.2f} x the time of n = 1,000",
        flush=True,
    )
    names = ["mean", "chol_stds"]
    against_latent(rate, latent_model(joint_table(1000)), names, (1000, 300))
    two_selections()

    table = selection_table()
    spec = mk.Spec(mk.Regression("y ~ x1 + x2"), mk.Selection("missing(y) ~ z + y"))
    rate, seconds = timed_again(direct_run(spec, table, 1000))
    print(
        f"probit selection, n = 2,000, {table['y'].isna().mean():.0%} missing: {rate:.0f} min-ESS/s ({seconds:.2f} s)",
        flush=True,
    )
    if not jags.installed():
        print("  JAGS is not installed: skipped", flush=True)
        return
    peer, peer_seconds = jags_rate(table)
    print(f"  JAGS, latent values: {peer:.1f} min-ESS/s ({peer_seconds:.0f} s): {rate / peer:.0f} x", flush=True)


if __name__ == "__main__":
    main()
