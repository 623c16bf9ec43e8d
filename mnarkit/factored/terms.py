"""Columns of a design that read unseen continuous values: evaluated by walking the checked expression, never run."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.calls import check_call
from mnarkit.errors import FormulaError
from mnarkit.formula import Design

__all__ = ["STATEFUL", "Curve", "curves_of", "evaluate"]

STATEFUL = frozenset({"bs", "center", "cs", "poly", "scale"})
_FUNCTIONS = frozenset({"abs", "exp", "expm1", "log", "log10", "log1p", "log2", "sqrt"})


@dataclass(frozen=True, slots=True)
class Curve:
    """A column of a design that is a product in which unseen values stand.

    Attributes
    ----------
    column : int
        Its place in the design.
    codes : tuple of str
        The factors of the product that read unseen values.
    reads : tuple of str
        The columns of the table that those factors read.
    """

    column: int
    codes: tuple[str, ...]
    reads: tuple[str, ...]

    def value(self, values: Mapping[str, Any], xp: Any) -> Any:
        """Multiply the factors at values by column, arrays or symbolic."""
        product = evaluate(self.codes[0], values, xp)
        for code in self.codes[1:]:
            product = product * evaluate(code, values, xp)
        return product


def curves_of(design: Design, unseen: Collection[str]) -> tuple[Curve, ...]:
    """Find the columns of a design that read one of the columns `unseen`."""
    found = []
    for term, where in design.model_spec.term_slices.items():
        each = [(f.expr, _reads(f)) for f in term.factors]
        codes = tuple(code for code, reads in each if reads & set(unseen))
        reads = frozenset[str]().union(*(reads for _, reads in each if reads & set(unseen)))
        if codes:
            found += [Curve(j, codes, tuple(sorted(reads))) for j in range(where.start, where.stop)]
    return tuple(found)


def _reads(factor: Any) -> frozenset[str]:
    match factor.eval_method.value:
        case "lookup":
            return frozenset({factor.expr})
        case "python":
            return check_call(factor.expr).columns
    return frozenset()


def evaluate(code: str, values: Mapping[str, Any], xp: Any) -> Any:
    """Compute a column, or a call that was checked, from values by column."""
    return values[code] if code in values else _computed(ast.parse(code, mode="eval").body, values, xp)


def _computed(node: ast.expr, values: Mapping[str, Any], xp: Any) -> Any:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=int(value) | float(value)):
            return float(value)
        case ast.UnaryOp(op=op, operand=inner):
            value = _computed(inner, values, xp)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _computed(left, values, xp) ** float(np.real(ast.literal_eval(right)))
        case ast.BinOp(left=left, op=op, right=right):
            return _joined(op, _computed(left, values, xp), _computed(right, values, xp))
        case ast.Call(func=ast.Name(id=name), args=[first]) if name == "I" or name in _FUNCTIONS:
            value = _computed(first, values, xp)
            return value if name == "I" else getattr(xp, name)(value)
    raise FormulaError(f"{ast.unparse(node)!r} cannot be computed where values are unseen; write it with I(), log, exp")


def _joined(op: ast.operator, left: Any, right: Any) -> Any:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
    return left / right
