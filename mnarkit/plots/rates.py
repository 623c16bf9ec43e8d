"""How often columns are missing, with intervals, by segment where there are segments."""

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mnarkit.errors import DataError
from mnarkit.explore import Exploration
from mnarkit.explore.text import shortened
from mnarkit.plots.canvas import DARK, GREY, IMPUTED, Canvas, plain

__all__ = ["hole_rates"]

_ACROSS = 3


def hole_rates(found: Exploration, *, columns: int | None = None) -> Canvas:
    """Draw the share missing of each column with its 95 % Wilson interval; by segment, a panel per column.

    Parameters
    ----------
    found : Exploration
        From `mk.explore`; with `by=` the rates are by segment.
    columns : int, optional
        At most so many columns, those with the most holes: 40, or 6 by segment.

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
    >>> from mnarkit.plots import hole_rates
    >>> fig = hole_rates(mk.explore(mk.load_dataset("wages"), by="kidslt6"))
    >>> [label.get_text() for label in fig.axes[0].get_yticklabels()]
    ['0', '1', '2', '3']
    """
    table = found.rates.assign(segment="") if found.by is None else found.by
    totals = table.groupby("column", sort=False)["missing"].sum().sort_values(ascending=False, kind="stable")
    holed = totals.index[totals > 0]
    if not len(holed):
        raise DataError(f"no column has holes in {found.data.n} rows; there are no rates to draw")
    kept = holed[: columns or (40 if found.by is None else 6)]
    if found.by is None:
        return _one(found, table.set_index("column").loc[kept], _rest(holed, kept))
    panels = {name: table[table["column"] == name].set_index("segment") for name in kept}
    return _panels(found, panels, _rest(holed, kept))


def _rest(holed: pd.Index, kept: pd.Index) -> str:
    return f"; the {len(kept)} columns with the most holes of {len(holed)}" if len(holed) > len(kept) else ""


def _one(found: Exploration, rows: pd.DataFrame, rest: str) -> Canvas:
    longest = max(len(shortened(name)) for name in rows.index)
    fig = Canvas(figsize=(5.4 + 0.075 * longest, 1.2 + 0.27 * len(rows)), layout="constrained")
    ax = fig.subplots()
    _rows(ax, rows)
    _x_axis(ax, float(rows["high"].max()))
    ax.set_xlabel("share missing and 95 % Wilson interval", color=DARK)
    fig.suptitle(f"How often is each column missing? n = {found.data.n:,}{rest}", x=0.01, **_HEAD)
    return fig


def _panels(found: Exploration, panels: dict[str, pd.DataFrame], rest: str) -> Canvas:
    across = min(_ACROSS, len(panels))
    down = ceil(len(panels) / across)
    segments = len(next(iter(panels.values())))
    labels = [shortened(str(s)) for s in next(iter(panels.values())).index]
    size = (3.1 * across + 0.075 * max(map(len, labels)) + 0.4, (0.75 + 0.27 * segments) * down + 1.1)
    fig = Canvas(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.06, wspace=0.05))
    axes = fig.subplots(down, across, squeeze=False, sharey=True, sharex=True)
    for ax, (name, rows) in zip(axes.flat, panels.items(), strict=False):
        _rows(ax, rows)
        ax.set_title(shortened(name), loc="left", fontsize=10, color=DARK)
        ax.tick_params(labelbottom=True)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    _x_axis(axes[0, 0], max(float(rows["high"].max()) for rows in panels.values()))
    for row in axes:
        row[0].set_ylabel(shortened(str(found.segment)), color=DARK)
    fig.supxlabel("share missing and 95 % Wilson interval; at the right: missing of rows", fontsize=10, color=DARK)
    head = f"How often is each column missing, by {shortened(str(found.segment))}? n = {found.data.n:,}{rest}"
    fig.suptitle(head, x=0.01, **_HEAD)
    return fig


_HEAD = {"ha": "left", "fontsize": 10, "color": DARK}


def _rows(ax: Axes, rows: pd.DataFrame) -> None:
    plain(ax)
    ax.spines["left"].set_visible(False)
    at = np.arange(len(rows))
    ax.hlines(at, rows["low"], rows["high"], color=IMPUTED, linewidth=2)
    ax.plot(rows["rate"], at, "o", color=IMPUTED, markersize=5)
    for y, row in enumerate(rows.itertuples()):
        place = {"transform": ax.get_yaxis_transform(), "va": "center", "ha": "left"}
        ax.text(1.01, y, f"{row.missing:,} of {row.n:,}", fontsize=7, color=GREY, **place)
    ax.set_yticks(at, [shortened(str(name)) for name in rows.index])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#EAEAEA", linewidth=0.8)
    ax.set_axisbelow(True)


def _x_axis(ax: Axes, highest: float) -> None:
    ax.set_xlim(-0.015 * highest, min(1.02, 1.06 * highest))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
