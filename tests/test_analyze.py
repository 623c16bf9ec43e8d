"""One analysis on every completed table: least squares, any function, and what the data model lacks for it."""

import io
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from mnarkit.analyze import analyze, uncongenial
from mnarkit.data import IncompleteData
from mnarkit.errors import CongenialityWarning, DataError, FormulaError, MnarkitError
from mnarkit.formula import parse
from mnarkit.pool import pool
from mnarkit.spec.data_models import MvNormal, Regression
from tests.refs import refs


def tables(m: int = 3, n: int = 20, seed: int = 1) -> list[pd.DataFrame]:
    """Completed tables: x and group are seen, the first cells of y differ."""
    rng = np.random.default_rng(seed)
    x, group = rng.normal(size=n), np.where(np.arange(n) % 3 == 0, "b", "a")
    y = 1 + 2 * x + rng.normal(size=n)
    filled = [np.r_[rng.normal(size=4), y[4:]] for _ in range(m)]
    return [pd.DataFrame({"y": values, "x": x, "z": x**2 - 1, "group": group}) for values in filled]


def ols(y: Any, *columns: Any) -> tuple[np.ndarray, np.ndarray]:
    x = np.column_stack([np.ones(len(y)), *columns])
    coef = np.linalg.lstsq(x, y)[0]
    return coef, np.linalg.inv(x.T @ x) * np.square(y - x @ coef).sum() / (len(y) - x.shape[1])


def one_line(run: Callable[[], Any], kind: type[Exception], message: str) -> pytest.ExceptionInfo[Exception]:
    with pytest.raises(kind, match=message) as refused:
        run()
    assert "\n" not in str(refused.value)
    return refused


# formulas


def test_a_formula_is_least_squares_on_every_table() -> None:
    completed = tables()
    estimates = analyze(completed, "y ~ x + group")
    assert estimates.terms == ("Intercept", "x", "group[T.b]")
    assert (estimates.what, estimates.df_complete) == ("y ~ x + group", 17)
    for table, values, spread in zip(completed, estimates.estimates, estimates.covariances, strict=True):
        coef, covariance = ols(table["y"], table["x"], table["group"] == "b")
        np.testing.assert_allclose(values, coef, rtol=1e-10)
        np.testing.assert_allclose(spread, covariance, rtol=1e-9, atol=1e-15)


def test_mice_from_formula_to_fraction_of_missing_information() -> None:
    stacked = pd.read_csv(refs("mice_pooling_nhanes2") / "data_D_m5.csv")
    completed = (table for _, table in stacked.groupby(".imp"))
    frame = pool(analyze(completed, "bmi ~ age + hyp + chl")).to_frame().set_index("term")
    printed = {
        "Intercept": [18.87335845318, 18.76000341592, 8.103570376, 0.4891410662],
        "age[T.40-59]": [-5.47147192852, 3.27926117024, 15.927923981, 0.1907523846],
        "age[T.60-99]": [-7.70096690314, 6.26232142801, 8.023000398, 0.4930233706],
        "hyp[T.yes]": [2.94750463173, 6.51444734769, 7.093853937, 0.5401426747],
        "chl": [0.05511707012, 0.00057497596, 7.580343419, 0.5149116616],
    }
    for term, row in printed.items():
        assert [frame.at[term, c] for c in ("estimate", "total", "dof", "fmi")] == pytest.approx(row, rel=1e-8)


def test_complete_degrees_of_freedom_given_by_hand() -> None:
    assert analyze(tables(), "y ~ x", df_complete=np.inf).df_complete == np.inf
    assert analyze(tables(), "y ~ x", df_complete=5).df_complete == 5
    one_line(lambda: analyze(tables(), "y ~ x", df_complete=-1), DataError, "df_complete is above 0")


def test_powers_of_large_numbers_are_not_collinear() -> None:
    completed = [table.assign(year=np.arange(2000.0, 2020.0)) for table in tables()]
    coef, _ = ols(completed[0]["y"], np.arange(20.0) - 9.5, (np.arange(20.0) - 9.5) ** 2)
    estimates = analyze(completed, "y ~ year + I(year**2)")
    assert estimates.estimates[0, 2] == pytest.approx(coef[2], rel=1e-5)


