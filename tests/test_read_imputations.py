"""Imputations out and in again, and those of other programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, MnarkitError
from tests.refs import refs


def incomplete(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "arm": pd.Categorical(np.where(np.arange(n) % 2, "drug", "placebo"), categories=["placebo", "drug"]),
            "v": rng.normal(size=n),
            "visits": np.arange(n),
        },
        index=[f"p{k}" for k in range(n)],
    )
    frame.loc[["p1", "p4", "p5"], "y"] = np.nan
    frame.loc[["p5", "p9"], "v"] = np.nan
    return frame


def imputations(m: int = 3) -> mk.Imputations:
    rng, data = np.random.default_rng(3), IncompleteData.of(incomplete())
    cells = {"y": rng.normal(size=(m, 3)), "v": rng.normal(size=(m, 2))}
    return mk.Imputations(data, cells, mk.Spec(mk.MvNormal("y", "v")), (), 1, m)


def as_csv(imps: mk.Imputations, folder: Path) -> Any:
    imps.to_long(include_original=True).to_csv(folder / "long.csv", index=False)
    return folder / "long.csv"


def as_parquet(imps: mk.Imputations, folder: Path) -> Any:
    imps.to_long().to_parquet(folder / "long.parquet")
    return folder / "long.parquet"


def as_folder(imps: mk.Imputations, folder: Path) -> Any:
    imps.to_parquet(folder / "imputations")
    return folder / "imputations"


def as_files(imps: mk.Imputations, folder: Path) -> Any:
    return list(reversed([*reversed(imps.to_parquet(folder / "imputations"))]))


WAYS: dict[str, Callable[[mk.Imputations, Path], Any]] = {
    "long": lambda imps, _: imps.to_long(include_original=True),
    "long without the original": lambda imps, _: imps.to_long(),
    "wide": lambda imps, _: imps.to_wide(),
    "arrays": lambda imps, _: imps.to_xarray(),
    "tables": lambda imps, _: list(imps),
    "csv": as_csv,
    "parquet": as_parquet,
    "folder": as_folder,
    "files": as_files,
}


@pytest.mark.parametrize("way", WAYS)
def test_out_and_in_again(way: str, tmp_path: Path) -> None:
    imps = imputations()
    back = mk.read_imputations(WAYS[way](imps, tmp_path), original=incomplete())
    assert len(back) == back.m == 3
    for ours, theirs in zip(imps, back, strict=True):
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-14 if way == "csv" else 0, atol=0)
    assert back.original is not None
    np.testing.assert_allclose(
        mk.analyze(back, "y ~ arm + v").estimates, mk.analyze(list(imps), "y ~ arm + v").estimates, rtol=1e-10
    )


def test_the_original_comes_from_number_0(tmp_path: Path) -> None:
    back = mk.read_imputations(as_csv(imputations(), tmp_path))
    assert str(back) == repr(back) == "3 imputations of 12 rows, from long 'long.csv'; holes y (3), v (2)"
    assert list(back[0].index) == list(incomplete().index)
    long = back.to_long(include_original=True)
    assert long.shape == (48, 6)
    pd.testing.assert_frame_equal(mk.read_imputations(long)[2], back[2])


def test_mice_to_the_printed_digits() -> None:
    folder = refs("mice_pooling_nhanes2")
    back = mk.read_imputations(folder / "data_D_m5.csv", original=pd.read_csv(folder / "data.csv"))
    assert str(back) == "5 imputations of 25 rows, from long 'data_D_m5.csv'; holes bmi (9), hyp (8), chl (10)"
    frame = mk.pool(mk.analyze(back, "bmi ~ age + hyp + chl")).to_frame().set_index("term")
    assert frame.at["chl", "estimate"] == pytest.approx(0.05511707012, rel=1e-9)


def test_the_forms_of_other_programs(tmp_path: Path) -> None:
    sas = pd.DataFrame({"_Imputation_": [1, 1, 2, 2], "y": [1.0, 2.0, 1.0, 3.0]})
    assert mk.read_imputations(sas, imp="_Imputation_")[1]["y"].tolist() == [1.0, 3.0]
    broad = pd.DataFrame({"y.0": [1.0, None], "x.0": [5, 6], "y.1": [1.0, 2.0], "x.1": [5, 6], "income.2019": [7, 8]})
    read = mk.read_imputations(broad)
    assert str(read) == "1 imputation of 2 rows, from a wide table; holes y (1)"
    assert set(read[0].columns) == {"y", "x", "income.2019"}
    sas.rename(columns={"_Imputation_": ".imp"}).to_csv(tmp_path / "r.csv")  # with row names
    assert list(mk.read_imputations(tmp_path / "r.csv")[0].columns) == ["y"]


def test_files_are_ordered_by_their_number(tmp_path: Path) -> None:
    for k in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1):
        pd.DataFrame({"y": [1.0, float(k)]}).to_csv(tmp_path / f"imp{k}.csv", index=False)
    assert [table["y"][1] for table in mk.read_imputations(tmp_path)] == list(range(1, 11))


def test_what_is_still_missing_is_said() -> None:
    long = pd.DataFrame({".imp": [0, 0, 1, 1], "y": [1.0, None, 1.0, 2.0], "x": [None, 1.0, None, 1.0]})
    assert str(mk.read_imputations(long)).endswith("holes y (1), x (1); still missing x (1)")


def test_rows_are_matched_by_their_names() -> None:
    shuffled = [table.iloc[::-1] for table in imputations()]
    back = mk.read_imputations(shuffled, original=incomplete())
    pd.testing.assert_frame_equal(back[0], imputations()[0])


def test_tables_that_are_handed_out_are_copies() -> None:
    back = mk.read_imputations(list(imputations()))
    first = back[0]
    first.loc["p0", "y"] = 99.0
    assert back[0].at["p0", "y"] != 99.0
    assert back[-1].equals(back[2])
    with pytest.raises(IndexError, match="there are 3"):
        back[3]
    with pytest.raises(DataError, match="give it as original="):
        back.to_long(include_original=True)


def long(**changes: Any) -> pd.DataFrame:
    frame = imputations().to_long(include_original=True)
    return frame.assign(**changes)


def changed_cell() -> pd.DataFrame:
    frame = long()
    frame.loc[12, "y"] = 5.0
    return frame


def other_columns() -> list[pd.DataFrame]:
    first, second, _ = imputations()
    return [first, second.drop(columns="v")]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda: long()[lambda t: t[".imp"] != 2], {}, "imputation 2 of 3 is not in a long table"),
        (lambda: long()[lambda t: t[".imp"] == 0], {}, "has no imputation, only the table with its holes"),
        (lambda: long(**{".imp": 0.5}), {}, "counts the imputations from 1, .* 48 values are neither, such as '0.5'"),
        (lambda: long().drop(index=20), {}, "imputation 2 of a long table has 12 rows, and the first 11"),
        (changed_cell, {}, "1 recorded values of 'y' are others in imputation 1"),
        (lambda: imputations().to_wide().drop(columns="v.2"), {}, "'v.2' is not there"),
        (lambda: incomplete(), {}, "not of a form that is known"),
        (lambda: imputations().to_xarray(), {}, "give the table with its holes as original="),
        (lambda: imputations().to_xarray(), {"original": incomplete().head(3)}, "dims imputation and obs, of 3 rows"),
        (lambda: imputations().to_xarray(), {"original": incomplete()[["y"]]}, "has 'v', which is not a column"),
        (other_columns, {}, "has other columns than the first: 'v' is in one of them alone"),
        (lambda: list(imputations()), {"original": incomplete().head(3)}, "has 12 rows and the table with holes 3"),
        (lambda: list(imputations()), {"original": incomplete()[["y"]]}, "is in one of them alone"),
        (lambda: "nowhere", {}, "no file or folder 'nowhere'"),
        (lambda: ["nowhere.csv"], {}, "no file 'nowhere.csv'"),
        (lambda: ["table.sav"], {}, "neither .csv nor .parquet"),
        (lambda: 3, {}, "imputations are a long table .*, not int"),
        (list, {}, "not list"),
        (lambda: {"a": 1}, {}, "not dict"),
    ],
)
def test_what_cannot_be_read(source: Callable[[], Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        mk.read_imputations(source(), **options)
    assert "\n" not in str(refused.value)


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no \.parquet and no \.csv file"):
        mk.read_imputations(tmp_path)
    (tmp_path / "imp1.csv").write_text("y\n1\n")
    (tmp_path / "imp3.csv").write_text("y\n1\n")
    with pytest.raises(DataError, match="imputation 2 of 3 is not in 2 files"):
        mk.read_imputations(tmp_path)
    (tmp_path / "imp2.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="give a list of those that are meant"):
        mk.read_imputations(tmp_path)
    with pytest.raises(MnarkitError, match=r"imp2.parquet' is damaged"):
        mk.read_imputations([tmp_path / "imp2.parquet"])
