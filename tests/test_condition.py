"""Conditions on rows: a closed grammar, R's precedence, and nothing that runs."""

import time

import numpy as np
import pandas as pd
import pytest

from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError, SpecError

FRAME = pd.DataFrame(
    {
        "arm": ["drug", "none", "drug", "none"],
        "site": pd.Categorical(["A", "B", "A", "B"], ["A", "B", "C"]),
        "wave": pd.Categorical([1, 2, 1, 2]),
        "age": [40, 50, 60, 70],
        "base": [0.0, 1.0, 2.0, 3.0],
        "treated": [True, False, True, False],
        "my col": [1.0, 2.0, 3.0, 4.0],
        "holed": [1.0, None, None, 4.0],
    }
)
DATA = IncompleteData.of(FRAME)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("arm == 'drug' & age >= 50", "0010"),
        ("(arm == 'drug') & (age >= 50)", "0010"),
        ("arm == 'drug' and age >= 50", "0010"),
        ("arm == 'drug' | age > 60", "1011"),
        ("arm == 'drug' || age > 60 && base < 9", "1011"),
        ("~(arm == 'drug') & age < 60", "0100"),
        ("!treated", "0101"),
        ("not treated or age == 60", "0111"),
        ("treated", "1010"),
        ("treated == True", "1010"),
        ("treated & True", "1010"),
        ("45 < age <= 60", "0110"),
        ("age in [40, 70]", "1001"),
        ("age in []", "0000"),
        ("base not in (-1, +1)", "1011"),
        ("arm in ['none']", "0101"),
        ("site != 'A'", "0101"),
        ("'A' == site", "1010"),
        ("site == 'C'", "0000"),
        ("wave == 2", "0101"),
        ("age - 10 * base < 41", "1111"),
        ("-base < -1 - 0.5", "0011"),
        ("age / 2 > 29", "0011"),
        ("`my col` >= 3", "0011"),
        ('arm != "a & b | \'" or age > 0', None),
    ],
)
def test_conditions_hold_where_they_should(text, rows):
    if rows is None:
        with pytest.raises(DataError, match="'arm' is never"):
            evaluate(condition(text), DATA)
        return
    held = evaluate(condition(text), DATA)
    assert held.dtype == bool
    assert held.shape == (4,)
    assert "".join(str(int(row)) for row in held) == rows


def test_it_agrees_with_pandas_on_random_tables():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(200, 3)).round(1), columns=["a", "b", "c"])
    text = "(a > b | c <= 0.3) & ~(a + 2 * b > c)"
    expected = ((frame.a > frame.b) | (frame.c <= 0.3)) & ~(frame.a + 2 * frame.b > frame.c)
    np.testing.assert_array_equal(evaluate(condition(text), IncompleteData.of(frame)), expected)


def test_the_columns_are_known_before_there_are_data():
    assert condition(" arm == 'age' & `my col` > base ").columns == {"arm", "my col", "base"}
    assert condition("age > 1") == condition("age > 1 ")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("arm == 'Drug'", DataError, "'arm' is never 'Drug'; its levels are 'drug', 'none'"),
        ("arm in ['drug', 'Placebo']", DataError, "never 'Placebo'"),
        ("arm == 3", DataError, "'arm' is never 3"),
        ("arm > 'a'", FormulaError, "'arm' holds text"),
        ("arm + 1 > 2", FormulaError, "'arm' holds text"),
        ("age == 'drug'", FormulaError, "'drug' stands where a number is needed"),
        ("age & treated", FormulaError, "'age' is not true or false"),
        ("age in 3", FormulaError, "takes a list"),
        ("holed > 1", DataError, "'holed' has 2 holes"),
        ("ages > 1", SpecError, "did you mean 'age'"),
        ("base / base > 0", DataError, "0 by 0 in 1 rows"),
    ],
)
def test_conditions_that_do_not_fit_the_table(text, error, said):
    with pytest.raises(error, match=said) as caught:
        evaluate(condition(text), DATA)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "attack",
    [
        "",
        "age",
        "1 < 2",
        "age = 3",
        "age.real > 1",
        "__import__('os').system('echo hi')",
        "__class__ == 1",
        "(lambda: 1)() == age",
        "[x for x in age] == 1",
        "f'{age}' == '1'",
        "age ** 9 > 1",
        "age[0] == 1",
        "age == 10 ** 10 ** 10",
        "age == 1e999",
        "age == " + "9" * 500,
        "age if treated else base",
        "(age := 3) > 1",
        "age == b'x'",
        "age == ...",
        "age == None",
        "age == {1: 2}",
        "age in [[1]]",
        "age in [" + "1," * 300 + "]",
        "age @ base > 1",
        "age << 99 > 1",
        "age is 3",
        "await age",
        "age > 1; import os",
        "age > 1\n@x",
        "(" * 150 + "age" + ")" * 150 + " @ 1",
        "(" * 900 + "age > 1" + ")" * 900,
        "-" * 1900 + "age > 1",
        "not " * 400 + "treated",
        "~" * 1900 + "treated",
        "+".join(["age"] * 400) + " > 1",
        "age > 1 & " * 400 + "age > 1",
        "age > 1 &" + " " * 3000 + "age > 2",
        "'" * 1999,
        "`" * 1999,
        "age \x00 > 1",
        "age > 1 # `",
    ],
)
def test_attacks_end_in_one_line_at_once(attack):
    start = time.perf_counter()
    with pytest.raises((FormulaError, DataError)) as caught:
        evaluate(condition(attack), DATA)
    assert time.perf_counter() - start < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_condition_is_text():
    with pytest.raises(FormulaError, match="not list"):
        condition([])  # pyright: ignore[reportArgumentType]
