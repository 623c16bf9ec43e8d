"""One estimate under several assumptions, side by side."""

from collections.abc import Sequence
from math import ceil
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from mnarkit.errors import DataError
from mnarkit.plots.canvas import DARK, GREY, RECORDED, Canvas, plain

__all__ = ["forest"]

_COLUMNS = ("assumption", "term", "estimate", "ci_low", "ci_high")
_ACROSS = 3


def forest(
    table: pd.DataFrame,
    *,
    terms: Sequence[str] | None = None,
    level: float = 0.95,
    interval: str = "confidence interval",
) -> Canvas:
    """Draw estimates with their intervals: a panel per term, a row per assumption.

    Parameters
    ----------
    table : DataFrame
        Columns `assumption`, `term`, `estimate`, `ci_low`, `ci_high`, one row per assumption and
        term; other columns are ignored. What `table.attrs["caption"]` says (`mk.compare(...).to_frame()` says the
        estimand, n and m) stands below the axis.
    terms : sequence of str, optional
        The terms to draw, in this order; all by default.
    level : float
        The level of the intervals in the table, said at the axis.
    interval : str
        What the intervals are, e.g. `"credible interval"`.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        A table without these columns, without rows, or with two rows for one assumption and term; an unknown term.

    Examples
    --------
    >>> import pandas as pd
    >>> from mnarkit.plots import forest
    >>> rows = [("MAR", "educ", 0.11, 0.08, 0.14), ("Heckman", "educ", 0.10, 0.05, 0.15)]
    >>> fig = forest(pd.DataFrame(rows, columns=["assumption", "term", "estimate", "ci_low", "ci_high"]))
    >>> fig.axes[0].get_title(loc="left")
    'educ'
    """
    _check(table)
    chosen = _terms(table, terms)
    assumptions = list(dict.fromkeys(table["assumption"]))
    down = ceil(len(chosen) / _ACROSS)
    across = ceil(len(chosen) / down)
    size = (1.6 + 2.9 * across, (0.9 + 0.36 * len(assumptions)) * down + 0.3)
    fig = Canvas(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.08, wspace=0.04))
    axes = fig.subplots(down, across, squeeze=False, sharey=True)
    for ax, term in zip(axes.flat, chosen, strict=False):
        _panel(ax, table[table["term"] == term].set_index("assumption").reindex(assumptions))
        ax.set_title(term, loc="left", fontsize=10, color=DARK)
    for ax in axes.flat[len(chosen) :]:
        ax.set_visible(False)
    axes[0, 0].set_yticks(range(len(assumptions)), [fill(str(a), 28) for a in assumptions])
    axes[0, 0].set_ylim(len(assumptions) - 0.5, -0.5)
    say = fig.supxlabel if len(chosen) > 1 else axes[0, 0].set_xlabel
    said = [
        f"estimate and {100 * level:g} % {interval}",
        *([table.attrs["caption"]] if "caption" in table.attrs else []),
    ]
    say("\n".join(fill(str(one), 40 * across) for one in said), fontsize=10, color=DARK)
    return fig


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    plain(ax)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for y, (estimate, low, high) in enumerate(rows[["estimate", "ci_low", "ci_high"]].to_numpy(dtype=float)):
        if not np.isfinite(estimate):
            at = {"transform": ax.get_yaxis_transform(), "ha": "center", "va": "center"}
            ax.text(0.5, y, "no estimate", fontsize=9, color=GREY, **at)
            continue
        ax.hlines(y, low, high, color=RECORDED, linewidth=2)
        ax.plot(estimate, y, "o", color=RECORDED, markersize=6)
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.ticklabel_format(axis="x", useOffset=False)
    left, right = ax.get_xlim()
    if left < 0 < right:
        ax.axvline(0, color=GREY, linewidth=1, linestyle="--", zorder=0)


def _check(table: pd.DataFrame) -> None:
    absent = [c for c in _COLUMNS if c not in table.columns]
    if absent:
        raise DataError(f"the table of estimates has no {', '.join(map(repr, absent))}; it needs {', '.join(_COLUMNS)}")
    if table.empty:
        raise DataError("the table of estimates has no rows; it needs one per assumption and term")
    twice = table[table.duplicated(["assumption", "term"])]
    if len(twice):
        first = twice.iloc[0]
        raise DataError(
            f"the table of estimates has more than one row for {first['assumption']!r} and {first['term']!r} "
            f"({len(twice)} rows too many); give each assumption a name of its own"
        )


def _terms(table: pd.DataFrame, terms: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(table["term"]))
    chosen = known if terms is None else [terms] if isinstance(terms, str) else list(dict.fromkeys(terms))
    unknown = [t for t in chosen if t not in known]
    if unknown or not chosen:
        what = f"no term {unknown[0]!r}" if unknown else "no term chosen"
        raise DataError(f"the table of estimates has {what}; its terms are {', '.join(map(repr, known))}")
    return chosen
