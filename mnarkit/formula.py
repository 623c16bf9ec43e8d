"""R-style formulas with a closed list of functions: read and checked first, only then turned into a matrix."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from formulaic import Formula as Terms
from formulaic import ModelSpec
from formulaic.errors import FormulaicError
from formulaic.parser import DefaultFormulaParser
from formulaic.parser.algos.tokenize import tokenize
from formulaic.parser.types import Token

from mnarkit.bars import Bar, refuse_bar, split_bar
from mnarkit.calls import FUNCTIONS, check_call, shown
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError
from mnarkit.levels import Coding, check_levels, check_seen, code_levels, is_text
from mnarkit.sizes import check_size, count_terms, refusal

__all__ = ["Design", "Formula", "Term", "design", "parse"]

type Kind = Literal["value", "missing", "recorded"]

_MOST_TOKENS, _MOST_COLUMNS = 400, 1_000
_OPERATORS = frozenset({"", "+", "-", "+-", "*", "/", ":", "**", "^"})
_LEFT = re.compile(r"(missing|recorded)\s*\(\s*(?:`([^`]+)`|([^\W\d][\w.]*))\s*\)")


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a formula: `name` as printed ('1', 'educ', 'educ:city', 'log(x)') and the columns it reads.

    `bare` is true for one column, untransformed; of `holes`, whether they are recorded is read alone; `factors` are the
    columns that multiply the rest of the term: `y` and `arm` in `y:arm`.
    """

    name: str
    columns: frozenset[str]
    bare: bool
    holes: frozenset[str] = frozenset()
    factors: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was read and checked; build it with `parse`.

    Attributes
    ----------
    text : str
        As given, stripped.
    response : str or None
        `y` in `y ~ x`, `missing(y) ~ x` and `recorded(y) ~ x`.
    kind : {"value", "missing", "recorded"} or None
        What the left side says about the response.
    terms : tuple of Term
        The terms of the right side by degree, the intercept (named '1') first when present; without random ones.
    bar : Bar or None
        The random terms.
    """

    text: str
    response: str | None
    kind: Kind | None
    terms: tuple[Term, ...]
    bar: Bar | None = None

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the right side reads, that of the groups too; not those of which it asks for holes alone."""
        terms = (*self.terms, *(() if self.random is None else self.random.terms))
        groups = frozenset() if self.bar is None else frozenset({self.bar.group})
        return groups.union(*(term.columns for term in terms))

    @property
    def fixed(self) -> "Formula":
        """The formula without its random terms."""
        return self if self.bar is None else parse(split_bar(self.text)[0])

    @property
    def random(self) -> "Formula | None":
        """The right-hand side of the random terms."""
        return None if self.bar is None else parse(self.bar.terms)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A design matrix that remembers how it was made.

    Attributes
    ----------
    names : tuple of str
        The columns of the matrix: 'Intercept', 'educ', 'city[T.yes]', ...
    matrix : ndarray, shape (n, q)
        float64, C order, finite.
    model_spec : formulaic.ModelSpec
        The state of scaling, splines and codings.
    columns : tuple of str
        The columns of the table that the matrix reads.
    codings : mapping of str to coding
        The levels of every factor, by its expression.
    holes : tuple of str
        The columns of which the matrix reads whether they are recorded.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    model_spec: Any
    columns: tuple[str, ...]
    codings: Mapping[str, Coding]
    holes: tuple[str, ...] = ()

    def rebuild(self, data: IncompleteData | pd.DataFrame) -> np.ndarray:
        """Build the same columns for other rows: float64, shape (rows, q).

        Raises
        ------
        DataError
            A hole, a level that was not there before, or a term that is not finite.
        """
        data = IncompleteData.of(data)
        data.require((*self.columns, *self.holes), "the formula")
        for column in self.columns:
            check_seen(column, data)
        for coding in self.codings.values():
            check_levels(coding, data)
        return _materialize(self.model_spec, _frame(self.columns, self.codings, data, self.holes))[0]


def parse(text: str) -> Formula:
    """Read a formula without evaluating it.

    Parameters
    ----------
    text : str
        `y ~ terms`, `missing(y) ~ terms`, `recorded(y) ~ terms`, or terms alone, and `(1 + x | id)` among them once.
        Terms are columns joined by
        `+ - : * / ** ^`, with 0, 1 or -1 for the intercept, and calls such as `log(x)`, `I(x**2)`, `C(x)`,
        `poly(x, 2)`, `bs(x, df=4)`. A column whose name is not an identifier stands in backticks.

    Raises
    ------
    FormulaError
        Anything else, or more than 200 terms.

    Examples
    --------
    >>> from mnarkit.formula import parse
    >>> formula = parse("missing(income) ~ age + log(rooms)")
    >>> formula.response, formula.kind, [term.name for term in formula.terms]
    ('income', 'missing', ['1', 'age', 'log(rooms)'])
    """
    return _reading(text)[0]


