"""Maximum likelihood under MNAR: published digits, independent densities, one optimum by several ways."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.em.ascent import climb
from mnarkit.em.loop import iterate
from mnarkit.em.objective import Objective
from mnarkit.em.selection import selection_map
from mnarkit.errors import ConvergenceWarning, IdentificationWarning, SpecError
from tests.cases import SPECS, table
from tests.independent import row_loglik
from tests.refs import refs

pytestmark = pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")

# Stata's heckman, the womenwk data

WOMENWK = mk.Spec(
    mk.Regression("wage ~ education + age"), mk.Heckman("recorded(wage) ~ married + children + education + age")
)
NAMES = [
    *(f"wage ~ {t}" for t in ("education", "age", "Intercept")),
    *(f"recorded(wage) ~ {t}" for t in ("married", "children", "education", "age", "Intercept")),
]
EXACT = [0.9899532, 0.2131293, 0.4857940, 0.4451714, 0.4387069, 0.0557319, 0.0365098, -2.4910153]
ERRORS = [0.0532565, 0.0206031, 1.077037, 0.0673954, 0.0277828, 0.0107349, 0.0041533, 0.1893402]


def womenwk() -> pd.DataFrame:
    return pd.read_csv(refs("heckman_womenwk") / "data.csv")


def test_heckman_is_that_of_stata() -> None:
    fit = mk.em(WOMENWK, womenwk())
    assert fit.loglik == pytest.approx(-5178.3045, abs=0.5001e-4)
    np.testing.assert_allclose(fit.params[NAMES], EXACT, rtol=0.5e-5)  # five digits of the exact maximum
    # one in the last digit printed, and Stata stops short of the maximum, by 2e-5 in the constant
    np.testing.assert_allclose(fit.std_errors[NAMES], ERRORS, rtol=2e-6, atol=1e-7)
    logs = fit.transform(lambda p: {"athrho": np.arctanh(p["rho(wage)"]), "lnsigma": np.log(p["var(wage)"]) / 2})
    np.testing.assert_allclose(logs["estimate"], [0.8742051, 1.7925582], rtol=0.5e-6)
    np.testing.assert_allclose(logs["std_error"], [0.1014232, 0.0275981], rtol=0.5e-4)
    assert fit.converged
    assert len(fit.modes) == 1


def test_two_step_is_that_of_stata() -> None:
    fit = mk.em(WOMENWK, womenwk(), method="two-step")
    expected = [0.9825259, 0.2118695, 0.7340391, 0.4308575, 0.4473249, 0.0583645, 0.0347211, -2.467365]
    errors = [0.0538821, 0.0220511, 1.248331, 0.074208, 0.0287417, 0.0109742, 0.0042293, 0.1925635]
    np.testing.assert_allclose(fit.params[NAMES], expected, rtol=0, atol=0.5001e-6)
    np.testing.assert_allclose(fit.std_errors[NAMES], errors, rtol=0, atol=0.5001e-6)
    assert fit.params["rho(wage)"] == pytest.approx(0.67284, abs=0.5001e-5)
    assert np.sqrt(fit.params["var(wage)"]) == pytest.approx(5.9473529, abs=0.5001e-7)
    assert "4.00162 (standard error 0.606539)" in fit.notes[0]  # Stata: 4.001615 and .6065388


# R sampleSelection, the Mroz87 data


def mroz87() -> pd.DataFrame:
    data = pd.read_csv(refs("heckman_mroz87") / "data.csv")
    worked = data["lfp"] == 1
    kids = (data["kids5"] + data["kids618"] > 0).astype(float)
    logged = np.log(data["wage"].where(worked, 1.0)).where(worked)
    return data.assign(kids=kids, wage=data["wage"].where(worked), lwage=logged, age2=data["age"] ** 2).assign(
        exper2=data["exper"] ** 2
    )


GREENE = mk.Spec(
    mk.Regression("wage ~ exper + exper2 + educ + city"),
    mk.Heckman("recorded(wage) ~ age + age2 + faminc + kids + educ"),
)
WOOLDRIDGE = mk.Spec(
    mk.Regression("lwage ~ educ + exper + exper2"),
    mk.Heckman("recorded(lwage) ~ nwifeinc + educ + exper + exper2 + age + kids5 + kids618"),
)


def half_digit(printed: list[str]) -> np.ndarray:
    """Half of the last digit printed."""
    return np.array([0.5001 * 10.0 ** -_decimals(text) for text in printed])


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def assert_printed(values: pd.Series, printed: str) -> None:
    texts = printed.split()
    assert len(texts) == len(values)
    gap = np.abs(values.to_numpy() - np.array(texts, float))
    assert np.all(gap <= half_digit(texts)), (values.to_numpy(), texts)


def test_greenes_example_and_its_higher_mode() -> None:
    data = mroz87()
    with pytest.warns(ConvergenceWarning, match="a local maximum") as caught:
        fit = mk.em(GREENE, data)
    assert all("\n" not in str(w.message) for w in caught)
    assert fit.loglik == pytest.approx(-1581.257676, abs=0.5001e-6)
    exact = [-1.96302426, 0.0278682892, -0.00010386038, 0.457005092, 0.446529035]
    np.testing.assert_allclose(fit.coef[0], exact, rtol=0.5e-5)
    selection = [-4.11969203, 0.184015427, -0.00240869735, 5.67968516e-06, -0.450614871, 0.0952807992]
    np.testing.assert_allclose(fit.indicators[0].coef, selection, rtol=0.5e-5)
    logs = fit.transform(lambda p: {"sigma": np.sqrt(p["var(wage)"]), "rho": p["rho(wage)"]})
    np.testing.assert_allclose(logs["estimate"], [3.1083762, -0.1319586], rtol=0, atol=0.5001e-7)
    np.testing.assert_allclose(logs["std_error"], [0.11383, 0.16513], rtol=0, atol=0.5001e-5)
    errors = fit.std_errors
    assert_printed(errors[:5], "1.198221 0.061551 0.001839 0.073230 0.315921")
    assert_printed(errors[6:12], "1.40e+00 6.59e-02 7.72e-04 4.42e-06 1.30e-01 2.32e-02")
    modes = fit.modes
    assert modes["loglik"].is_monotonic_decreasing
    assert modes.loc[0, "loglik"] == pytest.approx(-1479.65, abs=0.5001e-2)
    assert modes.loc[0, "rho(wage)"] == pytest.approx(0.993, abs=0.5001e-3)
    assert modes.loc[~modes["returned"], "loglik"].max() > fit.loglik
    assert modes.loc[modes["returned"], "loglik"].item() == pytest.approx(fit.loglik)


def test_greenes_two_step() -> None:
    fit = mk.em(GREENE, mroz87(), method="two-step")
    assert_printed(fit.params[:5], "-0.971200 0.021061 0.000137 0.417017 0.443838")
    assert_printed(fit.std_errors[:5], "2.059351 0.062465 0.001878 0.100250 0.315898")
    assert_printed(fit.params[6:12], "-4.16e+00 1.85e-01 -2.43e-03 4.58e-06 -4.49e-01 9.82e-02")
    assert_printed(fit.std_errors[6:12], "1.40e+00 6.60e-02 7.74e-04 4.21e-06 1.31e-01 2.30e-02")
    assert np.sqrt(fit.params["var(wage)"]) == pytest.approx(3.200, abs=0.5001e-3)
    assert fit.params["rho(wage)"] == pytest.approx(-0.343, abs=0.5001e-3)
    assert "-1.09762" in fit.notes[0]
    assert "1.26599" in fit.notes[0]


def test_wooldridges_example() -> None:
    data = mroz87()
    fit, steps = mk.em(WOOLDRIDGE, data), mk.em(WOOLDRIDGE, data, method="two-step")
    assert fit.loglik == pytest.approx(-832.885081, abs=0.5001e-6)
    assert_printed(fit.params[:4], "-0.552696 0.108350 0.042837 -0.000837")
    assert_printed(fit.std_errors[:4], "0.260379 0.014861 0.014879 0.000417")
    selection = "0.266449 -0.012132 0.131341 0.123282 -0.001886 -0.052829 -0.867399 0.035872"
    assert_printed(fit.params[5:13], selection)
    assert_printed(fit.std_errors[5:13], "0.508958 0.004877 0.025382 0.018724 0.000600 0.008479 0.118651 0.043475")
    assert_printed(fit.params[13:], "0.026607")
    assert_printed(fit.std_errors[13:], "0.147078")
    assert_printed(steps.params[:4], "-0.578103 0.109066 0.043887 -0.000859")
    assert_printed(steps.std_errors[:4], "0.305006 0.015523 0.016261 0.000439")
    selection = "0.270077 -0.012024 0.130905 0.123348 -0.001887 -0.052853 -0.868329 0.036005"
    assert_printed(steps.params[5:13], selection)
    assert_printed(steps.std_errors[5:13], "0.508593 0.004840 0.025254 0.018716 0.000600 0.008477 0.118522 0.043477")
    assert steps.params["rho(lwage)"] == pytest.approx(0.048614, abs=0.5001e-6)
    assert "0.0322619" in steps.notes[0]
    assert "0.133625" in steps.notes[0]


# Blimp's selection model, its exact maximum


def test_probit_selection_is_the_exact_maximum_of_blimps_example() -> None:
    data = pd.read_csv(refs("blimp_ex7_1a_selection") / "data.csv")
    spec = mk.Spec(mk.MvNormal("y", "x1", "x2", "x3", given="d1 + d2"), mk.Selection("missing(y) ~ y"))
    fit = mk.em(spec, data)
    assert fit.loglik == pytest.approx(-2474.0008, abs=0.5001e-4)
    indicator = [fit.params[f"missing(y) ~ {t}"] for t in ("Intercept", "y")]
    np.testing.assert_allclose(indicator, [-0.7431, 0.0046], rtol=0, atol=0.5001e-4)
    errors = [fit.std_errors[f"missing(y) ~ {t}"] for t in ("Intercept", "y")]
    np.testing.assert_allclose(errors, [0.2114, 0.0604], rtol=0, atol=0.5001e-4)
    regression = fit.regress("y ~ x1 + d1 + d2").set_index("term")["estimate"]
    np.testing.assert_allclose(regression[["d1", "d2", "x1"]], [-1.4588, 0.2271, 0.2750], rtol=0, atol=0.5001e-4)
    assert regression["residual sd"] ** 2 == pytest.approx(2.0024, abs=0.5001e-4)


# One optimum by several ways

DEPART = [name for name, spec in SPECS.items() if not spec.is_mar or spec.limits]


@pytest.mark.parametrize("name", SPECS)
def test_gradient_of_the_objective(name: str) -> None:
    objective = Objective.of(SPECS[name], IncompleteData.of(table()))
    theta = 0.2 * np.random.default_rng(1).normal(size=objective.size)
    step = 1e-6 * np.eye(objective.size)
    numeric = [(objective.loglik(theta + e) - objective.loglik(theta - e)) / 2e-6 for e in step]
    # rounding of a log likelihood near 1e3, over 2e-6
    np.testing.assert_allclose(objective.loglik_and_gradient(theta)[1], numeric, atol=1e-6)
    np.testing.assert_allclose(objective.theta(objective.parameters(theta)), theta, atol=1e-12)


@pytest.mark.parametrize("name", DEPART)
def test_every_belief_has_its_maximum(name: str) -> None:
    fit = mk.em(SPECS[name], table(250))
    assert fit.converged
    assert np.diff(fit.history["loglik"]).min(initial=0.0) > -1e-8
    assert "EM under" in str(fit)
    if fit.curvature is not None:
        assert fit.std_errors[fit.std_errors > 0].size >= 3


@pytest.mark.parametrize("name", ["regression, probit", "joint, logit on another column", "regression, Heckman"])
def test_the_log_likelihood_is_that_of_an_independent_density(name: str) -> None:
    data = table(80)
    fit = mk.em(SPECS[name], data)
    layout = Objective.of(SPECS[name], IncompleteData.of(data)).layout
    one = fit.indicators[0]
    kind = "recorded_y1" if one.rho is not None else "missing_y1"
    point = {"coef": fit.coef, "cov": fit.cov, kind: one.coef, "rho_y1": one.rho}
    rows = row_loglik(SPECS[name], data, point, layout.x, [i.w for i in layout.indicators])
    assert fit.loglik == pytest.approx(rows.sum(), abs=1e-6)  # the grid's error over 80 rows


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize(
    "name", ["regression, probit", "regression, logit", "joint, probit", "regression, selection with priors"]
)
def test_em_for_selection_never_falls_and_ends_where_direct_ascent_ends(name: str, accelerate: bool) -> None:
    objective = Objective.of(SPECS[name], IncompleteData.of(table(250)))
    start = np.zeros(objective.size)
    path = iterate(selection_map(objective), start, tol=1e-9, max_iter=5000, accelerate=accelerate)
    assert path.converged
    assert np.diff(path.objective).min() > -1e-8
    other = climb(objective, start + 0.1, max_iter=500)
    np.testing.assert_allclose(path.points[-1], other.points[-1], atol=1e-5)  # EM's last step was below 1e-9
    best = optimize.minimize(
        lambda t: -objective.loglik(t),
        other.points[-1] + 0.05,
        method="Nelder-Mead",
        tol=1e-9,
        options={"maxfev": 20_000, "adaptive": True},
    )
    assert -best.fun <= other.objective[-1] + 1e-7


def test_the_optimum_has_no_gradient() -> None:
    data = table(400)
    for name in ("regression, probit", "joint, probit"):
        fit = mk.em(SPECS[name], data)
        objective = Objective.of(SPECS[name], IncompleteData.of(data))
        top = mk.em(SPECS[name], data, start=fit)
        assert top.loglik == pytest.approx(fit.loglik, abs=1e-8)
        theta = objective.theta(objective.parameters(np.zeros(objective.size)))
        end = climb(objective, theta, max_iter=500).points[-1]
        np.testing.assert_allclose(objective.own(end), fit.params, rtol=1e-5, atol=1e-6)
        assert np.abs(objective.loglik_and_gradient(end)[1]).max() / len(data) < 1e-5


def test_rescaled_columns_give_the_rescaled_fit() -> None:
    data, spec = table(250), SPECS["regression, probit"]
    moved = data.assign(y1=100 + 20 * data["y1"], x=5 - 0.1 * data["x"])
    fit, other = mk.em(spec, data), mk.em(spec, moved)
    assert other.params["y1 ~ x"] == pytest.approx(-200 * fit.params["y1 ~ x"], rel=1e-5)
    assert other.params["missing(y1) ~ y1"] == pytest.approx(fit.params["missing(y1) ~ y1"] / 20, rel=1e-5)
    assert other.std_errors["missing(y1) ~ y1"] == pytest.approx(fit.std_errors["missing(y1) ~ y1"] / 20, rel=1e-4)
    assert other.loglik + data["y1"].notna().sum() * np.log(20) == pytest.approx(fit.loglik, abs=1e-6)


def test_rows_permuted_change_nothing() -> None:
    data, spec = table(250), SPECS["joint, probit"]
    turned = data.sample(frac=1, random_state=1)
    np.testing.assert_allclose(mk.em(spec, turned).params, mk.em(spec, data).params, rtol=1e-6, atol=1e-8)


def test_fixed_coefficients_stay() -> None:
    fit = mk.em(SPECS["regression, selection with priors"], table(250))
    assert fit.params["missing(y1) ~ y1"] == pytest.approx(-0.3, abs=1e-12)
    assert fit.params["missing(y1) ~ Intercept"] == pytest.approx(0.7, abs=1e-9)
    assert fit.std_errors["missing(y1) ~ y1"] == pytest.approx(0, abs=1e-12)


def test_a_slope_fixed_at_zero_is_mar() -> None:
    data = table(250)
    model = mk.Regression("y1 ~ x + arm")
    fixed = mk.em(mk.Spec(model, mk.Selection("missing(y1) ~ y1 + z", priors={"y1": 0.0})), data)
    mar = mk.em(mk.Spec(model), data, tol=1e-12)
    np.testing.assert_allclose(fixed.coef, mar.coef, rtol=1e-6)
    np.testing.assert_allclose(fixed.std_errors[:3], mar.std_errors[:3], rtol=1e-4)


# Pattern-mixture


def test_a_shift_that_the_likelihood_does_not_see_leaves_mar() -> None:
    data = table(250)
    model = mk.Regression("y1 ~ x")
    inside = mk.em(mk.Spec(model, mk.PatternMixture(mk.Shift("y1", -0.5, unit="sd", of="model"))), data)
    mar = mk.em(mk.Spec(model), data, tol=1e-12)
    np.testing.assert_allclose(inside.params, mar.params, rtol=1e-6)
    missing = data["y1"].isna().mean()
    moved, plain = (fit.project("y1 ~ 1")["estimate"].item() for fit in (inside, mar))
    sd = np.sqrt(mar.params["var(y1)"])
    assert moved == pytest.approx(plain - 0.5 * sd * missing, rel=1e-6)


def test_a_shift_added_afterwards_moves_projections_alone() -> None:
    data = table(250)
    model = mk.Regression("y1 ~ x")
    late = mk.em(mk.Spec(model, mk.PatternMixture(mk.Shift("y1", -0.5, unit="sd"))), data)
    mar = mk.em(mk.Spec(model), data)
    np.testing.assert_allclose(late.params, mar.params)
    moved, plain = (fit.project("y1 ~ 1") for fit in (late, mar))
    sd, share = np.sqrt(mar.params["var(y1)"]), data["y1"].isna().mean()
    assert moved["estimate"].item() == pytest.approx(plain["estimate"].item() - 0.5 * sd * share, rel=1e-9)
    assert moved["std_error"].item() == pytest.approx(plain["std_error"].item(), rel=0.15)  # the shift is a part of sd
    filled, holes = late.expected(), data["y1"].isna()
    np.testing.assert_allclose(filled.loc[holes, "y1"], mar.expected().loc[holes, "y1"] - 0.5 * sd)


def test_amounts_are_said_to_be_held() -> None:
    spec = mk.Spec(
        mk.MvNormal("y1", "y2", given="x"),
        mk.PatternMixture(mk.Shift("y1", mk.Prior("normal", -1, 0.5), unit="raw", of="model")),
    )
    fit = mk.em(spec, table(100))
    assert any("held at -1 (the centre of its prior)" in note for note in fit.notes)


# Expectations, files, refusals


def test_projection_of_a_selection_model_has_the_error_of_its_mean() -> None:
    data, spec = table(600), SPECS["regression, probit"]
    fit = mk.em(spec, data)
    frame = fit.project("y1 ~ 1")
    x = np.column_stack([np.ones(len(data)), data["x"], data["arm"] == "placebo"])
    center = x.mean(axis=0)
    assert frame["estimate"].item() == pytest.approx(center @ fit.coef[0], abs=0.02)  # E[y] = x̄'β up to sampling
    variance = center @ fit.covariance.to_numpy()[:3, :3] @ center + np.var(x @ fit.coef[0]) / len(data)
    assert frame["std_error"].item() == pytest.approx(np.sqrt(variance), rel=0.15)  # influences against the model


def test_expectations_given_the_sign_are_the_mean_of_draws() -> None:
    data = table(100)
    pairs = ("joint, logit and probit on each other's columns", "joint, Heckman and selection")
    for name in ("regression, probit", "regression, logit", "joint, Heckman", *pairs):
        fit = mk.em(SPECS[name], data)
        holes = data["y1"].isna()
        draws = np.array([fit.stochastic(seed)["y1"][holes] for seed in range(80)])
        error = draws.std(axis=0, ddof=1) / np.sqrt(80)
        z = (draws.mean(axis=0) - fit.expected()["y1"][holes]) / error
        assert np.abs(z).max() < 5, name


def test_an_mnar_fit_is_saved_and_loaded(tmp_path: object) -> None:
    fit = mk.em(SPECS["regression, Heckman"], table(200))
    back = mk.EMFit.load(fit.save(str(tmp_path)))
    pd.testing.assert_series_equal(back.params, fit.params)
    pd.testing.assert_series_equal(back.std_errors, fit.std_errors)
    pd.testing.assert_frame_equal(back.modes, fit.modes)
    pd.testing.assert_frame_equal(back.project("y1 ~ 1"), fit.project("y1 ~ 1"))


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("regression, probit", {"prior": mk.Jeffreys()}, "prior= is for fits under MAR"),
        ("regression, probit", {"method": "two-step"}, "one Heckman belief"),
        ("regression, MAR", {"method": "two-step"}, "one Heckman belief"),
        ("joint, Heckman", {"method": "two-step"}, "one Regression"),
        ("regression, Heckman with a uniform rho", {"method": "two-step"}, "leave priors= out"),
        ("regression, probit", {"start": "complete"}, "'available'"),
        ("regression, probit", {"start": {"y1 ~ x": 1.0}}, "is missing"),
    ],
)
def test_options_that_are_refused(spec: str, options: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        mk.em(SPECS[spec], table(), **options)
    assert "\n" not in str(caught.value)


def test_correlated_propensities_are_said_and_no_reason_to_warn() -> None:
    data = table(200)
    spec = SPECS["means, two self-masking probits"]
    both = int((data["y1"].isna() & data["y2"].isna()).sum())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = mk.em(spec, data)
    said = f"propensities of y1, y2 are correlated given what is seen: in {both} of 200 rows two, whose joint"
    assert any(said in note for note in fit.notes)
    assert not any(said in str(w.message) for w in caught)
    assert not any("propensities" in note for note in mk.em(SPECS["regression, probit"], data).notes)


def test_what_identifies_is_said() -> None:
    with pytest.warns(IdentificationWarning, match=r"shadow|exclusion|normal shape"):
        mk.em(SPECS["regression, probit"], table(200))


def _wages_like(n: int = 150, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    error = rng.normal(size=n)
    frame["y"] = (1 + frame["x"] + 0.5 * error).where(0.5 * error + frame["z"] + rng.normal(size=n) >= -0.3)
    return frame


HECKMAN = mk.Spec(mk.Regression("y ~ x"), mk.Heckman("recorded(y) ~ x + z"))


@pytest.mark.parametrize("seed", [7, 0, 3])
def test_a_small_table_is_no_reason_to_break_down(seed):
    """With 40 rows some starts of the search for modes run to |rho| = 1."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40)})
    error = rng.normal(size=40)
    frame["y"] = (1 + frame["x"] + error).where(0.5 * error + frame["z"] + rng.normal(size=40) >= -0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(mk.em(HECKMAN, frame, progress=False).loglik)


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["dummy", "threshold", "selection"])
def test_predictors_that_separate_the_rows_are_told(kind):
    frame = _wages_like()
    rng = np.random.default_rng(1)
    complete = frame["y"].fillna(1 + frame["x"])
    belief = mk.Heckman("recorded(y) ~ x + z")
    if kind == "dummy":
        frame["g"] = (rng.random(150) < 0.3) * 1.0
        frame["y"] = frame["y"].where(frame["g"] == 0, complete)
        belief = mk.Heckman("recorded(y) ~ x + z + g")
    elif kind == "threshold":
        frame["y"] = complete.where(frame["z"] > 0)
    else:
        frame["y"] = complete.where(frame["z"] > 0)
        belief = mk.Selection("missing(y) ~ y + z")
    fit = mk.em(mk.Spec(mk.Regression("y ~ x"), belief), frame, progress=False, max_iter=2000)
    said = " ".join(fit.notes)
    assert "no standard errors:" in said
    assert "the data do not tell" in said
    assert fit.modes.empty


