"""A column of any type as numbers: what the tables of `explore` are computed from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData, check_magnitude
from mnarkit.errors import DataError
from mnarkit.explore.times import dates_in_days, durations_in_days, said_date

__all__ = ["Column", "apart", "read_columns", "said", "said_apart"]

_NUMBERS = {"floating", "integer", "mixed-integer-float", "decimal"}
_DATES = {"date", "datetime", "datetime64"}


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: where it is recorded, and its values as numbers.

    Attributes
    ----------
    name : str
        Its name.
    kind : {"number", "truth", "date", "category", "other"}
        Truth values are 0 and 1; a duration is the number of its days, a date that of the days since 1970; a category
        (text too) is the position of its level; other things have no values.
    seen : (n,) bool array
        Where it is recorded.
    values : (n,) float array
        NaN where missing.
    levels : sequence
        The levels of a category.
    ordered : bool
        Whether the values have an order.
    """

    name: str
    kind: str
    seen: np.ndarray
    values: np.ndarray
    levels: Sequence[Any] | np.ndarray = ()
    ordered: bool = True

    @property
    def is_number(self) -> bool:
        """Whether a mean of it says something without a calendar: a number, or a truth value."""
        return self.kind in ("number", "truth")

    @property
    def n_missing(self) -> int:
        """The number of holes."""
        return len(self.seen) - int(self.seen.sum())


def said(column: Column, value: float, *, exact: bool = False) -> str:
    """Write a value of the column as a reader knows it: a number in four digits, a day, a level; or exactly."""
    if column.kind == "category":
        level = column.levels[round(value)]
        return repr(level) if exact else str(level)
    if column.kind == "date":
        return said_date(value, exact=exact)
    if column.kind == "truth":
        return str(bool(value))
    value += 0.0  # not -0
    if exact:
        return repr(float(value))
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"


def said_apart(column: Column, values: Sequence[float], taken: Sequence[str] = ()) -> list[str]:
    """Write different values so that no two read the same, and none as what is taken: exactly where it needs that."""
    return apart([said(column, v) for v in values], [said(column, v, exact=True) for v in values], taken)


def apart(short: Sequence[str], exact: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Take exact texts where short ones coincide, and a number after those that still do."""
    often = Counter([*short, *taken])
    made = [e if often[s] > 1 else s for s, e in zip(short, exact, strict=True)]
    used: set[str] = set(taken)
    out = []
    for text in made:
        numbered = chain([text], (f"{text} ({k})" for k in count(2)))
        out.append(next(t for t in numbered if t not in used))
        used.add(out[-1])
    return out


def read_columns(data: IncompleteData) -> tuple[Column, ...]:
    """Read every column of a table.

    Raises
    ------
    DataError
        Infinite values, or magnitudes beyond 1e±75.
    """
    return tuple(_read(name, data.frame[name]) for name in data.columns)


def _read(name: str, series: pd.Series) -> Column:
    if pd.api.types.is_object_dtype(series.dtype):
        held = pd.api.types.infer_dtype(series, skipna=True)
        if held == "timedelta":
            return _in_days(name, "number", durations_in_days(series))
        if held in _DATES:
            return _in_days(name, "date", dates_in_days(name, series))
        series = _inferred(name, held, series)
    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        codes = series.cat.codes.to_numpy(dtype=float)
        levels = tuple(kind.categories)
        return Column(name, "category", codes >= 0, np.where(codes >= 0, codes, np.nan), levels, bool(kind.ordered))
    if pd.api.types.is_bool_dtype(kind):
        return _numbers(name, "truth", series)
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return _numbers(name, "number", series)
    is_arrow = isinstance(kind, pd.ArrowDtype)
    if pd.api.types.is_timedelta64_dtype(kind) or (is_arrow and str(kind).startswith("duration")):
        return _in_days(name, "number", durations_in_days(series))
    dated = pd.api.types.is_datetime64_any_dtype(kind) or isinstance(kind, pd.PeriodDtype)
    if dated or (is_arrow and str(kind).startswith("date")):
        return _in_days(name, "date", dates_in_days(name, series))
    return _category(name, series)


def _inferred(name: str, held: str, series: pd.Series) -> pd.Series:
    """Give objects the type they all have: arrow and polars hand over truth values with holes as objects."""
    if held == "boolean":
        return series.astype("boolean")
    if held not in _NUMBERS:
        return series
    try:
        return pd.to_numeric(series.where(series.notna(), np.nan)).astype(float)
    except OverflowError as error:
        raise DataError(
            f"{name!r} has whole numbers beyond 1.8e308, the largest of double precision; rescale it"
        ) from error


def _numbers(name: str, kind: str, series: pd.Series) -> Column:
    plain = isinstance(series.dtype, np.dtype) and series.dtype == np.float64
    values = series.to_numpy() if plain else series.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise DataError(f"{name!r} has {infinite} infinite values; make them missing or finite")
    check_magnitude(name, values)
    return Column(name, kind, ~np.isnan(values), values)


def _in_days(name: str, kind: str, days: np.ndarray) -> Column:
    return Column(name, kind, ~np.isnan(days), days)


def _category(name: str, series: pd.Series) -> Column:
    seen = series.notna().to_numpy(dtype=bool)
    try:
        codes, levels = pd.factorize(series)
    except (TypeError, NotImplementedError):  # lists and the like have no levels
        return Column(name, "other", seen, np.full(len(series), np.nan), ordered=False)
    return Column(
        name, "category", seen, np.where(seen, codes, np.nan), np.asarray(levels, dtype=object), ordered=False
    )
