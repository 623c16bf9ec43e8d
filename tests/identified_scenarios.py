"""How a parameter of a belief is labelled, over data sets: `python -m tests.identified_scenarios FOLDER [sets]`."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import mnarkit as mk
from mnarkit.diagnose.identify import identify
from tests.diagnose_scenarios import add_row, line, rows_done

SEED = 20270102


@dataclass(frozen=True)
class Scenario:
    """A spec, tables, and the parameter whose label is read."""

    spec: mk.Spec
    table: Callable[[np.random.Generator], pd.DataFrame]
    parameter: str


N = 5000
MODEL = mk.Regression("y ~ x")
SAME = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x"))
SAME_HECKMAN = mk.Spec(MODEL, mk.Heckman("recorded(y) ~ x"))
WITH_Z = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x + z"))
LATE = mk.Spec(MODEL, mk.PatternMixture(mk.Shift("y", mk.Prior("normal", -0.3, 0.2), unit="sd")))

SCENARIOS = {
    "strong exclusion (1 per sd)": Scenario(WITH_Z, lambda rng: line(rng, N, on_z=1.0, on_y=0.5), "missing_y[y]"),
    "strong exclusion, skewed errors": Scenario(
        WITH_Z, lambda rng: line(rng, N, on_z=1.0, on_y=0.5, skewed=True), "missing_y[y]"
    ),
    "same predictors, skewed errors": Scenario(SAME, lambda rng: line(rng, N, on_y=0.5, skewed=True), "missing_y[y]"),
    "same predictors, skewed errors, Heckman": Scenario(
        SAME_HECKMAN, lambda rng: line(rng, N, on_y=0.5, skewed=True), "rho_y"
    ),
    "declared exclusion that moves nothing": Scenario(WITH_Z, lambda rng: line(rng, N, on_y=0.5), "missing_y[y]"),
    "late shift with a prior": Scenario(LATE, lambda rng: line(rng, N), "shift_y"),
}


def one(name: str, number: int) -> dict[str, object]:
    """Fit one data set, and read the label; few draws, since a label needs a mean and a spread."""
    scenario = SCENARIOS[name]
    data = scenario.table(np.random.default_rng([SEED, sorted(SCENARIOS).index(name), number]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mk.errors.MnarkitWarning)
        fit = mk.sample(scenario.spec, data, draws=150, tune=200, chains=1, cores=1, seed=number + 1, progress=False)
    table = identify(fit, seed=number).table
    row = table.set_index("parameter").loc[scenario.parameter]
    return {
        "scenario": name, "set": number, "label": row["label"], "contraction": row["contraction"],
        "from_exclusion": row["from_exclusion"], "from_shape": row["from_shape"], "columns": row["columns"],
        "any_exclusion": bool((table["label"] == "learned given an exclusion").any()),
    }  # fmt: skip


def run(folder: Path, sets: int, names: list[str] | None = None) -> pd.DataFrame:
    """All scenarios, continuing what the folder holds."""
    path = folder / "identified.csv"
    done = rows_done(path)
    for name in names or list(SCENARIOS):
        for number in (k for k in range(sets) if (name, k) not in done):
            add_row(path, one(name, number))
    return pd.read_csv(path)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of data sets by label, and the mean shares of what is known."""
    labels = pd.crosstab(rows["scenario"], rows["label"], normalize="index")
    grouped = rows.groupby("scenario", sort=False)
    means = grouped[["from_exclusion", "from_shape", "any_exclusion"]].mean()
    return means.join(labels).assign(sets=grouped.size()).reset_index()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    print(summary(run(out, int(sys.argv[2]) if len(sys.argv) > 2 else 100)).round(3).to_string(index=False))
