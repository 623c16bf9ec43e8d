"""A shared-parameter model from the table to the pooled estimate, on values that are known."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk

WAVES = ("w0", "w1", "w2", "w3")
MODEL = mk.Growth(*WAVES, times=(0, 1, 2, 4))
SPEC = mk.Spec(
    MODEL,
    mk.SharedParameter("intercept + slope", by_wave=()),
    because="Those who get worse fast leave, whatever they score at a visit.",
)
TRUTH = {
    "growth": [[0.5], [0.3]],
    "random_sd": [1.0, 0.5],
    "random_corr": [[1.0, 0.2], [0.2, 1.0]],
    "residual_sd": [0.7] * 4,
    "dropout": {"Intercept": -0.9, "intercept": 0.3, "slope": 1.5},
}


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return mk.simulate(SPEC, TRUTH, n=120, seed=1, complete=True)


@pytest.fixture(scope="module")
def fits(tables) -> dict[str, mk.Fit]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws
        return {
            name: mk.sample(spec, tables[0], draws=150, tune=250, chains=2, seed=1, progress=False)
            for name, spec in {"shared": SPEC, "MAR": SPEC.mar()}.items()
        }


def pooled(fit: mk.Fit, frame: pd.DataFrame) -> pd.Series:
    """The mean of the last wave, and that imputations keep what is recorded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputations = mk.impute(fit, m=30, seed=2)
    for k in (0, 29):
        completed = imputations[k]
        assert completed.notna().all(axis=None)
        pd.testing.assert_frame_equal(completed.where(frame.notna()), frame)
    return mk.pool(mk.analyze(imputations, "w3 ~ 1")).to_frame().iloc[0]


@pytest.mark.slow
def test_the_pooled_mean_is_that_of_all_values_where_mar_misses_it(tables, fits):
    frame, complete = tables
    assert 0.2 < frame["w3"].isna().mean() < 0.7
    true = complete["w3"].mean()
    shared, mar = (pooled(fits[name], frame) for name in ("shared", "MAR"))
    assert shared["between"] > 0
    # given the table, the mean of all values lies around the pooled one with the variance between the imputations
    assert abs(shared["estimate"] - true) < 3 * np.sqrt((1 + 1 / 30) * shared["between"])
    assert mar["estimate"] < shared["estimate"]  # those who rise fast are missed
    assert fits["shared"].draws.attrs["divergences"] <= 3
