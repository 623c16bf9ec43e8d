"""Exploration, the noun: what a table says about its holes."""

from dataclasses import dataclass

import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.explore.mcar import LittleTest
from mnarkit.explore.text import summary

__all__ = ["Exploration"]


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """What a table says about its holes, as tables; printing it gives a summary to read.

    Attributes
    ----------
    data : IncompleteData
        The table.
    segment : str or None
        The column of `by=`.
    seed, rows : int, int
        Seed, and how many rows `thresholds` and `heaping` were computed on (all others: every row, but for the fits,
        whose rows `auc` counts, and Little's test, `mcar.n`).
    rates : DataFrame
        A row per column: `column`, `n`, `missing`, `rate`, `low`, `high` (95 % Wilson interval).
    by : DataFrame or None
        The same by segment: `segment`, `column`, `n`, `missing`, `rate`, `low`, `high`.
    patterns : DataFrame
        A row per pattern of holes, the commonest first: `pattern`, `count`, `share`, `n_missing`, `missing` (names).
    seen : DataFrame
        Which columns each pattern has: bool, a row per pattern, a column per column.
    means : DataFrame
        Means of the recorded numbers within each pattern, NaN where unseen.
    monotone : tuple of str or None
        An order of the columns in which whoever misses one misses all later ones; None where there is none.
    dropout : DataFrame or None
        By wave, where the columns with holes in the table's order are waves with dropout: `wave`, `at_risk`, `left`,
        `share`, `hazard`.
    predictors : DataFrame
        A row per column with holes and feature of another column: `column`, `feature`, `predictor`, `level`,
        `n_missing`, `n_recorded` (rows in which the feature is recorded), `mean_missing`, `mean_recorded`, `smd`
        (standardised mean difference) with `smd_low`, `smd_high` (95 %), `correlation` (with the indicator of the
        hole), `coef` (log odds per sd in the ridge fit).
    auc : DataFrame
        A row per column with holes: how well the recorded values of the other columns tell its holes in rows left out:
        `n_missing`, `n_recorded` (rows of the fit), `features`, `auc`, `auc_low`, `auc_high` (95 %), `note`.
    flux : DataFrame
        `column`, `influx`, `outflux` (van Buuren 2018, section 4.1.3).
    thresholds : DataFrame
        A row per column with holes and ordered predictor, the strongest jump first; see `thresholds`.
    heaping : DataFrame
        Piles among recorded values, with `signs` in words.
    mcar : LittleTest
        Little's test.
    """

    data: IncompleteData
    segment: str | None
    seed: int
    rows: int
    rates: pd.DataFrame
    by: pd.DataFrame | None
    patterns: pd.DataFrame
    seen: pd.DataFrame
    means: pd.DataFrame
    monotone: tuple[str, ...] | None
    dropout: pd.DataFrame | None
    predictors: pd.DataFrame
    auc: pd.DataFrame
    flux: pd.DataFrame
    thresholds: pd.DataFrame
    heaping: pd.DataFrame
    mcar: LittleTest

    def __str__(self) -> str:
        return summary(self)

    def __repr__(self) -> str:
        return summary(self)
