"""How a pooled result moves with an assumption, and where it tips: on a line, and in a plane."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import TwoSlopeNorm

from mnarkit.errors import DataError
from mnarkit.plots.canvas import DARK, GREY, IMPUTED, RECORDED, Canvas, plain
from mnarkit.sensitivity import Sensitivity, TippingPoint
from mnarkit.sensitivity.grid import Axis

__all__ = ["sensitivity_curve", "tipping_curve", "tipping_map"]

_SIZE = (6.4, 4.0)


def sensitivity_curve(found: Sensitivity, term: str) -> Canvas:
    """Draw a pooled estimate with its interval over one assumption.

    Parameters
    ----------
    found : Sensitivity
        Of one assumption.
    term : str
        The term to draw.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        Two assumptions, or a term that does not exist.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.plots import sensitivity_curve
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> found = mk.sensitivity(fit, "lwage ~ educ", {"lwage": mk.Grid(-1, 1, unit="sd")}, m=10, seed=2)
    >>> sensitivity_curve(found, "educ").axes[0].get_xlabel()
    'shift of lwage, unseen values (residual sd)'
    """
    _one_assumption(found.axes, "sensitivity_curve")
    rows = found.curve(term).sort_values(found.axes[0].name)
    fig, ax = _paper()
    _band(ax, rows, found.axes[0], _neutral(found))
    again = rows["reached"].str.startswith("refitted")
    if again.any():
        ax.plot(rows.loc[again, found.axes[0].name], rows.loc[again, "estimate"], "o", color=RECORDED, label="fitted")
        ax.legend(frameon=False, fontsize=9, labelcolor=DARK)
    _labels(ax, found.axes[0], f"{term}: estimate and {100 * found.level:g} % interval")
    _title(ax, found.what, found.n, found.m)
    return fig


def tipping_curve(found: TippingPoint) -> Canvas:
    """Draw the pooled estimate over one assumption, with its crossings and their Monte Carlo error.

    Parameters
    ----------
    found : TippingPoint
        Of one assumption.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        Two assumptions: take `tipping_map`.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.plots import tipping_curve
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> shift = {"lwage": mk.Grid(-2, 5, unit="sd")}
    >>> tip = mk.tipping_point(fit, "lwage ~ educ", term="educ", shift=shift, m=20, seed=3)
    >>> len(tipping_curve(tip).axes)
    1
    """
    _one_assumption(found.axes, "tipping_curve")
    axis = found.axes[0]
    fig, ax = _paper()
    _band(ax, found.scan, axis, _neutral(found))
    ax.axhline(found.at, color=GREY, linewidth=1, linestyle="--", zorder=0)
    for _, row in found.crossings.iterrows():
        value, error = row[axis.name], row["mc_error"]
        if np.isfinite(error):
            ax.axvspan(value - 2 * error, value + 2 * error, color=IMPUTED, alpha=0.18, linewidth=0)
        ax.axvline(value, color=IMPUTED, linewidth=1.5)
        ax.annotate(
            f"{value:.3g} ± {error:.2g}",
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(9, -4),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=9,
            color=IMPUTED,
        )
    _labels(ax, axis, f"{found.term}: estimate and {100 * found.level:g} % interval")
    where = found.question if len(found.crossings) else f"nowhere here: {found.question}"
    _title(ax, found.what, found.n, found.m, f"tips where {where} (± Monte Carlo error)")
    return fig


def tipping_map(found: TippingPoint) -> Canvas:
    """Draw the pooled estimate over two assumptions, with the contour on which the conclusion tips.

    Parameters
    ----------
    found : TippingPoint
        Of two assumptions.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        One assumption: take `tipping_curve`.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.plots import tipping_map
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> shift = {"lwage": mk.Grid(-4, 4, unit="sd", by="city")}
    >>> tip = mk.tipping_point(fit, "lwage ~ educ", term="educ", shift=shift, m=10, seed=3)
    >>> len(tipping_map(tip).axes)
    2
    """
    if len(found.axes) != 2:
        raise DataError("tipping_map draws two assumptions; of one, take tipping_curve")
    x, y = found.axes
    table = found.scan.pivot_table(index=y.name, columns=x.name, values="estimate")
    fig, ax = _paper((6.4, 5.2))
    plain(ax)
    values = table.to_numpy()
    reach = max(np.abs(values - found.at).max(), 1e-300)
    norm = TwoSlopeNorm(found.at, found.at - reach, found.at + reach)
    extent = (x.grid.low, x.grid.high, y.grid.low, y.grid.high)
    shade = ax.imshow(
        values, extent=extent, origin="lower", aspect="auto", cmap="RdBu_r", norm=norm, interpolation="bilinear"
    )
    bar = fig.colorbar(shade, ax=ax)
    bar.set_label(f"estimate of {found.term}", fontsize=10, color=DARK)
    bar.ax.tick_params(colors=DARK, labelsize=9)
    pieces: Any = list(found.segments)
    ax.add_collection(LineCollection(pieces, colors="black", linewidths=1.8))
    ax.plot(x.neutral, y.neutral, "o", color="white", markeredgecolor="black", markersize=7)
    ax.annotate(_neutral(found), (x.neutral, y.neutral), **_beside())
    for _, row in found.crossings.iterrows():
        ax.plot(row[x.name], row[y.name], "D", color="black", markersize=5)
        ax.annotate(f"nearest ± {row['mc_error']:.2g}", (row[x.name], row[y.name]), **_beside())
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    _labels(ax, x, _words(y))
    where = found.question if len(found.segments) else f"nowhere here: {found.question}"
    _title(ax, found.what, found.n, found.m, f"line: {where}")
    return fig


def _beside() -> dict[str, Any]:
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    return {"xytext": (9, 5), "textcoords": "offset points", "fontsize": 9, "color": "black", "bbox": box}


def _one_assumption(axes: tuple[Axis, ...], what: str) -> None:
    if len(axes) != 1:
        raise DataError(f"{what} draws one assumption, not {len(axes)}; of two, take tipping_map of a tipping point")


def _paper(size: tuple[float, float] = _SIZE) -> tuple[Canvas, Axes]:
    fig = Canvas(figsize=size, layout="constrained")
    return fig, fig.subplots()


def _neutral(found: Sensitivity | TippingPoint) -> str:
    """Name the point at which nothing is assumed beyond the base."""
    return "MAR" if found.spec.is_mar and not found.under else "base"


def _band(ax: Axes, rows: pd.DataFrame, axis: Axis, neutral: str) -> None:
    plain(ax)
    x = rows[axis.name].to_numpy()
    ax.fill_between(x, rows["ci_low"], rows["ci_high"], color=RECORDED, alpha=0.2, linewidth=0)
    ax.plot(x, rows["estimate"], color=RECORDED, linewidth=2)
    if x.min() <= axis.neutral <= x.max():
        ax.axvline(axis.neutral, color=GREY, linewidth=1, linestyle=":", zorder=0)
        if axis.term is None:
            at: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
            ax.annotate(neutral, (axis.neutral, 0.0), xytext=(4, 4), fontsize=9, color=GREY, **at)
    ax.margins(x=0)


def _labels(ax: Axes, axis: Axis, y: str) -> None:
    ax.set_xlabel(_words(axis), fontsize=10, color=DARK)
    ax.set_ylabel(y, fontsize=10, color=DARK)


def _words(axis: Axis) -> str:
    if axis.term is not None:
        return f"{axis.name} ({axis.unit})"
    kind = "scale" if axis.grid.unit == "factor" else "shift"
    rows = f" where {axis.where}" if axis.where else ""
    return f"{kind} of {', '.join(axis.columns)}, unseen values{rows} ({axis.unit})"


def _title(ax: Axes, what: str, n: int, m: int, more: str = "") -> None:
    lines = [f"{what}, n = {n}, m = {m}", *([fill(more, 90)] if more else [])]
    ax.set_title("\n".join(lines), loc="left", fontsize=9, color=DARK)
