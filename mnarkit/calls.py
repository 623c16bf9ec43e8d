"""Calls inside a formula: a closed list of functions, and the check that lets nothing else through."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from formulaic.transforms import C, basis_spline, center, identity, natural_cubic_spline, poly, scale

from mnarkit.errors import FormulaError

__all__ = ["ALLOWED", "FUNCTIONS", "Call", "check_call", "is_number", "shown"]

_LONGEST, _DEEPEST, _HIGHEST_POWER, _MOST_DF, _LARGEST_NUMBER = 300, 20, 3, 20, 1e15


def _categorical(values: Any) -> Any:
    """Levels instead of numbers; whole numbers are named 2, not 2.0."""
    series = pd.Series(values)
    if series.dtype.kind == "f" and bool((series == series.round()).all()):
        series = series.astype(np.int64)
    return C(series)


def _missing(values: Any) -> Any:
    """1 where a value is not there, 0 where it is."""
    return np.isnan(np.asarray(values, dtype=np.float64)).astype(np.float64)


def _above(values: Any, threshold: float) -> Any:
    """1 where a value is above the threshold, 0 where it is not."""
    return (np.asarray(values, dtype=np.float64) > threshold).astype(np.float64)


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "C": _categorical,
        "I": identity,
        "above": _above,
        "abs": np.abs,
        "bs": basis_spline,
        "center": center,
        "cs": natural_cubic_spline,
        "exp": np.exp,
        "expm1": np.expm1,
        "log": np.log,
        "log10": np.log10,
        "log1p": np.log1p,
        "log2": np.log2,
        "missing": _missing,
        "poly": poly,
        "scale": scale,
        "sqrt": np.sqrt,
    }
)
ALLOWED = f"the functions are {', '.join(sorted({*FUNCTIONS} - {'missing'}, key=str.lower))}"
_OUTERMOST = frozenset({"C", "bs", "cs", "poly"})  # several columns each: not inside another call
_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "above": ("threshold",),
        "bs": ("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation"),
        "cs": ("df", "knots", "lower_bound", "upper_bound"),
        "poly": ("degree", "raw"),
        "scale": ("center", "scale", "ddof"),
    }
)
_OPTION_RULE = f"degree and df are 1 to {_MOST_DF}, knots at most {_MOST_DF} numbers in a list, the rest constants"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was checked: its outermost function, all functions, the columns, and a bound on its width.

    Of `holes`, columns inside `missing()`, only whether they are recorded is read.
    """

    function: str
    functions: frozenset[str]
    columns: frozenset[str]
    width: int
    holes: frozenset[str] = frozenset()


@cache
def check_call(code: str) -> Call:
    """Read one call such as `log(x)` or `bs(age, df=4)` without running it.

    Raises
    ------
    FormulaError
        Anything but functions of the list, columns, bounded numbers, + - * / and constant powers.
    """
    if "`" in code:
        raise _refusal(f"quotes a name inside {shown(code)}; rename the column to use it there")
    if len(code) > _LONGEST:
        raise _refusal(f"holds a call of {len(code)} characters; at most {_LONGEST} are read")
    node = _parsed(code)
    if not isinstance(node, ast.Call):
        raise _refusal(f"holds {shown(code)}, which is not a plain call; {ALLOWED}")
    _check_expression(node)
    functions = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    heads = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
    asked = dict(pair for n in ast.walk(node) for pair in _asked(n))
    columns = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in heads and id(n) not in asked}
    if not columns and not asked:
        raise _refusal(f"holds {shown(code)}, which names no column; put a column into it")
    if functions & columns:
        both = min(functions & columns)
        raise _refusal(f"uses {both!r} both as a column and as a function; rename the column")
    outer = ast.unparse(node.func)
    width = _width(node) if outer in _OUTERMOST else 1
    return Call(outer, frozenset(functions), frozenset(columns), width, frozenset(asked.values()))


