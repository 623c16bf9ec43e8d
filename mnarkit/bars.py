"""Random terms of a formula, `(1 + time | id)`: cut out of its text before the rest is read."""

import re
from dataclasses import dataclass

from mnarkit.calls import shown
from mnarkit.errors import FormulaError
from mnarkit.sizes import refusal

__all__ = ["Bar", "refuse_bar", "split_bar"]

_NAME = re.compile(r"[^\W\d][\w.]*|`[^`]+`")


@dataclass(frozen=True, slots=True)
class Bar:
    """Random terms and the column whose levels they vary over: `1 + time` and `id` in `(1 + time | id)`."""

    terms: str
    group: str

    def __str__(self) -> str:
        return f"({self.terms} | {self.group})"


def split_bar(text: str) -> tuple[str, Bar | None]:
    """Split a formula into the part without random terms and the random terms, if it has some.

    Raises
    ------
    FormulaError
        A bar that is not inside parentheses of its own on the right side, two of them, or no grouping column.

    Examples
    --------
    >>> from mnarkit.bars import split_bar
    >>> split_bar("y ~ x + (1 | id)")
    ('y ~ x', Bar(terms='1', group='id'))
    """
    found = _bars(text)
    if not found:
        return text, None
    if len(found) > 1:
        raise refusal(text, f"has {len(found)} bars '|'; it can have random terms of one column: (1 + x | id)")
    start, at, end = found[0]
    before, after = text[:start].rstrip(), text[end + 1 :].lstrip()
    if not (before == "" or before[-1] in "~+") or not (after == "" or after[0] in "+-"):
        raise refusal(text, "multiplies or takes off random terms; add them: y ~ x + (1 | id)")
    terms, group = text[start + 1 : at].strip(), text[at + 1 : end].strip()
    if not terms or "~" in terms:
        raise refusal(text, "has no random terms before the bar; write (1 | id), or (1 + x | id)")
    if not _NAME.fullmatch(group):
        raise refusal(text, f"groups by {shown(group)}; after the bar stands one column: (1 | id)")
    if before.endswith("+"):
        left, right = before[:-1].rstrip(), f" {after}" if after else ""
    else:
        left, right = before, f" {after.removeprefix('+').lstrip() or '1'}"
    return f"{left}{right}".strip(), Bar(terms, group.strip("`"))


def refuse_bar(bar: Bar | None, what: str) -> None:
    """Refuse random terms where there cannot be any.

    Raises
    ------
    FormulaError
        There are some.
    """
    if bar is not None:
        raise FormulaError(f"{what} takes no random terms {bar}; Regression and Selection have them")


def _bars(text: str) -> list[tuple[int, int, int]]:
    """Every bar outside of backticks with the parentheses around it: (opening, bar, closing)."""
    opened: list[int] = []
    waiting: list[tuple[int, int]] = []
    found, quoted = [], False
    for i, character in enumerate(text):
        quoted ^= character == "`"
        if quoted:
            continue
        if character == "(":
            opened.append(i)
        elif character == "|":
            _check_place(text, i, len(opened))
            waiting.append((opened[-1], i))
        elif character == ")" and opened:
            start = opened.pop()
            found += [(start, at, i) for begun, at in waiting if begun == start]
            waiting = [(begun, at) for begun, at in waiting if begun != start]
    return found


def _check_place(text: str, at: int, depth: int) -> None:
    if text[at - 1 : at + 2].count("|") > 1:
        raise refusal(text, "has '||'; random terms are correlated: write (1 + x | id)")
    if depth != 1 or "~" in text[at:]:
        raise refusal(text, "has a bar '|' that is not in parentheses of its own; random terms are (1 + x | id)")
