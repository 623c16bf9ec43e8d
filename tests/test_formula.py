"""Formulas: read without running, expanded without blowing up, rebuilt without losing levels."""

import pickle
import time
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnarkit.calls import FUNCTIONS
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError, MnarkitError, SpecError
from mnarkit.formula import Design, design, parse

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "z": [2, 2, 3, 3, 4, 4],
        "flag": [True, False] * 3,
        "city": ["b", "a", "c", "a", "b", "c"],
        "arm": pd.Categorical(["u", "v", "u", "w", "v", "u"], ["w", "v", "u", "never"]),
        "whole": pd.array([1, 2, 3, 4, 5, 7], "Int64"),
        "my col": [1.0, 2.0, 3.0, 5.0, 1.0, 2.0],
        "y": [1.0, None, 3.0, None, 5.0, 6.0],
    }
)
DATA = IncompleteData.of(FRAME)
X = FRAME["x"].to_numpy()


def built(text: str, **options) -> Design:
    return design(parse(text), DATA, **options)


def column(text: str) -> np.ndarray:
    return built(f"0 + {text}").matrix[:, 0]


@pytest.mark.parametrize(
    ("text", "response", "kind", "names"),
    [
        ("y ~ x + z", "y", "value", ["1", "x", "z"]),
        (" missing(y)~x ", "y", "missing", ["1", "x"]),
        ("recorded( `my col` ) ~ x", "my col", "recorded", ["1", "x"]),
        ("`my col` ~ 1", "my col", "value", ["1"]),
        ("a.b ~ c.d", "a.b", "value", ["1", "c.d"]),
        ("y ~ 0 + x", "y", "value", ["x"]),
        ("y ~ -1 + x", "y", "value", ["x"]),
        ("y ~ x - 1", "y", "value", ["x"]),
        ("y ~ 0", "y", "value", []),
        ("x", None, None, ["1", "x"]),
        ("y ~ x:z + x", "y", "value", ["1", "x", "x:z"]),
        ("y ~ x*z - z", "y", "value", ["1", "x", "x:z"]),
        ("y ~ (x + z + w)**2 - x:z", "y", "value", ["1", "x", "z", "w", "x:w", "z:w"]),
        ("y ~ x/z", "y", "value", ["1", "x", "x:z"]),
        ("y ~ log( x )+I(x**-2)", "y", "value", ["1", "log(x)", "I(x ** (-2))"]),
        ("y ~ `a ~ b` ", "y", None, None),
    ],
)
def test_parse(text, response, kind, names):
    if names is None:
        with pytest.raises(FormulaError, match="more than one '~'"):
            parse(text)
        return
    formula = parse(text)
    assert (formula.text, formula.response, formula.kind) == (text.strip(), response, kind)
    assert [term.name for term in formula.terms] == names


def test_terms_know_their_columns_and_whether_they_are_bare():
    known = {
        term.name: (set(term.columns), term.bare) for term in parse("y ~ x + `my col` + log(z) + x:z + C(z)").terms
    }
    assert known == {
        "1": (set(), False),
        "x": ({"x"}, True),
        "my col": ({"my col"}, True),
        "log(z)": ({"z"}, False),
        "C(z)": ({"z"}, False),
        "x:z": ({"x", "z"}, False),
    }


def test_formulas_are_values():
    assert parse("y ~ x") is parse(" y ~ x")
    assert pickle.loads(pickle.dumps(parse("y ~ x"))) == parse("y ~ x")
    assert len({parse("y ~ x"), parse("y ~ x"), parse("y ~ z")}) == 2


