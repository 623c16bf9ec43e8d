"""Figures of a diagnosis: prior beside posterior, tables drawn from the model beside the table, energy."""

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mnarkit.diagnose import Diagnosis
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.errors import DataError
from mnarkit.plots.canvas import DARK, GREY, IMPUTED, RECORDED, Canvas, plain
from mnarkit.plots.density import density, grid

__all__ = ["prior_posterior", "replicated_shares", "replicated_values", "sampler_energy"]

_ACROSS, _MOST = 3, 12
_FEW = 12  # values; as many are shown by how often each occurs


def prior_posterior(diagnosis: Diagnosis, *, parameters: list[str] | None = None) -> Canvas:
    """Draw the prior and the posterior of parameters, those of the belief by default, with what told each.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `mk.diagnose`.
    parameters : list of str, optional
        Names as in `diagnosis.identification.table`; at most 12.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        A model whose priors were not compared, or an unknown parameter.
    """
    found = diagnosis.identification
    if found is None:
        raise DataError("priors and posterior of this model were not compared; it is not of the extended normal")
    table = found.table.set_index("parameter")
    carried = table.index[table["from_shape"].notna()].tolist()
    names = parameters or carried or table.index.tolist()[:_MOST]
    unknown = [n for n in names if n not in table.index]
    if unknown or len(names) > _MOST:
        raise DataError(
            f"{unknown[0] if unknown else len(names)!r} cannot be drawn; at most {_MOST} of {', '.join(table.index)}"
        )
    after, before = scalars_of(diagnosis.fit.draws["posterior"].to_dataset()), scalars_of(found.prior)
    fig, axes = _panels(len(names), 3.4, 2.5)
    for ax, name in zip(axes, names, strict=False):
        _two_densities(ax, before[name].ravel(), after[name].ravel())
        ax.set_title(f"{name}\n{table.loc[name, 'label']}", loc="left", fontsize=9, color=DARK)
    axes[0].set_ylabel("density", color=DARK)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=DARK)
    return fig


def _panels(count: int, width: float, height: float) -> tuple[Canvas, list[Axes]]:
    across = min(_ACROSS, count)
    down = ceil(count / across)
    fig = Canvas(figsize=(max(width * across, 4.6), height * down + 0.5), layout="constrained")
    axes = fig.subplots(down, across, squeeze=False).ravel().tolist()
    for ax in axes:
        plain(ax)
    for ax in axes[count:]:
        ax.set_visible(False)
    return fig, axes


def _two_densities(ax: Axes, before: np.ndarray, after: np.ndarray) -> None:
    """Prior in grey, posterior filled; the axis spans the posterior and the middle half of the prior."""
    low, high = np.quantile(before, [0.25, 0.75])
    inside = np.array([min(low, after.min()), max(high, after.max())])
    at = grid(inside)
    kept = before[(before > at[0]) & (before < at[-1])]
    if len(kept) > 2:
        ax.plot(at, density(kept, at) * len(kept) / len(before), color=GREY, linewidth=1.5, label="prior")
    heights = density(after, at)
    ax.fill_between(at, heights, color=RECORDED, alpha=0.3, linewidth=0)
    ax.plot(at, heights, color=RECORDED, linewidth=2, label="posterior")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(4))


def replicated_shares(diagnosis: Diagnosis) -> Canvas:
    """Draw the share missing by segment: the table's, and what tables drawn from the model have (95 %).

    Parameters
    ----------
    diagnosis : Diagnosis
        From `mk.diagnose`, of a spec that models what is missing.

    Returns
    -------
    Canvas
        A matplotlib `Figure`; segments beyond the threshold are marked by a filled diamond.

    Raises
    ------
    DataError
        What is missing is not modelled, or no tables were drawn.
    """
    found = diagnosis.predictive
    table = pd.DataFrame() if found is None else found.table
    rows = table[table["statistic"] == "share missing"] if len(table) else table
    if not len(rows):
        raise DataError("no shares of missing values were drawn from this model: it does not model what is missing")
    columns = list(dict.fromkeys(rows["column"]))
    most = int(rows["column"].value_counts().max())
    fig = Canvas(figsize=(2.6 + 3.0 * len(columns), 1.2 + 0.27 * most), layout="constrained")
    axes = fig.subplots(1, len(columns), squeeze=False, sharey=True).ravel()
    for ax, column in zip(axes, columns, strict=True):
        _segments(plain(ax), rows[rows["column"] == column])
        ax.set_title(f"share of {column} missing", loc="left", fontsize=10, color=DARK)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3 if len(columns) > 1 else 1,
        frameon=False,
        fontsize=9,
        labelcolor=DARK,
    )
    return fig