def design(
    formula: Formula,
    data: IncompleteData,
    *,
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Design:
    """Build the matrix X, shape (n, q), of a formula's right side; text is coded by treatment contrasts.

    Parameters
    ----------
    formula : Formula
        From `parse`.
    data : IncompleteData
        Every column that is used must be fully seen.
    leave_out : collection of str
        Columns whose terms are not built, because the caller models them.
    only : collection of str, optional
        Columns of which one must stand in a term for it to be built.

    Raises
    ------
    SpecError
        A column that is not in the table.
    DataError
        Holes, text inside a numeric function, more than 1,000 columns, or a term that is not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> from mnarkit.data import IncompleteData
    >>> from mnarkit.formula import design, parse
    >>> data = IncompleteData.of(pd.DataFrame({"age": [1, 2, 3], "city": ["no", "yes", "no"]}))
    >>> design(parse("y ~ age + city"), data).names
    ('Intercept', 'age', 'city[T.yes]')
    """
    refuse_bar(formula.bar, f"a design matrix of {shown(formula.text)}")
    read, built = _reading(formula.text)
    kept = [
        b
        for term, b in zip(read.terms, built, strict=True)
        if not term.columns & set(leave_out) and (only is None or term.columns & set(only))
    ]
    what = f"the formula {shown(read.text)}"
    columns = tuple(dict.fromkeys(column for term in kept for f in term.factors for column in sorted(_columns(f))))
    holes = tuple(dict.fromkeys(c for term in kept for f in term.factors for c in sorted(_holes(f))))
    data.require((*columns, *holes), what)
    for column in columns:
        check_seen(column, data)
    codings = dict(_codings(kept, data))
    width = sum(prod(_width(f, codings) for f in term.factors) for term in kept)
    if width > _MOST_COLUMNS:
        raise DataError(f"{what} makes about {width} columns of at most {_MOST_COLUMNS}; merge levels or drop terms")
    matrix, spec = _materialize(
        ModelSpec.from_spec(kept, na_action="ignore", output="numpy"), _frame(columns, codings, data, holes)
    )
    names = tuple(spec.column_names)
    if len(set(names)) < len(names):
        raise FormulaError(f"{what} gives two columns of the design the same name; rename a column of the table")
    return Design(names, matrix, spec, columns, codings, holes)


# Reading: every token is checked before formulaic parses, every call before it is ever evaluated


def _reading(text: str) -> tuple[Formula, tuple[Any, ...]]:
    if not isinstance(text, str):
        raise FormulaError(f"a formula is text such as 'y ~ x', not {type(text).__name__}")
    return _read(text.strip())


@cache
def _read(text: str) -> tuple[Formula, tuple[Any, ...]]:
    check_size(text)
    fixed, bar = split_bar(text)
    if bar is not None:
        return _with_random_terms(text, fixed, bar)
    try:
        tokens = list(tokenize(text))
        response, kind, right = _sides(text, tokens)
        called = _check_tokens(text, right)
        source = text.partition("~")[2] if kind else text
        tree = DefaultFormulaParser(feature_flags=DefaultFormulaParser.FeatureFlags.NONE).get_ast(source)
        count_terms(text, tree)
        built = tuple(cast(Any, Terms)(source))
    except FormulaError:
        raise
    except (FormulaicError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise refusal(text, "cannot be read; write it as in 'y ~ x + log(z) + a:b'") from error
    terms = tuple(_term(text, term) for term in built)
    if kind not in ("missing", "recorded") and any(term.holes for term in terms):
        raise refusal(text, "asks for missing(...), which stands on the right of a model of holes alone")
    clash = sorted(called & frozenset[str]().union(*(term.columns for term in terms)))
    if clash:
        raise refusal(text, f"uses {clash[0]!r} both as a column and as a function; rename the column")
    return Formula(text, response, kind, terms), built


def _with_random_terms(text: str, fixed: str, bar: Bar) -> tuple[Formula, tuple[Any, ...]]:
    read, built = _read(fixed)
    random = _read(bar.terms)[0]
    if random.kind is not None or not random.terms or any(t.holes for t in random.terms):
        raise refusal(text, f"has {shown(bar.terms)} before the bar; random terms are 1 and columns: (1 + x | id)")
    return Formula(text, read.response, read.kind, read.terms, bar), built


def _sides(text: str, tokens: list[Token]) -> tuple[str | None, Kind | None, list[Token]]:
    """Split into the response, what is said about it, and the tokens of the right side."""
    if len(tokens) > _MOST_TOKENS:
        raise refusal(text, f"has {len(tokens)} words and signs; at most {_MOST_TOKENS} are read")
    tildes = [i for i, token in enumerate(tokens) if token.kind is Token.Kind.OPERATOR and "~" in token.token]
    if not tildes:
        return None, None, tokens
    if len(tildes) > 1 or text.count("~") > 1:
        raise refusal(text, "has more than one '~'; write 'y ~ x'")
    at = tildes[0]
    if len(tokens) == at + 1:
        raise refusal(text, "has an empty right side; write '1' for an intercept alone")
    if at == 1 and tokens[0].kind is Token.Kind.NAME:
        return _name(text, tokens[0].token), "value", tokens[1:]
    match = _LEFT.fullmatch(tokens[0].token) if at == 1 and tokens[0].kind is Token.Kind.PYTHON else None
    if match is None:
        raise refusal(text, "has a left side that is not a column, missing(column) or recorded(column)")
    kind: Kind = "missing" if match[1] == "missing" else "recorded"
    return _name(text, match[2] or match[3]), kind, tokens[1:]


def _check_tokens(text: str, tokens: list[Token]) -> frozenset[str]:
    """Refuse whatever is not on the list; the names of the functions that are called."""
    called: set[str] = set()
    for token in tokens:
        match token.kind:
            case Token.Kind.OPERATOR if token.token.removeprefix("~") not in _OPERATORS:
                raise refusal(text, f"uses {shown(token.token)}; the signs are + - : * / ** ^ ~")
            case Token.Kind.CONTEXT if token.token not in "()":
                raise refusal(text, f"uses {token.token!r}; group terms by parentheses")
            case Token.Kind.VALUE if token.token not in ("0", "1", "2", "3"):
                raise refusal(text, f"uses {shown(token.token)}; outside calls only 0 and 1 are terms: I(2 * x)")
            case Token.Kind.NAME:
                _name(text, token.token)
            case Token.Kind.PYTHON:
                called |= check_call(token.token).functions
    return frozenset(called)


def _name(text: str, name: str) -> str:
    if name.strip(".") == "":
        raise refusal(text, f"uses {name!r}; name the columns one by one")
    if name.startswith("__"):
        raise refusal(text, f"names {shown(name)}; names that begin with two underscores are reserved")
    if re.match(r"\w+\s*\(", name) and name.partition("(")[0].strip() in FUNCTIONS:
        raise refusal(text, f"quotes {shown(name)}, which reads as a function call; rename the column")
    return name


def _term(text: str, term: Any) -> Term:
    if len(term.factors) > 1 and any(factor.eval_method.value == "literal" for factor in term.factors):
        raise refusal(text, f"multiplies a term by a number in {shown(str(term))}; write I(2 * x)")
    columns = frozenset[str]().union(*(_columns(factor) for factor in term.factors))
    holes = frozenset[str]().union(*(_holes(factor) for factor in term.factors))
    plain = [factor.expr for factor in term.factors if factor.eval_method.value == "lookup"]
    called = [_columns(factor) for factor in term.factors if factor.eval_method.value != "lookup"]
    factors = frozenset(plain).difference(*called)
    return Term(str(term), columns, len(term.factors) == len(plain) == 1, holes, factors)


def _columns(factor: Any) -> frozenset[str]:
    match factor.eval_method.value:
        case "lookup":
            return frozenset({factor.expr})
        case "python":
            return check_call(factor.expr).columns
    return frozenset()


def _holes(factor: Any) -> frozenset[str]:
    return check_call(factor.expr).holes if factor.eval_method.value == "python" else frozenset()


# Building: every column is seen and typed, every level known, before formulaic is handed anything


def _codings(terms: list[Any], data: IncompleteData) -> Iterator[tuple[str, Coding]]:
    for factor in {factor.expr: factor for term in terms for factor in term.factors}.values():
        for column in _columns(factor):
            whole = factor.eval_method.value == "lookup" and is_text(data.frame[column])
            if whole or (factor.eval_method.value == "python" and check_call(factor.expr).function == "C"):
                yield factor.expr, code_levels(column, data)


def _width(factor: Any, codings: Mapping[str, Coding]) -> int:
    if factor.expr in codings:
        return len(codings[factor.expr].levels)
    return check_call(factor.expr).width if factor.eval_method.value == "python" else 1


def _frame(
    columns: tuple[str, ...], codings: Mapping[str, Coding], data: IncompleteData, holes: tuple[str, ...]
) -> pd.DataFrame:
    """Take the columns that a formula reads, as float64 or with the known levels; of holes, a number where recorded."""
    asked = {column: np.where(data.seen(column), 1.0, np.nan) for column in holes if column not in columns}
    levels = {coding.column: coding.levels for coding in codings.values() if not coding.numeric}
    return pd.DataFrame(
        {
            column: pd.Categorical(data.frame[column].to_numpy(dtype=object), categories=list(levels[column]))
            if column in levels
            else data.number(column)
            for column in columns
        }
        | asked,
        index=range(data.n),
    )


def _materialize(spec: Any, frame: pd.DataFrame) -> tuple[np.ndarray, Any]:
    """Build a finite float64 matrix and the ModelSpec that can repeat it."""
    try:
        with np.errstate(all="ignore"):
            built = spec.get_model_matrix(frame, context=FUNCTIONS)
    except (FormulaicError, ArithmeticError, TypeError, ValueError) as error:
        reason = shown(" ".join(str(error.__cause__ or error).split()))
        raise DataError(f"the formula cannot be built from these rows: {reason}") from error
    names = built.model_spec.column_names
    matrix = np.ascontiguousarray(np.asarray(built, dtype=np.float64).reshape(len(frame), len(names)))
    bad = ~np.isfinite(matrix)
    if bad.any():
        at = int(bad.any(axis=0).argmax())
        raise DataError(
            f"the term {names[at]!r} is not finite in {int(bad[:, at].sum())} rows; change the term or those values"
        )
    return matrix, built.model_spec
