"""A two-arm tipping map against the loop that imputes, analyzes and pools at every point, in one run.

`uv run python -m tests.benchmarks.stress`; the loop is run on a few points and said for all.
"""

import sys
import time
import warnings

import numpy as np
import statsmodels.api as sm

import mnarkit as mk
from tests.benchmarks.trials import WAVES, trial

POINTS, M, SAMPLED = 41, 100, 4


def loop(fit: mk.Fit, what: object, points: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds a point, and estimates and intervals."""
    began = time.perf_counter()
    rows = []
    for control, drug in points:
        late = mk.PatternMixture(
            mk.Shift("w5", float(control), unit="sd", where="arm == 'control'"),
            mk.Shift("w5", float(drug), unit="sd", where="arm == 'drug'"),
        )
        pooled = mk.pool(mk.analyze(mk.impute(fit, M, seed=1, under=late), what, progress=False))
        rows.append(np.stack([pooled.estimate, pooled.ci_low, pooled.ci_high, pooled.dof]))
    return (time.perf_counter() - began) / len(points), np.stack(rows)


def event(table):
    """The same logistic regression, by statsmodels."""
    x = np.column_stack([np.ones(len(table)), table["arm"] == "drug", table["base"]]).astype(float)
    return sm.Logit((table["w5"] > 0.5).to_numpy(float), x).fit(disp=0)


def run(fit: mk.Fit, what: object, brute: object, name: str, points: int) -> None:
    """One line: seconds of the map, of the loop, the ratio, and the largest difference."""
    grid = {"w5": mk.Grid(-2, 2, points=points, unit="sd", by="arm")}
    began = time.perf_counter()
    found = mk.sensitivity(fit, what, grid, m=M, seed=1, progress=False)
    seconds = time.perf_counter() - began
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(found.points), SAMPLED, replace=False)
    each, expected = loop(fit, brute, found.points[chosen])
    made = np.stack([found.stack[c][chosen] for c in ("estimate", "ci_low", "ci_high", "dof")], axis=1)
    gap = np.max(np.abs(made - expected) / np.maximum(np.abs(expected), 1e-2))
    whole = each * len(found.points)
    print(
        f"{name}, {points} x {points} points, m = {M}: map {seconds:.1f} s, loop {whole:.0f} s ({each:.2f} s a point, "
        f"{SAMPLED} timed), {whole / seconds:.0f} times; largest relative difference {gap:.1e}",
        flush=True,
    )


def main(points: int = POINTS) -> None:
    """Two analyses on one trial."""
    warnings.simplefilter("ignore")
    table = trial()
    spec = mk.Spec(mk.MvNormal(*WAVES, given="arm + base"))
    fit = mk.sample(spec, table, draws=500, tune=500, chains=2, seed=1, progress=False)
    mk.sensitivity(fit, "w5 ~ arm", {"w5": mk.Grid(0, 1, points=2, unit="sd")}, m=2, seed=1)  # loads the code
    run(fit, "w5 ~ arm + base", "w5 ~ arm + base", "least squares, 1,000 x 6", points)
    run(fit, mk.Logistic("arm + base", event="w5 > 0.5"), event, "logistic, 1,000 x 6", points)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else POINTS)