def test_constants_of_a_transformation_are_those_of_all_imputations() -> None:
    completed = [table.assign(x=table["x"] + shift) for table, shift in zip(tables(2), (0.0, 3.0), strict=True)]
    center = np.mean([table["x"].mean() for table in completed])
    estimates = analyze(completed, "y ~ center(x)")
    for table, values in zip(completed, estimates.estimates, strict=True):
        np.testing.assert_allclose(values, ols(table["y"], table["x"] - center)[0], rtol=1e-10)


def test_a_level_that_only_one_imputation_has() -> None:
    completed = tables(2)
    completed[1].loc[0, "group"] = "c"
    one_line(
        lambda: analyze(completed, "y ~ group"), DataError, r"in imputation 1 of 2: 'group\[T.c\]' is .* \(or all 0\)"
    )
    completed[0].loc[1, "group"] = "c"
    assert analyze(completed, "y ~ group").terms == ("Intercept", "group[T.b]", "group[T.c]")


def test_categories_differ_between_tables() -> None:
    first, second = tables(2)
    first["kind"] = pd.Categorical(first["group"], categories=["b", "a"])
    second["kind"] = pd.Categorical(second["group"], categories=["a", "b", "never"])
    assert analyze([first, second], "y ~ kind").terms == ("Intercept", "kind[T.a]")
    assert analyze([second, first], "y ~ kind").terms == ("Intercept", "kind[T.b]")
    second["kind"] = second["group"]
    assert analyze([first, second], "y ~ kind").terms == ("Intercept", "kind[T.a]")
    numbers = [table.assign(kind=pd.Categorical(np.arange(20) % k)) for table, k in ((first, 3), (second, 4))]
    numbers[0].loc[19, "kind"] = 2
    assert analyze([numbers[1]] * 2, "y ~ kind").terms == ("Intercept", "kind[T.1]", "kind[T.2]", "kind[T.3]")
    one_line(lambda: analyze(numbers, "y ~ kind"), DataError, r"imputation 1 of 2: 'kind\[T.3\]' is .* \(or all 0\)")


@pytest.mark.parametrize("text", ["missing(y) ~ x", "recorded(y) ~ x", "x + z"])
def test_formulas_that_are_no_analysis(text: str) -> None:
    one_line(lambda: analyze(tables(), text), FormulaError, "an analysis is 'y ~ x'")


@pytest.mark.parametrize(("text", "message"), [("y ~ 0", "has no term"), ("y ~ x + log(y)", "stands on both sides")])
def test_formulas_with_nothing_to_estimate(text: str, message: str) -> None:
    one_line(lambda: analyze(tables(), text), FormulaError, message)


def test_the_mean_alone() -> None:
    completed = tables()
    estimates = analyze(completed, "y ~ 1")
    assert (estimates.terms, estimates.df_complete) == (("Intercept",), 19)
    assert estimates.estimates[:, 0].tolist() == pytest.approx([table["y"].mean() for table in completed])
    assert estimates.variances[:, 0].tolist() == pytest.approx([table["y"].var() / 20 for table in completed])


@pytest.mark.parametrize("what", [3, None, ["y ~ x"]])
def test_what_is_neither(what: Any) -> None:
    one_line(lambda: analyze(tables(), what), DataError, "a formula such as 'y ~ x', or a function")


def _holes(completed: list[pd.DataFrame]) -> None:
    completed[1].loc[[0, 3], "x"] = np.nan


def _short(completed: list[pd.DataFrame]) -> None:
    completed[2] = completed[2].drop(index=0)


def _text(completed: list[pd.DataFrame]) -> None:
    completed[1]["x"] = completed[1]["x"].astype(str)


def _no_column(completed: list[pd.DataFrame]) -> None:
    completed[1] = completed[1].drop(columns="x")


def _array(completed: list[Any]) -> None:
    completed[1] = completed[1].to_numpy()


def _constant(completed: list[pd.DataFrame]) -> None:
    completed[1]["z"] = 3.0 * completed[1]["x"] + 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_holes, "'x' is not complete: 2 values still missing in imputation 2 of 3"),
        (_short, "imputation 3 of 3 has 19 rows, the first has 20"),
        (_text, "'x' is str in imputation 2 of 3 and float64 in the first"),
        (_no_column, "names 'x'; the columns are"),
        (_array, "imputation 2 of 3 is not a DataFrame but ndarray"),
        (_constant, "'y ~ x \\+ z' in imputation 2 of 3: 'z' is a combination of the terms before it"),
    ],
)
def test_tables_that_do_not_fit(spoil: Callable[[Any], None], message: str) -> None:
    completed = tables()
    spoil(completed)
    one_line(lambda: analyze(completed, "y ~ x + z"), MnarkitError, message)


