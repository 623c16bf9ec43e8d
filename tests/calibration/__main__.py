"""`uv run python -m tests.calibration [--sets 300] [--trials 400] [--folder .calibration] [--only NAME] [--write]`.

Runs each scenario, resuming from the folder; with --write, the page docs/explanation/calibration.md and its figure.
"""

import argparse
import re
import time
from functools import partial
from pathlib import Path

import pandas as pd

from tests.calibration import coverage
from tests.calibration.page import write_page
from tests.calibration.ranks import chi_square, ecdf_p
from tests.calibration.restriction import RESTRICTIONS
from tests.calibration.run import MOST, ranks_of, resumed
from tests.calibration.scenarios import SCENARIOS


def summary(ranks: pd.DataFrame) -> pd.DataFrame:
    """P of both tests for each parameter."""
    names = [c for c in ranks if c not in ("set", "attempts", "divergences")]
    rows = [(n, ecdf_p(ranks[n].to_numpy(), MOST), chi_square(ranks[n].to_numpy(), MOST)) for n in names]
    return pd.DataFrame(rows, columns=["parameter", "ecdf_p", "chi2_p"])


def file_of(folder: Path, name: str) -> Path:
    return folder / (re.sub(r"\W+", "_", name).strip("_") + ".jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.calibration")
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(".calibration"))
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    ranked = {name: partial(ranks_of, scenario) for name, scenario in SCENARIOS.items()}
    ranked |= {name: partial(resumed, make) for name, make in RESTRICTIONS.items()}
    found = {}
    for name, ranks in ranked.items():
        if options.only not in name:
            continue
        began = time.perf_counter()
        found[name] = ranks(options.sets, file_of(options.folder, name))
        table = summary(found[name])
        worst = table.loc[table["ecdf_p"].idxmin()]
        print(
            f"{name}: {len(found[name])} sets, {len(table)} parameters, smallest p of the ECDF {worst['ecdf_p']:.4f} "
            f"({worst['parameter']}), of chi-square {table['chi2_p'].min():.4f}; "
            f"{time.perf_counter() - began:.0f} s",
            flush=True,
        )
    covered = None
    if options.only in coverage.NAME:
        trials = resumed(coverage.one_trial, options.trials, file_of(options.folder, coverage.NAME))
        covered = coverage.coverage(trials)
        print(covered.round(3).to_string(index=False), flush=True)
    if options.write:
        write_page(found, {name: summary(ranks) for name, ranks in found.items()}, covered)


if __name__ == "__main__":
    main()
