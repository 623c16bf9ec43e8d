"""Groups of rows with a covariance of their own each: the levels of a column, such as the arms of a trial."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.levels import Coding, check_levels, check_seen, code_levels
from mnarkit.spec.data_models import DataModel, MvNormal

__all__ = ["Arms", "arms_of", "coding_of", "each_cov"]


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """The level of every row, (n,) whole numbers, and what the levels are called."""

    column: str
    labels: tuple[str, ...]
    code: np.ndarray


def coding_of(model: DataModel, data: IncompleteData) -> Coding | None:
    """Keep the levels of the column that a data model has a covariance for each of; None without one."""
    by = model.by if isinstance(model, MvNormal) else None
    if by is None:
        return None
    check_seen(by, data)
    return code_levels(by, data)


def arms_of(coding: Coding | None, data: IncompleteData) -> Arms | None:
    """Find the level of every row of a table, which may hold other rows than the fit's.

    Raises
    ------
    DataError
        A hole, or a level that the fit does not know.
    """
    if coding is None:
        return None
    check_seen(coding.column, data)
    check_levels(coding, data)
    values = pd.Series(data.number(coding.column)) if coding.numeric else data.frame[coding.column].astype(object)
    labels = tuple(f"{level:g}" if coding.numeric else str(level) for level in coding.levels)
    return Arms(coding.column, labels, pd.Index(list(coding.levels)).get_indexer(pd.Index(values)).astype(np.int64))


def each_cov(cov: Any) -> list[Any]:
    """List the covariances: one of all rows, (p, p), or one for each level, (levels, p, p)."""
    return list(cov) if cov.ndim == 3 else [cov]