def _segments(ax: Axes, rows: pd.DataFrame) -> None:
    at = np.arange(len(rows))
    ax.hlines(at, rows["low"], rows["high"], color=GREY, linewidth=5, alpha=0.5, label="drawn from the model, 95 %")
    alarm = rows["alarm"].to_numpy()
    for mask, fill, label in ((~alarm, "white", "this table"), (alarm, IMPUTED, "this table, beyond the threshold")):
        if mask.any():
            points = rows["data"].to_numpy()[mask]
            ax.plot(points, at[mask], "D", color=IMPUTED, markerfacecolor=fill, markersize=5, label=label)
    names = [f"{s or 'all rows'} (n = {n:,})" for s, n in zip(rows["segment"], rows["n"], strict=True)]
    ax.set_yticks(at, names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="x", color="#EAEAEA", linewidth=0.8)
    ax.set_axisbelow(True)


def replicated_values(diagnosis: Diagnosis, column: str) -> Canvas:
    """Draw what is recorded of a column, and what is recorded of it in tables drawn from the model, a thin line each.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `mk.diagnose`.
    column : str
        A modelled column.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        A column that is not modelled, or no tables were drawn.
    """
    found = diagnosis.predictive
    columns = () if found is None else found.columns
    if found is None or column not in columns:
        raise DataError(f"no values of {column!r} were drawn from the model; its columns are {', '.join(columns)}")
    j = columns.index(column)
    values = found.completed[:, j]
    recorded = values[~np.isnan(values)]
    drawn = [t[~np.isnan(t[:, j]), j] for t in found.recorded]
    fig = Canvas(figsize=(7, 4.2), layout="constrained")
    ax = plain(fig.add_subplot())
    few = np.unique(recorded)
    (_shares_of_values if len(few) <= _FEW else _curves_of_values)(ax, recorded, drawn)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(column, color=DARK)
    ax.set_title(f"{column}: what is recorded, and what the model would record", loc="left", fontsize=10, color=DARK)
    fig.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=DARK)
    return fig


def _curves_of_values(ax: Axes, recorded: np.ndarray, drawn: list[np.ndarray]) -> None:
    at = grid(np.concatenate([recorded, *drawn]))
    for k, one in enumerate(drawn):
        label = f"{len(drawn)} tables drawn from the model" if k == 0 else None
        ax.plot(at, density(one, at), color=GREY, linewidth=0.8, alpha=0.7, label=label)
    ax.plot(at, density(recorded, at), color=RECORDED, linewidth=2, label=f"this table (n = {len(recorded):,})")
    ax.set_ylabel("density", color=DARK)


def _shares_of_values(ax: Axes, recorded: np.ndarray, drawn: list[np.ndarray]) -> None:
    """A few values: how often each occurs, a tick for each table drawn."""
    values = np.unique(np.concatenate([recorded, *drawn]))
    for k, one in enumerate(drawn):
        label = f"{len(drawn)} tables drawn from the model" if k == 0 else None
        shares = [np.mean(one == v) if len(one) else 0.0 for v in values]
        ax.plot(values, shares, "_", color=GREY, markersize=18, alpha=0.7, label=label)
    mine = [np.mean(recorded == v) for v in values]
    ax.plot(values, mine, "o", color=RECORDED, markersize=7, label=f"this table (n = {len(recorded):,})")
    ax.set_ylabel("share of the recorded", color=DARK)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def sampler_energy(diagnosis: Diagnosis) -> Canvas:
    """Draw the energy of the draws and its changes from draw to draw, a panel a chain: alike where momentum explores.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `mk.diagnose`.

    Returns
    -------
    Canvas
        A matplotlib `Figure`.

    Raises
    ------
    DataError
        A fit without energies.
    """
    stats = diagnosis.fit.draws["sample_stats"].to_dataset()
    if "energy" not in stats:
        raise DataError("the fit keeps no energies of its sampler")
    energy = stats["energy"].transpose("chain", "draw").values
    fig, axes = _panels(len(energy), 2.6, 2.3)
    for k, (ax, one) in enumerate(zip(axes, energy, strict=False)):
        changes, centered = np.diff(one), one - one.mean()
        at = grid(np.concatenate([changes, centered]))
        ax.plot(at, density(centered, at), color=RECORDED, linewidth=2, label="energy, around its mean")
        ax.plot(at, density(changes, at), color=IMPUTED, linewidth=1.5, label="change from draw to draw")
        share = np.mean(changes**2) / one.var()
        ax.set_title(f"chain {k} (n = {len(one):,}): BFMI {share:.2f}", loc="left", fontsize=9, color=DARK)
        ax.set_ylim(bottom=0)
        ax.set_yticks([])
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=DARK)
    return fig
