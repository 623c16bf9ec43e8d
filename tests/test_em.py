"""EM: the digits of SAS PROC MI, the laws of the algorithm, and standard errors against independent computations."""

import re
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mnarkit as mk
from mnarkit.em import EMFit
from mnarkit.errors import ConvergenceWarning, DataError, FormulaError, MnarkitError
from tests.refs import refs

# SAS PROC MI, the fitness data

FITNESS = mk.Spec(mk.MvNormal("Oxygen", "RunTime", "RunPulse"))
MEANS = ["Oxygen ~ Intercept", "RunTime ~ Intercept", "RunPulse ~ Intercept"]
PRINTED = """
0 289.544782 47.116179 10.688214 171.863636
1 263.549489 47.116179 10.688214 171.863636
2 255.851312 47.139089 10.603506 171.538203
3 254.616428 47.122353 10.571685 171.426790
4 254.494971 47.111080 10.560585 171.398296
5 254.483973 47.106523 10.556768 171.389208
6 254.482920 47.104899 10.555485 171.385257
7 254.482813 47.104348 10.555062 171.383345
8 254.482801 47.104165 10.554923 171.382424
9 254.482800 47.104105 10.554878 171.381992
10 254.482800 47.104086 10.554864 171.381796
11 254.482800 47.104079 10.554859 171.381708
12 254.482800 47.104077 10.554858 171.381669
"""
HALF_A_DIGIT = 0.5000001e-6


def fitness() -> pd.DataFrame:
    return pd.read_csv(refs("sas_fitness_em") / "data.csv")


def test_sas_iteration_history() -> None:
    table = fitness()
    history = mk.em(FITNESS, table, accelerate=False).history.iloc[:13]
    without_constant = -2 * history["loglik"] - table.notna().to_numpy().sum() * np.log(2 * np.pi)
    shown = np.column_stack([history["iteration"], without_constant, history[MEANS]])
    printed = np.array([line.split() for line in PRINTED.split("\n") if line], float)
    np.testing.assert_allclose(shown, printed, rtol=0, atol=HALF_A_DIGIT)


def test_sas_start_values_and_estimates() -> None:
    history = mk.em(FITNESS, fitness(), accelerate=False).history
    start = [29.301078, 0, 1.904067, 0, 0, 102.885281]
    after_12 = [27.797931, -6.457975, 2.015514, -18.031298, 3.516287, 97.766857]
    names = [
        "var(Oxygen)",
        "cov(Oxygen, RunTime)",
        "var(RunTime)",
        "cov(Oxygen, RunPulse)",
        "cov(RunTime, RunPulse)",
        "var(RunPulse)",
    ]
    np.testing.assert_allclose(history.loc[0, names].to_numpy(float), start, rtol=0, atol=HALF_A_DIGIT)
    np.testing.assert_allclose(history.loc[12, names].to_numpy(float), after_12, rtol=0, atol=HALF_A_DIGIT)


def test_em_stops_where_sas_stops() -> None:
    assert mk.em(FITNESS, fitness(), tol=1e-4, accelerate=False).iterations == 12


def test_converged_maximum_of_the_fitness_data() -> None:
    fit = mk.em(FITNESS, fitness())
    means = [47.104076, 10.554857, 171.381639]
    cov = [[27.797921, -6.457980, -18.031416], [-6.457980, 2.015517, 3.516328], [-18.031416, 3.516328, 97.766958]]
    np.testing.assert_allclose(fit.coef.ravel(), means, rtol=0, atol=HALF_A_DIGIT)
    np.testing.assert_allclose(fit.cov, cov, rtol=0, atol=HALF_A_DIGIT)
    assert -2 * fit.loglik == pytest.approx(397.83721112, abs=0.5e-8)
    assert fit.converged
    assert (fit.n, fit.n_empty) == (31, 0)


# Laws

