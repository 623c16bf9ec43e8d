"""Tests of nested models over imputations: the digits of mice, the papers' definitions computed again, bad input."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.stats import chi2, f, norm

from mnarkit.analyze import analyze
from mnarkit.errors import DataError
from mnarkit.estimates import Estimates
from mnarkit.pool import PooledTest, pool, pool_test
from mnarkit.pool.hypothesis import hypothesis
from mnarkit.pool.statistics import large_sample, reiter
from tests.refs import refs

LARGE, SMALL = "bmi ~ age + hyp + chl", "bmi ~ age + hyp"


def nhanes() -> list[pd.DataFrame]:
    stacked = pd.read_csv(refs("mice_pooling_nhanes2") / "data_D_m5.csv")
    return [table for _, table in stacked.groupby(".imp")]


def tables(m: int = 6, n: int = 40, seed: int = 3) -> list[pd.DataFrame]:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = 1 + 0.4 * x + rng.normal(size=n)
    out = []
    for _ in range(m):
        filled = np.r_[1 + 0.4 * x[:12] + rng.normal(size=12), y[12:]]
        out.append(pd.DataFrame({"y": filled, "x": x, "z": z, "w": x * z, "high": (filled > 1).astype(int)}))
    return out


def by_function(*columns: str, response: str = "y") -> Any:
    def fit(table: pd.DataFrame) -> Any:
        exog = sm.add_constant(table[list(columns)]) if columns else np.ones((len(table), 1))
        model = sm.OLS(table[response], exog) if response == "y" else sm.Logit(table[response], exog)
        return model.fit() if response == "y" else model.fit(disp=0, tol=1e-12)

    return fit


# the digits of mice

PRINTED = {
    "D1": ([5.28351, 4, 0.08306791, 0.671799], 1e-6),
    "D2": ([3.649642, 11.69791, 0.08089545, 1.408231], 5e-7),
    "D3": ([2.917381, 8.764849, 0.122711, 2.082143], 5e-7),
}


@pytest.mark.parametrize("null", ["estimates", "text", "matrix"])
@pytest.mark.parametrize("method", PRINTED)
def test_mice_to_the_printed_digits(method: Any, null: str) -> None:
    large = analyze(nhanes(), LARGE)
    smaller = {"estimates": lambda: analyze(nhanes(), SMALL), "text": lambda: "chl = 0", "matrix": lambda: np.eye(5)[4]}
    test = pool_test(large, smaller[null](), method=method)
    printed, rel = PRINTED[method]
    assert [test.statistic, test.df2, test.p_value, test.riv] == pytest.approx(printed, rel=rel)
    assert (test.df1, test.m, test.df_complete) == (1, 5, 20)
    assert "chl = 0" in test.null or null == "matrix"


def test_d3_with_the_intercept_pooled_too() -> None:
    def all_fixed(formula: str) -> Estimates:
        estimates = analyze(nhanes(), formula)
        kept: Any = estimates.likelihoods
        return replace(estimates, likelihoods=replace(kept, intercept=None))

    test = pool_test(all_fixed(LARGE), all_fixed(SMALL), method="D3")
    assert [test.statistic, test.riv] == pytest.approx([2.771642, 2.212785], rel=5e-7)


def test_d3_says_that_it_follows_mice() -> None:
    assert "as mice" in str(pool_test(analyze(tables(), "y ~ x"), method="D3"))


# the definitions, computed again


def log_likelihood(y: np.ndarray, x: np.ndarray, coef: np.ndarray) -> float:
    """Normal, at the residual variance that fits best."""
    residual = y - x @ coef
    return float(norm.logpdf(residual, scale=np.sqrt(np.mean(residual**2))).sum())


def designs(names: list[str], m: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(t["y"].to_numpy(), np.column_stack([np.ones(len(t)), *(t[c] for c in names)])) for t in tables(m)]


def maximum(y: np.ndarray, x: np.ndarray) -> float:
    return log_likelihood(y, x, np.linalg.lstsq(x, y)[0])


def stacked_maximum(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return maximum(np.concatenate([y for y, _ in parts]), np.concatenate([x for _, x in parts])) / len(parts)


@pytest.mark.parametrize("increase", ["robust", "positive"])
def test_d4_is_the_definition_of_chan_and_meng(increase: Any) -> None:
    large, small, m, k = designs(["x", "z", "w"]), designs(["x"]), 6, 2
    d_bar = np.mean([2 * (maximum(*a) - maximum(*b)) for a, b in zip(large, small, strict=True)])
    d_hat = 2 * (stacked_maximum(large) - stacked_maximum(small))
    if increase == "robust":
        h = 5  # four coefficients and a variance
        r = (m + 1) / (h * (m - 1)) * 2 * (np.mean([maximum(*part) for part in large]) - stacked_maximum(large))
    else:
        h = k
        r = max(0, (m + 1) / (k * (m - 1)) * (d_bar - d_hat))
    assert r > 0
    statistic, df2 = d_hat / (k * (1 + r)), h * (m - 1) * (1 + 1 / r) ** 2
    completed = tables()
    for null in (analyze(completed, "y ~ x"), "z = 0, w = 0"):
        test = pool_test(analyze(completed, "y ~ x + z + w"), null, method="D4", increase=increase)
        found = [test.statistic, test.df1, test.df2, test.riv, test.p_value]
        assert found == pytest.approx([statistic, k, df2, r, f.sf(statistic, k, df2)], rel=1e-9)


def test_d3_is_the_likelihood_at_pooled_slopes() -> None:
    m, k = 6, 2
    large, small = designs(["x", "z", "w"]), designs(["x"])

    def at_pooled(parts: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
        pooled = np.mean([np.linalg.lstsq(x, y)[0] for y, x in parts], axis=0)
        out = []
        for y, x in parts:
            coef = pooled.copy()
            coef[0] = np.mean(y - x[:, 1:] @ pooled[1:])
            out.append(log_likelihood(y, x, coef))
        return out

    common = 2 * (np.array(at_pooled(large)) - at_pooled(small))
    own = np.array([2 * (maximum(*a) - maximum(*b)) for a, b in zip(large, small, strict=True)])
    r = (m + 1) / (k * (m - 1)) * (own.mean() - common.mean())
    completed = tables()
    for null in (analyze(completed, "y ~ x"), ["z = 0", "w = 0"]):
        test = pool_test(analyze(completed, "y ~ x + z + w"), null, method="D3")
        assert [test.statistic, test.riv] == pytest.approx([common.mean() / (k * (1 + r)), r], rel=1e-8)
        t = k * (m - 1)
        assert test.df2 == pytest.approx(4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2)


def test_d1_and_d2_from_the_wald_statistics() -> None:
    estimates = analyze(tables(), "y ~ x + z + w", df_complete=np.inf)
    matrix, value, m, k = np.array([[0, 1, -1, 0], [0, 0, 0, 2.0]]), np.array([0.5, 0.1]), 6, 2
    null = (matrix, value)
    q = estimates.estimates @ matrix.T - value
    u = np.stack([matrix @ part @ matrix.T for part in estimates.covariances])
    inverse = np.linalg.inv(u.mean(axis=0))
    r = (1 + 1 / m) * np.trace(np.cov(q.T) @ inverse) / k
    d1 = pool_test(estimates, null, method="D1")
    assert d1.statistic == pytest.approx(q.mean(axis=0) @ inverse @ q.mean(axis=0) / (k * (1 + r)))
    assert [d1.riv, d1.df2] == pytest.approx([r, 4 + 6 * (1 + 0.8 / r) ** 2])
    wald = np.array([a @ np.linalg.inv(b) @ a for a, b in zip(q, u, strict=True)])
    r2 = (1 + 1 / m) * np.var(np.sqrt(wald), ddof=1)
    d2 = pool_test(estimates, null, method="D2")
    assert d2.statistic == pytest.approx((wald.mean() / k - 7 / 5 * r2) / (1 + r2))
    assert [d2.riv, d2.df2] == pytest.approx([r2, k ** (-0.5) * 5 * (1 + 1 / r2) ** 2])
    text = pool_test(estimates, "x - z = 0.5, 2*w = 0.1", method="D1")
    assert text.statistic == pytest.approx(d1.statistic)


def test_one_condition_is_the_square_of_the_pooled_t() -> None:
    estimates = analyze(tables(), "y ~ x + z")
    pooled, test = pool(estimates), pool_test(estimates, "x = 0")
    assert [test.statistic, test.riv] == pytest.approx([pooled.statistic[1] ** 2, pooled.riv[1]])


@pytest.mark.parametrize("method", ["D1", "D2", "D3", "D4"])
def test_conditions_written_in_another_way(method: Any) -> None:
    estimates = analyze(tables(), "y ~ x + z + w")
    first = pool_test(estimates, "x = 1, z = w", method=method)
    other = pool_test(estimates, "3*x + 2*z = 3 + 2*w, -w + z = 0", method=method)
    assert [first.statistic, first.df2, first.riv] == pytest.approx([other.statistic, other.df2, other.riv], rel=1e-7)


@pytest.mark.parametrize("method", ["D1", "D2", "D3", "D4"])
def test_a_value_other_than_zero_moves_the_outcome(method: Any) -> None:
    completed = tables()
    shifted = [table.assign(y=table["y"] - table["x"] + 2 * table["z"]) for table in completed]
    first = pool_test(analyze(completed, "y ~ x + z"), "x = 1, z = -2", method=method)
    other = pool_test(analyze(shifted, "y ~ x + z"), "x = 0, z = 0", method=method)
    assert [first.statistic, first.df2, first.riv] == pytest.approx([other.statistic, other.df2, other.riv], rel=1e-7)


@pytest.mark.parametrize("method", ["D1", "D2", "D3", "D4"])
def test_without_a_null_all_slopes_are_zero(method: Any) -> None:
    completed = tables()
    estimates = analyze(completed, "y ~ x + z")
    alone, smaller = (
        pool_test(estimates, method=method),
        pool_test(estimates, analyze(completed, "y ~ 1"), method=method),
    )
    assert alone.df1 == 2
    assert [alone.statistic, alone.df2] == pytest.approx([smaller.statistic, smaller.df2])


@pytest.mark.parametrize("method", ["D1", "D3", "D4"])
def test_identical_imputations_are_one_test(method: Any) -> None:
    completed = [tables(1)[0]] * 3
    test = pool_test(analyze(completed, "y ~ x + z"), "z = 0", method=method)
    large, small = designs(["x", "z"], 1)[0], designs(["x"], 1)[0]
    assert test.riv == pytest.approx(0, abs=1e-9)
    if method == "D1":
        return
    ratio = 2 * (maximum(*large) - maximum(*small))
    assert test.statistic == pytest.approx(ratio)
    assert test.p_value == pytest.approx(chi2.sf(ratio, 1), rel=1e-4)


# degrees of freedom


def second(r: Fraction, t: int, df: int) -> Fraction:
    """Reiter's expression, over one common denominator of its own."""
    a = r * t / (t - 2)
    v = Fraction(df * (df + 1), df + 3)
    b, c = v - 2 * (1 + a), v - 4 * (1 + a)
    s = a / (1 + a)
    inside = s**2 * b / c + 8 * s * a * b / c**2 + 4 * s * a / c + 4 * a**2 / (b * c) + 16 * a**2 * b / c**3
    return 4 + 1 / (1 / c + (inside + 8 * a**2 / c**2) / (t - 4))


