"""Long tables to wide ones and back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mnarkit as mk

LONG = pd.DataFrame(
    {
        "id": ["b", "b", "a", "a", "c"],
        "week": [0, 4, 4, 12, 0],
        "arm": ["x", "x", "y", "y", "x"],
        "score": [1.0, 2.0, 3.0, np.nan, 5.0],
        "count": pd.array([1, 2, None, 4, 5], dtype="Int64"),
    }
)


def test_a_row_a_subject_with_holes_where_there_was_no_row() -> None:
    wide = mk.to_wide(LONG, subject="id", time="week", value=["score", "count"])
    assert list(wide.columns) == ["id", "arm", "score_0", "score_4", "score_12", "count_0", "count_4", "count_12"]
    assert wide["id"].tolist() == ["b", "a", "c"]
    np.testing.assert_array_equal(wide["score_4"], [2.0, 3.0, np.nan])
    assert wide["count_12"].isna().tolist() == [True, False, True]


def test_what_changes_within_a_subject_is_left_out_and_said() -> None:
    with pytest.warns(UserWarning, match="1 columns change within 'id' and are left out: count"):
        wide = mk.to_wide(LONG, subject="id", time="week", value="score")
    assert "count" not in wide


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.randoms(use_true_random=False))
def test_there_and_back(n: int, visits: int, random) -> None:
    long = pd.DataFrame(
        {
            "id": np.repeat(np.arange(n), visits),
            "arm": np.repeat([random.choice("ab") for _ in range(n)], visits),
            "visit": np.tile(np.arange(visits), n),
            "y": [random.choice([1.5, -2.0, np.nan]) for _ in range(n * visits)],
        }
    )
    shuffled = long.sample(frac=1, random_state=random.randrange(1000))
    wide = mk.to_wide(shuffled, subject="id", time="visit", value="y")
    back = mk.to_long(wide, subject="id", time="visit", value="y").sort_values(["id", "visit"], ignore_index=True)
    pd.testing.assert_frame_equal(back, long, check_dtype=False)


def test_levels_keep_their_order_and_times_can_be_given() -> None:
    long = LONG.assign(week=pd.Categorical(LONG["week"].map({0: "pre", 4: "mid", 12: "end"}), ["pre", "mid", "end"]))
    wide = mk.to_wide(long, subject="id", time="week", value=["score", "count"])
    assert list(wide.columns[2:5]) == ["score_pre", "score_mid", "score_end"]
    back = mk.to_long(wide, subject="id", time="week", value=["score", "count"])
    assert back["week"].tolist()[:3] == ["pre", "mid", "end"]
    wide = mk.to_wide(LONG, subject="id", time="week", value=["score", "count"], times=[12, 4, 0])
    assert list(wide.columns[2:5]) == ["score_12", "score_4", "score_0"]


def wide(long: pd.DataFrame, time: str = "week", times: list[int] | None = None) -> pd.DataFrame:
    return mk.to_wide(long, subject="id", time=time, value=["score", "count"], times=times)


BAD = {
    "twice": (
        lambda: wide(pd.concat([LONG, LONG[:1]])),
        "1 rows repeat a subject at a visit, the first is id 'b' at week 0",
    ),
    "a hole": (lambda: wide(LONG.assign(week=[0, 4, None, 12, 0])), "'week' has 1 holes in 5 rows"),
    "a visit": (lambda: wide(LONG, times=[0, 4]), "1 rows at visits that times= lacks, such as 12"),
    "an absent visit": (lambda: wide(LONG, times=[0, 4, 12, 8]), "times= names 8, at which 'week' has no row"),
    "no column": (lambda: wide(LONG, time="weak"), "names 'weak'.*did you mean 'week'"),
    "not wide": (
        lambda: mk.to_long(LONG, subject="id", time="week", value="score"),
        "'id' has 2 subjects listed again",
    ),
    "no visits": (
        lambda: mk.to_long(LONG[1:3], subject="id", time="week", value="score"),
        "no column 'score' followed by _",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused(name: str) -> None:
    run, message = BAD[name]
    with pytest.raises(mk.errors.MnarkitError, match=message):
        run()