def test_more_coefficients_than_rows() -> None:
    message = "3 rows cannot determine 3 coefficients"
    one_line(lambda: analyze([table.head(3) for table in tables()], "y ~ x + z"), DataError, message)


@pytest.mark.parametrize(
    ("imputations", "message"),
    [
        ([], "no imputation to analyze"),
        (iter(()), "no imputation to analyze"),
        (tables()[0], "not one DataFrame; put one table into a list"),
        ("folder", "not str"),
        (7, "not int"),
    ],
)
def test_imputations_that_are_none(imputations: Any, message: str) -> None:
    one_line(lambda: analyze(imputations, "y ~ x"), DataError, message)


# functions


def mean(table: pd.DataFrame) -> tuple[float, float, float]:
    return table["y"].mean(), table["y"].var() / len(table), len(table) - 1


def test_a_function_of_numbers() -> None:
    completed = tables()
    estimates = analyze(completed, mean)
    assert (estimates.terms, estimates.what, estimates.df_complete) == (("estimate",), "mean", 19)
    assert estimates.estimates[:, 0].tolist() == [table["y"].mean() for table in completed]
    assert estimates.covariances[:, 0, 0].tolist() == [table["y"].var() / 20 for table in completed]


MATRIX = np.array([[4.0, 1.0], [1.0, 9.0]])


@pytest.mark.parametrize(
    ("answer", "terms"),
    [
        (({"a": 1, "b": 2}, MATRIX), ("a", "b")),
        ((pd.Series({"a": 1.0, "b": 2.0}), pd.DataFrame(MATRIX[::-1, ::-1], ["b", "a"], ["b", "a"])), ("a", "b")),
        (({"a": 1, "b": 2}, {"b": 9.0, "a": 4.0}), ("a", "b")),
        (([1, 2], [4.0, 9.0]), ("estimate[0]", "estimate[1]")),
        ((np.array([1.0, 2.0]), MATRIX, 12), ("estimate[0]", "estimate[1]")),
        ((pd.Series([1, 2], index=["a", "b"]), pd.Series([9.0, 4.0], index=["b", "a"]), np.inf), ("a", "b")),
    ],
)
def test_what_a_function_may_return(answer: Any, terms: tuple[str, ...]) -> None:
    estimates = analyze(tables(2), lambda _: answer)
    assert estimates.terms == terms
    assert estimates.estimates.tolist() == [[1.0, 2.0]] * 2
    assert estimates.variances.tolist() == [[4.0, 9.0]] * 2
    assert estimates.df_complete == (answer[2] if len(answer) == 3 else None)


@pytest.mark.parametrize("variance", [4.0, [4.0], [[4.0]], np.float64(4)])
def test_a_single_estimate(variance: Any) -> None:
    assert analyze(tables(2), lambda _: (1.5, variance)).covariances.tolist() == [[[4.0]]] * 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (1.5, "returned float; it must return"),
        ((1.5,), "returned tuple; it must return"),
        (([1, 2], [1.0]), r"shape \(2,\) with covariances of shape \(1,\)"),
        ((MATRIX, MATRIX), r"estimates of shape \(2, 2\)"),
        (([], []), r"shape \(0,\)"),
        (([1, 2], np.array([[4.0, 1.0], [2.0, 9.0]])), "not symmetric"),
        (([1, 2], np.array([[4.0, np.nan], [np.nan, 9.0]])), "has 2 values that are not finite"),
        (("high", 1.0), "the estimates are not numbers"),
        (({"a": 1.0}, {"b": 1.0}), "the estimates are of 'a', the covariances of 'b'"),
        ((np.nan, 1.0), "the estimate of 'estimate' is nan in imputation 1 of 2"),
        ((1.0, -1.0), "the variance of 'estimate' is -1 in imputation 1 of 2"),
        ((1.0, 1.0, 0), "df_complete is above 0"),
    ],
)
def test_what_a_function_may_not_return(answer: Any, message: str) -> None:
    one_line(lambda: analyze(tables(2), lambda _: answer), DataError, message)


