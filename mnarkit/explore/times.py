"""Dates and durations of every kind as days: of any year, which nanoseconds since 1970 are not."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.errors import DataError

__all__ = ["dates_in_days", "durations_in_days", "said_date"]

_EPOCH = dt.date(1970, 1, 1).toordinal()
_SECONDS = 86_400.0
_PER_DAY = {"D": 1.0, "s": _SECONDS, "ms": _SECONDS * 1e3, "us": _SECONDS * 1e6, "ns": _SECONDS * 1e9}
_WIDE = (ValueError, OverflowError)  # of pandas' kinds of out of bounds too


def dates_in_days(name: str, series: pd.Series) -> np.ndarray:
    """Days since 1970, in UTC where there is a time zone, (n,) float, NaN where missing.

    Raises
    ------
    DataError
        Some times have a time zone and others none.
    """
    if isinstance(series.dtype, pd.PeriodDtype):
        return _of_periods(series)
    if isinstance(series.dtype, pd.ArrowDtype):
        series = series.astype("timestamp[us][pyarrow]").astype("datetime64[us]")
    elif isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)
    elif pd.api.types.is_object_dtype(series.dtype):
        try:
            series = pd.to_datetime(series)
        except _WIDE:
            return _of_objects(name, series)
        return dates_in_days(name, series)
    return _counted(series)


def durations_in_days(series: pd.Series) -> np.ndarray:
    """Days, (n,) float, NaN where missing."""
    if isinstance(series.dtype, pd.ArrowDtype):
        series = series.astype("timedelta64[us]")
    if pd.api.types.is_object_dtype(series.dtype):
        try:
            return _counted(pd.to_timedelta(series))
        except _WIDE:
            return np.array([np.nan if pd.isna(v) else _duration(v) for v in series], dtype=float)
    return _counted(series)


def said_date(days: float, *, exact: bool = False) -> str:
    """Write a day as 2000-05-01; with `exact`, its time too."""
    whole = int(np.floor(days))
    day = str(np.datetime64(whole, "D"))
    if not exact:
        return day
    time = dt.datetime.min + dt.timedelta(days=days - whole)
    return f"{day} {time.time().isoformat()}"


def _duration(value: Any) -> float:
    return float(value / (np.timedelta64(1, "D") if isinstance(value, np.timedelta64) else dt.timedelta(days=1)))


def _counted(series: pd.Series) -> np.ndarray:
    """Divide the whole numbers behind datetime64 or timedelta64 by what a day has of them."""
    held = series.to_numpy()
    unit = np.datetime_data(held.dtype)[0]
    return np.where(np.isnat(held), np.nan, held.view("int64") / _PER_DAY[unit])


def _of_periods(series: pd.Series) -> np.ndarray:
    try:
        return _counted(series.dt.to_timestamp())
    except _WIDE:
        days = series.dt.asfreq("D", "start")
        return np.where(series.isna(), np.nan, np.asarray(days.array.asi8, dtype=float))  # type: ignore[attr-defined]


def _of_objects(name: str, series: pd.Series) -> np.ndarray:
    held = [None if pd.isna(v) else v for v in series]
    aware = sum(getattr(v, "tzinfo", None) is not None for v in held)
    naive = sum(v is not None for v in held) - aware
    if aware and naive:
        raise DataError(
            f"{name!r} has {aware} times with a time zone and {naive} without; give all of them one, or none"
        )
    return np.array([np.nan if v is None else _days(v) for v in held], dtype=float)


def _days(value: Any) -> float:
    if isinstance(value, np.datetime64):
        return float(value.astype("datetime64[us]").astype(np.int64)) / _PER_DAY["us"]
    days = float(value.toordinal() - _EPOCH)
    if isinstance(value, dt.datetime):
        days += (value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6) / _SECONDS
        days -= (value.utcoffset() or dt.timedelta()) / dt.timedelta(days=1)
    return days