def test_a_design_by_hand():
    made = built("y ~ x + city + x:arm")
    assert made.names == ("Intercept", "x", "city[T.b]", "city[T.c]", "x:arm[T.v]", "x:arm[T.u]")
    arm, city = FRAME["arm"].to_numpy(), FRAME["city"].to_numpy()
    expected = [X**0, X, city == "b", city == "c", X * (arm == "v"), X * (arm == "u")]
    np.testing.assert_array_equal(made.matrix, np.column_stack(expected))
    assert made.matrix.dtype == np.float64
    assert made.matrix.flags.c_contiguous


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(x)", np.log(X)),
        ("log2(x)", np.log2(X)),
        ("log10(x)", np.log10(X)),
        ("log1p(x)", np.log1p(X)),
        ("exp(x)", np.exp(X)),
        ("expm1(x)", np.expm1(X)),
        ("sqrt(x)", np.sqrt(X)),
        ("abs(-x)", X),
        ("I(x**2 / 2 - 1)", X**2 / 2 - 1),
        ("I(2 * x)", 2 * X),
        ("center(x)", X - X.mean()),
        ("scale(x)", (X - X.mean()) / X.std(ddof=1)),
        ("scale(x, True, scale=2)", (X - X.mean()) / 2),
        ("log(scale(x) ** 2 + 1)", np.log(((X - 3.5) / X.std(ddof=1)) ** 2 + 1)),
        ("flag", [1, 0, 1, 0, 1, 0]),
        ("whole", [1, 2, 3, 4, 5, 7]),
        ("`my col`:x", FRAME["my col"] * X),
    ],
)
def test_every_function_is_the_one_it_says(text, expected):
    np.testing.assert_allclose(column(text), expected, rtol=1e-14, atol=1e-14)


def test_bases_span_what_they_should():
    quadratic = np.column_stack([X**0, X, X**2])
    made = built("poly(x, 2)").matrix
    np.testing.assert_allclose(made[:, 1:].T @ made[:, 1:], np.eye(2), atol=1e-12)
    assert np.linalg.matrix_rank(np.column_stack([made, quadratic])) == 3
    assert built("bs(x, df=4)").matrix.shape == (6, 5)
    assert built("cs(x, df=3)").matrix.shape == (6, 4)


def test_numbers_as_levels():
    assert built("C(z)").names == ("Intercept", "C(z)[T.3]", "C(z)[T.4]")
    assert built("C(flag)").names == ("Intercept", "C(flag)[T.1]")


def test_no_terms_make_no_columns():
    assert built("y ~ 0").matrix.shape == (6, 0)
    np.testing.assert_array_equal(built("y ~ 1").matrix, np.ones((6, 1)))


def test_left_out_columns_lose_their_terms_and_others_keep_their_coding():
    assert built("x + y + z", leave_out=["y"]).names == ("Intercept", "x", "z")
    assert built("x + y + x:y + x:arm", leave_out={"y"}).names == built("x + x:arm").names
    assert built("x * arm + z", only={"x"}).names == ("x", "x:arm[T.v]", "x:arm[T.u]")
    assert built("x:arm + z", only={"x"}).names == ("x:arm[w]", "x:arm[v]", "x:arm[u]")


@pytest.mark.parametrize(
    "text",
    [
        "x*city",
        "C(z) + scale(x):arm",
        "poly(x, 3) + bs(z, df=4)",
        "log(center(x) + 9)",
        "C(arm) + flag + `my col`",
        "0",
        "1",
    ],
)
def test_rebuild_repeats_the_design_for_any_rows(text):
    made = built(text)
    for rows in ([0, 1, 2, 3, 4, 5], [3], [5, 0, 0]):
        again = made.rebuild(FRAME.iloc[rows])
        np.testing.assert_allclose(again, made.matrix[rows], rtol=1e-13, atol=1e-13)
        assert again.flags.c_contiguous


def test_rebuild_does_not_change_the_design():
    made = built("scale(x) + city")
    before = made.matrix.copy()
    made.rebuild(FRAME.assign(x=FRAME["x"] + 100))
    np.testing.assert_array_equal(made.matrix, before)
    np.testing.assert_array_equal(made.rebuild(DATA), before)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"city": ["q", "a", "q", "a", "b", "c"]}, "'city' is 'q' in 2 rows; the levels known are 'a', 'b', 'c'"),
        ({"arm": "never"}, "'arm' is 'never' in 6 rows; the levels known are 'w', 'v', 'u'"),
        ({"z": [9, 2, 2, 2, 2, 2]}, "'z' is 9.0 in 1 rows; the levels known are 2.0, 3.0, 4.0"),
        ({"city": [None, "a", "b", "a", "b", "c"]}, "'city' has 1 holes"),
        ({"x": -1.0}, r"'log\(x\)' is not finite in 6 rows"),
    ],
)
def test_rebuild_refuses_rows_it_does_not_know(changed, said):
    with pytest.raises(DataError, match=said):
        built("city + arm + C(z) + log(x)").rebuild(FRAME.assign(**changed))


def test_a_design_survives_pickling():
    made = built("scale(x) + city")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).rebuild(DATA), made.matrix)