def test_a_function_that_fails() -> None:
    calls = iter(range(9))

    def fragile(table: pd.DataFrame) -> tuple[float, float]:
        if next(calls) == 1:
            raise ValueError("no convergence\nafter 100 steps")
        return table["y"].mean(), 1.0

    message = "the analysis 'fragile' failed in imputation 2 of 3: ValueError: no convergence$"
    refused = one_line(lambda: analyze(tables(), fragile), DataError, message)
    assert isinstance(refused.value.__cause__, ValueError)


def test_failures_are_all_named() -> None:
    calls = iter(range(9))

    def fragile(table: pd.DataFrame) -> tuple[float, float]:
        k = next(calls)
        if k in (1, 3):
            raise ValueError("no convergence")
        if k == 4:
            raise ZeroDivisionError
        return table["y"].mean(), 1.0

    message = r"failed in 3 of 5 imputations: 2, 4 \(ValueError: no convergence\); 5 \(ZeroDivisionError\)$"
    one_line(lambda: analyze(tables(5), fragile), DataError, message)
    assert next(calls) == 5


@pytest.mark.parametrize("second", [({"a": 1.0, "c": 2.0}, [1.0, 1.0]), ({"a": 1.0}, 1.0), ([1.0, 2.0], [1.0, 1.0])])
def test_terms_that_change(second: Any) -> None:
    answers = iter([({"a": 1.0, "b": 2.0}, [1.0, 1.0]), second])
    message = "in imputation 2 of 2 and 'a', 'b' in the first"
    one_line(lambda: analyze(tables(2), lambda _: next(answers)), DataError, message)


def test_terms_in_another_order_are_put_in_order() -> None:
    answers = iter([({"a": 1.0, "b": 2.0}, [4.0, 9.0]), ({"b": 2.0, "a": 1.0}, [9.0, 4.0])])
    estimates = analyze(tables(2), lambda _: next(answers))
    assert estimates.estimates.tolist() == [[1.0, 2.0]] * 2
    assert estimates.variances.tolist() == [[4.0, 9.0]] * 2


def test_the_smallest_complete_degrees_of_freedom_count() -> None:
    degrees = iter([12, 10, 11])
    assert analyze(tables(), lambda _: (1.0, 1.0, next(degrees))).df_complete == 10
    unknown = iter([12, None, 11])
    assert analyze(tables(), lambda _: (1.0, 1.0, next(unknown))).df_complete is None


def test_a_function_cannot_change_the_tables() -> None:
    completed = tables(2)

    def careless(table: pd.DataFrame) -> tuple[float, float]:
        table["y"] = 0.0
        table["new"] = 1
        return table["y"].mean(), 1.0

    analyze(completed, careless)
    assert "new" not in completed[0].columns
    assert completed[0]["y"].any()


def test_statsmodels_least_squares_with_and_without_labels() -> None:
    by_formula = analyze(tables(), "y ~ x")
    labelled = analyze(tables(), lambda table: sm.OLS(table["y"], sm.add_constant(table[["x"]])).fit())
    assert labelled.terms == ("const", "x")
    arrays = analyze(
        tables(), lambda table: sm.OLS(table["y"].to_numpy(), sm.add_constant(table["x"].to_numpy())).fit()
    )
    assert arrays.terms == ("const", "x1")
    for other in (labelled, arrays):
        assert other.df_complete == by_formula.df_complete == 18
        np.testing.assert_allclose(other.estimates, by_formula.estimates, rtol=1e-9)
        np.testing.assert_allclose(other.covariances, by_formula.covariances, rtol=1e-9, atol=1e-15)


def test_statsmodels_with_the_normal_distribution_has_infinite_degrees_of_freedom() -> None:
    def positive(table: pd.DataFrame) -> Any:
        return sm.GLM(table["y"] > 1, sm.add_constant(table[["x"]]), family=sm.families.Binomial()).fit()

    assert analyze(tables(n=60), positive).df_complete == np.inf
    assert analyze(tables(n=60), positive, df_complete=58).df_complete == 58


# congeniality

MVN = MvNormal("y", "w", given="x + z + x:z")


