"""Conditions on rows, such as `arm == 'drug' & age >= 50`: read over a closed grammar, never run as code."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.calls import is_number, shown
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError
from mnarkit.levels import check_seen, is_text, listed_levels

__all__ = ["Condition", "condition", "evaluate"]

_MOST_CHARACTERS, _DEEPEST, _MOST_VALUES = 2_000, 30, 200
_SIGNS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|&&?|\|\|?|~|!(?!=)|\#""")
_ALLOWED = "write comparisons of columns, numbers and quoted texts, joined by & | ~ or and, or, not"
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: np.true_divide}
)
_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
    }
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on rows that was read and checked; build it with `condition`."""

    text: str
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as a condition sees it: numbers, or text with the levels it may be compared to."""

    name: str
    values: np.ndarray
    levels: tuple[Any, ...] | None
    truth: bool


def condition(text: str) -> Condition:
    """Read a condition without evaluating it.

    Parameters
    ----------
    text : str
        Comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`, `in [...]`, `not in [...]`; chains such as `20 < age < 65`)
        of columns, numbers, quoted texts and sums or products of them, joined by `&`, `|`, `~` or `and`, `or`,
        `not`, which all bind weaker than a comparison. A column whose name is not an identifier stands in backticks.

    Raises
    ------
    FormulaError
        Anything else.

    Examples
    --------
    >>> from mnarkit.condition import condition
    >>> sorted(condition("arm == 'drug' & age >= 50").columns)
    ['age', 'arm']
    """
    if not isinstance(text, str):
        raise FormulaError(f"a condition is text such as 'age >= 50', not {type(text).__name__}")
    return _read(text.strip())[0]


def evaluate(condition: Condition, data: IncompleteData) -> np.ndarray:
    """Tell for every row whether a condition holds: bool, shape (n,).

    Raises
    ------
    SpecError
        A column that is not in the table.
    DataError
        Holes, or a text that is none of the column's levels.
    FormulaError
        Text compared with numbers, or numbers where a truth value is needed.

    Examples
    --------
    >>> import pandas as pd
    >>> from mnarkit.condition import condition, evaluate
    >>> from mnarkit.data import IncompleteData
    >>> data = IncompleteData.of(pd.DataFrame({"arm": ["drug", "none", "drug"], "age": [40, 50, 60]}))
    >>> evaluate(condition("arm == 'drug' & age >= 50"), data)
    array([False, False,  True])
    """
    read, tree, names = _read(condition.text)
    data.require(sorted(read.columns), f"the condition {shown(read.text)}")
    for column in sorted(read.columns):
        check_seen(column, data)
    columns = {identifier: _column(name, data) for identifier, name in names.items()}
    with np.errstate(all="ignore"):
        return np.array(np.broadcast_to(_truth(tree, columns), (data.n,)), dtype=bool)


@cache
def _read(text: str) -> tuple[Condition, ast.expr, Mapping[str, str]]:
    """Check the text; the names map identifiers of the tree to columns, for the sake of backticks."""
    if len(text) > _MOST_CHARACTERS:
        raise FormulaError(f"the condition has {len(text)} characters; at most {_MOST_CHARACTERS} are read")
    quoted: dict[str, str] = {}
    try:
        tree = ast.parse(_SIGNS.sub(lambda match: _in_words(match[0], quoted), text).strip(), mode="eval").body
        nodes = _checked(text, tree)
    except FormulaError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refusal(text, f"cannot be read; {_ALLOWED}; equality is ==") from error
    names = {node.id: quoted.get(node.id, node.id) for node in nodes if isinstance(node, ast.Name)}
    if not names:
        raise _refusal(text, "names no column; compare a column with something")
    return Condition(text, frozenset(names.values())), tree, MappingProxyType(names)


def _in_words(sign: str, quoted: dict[str, str]) -> str:
    """Put a sign in Python's words, which bind weaker than comparisons; a quoted column becomes an identifier."""
    if sign[0] in "'\"":
        return sign
    if sign == "#":
        raise FormulaError(f"the condition holds a comment or a stray '#'; {_ALLOWED}")
    if sign[0] == "`":
        identifier = f"quoted_column_{len(quoted)}_"
        quoted[identifier] = sign[1:-1]
        return f" {identifier} "
    return {"&": " and ", "|": " or "}.get(sign[0], " not ")


def _checked(text: str, tree: ast.expr) -> list[ast.AST]:
    """Walk level by level, so that depth is bounded before anything recurses."""
    nodes: list[ast.AST] = []
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        for node in level:
            if not _allowed(node):
                raise _refusal(text, f"holds {type(node).__name__}, which is not allowed; {_ALLOWED}")
        nodes += level
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return nodes
    raise _refusal(text, f"is nested more than {_DEEPEST} deep; write it flatter")


