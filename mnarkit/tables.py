"""A table on disk and back without loss: parquet, and the types that parquet forgets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mnarkit.errors import DataError, MnarkitError

__all__ = ["dtypes_of", "read_file", "restored", "write_table"]


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write parquet, or say in one line which column cannot be written."""
    try:
        frame.to_parquet(path)
    except pa.ArrowException as error:
        line = str(error).splitlines()[0]
        raise DataError(
            f"the table cannot be stored as parquet ({line}); convert that column, or leave it out"
        ) from error


def dtypes_of(frame: pd.DataFrame) -> dict[str, Any]:
    """What parquet may forget of the columns' types."""
    return {str(name): _dtype(column) for name, column in frame.items()}


def _dtype(column: pd.Series) -> dict[str, Any]:
    dtype = column.dtype
    if not isinstance(dtype, pd.CategoricalDtype):
        return {"dtype": str(dtype)}
    levels = dtype.categories
    return {"dtype": "category", "levels": levels.tolist(), "of": str(levels.dtype), "ordered": bool(dtype.ordered)}


def restored(frame: pd.DataFrame, dtypes: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Give every column the type that it had; what cannot be restored is caught by the fingerprint."""
    for name, about in dtypes.items():
        if about["dtype"] == "category":
            levels = pd.Index(about["levels"], dtype=about["of"])
            frame[name] = pd.Categorical(frame[name], categories=levels, ordered=about["ordered"])
        elif str(frame[name].dtype) != about["dtype"]:
            frame[name] = frame[name].astype(about["dtype"])
    return frame


def read_file(path: Path, reader: Callable[[Path], Any], again: str) -> Any:
    """Read a file, or say in one line which one is damaged."""
    try:
        return reader(path)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise MnarkitError(f"{str(path)!r} is damaged ({line[:120]}); {again}") from error
