"""Coverage on the truth, over data sets drawn from fixed parameters: twenty minutes on two cores, `pytest -m slow`."""

import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk

SETS, N, SEED = 1000, 1000, 20261121
COEF, SIGMA = (1.0, 0.6, -0.4), 1.0  # y ~ 1 + x1 + x2, the second binary
GAMMA = (-0.9, 0.5, 0.8)  # missing(y) ~ 1 + z + y, probit
MEAN = COEF[0] + 0.5 * COEF[2]
SPEC = mk.Spec(mk.Regression("y ~ x1 + x2"), mk.Selection("missing(y) ~ z + y"))


def table(seed: int) -> pd.DataFrame:
    """One data set from the truth."""
    rng = np.random.default_rng([SEED, seed])
    x1, x2, z = rng.normal(size=N), (rng.random(N) < 0.5).astype(float), rng.normal(size=N)
    y = COEF[0] + COEF[1] * x1 + COEF[2] * x2 + SIGMA * rng.normal(size=N)
    missing = GAMMA[0] + GAMMA[1] * z + GAMMA[2] * y + rng.normal(size=N) > 0
    return pd.DataFrame({"y": np.where(missing, np.nan, y), "x1": x1, "x2": x2, "z": z})


def intervals(seed: int) -> dict[str, tuple[float, float, float]]:
    """Truth, lower and upper limit of every 95 % interval of one data set."""
    data = table(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mk.errors.MnarkitWarning)
        fit = mk.sample(SPEC, data, draws=500, tune=500, chains=2, cores=1, seed=seed, progress=False)
        found = {}
        imps = mk.impute(fit, m=25, seed=seed)
        for formula, truths in {"y ~ x1 + x2": COEF, "y ~ 1": (MEAN,)}.items():
            pooled = mk.pool(mk.analyze(imps, formula)).to_frame()
            for row, truth in zip(pooled.itertuples(), truths, strict=True):
                found[f"pooled: {'E[y]' if formula == 'y ~ 1' else row.term}"] = (truth, row.ci_low, row.ci_high)
    mar = mk.em(SPEC.mar(), data).project("y ~ 1").iloc[0]
    half = stats.norm.ppf(0.975) * mar["std_error"]
    found["MAR by EM: E[y]"] = (MEAN, mar["estimate"] - half, mar["estimate"] + half)
    posterior = fit.draws["posterior"]["missing_y"]
    for term, truth in zip(("Intercept", "z", "y"), GAMMA, strict=True):
        low, high = np.quantile(posterior.sel(missing_y_term=term).values, [0.025, 0.975])
        found[f"missing(y): {term}"] = (truth, low, high)
    return found


def coverage(sets: int) -> pd.DataFrame:
    """Share of intervals that cover, with its Monte Carlo error, bias of the midpoint and mean width."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as workers:
        each = list(workers.map(intervals, range(sets), chunksize=10))
    rows = [{"name": k, "truth": t, "low": a, "high": b} for found in each for k, (t, a, b) in found.items()]
    frame = pd.DataFrame(rows).assign(covers=lambda f: (f["low"] <= f["truth"]) & (f["truth"] <= f["high"]))
    grouped = frame.groupby("name", sort=False)
    share = grouped["covers"].mean()
    made = pd.DataFrame({"truth": grouped["truth"].first(), "coverage": share})
    made["mc_error"] = np.sqrt(share * (1 - share) / sets)
    made["mean_width"] = grouped.apply(lambda f: (f["high"] - f["low"]).mean())
    made["mean_midpoint"] = grouped.apply(lambda f: ((f["high"] + f["low"]) / 2).mean())
    return made.reset_index()


@pytest.mark.slow
def test_intervals_cover_the_truth():
    found = coverage(SETS)
    out = os.environ.get("MNARKIT_TABLES")
    if out:
        found.to_csv(Path(out) / "coverage_probit_selection.csv", index=False)
    print(found.to_string())
    by_name = found.set_index("name")["coverage"]
    for name, share in by_name.items():
        if not str(name).startswith("MAR"):
            assert 0.93 <= share <= 0.97, (name, share)
    assert by_name["MAR by EM: E[y]"] < 0.5
