"""D4 on mice's five completed tables, against the definition of its paper, maximised numerically."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize

import mnarkit as mk
from tests.refs import refs

LARGE, SMALL = "bmi ~ age + hyp + chl", "bmi ~ age + hyp"


def completed() -> list[pd.DataFrame]:
    stacked = pd.read_csv(refs("mice_pooling_nhanes2") / "data_D_m5.csv")
    return [part.drop(columns=[".imp", ".id"]).reset_index(drop=True) for _, part in stacked.groupby(".imp")]


def design(table: pd.DataFrame, *, larger: bool) -> np.ndarray:
    """Dummies by hand."""
    parts = [np.ones(len(table)), table["age"] == "40-59", table["age"] == "60-99", table["hyp"] == "yes"]
    return np.column_stack([*parts, *([table["chl"]] if larger else [])]).astype(float)


def largest(tables: list[pd.DataFrame], *, larger: bool) -> float:
    """max over (β, σ) of (1/m) Σ_l log f(y_l | X_l β, σ²), by quasi-Newton from a poor start, on scaled columns."""
    xs, ys = [design(t, larger=larger) for t in tables], [t["bmi"].to_numpy() for t in tables]
    size = np.abs(np.concatenate(xs)).max(axis=0)

    def less(theta: np.ndarray) -> float:
        coef, sd = theta[:-1] / size, np.exp(theta[-1])
        return -sum(stats.norm.logpdf(y, x @ coef, sd).sum() for x, y in zip(xs, ys, strict=True)) / len(ys)

    start = np.r_[np.mean([y.mean() for y in ys]), np.zeros(len(size) - 1), 1.0]
    found = minimize(less, start, method="BFGS", options={"gtol": 1e-9})
    return -float(minimize(less, found.x, method="Nelder-Mead", options={"xatol": 1e-11, "fatol": 1e-13}).fun)


@pytest.mark.parametrize("increase", ["robust", "positive"])
def test_d4_on_the_five_tables(increase: str) -> None:
    """Chan & Meng (2022): d̂ from the stacked likelihoods, r from what separate maxima add to it."""
    tables = completed()
    m, k, h = 5, 1, 6  # five coefficients and a variance
    d_hat = 2 * (largest(tables, larger=True) - largest(tables, larger=False))
    each = np.array([[largest([t], larger=size) for size in (True, False)] for t in tables])
    if increase == "robust":
        riv = (m + 1) / (h * (m - 1)) * (2 * each[:, 0].mean() - 2 * largest(tables, larger=True))
        df2 = h * (m - 1) * (1 + 1 / riv) ** 2
    else:
        riv = max((m + 1) / (k * (m - 1)) * (2 * (each[:, 0] - each[:, 1]).mean() - d_hat), 0.0)
        df2 = k * (m - 1) * (1 + 1 / riv) ** 2
    statistic = d_hat / (k * (1 + riv))
    test = mk.pool_test(mk.analyze(tables, LARGE), mk.analyze(tables, SMALL), method="D4", increase=increase)  # pyright: ignore[reportArgumentType]
    assert [test.statistic, test.df1, test.df2, test.riv] == pytest.approx([statistic, k, df2, riv], rel=1e-6)
    assert test.p_value == pytest.approx(stats.f.sf(statistic, k, df2), rel=1e-6)


def test_few_imputations_are_said_in_one_line() -> None:
    """What can go wrong with two imputations, one, or none that fit together."""
    tables = completed()
    estimates = mk.analyze(tables[:1], LARGE)
    for method in ("D1", "D2", "D3", "D4"):
        with pytest.raises(mk.errors.DataError, match=f"with 1 imputation {method} has no variance") as raised:
            mk.pool_test(estimates, method=method)
        assert "\n" not in str(raised.value)
    sizes = [mk.pool_test(mk.analyze(tables[:m], LARGE), "chl = 0").df2 for m in (2, 3, 5)]
    assert all(a < b for a, b in pairwise(sizes))


def test_covariances_of_other_shapes_are_one_line() -> None:
    numbers = iter(range(2))

    def changing(table: pd.DataFrame) -> tuple[list[float], np.ndarray]:
        k = 2 + next(numbers)
        return [1.0] * k, np.eye(k)

    def wrong(table: pd.DataFrame) -> tuple[list[float], np.ndarray]:
        return [1.0, 2.0], np.eye(3)

    table = pd.DataFrame({"y": [1.0, 2.0]})
    for function, message in ((changing, "has the terms .* in imputation 2 of 2"), (wrong, r"covariances of shape")):
        with pytest.raises(mk.errors.DataError, match=message) as raised:
            mk.analyze([table, table], function)
        assert "\n" not in str(raised.value)
