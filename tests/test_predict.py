"""Combinations of terms, predictions and margins, against the regressions computed by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnarkit.analyze import analyze, predict
from mnarkit.errors import DataError, MnarkitError
from mnarkit.estimates import Estimates
from mnarkit.pool import pool


def tables(m: int = 4, n: int = 30, seed: int = 5) -> list[pd.DataFrame]:
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), np.where(np.arange(n) % 2 == 0, "drug", "placebo")
    fixed = 1 + x + (arm == "drug") + rng.normal(size=n)
    return [pd.DataFrame({"y": np.r_[rng.normal(size=6), fixed[6:]], "x": x, "arm": arm}) for _ in range(m)]


def by_hand(new: np.ndarray, completed: list[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    values, spread = [], []
    for table in completed:
        x = np.column_stack([np.ones(len(table)), table["arm"] == "placebo", table["x"]]).astype(float)
        y = table["y"].to_numpy()
        coef = np.linalg.lstsq(x, y)[0]
        variance = np.square(y - x @ coef).sum() / (len(y) - 3)
        values.append(new @ coef)
        spread.append(new @ np.linalg.inv(x.T @ x) @ new.T * variance)
    return np.array(values), np.array(spread)


def test_predictions_at_rows() -> None:
    completed = tables()
    rows = pd.DataFrame({"arm": ["placebo", "drug"], "x": [0.5, -1.0]}, index=["a", "b"])
    expected = predict(analyze(completed, "y ~ arm + x"), rows)
    values, spread = by_hand(np.array([[1, 1, 0.5], [1, 0, -1.0]]), completed)
    np.testing.assert_allclose(expected.estimates, values, rtol=1e-9)
    np.testing.assert_allclose(expected.covariances, spread, rtol=1e-8, atol=1e-12)
    assert (expected.terms, expected.df_complete) == (("row a", "row b"), 27)
    assert pool(expected).estimate.tolist() == pytest.approx(values.mean(axis=0).tolist())


def test_a_margin_is_the_mean_of_the_predictions() -> None:
    completed = tables()
    estimates, x = analyze(completed, "y ~ arm + x"), completed[0]["x"]
    margin = predict(estimates, completed[0].assign(arm="drug"), average=True)
    values, spread = by_hand(np.array([[1, 0, x.mean()]]), completed)
    np.testing.assert_allclose(margin.estimates, values, rtol=1e-9)
    np.testing.assert_allclose(margin.covariances, spread, rtol=1e-8)
    assert margin.terms == ("average",)


def test_terms_of_scaled_columns_keep_the_constants_of_the_analysis() -> None:
    completed = tables()
    rows = pd.DataFrame({"x": [3.0]})
    scaled = predict(analyze(completed, "y ~ scale(x)"), rows).estimates
    np.testing.assert_allclose(scaled, predict(analyze(completed, "y ~ x"), rows).estimates, rtol=1e-9)


def test_combinations() -> None:
    estimates = analyze(tables(), "y ~ arm + x")
    named = estimates.combine(pd.DataFrame({"x": [2.0], "Intercept": [1.0]}, index=["at 2"]))
    by_position = estimates.combine([[1, 0, 2]], ["at 2"])
    assert named.terms == ("at 2",)
    np.testing.assert_array_equal(named.estimates, by_position.estimates)
    np.testing.assert_array_equal(named.covariances, by_position.covariances)
    variances = Estimates.of([[1.0, 2.0]] * 2, [[1.0, 4.0]] * 2, terms=["a", "b"])
    assert variances.combine([[0, 3]]).variances.tolist() == [[36.0]] * 2


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda e: e.combine([[1, 2]]), r"weights of 3 terms are finite numbers \(r, 3\), not \(1, 2\)"),
        (lambda e: e.combine([[1, np.nan, 0]]), "are finite"),
        (lambda e: e.combine(pd.DataFrame({"educ": [1.0]})), "the weights name 'educ'; the terms are 'Intercept'"),
        (lambda e: e.combine([["a", 1, 0]]), "the weights are not numbers"),
        (lambda e: predict(e, pd.DataFrame({"x": [1.0]})), "names 'arm'; the columns are 'x'"),
        (lambda e: predict(e, pd.DataFrame({"x": [1.0], "arm": ["other"]})), "other"),
        (lambda e: predict(e, pd.DataFrame({"x": [np.nan], "arm": ["drug"]})), "'x'"),
        (lambda e: predict(e, pd.concat([tables()[0]] * 40)), "1,200 rows would be as many terms"),
        (
            lambda e: predict(analyze(tables(), lambda t: (t["y"].mean(), 1.0)), tables()[0]),
            "not analyzed by a formula",
        ),
        (lambda e: predict(pool(e), tables()[0]), "predict takes Estimates"),
    ],
)
def test_what_cannot_be_predicted(run: Any, message: str) -> None:
    with pytest.raises(MnarkitError, match=message) as refused:
        run(analyze(tables(), "y ~ arm + x"))
    assert "\n" not in str(refused.value)


def test_variances_alone_cannot_be_combined() -> None:
    with pytest.raises(DataError, match="only their variances"):
        Estimates.of([[1.0, 2.0]], [[1.0, 4.0]]).combine([[1, 1]])
