"""Read imputations back, or from another program: long, wide, one file each, arrays."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.impute.completed import Completed
from mnarkit.tables import read_file

__all__ = ["read_imputations"]

_WIDE = re.compile(r"(?P<column>.+)\.(?P<k>0|[1-9]\d*)")
_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_FORMS = (
    "a long table with the column {imp!r}, a wide one with columns such as 'y.1' and 'y.2', a folder or list of files "
    "(.csv or .parquet, one an imputation), a list of DataFrames, or an xarray Dataset"
)


def read_imputations(source: Any, *, original: Any = None, imp: str = ".imp", row: str = ".id") -> Completed:
    """Completed tables from what another program, or `Imputations`, has written.

    Parameters
    ----------
    source : path, DataFrame, list of paths or of DataFrames, or xarray.Dataset
        Long, as mice's `complete(imp, "long")` and `Imputations.to_long`: the imputations under one another, told apart
        by a column that counts them from 1, in which 0 is the table with its holes. Wide, as `Imputations.to_wide` and
        mice's "broad": `y.1`, `y.2`, ... for every imputed column, `y.0` the one with its holes. A folder, or files in
        order, `.csv` or `.parquet`: one imputation each. A Dataset as `Imputations.to_xarray`, which takes `original`.
    original : DataFrame, optional
        The table with its holes, where the source does not hold it. Its recorded cells must be in every imputation, and
        its categories are given back to columns that a file has as text.
    imp, row : str
        The columns of a long table with the number of the imputation (SAS: "_Imputation_") and, if it is there, with
        the name of the row, which becomes the index.

    Returns
    -------
    Completed
        For `analyze`. Cells that are still missing are left so.

    Raises
    ------
    DataError
        A form that is not known, a number of an imputation that is left out, imputations that differ in rows or
        columns, or a recorded cell that an imputation has changed.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import pandas as pd
    >>> long = pd.DataFrame({".imp": [0, 0, 1, 1, 2, 2], ".id": [1, 2] * 3, "y": [5.0, None, 5.0, 4.0, 5.0, 6.0]})
    >>> print(mk.read_imputations(long))
    2 imputations of 2 rows, from a long table; holes y (1)
    """
    table = None if original is None else IncompleteData.of(original).frame
    found, told = _tables(source, table, imp, row)
    first = found.pop(0, None)
    table = first if table is None else table
    completed = _in_order(found, told)
    _check_alike(completed, told)
    if table is not None:
        completed = [_as_original(frame, table, k, told) for k, frame in enumerate(completed, start=1)]
    return Completed(tuple(completed), table, told)


def _tables(source: Any, original: pd.DataFrame | None, imp: str, row: str) -> tuple[dict[int, pd.DataFrame], str]:
    """The tables by the number of their imputation, and what they were read from."""
    if isinstance(source, (str, Path)):
        return _from_path(Path(source), original, imp, row)
    if isinstance(source, xr.Dataset):
        return _from_arrays(source, original), "a Dataset"
    if isinstance(source, pd.DataFrame) or callable(getattr(source, "to_pandas", None)):
        return _from_table(IncompleteData.of(source).frame, original, imp, row, "table")
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        parts = list(source)
        if parts and all(isinstance(part, (str, Path)) for part in parts):
            return _from_files([Path(part) for part in parts]), f"{len(parts)} files"
        if parts and all(isinstance(part, pd.DataFrame) for part in parts):
            return {k: IncompleteData.of(part).frame for k, part in enumerate(parts, start=1)}, "DataFrames"
    raise DataError(f"imputations are {_FORMS.format(imp=imp)}, not {type(source).__name__}")


def _from_path(path: Path, original: pd.DataFrame | None, imp: str, row: str) -> tuple[dict[int, pd.DataFrame], str]:
    if not path.exists():
        raise DataError(f"there is no file or folder {str(path)!r}; give the path of the imputations")
    if path.is_dir():
        files = [file for suffix in (".parquet", ".csv") for file in path.glob(f"*{suffix}")]
        if not files:
            raise DataError(f"the folder {str(path)!r} has no .parquet and no .csv file; name the one that has")
        if len({file.suffix for file in files}) > 1:
            raise DataError(
                f"the folder {str(path)!r} has .parquet and .csv files; give a list of those that are meant"
            )
        return _from_files(sorted(files), numbered=True), f"{len(files)} files of {path.name!r}"
    return _from_table(_file(path), original, imp, row, repr(path.name))


def _file(path: Path) -> pd.DataFrame:
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise DataError(f"{str(path)!r} is neither .csv nor .parquet; read it yourself and give the DataFrame")
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}; give the path of the imputations")
    frame: pd.DataFrame = read_file(path, readers[path.suffix], "write it again")
    # R writes its row names as a first column without a name
    return IncompleteData.of(frame.drop(columns="Unnamed: 0", errors="ignore")).frame


def _from_files(files: list[Path], *, numbered: bool = False) -> dict[int, pd.DataFrame]:
    numbers = [_number(file) for file in files] if numbered else [0]
    named = min(numbers) >= 1 and len(set(numbers)) == len(files)  # 'imputation-003.parquet' says which it is
    return {numbers[k] if named else k + 1: _file(file) for k, file in enumerate(files)}


def _number(file: Path) -> int:
    found = _LAST_NUMBER.search(file.stem)
    return int(found[1]) if found else 0


def _from_table(
    frame: pd.DataFrame, original: pd.DataFrame | None, imp: str, row: str, what: str
) -> tuple[dict[int, pd.DataFrame], str]:
    article = "a " if what == "table" else ""
    if imp in frame.columns:
        return _from_long(frame, imp, row), f"{article}long {what}"
    columns = _numbered_columns(frame)
    if not columns:
        raise DataError(f"{what} is not of a form that is known: imputations are {_FORMS.format(imp=imp)}")
    return _from_wide(frame, columns, original), f"{article}wide {what}"


def _numbered_columns(frame: pd.DataFrame) -> dict[str, dict[int, str]]:
    """By column, its names by imputation; 'income.2019' without an 'income.1' is a column like any other."""
    columns: dict[str, dict[int, str]] = {}
    for name in map(str, frame.columns):
        if match := _WIDE.fullmatch(name):
            columns.setdefault(match["column"], {})[int(match["k"])] = name
    return {column: numbers for column, numbers in columns.items() if 1 in numbers}


def _from_long(frame: pd.DataFrame, imp: str, row: str) -> dict[int, pd.DataFrame]:
    numbers = pd.to_numeric(frame[imp], errors="coerce").to_numpy(dtype=float)
    bad = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers == np.round(numbers)))
    if bad.any():
        raise DataError(
            f"{imp!r} counts the imputations from 1, and 0 is the table with its holes; {int(bad.sum())} values are "
            f"neither, such as {str(frame[imp].iloc[int(np.flatnonzero(bad)[0])])!r}"
        )
    parts = {int(k): frame[numbers == k].drop(columns=imp) for k in np.unique(numbers)}
    if row in frame.columns:
        return {k: part.set_index(row).rename_axis(index=None) for k, part in parts.items()}
    return {k: part.reset_index(drop=True) for k, part in parts.items()}


def _from_wide(
    frame: pd.DataFrame, columns: dict[str, dict[int, str]], original: pd.DataFrame | None
) -> dict[int, pd.DataFrame]:
    every = sorted({k for numbers in columns.values() for k in numbers})
    for column, numbers in columns.items():
        lost = sorted(set(range(every[0], every[-1] + 1)) - set(numbers))
        if lost:
            raise DataError(f"'{column}.{lost[0]}' is not there; every imputed column has .{every[0]} to .{every[-1]}")
    shared = frame.drop(columns=[name for numbers in columns.values() for name in numbers.values()])
    tables = {k: shared.assign(**{c: frame[numbers[k]] for c, numbers in columns.items()}) for k in every}
    if original is not None and set(original.columns) == set(tables[1].columns):
        return {k: table[list(original.columns)] for k, table in tables.items()}
    return tables


def _from_arrays(source: xr.Dataset, original: pd.DataFrame | None) -> dict[int, pd.DataFrame]:
    if original is None:
        raise DataError("a Dataset has the modelled columns alone; give the table with its holes as original=")
    sizes = {str(name): size for name, size in source.sizes.items()}
    if set(sizes) != {"imputation", "obs"} or sizes["obs"] != len(original):
        raise DataError(
            f"a Dataset of imputations has the dims imputation and obs, of {len(original)} rows, not {sizes}"
        )
    unknown = [str(name) for name in source.data_vars if name not in original.columns]
    if unknown:
        raise DataError(f"the Dataset has {unknown[0]!r}, which is not a column of original=")
    arrays = {str(name): array.transpose("imputation", "obs").to_numpy() for name, array in source.data_vars.items()}
    return {
        k + 1: original.assign(**{name: _filled(original[name], values[k]) for name, values in arrays.items()})
        for k in range(sizes["imputation"])
    }


def _filled(column: pd.Series, values: np.ndarray) -> pd.Series:
    """Recorded cells as they are, holes from the array; a column without holes keeps its type."""
    if column.notna().all():
        return column
    return column.astype(float).where(column.notna(), pd.Series(values, index=column.index))


def _in_order(found: dict[int, pd.DataFrame], told: str) -> list[pd.DataFrame]:
    if not found:
        raise DataError(f"{told} has no imputation, only the table with its holes; write the completed tables too")
    lost = sorted(set(range(1, max(found) + 1)) - set(found))
    if lost:
        raise DataError(
            f"imputation {lost[0]} of {max(found)} is not in {told} ({len(lost)} left out in all); "
            "number the imputations from 1 without a gap"
        )
    return [found[k] for k in sorted(found)]


def _check_alike(tables: list[pd.DataFrame], told: str) -> None:
    first = tables[0]
    for k, table in enumerate(tables[1:], start=2):
        if list(table.columns) != list(first.columns):
            odd = sorted(set(map(str, table.columns)) ^ set(map(str, first.columns)))
            what = f"{odd[0]!r} is in one of them alone" if odd else "their order differs"
            raise DataError(f"imputation {k} of {told} has other columns than the first: {what}; give all the same")
        if not table.index.equals(first.index):
            raise DataError(
                f"imputation {k} of {told} has {len(table)} rows, and the first {len(first)}, or other rows or another "
                "order; imputations have the same rows"
            )


def _as_original(frame: pd.DataFrame, original: pd.DataFrame, k: int, told: str) -> pd.DataFrame:
    """Categories back, and recorded cells checked."""
    if len(frame) != len(original) or set(frame.columns) != set(original.columns):
        odd = sorted(set(map(str, frame.columns)) ^ set(map(str, original.columns)))
        raise DataError(
            f"imputation {k} of {told} has {len(frame)} rows and the table with holes {len(original)}"
            + (f"; {odd[0]!r} is in one of them alone" if odd else "")
        )
    named = original.index.is_unique and frame.index.is_unique and set(frame.index) == set(original.index)
    frame = frame.loc[original.index] if named else frame.set_axis(original.index)
    frame = frame[list(original.columns)]
    for name in original.columns:
        dtype = original[name].dtype
        if isinstance(dtype, pd.CategoricalDtype) and not isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame = frame.assign(**{name: frame[name].astype(dtype)})
        seen = original[name].notna().to_numpy()
        changed = int((~_same(frame[name], original[name]) & seen).sum())
        if changed:
            raise DataError(
                f"{changed} recorded values of {name!r} are others in imputation {k} of {told}; recorded cells stay "
                "as they are: is it the same table, in the same order?"
            )
    return frame


def _same(left: pd.Series, right: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(left.dtype) and pd.api.types.is_numeric_dtype(right.dtype):
        a, b = (column.to_numpy(dtype=float, na_value=np.nan) for column in (left, right))
        return np.isclose(a, b, rtol=1e-12, atol=0)  # files keep 15 digits or more
    return (left.astype(object) == right.astype(object)).to_numpy(dtype=bool)