@pytest.mark.parametrize(("r", "k", "m", "df"), [(0.3, 2, 6, 30), (1.5, 3, 4, 50), (0.05, 5, 20, 12)])
def test_small_sample_degrees_of_freedom(r: float, k: int, m: int, df: int) -> None:
    assert reiter(r, k, m, df) == pytest.approx(float(second(Fraction(r), k * (m - 1), df)))
    assert reiter(r, k, m, 1e9) == pytest.approx(large_sample(r, k, m), rel=1e-4)
    assert reiter(1e-12, k, m, df) == pytest.approx(df * (df + 1) / (df + 3))


def test_degrees_of_freedom_at_their_ends() -> None:
    assert reiter(0.5, 1, 3, 50) == 2
    assert reiter(0.5, 2, 6, 3) == 4
    assert large_sample(0.0, 2, 5) == np.inf
    assert large_sample(0.5, 1, 4) == pytest.approx(3 * (1 + 1 / 0.5) ** 2)  # Rubin's, for one condition
    assert large_sample(0.5, 2, 3) == pytest.approx(4 * 1.5 * 9 / 2)


def test_a_statistic_below_zero_speaks_for_the_smaller_model() -> None:
    estimates = Estimates.of([0.01, 0.0, -0.01, 0.02, 3.0], [0.01] * 5, terms=["x"])
    test = pool_test(estimates, method="D2")
    assert test.statistic < 0
    assert test.p_value == 1


