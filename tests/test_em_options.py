"""What EM offers beside its estimates: starts, priors, acceleration, missing information, tables, files."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import mnarkit as mk
from mnarkit.em.loop import Step, iterate
from mnarkit.errors import ConvergenceError, ConvergenceWarning, DataError, FormulaError, SpecError
from tests.refs import refs
from tests.test_em import FITNESS, JOINT, MEANS_ALONE, fitness, loglik_by_scipy, random_table

LOG_2PI = np.log(2 * np.pi)


def without_constant(fit: mk.EMFit, table: pd.DataFrame) -> pd.Series:
    """Log likelihood of each iteration as norm2 prints it."""
    return fit.history["loglik"] + table[list(fit.columns)].notna().to_numpy().sum() * LOG_2PI / 2


# R norm2, the cholesterol data

CHOLESTEROL = mk.Spec(mk.MvNormal("Y1", "Y2", "Y3"))
NORM2_PATH = [-323.5527, -310.3163, -308.5807, -308.1113, -308.0162, -307.9990, -307.9958, -307.9952]
NORM2_PRIORS = {
    "ridge": (mk.Ridge(3), -395.0272),
    "inverse Wishart": (mk.InverseWishart(3, np.diag([2, 1, 2])), -383.1954),
}


def cholesterol() -> pd.DataFrame:
    return pd.read_csv(refs("norm2_cholesterol") / "data.csv")


def norm2_iterations(fit: mk.EMFit, criterion: float = 1e-5) -> int:
    """Where norm2 stops: every parameter within `criterion` times its own size of the one before."""
    values = fit.history[fit.params.index].to_numpy()
    moved = np.abs(np.diff(values, axis=0)) <= criterion * np.abs(values[:-1])
    return int(np.argmax(moved.all(axis=1))) + 1


def test_norm2_path_iterations_and_estimates() -> None:
    table = cholesterol()
    fit = mk.em(CHOLESTEROL, table, accelerate=False, tol=1e-12)
    assert norm2_iterations(fit) == 15
    path = without_constant(fit, table).to_numpy()
    np.testing.assert_allclose(path[:15], [*NORM2_PATH, *[-307.9951] * 7], rtol=0, atol=0.50001e-4)
    at_15 = fit.history.loc[15]
    for name, printed in {"Y3 ~ Intercept": 222.2371, "cov(Y1, Y3)": 835.3973, "cov(Y2, Y3)": 1515.4584}.items():
        assert at_15[name] == pytest.approx(printed, abs=0.50001e-4)
    # norm2 takes the worst fraction from the last steps: the ratio of successive changes, which tends to ours
    steps = np.linalg.norm(np.diff(fit.history[fit.params.index].to_numpy(), axis=0), axis=1)
    assert steps[14] / steps[13] == pytest.approx(0.4617, abs=0.5001e-4)
    assert fit.worst_missing_information[0] == pytest.approx(0.4617, abs=0.005)


def test_norm2_regression() -> None:
    table = cholesterol()
    fit = mk.em(mk.Spec(mk.Regression("Y3 ~ Y1 + Y2")), table)
    np.testing.assert_allclose(fit.coef[0], [74.0236337, -0.1673990, 0.8269102], rtol=0, atol=0.50001e-7)
    # after norm2's 10 iterations with its 9 empty rows the variance still lacks (9 / 28)^10 of the way
    assert fit.cov.item() == pytest.approx(838.9239, rel=1e-5)
    assert -2 * without_constant(fit, table).iloc[-1] == pytest.approx(146.9102, abs=0.50001e-4)
    assert fit.n_empty / (fit.n + fit.n_empty) == pytest.approx(0.3214, abs=0.50001e-4)  # norm2 counts them as missing


@pytest.mark.parametrize("name", NORM2_PRIORS)
def test_norm2_log_posterior(name: str) -> None:
    prior, printed = NORM2_PRIORS[name]
    table = cholesterol()
    fit = mk.em(CHOLESTEROL, table)
    mode = mk.em(CHOLESTEROL, table, prior=prior, start=fit)
    at_fit = without_constant(mode, table).iloc[0] + mode.history["log_prior"].iloc[0]
    assert at_fit == pytest.approx(printed, abs=0.50001e-4)
    assert "posterior mode" in str(mode)


@pytest.mark.parametrize("prior", [mk.Ridge(3), mk.InverseWishart(3, np.diag([2, 1, 2])), mk.Jeffreys()], ids=repr)
def test_posterior_modes_are_those_of_a_direct_search(prior: object) -> None:
    table = cholesterol()
    mode = mk.em(CHOLESTEROL, table, prior=prior, tol=1e-11)
    y = table.to_numpy()
    lower = np.tril_indices(3)
    weight, scatter = {
        "Ridge": (7, 3 * np.diag(np.nanvar(y, axis=0, ddof=1))),
        "InverseWishart": (7, np.diag([2.0, 1, 2])),
        "Jeffreys": (4, np.zeros((3, 3))),
    }[type(prior).__name__]

    def negative(v: np.ndarray) -> float:
        root = np.zeros((3, 3))
        root[lower] = v[3:] * 50
        cov = root @ root.T
        log_prior = -weight / 2 * np.linalg.slogdet(cov)[1] - np.trace(np.linalg.solve(cov, scatter)) / 2
        theta = np.concatenate([v[:3] * 50, cov[lower]])
        return -loglik_by_scipy(theta, y, np.ones((len(y), 1))) - log_prior

    start = np.concatenate([mode.coef.ravel() / 50, np.linalg.cholesky(mode.cov * 1.2)[lower] / 50])
    best = optimize.minimize(negative, start, method="BFGS", options={"gtol": 1e-7})
    root = np.zeros((3, 3))
    root[lower] = best.x[3:] * 50
    np.testing.assert_allclose(mode.coef.ravel(), best.x[:3] * 50, rtol=1e-5)  # BFGS with differenced gradients
    np.testing.assert_allclose(mode.cov, root @ root.T, rtol=1e-4, atol=1e-3)
    assert mode.loglik + mode.log_prior == pytest.approx(-best.fun, abs=1e-6)


def test_a_prior_bounds_what_the_data_leave_open() -> None:
    table = random_table(1, holes=0.0)
    table["b"] = 2 * table["a"] + 1
    fit = mk.em(MEANS_ALONE, table, prior=mk.Ridge(1))
    assert fit.converged
    assert not fit.notes
    assert np.all(np.isfinite(fit.std_errors))


def test_standard_errors_of_a_mode_are_those_of_the_penalised_objective() -> None:
    table = random_table(4, holes=0.0)
    fit = mk.em(mk.Spec(mk.Regression("a ~ 1")), table, prior=mk.Jeffreys())
    n, y = len(table), table["a"]
    var = np.sum((y - y.mean()) ** 2) / (n + 2)
    np.testing.assert_allclose(fit.params, [y.mean(), var], rtol=1e-9)
    # -d²/dσ⁴ of -½ (n + 2) log σ² - S / 2σ² at the mode is (n + 2) / 2σ⁴
    np.testing.assert_allclose(fit.std_errors, [np.sqrt(var / n), var * np.sqrt(2 / (n + 2))], rtol=1e-9)


# R mvnmle, the apple data


def test_apple_worms() -> None:
    table = pd.read_csv(refs("mvnmle_apple") / "data.csv")
    fit = mk.em(mk.Spec(mk.MvNormal(*table.columns)), table, tol=1e-12)
    np.testing.assert_allclose(fit.coef.ravel(), [14.72222222, 49.33333333], rtol=0, atol=0.5001e-7)
    np.testing.assert_allclose(fit.cov[np.tril_indices(2)], [89.53395062, -90.6967292, 114.69495512], rtol=1e-8)
    assert fit.loglik == pytest.approx(-101.78563213, abs=0.5001e-7)


# Starts

STARTS = ["available", "complete", "available-correlated", ("available-correlated", 0.3)]


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_every_start_leads_to_the_same_maximum(start: object) -> None:
    table = random_table(6)
    fit = mk.em(JOINT, table, start=start, tol=1e-10)
    np.testing.assert_allclose(fit.params, mk.em(JOINT, table, tol=1e-10).params, atol=1e-6)
    pd.testing.assert_series_equal(fit.start, fit.history.loc[0, fit.params.index], check_names=False)


def test_starts_are_what_they_say() -> None:
    table = random_table(6)
    y = table[list("abc")]
    whole = y.dropna()
    complete = mk.em(MEANS_ALONE, table, start="complete").start
    np.testing.assert_allclose(complete[:3], whole.mean(), rtol=1e-9)
    np.testing.assert_allclose(complete[3:], np.cov(whole.T)[np.tril_indices(3)], rtol=1e-9)
    correlated = mk.em(MEANS_ALONE, table, start=("available-correlated", 0.3)).start
    sd = y.std().to_numpy()
    np.testing.assert_allclose(correlated["cov(a, b)"], 0.3 * sd[0] * sd[1], rtol=1e-9)
    mean = mk.em(MEANS_ALONE, table, start="available-correlated").start
    shares = mean[["cov(a, b)", "cov(a, c)", "cov(b, c)"]] / [sd[0] * sd[1], sd[0] * sd[2], sd[1] * sd[2]]
    assert np.ptp(shares) < 1e-9


def test_a_fit_and_its_parameters_are_starts() -> None:
    table = random_table(6)
    fit = mk.em(JOINT, table, tol=1e-10)
    for start in (fit, fit.params, fit.params.to_dict()):
        again = mk.em(JOINT, table, start=start, tol=1e-8)
        assert again.iterations == 1
        np.testing.assert_allclose(again.params, fit.params, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("avaliable", "'available'"),
        (("available-correlated", 1.5), "inside"),
        ({"a ~ Intercept": 1.0}, "is missing"),
        (0.3, "start= is"),
        ([np.zeros(30)], "not list"),
    ],
    ids=str,
)
def test_starts_that_are_refused(start: object, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        mk.em(MEANS_ALONE, random_table(2), start=start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, "a", None, [], np.zeros(3), True, 10**400], ids=str)
def test_a_start_that_is_no_finite_number_is_named(value: object) -> None:
    table = random_table(2)
    start = {**mk.em(MEANS_ALONE, table).params, "b ~ Intercept": value}
    with pytest.raises(SpecError, match=r"start= has 'b ~ Intercept' = .*a finite number$"):
        mk.em(MEANS_ALONE, table, start=start)


@pytest.mark.parametrize("name", ["b ~ Intercept", "var(b)"])
def test_a_start_too_far_away_is_named(name: str) -> None:
    table = random_table(2)
    start = {**mk.em(MEANS_ALONE, table).params, name: 1e200}
    with pytest.raises(SpecError, match=re.escape(f"start= has '{name}' ") + ".*times as large"):
        mk.em(MEANS_ALONE, table, start=start)


def test_a_covariance_that_is_none_is_refused() -> None:
    table = random_table(2)
    params = mk.em(MEANS_ALONE, table).params
    params["cov(a, b)"] = 10 * np.sqrt(params["var(a)"] * params["var(b)"])
    with pytest.raises(SpecError, match="not positive definite"):
        mk.em(MEANS_ALONE, table, start=params)


def test_too_few_complete_rows_are_counted() -> None:
    table = random_table(2)
    table.loc[4:, "a"] = np.nan
    table.loc[:1, "b"] = np.nan
    with pytest.raises(DataError, match=r"^\d rows are complete"):
        mk.em(MEANS_ALONE, table, start="complete")


# The loop

SLOW = [(500, 5, 0), (400, 6, 2), (200, 5, 3)]


def with_holes(n: int, p: int, seed: int, holes: float = 0.6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.multivariate_normal(np.zeros(p), 0.5 + 0.5 * np.eye(p), n)
    y[rng.random(y.shape) < holes] = np.nan
    return pd.DataFrame(y, columns=[f"y{j}" for j in range(p)])


@pytest.mark.parametrize(("n", "p", "seed"), SLOW)
def test_acceleration_takes_a_fifth_of_the_maps(n: int, p: int, seed: int) -> None:
    table = with_holes(n, p, seed)
    spec = mk.Spec(mk.MvNormal(*table.columns))
    plain, quick = mk.em(spec, table, accelerate=False), mk.em(spec, table)
    assert quick.evaluations <= plain.evaluations / 5
    assert quick.loglik >= plain.loglik - 1e-9
    np.testing.assert_allclose(quick.params, plain.params, atol=1e-5)  # plain EM stops short by rate / (1 - rate) tol
    assert np.diff(quick.history["loglik"]).min() > -1e-8


def test_log_likelihood_as_the_criterion() -> None:
    table = random_table(6)
    fit = mk.em(JOINT, table, criterion="loglik", tol=1e-3, accelerate=False)
    rises = np.diff(fit.history["loglik"])
    assert rises[-1] < 1e-3 <= rises[-2]
    assert "the objective changed by less than 0.001" in fit.reason


def test_a_map_that_lowers_the_objective_is_refused() -> None:
    with pytest.raises(ConvergenceError, match="the objective fell from"):
        iterate(lambda x: Step(x + 1, -float(x @ x)), np.zeros(2), tol=1e-6, max_iter=9)


def test_candidates_outside_the_space_are_not_taken() -> None:
    def step(x: np.ndarray) -> Step:
        if x[0] >= 1:
            raise np.linalg.LinAlgError
        return Step(x + (0.9 - x) / 10, -float((0.9 - x[0]) ** 2))

    path = iterate(step, np.array([-5.0]), tol=1e-9, max_iter=200, accelerate=True)
    assert path.converged
    assert max(p[0] for p in path.points) < 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_iter": 0}, "max_iter="),
        ({"max_iter": True}, "max_iter="),
        ({"tol": True}, "tol="),
        ({"tol": np.inf}, "tol="),
        ({"tol": "1e-8"}, "tol="),
        ({"accelerate": "no"}, "accelerate= is True or False, not 'no'"),
        ({"progress": 1}, "progress="),
        ({"tol": -1}, "tol="),
        ({"criterion": "x"}, "criterion="),
        ({"prior": 3}, "prior="),
    ],
    ids=str,
)
def test_options_that_are_refused(options: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        mk.em(MEANS_ALONE, random_table(2), **options)


def test_a_tolerance_of_single_precision_is_a_number() -> None:
    assert mk.em(MEANS_ALONE, random_table(2), tol=np.float32(1e-6), max_iter=np.int64(500)).converged


@pytest.mark.parametrize("verb", [mk.em, mk.sample, mk.build], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a ~ 1", 'mk.Spec(mk.Regression("a ~ 1"))'),
        (mk.Regression("a ~ 1"), 'mk.Spec(mk.Regression("a ~ 1"))'),
        (mk.MvNormal("a", "b"), 'mk.Spec(mk.MvNormal("a", "b"))'),
        (None, 'mk.Spec(mk.Regression("y ~ x"))'),
    ],
    ids=str,
)
def test_a_data_model_without_its_spec_is_shown_how_to_wrap_it(verb: object, given: object, said: str) -> None:
    with pytest.raises(SpecError, match="^a spec is needed, not .*" + re.escape(said)):
        verb(given, random_table(2))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mk.Ridge(0), "above 0"),
        (lambda: mk.InverseWishart(3, [[1, 2], [0, 1]]), "symmetric"),
        (lambda: mk.InverseWishart(3, [[1, 2], [2, 1]]), "negative eigenvalue"),
        (lambda: mk.em(MEANS_ALONE, random_table(2), prior=mk.InverseWishart(3, [[1.0]])), "for 3 modelled columns"),
        (lambda: mk.em(MEANS_ALONE, random_table(2), prior=mk.InverseWishart(-5, np.eye(3))), "above -"),
    ],
)
def test_priors_that_are_refused(make: object, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make()  # type: ignore[operator]


# Missing information


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_worst_fraction_is_the_rate_of_em(seed: int) -> None:
    table = random_table(seed, holes=0.3)
    fit = mk.em(MEANS_ALONE, table, tol=1e-13, accelerate=False)
    steps = np.diff(fit.history[fit.params.index].to_numpy(), axis=0)
    far = steps[len(steps) * 3 // 4]
    after = steps[len(steps) * 3 // 4 + 1]
    fraction, weights = fit.worst_missing_information
    assert (weights @ after) / (weights @ far) == pytest.approx(fraction, rel=1e-3)  # late in EM, rounding 1e-13 apart
    assert fraction < 1
    each = fit.missing_information
    assert each.max() <= fraction + 1e-9
    assert each.min() > -1e-9
    variance = fit.covariance.to_numpy()
    complete = variance - fraction * variance  # of the worst function: V_complete = (1 - fraction) V_observed
    assert weights @ complete @ weights > 0


def test_fractions_of_a_monotone_pair() -> None:
    table = random_table(5, holes=0.0)[["a", "b"]]
    table.loc[table.index[6:], "b"] = np.nan
    fit = mk.em(mk.Spec(mk.MvNormal("a", "b")), table, tol=1e-13)
    each = fit.missing_information
    np.testing.assert_allclose(each[["a ~ Intercept", "var(a)"]], 0, atol=1e-9)
    m, n = 6, len(table)
    slope2 = (fit.cov[0, 1] / fit.cov[0, 0]) ** 2
    seen, center = table["a"].iloc[:m], table["a"].mean()
    left = fit.cov[1, 1] - slope2 * fit.cov[0, 0]
    shift = (center - seen.mean()) ** 2 / np.sum((seen - seen.mean()) ** 2)
    observed = left * (1 / m + shift) + slope2 * fit.cov[0, 0] / n  # Little & Rubin (2019), eq. 7.13
    assert each["b ~ Intercept"] == pytest.approx(1 - fit.cov[1, 1] / n / observed, rel=1e-6)


def test_fractions_are_for_mar_with_a_maximum() -> None:
    table = random_table(2, holes=0.0)
    table.loc[table.index[::2], "a"] = np.nan
    table.loc[table.index[1::2], "b"] = np.nan
    with pytest.warns(ConvergenceWarning, match="never seen together"):
        fit = mk.em(mk.Spec(mk.MvNormal("a", "b")), table)
    assert fit.worst_missing_information[0] == pytest.approx(1)
    with pytest.raises(ConvergenceError, match="never seen together"):
        _ = fit.missing_information


# Tables, regressions, expectations, files


def test_cov_layout_is_that_of_outem() -> None:
    made = mk.em(FITNESS, fitness()).to_frame("cov")
    assert made["_TYPE_"].tolist() == ["MEAN", "COV", "COV", "COV"]
    assert made["_NAME_"].tolist() == ["", "Oxygen", "RunTime", "RunPulse"]
    assert made.loc[1, "RunTime"] == pytest.approx(-6.457980, abs=0.5001e-6)
    given_x = mk.em(JOINT, random_table(3)).to_frame("cov")
    assert given_x["_TYPE_"].tolist() == ["COEF", "COEF", "COV", "COV", "COV"]
    with pytest.raises(DataError, match="'tidy' or 'cov'"):
        mk.em(FITNESS, fitness()).to_frame("wide")  # type: ignore[arg-type]


def test_regression_from_the_joint_fit_is_least_squares_without_holes() -> None:
    table = random_table(4, holes=0.0)
    fit = mk.em(JOINT, table)
    frame = fit.regress("a ~ b + c + x").set_index("term")
    x = np.column_stack([np.ones(len(table)), table["x"], table["b"], table["c"]])
    coef = np.linalg.lstsq(x, table["a"])[0]
    var = np.mean((table["a"] - x @ coef) ** 2)
    expected = [*coef, np.sqrt(var)]
    np.testing.assert_allclose(frame.loc[["Intercept", "x", "b", "c", "residual sd"], "estimate"], expected, rtol=1e-8)
    error = np.sqrt(var * np.diag(np.linalg.inv(x.T @ x)))
    np.testing.assert_allclose(frame["std_error"].iloc[:4], error, rtol=1e-5)
    assert frame.loc["residual sd", "std_error"] == pytest.approx(np.sqrt(var / (2 * len(table))), rel=1e-5)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("a ~ b", "on all its predictors, 1 [+] x"),
        ("a ~ b * c + x", "as they are"),
        ("z ~ b + x", "one of a, b, c"),
        ("a ~ a + x", "not among them"),
    ],
)
def test_regressions_that_are_refused(formula: str, said: str) -> None:
    with pytest.raises(FormulaError, match=said):
        mk.em(JOINT, random_table(3)).regress(formula)


def test_expectations_and_draws_keep_what_is_recorded() -> None:
    table = random_table(6)
    fit = mk.em(JOINT, table, tol=1e-12)
    filled, drawn = fit.expected(), fit.stochastic(seed=1)
    for made in (filled, drawn):
        assert not made[list("abc")].isna().any().any()
        seen = table[list("abc")].notna()
        assert (made[list("abc")].where(seen) == table[list("abc")].where(seen)).to_numpy()[seen].all()
        pd.testing.assert_frame_equal(made[["x", "z"]], table[["x", "z"]])
    # with E[y | seen] in the holes, the means are the projections on 1
    for column in "abc":
        assert filled[column].mean() == pytest.approx(fit.project(f"{column} ~ 1")["estimate"].item(), rel=1e-9)
    pd.testing.assert_frame_equal(drawn, fit.stochastic(seed=1))
    assert not drawn.equals(fit.stochastic(seed=2))
    assert table.isna().any().any()  # the table that was fitted keeps its holes


def test_a_function_of_the_parameters() -> None:
    table = random_table(4, holes=0.0)
    fit = mk.em(mk.Spec(mk.Regression("a ~ x")), table)
    made = fit.transform(lambda p: {"sd": np.sqrt(p["var(a)"]), "ratio": p["a ~ x"] / p["var(a)"]})
    sd = np.sqrt(fit.params["var(a)"])
    assert made.loc[0, "std_error"] == pytest.approx(sd / np.sqrt(2 * len(table)), rel=1e-6)
    slope, var = fit.params["a ~ x"], fit.params["var(a)"]
    expected = np.sqrt((fit.std_errors["a ~ x"] / var) ** 2 + (slope / var**2 * fit.std_errors["var(a)"]) ** 2)
    assert made.loc[1, "std_error"] == pytest.approx(expected, rel=1e-6)


def test_saved_and_loaded_without_loss(tmp_path: Path) -> None:
    fit = mk.em(JOINT, random_table(6), prior=mk.Ridge(2))
    back = mk.EMFit.load(fit.save(tmp_path / "fit"))
    assert back.spec == fit.spec
    assert back.prior == fit.prior
    assert (back.notes, back.reason, back.n_empty) == (fit.notes, fit.reason, fit.n_empty)
    pd.testing.assert_frame_equal(back.history, fit.history)
    pd.testing.assert_series_equal(back.start, fit.start)
    pd.testing.assert_series_equal(back.std_errors, fit.std_errors)
    pd.testing.assert_frame_equal(back.project("a ~ x"), fit.project("a ~ x"))
    assert str(back) == str(fit)


def test_a_folder_that_holds_no_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(mk.errors.MnarkitError, match=re.escape("spec.yaml")):
        mk.EMFit.load(tmp_path)
