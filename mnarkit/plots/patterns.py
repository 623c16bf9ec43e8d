"""Which cells are missing together: a matrix of patterns with bars, an UpSet of holes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mnarkit.errors import DataError
from mnarkit.explore import Exploration
from mnarkit.explore.text import shortened
from mnarkit.plots.canvas import DARK, GREY, IMPUTED, RECORDED, Canvas, plain

__all__ = ["hole_patterns"]

_INCH = 0.24  # of a row, and of a pattern


def hole_patterns(found: Exploration, *, patterns: int = 25, columns: int = 40) -> Canvas:
    """Draw the patterns of holes: a column of marks each, with its number of rows above, and rates at the right.

    Parameters
    ----------
    found : Exploration
        From `mk.explore`.
    patterns : int
        At most so many patterns, the commonest.
    columns : int
        At most so many columns of the table, those with the most holes; in the monotone order where there is one.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        A table without holes.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.plots import hole_patterns
    >>> fig = hole_patterns(mk.explore(mk.load_dataset("wages")))
    >>> [text.get_text().strip() for text in fig.axes[0].texts]
    ['428', '325']
    """
    rates = _chosen(found, columns)
    shown = found.patterns.head(patterns)
    missing = ~found.seen.loc[shown["pattern"], rates["column"]].to_numpy()
    names = [shortened(name) for name in rates["column"]]
    size = (_INCH * max(len(shown), 8) + 0.075 * max(map(len, names)) + 3.3, _INCH * len(names) + 3.1)
    fig = Canvas(figsize=size, layout="constrained")
    ratio = {"width_ratios": [_INCH * max(len(shown), 8), 1.7], "height_ratios": [1.5, _INCH * len(names) + 0.2]}
    axes = fig.subplots(2, 2, gridspec_kw=ratio, sharex="col")
    axes[0, 1].set_visible(False)
    _bars(axes[0, 0], shown)
    _matrix(axes[1, 0], missing, names, shown)
    _rates(axes[1, 1], rates)
    fig.suptitle(_title(found, shown, rates), x=0.01, ha="left", fontsize=10, color=DARK)
    return fig


def _chosen(found: Exploration, most: int) -> pd.DataFrame:
    holed = found.rates[found.rates["missing"] > 0]
    if holed.empty:
        raise DataError(f"the table has no holes in {found.data.n} rows; there are no patterns to draw")
    kept = holed.sort_values("rate", ascending=False, kind="stable").head(most)
    if found.monotone is None:
        return kept
    return kept.set_index("column").loc[[name for name in found.monotone if name in set(kept["column"])]].reset_index()


def _bars(ax: Axes, shown: pd.DataFrame) -> None:
    plain(ax)
    at = np.arange(len(shown))
    ax.bar(at, shown["count"], color=[RECORDED if n == 0 else IMPUTED for n in shown["n_missing"]], width=0.7)
    for x, count in enumerate(shown["count"]):
        ax.text(x, count, f" {count:,}", ha="center", va="bottom", fontsize=7, color=DARK, rotation=90)
    ax.set_ylabel("rows", color=DARK, fontsize=9)
    ax.margins(y=0.28)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.tick_params(axis="x", length=0, labelbottom=False)


def _matrix(ax: Axes, missing: np.ndarray, names: list[str], shown: pd.DataFrame) -> None:
    plain(ax)
    ax.spines[:].set_visible(False)
    for y in range(0, len(names), 2):
        ax.axhspan(y - 0.5, y + 0.5, color="#F3F3F3", linewidth=0, zorder=0)
    x, y = np.nonzero(~missing)
    ax.scatter(x, y, s=16, facecolor="white", edgecolor="#C8C8C8", linewidth=0.8, zorder=2)
    x, y = np.nonzero(missing)
    ax.scatter(x, y, s=26, color=IMPUTED, zorder=2)
    for k, row in enumerate(missing):
        if row.sum() > 1:
            ends = np.flatnonzero(row)[[0, -1]]
            ax.vlines(k, *ends, color=IMPUTED, linewidth=1.4, zorder=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(-0.6, max(len(shown), 8) - 0.4)
    ax.tick_params(length=0)
    ax.set_xticks(range(len(shown)), [f"{100 * share:.1f}" for share in shown["share"]], rotation=90, fontsize=7)
    ax.set_xlabel("% of rows with this pattern", color=DARK, fontsize=9)


def _rates(ax: Axes, rates: pd.DataFrame) -> None:
    plain(ax)
    at = np.arange(len(rates))
    ax.barh(at, rates["rate"], color=IMPUTED, height=0.6, alpha=0.85)
    for y, (rate, missing) in enumerate(zip(rates["rate"].tolist(), rates["missing"].tolist(), strict=True)):
        ax.text(rate, y, f" {missing:,}", va="center", ha="left", fontsize=7, color=DARK)
    ax.set_ylim(len(rates) - 0.5, -0.5)
    ax.set_yticks([])
    ax.set_xlim(0, 1.45 * rates["rate"].max())
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.spines["left"].set_color(GREY)
    ax.set_xlabel("missing: % and cells", color=DARK, fontsize=9)


def _title(found: Exploration, shown: pd.DataFrame, rates: pd.DataFrame) -> str:
    total, n = len(found.patterns), found.data.n
    which = f"{total:,} patterns" if total > 1 else "1 pattern"
    if total > len(shown):
        which = f"the {len(shown)} commonest of {total:,} patterns, {100 * shown['share'].sum():.0f} % of the rows"
    holed = int((found.rates["missing"] > 0).sum())
    columns = f"{len(rates)} of {holed} columns with holes" if holed > len(rates) else f"{holed} columns with holes"
    columns = columns if holed != 1 else "1 column with holes"
    full = len(found.rates) - holed
    without = f", {full} without" if full else ""
    blue = "; blue: complete rows" if (shown["n_missing"] == 0).any() else ""
    return f"Which cells are missing (●) together? n = {n:,}{blue}\n{which}; {columns}{without}"
