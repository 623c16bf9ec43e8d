"""The page on calibration and its figure, written from ranks."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from tests.calibration import coverage, restriction
from tests.calibration.ranks import band
from tests.calibration.run import MOST, TUNE
from tests.calibration.scenarios import SCENARIOS

__all__ = ["write_page"]

DOCS = Path(__file__).parents[2] / "docs" / "explanation"
HEAD = """# Calibration

Parameters are drawn from the prior, a table from the parameters, and the posterior from the table; the rank of the true
value among the draws is then uniform (Talts et al. 2018). What is wrong anywhere on that way (density, priors, units,
sampler, the names of what comes out) bends the ranks. Priors are in raw units, and `one` stands for the
intercept, so that no prior depends on the table (that of a random intercept beside a slope is for the mean time of the
recorded rows, the same ones in every table). Tables in which too little is recorded, or nothing missing, are drawn
again: that is a rule on the data alone, which leaves the ranks uniform. A `Restriction` has exact draws under the prior
1/σ², whose intervals are those of least squares: there the ranks of one fixed truth are uniform.

{tune} warm-up draws of one chain a table, and then {most} draws that are compared, five apart (six where cells are
sampled). *ECDF* is the test with simultaneous bands (Säilynoja, Bürkner & Vehtari 2022), *χ²* has 20 bins; both columns
give the smallest p of all parameters of the model and, in brackets, that p times their number (Bonferroni). A p below
1/2001 cannot be seen. The restrictions have the same tables. A row of fewer than 300 data sets is of a run that was
not brought to its end: it can show a large error alone.

| mechanism | data sets | rows | parameters | ECDF | χ² | divergences a set |
|---|---|---|---|---|---|---|
"""


SAID = "![ECDF of ranks minus uniform, with simultaneous 95 % bands]"
COVERED = """
## Reference-based imputation

Rubin's intervals under a reference are wider than the estimates vary: patients of the drug arm who left follow the
mean of the control arm, which other patients tell, and Rubin's variance counts as if their own had to be told (Cro,
Carpenter & Kenward 2019 say why one may want that). So a coverage above 95 % is expected here, and 95 % under MAR.
{trials} trials of {per_arm} patients an arm and four visits, of whom {drug:.0%} leave in the drug arm and {control:.0%}
in the other, more often at high values; after leaving they do what the strategy says, so that the truth is known. One
MAR fit a trial, {m} imputations, the analysis `w4 ~ arm + base`; Monte Carlo errors in brackets.

| strategy | truth | bias | coverage of 95 % intervals | mean SE | SD of the estimates | ratio |
|---|---|---|---|---|---|---|
"""


def write_page(
    ranks: dict[str, pd.DataFrame], tests: dict[str, pd.DataFrame], covered: pd.DataFrame | None = None
) -> None:
    """Write the table and the figure; a mechanism that was not run keeps its row and its figure."""
    kept = _rows_of_page() if (DOCS / "calibration.md").exists() else {}
    names = [*SCENARIOS, *restriction.RESTRICTIONS]
    lines = {name: _row(name, ranks[name], tests[name]) for name in ranks}
    every = [lines.get(name, kept.get(name)) for name in names]
    text = HEAD.format(tune=TUNE, most=MOST) + "".join(line for line in every if line)
    old = [name for name in names if name not in ranks and name in kept]
    figure = "calibration-more.png" if old else "calibration.png"
    if old:
        text += f"\nKept from an earlier run: {'; '.join(old)}.\n\n{SAID}(calibration.png)\n"
    text += f"\n{SAID}({figure})\n\n"
    text += "Each line is a parameter; the grey band holds a whole line of a calibrated parameter 95 times in 100.\n"
    text += "" if covered is None else _covered(covered)
    text += "\nMade by `uv run python -m tests.calibration --sets 300 --write`.\n"
    (DOCS / "calibration.md").write_text(text, encoding="utf-8")
    if not old:
        (DOCS / "calibration-more.png").unlink(missing_ok=True)
    _figure(ranks, DOCS / figure)


def _row(name: str, ranks: pd.DataFrame, tests: pd.DataFrame) -> str:
    k, n = len(tests), SCENARIOS[name].n if name in SCENARIOS else restriction.N
    smallest = [f"{p:.3f} ({min(1, p * k):.2f})" for p in (tests["ecdf_p"].min(), tests["chi2_p"].min())]
    return f"| {name} | {len(ranks)} | {n} | {k} | {' | '.join(smallest)} | {ranks['divergences'].mean():.2f} |\n"


def _rows_of_page() -> dict[str, str]:
    """Rows of the page as it is, by mechanism."""
    lines = (DOCS / "calibration.md").read_text(encoding="utf-8").splitlines()
    return {line.split(" | ")[0].removeprefix("| "): f"{line}\n" for line in lines if line.startswith("| ")}


def _covered(found: pd.DataFrame) -> str:
    drug, control = (float(coverage.leaving(arm).sum()) for arm in ("drug", "control"))
    text = COVERED.format(
        trials=found["trials"].iloc[0], per_arm=coverage.PER_ARM, m=coverage.M, drug=drug, control=control
    )
    for row in found.itertuples():
        text += f"| {row.strategy} | {row.truth:.3f} | {row.bias:.3f} ({row.bias_error:.3f}) "
        text += f"| {row.covered:.1%} ({row.covered_error:.1%}) | {row.mean_se:.3f} | {row.sd:.3f} "
        text += f"| {row.mean_se / row.sd:.2f} |\n"
    return text


def _figure(ranks: dict[str, pd.DataFrame], path: Path) -> None:
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
    figure.savefig(path, dpi=90)
    plt.close(figure)
