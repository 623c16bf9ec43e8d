"""A trial with dropout: Diggle and Kenward's model against latent cells, and a reference-based analysis end to end.

`uv run python -m tests.benchmarks.trials`
"""

import logging
import time
import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

import mnarkit as mk
from tests.benchmarks.__main__ import against_latent, direct_run, timed_again

WAVES = tuple(f"w{t}" for t in range(6))


def trial(n: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Two arms, six visits, a hazard that grows with the current value: 30 % have left at the end."""
    rng = np.random.default_rng(seed)
    arm, base = rng.integers(0, 2, n), rng.normal(size=n)
    lag = np.abs(np.subtract.outer(range(6), range(6)))
    y = rng.multivariate_normal(np.zeros(6), 0.8**lag, n) + 0.5 * base[:, None] - 0.1 * arm[:, None] * np.arange(6)
    gone = np.zeros(n, dtype=bool)
    for t in range(1, 6):
        gone |= -1.45 + 0.4 * y[:, t] + rng.normal(size=n) > 0
        y[gone, t] = np.nan
    return pd.DataFrame(y, columns=list(WAVES)).assign(arm=np.where(arm == 1, "drug", "control"), base=base)


def latent_dropout(table: pd.DataFrame) -> pm.Model:
    """The dropout model with every unseen value as a latent variable."""
    y = table[list(WAVES)].to_numpy()
    left = np.isfinite(y).sum(axis=1)
    holes = np.nonzero(np.isnan(y))
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10, shape=6)
        sd = pm.HalfStudentT.dist(nu=3, sigma=2.5, shape=6)
        chol, _, _ = pm.LKJCholeskyCov("chol", n=6, eta=1, sd_dist=sd)
        hazard = pm.Normal("hazard", 0, 3, shape=5)
        slopes = pm.Normal("slopes", 0, 1.5, shape=2)
        unseen = pm.Flat("unseen", shape=len(holes[0]))
        full = pt.set_subtensor(pt.as_tensor(np.nan_to_num(y))[holes], unseen)
        pm.Potential("rows", pm.logp(pm.MvNormal.dist(mean, chol=chol), full).sum())
        for t in range(1, 6):
            at_risk = np.flatnonzero(left >= t)
            sign = np.where(left[at_risk] == t, 1.0, -1.0)
            z = hazard[t - 1] + slopes[0] * full[at_risk, t - 1] + slopes[1] * full[at_risk, t]
            pm.Potential(f"leaves{t}", pm.logcdf(pm.Normal.dist(), sign * z).sum())
    return model


def dropout() -> None:
    """Effective draws per second while sampling."""
    table = trial()
    spec = mk.Spec(mk.MvNormal(*WAVES), mk.Dropout("previous + current", waves=WAVES))
    rate, seconds = timed_again(direct_run(spec, table, 1000))
    print(
        f"Diggle-Kenward, 6 waves x 1,000, {table['w5'].isna().mean():.0%} gone: {rate:.0f} min-ESS/s "
        f"({seconds:.1f} s)",
        flush=True,
    )
    against_latent(rate, latent_dropout(table), ["mean", "chol_stds", "hazard", "slopes"], (1000, 300))


def reference() -> None:
    """Fit, 100 imputations under J2R and the pooled analysis, compiling included."""
    table = trial()
    spec = mk.Spec(mk.MvNormal(*WAVES, given="arm + base"), mk.Reference("J2R", arm="arm", control="control"))
    began = time.perf_counter()
    fit = mk.sample(spec, table, draws=500, tune=500, chains=2, seed=1, progress=False)
    sampled = time.perf_counter()
    imputations = mk.impute(fit, m=100, seed=1)
    pooled = mk.pool(mk.analyze(imputations, "w5 ~ arm + base"))
    ended = time.perf_counter()
    estimate = pooled.to_frame().set_index("term").loc["arm[T.drug]", "estimate"]
    gone = table["w5"].isna().mean()
    print(
        f"J2R, 1,000 patients x 6 visits, {gone:.0%} gone: {ended - began:.1f} s in all, of which "
        f"{ended - sampled:.1f} s after the draws; effect {estimate:.3f}; rbmi 1.3.1 took 132 s, 14 s of them after "
        "the draws, on such a machine",
        flush=True,
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    reference()
    dropout()