def _asked(node: ast.AST) -> list[tuple[int, str]]:
    """The column in `missing(column)`, by the identity of its node; nothing for other nodes."""
    match node:
        case ast.Call(func=ast.Name(id="missing"), args=[ast.Name(id=name) as column, *_]):
            return [(id(column), name)]
    return []


def _parsed(code: str) -> ast.expr:
    try:
        return ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refusal(f"holds {shown(code)}, which cannot be read as a call; {ALLOWED}") from error


def _width(node: ast.Call) -> int:
    """At least as many columns as a basis can have: all counts in its arguments, and room for a default."""
    inside = [_literal(value) for value in [*node.args[1:], *(keyword.value for keyword in node.keywords)]]
    counts = [value for value in inside if type(value) is int and 0 < value <= _MOST_DF]
    return 4 + sum(counts) + sum(len(value) for value in inside if isinstance(value, list))


def _check_expression(node: ast.expr, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise _refusal(f"holds a call nested more than {_DEEPEST} deep; write it flatter")
    match node:
        case ast.Name(id=name) if not name.startswith("__"):
            return
        case ast.Constant() if is_number(node.value):
            return
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=inner):
            _check_expression(inner, depth + 1)
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), left=left, right=right):
            _check_expression(left, depth + 1)
            _check_expression(right, depth + 1)
        case ast.BinOp(op=ast.Pow(), left=left, right=right) if is_number(_literal(right), _HIGHEST_POWER):
            _check_expression(left, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in FUNCTIONS:
            _check_arguments(name, node, outermost=depth == 0)
            _check_expression(first, depth + 1)
        case _:
            why = f"powers are numbers from -{_HIGHEST_POWER} to {_HIGHEST_POWER}, numbers at most 1e15"
            raise _refusal(f"holds {shown(ast.unparse(node))}, which is not allowed; {ALLOWED}; {why}")


def _check_arguments(name: str, call: ast.Call, *, outermost: bool) -> None:
    if name in _OUTERMOST and not outermost:
        raise _refusal(f"uses {name}() inside another call; make it a term of its own")
    if name in ("C", "missing", "above") and not isinstance(call.args[0], ast.Name):
        raise _refusal(f"uses {name}() on an expression; {name} takes one column")
    if name == "above" and len(call.args) + len(call.keywords) != 2:
        raise _refusal("uses above() without its threshold; write above(y, 3)")
    options = _OPTIONS.get(name, ())
    named = [(keyword.arg, keyword.value) for keyword in call.keywords]
    positional = zip(options, call.args[1:], strict=False)
    if len(call.args) - 1 > len(options) or not {key for key, _ in named} <= set(options):
        takes = f"a column and {', '.join(options)}" if options else "one argument"
        raise _refusal(f"gives {name}() arguments that it does not take; it takes {takes}")
    for key, value in [*positional, *named]:
        if not _option_fits(str(key), _literal(value)):
            raise _refusal(f"gives {name}() the {key} {shown(ast.unparse(value))}; {_OPTION_RULE}")


def _option_fits(key: str, value: object) -> bool:
    match key:
        case "degree" | "df":
            return type(value) is int and 1 <= value <= _MOST_DF
        case "knots":
            return isinstance(value, list) and 1 <= len(value) <= _MOST_DF and all(map(is_number, value))
        case "raw" | "include_intercept":
            return isinstance(value, bool)
        case "extrapolation":
            return value in ("raise", "clip", "zero", "extend")
        case "ddof":
            return type(value) is int and value in (0, 1)
        case "center" | "scale":
            return isinstance(value, bool) or (is_number(value) and not (key == "scale" and value == 0))
    return is_number(value)


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def is_number(value: object, largest: float = _LARGEST_NUMBER) -> bool:
    """Tell whether a value is a finite number, not a truth value, of at most `largest` in size."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= largest


def shown(text: str) -> str:
    """Quote text as an error shows it: on one line, not long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _refusal(why: str) -> FormulaError:
    return FormulaError(f"the formula {why}")