# functions


@pytest.mark.parametrize("method", ["D1", "D2", "D3", "D4"])
def test_statsmodels_results_as_by_formula(method: Any) -> None:
    completed = tables()
    by_formula = pool_test(analyze(completed, "y ~ x + z"), analyze(completed, "y ~ x"), method=method)
    results = pool_test(analyze(completed, by_function("x", "z")), analyze(completed, by_function("x")), method=method)
    assert [results.statistic, results.df2, results.riv] == pytest.approx(
        [by_formula.statistic, by_formula.df2, by_formula.riv], rel=1e-6
    )


def logistic(y: np.ndarray, x: np.ndarray, fixed: np.ndarray | None = None) -> float:
    """The maximum of a logistic log likelihood, or that over the intercept with the slopes fixed."""

    def less(free: np.ndarray) -> float:
        coef = free if fixed is None else np.r_[free, fixed]
        eta = x @ coef
        return -float(y @ eta - np.logaddexp(0, eta).sum())

    return -float(
        minimize(less, np.zeros(x.shape[1] if fixed is None else 1), method="BFGS", options={"gtol": 1e-9}).fun
    )


def test_logistic_d3_and_d4() -> None:
    completed, m, k = tables(), 6, 1
    y = [t["high"].to_numpy() for t in completed]
    xs = [[x[:, :q] for _, x in designs(["x", "z"])] for q in (3, 2)]
    large, small = (analyze(completed, by_function(*c, response="high")) for c in (("x", "z"), ("x",)))
    own = np.array([[logistic(a, b) for a, b in zip(y, x, strict=True)] for x in xs])
    both = [logistic(np.concatenate(y), np.concatenate(x)) / m for x in xs]
    d_hat = 2 * (both[0] - both[1])
    r = (m + 1) / (3 * (m - 1)) * 2 * (own[0].mean() - both[0])
    d4 = pool_test(large, small, method="D4")
    assert [d4.statistic, d4.riv, d4.df2] == pytest.approx([d_hat / (1 + r), r, 15 * (1 + 1 / r) ** 2], rel=1e-5)
    slopes = [large.estimates.mean(axis=0)[1:], small.estimates.mean(axis=0)[1:]]
    pooled = np.array([[logistic(a, b, s) for a, b in zip(y, x, strict=True)] for x, s in zip(xs, slopes, strict=True)])
    common, separate = 2 * (pooled[0] - pooled[1]).mean(), 2 * (own[0] - own[1]).mean()
    r = max(0, (m + 1) / (k * (m - 1)) * (separate - common))
    d3 = pool_test(large, small, method="D3")
    assert [d3.statistic, d3.riv] == pytest.approx([common / (1 + r), r], rel=1e-4)


