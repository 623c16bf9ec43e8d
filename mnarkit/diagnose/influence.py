"""Rows that move the parameters of a belief most, by leaving each out with importance weights."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mnarkit.diagnose.finding import Finding
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.fit import Fit

__all__ = ["influence_findings", "influence_of"]

_BLOCK = 2_000_000  # values of the log likelihood at a time
_LARGE = 0.5  # posterior sd that one row may move a parameter
_FEW = 0.1  # effective share of the draws below which the weights are not trusted


def influence_of(fit: Fit, names: Sequence[str]) -> pd.DataFrame:
    """E[θ | all but row i] - E[θ | all], in posterior sd: draws weighted by 1 / p(row i | θ).

    Parameters
    ----------
    fit : Fit
        With its group `log_likelihood`.
    names : sequence of str
        Parameters as `scalars_of` names them.

    Returns
    -------
    DataFrame
        `parameter`, `row` (position), `index` (the table's), `change` (posterior sd, when the row is left out), `draws`
        (effective, of the weights), the largest change first.

    References
    ----------
    Peruggia, M. (1997). On the variability of case-deletion importance sampling weights in the Bayesian linear model.
    JASA 92, 199-207, section 2.
    """
    group = fit.draws["log_likelihood"].to_dataset()["unit"].transpose("chain", "draw", "obs")
    loglik = group.values.reshape(fit.n_draws, -1)
    rows = group["obs"].values.astype(int)
    scalars = scalars_of(fit.draws["posterior"].to_dataset())
    wanted = np.column_stack([scalars[name].ravel() for name in names])
    centered = (wanted - wanted.mean(axis=0)) / wanted.std(axis=0)
    change, effective = _left_out(loglik, centered)
    labels = fit.data.frame.index[rows]
    tables = [
        pd.DataFrame({"parameter": name, "row": rows, "index": labels, "change": change[:, j], "draws": effective})
        for j, name in enumerate(names)
    ]
    made = [t.iloc[np.argsort(-t["change"].abs().to_numpy(), kind="stable")] for t in tables]
    return pd.concat(made, ignore_index=True)


def _left_out(loglik: np.ndarray, centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Changes (rows, parameters) and effective numbers of draws (rows,)."""
    step = max(1, _BLOCK // len(loglik))
    changes, effective = [], []
    for first in range(0, loglik.shape[1], step):
        block = -loglik[:, first : first + step]
        weights = np.exp(block - block.max(axis=0))
        weights /= weights.sum(axis=0)
        changes.append(weights.T @ centered)
        effective.append(1 / (weights**2).sum(axis=0))
    return np.concatenate(changes), np.concatenate(effective)


def influence_findings(fit: Fit, names: Sequence[str], table: pd.DataFrame) -> tuple[Finding, ...]:
    """Say for each parameter which row moves it most."""
    return tuple(_finding(fit, name, table[table["parameter"] == name]) for name in names)


def _finding(fit: Fit, name: str, rows: pd.DataFrame) -> Finding:
    first = rows.iloc[0]
    change, bad = float(first["change"]), bool(abs(first["change"]) > _LARGE)
    values = [f"{c} = {_shown(fit, c, int(first['row']))}" for c in fit.spec.model.columns[:3]]
    said = f"row {first['index']} ({', '.join(values)}) moves it most when left out"
    ten = float(rows["change"].head(10).abs().sum())
    said += f"; the ten largest changes sum to {ten:.2f} posterior sd, of {len(rows):,} rows"
    if bad:
        said += "; look at that row, and fit once without it"
    if first["draws"] < _FEW * fit.n_draws:
        said += f"; the weights rest on {first['draws']:.0f} draws, so fit without the row to be sure"
    return Finding("influence", name, "change when the row is left out, in posterior sd", change, said, bad)


def _shown(fit: Fit, column: str, row: int) -> str:
    value = fit.data.frame[column].iloc[row]
    return "missing" if pd.isna(value) else f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)
