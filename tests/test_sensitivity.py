"""sensitivity against the loop that imputes, analyzes and pools at every point."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import distributed
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import mnarkit as mk
from mnarkit.analyze.logistic import logistic_fits
from mnarkit.errors import CongenialityWarning, DataError, FormulaError, SpecError
from mnarkit.sensitivity.curves import COLUMNS
from tests.posteriors import difference, joint_fit, two_columns

M, SEED = 12, 4
FIT = joint_fit()
MOVING = "affine in the amounts"


def belief(*parts: tuple) -> mk.PatternMixture:
    made = [
        mk.Scale(c, v, where=where) if unit == "factor" else mk.Shift(c, v, unit=unit, where=where)
        for c, v, unit, where in parts
    ]
    return mk.PatternMixture(*made)


def brute(fit: mk.Fit, what: object, late: mk.PatternMixture, under: tuple = ()) -> pd.DataFrame:
    imputations = mk.impute(fit, M, seed=SEED, under=(*under, late))
    return mk.pool(mk.analyze(imputations, what)).to_frame()


def assert_same(found: mk.Sensitivity, at: dict[str, float], expected: pd.DataFrame, tol: float = 1e-10) -> None:
    frame = found.to_frame()
    for name, value in at.items():
        frame = frame[np.isclose(frame[name], value, rtol=0, atol=1e-12)]
    assert frame["term"].tolist() == expected["term"].tolist()
    for name in COLUMNS:
        scale = np.abs(expected[name]).to_numpy() + (1.0 if name in ("p_value", "fmi", "fmi_rubin") else 0.0)
        np.testing.assert_array_less(np.abs(frame[name].to_numpy() - expected[name].to_numpy()), tol * scale + 1e-300)


@pytest.mark.parametrize("unit", ["sd", "sd_observed", "raw", "percent", "factor"])
def test_an_outcome_that_moves_is_the_loop_by_arithmetic(unit):
    values = [0.8, 1.0, 1.5] if unit == "factor" else [-1.0, 0.0, 2.0]
    name = "scale_y" if unit == "factor" else "shift_y"
    found = mk.sensitivity(FIT, "y ~ x + arm + v", {"y": mk.Grid(values=values, unit=unit)}, m=M, seed=SEED)
    assert found.reached[0] == f"exact arithmetic: the outcome is {MOVING}"
    for value in values:
        assert_same(found, {name: value}, brute(FIT, "y ~ x + arm + v", belief(("y", value, unit, None))))


def test_two_arms_cross():
    grid = mk.Grid(values=[-1, 0.5], unit="sd", by="arm")
    found = mk.sensitivity(FIT, "y ~ x + arm", {"y": grid}, m=M, seed=SEED)
    assert found.points.tolist() == [[-1, -1], [-1, 0.5], [0.5, -1], [0.5, 0.5]]
    for drug, placebo in found.points:
        late = belief(("y", drug, "sd", "arm == 'drug'"), ("y", placebo, "sd", "arm == 'placebo'"))
        at = {"shift_y[drug]": drug, "shift_y[placebo]": placebo}
        assert_same(found, at, brute(FIT, "y ~ x + arm", late))


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("v ~ y + arm", f"exact arithmetic: the design is {MOVING}"),
        ("ill ~ y:arm + x", f"exact arithmetic: the design is {MOVING}"),
        ("v ~ center(y) + x", f"exact arithmetic: the design is {MOVING}"),
        ("v ~ I(y**2) + x", "cells moved and analyzed at each point, with the same random numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore::mnarkit.errors.CongenialityWarning")
def test_a_predictor_that_moves_is_the_loop_too(what, how):
    found = mk.sensitivity(
        FIT, what, {"y": mk.Grid(values=[-2, 1], unit="raw"), "v": mk.Grid(values=[0, 3], unit="raw")}, m=M, seed=SEED
    )
    assert set(found.reached) == {how}
    for y, v in found.points:
        late = belief(("y", y, "raw", None), ("v", v, "raw", None))
        # the loop takes X'X of a design that is not centred: its condition number times 1e-16
        assert_same(found, {"shift_y": y, "shift_v": v}, brute(FIT, what, late), tol=1e-9)


def test_amounts_that_multiply_each_other_are_imputed_again():
    grids = {"y": (mk.Grid(values=[-1, 1], unit="raw"), mk.Grid(values=[0.9, 1.2], unit="factor"))}
    found = mk.sensitivity(FIT, "y ~ x", grids, m=M, seed=SEED)
    assert "imputed again" in found.reached[0]
    for shift, scale in found.points:
        late = belief(("y", shift, "raw", None), ("y", scale, "factor", None))
        assert_same(found, {"scale_y": scale, "shift_y": shift}, brute(FIT, "y ~ x", late), tol=1e-12)


def test_amounts_stand_on_late_beliefs_below_them():
    under = (belief(("v", 1.0, "sd", None)),)
    found = mk.sensitivity(FIT, "v ~ x", {"v": mk.Grid(values=[0, 1], unit="sd")}, m=M, seed=SEED, under=under)
    for value in (0, 1):
        assert_same(found, {"shift_v": value}, brute(FIT, "v ~ x", belief(("v", value, "sd", None)), under))


def test_one_amount_for_several_columns():
    found = mk.sensitivity(FIT, "v ~ x", {("y", "v"): mk.Grid(values=[-1, 1], unit="sd")}, m=M, seed=SEED)
    for value in (-1, 1):
        late = belief(("y", value, "sd", None), ("v", value, "sd", None))
        assert_same(found, {"shift_y_v": value}, brute(FIT, "v ~ x", late))


EVENTS = [mk.Logistic("x + arm", event="y <= 50"), mk.Logistic("ill ~ y + v"), mk.Logistic("x + v", event="y - v > 35")]


@pytest.mark.parametrize("what", EVENTS, ids=str)
@pytest.mark.filterwarnings("ignore::mnarkit.errors.CongenialityWarning")
def test_logistic_regressions_are_those_of_the_loop(what):
    found = mk.sensitivity(FIT, what, {"y": mk.Grid(-2, 2, points=4, unit="sd", by="arm")}, m=M, seed=SEED)
    for drug, placebo in found.points[[0, 6, 15]]:
        late = belief(("y", drug, "sd", "arm == 'drug'"), ("y", placebo, "sd", "arm == 'placebo'"))
        at = {"shift_y[drug]": drug, "shift_y[placebo]": placebo}
        assert_same(found, at, brute(FIT, what, late), tol=1e-9)


def test_a_logistic_regression_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    x = np.stack([sm.add_constant(rng.normal(3, 2, (200, 2))) for _ in range(3)])
    y = (rng.random((3, 200)) < 0.4).astype(float)
    values, covariances = logistic_fits(x, y)
    for k in range(3):
        other = sm.Logit(y[k], x[k]).fit(disp=0, tol=1e-14, method="newton", maxiter=100)
        np.testing.assert_allclose(values[k], other.params, rtol=1e-8)
        np.testing.assert_allclose(covariances[k], other.cov_params(), rtol=1e-8)


def test_a_logistic_regression_that_has_no_maximum_is_named():
    table = pd.DataFrame({"y": [0.0, 0.0, 1.0, 1.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0, 5.0]})
    with pytest.raises(DataError, match=r"y ~ x has no maximum in imputation 1 of 1: predictors separate"):
        mk.analyze([table], mk.Logistic("y ~ x"))
    with pytest.raises(DataError, match="the event never happens in imputation 1 of 1"):
        mk.analyze([table], mk.Logistic("x", event="y > 7"))
    with pytest.raises(DataError, match=r"'x' has 4 rows with another value than 0 and 1; say which.*event='x > 0.5'"):
        mk.analyze([table], mk.Logistic("x ~ y"))
    with pytest.raises(FormulaError, match=r"give the predictors alone, 'x \+ z'"):
        mk.Logistic("y ~ x", event="y > 1")
    with pytest.raises(FormulaError, match="Logistic takes 'y ~ x', or predictors and event="):
        mk.Logistic("x")


GRID = {"y": mk.Grid(-1, 1, points=5, unit="sd")}


def test_any_function_with_the_same_answer_everywhere(tmp_path):
    one = mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED).to_frame()
    two = mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, workers=2).to_frame()
    with ThreadPoolExecutor(2) as client:
        three = mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, client=client, resume=tmp_path).to_frame()
    again = mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, resume=tmp_path).to_frame()
    for other in (two, three, again):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    expected = brute(FIT, difference, belief(("y", 0.5, "sd", None)))
    np.testing.assert_array_equal(one.loc[one["shift_y"] == 0.5, "ci_low"], expected["ci_low"])


def test_a_dask_client_gives_the_same(tmp_path):
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, client=client).to_frame()
    pd.testing.assert_frame_equal(found, mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED).to_frame())


def test_a_stored_point_belongs_to_its_spec_table_seed_and_function(tmp_path):
    mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, resume=tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 5
    mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, resume=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED + 1, resume=tmp_path)
    mk.sensitivity(FIT, difference, GRID, m=M + 1, seed=SEED, resume=tmp_path)
    mk.sensitivity(joint_fit(two_columns(seed=2)), difference, GRID, m=M, seed=SEED, resume=tmp_path)
    mk.sensitivity(FIT, lambda table: difference(table), GRID, m=M, seed=SEED, resume=tmp_path)
    assert len(list(tmp_path.iterdir())) == 25
    first = next(iter(kept))
    first.write_bytes(first.read_bytes()[:100])  # damaged: computed again
    mk.sensitivity(FIT, difference, GRID, m=M, seed=SEED, resume=tmp_path)
    assert first.stat().st_size > 100


SCRIPT = """
import sys, time
from tests.posteriors import difference, joint_fit
import mnarkit as mk

