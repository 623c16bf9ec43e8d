"""Regressions averaged over the shares of patterns: estimates, and the variance that counts the shares as estimates."""

import itertools

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.errors import DataError, FormulaError


def table(n: int, rng: np.random.Generator) -> pd.DataFrame:
    pattern = rng.choice(["early", "late", "stays"], n, p=[0.2, 0.3, 0.5])
    x = rng.normal(size=n)
    level, slope = (pd.Series(v) for v in ({"early": 3, "late": 1, "stays": 0}, {"early": -1, "late": 0.5, "stays": 2}))
    y = level[pattern].to_numpy() + slope[pattern].to_numpy() * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "left": pattern})


def test_the_average_of_least_squares_by_pattern() -> None:
    frame = table(200, np.random.default_rng(1))
    estimate, covariance = mk.pattern_average("y ~ x", "left")(frame)
    expected = np.zeros(2)
    for _, part in frame.groupby("left"):
        slope, level = np.polyfit(part["x"], part["y"], 1)
        expected += len(part) / 200 * np.array([level, slope])
    np.testing.assert_allclose(estimate, expected, atol=1e-10)
    assert list(covariance.index) == ["Intercept", "x"]


def test_its_variance_is_that_of_repeated_tables() -> None:
    """The spread of 3,000 averages against the mean of their variances; without the shares' part a fifth is missing."""
    rng, n, size = np.random.default_rng(2), 150, 3000
    found, said = np.empty((size, 2)), np.empty((size, 2))
    level, slope = np.array([3.0, 1, 0]), np.array([-1.0, 0.5, 2])
    for i in range(size):
        pattern, x = rng.choice(3, n, p=[0.2, 0.3, 0.5]), rng.normal(size=n)
        y = level[pattern] + slope[pattern] * x + rng.normal(size=n)
        fits = []
        for k in range(3):
            z = np.column_stack([np.ones((pattern == k).sum()), x[pattern == k]])
            inverse = np.linalg.inv(z.T @ z)
            coef = inverse @ z.T @ y[pattern == k]
            rss = ((y[pattern == k] - z @ coef) ** 2).sum()
            fits.append((coef, inverse * rss / (len(z) - 2)))
        estimate, covariance = mk.average_patterns([f[0] for f in fits], [f[1] for f in fits], np.bincount(pattern))
        found[i], said[i] = estimate, np.diag(covariance)
    # five standard errors of a variance from 3,000 draws, and the delta method's own error of order 1/n
    np.testing.assert_allclose(said.mean(axis=0), found.var(axis=0), rtol=5 * np.sqrt(2 / size) + 0.02)


def test_through_imputations() -> None:
    trial = mk.load_dataset("depression")
    visits = ["bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m"]
    trial["left"] = np.where(trial["bdi_8m"].isna(), "left", "stays")
    monotone = trial.copy()
    for before, after in itertools.pairwise(visits):
        monotone.loc[monotone[before].isna(), after] = np.nan
    restricted = mk.Spec(
        mk.MvNormal(*visits, given="treatment + bdi_pre"), mk.PatternMixture(mk.Restriction("NCMV", sparse="nearest"))
    )
    fit = mk.sample(restricted, monotone, draws=50, chains=1, seed=1, progress=False)
    estimates = mk.analyze(mk.impute(fit, 5, seed=1), mk.pattern_average("bdi_8m ~ treatment + bdi_pre", "left"))
    pooled = mk.pool(estimates).to_frame()
    assert list(pooled["term"]) == ["Intercept", "treatment[T.TAU]", "bdi_pre"]
    assert (pooled["std_error"] > 0).all()


def test_what_is_refused() -> None:
    frame = table(30, np.random.default_rng(3))
    frame.loc[0, "left"] = "alone"
    with pytest.raises(DataError, match=r"pattern left = 'alone' has 1 rows for 2 coefficients .* join it"):
        mk.pattern_average("y ~ x", "left")(frame)
    frame.loc[1, "y"] = np.nan
    with pytest.raises(DataError, match="'y' has 1 holes; impute it first"):
        mk.pattern_average("y ~ x", "left")(frame)
    with pytest.raises(FormulaError, match=r"takes 'y ~ x', not 'missing\(y\) ~ x'"):
        mk.pattern_average("missing(y) ~ x", "left")
