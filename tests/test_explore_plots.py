"""Figures of holes: names, counts and intervals stand on them; and the folder that the command line writes."""

import contextlib
import io
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import mnarkit as mk
from mnarkit import cli
from mnarkit.errors import DataError, SpecError
from mnarkit.plots import hole_patterns, hole_rates, save, seen_split
from mnarkit.report import figures_of, save_figures


def table(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    age = rng.normal(40, 8, n)
    frame = pd.DataFrame({"age": age, "income": 2 * age, "city": rng.choice(["Rome", "Oslo"], n)})
    frame.loc[rng.random(n) < np.where(age > 45, 0.6, 0.1), "income"] = np.nan
    frame.loc[rng.random(n) < 0.1, "city"] = None
    return frame


@cache
def wide() -> mk.Exploration:
    """Thirty columns with long names, nearly every row another pattern."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, 30)) * 1e6
    values[rng.random((500, 30)) < rng.random(30) * 0.3] = np.nan
    frame = pd.DataFrame(values, columns=[f"what_do_you_think_of_the_following_statement_{i}" for i in range(30)])
    return mk.explore(frame.assign(g=1), by="g")


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def title(fig: Figure) -> str:
    return fig.get_suptitle()


def test_patterns_show_every_column_with_holes_and_the_rows_of_each_pattern():
    found = mk.explore(table())
    fig = hole_patterns(found)
    bars, matrix, rates = fig.axes[0], fig.axes[2], fig.axes[3]
    assert [t.get_text().strip() for t in bars.texts] == [f"{c:,}" for c in found.patterns["count"]]
    assert [bar.get_height() for bar in bars.patches] == found.patterns["count"].tolist()
    assert [t.get_text() for t in matrix.get_yticklabels()] == ["income", "city"]
    marked = matrix.collections[1].get_offsets()
    holes = {
        (k, ["income", "city"].index(c)) for k, m in enumerate(found.patterns["missing"]) for c in m.split(", ") if c
    }
    assert {(int(x), int(y)) for x, y in np.asarray(marked)} == holes
    assert (
        [t.get_text().strip() for t in rates.texts]
        == ["60", "26"]
        == [str(table()[c].isna().sum()) for c in ("income", "city")]
    )
    assert "n = 300" in title(fig)
    assert "4 patterns; 2 columns with holes, 1 without" in title(fig)


def test_patterns_in_the_monotone_order_make_a_staircase():
    seen = np.arange(4) <= np.repeat([0, 1, 2, 3], [4, 3, 2, 6])[:, None]
    frame = pd.DataFrame(np.where(seen, 1.0, np.nan), columns=["w1", "w2", "w3", "w4"])
    fig = hole_patterns(mk.explore(frame))
    assert [t.get_text() for t in fig.axes[2].get_yticklabels()] == ["w2", "w3", "w4"]


def test_thirty_long_names_and_many_patterns_stay_apart():
    found = wide()
    fig = hole_patterns(found)
    fig.draw_without_rendering()
    names = fig.axes[2].get_yticklabels()
    assert len({t.get_text() for t in names}) == 30
    boxes = [t.get_window_extent() for t in names]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    assert f"the 25 commonest of {len(found.patterns):,} patterns" in title(fig)
    assert min(box.x0 for box in boxes) >= 0


def test_rates_are_drawn_with_their_intervals():
    found = mk.explore(table())
    (ax,) = (fig := hole_rates(found)).axes
    rows = found.rates.query("missing > 0").sort_values("rate", ascending=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == rows["column"].tolist()
    drawn = [segment[:, 0] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(drawn, rows[["low", "high"]])
    assert "95 % Wilson interval" in ax.get_xlabel()
    assert "n = 300" in title(fig)
    assert ax.texts[0].get_text() == "60 of 300"


def test_rates_by_segment_have_a_panel_for_each_column():
    found = mk.explore(table(), by="city")
    fig = hole_rates(found)
    (ax,) = fig.axes
    assert ax.get_title(loc="left") == "income"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Oslo", "Rome", "(missing)"]
    assert "95 % Wilson interval" in fig.get_supxlabel()
    assert "by city" in title(fig)
    assert len([ax for ax in hole_rates(wide()).axes if ax.get_visible()]) == 6


def test_seen_values_are_split_by_the_hole_of_another():
    frame = table()
    fig = seen_split(frame, "age", "income")
    (ax,) = fig.axes
    assert legend(fig) == ["income missing (n = 60)", "income recorded (n = 240)"]
    means = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(
        means, [frame["age"][frame["income"].isna()].mean(), frame["age"][frame["income"].notna()].mean()]
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("age", "density (dashed: means)")


def test_categories_are_bars_of_shares_and_what_is_left_out_is_said():
    frame = table()
    (ax,) = seen_split(mk.explore(frame), "city", "income").axes
    for side, bars in zip((frame["income"].isna(), frame["income"].notna()), ax.containers, strict=True):
        shares = frame.loc[side, "city"].value_counts(normalize=True)
        names = [t.get_text() for t in ax.get_xticklabels()]
        np.testing.assert_allclose([bar.get_height() for bar in bars], shares[names])
    assert "26 rows in which city is missing are left out" in ax.get_title(loc="left")


def test_few_values_are_points_and_long_names_stay_inside():
    frame = table().rename(columns={"income": "what_do_you_earn_in_a_usual_month_after_tax"}).iloc[:20]
    hole = frame.columns[1]
    fig = seen_split(frame, "age", hole)
    fig.draw_without_rendering()
    box = fig.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= fig.bbox.x1
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["missing", "recorded"]


@pytest.mark.parametrize(
    ("draw", "error", "says"),
    [
        (lambda t: hole_patterns(mk.explore(t[["age"]])), DataError, "no holes in 300 rows"),
        (lambda t: hole_rates(mk.explore(t[["age"]])), DataError, "no column has holes"),
        (lambda t: seen_split(t, "age", "age"), DataError, "name another column"),
        (lambda t: seen_split(t, "city", "age"), DataError, "'age' has no holes"),
        (lambda t: seen_split(t, "ages", "income"), SpecError, "did you mean 'age'?"),
        (
            lambda t: seen_split(t.assign(twin=t["income"]), "twin", "income"),
            DataError,
            "never recorded where 'income' is missing",
        ),
        (lambda t: seen_split(t.assign(thing=[[1]] * 300), "thing", "income"), DataError, "without levels"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(draw, error, says):
    with pytest.raises(error) as caught:
        draw(table())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_figures_are_those_of_the_largest_differences():
    figures = figures_of(mk.explore(table()))
    assert list(figures) == ["patterns.png", "rates.png", "seen_1_age_by_income.png"]
    assert figures_of(mk.explore(table()[["age"]])) == {}
    stream = io.BytesIO()
    save(figures["patterns.png"], stream)
    assert stream.getvalue()[1:4] == b"PNG"


def run(*words: object, here: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of `mnarkit words`."""
    here.setattr(sys, "argv", ["mnarkit", *map(str, words)])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_the_command_prints_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("data.csv", index=False)
    code, out, err = run("explore", "data.csv", "--by", "city", here=monkeypatch)
    assert (code, err) == (0, "")
    assert out == f"{mk.explore(pd.read_csv('data.csv'), by='city')}\n"
    code, out, _ = run("explore", "data.csv", "--by", "city", "--figures", "fig", here=monkeypatch)
    assert code == 0
    names = {"explore.txt", "patterns.png", "rates.png", "seen_1_age_by_income.png"}
    assert {p.name for p in Path("fig").iterdir()} == names
    assert Path("fig/explore.txt").read_text(encoding="utf-8") in out
    code, out, err = run("explore", "data.csv", "--figures", "fig", here=monkeypatch)
    assert (code, out) == (2, "")
    assert err == "mnarkit: 'fig' exists and is kept; name another folder with --figures, or say --overwrite\n"
    assert run("explore", "data.csv", "--figures", "fig", "--overwrite", here=monkeypatch)[0] == 0


def test_a_folder_of_something_else_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("data.csv", index=False)
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years of work", encoding="utf-8")
    code, _, err = run("explore", "data.csv", "--figures", "thesis", "--overwrite", here=monkeypatch)
    assert code == 2
    assert "is not a folder of figures (it has no explore.txt), and is kept" in err
    assert Path("thesis/chapter.tex").read_text(encoding="utf-8") == "years of work"


def test_an_unknown_segment_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("data.csv", index=False)
    code, out, err = run("explore", "data.csv", "--by", "cty", "--figures", "fig", here=monkeypatch)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "did you mean 'city'?" in err
    assert not Path("fig").exists()


def test_names_of_figures_are_safe(tmp_path: Path):
    frame = table().rename(columns={"age": "../age (years)/now"})
    assert "seen_1_.._age_years_now_by_income.png" in save_figures(mk.explore(frame), tmp_path / "fig")
