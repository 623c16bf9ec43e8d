"""A Bernoulli outcome with selection on itself against JAGS: `uv run python -m tests.benchmarks.bernoulli`.

n = 2,000, about 30 % missing, a predictor in each equation; effective draws a second of the slowest parameter while
sampling. Both warm up for as many draws as they keep, so half of the time is taken as sampling.
"""

import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

import mnarkit as mk

MODEL = """
model {
  for (i in 1:n) {
    logit(p[i]) <- b[1] + b[2] * x[i]
    y[i] ~ dbern(p[i])
    logit(q[i]) <- g[1] + g[2] * z[i] + g[3] * y[i]
    r[i] ~ dbern(q[i])
  }
  b[1] ~ dnorm(0, 0.04)
  b[2] ~ dnorm(0, 0.16)
  g[1] ~ dnorm(0, 0.04)
  g[2] ~ dnorm(0, 0.16)
  g[3] ~ dnorm(0, 0.04)
}
"""
SCRIPT = """
model in "model.txt"
data in "data.txt"
compile, nchains(1)
parameters in "start.txt"
initialize
update {draws}
monitor b
monitor g
update {draws}
coda *, stem("out")
exit
"""
SPEC = mk.Spec(
    mk.Regression("y ~ x", family="bernoulli"),
    mk.Selection("missing(y) ~ y + z", link="logit", priors={"y": mk.Prior("normal", 0, 5, unit="raw")}),
)


def table(n: int = 2000, seed: int = 1) -> pd.DataFrame:
    """About 30 % missing, more where the outcome is 1."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(-0.3 + x)))).astype(float)
    missing = rng.random(n) < 1 / (1 + np.exp(-(-1.6 + 1.2 * y + z)))
    return pd.DataFrame({"x": x, "z": z, "y": np.where(missing, np.nan, y)})


def ours(frame: pd.DataFrame, draws: int = 1500) -> tuple[float, dict[str, float]]:
    """Effective draws a second, and the posterior means."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mk.sample(SPEC, frame, draws=draws, tune=draws, chains=2, seed=1, progress=False)
    seconds = time.perf_counter() - start
    names = dict(
        zip(("g1", "g3", "g2"), fit.draws["posterior"]["missing_y"].values.reshape(-1, 3).mean(0), strict=True)
    )
    print(f"  mnarkit: {seconds:.1f} s, the log likelihood by row included; least ESS {fit.draws.attrs['ess_min']:.0f}")
    return fit.draws.attrs["ess_min"] / (seconds / 2), names


def theirs(frame: pd.DataFrame, draws: int = 6000) -> tuple[float, dict[str, float]]:
    """The same in JAGS, two chains side by side."""
    folders = [Path(tempfile.mkdtemp()) for _ in range(2)]
    values = {c: frame[c].to_numpy() for c in ("x", "y", "z")} | {"r": frame["y"].isna().to_numpy(dtype=float)}
    told = "".join(
        f'"{name}" <- c({", ".join("NA" if np.isnan(v) else f"{v:.10g}" for v in column)})\n'
        for name, column in values.items()
    )
    for k, folder in enumerate(folders):
        (folder / "model.txt").write_text(MODEL)
        (folder / "data.txt").write_text(f'"n" <- {len(frame)}\n{told}')
        (folder / "start.txt").write_text(f'".RNG.name" <- "base::Mersenne-Twister"\n".RNG.seed" <- {k + 1}\n')
        (folder / "run.txt").write_text(SCRIPT.format(draws=draws))
    start = time.perf_counter()
    running = [subprocess.Popen(["jags", "run.txt"], cwd=f, stdout=subprocess.DEVNULL) for f in folders]
    for process in running:
        process.wait()
    seconds = time.perf_counter() - start
    chains = np.stack([np.loadtxt(f / "outchain1.txt")[:, 1].reshape(5, draws) for f in folders])
    for folder in folders:
        shutil.rmtree(folder)
    ess = min(float(az.ess(chains[:, k])) for k in range(5))
    print(f"  JAGS: {seconds:.1f} s; least ESS {ess:.0f}")
    return ess / (seconds / 2), dict(zip(("g1", "g2", "g3"), chains.mean(axis=(0, 2))[2:], strict=True))


def main() -> None:
    """Print both rates, their ratio, and that both found the same posterior."""
    frame = table()
    print(f"Bernoulli outcome, selection on itself, n = {len(frame):,}, {frame['y'].isna().mean():.0%} missing")
    rate, means = ours(frame)
    if shutil.which("jags") is None:
        print(f"  mnarkit {rate:.0f} effective draws a second; JAGS is not installed")
        return
    peer, their_means = theirs(frame)
    print(f"  effective draws a second: mnarkit {rate:.0f}, JAGS {peer:.1f}: {rate / peer:.1f} times")
    print("  posterior means:", ", ".join(f"{k} {means[k]:.2f} and {their_means[k]:.2f}" for k in sorted(means)))


if __name__ == "__main__":
    main()
