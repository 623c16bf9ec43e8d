"""Figures of sensitivity and tipping points: what stands in them; and the command line over the same functions."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mnarkit as mk
from mnarkit.cli import app
from mnarkit.errors import DataError
from mnarkit.plots import sensitivity_curve, tipping_curve, tipping_map
from tests.posteriors import joint_fit

FIT = joint_fit()
ONE = {"y": mk.Grid(-8, 12, points=5, unit="sd", where="arm == 'placebo'")}
TWO = {"y": mk.Grid(-8, 12, unit="sd", by="arm")}


def tip(shift: dict, **options: object) -> mk.TippingPoint:
    return mk.tipping_point(FIT, "y ~ x + arm", term="arm[T.placebo]", shift=shift, m=10, seed=1, **options)


def test_a_curve_shows_estimate_band_crossings_units_and_n():
    found = tip(ONE)
    ax = tipping_curve(found).axes[0]
    vertical = [line.get_xdata()[0] for line in ax.lines if len(set(np.ravel(line.get_xdata()))) == 1]
    assert set(found.crossings.iloc[:, 0]) <= set(vertical)
    assert "residual sd" in ax.get_xlabel()
    assert "arm == 'placebo'" in ax.get_xlabel()
    assert "n = 80, m = 10" in ax.get_title(loc="left")
    values = mk.sensitivity(FIT, "y ~ x + arm", ONE, m=10, seed=1)
    line = sensitivity_curve(values, "x").axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), values.curve("x")["estimate"])


def test_a_map_shows_the_contour():
    found = tip(TWO, scan=9)
    ax = tipping_map(found).axes[0]
    assert len(ax.collections[0].get_segments()) == len(found.segments)
    assert "arm == 'drug'" in ax.get_xlabel()


def test_no_crossing_is_in_the_title():
    found = mk.tipping_point(FIT, "y ~ x", term="x", shift=ONE, crosses="estimate", at=-99, m=10, seed=1)
    assert "nowhere here" in tipping_curve(found).axes[0].get_title(loc="left")


def test_figures_refuse_what_they_cannot_draw():
    with pytest.raises(DataError, match="of one, take tipping_curve"):
        tipping_map(tip(ONE))
    with pytest.raises(DataError, match="of two, take tipping_map"):
        tipping_curve(tip(TWO, scan=9))
    with pytest.raises(DataError, match="has no term 'z'; its terms are"):
        sensitivity_curve(mk.sensitivity(FIT, "y ~ x", ONE, m=10, seed=1), "z")


def test_the_command_line_writes_text_table_and_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(mk, "load_fit", lambda run: FIT, raising=False)
    out = tmp_path / "stress"
    call = ["sensitivity", "run", "y ~ x + arm", "y", "--low", "-1", "--high", "5", "--points", "3", "-m", "10"]
    done = CliRunner().invoke(app, [*call, "--term", "x", "--crosses", "estimate", "--at", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "no data can tell which value holds" in done.output
    assert sorted(p.name for p in out.iterdir()) == ["sensitivity.csv", "sensitivity.txt", "tipping.csv", "tipping.png"]
    assert pd.read_csv(out / "sensitivity.csv")["shift_y"].unique().tolist() == [-1, 2, 5]