# hypotheses

TERMS = ("Intercept", "x", "z", "x:z", "age[T.40-59]", "I(x ** 2)", "poly(x, 2)[1]")


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("x = 0", {"x": 1}, 0),
        ("x = z", {"x": 1, "z": -1}, 0),
        ("2*x - 0.5 * z = 1", {"x": 2, "z": -0.5}, 1),
        ("-x + 1 = z*3 - 2", {"x": -1, "z": -3}, -3),
        ("x:z = age[T.40-59]", {"x:z": 1, "age[T.40-59]": -1}, 0),
        ("I(x**2)=1e-2", {"I(x ** 2)": 1}, 0.01),
        ("3 = poly(x,2)[1]", {"poly(x, 2)[1]": -1}, -3),
        ("Intercept + x + x = 5", {"Intercept": 1, "x": 2}, 5),
    ],
)
def test_conditions_as_text(text: str, row: dict[str, float], value: float) -> None:
    read = hypothesis(text, TERMS)
    assert read.matrix.tolist() == [[row.get(term, 0.0) for term in TERMS]]
    assert read.values.tolist() == [value]


def test_several_conditions() -> None:
    several = hypothesis("x = 0, poly(x, 2)[1] = z", TERMS)
    assert several.matrix.shape == (2, 7)
    assert hypothesis(["x = 0", "poly(x, 2)[1] = z"], TERMS).matrix.tolist() == several.matrix.tolist()