@pytest.mark.parametrize(
    ("model", "analysis", "named"),
    [
        (Regression("y ~ x + z"), "y ~ x", []),
        (Regression("y ~ x + z"), "y ~ x*z", ["x:z"]),
        (Regression("y ~ x*z"), "y ~ z:x + x + z", []),
        (Regression("y ~ x"), "y ~ x + city", ["city"]),
        (Regression("y ~ x"), "y ~ x*city", ["city", "x:city"]),
        (Regression("y ~ x"), "y ~ log(city)", ["city"]),
        (Regression("y ~ x"), "y ~ log(x)", ["log(x)"]),
        (Regression("y ~ log(x)"), "y ~ log(x)", []),
        (Regression("y ~ log(x)"), "y ~ x", []),
        (Regression("y ~ x"), "y ~ center(x)", []),
        (Regression("y ~ x + z"), "y ~ center(x):z", ["center(x):z"]),
        (Regression("y ~ x:z"), "y ~ x", ["x"]),
        (Regression("y ~ x + z"), "x ~ y", []),
        (Regression("y ~ x + z"), "x ~ y + z", []),
        (Regression("y ~ x + z"), "x ~ y*z", ["y:z"]),
        (Regression("y ~ x + z"), "x ~ log(y)", ["log(y)"]),
        (Regression("y ~ x + z"), "city ~ y", ["city"]),
        (Regression("y ~ x"), "city ~ log(x)", []),
        (MVN, "y ~ w + x", []),
        (MVN, "w ~ y", []),
        (MVN, "x ~ y + w + z", []),
        (MVN, "y ~ x*z", []),
        (MVN, "y ~ w:x", ["w:x"]),
        (MVN, "y ~ w + I(w**2)", ["I(w ** 2)"]),
        (MVN, "y ~ x + I(x**2)", ["I(x ** 2)"]),
        (MVN, "y ~ city + w", ["city"]),
        (MvNormal("y", "w"), "y ~ w + x", ["x"]),
        (MvNormal("w", given="x"), "w ~ log(x)", []),  # w has no holes
    ],
)
def test_what_the_data_model_lacks(model: Any, analysis: str, named: list[str]) -> None:
    messages = uncongenial(parse(analysis), model, ["y"])
    said = [re.match(r"'(.*?)' is in the analysis", message) for message in messages]
    assert [match[1].replace(" ", "") for match in said if match] == [name.replace(" ", "") for name in named]
    assert all("for the imputed cells of 'y'" in message for message in messages)
    assert all("biased towards zero" in message and "\n" not in message for message in messages)


@dataclass
class Imputed:
    """What `analyze` uses of Imputations."""

    completed: list[pd.DataFrame]
    spec: Any
    data: IncompleteData

    def __len__(self) -> int:
        return len(self.completed)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter(self.completed)


def imputed(model: Any) -> Any:
    incomplete = tables()[0]
    incomplete.loc[:3, "y"] = np.nan
    return Imputed(tables(), SimpleNamespace(model=model), IncompleteData.of(incomplete))


def test_analyze_warns_of_each() -> None:
    with pytest.warns(CongenialityWarning) as caught:
        estimates = analyze(imputed(Regression("y ~ x")), "y ~ x + z + group")
    assert [str(warning.message).split(" is ")[0] for warning in caught] == ["'z'", "'group'"]
    assert all(warning.filename == __file__ for warning in caught)
    assert "not in the data model (y ~ x, normal residuals)" in str(caught[0].message)
    assert estimates.m == 3


def test_analyze_is_silent_when_congenial_or_not_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyze(imputed(Regression("y ~ x + z")), "x ~ y")
        analyze(imputed(Regression("y ~ x")), "x ~ z + group")
        analyze(imputed(Regression("y ~ x")), mean)
        analyze(tables(), "y ~ x*z")


# workers


def trimmed(table: pd.DataFrame) -> tuple[dict[str, float], list[float]]:
    kept = table["y"].sort_values().iloc[2:-2]
    return {"trimmed": kept.mean(), "top": table["y"].max()}, [kept.var() / len(kept), 0.1]


def result(table: pd.DataFrame) -> Any:
    return sm.OLS(table["y"], sm.add_constant(table[["x", "z"]])).fit()


