"""The recorded values of every column as numeric features: a number as it is, a category as its commonest levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnarkit.explore.columns import Column, said_apart

__all__ = ["Feature", "features_of", "matrix"]

_LEVELS = 10  # of one category
_ROWS = 5  # that a level needs on each side


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """A numeric view of one column: its values, or whether it has a level.

    Attributes
    ----------
    column : Column
        The column.
    code, level : int or None, str or None
        The level, for a category, and how it is written.
    """

    column: Column
    code: int | None = None
    level: str | None = None

    @property
    def name(self) -> str:
        """How it is called in a table for readers."""
        return self.column.name if self.code is None else f"{self.column.name} = {self.level}"

    def at(self, rows: np.ndarray | slice) -> np.ndarray:
        """Its values in these rows, NaN where the column is missing."""
        values = self.column.values[rows]
        return values if self.code is None else np.where(np.isnan(values), np.nan, values == self.code)


def features_of(columns: Sequence[Column]) -> tuple[Feature, ...]:
    """Every feature of the columns: constants, and levels of fewer than five rows, tell nothing."""
    return tuple(feature for column in columns for feature in _features(column))


def _features(column: Column) -> list[Feature]:
    values = column.values[column.seen]
    if column.kind == "other" or not len(values) or values.min() == values.max():
        return []
    if column.kind != "category":
        return [Feature(column)]
    count = np.bincount(values.astype(np.int64), minlength=len(column.levels))
    common = np.argsort(-count, kind="stable")
    if len(common[count[common] > 0]) == 2:
        common = common[1:2]  # the other level says the same
    kept = [int(c) for c in common[:_LEVELS] if _ROWS <= count[c] <= len(values) - _ROWS]
    return [Feature(column, c, level) for c, level in zip(kept, said_apart(column, kept), strict=True)]


def matrix(features: Sequence[Feature], rows: np.ndarray | slice) -> np.ndarray:
    """The features in these rows, (len(rows), len(features))."""
    return np.column_stack([feature.at(rows) for feature in features])
