"""Recorded against imputed values of a column."""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mnarkit.errors import DataError
from mnarkit.impute import Imputations
from mnarkit.plots.canvas import DARK, IMPUTED, RECORDED, Canvas, plain
from mnarkit.plots.density import density, enough, grid

__all__ = ["recorded_imputed"]


def recorded_imputed(imputations: Imputations, column: str) -> Canvas:
    """Draw the distribution of the recorded values and of the imputed ones, a thin line per imputation.

    The curves are kernel densities; fewer than ten values are drawn as points. A difference is no fault: under a belief
    such as `Selection` the unseen values are meant to differ, and under MAR they differ where the predictors do.

    Parameters
    ----------
    imputations : Imputations
        From `mk.impute`.
    column : str
        A numeric column with holes.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        A column that is not there, has no number or has no holes.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mnarkit as mk
    >>> from mnarkit.plots import recorded_imputed
    >>> data = mk.IncompleteData.of(pd.DataFrame({"y": [1.0, None, 3.0, None], "x": [0, 1, 2, 3]}))
    >>> cells = {"y": np.array([[2.1, 4.2], [1.8, 3.9]])}
    >>> imps = mk.Imputations(data, cells, mk.Spec(mk.Regression("y ~ x")), under=(), seed=1, m=2)
    >>> print(recorded_imputed(imps, "y").axes[0].get_title(loc="left"))
    y: recorded and imputed values
    under MAR
    """
    values, seen = imputations.data.number(column), imputations.data.seen(column)
    if seen.all():
        raise DataError(f"{column!r} has no holes in {len(seen)} rows; name a column that was imputed")
    if column not in imputations.cells:
        names = ", ".join(map(repr, imputations.cells))
        raise DataError(f"{column!r} was not imputed, its {(~seen).sum()} holes are still there; imputed were {names}")
    recorded, imputed = values[seen], list(imputations.cells[column])
    fig = Canvas(figsize=(7, 4.2), layout="constrained")
    ax = plain(fig.add_subplot())
    draw = _curves if all(map(enough, [recorded, *imputed])) else _points
    draw(ax, recorded, imputed, _labels(recorded, imputed))
    ax.set_xlabel(column, color=DARK)
    fig.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=DARK)
    ax.set_title(_title(imputations, column), loc="left", fontsize=10, color=DARK)
    return fig


def _curves(ax: Axes, recorded: np.ndarray, imputed: list[np.ndarray], labels: tuple[str, str]) -> None:
    at = grid(np.concatenate([recorded, *imputed]))
    heights = density(recorded, at)
    ax.fill_between(at, heights, color=RECORDED, alpha=0.3, linewidth=0, zorder=1)
    ax.plot(at, heights, color=RECORDED, linewidth=2, label=labels[0], zorder=3)
    for k, values in enumerate(imputed):
        label = None if k else labels[1]
        ax.plot(at, density(values, at), color=IMPUTED, linewidth=0.8, alpha=0.7, label=label, zorder=2)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("density", color=DARK)


def _points(ax: Axes, recorded: np.ndarray, imputed: list[np.ndarray], labels: tuple[str, str]) -> None:
    ax.plot(recorded, np.zeros(len(recorded)), "o", color=RECORDED, alpha=0.6, label=labels[0])
    for k, values in enumerate(imputed):
        ax.plot(values, np.full(len(values), k + 1), "D", color=IMPUTED, markersize=4, label=None if k else labels[1])
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_ylim(-0.7, len(imputed) + 0.7)
    ax.set_ylabel("imputation (0: recorded)", color=DARK)


def _labels(recorded: np.ndarray, imputed: list[np.ndarray]) -> tuple[str, str]:
    return (
        f"recorded (n = {len(recorded):,})",
        f"imputed (n = {len(imputed[0]):,} in each of {len(imputed):,} imputations)",
    )


def _title(imputations: Imputations, column: str) -> str:
    beliefs = "; then ".join(str(b) for b in (*imputations.spec.missingness, *imputations.under))
    return f"{column}: recorded and imputed values\n{fill(f'under {beliefs}', 90)}"
