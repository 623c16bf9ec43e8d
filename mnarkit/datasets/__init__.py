"""Published tables with holes, each with its source and code book in `<name>.md` beside it."""

from importlib.resources import files

import pandas as pd

from mnarkit.errors import DataError

__all__ = ["DATASETS", "load_dataset"]

DATASETS = ("depression", "scores", "wages")


def load_dataset(name: str) -> pd.DataFrame:
    """Load a published table by name; a hole is NaN.

    Parameters
    ----------
    name : {"depression", "scores", "wages"}
        `depression`: 100 patients in two arms (Proudfoot et al. 2003), a score at four visits, 52 until the last.
        `scores`: test scores of 935 men (Blackburn & Neumark 1992), their parents' schooling with 78 and 194 holes.
        `wages`: 753 married women in 1975 (Mroz 1987), the wage recorded for the 428 who worked.

    Returns
    -------
    DataFrame
        A fresh copy at each call; the columns are described in `mnarkit/datasets/<name>.md`.

    Raises
    ------
    DataError
        A name that is not in the list.

    Examples
    --------
    >>> import mnarkit as mk
    >>> int(mk.load_dataset("wages")["lwage"].notna().sum())
    428
    """
    if name not in DATASETS:
        raise DataError(f"there is no dataset {name!r}; there is {', '.join(map(repr, DATASETS))}")
    with (files(__name__) / f"{name}.csv").open("rb") as stream:
        return pd.read_csv(stream, engine="pyarrow")  # reads each number to the last bit