@pytest.mark.parametrize(
    ("null", "message"),
    [
        ("educ = 0", "'educ' in 'educ = 0' is not a term; the terms are 'Intercept', 'x', 'z'"),
        ("log(x) = 0", r"'log\(x\)' in .* is not a term"),
        ("z:x = 0", "'z:x' in .* is not a term"),
        ("Intercep = 0", "did you mean 'Intercept'"),
        ("x", "has one '='"),
        ("x = 0 = z", "has one '='"),
        ("1 = 1", "names no term"),
        ("x = x", "names no term"),
        ("2* = x", "no linear condition|not a term"),
        ("x*z = 0", "no linear condition"),
        ("x = 0, x = 1", "repeat or contradict"),
        ("", "has one '='"),
        (np.ones((2, 3)), r"a matrix \(k, 7\)"),
        ((np.eye(7), [0.0]), r"not \(7, 7\) with \(1,\)"),
        (np.full((1, 7), np.nan), "not finite"),
        (object(), "not numbers"),
        (Estimates.of([1.0, 2.0], [1.0, 1.0], terms=["other"]), "not nested: 'other'"),
        (Estimates.of(np.ones((2, 7)), np.ones((2, 7)), terms=TERMS), "must lack at least one"),
    ],
)
def test_what_is_no_hypothesis(null: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        hypothesis(null, TERMS)
    assert "\n" not in str(refused.value)


# what cannot be tested


def mean(table: pd.DataFrame) -> tuple[dict[str, float], list[float]]:
    return {"a": table["y"].mean(), "b": table["x"].mean()}, [0.1, 0.2]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: pool_test(pool(analyze(tables(), "y ~ x"))), "takes Estimates"),  # pyright: ignore[reportArgumentType]
        (lambda: pool_test(analyze(tables(), "y ~ x"), method="D5"), "method= is one of 'D1', 'D2', 'D3', 'D4'"),  # pyright: ignore[reportArgumentType]
        (lambda: pool_test(analyze(tables(), "y ~ x"), increase="no"), "increase= is one of"),  # pyright: ignore[reportArgumentType]
        (lambda: pool_test(analyze(tables(1), "y ~ x")), "with 1 imputation D1 has no variance between"),
        (lambda: pool_test(analyze(tables(), "y ~ x"), analyze(tables(3), "y ~ 1")), "6 imputations and the smaller 3"),
        (lambda: pool_test(analyze(tables(), mean)), "covariances of the estimates of 'mean' are not known"),
        (lambda: pool_test(analyze(tables(), mean), "a = 0", method="D3"), "'mean' gives none: analyze with a formula"),
        (lambda: pool_test(analyze(tables(), by_function("x")), "x = 0", method="D4"), "takes the smaller model as"),
        (lambda: pool_test(analyze(tables(), "y ~ 1")), "nothing to test"),
        (
            lambda: pool_test(analyze(tables(), "y ~ x"), analyze(tables(n=30), "y ~ 1"), method="D4"),
            "40 rows and the smaller 30",
        ),
    ],
)
def test_what_cannot_be_tested(run: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        run()
    assert "\n" not in str(refused.value)


def test_a_perfect_fit_has_no_likelihood_ratio() -> None:
    completed = [table.assign(y=1 + 2.0 * table["x"]) for table in tables(2)]
    with pytest.raises(DataError, match="D4 statistic of 'y ~ x' is inf: a model fits the data without residuals"):
        pool_test(analyze(completed, "y ~ x"), "x = 0", method="D4")


def test_a_function_that_fails_on_the_stacked_tables() -> None:
    def small_only(table: pd.DataFrame) -> Any:
        if len(table) > 40:
            raise MemoryError("too many rows")
        return by_function("x")(table)

    estimates = analyze(tables(), small_only)
    with pytest.raises(DataError, match="'small_only' failed on all tables under one another: MemoryError: too many"):
        pool_test(estimates, analyze(tables(), by_function()), method="D4")
    assert pool_test(estimates, "x = 0", method="D2").df1 == 1


def test_variances_serve_one_condition() -> None:
    assert pool_test(analyze(tables(), mean), "a = 0").df1 == 1


def test_printed_and_as_a_frame() -> None:
    test = pool_test(analyze(tables(), "y ~ x"), "x = 0")
    assert str(test).splitlines()[0] == "D1 over m = 6 imputations of y ~ x: x = 0"
    assert repr(test) == str(test)
    assert isinstance(test, PooledTest)
    row = test.to_frame().iloc[0]
    assert (row["method"], row["p_value"]) == ("D1", test.p_value)
