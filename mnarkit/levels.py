"""Columns with levels: what is known of them, and whether other rows keep to it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError

__all__ = ["Coding", "check_levels", "check_seen", "code_levels", "is_text", "listed_levels", "text_levels"]


@dataclass(frozen=True, slots=True)
class Coding:
    """The levels of a column, in order, and whether they are numbers."""

    column: str
    levels: tuple[Any, ...]
    numeric: bool


def is_text(series: pd.Series) -> bool:
    """Tell whether a column has levels of its own: text, or categorical."""
    if isinstance(series.dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return True
    return pd.api.types.infer_dtype(series, skipna=True) == "string"


def text_levels(series: pd.Series) -> tuple[Any, ...]:
    """List the levels that occur: in a categorical's own order, else sorted."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return tuple(series.cat.remove_unused_categories().cat.categories.tolist())
    return tuple(sorted(series.dropna().unique().tolist()))


def code_levels(column: str, data: IncompleteData) -> Coding:
    """Keep the levels of a column that is text, or numbers taken as levels."""
    if is_text(data.frame[column]):
        return Coding(column, text_levels(data.frame[column]), numeric=False)
    return Coding(column, tuple(np.unique(data.number(column)).tolist()), numeric=True)


def check_seen(column: str, data: IncompleteData) -> None:
    """Refuse a predictor with holes.

    Raises
    ------
    DataError
        Names the column and counts its holes.
    """
    holes = int((~data.seen(column)).sum())
    if holes:
        fix = f"leave {column!r} out, drop those rows, or model it too"
        raise DataError(f"{column!r} has {holes} holes; predictors must be fully seen: {fix}")


def check_levels(coding: Coding, data: IncompleteData) -> None:
    """Refuse rows whose level was not there when the levels were kept.

    Raises
    ------
    DataError
        Names the column, the level, the rows with it and the levels known.
    """
    values = pd.Series(data.number(coding.column)) if coding.numeric else data.frame[coding.column]
    unknown = values[~values.isin(coding.levels)]
    if len(unknown):
        level = unknown.tolist()[0]
        count = unknown.tolist().count(level)
        raise DataError(
            f"{coding.column!r} is {level!r} in {count} rows; the levels known are {listed_levels(coding.levels)}; "
            "recode those rows, or build the design from rows that have every level"
        )


def listed_levels(levels: tuple[Any, ...]) -> str:
    """List levels as an error shows them, a dozen at most."""
    rest = len(levels) - 12
    return ", ".join(map(repr, levels[:12])) + (f" and {rest} more" if rest > 0 else "")