def test_rebuild_needs_its_columns():
    with pytest.raises(SpecError, match="names 'city'; the columns are 'x'"):
        built("city").rebuild(FRAME[["x"]])


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("y ~ xx", SpecError, "the formula 'y ~ xx' names 'xx'; the columns are 'x'.*did you mean 'x'"),
        ("np", SpecError, "names 'np'"),
        ("log(city)", DataError, "'city' is not numeric"),
        ("city + log(city)", DataError, "cannot be built"),
        ("log(x - 1)", DataError, r"'log\(x - 1\)' is not finite in 1 rows"),
        ("poly(flag, 5)", DataError, "not finite"),
        ("bs(x, lower_bound=3)", DataError, "cannot be built from these rows"),
        ("poly(x, 20):poly(z, 20):poly(whole, 20)", DataError, "columns of at most 1000"),
        ("y", DataError, "'y' has 2 holes"),
    ],
)
def test_formulas_that_do_not_fit_the_table(text, error, said):
    with pytest.raises(error, match=said) as caught:
        built(text)
    assert "\n" not in str(caught.value)


def test_identifiers_as_levels_are_bounded():
    many = IncompleteData.of(pd.DataFrame({"name": [f"n{i}" for i in range(2_000)]}))
    with pytest.raises(DataError, match="about 2001 columns of at most 1000"):
        design(parse("name"), many)


def test_names_of_the_design_stay_apart():
    twin = IncompleteData.of(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "a:b": [5.0, 6.0]}))
    with pytest.raises(FormulaError, match="same name"):
        design(parse("a:b + `a:b`"), twin)


def test_a_column_named_as_a_function_does_not_replace_it():
    twin = IncompleteData.of(pd.DataFrame({"log": [1.0, 2.0], "x": [1.0, 2.0]}))
    assert design(parse("log + x"), twin).names == ("Intercept", "log", "x")
    np.testing.assert_allclose(design(parse("0 + log(x)"), twin).matrix[:, 0], np.log([1, 2]))
    for text in ("log + log(x)", "log(log)", "`log(x)` + log(x)"):
        with pytest.raises(FormulaError, match="rename the column"):
            parse(text)


