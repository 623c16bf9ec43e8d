"""Imputations, the noun: the recorded table once, and m sets of values for its holes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.spec.death import dead_cells
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec

__all__ = ["Imputations", "numbered"]


@dataclass(frozen=True, slots=True, eq=False)
class Imputations:
    """m completed tables; `imps[k]` is a DataFrame with the table's own dtypes and index.

    Attributes
    ----------
    data : IncompleteData
        The incomplete table.
    cells : mapping of str to (m, holes) array
        Per column, the values of its holes in row order, one row an imputation.
    spec, under : Spec, tuple of PatternMixture and Reference
        The belief of the fit, and the late ones applied on top.
    seed, m : int
        The seed, and how many imputations; imputation k depends on the seed and on k alone.
    """

    data: IncompleteData
    cells: Mapping[str, np.ndarray]
    spec: Spec
    under: tuple[PatternMixture | Reference, ...]
    seed: int
    m: int

    def __len__(self) -> int:
        return self.m

    def __getitem__(self, k: int) -> pd.DataFrame:
        if not -self.m <= k < self.m:
            raise IndexError(f"imputation {k} is not there; there are {self.m}, numbered from 0")
        frame = self.data.frame.copy()
        for column, values in self.cells.items():
            if values.shape[1]:
                frame[column] = _fill(frame[column], ~self.data.seen(column), values[k])
        return frame

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (self[k] for k in range(self.m))

    def __str__(self) -> str:
        holes = ", ".join(f"{c} ({v.shape[1]})" for c, v in self.cells.items())
        beliefs = [str(b) for b in (*self.spec.missingness, *self.under)]
        head = f"{self.m} imputations of {self.data.n} rows, holes filled in {holes}, seed {self.seed}"
        dead = ", ".join(f"{c} ({n})" for c, n in self.after_death.items())
        left = f"\nleft missing after death: {dead}" if dead else ""
        return f"{head}\nunder {'; then '.join(beliefs)}{left}"

    @property
    def after_death(self) -> dict[str, int]:
        """How many cells have no value in the completed tables, because their subject has died, by column."""
        counts = dead_cells(self.spec, self.data).sum(axis=0).tolist()
        return {c: n for c, n in zip(self.spec.model.columns, counts, strict=True) if n}

    def to_long(self, *, include_original: bool = False) -> pd.DataFrame:
        """Stack the completed tables, as R's mice: `.imp` from 1 (0 is the incomplete table) and `.id`, the index."""
        frames = [self.data.frame, *self] if include_original else list(self)
        first = 0 if include_original else 1
        return pd.concat([numbered(frame, first + k) for k, frame in enumerate(frames)], ignore_index=True)

    def to_wide(self) -> pd.DataFrame:
        """Replace the incomplete columns of the table by `column.1` … `column.m`."""
        incomplete = [column for column, values in self.cells.items() if values.shape[1]]
        parts = [self.data.frame.drop(columns=incomplete)]
        completed = list(self)
        for column in incomplete:
            parts += [frame[column].rename(f"{column}.{k + 1}") for k, frame in enumerate(completed)]
        return pd.concat(parts, axis=1)

    def to_xarray(self) -> xr.Dataset:
        """Give the modelled columns as (imputation, obs) arrays; obs are row positions."""
        completed = [IncompleteData.of(frame) for frame in self]
        arrays = {c: (("imputation", "obs"), np.stack([f.number(c) for f in completed])) for c in self.cells}
        return xr.Dataset(arrays, coords={"imputation": np.arange(self.m), "obs": np.arange(self.data.n)})

    def to_parquet(self, folder: str | Path) -> list[Path]:
        """Write one file an imputation, `imputation-001.parquet` …; the folder is made if absent, files in it are kept.

        Raises
        ------
        DataError
            The folder already holds imputations.
        """
        folder = Path(folder)
        held = sorted(folder.glob("imputation-*.parquet")) if folder.is_dir() else []
        if held:
            raise DataError(
                f"{str(folder)!r} already holds {len(held)} imputations; name another folder, or remove them"
            )
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"imputation-{k + 1:03d}.parquet" for k in range(self.m)]
        for path, frame in zip(paths, self, strict=True):
            frame.to_parquet(path)
        return paths


def numbered(frame: pd.DataFrame, k: int) -> pd.DataFrame:
    """Put `.imp` and `.id` before the columns of one table."""
    out = frame.copy()
    out.insert(
        0, ".id", frame.index.to_numpy() if not isinstance(frame.index, pd.MultiIndex) else np.arange(len(frame))
    )
    out.insert(0, ".imp", k)
    return out


def _fill(column: pd.Series, holes: np.ndarray, values: np.ndarray) -> pd.Series:
    """Fill the holes; recorded cells keep their bits, draws of a continuous family make whole numbers floating."""
    dtype = column.dtype
    if values.dtype.kind in "Obi" and not (isinstance(dtype, np.dtype) and dtype.kind == "f"):
        return _fill_levels(column, holes, values)
    if isinstance(dtype, np.dtype):
        filled = column.to_numpy(copy=True)
        filled[holes] = values
        return pd.Series(filled, index=column.index, name=column.name)
    numpy_dtype = getattr(dtype, "numpy_dtype", np.dtype(float))
    floating: pd.Series = column.copy() if numpy_dtype.kind == "f" else column.astype(_floating(dtype))
    floating.iloc[np.flatnonzero(holes)] = values.astype(numpy_dtype if numpy_dtype.kind == "f" else float)
    return floating


def _fill_levels(column: pd.Series, holes: np.ndarray, values: np.ndarray) -> pd.Series:
    """Fill levels, truth values and counts: the column keeps its dtype."""
    filled = column.copy()
    filled.iloc[np.flatnonzero(holes)] = values.tolist() if values.dtype.kind == "O" else values
    return filled


def _floating(dtype: object) -> Literal["double[pyarrow]", "Float64"]:
    return "double[pyarrow]" if "pyarrow" in str(dtype) else "Float64"