SEEDS = st.integers(0, 2**32 - 1)
JOINT = mk.Spec(mk.MvNormal("a", "b", "c", given="x"))
MEANS_ALONE = mk.Spec(mk.MvNormal("a", "b", "c"))
SPECS = st.sampled_from(
    [JOINT, MEANS_ALONE, mk.Spec(mk.Regression("a ~ x + z")), mk.Spec(mk.MvNormal("b", "a", given="x + z"))]
)


def random_table(seed: int, *, holes: float = 0.3) -> pd.DataFrame:
    """Three correlated columns with holes, two predictors; five rows are complete, one may have nothing seen."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 30))
    x = rng.normal(size=(n, 2))
    y = x @ rng.normal(size=(2, 3)) + rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) + rng.normal(size=(n, 3))
    y[5:][rng.random((n - 5, 3)) < holes] = np.nan
    return pd.DataFrame(np.hstack([y, x]), columns=["a", "b", "c", "x", "z"])


def steps(spec: mk.Spec, table: pd.DataFrame, count: int = 12) -> EMFit:
    """EM stopped after so many steps, so that two runs can be compared whatever their stopping rule says."""
    with pytest.warns(ConvergenceWarning, match=f"max_iter={count}"):
        return mk.em(spec, table, tol=0.0, max_iter=count, accelerate=False)


@settings(max_examples=10, deadline=None)
@given(SEEDS, SPECS, st.sampled_from([0.1, 0.4, 0.6]), st.booleans())
def test_log_likelihood_never_falls(seed: int, spec: mk.Spec, holes: float, accelerate: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 60 steps may not be enough
        history = mk.em(spec, random_table(seed, holes=holes), max_iter=60, accelerate=accelerate).history
    assert np.diff(history["loglik"]).min(initial=0.0) > -1e-9


@settings(max_examples=8, deadline=None)
@given(
    SEEDS, st.lists(st.tuples(st.sampled_from([-300.0, -0.01, 0.5, 1e4]), st.floats(-1e3, 1e3)), min_size=4, max_size=4)
)
def test_rescaled_and_shifted_columns_give_the_rescaled_fit(seed: int, moves: list[tuple[float, float]]) -> None:
    table = random_table(seed)
    moved = table.copy()
    for column, (scale, shift) in zip("abcx", moves, strict=True):
        moved[column] = scale * table[column] + shift
    plain, other = steps(JOINT, table), steps(JOINT, moved)
    scale, shift = np.array([m[0] for m in moves[:3]]), np.array([m[1] for m in moves[:3]])
    slope = plain.coef[:, 1] * scale / moves[3][0]
    intercept = plain.coef[:, 0] * scale + shift - slope * moves[3][1]
    size = np.abs(scale) * np.sqrt(np.diag(plain.cov))
    reach = size * (1 + abs(moves[3][1] / moves[3][0])) + np.abs(shift)
    assert np.all(np.abs(other.coef[:, 1] - slope) < 1e-8 * size / abs(moves[3][0]) + 1e-12)
    assert np.all(np.abs(other.coef[:, 0] - intercept) < 1e-8 * reach)
    assert np.all(np.abs(other.cov - plain.cov * np.outer(scale, scale)) < 1e-8 * np.outer(size, size))
    jacobian = table[list("abc")].notna().sum().to_numpy() @ np.log(np.abs(scale))
    assert other.loglik + jacobian == pytest.approx(plain.loglik, abs=1e-7)


@settings(max_examples=6, deadline=None)
@given(SEEDS, SPECS)
def test_permuted_rows_change_nothing(seed: int, spec: mk.Spec) -> None:
    table = random_table(seed)
    turned = table.sample(frac=1, random_state=seed % 1000)
    pd.testing.assert_frame_equal(steps(spec, turned).history, steps(spec, table).history, rtol=1e-9, atol=1e-10)


@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_permuted_columns_are_the_same_fit(seed: int) -> None:
    table = random_table(seed)
    plain, turned = steps(JOINT, table), steps(mk.Spec(mk.MvNormal("c", "a", "b", given="x")), table)
    order = [2, 0, 1]
    np.testing.assert_allclose(turned.coef, plain.coef[order], atol=1e-9)
    np.testing.assert_allclose(turned.cov, plain.cov[np.ix_(order, order)], atol=1e-9)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_no_holes_give_sample_moments(seed: int) -> None:
    table = random_table(seed, holes=0.0)
    y = table[list("abc")].to_numpy()
    fit = mk.em(MEANS_ALONE, table)
    np.testing.assert_allclose(fit.coef[:, 0], y.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(fit.cov, np.cov(y.T, ddof=0), atol=1e-10)
    assert fit.loglik == pytest.approx(stats.multivariate_normal(y.mean(axis=0), np.cov(y.T, ddof=0)).logpdf(y).sum())
    given_x = mk.em(JOINT, table)
    x = np.column_stack([np.ones(len(table)), table["x"]])
    coef = np.linalg.lstsq(x, y)[0]
    np.testing.assert_allclose(given_x.coef, coef.T, atol=1e-10)
    np.testing.assert_allclose(given_x.cov, (y - x @ coef).T @ (y - x @ coef) / len(y), atol=1e-10)


def monotone(seed: int, n: int = 30) -> pd.DataFrame:
    """`a` is recorded everywhere, `y` more often where `a` is low."""
    rng = np.random.default_rng(seed)
    a = rng.normal(1, 2, n)
    y = 3 - a + rng.normal(size=n)
    y[6:][(a[6:] > 1) & (rng.random(n - 6) < 0.7)] = np.nan
    return pd.DataFrame({"a": a, "y": y})


def closed_form(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Coefficients of y on (1, a) where y is seen, their X'X, the mean of (1, a) in all rows, σ² (Anderson 1957)."""
    x = np.column_stack([np.ones(len(table)), table["a"]])
    seen = table["y"].notna().to_numpy()
    coef = np.linalg.lstsq(x[seen], table["y"][seen])[0]
    return coef, x[seen].T @ x[seen], x.mean(axis=0), float(np.mean((table["y"][seen] - x[seen] @ coef) ** 2))


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_monotone_pair_gives_the_closed_form(seed: int) -> None:
    table = monotone(seed)
    fit = mk.em(mk.Spec(mk.MvNormal("a", "y")), table, tol=1e-12)
    coef, _, center, residual = closed_form(table)
    var = table["a"].var(ddof=0)
    np.testing.assert_allclose(fit.coef[:, 0], [center[1], coef @ center], atol=1e-7)
    np.testing.assert_allclose(
        fit.cov, [[var, coef[1] * var], [coef[1] * var, residual + coef[1] ** 2 * var]], atol=1e-7
    )