def test_start_values_that_are_no_numbers_are_refused_by_name():
    frame = _wages_like()
    params = dict(mk.em(HECKMAN, frame, progress=False).params)
    for value in (np.nan, np.inf, 1e200, "a", None):
        with pytest.raises(
            mk.errors.SpecError, match=r"start= has .* for 'y ~ x'; every start value is a finite number"
        ):
            mk.em(HECKMAN, frame, start={**params, "y ~ x": value}, progress=False)


def test_max_iter_is_what_it_says_of_a_direct_ascent():
    frame = _wages_like()
    with pytest.warns(mk.errors.ConvergenceWarning, match="stopped at max_iter"):
        fit = mk.em(HECKMAN, frame, max_iter=2, progress=False)
    assert fit.iterations == 2
    assert not fit.converged
    assert fit.modes.empty


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")
def test_columns_never_seen_together_leave_no_standard_errors_under_a_belief():
    frame = _wages_like()
    frame["u"] = (1 + frame["x"]).where(frame["y"].isna()) + np.random.default_rng(2).normal(size=150)
    spec = mk.Spec(mk.MvNormal("y", "u", given="x"), mk.PatternMixture(mk.Scale("u", 1.5, of="model")))
    said = " ".join(mk.em(spec, frame, progress=False).notes)
    assert "'cov(y, u)'" in said or "'cov(u, y)'" in said
    with pytest.raises(mk.errors.DataError, match="the data determine one of 'y', 'u' by the others"):
        mk.em(mk.Spec(mk.MvNormal("y", "u"), mk.Heckman("recorded(y) ~ z")), frame.assign(u=2 * frame["y"] + 1))
