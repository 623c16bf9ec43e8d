"""How large a formula may be, asked before anything is expanded; and how one is refused."""

from math import comb
from typing import Any

from formulaic.parser.types import Token

from mnarkit.calls import ALLOWED, shown
from mnarkit.errors import FormulaError

__all__ = ["check_size", "count_terms", "refusal"]

_MOST_CHARACTERS, _MOST_TERMS, _DEEPEST, _HIGHEST_POWER = 2_000, 200, 20, 3


def check_size(text: str) -> None:
    """Refuse a text that is empty, long, deeply nested, or holds code.

    Raises
    ------
    FormulaError
        With what is allowed.
    """
    if not text:
        raise FormulaError("the formula is empty; write '1' for an intercept alone")
    if len(text) > _MOST_CHARACTERS:
        raise refusal(text, f"has {len(text)} characters; at most {_MOST_CHARACTERS} are read")
    if "{" in text or "}" in text:
        raise refusal(text, f"holds code in braces, which is never run; {ALLOWED}")
    depth = deepest = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise refusal(text, f"nests {deepest} parentheses; at most {_DEEPEST} are read")


def count_terms(text: str, node: Any) -> int:
    """Bound the number of terms below a node, so that nothing is expanded that would be too many."""
    if node is None or isinstance(node, Token):
        if node is not None and node.kind is Token.Kind.VALUE and node.token not in ("0", "1"):
            raise refusal(text, f"uses {node.token!r} as a term; outside calls only 0 and 1 are terms: I(2 * x)")
        return 1
    sign = node.operator.symbol
    left = count_terms(text, node.args[0])
    if len(node.args) == 1:
        return left
    if sign in ("**", "^"):
        count = _count_power(text, left, node.args[1])
    else:
        right = count_terms(text, node.args[1])
        count = {"+": left + right, "-": left, ":": left * right}.get(sign, left + right + left * right)
    if count > _MOST_TERMS:
        raise refusal(text, f"expands to more than {_MOST_TERMS} terms; write out those that are meant")
    return count


def _count_power(text: str, base: int, exponent: Any) -> int:
    if not isinstance(exponent, Token) or exponent.token not in map(str, range(1, _HIGHEST_POWER + 1)):
        raise refusal(text, f"has a power other than 1 to {_HIGHEST_POWER}; write out the interactions")
    return sum(comb(base, k) for k in range(1, int(exponent.token) + 1))


def refusal(text: str, why: str) -> FormulaError:
    """Give the error that shows a formula and says what is wrong with it."""
    return FormulaError(f"the formula {shown(text)} {why}")
