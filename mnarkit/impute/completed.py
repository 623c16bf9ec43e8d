"""Completed tables that were made elsewhere, or read back."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from mnarkit.errors import DataError
from mnarkit.impute.imputations import numbered

__all__ = ["Completed"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Completed:
    """m completed tables of the same rows, as `read_imputations` returns them; `analyze` takes them.

    Attributes
    ----------
    tables : tuple of DataFrame
        The completed tables, with the same columns and the same index.
    original : DataFrame or None
        The table with its holes, if it is known.
    source : str
        Where they come from.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import pandas as pd
    >>> completed = mk.read_imputations([pd.DataFrame({"y": [1.0, v]}) for v in (2.0, 3.0)])
    >>> len(completed), completed[1]["y"].tolist()
    (2, [1.0, 3.0])
    """

    tables: tuple[pd.DataFrame, ...]
    original: pd.DataFrame | None
    source: str

    @property
    def m(self) -> int:
        """The number of imputations."""
        return len(self.tables)

    def __len__(self) -> int:
        return self.m

    def __getitem__(self, k: int) -> pd.DataFrame:
        if not -self.m <= k < self.m:
            raise IndexError(f"imputation {k} is not there; there are {self.m}, numbered from 0")
        return self.tables[k].copy(deep=False)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (self[k] for k in range(self.m))

    def to_long(self, *, include_original: bool = False) -> pd.DataFrame:
        """Stack the completed tables, as R's mice: `.imp` from 1 (0 is the incomplete table) and `.id`, the index.

        Raises
        ------
        DataError
            The incomplete table is asked for and not known.
        """
        if include_original and self.original is None:
            raise DataError(f"the table with its holes is not known from {self.source}; give it as original=")
        frames = [(0, self.original)] if include_original and self.original is not None else []
        frames += list(enumerate(self.tables, start=1))
        return pd.concat([numbered(frame, k) for k, frame in frames], ignore_index=True)

    def __str__(self) -> str:
        head = f"{self.m} imputation{'s' * (self.m > 1)} of {len(self.tables[0])} rows, from {self.source}"
        if self.original is None:
            return f"{head}; which cells were holes is not known"
        holes = {str(name): int(count) for name, count in self.original.isna().sum().items() if count}
        left = {str(name): int(count) for name, count in self.tables[0].isna().sum().items() if count}
        told = ", ".join(f"{name} ({count})" for name, count in holes.items()) or "none"
        more = f"; still missing {', '.join(f'{name} ({count})' for name, count in left.items())}" if left else ""
        return f"{head}; holes {told}{more}"

    def __repr__(self) -> str:
        return str(self)
