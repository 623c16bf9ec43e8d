"""Modelled columns as numbers: values inside the support of their family, or the codes of their levels."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.families import FAMILIES, Family
from mnarkit.levels import is_text, listed_levels, text_levels
from mnarkit.spec.regressions import Regression

__all__ = ["Coded", "code", "filled"]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A modelled column as numbers.

    Attributes
    ----------
    values : (n,) array
        Numbers, or codes 0, 1, … of the levels; NaN where unseen.
    levels : tuple or None
        What the codes stand for; None for numbers.
    bounds : (low, high)
        Where its values lie; infinite where nothing bounds them.
    """

    column: str
    family: Family
    values: np.ndarray
    levels: tuple[Any, ...] | None
    bounds: tuple[float, float]

    @property
    def seen(self) -> np.ndarray:
        """Which cells are recorded, (n,)."""
        return ~np.isnan(self.values)

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Turn numbers or codes into values of the column."""
        if self.levels is None:
            return numbers.astype(np.int64) if self.family.support == "counts" else numbers
        held = np.array(self.levels, dtype=object)[numbers.astype(np.int64)]
        kinds = {type(level) for level in self.levels}
        return held.astype(bool if kinds == {bool} else np.float64) if str not in kinds else held


def code(regression: Regression, data: IncompleteData, like: Coded | None = None) -> Coded:
    """Read the response of a regression and check that its values lie in the support of its family.

    Parameters
    ----------
    regression : Regression
        Of that column.
    data : IncompleteData
        The table.
    like : Coded, optional
        The column in the table of the fit, whose levels and bounds hold.

    Raises
    ------
    DataError
        Values outside of the support, with their count; levels that are not as the family takes them.
    """
    column, family = regression.columns[0], FAMILIES[regression.family]
    if family.support in ("binary", "levels"):
        known = like.levels if like is not None and like.levels else _levels(column, family, data)
        return Coded(column, family, _codes(column, known, data), known, (0.0, float(len(known) - 1)))
    bounds = regression.bounds or _BOUNDS.get(family.support, (-np.inf, np.inf))
    empty = like is not None and not data.seen(column).any()
    values = np.full(data.n, np.nan) if empty else data.number(column)
    _check_support(column, family, values[~np.isnan(values)], bounds)
    if family.support == "counts" and regression.bounds is None:
        bounds = (0.0, 2 * float(np.nanmax(values)) + 10)
    return Coded(column, family, values, None, bounds if like is None else like.bounds)


_BOUNDS = {"positive": (0.0, np.inf), "interval": (0.0, 1.0), "counts": (0.0, np.inf)}


def _check_support(column: str, family: Family, values: np.ndarray, bounds: tuple[float, float]) -> None:
    low, high = bounds
    match family.support:
        case "positive" if np.any(values <= 0):
            wrong, fix = (
                int(np.sum(values <= 0)),
                "values above 0; model whether it is above 0 apart, or add a constant",
            )
        case "interval" if np.any((values <= low) | (values >= high)):
            wrong = int(np.sum((values <= low) | (values >= high)))
            fix = f"values inside ({low:g}, {high:g}); widen them with bounds=(low, high)"
        case "counts" if np.any(values < 0):
            n = int(np.sum(values < 0))
            raise DataError(f"{column!r} has {n} negative counts; {family.name} takes 0, 1, 2, …: correct them")
        case "counts" if np.any(values != np.round(values)):
            wrong, fix = int(np.sum(values != np.round(values))), "whole numbers; round them, or take family='gamma'"
        case _:
            return
    raise DataError(f"{column!r} has {wrong} recorded values that {family.name} cannot have; it takes {fix}")


def _levels(column: str, family: Family, data: IncompleteData) -> tuple[Any, ...]:
    series = data.frame[column]
    recorded = series.dropna()
    if isinstance(series.dtype, pd.CategoricalDtype):
        never = [c for c in series.cat.categories if not (recorded == c).any()]
        if never:
            raise DataError(
                f"{column!r} declares the level {never[0]!r}, recorded in 0 rows: nothing is known of it; drop it with "
                f"table[{column!r}].cat.remove_unused_categories()"
            )
    if is_text(series):
        found = text_levels(series)
        ordered = isinstance(series.dtype, pd.CategoricalDtype) and series.dtype.ordered
        if family.name == "ordinal" and not ordered and len(found) > 2:
            raise DataError(
                f"{column!r} is text without an order ({listed_levels(found)}); make it an ordered categorical, "
                "or numbers"
            )
    elif _truths(recorded):
        found = (False, True)
    else:
        found = tuple(np.unique(data.number(column)[data.seen(column)]).tolist())
    return _checked_levels(column, family, found, len(recorded))


def _checked_levels(column: str, family: Family, levels: tuple[Any, ...], recorded: int) -> tuple[Any, ...]:
    found: Any = levels
    if family.support == "binary" and not set(found) <= {0, 1} and (len(found) > 2 or not isinstance(found[0], str)):
        raise DataError(
            f"{column!r} has the values {listed_levels(found)}; bernoulli takes 0 and 1, true and false, or text with "
            "two levels; recode it, or take family='categorical'"
        )
    if family.support == "binary" and set(found) <= {0, 1} and not isinstance(found[0], bool):
        found = (0.0, 1.0) if len(found) > 1 else found
    if len(found) < 2:
        raise DataError(f"{column!r} is constant: all {recorded} recorded values are {found[0]!r}; leave it out")
    if len(found) > 50:
        raise DataError(f"{column!r} has {len(found)} levels; {family.name} takes at most 50: merge levels")
    return found


def _codes(column: str, levels: tuple[Any, ...], data: IncompleteData) -> np.ndarray:
    seen, series = data.seen(column), data.frame[column]
    codes = np.full(data.n, np.nan)
    place = {level: float(k) for k, level in enumerate(levels)}
    held = series[seen].tolist()
    unknown = [v for v in held if v not in place]
    if unknown:
        raise DataError(
            f"{column!r} is {unknown[0]!r} in {held.count(unknown[0])} rows; the levels known are "
            f"{listed_levels(levels)}"
        )
    codes[seen] = [place[v] for v in held]
    return codes


def _truths(recorded: pd.Series) -> bool:
    return pd.api.types.is_bool_dtype(recorded.dtype) or (
        recorded.dtype == object and all(isinstance(v, (bool, np.bool_)) for v in recorded)
    )


def filled(
    frame: pd.DataFrame, coded: tuple[Coded, ...], numbers: dict[str, np.ndarray], keep: Collection[str] = ()
) -> IncompleteData:
    """Put numbers or codes in place of the modelled columns of a table, but those to `keep`, as formulas read them."""
    made = frame.copy()
    for one in (c for c in coded if c.column not in keep):
        values = one.decode(numbers[one.column])
        if one.levels is not None and isinstance(one.levels[0], str):
            values = pd.Categorical(values, categories=list(one.levels))
        made[one.column] = values
    return IncompleteData.of(made)
