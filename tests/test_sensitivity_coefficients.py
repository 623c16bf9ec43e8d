"""Coefficients held over a grid: draws carried from few fits against fits made at every value."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mnarkit as mk
from mnarkit.errors import SpecError
from mnarkit.sample.own import posterior_of
from mnarkit.sample.target import Target
from mnarkit.sensitivity import coefficients
from mnarkit.sensitivity.reweight import anchor_of, carry, on_line
from tests import cases

pytestmark = pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")

SPEC = mk.Spec(mk.Regression("y1 ~ x + arm"), mk.Selection("missing(y1) ~ y1 + z"))
TABLE = cases.table(150, seed=4)
M, SEED = 10, 5
NAME = "missing(y1) ~ y1"


@pytest.fixture(scope="module")
def fit() -> mk.Fit:
    return mk.sample(SPEC, TABLE, draws=600, tune=400, chains=2, seed=1, progress=False)


@pytest.mark.parametrize(
    "name",
    [
        "regression, probit",
        "joint, logit on another column",
        "regression, Heckman",
        "regression, selection with priors",
    ],
)
def test_named_draws_go_back_to_the_line(name):
    case = cases.SPECS[name]
    table = cases.table()
    target = Target.of(case, mk.IncompleteData.of(table))
    theta = 0.3 * np.random.default_rng(2).normal(size=(1, 7, target.size))
    from_theta = posterior_of(target, theta)
    fit = mk.Fit(case, mk.IncompleteData.of(table), xr.DataTree.from_dict({"posterior": from_theta}), 1)
    np.testing.assert_allclose(on_line(target, fit), theta[0], atol=1e-9)


def held(value: float) -> mk.Spec:
    return SPEC.under(mk.Selection("missing(y1) ~ y1 + z", priors={"y1": value}))


def test_carried_draws_are_those_of_a_fit_there():
    """Means of all parameters, in Monte Carlo standard errors from both effective sample sizes."""
    data = mk.IncompleteData.of(TABLE)
    fits = {v: mk.sample(held(v), TABLE, draws=600, tune=400, chains=2, seed=3, progress=False) for v in (0.0, 0.25)}
    thetas = {v: on_line(Target.of(held(v), data), one) for v, one in fits.items()}
    anchor = anchor_of(0.0, Target.of(held(0.0), data), thetas[0.0], 0.5)
    carried = carry(anchor, held(0.25), data)
    assert carried.k_hat < 0.7
    mean = carried.weights @ carried.theta
    there = thetas[0.25]
    error = there.std(axis=0) * np.sqrt(1 / fits[0.25].draws.attrs["ess_min"] + 1 / carried.ess)
    moved = np.abs(there.mean(axis=0) - thetas[0.0].mean(axis=0)) / error
    assert np.max(np.abs(mean - there.mean(axis=0)) / error) < 4
    assert moved.max() > 10  # the test can see a carry that does nothing


def test_a_curve_by_reweighting_is_the_curve_by_refitting(fit):
    """Pooled estimates: both have the Monte Carlo error of their m imputations."""
    grid = mk.Grid(-0.6, 0.6, points=5, unit="sd")
    found = mk.sensitivity(fit, "y1 ~ x + arm", {NAME: grid}, m=M, seed=SEED)
    fits = sum(how.startswith("refitted") for how in found.reached)
    assert fits <= 2
    sd = TABLE["y1"].std()
    for g, value in enumerate(grid.values):
        other = mk.sample(held(value / sd), TABLE, draws=600, tune=400, chains=2, seed=9, progress=False)
        expected = mk.pool(mk.analyze(mk.impute(other, M, seed=77), "y1 ~ x + arm"))
        error = np.hypot(expected.mc_error, found.stack["mc_error"][g])
        assert np.max(np.abs(found.stack["estimate"][g] - expected.estimate) / error) < 5
        assert np.allclose(found.stack["std_error"][g], expected.std_error, rtol=0.6)  # m = 10: within ± 0.6
    frame = found.to_frame()
    again = frame["reached"].str.startswith("reweighted from the fit at")
    assert (frame.loc[again, "k_hat"] < 0.7).all()
    assert (frame.loc[again, "ess"] > 20 * M).all()
    assert frame.loc[~again, "k_hat"].isna().all()
    assert f"5 values from {fits} fit" in str(found)


def test_the_width_of_a_prior_starts_from_the_fit_itself(fit):
    grid = mk.Grid(values=[0.75, 1.5, 3.0], unit="prior_sd")
    found = mk.sensitivity(fit, "y1 ~ 1", {NAME: grid}, m=M, seed=SEED)
    assert found.axes[0].name == f"prior sd of {NAME}"
    assert found.reached[1] == "reweighted from the fit at 1.5"
    own = mk.pool(mk.analyze(mk.impute(fit, M, seed=SEED), "y1 ~ 1"))
    # at the prior of the fit the weights are all alike, and the draws are those of the fit
    assert found.stack["estimate"][1, 0] == pytest.approx(own.estimate[0], rel=1e-6)


def test_where_weights_fail_a_fit_is_made_that_serves_both_sides(fit, monkeypatch, tmp_path):
    """Trusted within 0.25 sd: from the middle 2 points each side; then fits 2 beyond."""
    reach = 0.25 / TABLE["y1"].std()

    plain = coefficients.carry

    def carry_near(anchor, spec, data):
        value = dict(spec.missingness[0].priors)["y1"]
        return plain(anchor, spec, data) if abs(value - anchor.value) < reach else None

    monkeypatch.setattr(coefficients, "carry", carry_near)
    grid = mk.Grid(-1, 1, points=21, unit="sd")
    found = mk.sensitivity(fit, "y1 ~ 1", {NAME: grid}, m=M, seed=SEED, resume=tmp_path)
    refitted = [round(v, 9) for v, how in zip(grid.values, found.reached, strict=True) if how.startswith("refitted")]
    assert refitted == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert found.reached[grid.values.index(-0.7)] == "reweighted from the fit at -0.5"

    def no_fit(*args, **options):
        raise AssertionError("a finished point is fitted again")

    monkeypatch.setattr(coefficients, "sample", no_fit)
    again = mk.sensitivity(fit, "y1 ~ 1", {NAME: grid}, m=M, seed=SEED, resume=tmp_path)
    pd.testing.assert_frame_equal(found.to_frame(), again.to_frame(), check_exact=True)
    kept = sorted(tmp_path.glob("*.npz"))
    for path in kept[::2]:  # as if killed half-way
        path.unlink()
    monkeypatch.undo()
    monkeypatch.setattr(coefficients, "carry", carry_near)
    resumed = mk.sensitivity(fit, "y1 ~ 1", {NAME: grid}, m=M, seed=SEED, resume=tmp_path)
    pd.testing.assert_frame_equal(found.to_frame(), resumed.to_frame(), check_exact=True)


BAD = {
    r"'missing\(y2\) ~ y2' is no coefficient of the fit's spec, which is Selection": {"missing(y2) ~ y2": "sd"},
    r"has no coefficient of 'x'; its terms are 'Intercept', 'z', 'y1'": {"missing(y1) ~ x": "sd"},
    r"one coefficient is varied at a time": {NAME: "sd", "missing(y1) ~ z": "sd"},
    r"'rho\(y1\)' is a correlation: its unit is 'raw', not 'sd'": {"rho(y1)": "sd"},
    r"fit mk.sample\(spec.under\(mk.Heckman": {"rho(y1)": "raw"},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_coefficients_get_one_line(fit, message):
    grids = {name: mk.Grid(0.1, 0.5, points=2, unit=unit) for name, unit in BAD[message].items()}
    with pytest.raises(SpecError, match=message) as refused, warnings.catch_warnings():
        mk.sensitivity(fit, "y1 ~ 1", grids, m=M, seed=SEED)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_the_wages_over_one_sd_either_side_cost_a_fifth_of_the_fits():
    """21 values, and the curve of the effect of education within Monte Carlo error of refits at both ends."""
    wages = mk.load_dataset("wages")
    chosen = "missing(lwage) ~ lwage + educ + exper + age + kidslt6 + nwifeinc"
    spec = mk.Spec(mk.Regression("lwage ~ educ + exper + expersq"), mk.Selection(chosen))
    fit = mk.sample(spec, wages, draws=1000, chains=4, seed=1, progress=False)
    grid = {"missing(lwage) ~ lwage": mk.Grid(-1, 1, points=21, unit="sd")}
    found = mk.sensitivity(fit, "lwage ~ educ + exper + expersq", grid, m=20, seed=2)
    assert sum(how.startswith("refitted") for how in found.reached) <= 4
    for g, value in ((0, -1.0), (20, 1.0)):
        held = spec.under(mk.Selection(chosen, priors={"lwage": value / wages["lwage"].std()}))
        other = mk.sample(held, wages, draws=1000, chains=4, seed=7, progress=False)
        expected = mk.pool(mk.analyze(mk.impute(other, 20, seed=9), "lwage ~ educ + exper + expersq"))
        error = np.hypot(expected.mc_error, found.stack["mc_error"][g])
        assert np.max(np.abs(found.stack["estimate"][g] - expected.estimate) / error) < 5
