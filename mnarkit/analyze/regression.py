"""Regression: least squares on every completed table, on one design for all of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.estimates import count, which
from mnarkit.formula import Design, Formula, design
from mnarkit.likelihoods import LeastSquares

__all__ = ["designs", "regressions"]


def regressions(tables: Any, formula: Formula) -> tuple[Design, LeastSquares]:
    """Least squares on every table, on one design for all of them: the same terms, the same constants in each."""
    built, blocks, outcome = designs(tables, formula)
    factors = np.stack([np.linalg.qr(np.column_stack(part), mode="r") for part in zip(blocks, outcome, strict=True)])
    intercept = np.array([name == "Intercept" for name in built.names], dtype=float)
    return built, LeastSquares(factors, outcome.shape[1], intercept if intercept.any() else None)


def designs(tables: Any, formula: Formula) -> tuple[Design, np.ndarray, np.ndarray]:
    """Build the design without its matrix, X (m, n, q) of full rank, and the outcome (m, n), NaN if there is none."""
    named = [] if formula.response is None else [formula.response]
    used = [*named, *dict.fromkeys(c for term in formula.terms for c in sorted(term.columns))]
    m = len(tables)
    parts = [_complete(table, list(dict.fromkeys(used)), formula.text, which(k, m)) for k, table in enumerate(tables)]
    _check_alike(parts)
    together = IncompleteData.of(pd.DataFrame({name: _stacked([part[name] for part in parts]) for name in parts[0]}))
    built = design(formula, together)
    outcome = together.number(named[0]) if named else np.full(together.n, np.nan)
    blocks = built.matrix.reshape(m, len(outcome) // m, -1)
    for k, block in enumerate(blocks):
        _check_rank(block, built.names, f"{formula.text!r} in {which(k, m)}")
    return replace(built, matrix=built.matrix[:0].copy()), blocks, outcome.reshape(m, -1)


def _complete(table: Any, columns: list[str], text: str, place: str) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{place} is not a DataFrame but {type(table).__name__}")
    if not set(columns) <= set(table.columns):
        IncompleteData.of(table).require(columns, what=f"the analysis {text!r}")
    part = table[columns]
    holes = part.isna().sum()
    if holes.any():
        column = str(holes.idxmax())
        raise DataError(
            f"{column!r} is not complete: {count(int(holes.max()), 'value')} still missing in {place}; "
            "impute it too (put it into the data model), or leave it out of the analysis"
        )
    return part


def _check_alike(parts: list[pd.DataFrame]) -> None:
    first = parts[0]
    for k, part in enumerate(parts):
        place = which(k, len(parts))
        if len(part) != len(first):
            raise DataError(
                f"{place} has {count(len(part), 'row')}, the first has {len(first)}; imputations have the same rows"
            )
        for column in first.columns:
            if _kind(part[column]) != _kind(first[column]):
                raise DataError(
                    f"{column!r} is {part[column].dtype} in {place} and {first[column].dtype} in the first; "
                    "give it one dtype in all"
                )


def _stacked(columns: list[pd.Series]) -> pd.Series:
    """One column of all tables; a categorical one with the levels that occur in any, in the order of the first."""
    together = pd.concat(
        [column.astype(object) if _categorical(column) else column for column in columns], ignore_index=True
    )
    if not any(map(_categorical, columns)):
        return together
    listed = (column.cat.categories if _categorical(column) else column.unique() for column in columns)
    levels = dict.fromkeys(level for some in listed for level in some)
    occurring = set(together)
    return together.astype(pd.CategoricalDtype([level for level in levels if level in occurring]))


def _categorical(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype)


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "bool"
    return "number" if pd.api.types.is_numeric_dtype(column) else "other"


def _check_rank(x: np.ndarray, names: tuple[str, ...], where: str) -> None:
    n, k = x.shape
    if n <= k:
        raise DataError(
            f"{where}: {count(n, 'row')} cannot determine {count(k, 'coefficient')} and a residual variance"
        )
    size = np.sqrt(np.square(x).sum(axis=0))  # columns of length 1: squares of large numbers must not look collinear
    size[size == 0] = 1
    pivots = np.abs(np.diag(np.linalg.qr(x / size, mode="r")))
    if pivots.min() < 1e-10:
        lost = names[int(np.flatnonzero(pivots < 1e-10)[0])]
        raise DataError(
            f"{where}: {lost!r} is a combination of the terms before it (or all 0); leave it out of the analysis"
        )
