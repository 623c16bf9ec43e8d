"""The page on calibration and its figure, written from ranks."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from tests.calibration.ranks import band
from tests.calibration.run import DRAWS, MOST, THIN, TUNE
from tests.calibration.scenarios import SCENARIOS

__all__ = ["write_page"]

DOCS = Path(__file__).parents[2] / "docs" / "explanation"
HEAD = """# Calibration

Parameters are drawn from the prior, a table from the parameters, and the posterior from the table; the rank of the true
value among the draws is then uniform (Talts et al. 2018). What is wrong anywhere on that way (density, priors, units,
sampler, the names of what comes out) bends the ranks. Priors are in raw units, and `one` stands for the
intercept, so that no prior depends on the table. Tables in which too little is recorded, or nothing missing, are drawn
again: that is a rule on the data alone, which leaves the ranks uniform.

{tune} warm-up draws and {draws} draws of one chain a table, every {thin}th of them compared. *ECDF* is the test with
simultaneous bands (Säilynoja, Bürkner & Vehtari 2022), *χ²* has 20 bins; both columns give the smallest p of all
parameters of the model and, in brackets, that p times their number (Bonferroni). A p below 1/2001 cannot be seen.

| mechanism | data sets | rows | parameters | ECDF | χ² | divergences a set |
|---|---|---|---|---|---|---|
"""


def write_page(ranks: dict[str, pd.DataFrame], tests: dict[str, pd.DataFrame]) -> None:
    """Write the table, parameter by parameter below it, and the figure."""
    text = HEAD.format(tune=TUNE, draws=DRAWS, thin=THIN)
    for name, table in tests.items():
        k, rows = len(table), ranks[name]
        smallest = [f"{p:.3f} ({min(1, p * k):.2f})" for p in (table["ecdf_p"].min(), table["chi2_p"].min())]
        text += f"| {name} | {len(rows)} | {SCENARIOS[name].n} | {k} | {' | '.join(smallest)} "
        text += f"| {rows['divergences'].mean():.2f} |\n"
    text += "\n![ECDF of ranks minus uniform, with simultaneous 95 % bands](calibration.png)\n\n"
    text += "Each line is a parameter; the grey band holds a whole line of a calibrated parameter 95 times in 100.\n"
    text += "\nMade by `uv run python -m tests.calibration --sets 300 --write`.\n"
    (DOCS / "calibration.md").write_text(text, encoding="utf-8")
    _figure(ranks)


def _figure(ranks: dict[str, pd.DataFrame]) -> None:
    rows = -(-len(ranks) // 4)
    figure, axes = plt.subplots(rows, 4, figsize=(11, 2.4 * rows), sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(ranks) :]:
        axis.set_axis_off()
    for axis, (name, table) in zip(axes.flat, ranks.items(), strict=False):
        points, low, high = band(len(table), MOST)
        axis.fill_between(points, low - points, high - points, color="0.85", step="mid")
        for parameter in table.columns.drop(["set", "attempts", "divergences"]):
            below = np.searchsorted(np.sort(table[parameter]), np.arange(1, MOST + 1), side="left") / len(table)
            axis.plot(points, below - points, color="C0", lw=0.8, alpha=0.7)
        axis.set_title(name, fontsize=8)
        axis.axhline(0, color="0.5", lw=0.5)
    for axis in axes[-1]:
        axis.set_xlabel("share of the ranks", fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel("ECDF - uniform", fontsize=8)
    figure.tight_layout()
    figure.savefig(DOCS / "calibration.png", dpi=90)
    plt.close(figure)
