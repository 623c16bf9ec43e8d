"""Segments of rows by the fully seen columns of a table, in the model or not."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from mnarkit.data import IncompleteData
from mnarkit.spec.check import named_columns
from mnarkit.spec.spec import Spec

__all__ = ["Segments", "segments_of"]

_COLUMNS = 12  # those of the spec first, then in the order of the table
_LEVELS = 6  # as many values, or levels, each make a segment of their own
_SMALLEST = 20  # rows


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Rows by segment.

    Attributes
    ----------
    columns, labels : tuple of str
        The column of each segment, and what it is: `x low (below 3.1)`.
    rows : (n, S) array
        1 where a row is in a segment, else 0.
    left_out : int
        Fully seen columns that were not cut into segments, being too many.
    deciding : tuple of str
        Columns outside the spec with a segment in which every row lacks a modelled column: they say that the value is
        missing rather than why, and are not compared.
    """

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    rows: np.ndarray
    left_out: int
    deciding: tuple[str, ...]


def segments_of(spec: Spec, data: IncompleteData) -> Segments:
    """Cut fully seen columns, the spec's first, into thirds, or by their values where they are few."""
    modelled = set(spec.model.columns)
    order = list(dict.fromkeys([*(c for c in named_columns(spec) if c not in modelled), *data.columns]))
    full = [c for c in order if c not in modelled and data.seen(c).all()]
    cut = {c: _cut(c, data.frame[c]) for c in full}
    named = set(named_columns(spec))
    unseen = [~data.seen(c) for c in spec.model.columns]
    deciding = [c for c in full if c not in named and any(u[rows].all() for _, rows in cut[c] for u in unseen)]
    used = _different({c: cut[c] for c in full if len(cut[c]) > 1 and c not in deciding})
    kept = [(c, label, rows) for c in used[:_COLUMNS] for label, rows in cut[c]]
    rows = np.column_stack([np.zeros((data.n, 0)), *(r for _, _, r in kept)]).astype(float)
    labels = tuple(label for _, label, _ in kept)
    return Segments(tuple(c for c, _, _ in kept), labels, rows, max(len(used) - _COLUMNS, 0), tuple(deciding))


def _different(cut: dict[str, list[tuple[str, np.ndarray]]]) -> list[str]:
    """Leave out columns that cut the rows as an earlier one does: x and its square."""
    first: dict[bytes, str] = {}
    for name, segments in cut.items():
        first.setdefault(np.packbits([rows for _, rows in segments]).tobytes(), name)
    return list(first.values())


def _cut(name: str, column: pd.Series) -> list[tuple[str, np.ndarray]]:
    number = is_numeric_dtype(column) and not is_bool_dtype(column)
    counts = column.value_counts()
    if number and len(counts) > _LEVELS:
        made = _thirds(name, column.to_numpy(dtype=float))
    elif len(counts) > len(column) / 2:  # names of rows
        return []
    else:
        made = [(f"{name} = {_say(value)}", (column == value).to_numpy()) for value in counts.index[:_LEVELS]]
    return [(label, rows) for label, rows in made if rows.sum() >= _SMALLEST]


def _thirds(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    if low == high:
        return [(f"{name} up to {low:,.5g}", values <= low), (f"{name} above {low:,.5g}", values > low)]
    return [
        (f"{name} low (up to {low:,.5g})", values <= low),
        (f"{name} middle", (values > low) & (values <= high)),
        (f"{name} high (above {high:,.5g})", values > high),
    ]


def _say(value: object) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
