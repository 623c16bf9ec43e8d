"""Recorded values of one column, split by whether another is missing."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.explore import Exploration
from mnarkit.explore.columns import Column, read_columns, said_apart
from mnarkit.explore.text import shortened
from mnarkit.plots.canvas import DARK, IMPUTED, RECORDED, Canvas, plain
from mnarkit.plots.density import density, enough, grid

__all__ = ["seen_split"]

_BARS = 12  # different values that are drawn as bars


def seen_split(data: object, column: str, hole: str) -> Canvas:
    """Draw the recorded values of `column` where `hole` is missing and where it is recorded.

    Few different values, and categories, are bars; others are kernel densities, or points where fewer than ten.

    Parameters
    ----------
    data : Exploration or DataFrame
        From `mk.explore`, or a table.
    column : str
        The column whose values are drawn.
    hole : str
        The column whose holes split them.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        `hole` has no holes or only holes, or `column` has no values on one side.
    SpecError
        A name that is not a column.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.plots import seen_split
    >>> fig = seen_split(mk.load_dataset("wages"), "age", "lwage")
    >>> [text.get_text() for text in fig.legends[0].get_texts()]
    ['lwage missing (n = 325)', 'lwage recorded (n = 428)']
    """
    table = data.data if isinstance(data, Exploration) else IncompleteData.of(data)
    table.require([column, hole], "seen_split")
    held = IncompleteData(table.frame[list(dict.fromkeys([column, hole]))])
    read = {c.name: c for c in read_columns(held)}
    shown, seen = read[column], read[hole].seen
    sides = [shown.values[shown.seen & ~seen], shown.values[shown.seen & seen]]
    _check(shown, hole, seen, sides)
    fig = Canvas(figsize=(7, 4.2), layout="constrained")
    ax = plain(fig.add_subplot())
    name = shortened(hole)
    labels = [f"{name} missing (n = {len(sides[0]):,})", f"{name} recorded (n = {len(sides[1]):,})"]
    _draw(ax, shown, sides, labels)
    days = " (days since 1970)" if shown.kind == "date" else ""
    ax.set_xlabel(f"{shortened(column)}{days}", color=DARK)
    fig.legend(loc="outside lower center", ncols=1 if len(name) > 20 else 2, frameon=False, fontsize=9, labelcolor=DARK)
    head = f"Recorded values of {shortened(column)}, by whether {name} is missing{_unseen(shown)}"
    ax.set_title(head, loc="left", fontsize=10, color=DARK)
    return fig


def _check(shown: Column, hole: str, seen: np.ndarray, sides: list[np.ndarray]) -> None:
    if shown.name == hole:
        raise DataError(f"{hole!r} has no recorded values where it is missing; name another column to draw")
    if seen.all() or not seen.any():
        which = "no holes" if seen.all() else "nothing but holes"
        raise DataError(f"{hole!r} has {which} in {len(seen)} rows; name a column that is missing in some")
    if shown.kind == "other":
        raise DataError(f"{shown.name!r} holds things without levels; name a column of numbers, dates or categories")
    for values, which in zip(sides, ("missing", "recorded"), strict=True):
        if not len(values):
            raise DataError(f"{shown.name!r} is never recorded where {hole!r} is {which}; there is nothing to compare")


def _unseen(shown: Column) -> str:
    return (
        f"\n{shown.n_missing:,} rows in which {shortened(shown.name)} is missing are left out"
        if shown.n_missing
        else ""
    )


def _draw(ax: Axes, shown: Column, sides: list[np.ndarray], labels: list[str]) -> None:
    distinct = np.unique(np.concatenate(sides))
    if shown.kind == "category" or len(distinct) <= _BARS:
        _bars(ax, shown, sides, labels)
    elif all(map(enough, sides)):
        _curves(ax, sides, labels)
    else:
        _points(ax, sides, labels)


def _bars(ax: Axes, shown: Column, sides: list[np.ndarray], labels: list[str]) -> None:
    levels, count = np.unique(np.concatenate(sides), return_counts=True)
    kept = np.sort(np.argsort(-count, kind="stable")[:_BARS])
    names = [shortened(text, 18) for text in said_apart(shown, levels[kept].tolist())]
    for k, (values, label, colour) in enumerate(zip(sides, labels, (IMPUTED, RECORDED), strict=True)):
        shares = [np.mean(values == level) for level in levels[kept]]
        ax.bar(np.arange(len(kept)) + 0.4 * (k - 0.5), shares, width=0.38, color=colour, label=label)
    turned = {"rotation": 30, "ha": "right"} if sum(map(len, names)) > 60 else {}
    ax.set_xticks(range(len(kept)), names, **turned)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    left = len(levels) - len(kept)
    ax.set_ylabel(
        "share of rows" + (f" (the {len(kept)} commonest of {len(levels)} values)" if left else ""), color=DARK
    )


def _curves(ax: Axes, sides: list[np.ndarray], labels: list[str]) -> None:
    at = grid(np.concatenate(sides))
    for values, label, colour in zip(sides, labels, (IMPUTED, RECORDED), strict=True):
        heights = density(values, at)
        ax.fill_between(at, heights, color=colour, alpha=0.18, linewidth=0)
        ax.plot(at, heights, color=colour, linewidth=2, label=label)
        ax.axvline(values.mean(), color=colour, linewidth=1, linestyle="--")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("density (dashed: means)", color=DARK)


def _points(ax: Axes, sides: list[np.ndarray], labels: list[str]) -> None:
    for k, (values, label, colour) in enumerate(zip(sides, labels, (IMPUTED, RECORDED), strict=True)):
        ax.plot(values, np.full(len(values), k), "o", color=colour, alpha=0.5, label=label)
    ax.set_yticks([0, 1], ["missing", "recorded"])
    ax.set_ylim(-0.7, 1.7)
