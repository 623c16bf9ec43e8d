"""A table with holes: taken in once, copied, checked, and read column by column."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.errors import DataError, SpecError

__all__ = ["LARGEST", "IncompleteData", "check_magnitude"]

LARGEST = 1e75  # its fourth power, the variance of a variance, and that of 1 / 1e75 are still numbers
_SHOWN = 12  # as many names as an error lists


@dataclass(frozen=True, slots=True, eq=False)
class IncompleteData:
    """A table whose cells are recorded or missing; a cell is missing if it is null or NaN.

    Build it with `IncompleteData.of(table)`, which copies and checks.

    Attributes
    ----------
    frame : DataFrame, shape (n, p)
        A private copy of the table, with its own dtypes and index.

    Examples
    --------
    >>> import pandas as pd
    >>> from mnarkit.data import IncompleteData
    >>> data = IncompleteData.of(pd.DataFrame({"age": [31, 45, 28], "income": [2.5, None, 1.5]}))
    >>> data.n, data.columns
    (3, ('age', 'income'))
    >>> data.seen("income")
    array([ True, False,  True])
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, table: Any) -> "IncompleteData":
        """Copy and check a table.

        Parameters
        ----------
        table : DataFrame, IncompleteData, or anything with `to_pandas()`
            A pandas, polars or arrow table.

        Raises
        ------
        DataError
            Not a table, no rows or columns, or column names that are not text or occur twice.
        """
        if isinstance(table, cls):
            return table
        if not isinstance(table, pd.DataFrame) and callable(getattr(table, "to_pandas", None)):
            table = table.to_pandas()
        if not isinstance(table, pd.DataFrame):
            raise DataError(f"the data are of type {type(table).__name__}; pass a pandas, polars or arrow table")
        _check_shape_and_names(table)
        return cls(table.copy(deep=False))  # pandas copies on write: changing the one does not reach the other

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.frame)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.frame.columns)

    def number(self, name: str) -> np.ndarray:
        """One column as float64, shape (n,), NaN where missing; truth values are 0 and 1.

        Raises
        ------
        DataError
            Unknown column, not numeric, infinite values, magnitudes beyond 1e±75, or nothing recorded.
        """
        values = _floats(self.require_numeric(name))
        infinite = int(np.isinf(values).sum())
        if infinite:
            raise DataError(f"{name!r} has {infinite} infinite values; make them missing or finite")
        if np.isnan(values).all():
            raise DataError(f"{name!r} has no recorded value in {self.n} rows; drop the column")
        check_magnitude(name, values)
        return values

    def require_numeric(self, name: str) -> pd.Series:
        """Return the column if it holds numbers or truth values.

        Raises
        ------
        DataError
            Unknown column, or not numeric.
        """
        series = self._series(name)
        if not _is_numeric(series):
            raise DataError(_not_numeric(name, series))
        return series

    def seen(self, name: str) -> np.ndarray:
        """Where a column is recorded: bool, shape (n,).

        Raises
        ------
        DataError
            Unknown column.
        """
        series = self._series(name)
        return ~np.isnan(_floats(series)) if _is_numeric(series) else series.notna().to_numpy(dtype=bool)

    def require(self, names: Iterable[str], what: str = "the spec") -> None:
        """Check that the columns named by `what` exist.

        Raises
        ------
        SpecError
            A name that is not a column; the message lists the columns and the nearest one.
        """
        for name in names:
            if name not in self.frame.columns:
                raise SpecError(_unknown(name, self.columns, what))

    def fingerprint(self) -> str:
        """SHA-256 over column names, dtypes, index and values; the same in every process."""
        digest = hashlib.sha256()
        index = self.frame.index
        digest.update(json.dumps([self.n, [str(name) for name in index.names]]).encode())
        digest.update(pd.util.hash_pandas_object(index, categorize=False).to_numpy().tobytes())
        for name, series in self.frame.items():
            kind = series.dtype
            levels = [kind.ordered, *map(repr, kind.categories)] if isinstance(kind, pd.CategoricalDtype) else []
            digest.update(json.dumps([name, str(kind), levels]).encode())
            told = series
            if pd.api.types.is_object_dtype(kind):  # every object has a repr, not every one a hash; a hole is a hole
                told = series.where(series.notna(), None).map(repr)
            hashes = pd.util.hash_pandas_object(told, index=False, categorize=False)
            digest.update(hashes.to_numpy().tobytes())
        return digest.hexdigest()

    def _series(self, name: str) -> pd.Series:
        if name not in self.frame.columns:
            raise DataError(_unknown(name, self.columns, "the call"))
        return self.frame[name]