@pytest.mark.parametrize("what", [trimmed, result, lambda table: (table["y"].median(), 0.5)])
def test_the_answers_do_not_depend_on_the_workers(what: Any) -> None:
    same_with(2, what)


@pytest.mark.slow
def test_the_answers_do_not_depend_on_more_workers() -> None:
    for workers in (3, 4, 7):
        same_with(workers, trimmed)


def same_with(workers: int, what: Any) -> None:
    completed = tables(5)
    alone, shared = analyze(completed, what), analyze(completed, what, workers=workers)
    assert shared.terms == alone.terms
    assert shared.df_complete == alone.df_complete
    np.testing.assert_array_equal(shared.estimates, alone.estimates)
    np.testing.assert_array_equal(shared.covariances, alone.covariances)


def test_failures_in_other_processes_are_named_too() -> None:
    def fragile(table: pd.DataFrame) -> tuple[float, float]:
        if table["y"].iloc[0] > cut:
            raise ValueError("no convergence")
        return table["y"].mean(), 1.0

    completed = tables(4)
    cut = sorted(table["y"].iloc[0] for table in completed)[1]
    bad = [str(k + 1) for k, table in enumerate(completed) if table["y"].iloc[0] > cut]
    message = rf"failed in 2 of 4 imputations: {', '.join(bad)} \(ValueError: no convergence\)$"
    refused = one_line(lambda: analyze(completed, fragile, workers=2), DataError, message)
    # the line itself is not told where the function was sent by value: its source is in the other process only
    assert "in fragile" in str(refused.value.__cause__)


def test_the_first_answer_that_is_refused_is_named_whatever_the_workers() -> None:
    def odd(table: pd.DataFrame) -> Any:
        return "high" if table["y"].iloc[0] > cut else (1.0, 1.0)

    completed = tables(4)
    cut = sorted(table["y"].iloc[0] for table in completed)[1]
    first = next(k + 1 for k, table in enumerate(completed) if table["y"].iloc[0] > cut)
    for workers in (1, 2):
        message = f"'odd' in imputation {first} of 4 returned str; it must return"
        one_line(lambda workers=workers: analyze(completed, odd, workers=workers), DataError, message)


def test_a_function_that_cannot_leave_the_process() -> None:
    lock = threading.Lock()

    def guarded(table: pd.DataFrame) -> tuple[float, float]:
        with lock:
            return table["y"].mean(), 1.0

    assert analyze(tables(2), guarded).m == 2
    one_line(
        lambda: analyze(tables(2), guarded, workers=2), DataError, "cannot run in other processes .* workers=1 runs"
    )


@pytest.mark.parametrize("workers", [0, -1, 1.5, "all", True])
def test_workers_that_are_none(workers: Any) -> None:
    one_line(lambda: analyze(tables(2), mean, workers=workers), DataError, "workers= is a whole number of 1 or more")


def test_one_worker_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert analyze(tables(2), mean, workers=None).m == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("watched", "wanted", "shown"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_bar_for_who_watches(monkeypatch: pytest.MonkeyPatch, watched: bool, wanted: bool, shown: bool) -> None:
    stream = Terminal() if watched else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("mnarkit.progress._QUIET", 0.0)
    monkeypatch.setattr("mnarkit.progress._EVERY", 0.0)
    analyze(tables(4), mean, progress=wanted)
    written = stream.getvalue()
    assert ("analyze (mean): 2 of 4 [███████████████···············]" in written) == shown
    assert written.endswith("\n") == shown


# results of other libraries


def test_a_lifelines_result() -> None:
    index = pd.MultiIndex.from_tuples([("mu_", "x"), ("sigma_", "Intercept")])
    fitter = SimpleNamespace(params_=pd.Series([1.0, 2.0], index=index), variance_matrix_=pd.DataFrame(MATRIX))
    estimates = analyze(tables(2), lambda _: fitter)
    assert estimates.terms == ("mu_: x", "sigma_: Intercept")
    assert estimates.covariances[0].tolist() == MATRIX.tolist()
    assert estimates.df_complete == np.inf


def test_a_bayesian_regression_of_scikit_learn() -> None:
    fitted = SimpleNamespace(coef_=np.array([1.0, 2.0]), sigma_=MATRIX, feature_names_in_=np.array(["a", "b"]))
    assert analyze(tables(2), lambda _: fitted).terms == ("a", "b")
