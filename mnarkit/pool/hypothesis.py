"""Linear hypotheses about the terms of an analysis: Rθ = r, from text, from a matrix, or from a smaller model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from mnarkit.errors import DataError
from mnarkit.estimates import Estimates, floats

__all__ = ["Hypothesis", "hypothesis"]

_INTERCEPTS = ("Intercept", "const")
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
_PART = re.compile(
    rf"(?P<sign>[+-])(?:(?P<factor>{_NUMBER})(?:\*(?=<))?)?(?:<(?P<term>\d+)>)?(?:\*(?P<after>{_NUMBER}))?"
)
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\s+*,=-][^+*,=-]*")


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """Rθ = r, with its text.

    Attributes
    ----------
    text : str
        As a reader would write it.
    matrix : ndarray, shape (k, q)
        R, of rank k.
    values : ndarray, shape (k,)
        r.
    """

    text: str
    matrix: np.ndarray
    values: np.ndarray


def hypothesis(null: Any, terms: tuple[str, ...]) -> Hypothesis:
    """Read what a test holds under the null.

    Parameters
    ----------
    null : Estimates, str, sequence of str, matrix, (matrix, values) or None
        A smaller model (the terms that it lacks are 0); conditions such as `"a = 0, b = c"`; R, or R and r; None for
        all terms but the intercept 0.
    terms : tuple of str
        The terms of the larger model.

    Raises
    ------
    DataError
        A term that does not exist, text that is no linear condition, conditions that repeat or contradict one another.

    Examples
    --------
    >>> from mnarkit.pool.hypothesis import hypothesis
    >>> read = hypothesis("2*a - b = 1", ("a", "b", "age[T.40-59]"))
    >>> read.matrix.tolist(), read.values.tolist()
    ([[2.0, -1.0, 0.0]], [1.0])
    """
    read = _read(null, terms)
    if np.linalg.matrix_rank(read.matrix) < len(read.matrix):
        raise DataError(
            f"the {len(read.matrix)} conditions of {read.text!r} repeat or contradict one another; "
            "give each condition once"
        )
    return read


def _read(null: Any, terms: tuple[str, ...]) -> Hypothesis:
    if null is None:
        return _zero([term for term in terms if term not in _INTERCEPTS], terms)
    if isinstance(null, Estimates):
        return _lacking(null, terms)
    if isinstance(null, str):
        return _of_text([null], terms)
    if isinstance(null, Sequence) and null and all(isinstance(part, str) for part in null):
        return _of_text(list(null), terms)
    return _of_matrix(null, terms)


def _zero(names: Sequence[str], terms: tuple[str, ...]) -> Hypothesis:
    if not names:
        raise DataError(f"there is nothing to test: the larger model has {_listed(terms)} alone; name a hypothesis")
    rows = np.eye(len(terms))[[terms.index(name) for name in names]]
    return Hypothesis(", ".join(f"{name} = 0" for name in names), rows, np.zeros(len(names)))


def _lacking(null: Estimates, terms: tuple[str, ...]) -> Hypothesis:
    extra = [term for term in null.terms if term not in terms]
    if extra:
        raise DataError(
            f"the models are not nested: {_listed(extra)} of {null.what!r} is not among the terms of the larger one, "
            f"{_listed(terms)}; the larger model comes first"
        )
    lacking = [term for term in terms if term not in null.terms]
    if not lacking:
        raise DataError(f"both models have the terms {_listed(terms)}; the smaller one must lack at least one")
    return _zero(lacking, terms)


def _of_matrix(null: Any, terms: tuple[str, ...]) -> Hypothesis:
    pair = isinstance(null, tuple) and len(null) == 2
    matrix = np.atleast_2d(floats(null[0] if pair else null, "the hypothesis"))
    values = np.atleast_1d(floats(null[1], "the values of the hypothesis")) if pair else np.zeros(len(matrix))
    k, q = len(matrix), len(terms)
    if matrix.ndim != 2 or matrix.shape[1] != q or values.shape != (k,):
        raise DataError(
            f"a hypothesis on {q} terms is a matrix (k, {q}), or such a matrix and k values, "
            f"not {matrix.shape} with {values.shape}"
        )
    if not (np.isfinite(matrix).all() and np.isfinite(values).all()):
        raise DataError("the matrix or the values of the hypothesis are not finite; give finite numbers")
    return Hypothesis(f"{k} linear conditions" if k > 1 else "1 linear condition", matrix, values)


def _of_text(parts: list[str], terms: tuple[str, ...]) -> Hypothesis:
    conditions = [condition for part in parts for condition in _marked(part, terms).split(",")]
    rows, values = zip(*[_condition(condition, ", ".join(parts), terms) for condition in conditions], strict=True)
    return Hypothesis(", ".join(parts), np.stack(rows), np.array(values))


def _marked(text: str, terms: tuple[str, ...]) -> str:
    """'age[T.40-59] = x' as '<3> = <5>': names may hold any sign, so they are found before the signs are read."""
    numbers = {_squeezed(term): j for j, term in enumerate(terms)}
    longest = sorted(terms, key=len, reverse=True)
    spaced = [r"\s*".join(map(re.escape, _TOKEN.findall(name))) for name in longest]
    names = re.compile("|".join(rf"(?<![\w.\](:]){name}(?![\w.\[(:])" for name in spaced))
    return names.sub(lambda found: f"<{numbers[_squeezed(found[0])]}>", text)


def _squeezed(name: str) -> str:
    return "".join(_TOKEN.findall(name))


def _condition(marked: str, text: str, terms: tuple[str, ...]) -> tuple[np.ndarray, float]:
    sides = marked.split("=")
    if len(sides) != 2:
        raise DataError(f"a condition has one '=', such as '{terms[-1]} = 0'; {text!r} is none")
    left, right = (_side(side, text, terms) for side in sides)
    row = left - right
    if not row[:-1].any():
        raise DataError(f"a condition of {text!r} names no term; the terms are {_listed(terms)}")
    return row[:-1], -row[-1]


def _side(marked: str, text: str, terms: tuple[str, ...]) -> np.ndarray:
    """Coefficients of the terms, and last the constant."""
    compact = re.sub(r"\s+", "", marked)
    compact = compact if compact[:1] in ("+", "-") else f"+{compact}"
    row, at = np.zeros(len(terms) + 1), 0
    while at < len(compact):
        found = _PART.match(compact, at)
        if found is None or found.end() == at + 1 or (found["after"] and found["term"] is None):
            raise DataError(_unreadable(marked, text, terms))
        size = float(found["factor"] or 1) * float(found["after"] or 1)
        row[-1 if found["term"] is None else int(found["term"])] += size if found["sign"] == "+" else -size
        at = found.end()
    return row


def _unreadable(marked: str, text: str, terms: tuple[str, ...]) -> str:
    words = [word.strip() for word in _WORD.findall(marked) if not re.fullmatch(rf"<\d+>|{_NUMBER}", word.strip())]
    if not words:
        return f"{text!r} is no linear condition; write such as '2*{terms[0]} - {terms[-1]} = 1'"
    near = get_close_matches(words[0], terms, n=1)
    hint = f" — did you mean {near[0]!r}?" if near else ""
    return f"{words[0]!r} in {text!r} is not a term; the terms are {_listed(terms)}{hint}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - 12
    return ", ".join(map(repr, names[:12])) + (f" and {rest} more" if rest > 0 else "")