def slow(table):
    time.sleep(float(sys.argv[2]))
    return difference(table)

found = mk.sensitivity(joint_fit(), slow, {"y": mk.Grid(-1, 1, points=8, unit="sd")}, m=5, seed=3, resume=sys.argv[1])
found.to_frame().to_parquet(sys.argv[3])
"""


def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_numbers(tmp_path):
    folder, script = tmp_path / "points", tmp_path / "run.py"
    script.write_text(SCRIPT)

    def started(where: Path, pause: float, out: str) -> subprocess.Popen:
        root = Path(mk.__file__).parents[1]
        call = [sys.executable, str(script), str(where), str(pause), str(tmp_path / out)]
        return subprocess.Popen(call, env=os.environ | {"PYTHONPATH": str(root)}, cwd=root)

    with started(folder, 0.1, "first.parquet") as run:
        while len(list(folder.glob("*.npz"))) < 3:
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert 3 <= len(kept) < 8
    with started(folder, 0.0, "second.parquet") as run:
        assert run.wait() == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not (tmp_path / "first.parquet").exists()
    second = pd.read_parquet(tmp_path / "second.parquet")
    here = mk.sensitivity(FIT, difference, {"y": mk.Grid(-1, 1, points=8, unit="sd")}, m=5, seed=3).to_frame()
    pd.testing.assert_frame_equal(second, here, check_exact=True)


def test_the_text_says_what_no_data_can_tell():
    found = mk.sensitivity(FIT, "y ~ x", {"y": mk.Grid(values=[0, 10, 20], unit="percent")}, m=M, seed=SEED)
    text = str(found)
    assert "how far the unseen values of y lie from what MAR predicts (% of the MAR prediction)" in text
    assert "no data can tell which value holds" in text
    assert len(text.splitlines()) == 5 + 4
    assert found.curve("x")["shift_y"].tolist() == [0, 10, 20]


BAD_GRIDS = {
    r"a grid has no unit; say unit= one of": lambda: mk.Grid(-1, 1),
    r"goes from a number to a larger one, Grid\(-2, 2, \.\.\.\), not 2 to -2": lambda: mk.Grid(2, -2, unit="sd"),
    r"points= is a whole number of at least 2, not 1": lambda: mk.Grid(-2, 2, points=1, unit="sd"),
    r"a range, Grid\(-2, 2, \.\.\.\), or values=, not both": lambda: mk.Grid(0, 1, values=[1], unit="sd"),
    r"values= are one or more finite numbers, not \['a'\]": lambda: mk.Grid(values=["a"], unit="sd"),
    r"values= name 1 more than once": lambda: mk.Grid(values=[1, 2, 1], unit="sd"),
    r"the values of unit='factor' are above 0, not -1": lambda: mk.Grid(-1, 1, unit="factor"),
    r"a shift of -100 percent leaves nothing": lambda: mk.Grid(-100, 1, unit="percent"),
}


@pytest.mark.parametrize("message", BAD_GRIDS)
def test_bad_grids(message):
    with pytest.raises(SpecError, match=message):
        BAD_GRIDS[message]()


SD = mk.Grid(-1, 1, points=2, unit="sd")
BAD = {
    r"is a mapping such as \{'y': mk.Grid": {"grid": SD},
    r"'y' is varied over a mk.Grid\(low, high, unit=...\), not 3": {"grid": {"y": 3}},
    r"3 assumptions are varied .*; at most two can be": {"grid": {"y": mk.Grid(0, 1, unit="sd", by="arm"), "v": SD}},
    r"an amount and a coefficient are varied together": {"grid": {"y": SD, "missing(y) ~ y": SD}},
    r"a coefficient is named 'missing\(y\) ~ y'.*, not 'y ~ x'": {"grid": {"y ~ x": SD}},
    r"the unit of a coefficient is one of \['raw', 'sd', 'prior_sd'\], not 'percent'": {
        "grid": {"missing(y) ~ y": mk.Grid(0, 1, unit="percent")}
    },
    r"m is the number of imputations, a whole number of at least 2, not 1": {"m": 1},
    r"a Fit is needed, from mk.sample\(spec, df\), not str": {"fit": "fit"},
    r"workers= is a whole number of 1 or more, or None": {"workers": 0},
    r"client= has submit\(function, argument\), as a Dask client has, not str": {"client": "localhost"},
    r"an analysis is a formula, mk.Logistic\(...\) or a function": {"what": 3},
    r"'w'": {"grid": {"w": SD}},
    r"'x'": {"grid": {"x": SD}},
    r"level= is a probability between 0 and 1": {"level": 95},
    r"is 'y ~ x', with a column on its left": {"what": "missing(y) ~ x"},
    r"at shift_y = -1: the analysis '<lambda>' failed in 12 of 12": {"what": lambda table: 1 / 0},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_gets_one_line(message):
    given = {"fit": FIT, "what": "y ~ x", "grid": {"y": SD}, "m": M, "seed": SEED, **BAD[message]}
    with pytest.raises((SpecError, DataError), match=message) as refused:
        mk.sensitivity(given.pop("fit"), given.pop("what"), given.pop("grid"), **given)
    assert "\n" not in str(refused.value)


def test_what_is_not_congenial_is_said_once():
    with pytest.warns(CongenialityWarning) as said:
        mk.sensitivity(FIT, "y ~ x + ill", {"y": SD}, m=M, seed=SEED)
    assert len([w for w in said if w.category is CongenialityWarning]) == 1
