"""Tables come in once: copied, checked, and read without surprises."""

import decimal
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError

BORDER = "import pandas as pd; from mnarkit.data import IncompleteData as D; "


def of(**columns) -> IncompleteData:
    return IncompleteData.of(pd.DataFrame(columns))


def test_the_copy_is_private_and_keeps_index_and_dtypes():
    table = pd.DataFrame({"a": pd.array([1, None], "Int64")}, index=["p", "q"])
    data = IncompleteData.of(table)
    table.loc["p", "a"] = 99
    assert data.n == 2
    assert data.columns == ("a",)
    assert data.frame.index.tolist() == ["p", "q"]
    assert str(data.frame["a"].dtype) == "Int64"
    assert data.number("a")[0] == 1
    assert IncompleteData.of(data) is data


def test_an_arrow_table_comes_in():
    data = IncompleteData.of(pa.table({"a": [1.5, None]}))
    np.testing.assert_array_equal(data.number("a"), [1.5, np.nan])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([1, 2], "type list"),
        ({"a": [1]}, "type dict"),
        (pd.Series([1.0]), "type Series"),
        (pd.DataFrame({"a": []}), "0 rows and 1 columns"),
        (pd.DataFrame(index=[0]), "1 rows and 0 columns"),
        (pd.DataFrame({3: [1], "a": [2]}), "1 column names are not text, the first is 3"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), r"'a' \(2 times\)"),
    ],
)
def test_what_is_no_table_is_refused(table, said):
    with pytest.raises(DataError, match=said) as caught:
        IncompleteData.of(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1.0, np.nan]),
        pd.Series(pd.array([1, None], "Int8")),
        pd.Series(pd.array([True, None], "boolean")),
        pd.Series([1, None], dtype=pd.ArrowDtype(pa.int32())),
        pd.Series([True, None], dtype=pd.ArrowDtype(pa.bool_())),
        pd.Series([decimal.Decimal(1), None], dtype=pd.ArrowDtype(pa.decimal128(4, 2))),
        pd.Series(pd.arrays.SparseArray([1.0, np.nan])),
    ],
    ids=lambda column: str(column.dtype),
)
def test_every_numeric_dtype_reads_as_float64(column):
    data = of(a=column)
    values = data.number("a")
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, [1, np.nan])
    np.testing.assert_array_equal(data.seen("a"), [True, False])


def test_booleans_are_0_and_1():
    np.testing.assert_array_equal(of(a=[True, False]).number("a"), [1, 0])


def test_a_nan_inside_a_nullable_float_is_missing():
    ratio = pd.Series([0.0, 1.0], dtype="Float64") / pd.Series([0.0, 1.0], dtype="Float64")
    np.testing.assert_array_equal(of(a=ratio).seen("a"), [False, True])


def test_numbers_are_a_copy():
    data = of(a=[1.0, 2.0])
    data.number("a")[0] = 7
    assert data.frame["a"].iloc[0] == 1


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pd.Series(["x", None]), r"1 recorded values, such as 'x'; convert it with pd.to_numeric"),
        (pd.Series([1, None], dtype=object), r"dtype object.*pd.to_numeric\(table\['a'\]\)"),
        (pd.Series(pd.Categorical(["u", None])), "dtype category.*0/1 columns"),
        (pd.Series(pd.Categorical([True, False])), "dtype category"),
        (pd.to_datetime(pd.Series(["2020-01-01", None])), "days since a start"),
        (pd.Series([1j, 2j]), "dtype complex128"),
        (pd.Series([1.0, np.inf, -np.inf]), "2 infinite values"),
        (pd.Series([np.nan, np.nan]), "no recorded value in 2 rows"),
        (pd.Series([None, None], dtype=object), "0 recorded values"),
    ],
)
def test_what_is_no_number_is_refused_with_the_fix(column, said):
    with pytest.raises(DataError, match=said) as caught:
        of(a=column).number("a")
    assert "'a'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_seen_reads_text_too():
    np.testing.assert_array_equal(of(a=["x", None, "y"]).seen("a"), [True, False, True])


def test_unknown_columns_name_the_nearest():
    data = of(income=[1.0], age=[2.0])
    expected = "the spec names 'incme'; the columns are 'income', 'age' — did you mean 'income'?"
    with pytest.raises(SpecError) as caught:
        data.require(["age", "incme"])
    assert str(caught.value) == expected
    with pytest.raises(DataError, match="did you mean 'age'"):
        data.number("agee")
    with pytest.raises(DataError, match=r"'zzz'.*'income', 'age'$"):
        data.seen("zzz")
    data.require(["age", "income"])


def test_many_columns_are_counted_not_listed():
    with pytest.raises(SpecError, match=r"'c11' and 88 more$"):
        IncompleteData.of(pd.DataFrame(0.0, index=[0], columns=[f"c{i}" for i in range(100)])).require(["zzz"])


def fingerprints() -> dict[str, str]:
    base = {"a": [1.0, np.nan], "s": ["x", None]}
    frames = {
        "base": pd.DataFrame(base),
        "value": pd.DataFrame(base | {"a": [1.5, np.nan]}),
        "hole": pd.DataFrame(base | {"a": [1.0, 0.0]}),
        "name": pd.DataFrame(base).rename(columns={"a": "b"}),
        "order": pd.DataFrame(base)[["s", "a"]],
        "index": pd.DataFrame(base, index=[5, 6]),
        "dtype": pd.DataFrame(base).astype({"a": "float32"}),
        "object": pd.DataFrame(base | {"s": pd.Series([[1], {2: 3}], dtype=object)}),
        "levels": pd.DataFrame(base | {"s": pd.Categorical(["x", None], ["x", "y"])}),
        "fewer levels": pd.DataFrame(base | {"s": pd.Categorical(["x", None], ["x"])}),
        "rows": pd.DataFrame(base).iloc[:1],
    }
    return {name: IncompleteData.of(frame).fingerprint() for name, frame in frames.items()}


def test_the_fingerprint_tells_tables_apart_and_equal_ones_not():
    found = fingerprints()
    assert len(set(found.values())) == len(found)
    assert fingerprints() == found
    assert len(found["base"]) == 64


def test_the_fingerprint_is_the_same_in_another_process():
    code = BORDER + "print(D.of(pd.DataFrame({'a': [1.0, None], 's': ['x', None]})).fingerprint())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert run.stdout.strip() == fingerprints()["base"]
