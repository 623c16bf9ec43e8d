"""A column of any type as numbers: what the tables of `explore` are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError

__all__ = ["Column", "read_columns", "said"]

_EPOCH = pd.Timestamp(0)
_DAY = pd.Timedelta(days=1)
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


def said(column: Column, value: float) -> str:
    """Write a value of the column as a reader knows it: a number in four digits, a day, a level."""
    if column.kind == "category":
        return str(column.levels[round(value)])
    if column.kind == "date":
        return str((_EPOCH + value * _DAY).date())
    if column.kind == "truth":
        return str(bool(value))
    value += 0.0  # not -0
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"


def read_columns(data: IncompleteData) -> tuple[Column, ...]:
    """Read every column of a table.

    Raises
    ------
    DataError
        Infinite values.
    """
    return tuple(_read(name, data.frame[name]) for name in data.columns)


def _read(name: str, series: pd.Series) -> Column:
    if pd.api.types.is_object_dtype(series.dtype):
        series = _inferred(series)
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
        return _duration(name, series)
    if pd.api.types.is_datetime64_any_dtype(kind) or isinstance(kind, pd.PeriodDtype):
        return _date(name, series)
    return _date(name, series) if is_arrow and str(kind).startswith("date") else _category(name, series)


def _inferred(series: pd.Series) -> pd.Series:
    """Give objects the type they all have: arrow and polars hand over truth values with holes, and days, as objects."""
    held = pd.api.types.infer_dtype(series, skipna=True)
    if held == "boolean":
        return series.astype("boolean")
    if held in _NUMBERS:
        return pd.to_numeric(series.where(series.notna(), np.nan))
    if held == "timedelta":
        return pd.to_timedelta(series)
    return pd.to_datetime(series) if held in _DATES else series


def _numbers(name: str, kind: str, series: pd.Series) -> Column:
    plain = isinstance(series.dtype, np.dtype) and series.dtype == np.float64
    values = series.to_numpy() if plain else series.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise DataError(f"{name!r} has {infinite} infinite values; make them missing or finite")
    return Column(name, kind, ~np.isnan(values), values)


def _duration(name: str, series: pd.Series) -> Column:
    days = (series.astype("timedelta64[us]") / _DAY).to_numpy(dtype=float)
    return Column(name, "number", ~np.isnan(days), days)


def _date(name: str, series: pd.Series) -> Column:
    """Give the days since 1970, in UTC where there is a time zone."""
    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
    elif isinstance(series.dtype, pd.ArrowDtype):
        series = series.astype("timestamp[us][pyarrow]").astype("datetime64[us]")
    elif isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)
    days = ((series - _EPOCH) / _DAY).to_numpy(dtype=float)
    return Column(name, "date", ~np.isnan(days), days)


def _category(name: str, series: pd.Series) -> Column:
    seen = series.notna().to_numpy(dtype=bool)
    try:
        codes, levels = pd.factorize(series)
    except (TypeError, NotImplementedError):  # lists and the like have no levels
        return Column(name, "other", seen, np.full(len(series), np.nan), ordered=False)
    return Column(
        name, "category", seen, np.where(seen, codes, np.nan), np.asarray(levels, dtype=object), ordered=False
    )