# What stops it


def test_too_few_steps_say_so() -> None:
    fit = steps(MEANS_ALONE, random_table(1), count=3)
    assert not fit.converged
    assert fit.iterations == 3
    assert fit.history["iteration"].tolist() == [0, 1, 2, 3]
    assert "max_iter=3" in fit.reason
    assert "max_iter=3" in str(fit)


def test_history_ends_at_the_estimates() -> None:
    fit = mk.em(JOINT, random_table(8))
    assert fit.converged
    pd.testing.assert_series_equal(fit.history.iloc[-1][fit.params.index], fit.params, check_names=False)
    assert fit.history["loglik"].iloc[-1] == fit.loglik
    assert list(fit.history.columns[:2]) == ["iteration", "loglik"]
    assert fit.to_frame()["term"].tolist() == [
        *(f"{c} ~ {t}" for c in "abc" for t in ("Intercept", "x")),
        *("var(a)", "cov(a, b)", "var(b)", "cov(a, c)", "cov(b, c)", "var(c)"),
    ]


def test_rows_with_nothing_seen_are_left_out_and_counted() -> None:
    table = random_table(3)
    table.loc[[6, 9], ["a", "b", "c"]] = np.nan
    empty = table[["a", "b", "c"]].isna().all(axis=1)
    fit, without = mk.em(JOINT, table), mk.em(JOINT, table[~empty])
    assert (fit.n, fit.n_empty) == ((~empty).sum(), empty.sum())
    assert f"n = {fit.n}, {fit.n_empty} rows with nothing seen left out" in str(fit)
    assert "left out" not in str(without)
    np.testing.assert_allclose(fit.params, without.params, rtol=1e-6)
    assert fit.loglik == pytest.approx(without.loglik, abs=1e-9)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_a_column_that_others_determine_is_left_out_where_they_are_seen_together(holes: float) -> None:
    table = random_table(1, holes=holes)
    table["b"] = 2 * table["a"] + 1
    with pytest.warns(ConvergenceWarning, match="'b' is determined by 'a'") as caught:
        fit = mk.em(MEANS_ALONE, table)
    assert all("\n" not in str(w.message) for w in caught)
    both = int(table[["a", "b"]].notna().all(axis=1).sum())
    assert f"{both} rows" in fit.notes[0]
    without = mk.em(mk.Spec(mk.MvNormal("a", "c")), table)
    assert fit.loglik == pytest.approx(without.loglik, abs=1e-6)
    np.testing.assert_allclose(fit.coef[[0, 2]], without.coef, rtol=1e-6)
    np.testing.assert_allclose(fit.cov[np.ix_([0, 2], [0, 2])], without.cov, rtol=1e-5)
    np.testing.assert_allclose(fit.cov[1], 2 * fit.cov[0], rtol=1e-4)
    with pytest.raises(MnarkitError, match="'b' is determined by other columns"):
        _ = fit.std_errors


