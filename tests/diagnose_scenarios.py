"""How often the predictive page raises an alarm: on the truth, and on models that are wrong in a known way.

`python -m tests.diagnose_scenarios FOLDER [sets]` draws data sets, fits, diagnoses, and writes a table; stopped and
started again, it goes on.
"""

import csv
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import mnarkit as mk
from mnarkit.diagnose.outside import outside_findings
from mnarkit.diagnose.predictive import predictive_check

SEED = 20270101


@dataclass(frozen=True)
class Scenario:
    """A model, and tables that it is right or wrong about."""

    spec: mk.Spec
    table: Callable[[np.random.Generator], pd.DataFrame]
    n: int
    true: bool


def line(rng, n, *, skewed=False, on_z=0.0, on_y=0.0, y_on_z=0.0):
    """y = 1 + 0.5 x + e; P(missing) by probit on x, z and y; z is not in the data model."""
    x, z = rng.normal(size=n), rng.normal(size=n)
    e = (np.exp(rng.normal(size=n)) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e) if skewed else rng.normal(size=n)
    y = 1 + 0.5 * x + y_on_z * z + e
    lost = -0.9 + 0.4 * x + on_z * z + on_y * y + rng.normal(size=n) > 0
    return pd.DataFrame({"y": np.where(lost, np.nan, y), "x": x, "z": z, "w": rng.normal(size=n)})


def _joint(rng, n):
    y = rng.multivariate_normal([0, 1, 2], [[1, 0.6, 0.4], [0.6, 1, 0.6], [0.4, 0.6, 1]], n)
    y[-0.5 + y[:, 0] + rng.normal(size=n) > 0, 1] = np.nan
    y[np.isnan(y[:, 1]) | (rng.random(n) < 0.1), 2] = np.nan
    return pd.DataFrame(y, columns=["y1", "y2", "y3"]).assign(w=rng.normal(size=n))


def _waves(rng, n):
    level = rng.normal(size=n)
    y = level[:, None] + 0.3 * np.arange(4) + 0.8 * rng.normal(size=(n, 4))
    for t in (1, 2, 3):
        leaves = -1.6 + 0.5 * y[:, t] + 0.2 * y[:, t - 1] + rng.normal(size=n) > 0
        y[leaves | np.isnan(y[:, t - 1]), t] = np.nan
    return pd.DataFrame(y, columns=["w0", "w1", "w2", "w3"]).assign(age=rng.normal(size=n))


MAR = mk.Spec(mk.Regression("y ~ x"))
WITH_Z = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y + x + z"))
WITHOUT_Z = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y + x"))
DROPOUT = mk.Spec(mk.MvNormal("w0", "w1", "w2", "w3"), mk.Dropout("previous + current", waves=("w0", "w1", "w2", "w3")))

SCENARIOS = {
    "regression, MAR": Scenario(MAR, lambda rng: line(rng, 2000), 2000, True),
    "regression, MAR, n = 200": Scenario(MAR, lambda rng: line(rng, 200), 200, True),
    "three columns, MAR": Scenario(mk.Spec(mk.MvNormal("y1", "y2", "y3")), lambda rng: _joint(rng, 2000), 2000, True),
    "selection, exclusion": Scenario(WITH_Z, lambda rng: line(rng, 2000, on_z=0.5, on_y=0.5), 2000, True),
    "selection, no exclusion": Scenario(WITHOUT_Z, lambda rng: line(rng, 2000, on_y=0.5), 2000, True),
    "selection, no exclusion, n = 200": Scenario(WITHOUT_Z, lambda rng: line(rng, 200, on_y=0.5), 200, True),
    "dropout, 4 waves, n = 500": Scenario(DROPOUT, lambda rng: _waves(rng, 500), 500, True),
    "log-normal errors, regression, MAR": Scenario(MAR, lambda rng: line(rng, 2000, skewed=True), 2000, False),
    "log-normal errors, selection": Scenario(
        WITH_Z, lambda rng: line(rng, 2000, skewed=True, on_z=0.5, on_y=0.5), 2000, False
    ),
    "z (0.5 per sd) omitted from the missingness, selection": Scenario(
        WITHOUT_Z, lambda rng: line(rng, 2000, on_z=0.5, on_y=0.5), 2000, False
    ),
    "z omitted, selection, n = 200": Scenario(WITHOUT_Z, lambda rng: line(rng, 200, on_z=0.5, on_y=0.5), 200, False),
    "z omitted, MAR, z moves y by 0.3 sd": Scenario(
        MAR, lambda rng: line(rng, 2000, on_z=0.5, y_on_z=0.3), 2000, False
    ),
    "z omitted, MAR, z does not move y (no harm)": Scenario(MAR, lambda rng: line(rng, 2000, on_z=0.5), 2000, True),
}


def one(name: str, number: int) -> dict[str, object]:
    """Fit and diagnose one data set."""
    scenario = SCENARIOS[name]
    data = scenario.table(np.random.default_rng([SEED, sorted(SCENARIOS).index(name), number]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mk.errors.MnarkitWarning)
        fit = mk.sample(scenario.spec, data, draws=250, tune=250, chains=2, cores=1, seed=number + 1, progress=False)
        imps = mk.impute(fit, 2, seed=number)
    began = time.perf_counter()
    found = predictive_check(fit, pairs=100, seed=number)
    took = time.perf_counter() - began
    table = found.table
    # chains that sit in two modes use up every statistic: nothing is tested, and nothing is an alarm
    largest = table.loc[table["z"].abs().idxmax()] if table["tested"].any() else table.iloc[0]
    outside = any(f.alarm for f in outside_findings(fit, imps))
    ppp = (table["posterior_p"] < 0.05 / len(table)).any()
    what = " ".join(str(largest[c]) for c in ("about", "column", "segment", "statistic"))
    return {
        "scenario": name, "set": number, "p": found.p_value, "alarm": found.p_value < 0.05, "outside": outside,
        "posterior_p_alarm": ppp, "largest": what, "z": largest["z"], "threshold": found.threshold,
        "tested": int(table["tested"].sum()), "seconds": took,
    }  # fmt: skip


def run(folder: Path, sets: int, names: list[str] | None = None) -> pd.DataFrame:
    """All scenarios, continuing what the folder holds."""
    path = folder / "predictive.csv"
    done = rows_done(path)
    for name in names or list(SCENARIOS):
        for number in (k for k in range(sets) if (name, k) not in done):
            add_row(path, one(name, number))
    return pd.read_csv(path)


def rows_done(path: Path) -> set[tuple[str, int]]:
    """Scenario and number of the data sets that a file holds."""
    return set(pd.read_csv(path)[["scenario", "set"]].itertuples(index=False, name=None)) if path.exists() else set()


def add_row(path: Path, row: dict[str, object]) -> None:
    """Append a row to a file, with a head if it is new."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Alarm rates by scenario, with their Monte Carlo error."""
    either = rows.assign(either=rows["alarm"] | rows["outside"])
    grouped = either.groupby("scenario", sort=False)
    made = grouped[["alarm", "outside", "either", "posterior_p_alarm"]].mean()
    made["mc_error"] = np.sqrt(made["either"] * (1 - made["either"]) / grouped.size())
    return made.assign(sets=grouped.size()).reset_index()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    print(summary(run(out, int(sys.argv[2]) if len(sys.argv) > 2 else 200)).round(3).to_string(index=False))