ATTACKS = [
    "",
    "   ",
    "~",
    "y ~",
    "y ~ x ~ z",
    "y + z ~ x",
    "log(y) ~ x",
    "missing(y, z) ~ x",
    "missing(__import__('os')) ~ x",
    "x +",
    "x z",
    "(x",
    "x)",
    "x | z",
    "(1 + x || z)",
    "(1 + x | z) + (1 | w)",
    "(1 + x | z | w)",
    "(1 + x | z + w)",
    "x:(1 + x | z)",
    "(__import__('os') | z)",
    ".",
    "y ~ .",
    "...",
    "x %in% z",
    "[x ~ z]",
    "x[0]",
    "'x'",
    "x = 3",
    "x; z",
    "2 * x",
    "x:2",
    "1:x",
    "x ** 0",
    "x ** 9",
    "x ** -1",
    "x ** 99999999999",
    "x ^ 4",
    "(x + z) ** (2 + 1)",
    "(x + z) ** 2 ** 3",
    "2**10**10",
    "I(2**10**10)",
    "I(x + 2**10**10)",
    "I(10**10)",
    "I(x ** z)",
    "I(x ** 4)",
    "I(x ** True)",
    "I(x ** 2.0 ** 3)",
    "I(x + 1e999)",
    "I(x + " + "9" * 280 + ")",
    "I(x + 1j)",
    "I(x + 'a')",
    "I(x % 2)",
    "I(x // 2)",
    "I(x > 2)",
    "I(x and z)",
    "I(x @ z)",
    "I(x << 60)",
    "I(x if z else x)",
    "I((x := 3))",
    "I(lambda: x)",
    "I((lambda: x)())",
    "I([x for x in z])",
    "I((x for x in z))",
    "I(f'{x}')",
    "I(*x)",
    "I(**x)",
    "I(x, x)",
    "I()",
    "log(2)",
    "log(log)",
    "x.real(z)",
    "I(x.values)",
    "I(x).real",
    "I(x)[0]",
    "I(x.__class__.__mro__)",
    "I(__builtins__)",
    "__import__('os').system('echo hi')",
    "I(__import__('os').system('echo hi'))",
    '{__import__("os").system("echo hi")}',
    "{x}",
    "`{x}`",
    "eval('x')",
    "np.log(x)",
    "open(x)",
    "hashed(x, levels=10)",
    "lag(x)",
    "__FORMULAIC_CONTEXT__",
    "`__class__`",
    "log(`my col`)",
    "log(x, out=z)",
    "log(x, 2)",
    "abs(x)(z)",
    "poly(x, 99999)",
    "poly(x, degree=21)",
    "poly(x, -1)",
    "poly(x, 2.5)",
    "poly(x, z)",
    "poly(x, True)",
    "poly(x, 2, _state={})",
    "poly(x, _state=z)",
    "poly(poly(x, 2), 2)",
    "I(C(x))",
    "C(x + z)",
    "C(x, contr.sum)",
    "C(x, levels=['a'])",
    "bs(x, df=10**9)",
    "bs(x, df=99999)",
    "bs(x, knots=[" + "1," * 30 + "])",
    "bs(x, knots=range(9))",
    "bs(x, knots=[[1]])",
    "bs(x, extrapolation='evil')",
    "scale(x, scale=0)",
    "*".join("abcdefghijklmnopqrstuvwxyz"),
    "(" + "+".join("abcdefgh") + ")**8",
    "(" + "+".join(f"x{i}" for i in range(100)) + ")**3",
    "((a+b+c+d)**3)**3",
    "((a+b+c+d+e)**3):((f+g+h+i+j)**3)",
    "x - " + "*".join("abcdefghijklmnop"),
    "/".join("abcdefghijklmnop"),
    " + ".join(f"x{i}" for i in range(250)),
    "x" * 5_000,
    "x+" * 900 + "x",
    "+" * 1_900 + "x",
    "- " * 900 + "x",
    "+(" * 15 + "- " * 500 + "x" + ")" * 15,
    "(" * 900 + "x" + ")" * 900,
    "log(" * 300 + "x" + ")" * 300,
    "I(" + "-" * 1_900 + "x)",
    "I(" + "-" * 290 + "x)",
    "I(" + "x+" * 140 + "x" + " ** z)",
    "'" * 1_999,
    "`" * 1_999,
    "`" + "x" * 1_000,
    "x \x00",
    "I(x\x00)",
    "I(x # \n @ z)",
    "I(1if x else z)",
    "\ud800",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_end_in_one_line_at_once(attack):
    start = time.perf_counter()
    with pytest.raises(FormulaError) as caught:
        parse(attack)
    assert time.perf_counter() - start < 1
    assert "\n" not in str(caught.value)
    assert 10 < len(str(caught.value)) < 500


def test_nothing_runs(tmp_path):
    trace = tmp_path / "trace"
    for code in (f"__import__('pathlib').Path({str(trace)!r}).touch()", f"open({str(trace)!r}, 'w')"):
        for text in (code, f"I({code})", f"{{{code}}}", f"missing({code}) ~ x", f"C(x, {code})", f"poly(x, {code})"):
            with pytest.raises(FormulaError):
                built(text)
    assert not trace.exists()


def test_a_formula_that_was_not_parsed_is_checked_all_the_same():
    forged = type(parse("x"))("I(__import__('os'))", None, None, ())
    with pytest.raises(FormulaError):
        design(forged, DATA)


def test_the_longest_allowed_formulas_are_read_at_once():
    start = time.perf_counter()
    assert len(parse(" + ".join(f"x{i}" for i in range(199))).terms) == 200
    assert len(parse("(" + "+".join("abcdefghi") + ")**3").terms) == 130
    assert len(parse("a*b*c*d*e*f*g").terms) == 128
    assert time.perf_counter() - start < 2


def test_a_formula_is_text():
    with pytest.raises(FormulaError, match="not list"):
        parse(["y ~ x"])  # pyright: ignore[reportArgumentType]


PIECES = [
    "x",
    "z",
    "city",
    "1",
    "0",
    "+",
    "-",
    "*",
    ":",
    "/",
    "**",
    "2",
    "(",
    ")",
    "~",
    "`",
    "'",
    ",",
    ".",
    "log(",
    "I(",
    "{",
    "[",
    "\\",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *FUNCTIONS]), max_size=14).map(" ".join))
def test_any_text_is_read_or_refused(text):
    with suppress(MnarkitError):
        made = built(text)
        assert made.matrix.shape == (6, len(made.names))
        assert np.isfinite(made.matrix).all()
