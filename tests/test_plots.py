"""Pictures say what they show: names, counts, level and kind of interval, and the belief."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.impute import Imputations
from mnarkit.plots import forest, recorded_imputed, save
from mnarkit.plots.density import density, grid
from mnarkit.spec.data_models import Regression
from mnarkit.spec.missingness import Selection
from mnarkit.spec.pattern_mixture import PatternMixture, Shift
from mnarkit.spec.spec import Spec


def toy(*, holes: int = 40, m: int = 5, cells: dict[str, np.ndarray] | None = None) -> Imputations:
    rng = np.random.default_rng(1)
    y = rng.normal(10, 2, 120)
    y[:holes] = np.nan
    other = np.where(np.arange(120) < 3, np.nan, 1.5)
    data = IncompleteData.of(pd.DataFrame({"y": y, "x": np.arange(120), "other": other}))
    spec = Spec(Regression("y ~ x"), Selection("missing(y) ~ y"))
    late = (PatternMixture(Shift("y", -0.5, unit="sd")),)
    return Imputations(data, cells or {"y": rng.normal(8, 2, (m, holes))}, spec, late, 1, m)


def table() -> pd.DataFrame:
    rows = [
        (assumption, term, mean + move, mean + move - 0.1, mean + move + 0.1)
        for assumption, move in (("MAR", 0.0), ("Heckman", 0.05), ("shift -0.4 sd", -0.05))
        for term, mean in (("Intercept", 2.0), ("educ", 0.08))
    ]
    return pd.DataFrame(rows, columns=["assumption", "term", "estimate", "ci_low", "ci_high"])


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def test_recorded_imputed_has_a_curve_for_the_recorded_and_for_each_imputation():
    fig = recorded_imputed(toy(), "y")
    (ax,) = fig.axes
    assert len(ax.lines) == 1 + 5
    assert legend(fig) == ["recorded (n = 80)", "imputed (n = 40 in each of 5 imputations)"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("y", "density")
    title = ax.get_title(loc="left")
    assert "under Selection missing(y) ~ y, probit; then PatternMixture(Shift y by -0.5 sd" in title.replace("\n", " ")


def test_recorded_imputed_draws_few_values_as_points():
    imps = toy(holes=3, m=4)
    (ax,) = (fig := recorded_imputed(imps, "y")).axes
    assert legend(fig) == ["recorded (n = 117)", "imputed (n = 3 in each of 4 imputations)"]
    for line, values in zip(ax.lines[1:], imps.cells["y"], strict=True):
        np.testing.assert_array_equal(line.get_xdata(), values)


def test_constant_imputed_values_are_drawn():
    fig = recorded_imputed(toy(cells={"y": np.full((5, 40), 3.0)}), "y")
    assert len(fig.axes[0].lines) == 6
    fig.draw_without_rendering()


def test_density_is_a_kernel_density():
    values = np.random.default_rng(2).normal(3, 2, 300)
    at = grid(np.array([-15.0, 20.0]))
    width = 0.9 * np.std(values, ddof=1) * 300**-0.2
    quartiles = np.subtract(*np.percentile(values, [75, 25])) / 1.34
    width *= min(1, quartiles / np.std(values, ddof=1))
    kernels = np.exp(-0.5 * ((at[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    found = density(values, at)
    np.testing.assert_allclose(found, kernels.mean(axis=1), atol=0.002)
    assert found.sum() * (at[1] - at[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("x", "'x' has no holes in 120 rows; name a column that was imputed"),
        ("other", "'other' was not imputed, its 3 holes are still there; imputed were 'y'"),
        ("yy", "names 'yy'"),
    ],
)
def test_recorded_imputed_refuses_a_column_that_was_not_imputed(column, message):
    with pytest.raises(DataError, match=message):
        recorded_imputed(toy(), column)


def test_forest_has_a_panel_per_term_and_a_row_per_assumption():
    fig = forest(table(), level=0.9, interval="credible interval")
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["Intercept", "educ"]
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["MAR", "Heckman", "shift -0.4 sd"]
    assert fig.get_supxlabel() == "estimate and 90 % credible interval"
    points = [line.get_xydata()[0] for line in fig.axes[1].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points, [(0.08, 0), (0.13, 1), (0.03, 2)])
    ends = [c.get_segments()[0][:, 0] for c in fig.axes[1].collections]
    np.testing.assert_allclose(ends, [(-0.02, 0.18), (0.03, 0.23), (-0.07, 0.13)])


def test_forest_puts_the_first_assumption_on_top_and_marks_zero_where_it_is_in_sight():
    intercept, educ = forest(table()).axes
    bottom, top = intercept.get_ylim()
    assert top < 0 < bottom
    zero = [[line for line in ax.lines if line.get_linestyle() == "--"] for ax in (intercept, educ)]
    assert [len(lines) for lines in zero] == [0, 1]


def test_forest_draws_the_chosen_terms_in_their_order():
    fig = forest(table(), terms=["educ", "Intercept"])
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["educ", "Intercept"]
    (ax,) = forest(table(), terms=["educ"]).axes
    assert ax.get_xlabel() == "estimate and 95 % confidence interval"


def test_forest_says_where_there_is_no_estimate():
    absent = table().drop(index=2)
    absent.loc[4, ["estimate", "ci_low", "ci_high"]] = np.nan
    fig = forest(absent)
    assert [t.get_text() for t in fig.axes[0].texts] == ["no estimate"] * 2
    assert [t.get_text() for t in fig.axes[1].texts] == []


def test_forest_hides_the_panels_that_are_left_over():
    many = pd.concat([table().replace("educ", f"educ{k}") for k in range(5)]).drop_duplicates(["assumption", "term"])
    terms = [f"educ{k}" for k in range(5)]
    shown = [ax.get_title(loc="left") for ax in forest(many, terms=terms).axes if ax.get_visible()]
    assert shown == terms


@pytest.mark.parametrize(
    ("change", "terms", "message"),
    [
        (lambda t: t.drop(columns=["ci_low", "ci_high"]), None, "has no 'ci_low', 'ci_high'; it needs"),
        (lambda t: t.iloc[:0], None, "has no rows; it needs one per assumption and term"),
        (
            lambda t: pd.concat([t, t.iloc[:1]]),
            None,
            r"more than one row for 'MAR' and 'Intercept' \(1 rows too many\)",
        ),
        (lambda t: t, ["edu"], "has no term 'edu'; its terms are 'Intercept', 'educ'"),
        (lambda t: t, [], "has no term chosen; its terms are"),
    ],
)
def test_forest_refuses_a_table_that_it_cannot_draw(change, terms, message):
    with pytest.raises(DataError, match=message):
        forest(change(table()), terms=terms)


def test_figures_are_saved_at_150_dots_an_inch_and_show_themselves(tmp_path: Path):
    fig = forest(table())
    save(fig, tmp_path / "forest.png")
    save(fig, tmp_path / "forest.svg")
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["forest.png", "forest.svg"]
    png = (tmp_path / "forest.png").read_bytes()
    width, height = (int.from_bytes(png[k : k + 4]) for k in (16, 20))
    np.testing.assert_allclose((width, height), fig.get_size_inches() * 150, atol=1)
    assert fig._repr_png_()[:8] == png[:8]


def test_drawing_leaves_no_global_state_and_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    recorded_imputed(toy(), "y").draw_without_rendering()
    forest(table()).draw_without_rendering()
    assert list(tmp_path.iterdir()) == []
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
