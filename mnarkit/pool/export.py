"""Export: a pooled table for a paper, by great_tables or as LaTeX."""

from collections.abc import Sequence
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd

from mnarkit.errors import DataError

__all__ = ["great_table", "latex"]

great_tables: Any = lazy_loader.load("great_tables", error_on_import=False)

_SHOWN = ("estimate", "std_error", "ci_low", "ci_high", "p_value", "fmi")
_HEADS = {
    "term": "Term",
    "estimate": "Estimate",
    "std_error": "SE",
    "dof": "df",
    "statistic": "t",
    "p_value": "p",
    "ci_low": "CI low",
    "ci_high": "CI high",
    "within": "Within",
    "between": "Between",
    "total": "Total",
    "riv": "RIV",
    "lambda_": "Lambda",
    "fmi": "FMI",
    "fmi_rubin": "FMI (Rubin)",
    "mc_error": "MC error",
}
_SMALL = 0.001
_ESCAPED = str.maketrans(
    {c: rf"\{c}" for c in "&%$#_{}"}
    | {
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": "$<$",
        ">": "$>$",
        "∞": r"$\infty$",
    }
)


def great_table(frame: pd.DataFrame, columns: Sequence[str] | None, *, digits: int, notes: tuple[str, ...]) -> Any:
    """`great_tables.GT` of the columns, written as in `latex`."""
    written = _written(frame, columns, digits)
    try:
        table = great_tables.GT(written)
    except ModuleNotFoundError as cause:
        raise DataError(
            "to_great_tables() needs great_tables, which is not installed; pip install 'mnarkit[tables]'"
        ) from cause
    table = table.cols_label({str(name): _HEADS[str(name)] for name in written}).cols_align(
        "right", list(written.columns[1:])
    )
    for note in notes:
        table = table.tab_source_note(note)
    return table


def latex(frame: pd.DataFrame, columns: Sequence[str] | None, *, digits: int, notes: tuple[str, ...]) -> str:
    """Write a tabular with the rules of booktabs, the notes below it as comments."""
    written = _written(frame, columns, digits)
    heads = " & ".join(_HEADS[str(name)] for name in written)
    rows = [
        " & ".join([str(term).translate(_ESCAPED), *(_number(cell) for cell in cells)])
        for term, *cells in written.itertuples(index=False)
    ]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (written.shape[1] - 1)}}}",
            r"\toprule",
            rf"{heads} \\",
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {note}" for note in notes),
        ]
    )


def _number(cell: str) -> str:
    return f"$-${cell[1:]}" if cell.startswith("-") else cell.translate(_ESCAPED)


def _written(frame: pd.DataFrame, columns: Sequence[str] | None, digits: int) -> pd.DataFrame:
    names = list(_SHOWN if columns is None else columns)
    if not isinstance(digits, (int, np.integer)) or isinstance(digits, bool) or digits < 0:
        raise DataError(f"digits= is a whole number of 0 or more, not {digits!r}")
    allowed = ", ".join(map(repr, frame.columns[1:]))
    if isinstance(columns, str):
        raise DataError(f"columns= is a list of names out of {allowed}, not {columns!r}; put it into brackets")
    unknown = [name for name in names if name not in frame.columns[1:]]
    if unknown:
        raise DataError(f"{unknown[0]!r} is not a column of the table; they are {allowed}")
    cells = {name: [_cell(value, digits, name == "p_value") for value in frame[name]] for name in names}
    return pd.DataFrame({"term": frame["term"]} | cells)


def _cell(value: float, digits: int, probability: bool) -> str:
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    if probability and value < _SMALL:
        return f"< {_SMALL:g}"
    # what would round to 0 or to one digit keeps two
    small = digits > 0 and not probability and 0 < abs(value) < 0.5 * 10.0 ** (1 - digits)
    return f"{value:.2g}" if small else f"{value:.{digits}f}"