def _allowed(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return not name.startswith("__")
        case ast.Constant(value=value):
            return isinstance(value, (str, bool)) or is_number(value)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return len(items) <= _MOST_VALUES and all(isinstance(item, (ast.Constant, ast.UnaryOp)) for item in items)
        case ast.Compare() | ast.BoolOp() | ast.And() | ast.Or() | ast.Not() | ast.Load():
            return True
        case ast.UnaryOp() | ast.UAdd() | ast.USub() | ast.In() | ast.NotIn():
            return True
        case ast.BinOp(op=op):
            return type(op) in _ARITHMETIC
    return type(node) in _ARITHMETIC or type(node) in _COMPARISONS


def _column(name: str, data: IncompleteData) -> _Column:
    series = data.frame[name]
    if not is_text(series):
        return _Column(name, data.number(name), None, pd.api.types.is_bool_dtype(series.dtype))
    categorical = isinstance(series.dtype, pd.CategoricalDtype)
    levels = series.cat.categories.tolist() if categorical else sorted(series.unique().tolist())
    return _Column(name, series.to_numpy(dtype=object), tuple(levels), truth=False)


def _truth(node: ast.expr, columns: Mapping[str, _Column]) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return reduce(join, [_truth(value, columns) for value in values])
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return np.logical_not(_truth(inner, columns))
        case ast.Compare(left=first, ops=ops, comparators=others):
            pairs = zip([first, *others], ops, others, strict=False)
            return reduce(np.logical_and, [_compared(left, op, right, columns) for left, op, right in pairs])
        case ast.Constant(value=bool(value)):
            return np.bool_(value)
        case ast.Name(id=name) if columns[name].truth:
            return columns[name].values != 0
        case ast.Name(id=name):
            raise FormulaError(f"{columns[name].name!r} is not true or false; compare it with a value")
    raise FormulaError(f"a condition holds {shown(ast.unparse(node))} where true or false is needed; {_ALLOWED}")


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, columns: Mapping[str, _Column]) -> Any:
    a, b = _value(left, columns), _value(right, columns)
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(b, list):
            raise FormulaError("'in' takes a list of values, such as arm in ['drug', 'none']")
        held = reduce(np.logical_or, [_equal(a, value) for value in b], np.bool_(False))
        return held if isinstance(op, ast.In) else np.logical_not(held)
    if isinstance(op, (ast.Eq, ast.NotEq)):
        held = _equal(a, b)
        return held if isinstance(op, ast.Eq) else np.logical_not(held)
    return _COMPARISONS[type(op)](_numbers(a), _numbers(b))


def _equal(a: Any, b: Any) -> Any:
    if isinstance(b, _Column) and b.levels is not None and not isinstance(a, _Column):
        a, b = b, a
    if isinstance(a, _Column) and a.levels is not None:
        if isinstance(b, _Column) and b.levels is not None:
            return a.values == b.values
        if not isinstance(b, (str, bool, int, float)) or b not in a.levels:
            raise DataError(f"{a.name!r} is never {_said(b)}; its levels are {listed_levels(a.levels)}")
        return a.values == b
    return _numbers(a) == _numbers(b)


def _value(node: ast.expr, columns: Mapping[str, _Column]) -> Any:
    """Give a column, a constant, a list of constants, or computed numbers."""
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, columns) for item in items]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as op, operand=inner):
            value = _numbers(_value(inner, columns))
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            result = _ARITHMETIC[type(op)](_numbers(_value(left, columns)), _numbers(_value(right, columns)))
            undefined = int(np.isnan(result).sum())
            if undefined:
                raise DataError(f"{shown(ast.unparse(node))} divides 0 by 0 in {undefined} rows; change the condition")
            return result
    raise FormulaError(f"a condition holds {shown(ast.unparse(node))} where a value is needed; {_ALLOWED}")


def _numbers(value: Any) -> Any:
    """Give the numbers of a column or of arithmetic; text has none."""
    if isinstance(value, _Column):
        if value.levels is not None:
            raise FormulaError(
                f"{value.name!r} holds text; compare it by ==, != or in with {listed_levels(value.levels)}"
            )
        return value.values
    if isinstance(value, (str, list)):
        raise FormulaError(
            f"{_said(value)} stands where a number is needed; only a column of text is compared with text"
        )
    return np.asarray(value, dtype=np.float64)


def _said(value: object) -> str:
    return repr(value) if isinstance(value, (str, bool, int, float, list)) else "a number"


def _refusal(text: str, why: str) -> FormulaError:
    return FormulaError(f"the condition {shown(text)} {why}")