def check_magnitude(name: str, values: np.ndarray) -> None:
    """Refuse numbers (n,), NaN where missing, whose squares and fourth powers overflow, or vanish.

    Raises
    ------
    DataError
        Names the column and the magnitude.
    """
    low, high = (f(values, initial=e, where=~np.isnan(values)) for f, e in ((np.min, np.inf), (np.max, -np.inf)))
    if low > high:
        return
    most, spread = max(abs(low), abs(high)), high / 2 - low / 2
    if most > LARGEST:
        raise DataError(f"{name!r} has values up to {most:.1e}; rescale it, to below {LARGEST:g} in size")
    if 0 < spread < 1 / LARGEST:
        raise DataError(f"{name!r} varies by {2 * spread:.1e} alone; rescale it, to above {1 / LARGEST:g}")


def _check_shape_and_names(table: pd.DataFrame) -> None:
    rows, columns = table.shape
    if not rows or not columns:
        raise DataError(f"the table has {rows} rows and {columns} columns; at least one of each is needed")
    odd = [name for name in table.columns if not isinstance(name, str)]
    if odd:
        raise DataError(
            f"{len(odd)} column names are not text, the first is {odd[0]!r}; use table.rename(columns=str) "
            "or name the columns"
        )
    twice = [f"{name!r} ({count} times)" for name, count in Counter(table.columns).items() if count > 1]
    if twice:
        raise DataError(f"column names occur more than once: {_listed(twice)}; rename or drop the doubles")


def _is_numeric(series: pd.Series) -> bool:
    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_complex_dtype(kind):
        return False
    return pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)


def _floats(series: pd.Series) -> np.ndarray:
    return np.array(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _not_numeric(name: str, series: pd.Series) -> str:
    recorded = series.dropna()
    if not len(recorded):
        return f"{name!r} has 0 recorded values in {len(series)} rows; drop the column"
    wrong = [value for value in recorded if not _reads_as_number(value)]
    example = _short(wrong[0] if wrong else recorded.iloc[0])
    said = f"{name!r} is not numeric: dtype {series.dtype}, {len(recorded)} recorded values, such as {example}"
    if isinstance(series.dtype, pd.CategoricalDtype):
        return f"{said}; code it as 0/1 columns, or as numbers if its levels are ordered"
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or pd.api.types.is_timedelta64_dtype(series.dtype):
        return f"{said}; turn it into a number first, such as days since a start"
    first = f", once the {len(wrong)} values that are not numbers are recoded, or missing" if wrong else ""
    return f"{said}; convert it with pd.to_numeric(table[{name!r}]){first}"


def _reads_as_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _unknown(name: object, columns: tuple[str, ...], what: str) -> str:
    lower = {column.lower(): column for column in reversed(columns)}
    near = get_close_matches(name, columns, n=1) if isinstance(name, str) else []
    near = near or [lower[n] for n in get_close_matches(str(name).lower(), lower, n=1)]
    hint = f" — did you mean {near[0]!r}?" if near else ""
    return f"{what} names {name!r}; the columns are {_listed([repr(column) for column in columns])}{hint}"


def _listed(shown: list[str]) -> str:
    rest = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
