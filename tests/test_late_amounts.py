"""Amounts applied when imputing: the data say nothing of them, and the imputations have their prior, draw by draw."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mnarkit as mk

N, M = 60, 600
SHIFT = mk.Prior("normal", -0.5, 0.3, unit="raw")
SCALE = mk.Prior("uniform", 0.5, 2.0, unit="raw")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    x = rng.normal(size=N)
    y = 1 + x + rng.normal(size=N)
    binary = (rng.random(N) < 1 / (1 + np.exp(-x))).astype(float)
    return pd.DataFrame(
        {"x": x, "y": np.where(rng.random(N) < 0.3, np.nan, y), "b": np.where(rng.random(N) < 0.3, np.nan, binary)}
    )


def sampled(spec: mk.Spec, table: pd.DataFrame) -> mk.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mk.sample(spec, table, draws=M // 2, tune=300, chains=2, seed=1, progress=False)


def completed(fit: mk.Fit, table: pd.DataFrame, column: str, under: mk.PatternMixture | None = None) -> np.ndarray:
    """The imputed cells of a column, (M, cells)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputations = mk.impute(fit, m=M, seed=2, under=under)
    hole = table[column].isna().to_numpy()
    return np.stack([one[column].to_numpy()[hole] for one in imputations])


def test_a_shift_with_a_prior_is_drawn_from_it_once_an_imputation(table):
    fit = sampled(mk.Spec(mk.Regression("y ~ x")), table)
    moved = completed(fit, table, "y", mk.PatternMixture(mk.Shift("y", SHIFT, unit="raw"))) - completed(fit, table, "y")
    np.testing.assert_allclose(moved, moved[:, :1].repeat(moved.shape[1], axis=1), atol=1e-12)
    assert stats.kstest(moved[:, 0], stats.norm(-0.5, 0.3).cdf).pvalue > 0.001


def test_a_scale_with_a_prior_is_drawn_from_it_once_an_imputation(table):
    fit = sampled(mk.Spec(mk.Regression("y ~ x")), table)
    plain, moved = completed(fit, table, "y"), completed(fit, table, "y", mk.PatternMixture(mk.Scale("y", SCALE)))
    ratio = moved / plain  # about the mean, which is scaled with it
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(ratio.shape[1], axis=1), atol=1e-9)
    assert stats.kstest(ratio[:, 0], stats.uniform(0.5, 1.5).cdf).pvalue > 0.001


def test_an_odds_ratio_with_a_prior_moves_the_share_by_it(table):
    """Each cell, once an imputation: E b = E expit(logit p + a), over the fit's draws and those of the prior."""
    model = mk.Regression("b ~ x", family="bernoulli")
    fit = sampled(mk.Spec(model, mk.PatternMixture(mk.OddsRatio("b", mk.Prior("normal", 0.7, 0.6)))), table)
    draws = fit.draws["posterior"]
    amounts = draws["log_odds_ratio_b"].values.ravel()
    assert stats.kstest(amounts, stats.norm(0.7, 0.6).cdf).pvalue > 0.001
    x = table["x"].to_numpy()[table["b"].isna()]
    eta = draws["coef_b"].values.reshape(M, 2) @ np.stack([np.ones(len(x)), x])
    expected = special.expit(eta + amounts[:, None])
    drawn = completed(fit, table, "b")
    error = np.sqrt((expected * (1 - expected)).sum()) / expected.size
    assert abs(drawn.mean() - expected.mean()) < 4 * error
    assert drawn.mean() - special.expit(eta).mean() > 10 * error


def test_amounts_of_a_spec_are_drawn_from_their_priors(table):
    shift = mk.PatternMixture(mk.Shift("y", SHIFT, unit="raw"))
    fit = sampled(mk.Spec(mk.Regression("y ~ x"), shift), table)
    values = fit.draws["posterior"]["shift_y"].values
    assert stats.kstest(values[:, ::3].ravel(), stats.norm(-0.5, 0.3).cdf).pvalue > 0.001  # NUTS: every third draw
    plain = sampled(mk.Spec(mk.Regression("y ~ x")), table)
    assert not np.isclose(completed(fit, table, "y").mean(), completed(plain, table, "y").mean(), atol=0.2)
