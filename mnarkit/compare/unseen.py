"""What each belief says of the unseen values: their mean, its distance from MAR, and the distributions."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.compare.entry import Entry
from mnarkit.em import EMFit, em
from mnarkit.errors import MnarkitError, MnarkitWarning
from mnarkit.fit import Fit
from mnarkit.impute import Imputations
from mnarkit.spec.events import fitted_table

__all__ = ["Groups", "MARMeans", "distributions_of", "mar_means", "means_of_draws", "unseen_of"]

_QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Rows by segment: the labels, and the segment of each row, (n,)."""

    labels: tuple[str, ...]
    which: np.ndarray

    def mean(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Means by group of values that belong to some rows, (r,); NaN where a group has none."""
        count = np.bincount(self.which[rows], minlength=len(self.labels))
        with np.errstate(invalid="ignore"):
            return np.bincount(self.which[rows], values, len(self.labels)) / np.where(count, count, np.nan)

    def count(self, rows: np.ndarray) -> np.ndarray:
        """How many of some rows each group has."""
        return np.bincount(self.which[rows], minlength=len(self.labels))


@dataclass(frozen=True, slots=True, eq=False)
class MARMeans:
    """E[y | seen] under MAR and the residual sd, by column: at the likelihood's maximum, or over posterior draws."""

    expected: dict[str, np.ndarray]
    residual_sd: dict[str, float]


def mar_means(one: Entry) -> MARMeans | None:
    """Fit the MAR counterpart of a belief by EM; None where there is no EM for its data model."""
    spec = one.spec.mar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MnarkitWarning)
            fit = em(spec, fitted_table(one.spec, one.data), progress=False)
            filled = fit.expected()
    except MnarkitError:
        return None
    sd = np.sqrt(np.diagonal(fit.cov, axis1=-2, axis2=-1))
    sd = sd if sd.ndim == 1 else np.sqrt(np.mean(sd**2, axis=0))  # over the levels that have a covariance each
    return MARMeans(
        {c: filled[c].to_numpy(dtype=float) for c in fit.columns}, dict(zip(fit.columns, map(float, sd), strict=True))
    )


def means_of_draws(one: Entry, imputations: Imputations) -> MARMeans:
    """Average the imputations of a MAR fit, and its draws of the residual sd of columns that have one."""
    expected = {}
    for column, cells in imputations.cells.items():
        if _is_number(one, column):
            expected[column] = np.full(one.data.n, np.nan)
            expected[column][~one.data.seen(column)] = np.asarray(cells, dtype=float).mean(axis=0)
    assert isinstance(one.fit, Fit)
    draws = one.fit.draws["posterior"].to_dataset()
    sd = {c: float(draws[f"sd_{c}"].mean()) for c in expected if f"sd_{c}" in draws}
    if "sd" in draws:
        sd |= {c: float(draws["sd"].sel(column_name=c).mean()) for c in expected}
    return MARMeans(expected, sd)


def unseen_of(one: Entry, imputations: Imputations | None, groups: Groups, mar: MARMeans | None) -> pd.DataFrame:
    """Means of the unseen values by column and group, and their distance from MAR in residual sd."""
    parts = []
    for column, cells in _cells(one, imputations).items():
        holes = np.flatnonzero(~one.data.seen(column))
        if not len(holes) or not _is_number(one, column):
            continue
        recorded = np.flatnonzero(one.data.seen(column))
        each = np.stack([groups.mean(values, holes) for values in cells])
        under_mar = mar.expected.get(column) if mar else None
        baseline = np.full(len(groups.labels), np.nan) if under_mar is None else groups.mean(under_mar[holes], holes)
        mean, sd = each.mean(axis=0), mar.residual_sd.get(column, np.nan) if mar else np.nan
        spread = each.std(axis=0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.zeros(len(mean))
        parts.append(
            pd.DataFrame(
                {
                    "assumption": one.name,
                    "column": column,
                    "group": groups.labels,
                    "holes": groups.count(holes),
                    "recorded_mean": groups.mean(one.data.number(column)[recorded], recorded),
                    "unseen_mean": mean,
                    "mc_error": spread,
                    "mar_mean": baseline,
                    "shift": mean - baseline,
                    "shift_sd": (mean - baseline) / sd,
                }
            )
        )
    made = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return made[made["holes"] > 0].reset_index(drop=True) if len(made) else made


def distributions_of(one: Entry, imputations: Imputations | None) -> pd.DataFrame:
    """Mean, sd and quantiles of the recorded, the imputed and the completed values, averaged over imputations.

    Conditional means are no distribution: an `EMFit` has the recorded values alone.
    """
    parts = []
    for column in one.spec.model.columns:
        seen = one.data.seen(column)
        if seen.all() or not _is_number(one, column):
            continue
        values = one.data.number(column)
        parts.append(_row(one.name, column, "recorded", [values[seen]]))
        if imputations is not None:
            cells = list(imputations.cells[column])
            parts.append(_row(one.name, column, "imputed", cells))
            parts.append(_row(one.name, column, "completed", [np.concatenate([values[seen], c]) for c in cells]))
    return pd.DataFrame(parts)


def _row(name: str, column: str, what: str, tables: list[np.ndarray]) -> dict[str, object]:
    numbers = {
        "mean": np.mean([t.mean() for t in tables]),
        "sd": np.mean([t.std(ddof=1) for t in tables if len(t) > 1]),
    }
    quantiles = np.mean([np.quantile(t, list(_QUANTILES.values())) for t in tables], axis=0)
    return (
        {"assumption": name, "column": column, "values": what, "n": len(tables[0])}
        | numbers
        | dict(zip(_QUANTILES, quantiles, strict=True))
    )


def _is_number(one: Entry, column: str) -> bool:
    """Whether a mean of the column says something; levels have none."""
    kind = one.data.frame[column].dtype
    return pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)


def _cells(one: Entry, imputations: Imputations | None) -> dict[str, np.ndarray]:
    """Values for the holes of each modelled column, (m, holes); the expectations of an `EMFit` as one."""
    if imputations is not None:
        return dict(imputations.cells)
    assert isinstance(one.fit, EMFit)
    filled = one.fit.expected()
    return {c: filled[c].to_numpy(dtype=float)[~one.data.seen(c)][None, :] for c in one.fit.columns}