def test_tiny_units_do_not_stop_em_early() -> None:
    table = random_table(2)
    fit, tiny = (mk.em(MEANS_ALONE, t) for t in (table, table * 1e-6))
    assert tiny.iterations > 1
    np.testing.assert_allclose(tiny.cov * 1e12, fit.cov, rtol=1e-4)


def test_a_flat_likelihood_is_said_in_one_line() -> None:
    table = random_table(2, holes=0.0)
    table.loc[table.index[::2], "a"] = np.nan
    table.loc[table.index[1::2], "b"] = np.nan  # never seen together: their covariance is free
    with pytest.warns(ConvergenceWarning, match="'a' and 'b' are never seen together: .*arbitrary: it depends on"):
        fit = mk.em(mk.Spec(mk.MvNormal("a", "b")), table)
    assert str(fit)  # also the text shows standard errors
    with pytest.raises(MnarkitError, match=r"'a'.*'b'"):
        _ = fit.std_errors


# Standard errors


def loglik_by_scipy(theta: np.ndarray, y: np.ndarray, x: np.ndarray) -> float:
    p, q = y.shape[1], x.shape[1]
    coef, cov = theta[: p * q].reshape(p, q), np.zeros((p, p))
    cov[np.tril_indices(p)] = theta[p * q :]
    cov += np.tril(cov, -1).T
    total = 0.0
    for pattern in np.unique(~np.isnan(y), axis=0):
        rows = (~np.isnan(y) == pattern).all(axis=1)
        if pattern.any():
            gap = (y[rows] - x[rows] @ coef.T)[:, pattern]
            total += stats.multivariate_normal(cov=cov[np.ix_(pattern, pattern)]).logpdf(gap).sum()
    return total


def hessian(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Central second differences: truncation step² times the fourth derivative, rounding 1e-13 / step²."""
    e, k = step * np.eye(len(at)), len(at)
    out = np.empty((k, k))
    for i in range(k):
        for j in range(i + 1):
            corners = [s * r * function(at + s * e[i] + r * e[j]) for s in (1, -1) for r in (1, -1)]
            out[i, j] = out[j, i] = sum(corners) / (4 * step**2)
    return out


@pytest.mark.parametrize("given_x", [False, True])
def test_standard_errors_equal_those_of_an_independent_hessian(given_x: bool) -> None:
    table = random_table(6)
    fit = mk.em(mk.Spec(mk.MvNormal("a", "b", given="x" if given_x else "1")), table, tol=1e-12)
    x = np.column_stack([np.ones(len(table)), table["x"]])[:, : 1 + given_x]
    y = table[["a", "b"]].to_numpy()
    assert loglik_by_scipy(fit.params.to_numpy(), y, x) == pytest.approx(fit.loglik, abs=1e-9)
    information = -hessian(lambda theta: loglik_by_scipy(theta, y, x), fit.params.to_numpy())
    np.testing.assert_allclose(fit.std_errors, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-4)


def test_standard_errors_of_a_complete_regression() -> None:
    table = random_table(4, holes=0.0).assign(x=lambda d: 1e3 + 50 * d["x"])  # far from standard units
    fit = mk.em(mk.Spec(mk.Regression("a ~ x + z")), table)
    x = np.column_stack([np.ones(len(table)), table["x"], table["z"]])
    coef = np.linalg.lstsq(x, table["a"])[0]
    var = np.mean((table["a"] - x @ coef) ** 2)
    expected = [*np.sqrt(var * np.diag(np.linalg.inv(x.T @ x))), var * np.sqrt(2 / len(table))]
    np.testing.assert_allclose(fit.params, [*coef, var], rtol=1e-8)
    np.testing.assert_allclose(fit.std_errors, expected, rtol=1e-6)


def test_standard_errors_follow_the_units() -> None:
    table = random_table(6)
    moved = table.assign(a=1e4 + 20 * table["a"], x=5 - 0.1 * table["x"])
    pair = mk.Spec(mk.MvNormal("a", "b", given="x"))
    fit, other = mk.em(pair, table, tol=1e-11), mk.em(pair, moved, tol=1e-11)
    for name, factor in {"a ~ x": 200, "b ~ x": 10, "var(a)": 400, "cov(a, b)": 20, "var(b)": 1}.items():
        assert other.std_errors[name] == pytest.approx(factor * fit.std_errors[name], rel=1e-5), name


# Analyses at the maximum


def test_projecting_a_regression_on_its_own_formula_is_the_complete_cases() -> None:
    table = monotone(3)
    fit = mk.em(mk.Spec(mk.Regression("y ~ a")), table)
    coef, products, _, residual = closed_form(table)
    frame = fit.project("y ~ a")
    assert frame["term"].tolist() == ["Intercept", "a"]
    np.testing.assert_allclose(frame["estimate"], coef, rtol=1e-10)
    np.testing.assert_allclose(frame["std_error"], np.sqrt(residual * np.diag(np.linalg.inv(products))), rtol=1e-6)


@pytest.mark.parametrize("model", [mk.Regression("y ~ a"), mk.MvNormal("y", "a"), mk.MvNormal("a", "y")], ids=str)
def test_projecting_on_one_is_the_mean_with_its_closed_form_error(model: mk.Regression | mk.MvNormal) -> None:
    table = monotone(5)
    coef, products, center, residual = closed_form(table)
    frame = mk.em(mk.Spec(model), table, tol=1e-12).project("y ~ 1")
    # Little & Rubin (2019), eq. 7.13: the regression's error at the mean of all rows, and the spread of that mean
    variance = residual * center @ np.linalg.solve(products, center) + coef[1] ** 2 * table["a"].var(ddof=0) / len(
        table
    )
    assert frame["estimate"].tolist() == pytest.approx([coef @ center], rel=1e-7)
    assert frame["std_error"].tolist() == pytest.approx([np.sqrt(variance)], rel=1e-6)


def test_projecting_on_one_has_the_error_of_the_mean_parameter() -> None:
    table = random_table(7)
    fit = mk.em(MEANS_ALONE, table.dropna(subset=["a", "b", "c"], how="all"), tol=1e-12)
    assert fit.project("b ~ 1")["std_error"].item() == pytest.approx(fit.std_errors["b ~ Intercept"], rel=1e-5)


def test_projecting_a_joint_model_on_its_predictors_gives_its_coefficients() -> None:
    table = random_table(9)
    table.loc[5, ["a", "b", "c"]] = np.nan  # its row counts in the projection, not in the fit
    fit = mk.em(JOINT, table, tol=1e-12)
    frame = fit.project("c ~ x")
    np.testing.assert_allclose(frame["estimate"], fit.coef[2], rtol=1e-7)
    np.testing.assert_allclose(frame["std_error"], fit.std_errors[["c ~ Intercept", "c ~ x"]], rtol=1e-5)


def test_projecting_a_joint_model_on_one_adds_the_spread_of_the_predictors() -> None:
    table = random_table(9).assign(x=lambda d: d["x"] - d["x"].mean())
    fit = mk.em(JOINT, table, tol=1e-12)
    # at the mean of x the error of the intercept, and b1² Var(x) / n for rows that are a sample
    variance = fit.std_errors["c ~ Intercept"] ** 2 + fit.coef[2, 1] ** 2 * table["x"].var(ddof=0) / len(table)
    frame = fit.project("c ~ 1")
    assert frame["estimate"].tolist() == pytest.approx([fit.coef[2, 0]], rel=1e-7)
    assert frame["std_error"].tolist() == pytest.approx([np.sqrt(variance)], rel=1e-5)


def test_projecting_on_a_modelled_column_that_is_fully_seen() -> None:
    table = monotone(3)
    coef, products, _, residual = closed_form(table)
    frame = mk.em(mk.Spec(mk.MvNormal("y", "a")), table, tol=1e-12).project("y ~ a")
    np.testing.assert_allclose(frame["estimate"], coef, rtol=1e-7)
    np.testing.assert_allclose(frame["std_error"], np.sqrt(residual * np.diag(np.linalg.inv(products))), rtol=1e-2)


def simulated(rng: np.random.Generator, n: int = 200) -> pd.DataFrame:
    """y ~ x with an auxiliary; y is seen less often where x, which is recorded, is high."""
    x = rng.normal(size=n)
    y = 1 + 1.2 * x + rng.normal(size=n)
    auxiliary = 0.8 * y + 0.6 * rng.normal(size=n)
    y[rng.random(n) < stats.logistic.cdf(0.5 + 1.5 * x)] = np.nan
    auxiliary[rng.random(n) < 0.2] = np.nan
    return pd.DataFrame({"x": x, "y": y, "aux": auxiliary})


REPEATED = [
    pytest.param(mk.Regression("y ~ x"), 60, id="regression, quick"),
    pytest.param(mk.Regression("y ~ x"), 1500, id="regression", marks=pytest.mark.slow),
    pytest.param(mk.MvNormal("y", "aux", given="x"), 1500, id="joint with an auxiliary", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("model", "sets"), REPEATED)
def test_errors_of_projected_means_are_those_of_repeated_samples(model: mk.Regression | mk.MvNormal, sets: int) -> None:
    rng = np.random.default_rng(12)
    fits = [mk.em(mk.Spec(model), simulated(rng), tol=1e-4).project("y ~ 1") for _ in range(sets)]
    estimate, error = (np.array([f[column].item() for f in fits]) for column in ("estimate", "std_error"))
    assert abs(estimate.mean() - 1) < 5 * estimate.std() / np.sqrt(sets)
    ratio = np.sqrt(np.mean(error**2)) / estimate.std(ddof=1)
    assert abs(np.log(ratio)) < 5 / np.sqrt(2 * (sets - 1))


@pytest.mark.parametrize(
    ("formula", "error", "said"),
    [
        ("z ~ 1", FormulaError, "one of a, b, c"),
        ("missing(a) ~ 1", FormulaError, "'y ~ x'"),
        ("a", FormulaError, "'y ~ x'"),
        ("a ~ b", DataError, "'b' has .* holes"),
        ("a ~ nope", DataError, "'nope'"),
    ],
)
def test_projections_that_are_refused(formula: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        steps(JOINT, random_table(2), count=1).project(formula)
    assert not re.search("\n", str(caught.value))
