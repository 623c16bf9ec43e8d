"""A default prior of a difference between groups that stands far from the data is said."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.spec.origin import far_origins


def table(mean: float) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    y = mean + 8 * rng.normal(size=(60, 2))
    y[rng.random(60) < 0.3, 1] = np.nan
    return pd.DataFrame(y, columns=["w0", "w1"]).assign(arm=np.where(np.arange(60) % 2, "a", "b"))


def said(belief, mean: float = 80.0) -> tuple[str, ...]:
    return far_origins(mk.Spec(mk.MvNormal("w0", "w1"), belief), IncompleteData.of(table(mean)))


@pytest.mark.parametrize(
    "belief", [mk.Selection("missing(w1) ~ w1 * arm"), mk.Dropout("previous + current * arm", waves=("w0", "w1"))]
)
def test_a_difference_far_from_the_data_is_said(belief):
    (sentence,) = said(belief)
    assert "'arm' in" in sentence
    assert re.search(r"is 0, 1\d sds from its mean", sentence)
    assert "take a typical value off" in sentence
    assert not said(belief, mean=5.0)


@pytest.mark.parametrize(
    "belief",
    [
        mk.Selection("missing(w1) ~ w1 + arm"),
        mk.Selection("missing(w1) ~ w1:arm"),
        mk.Selection("missing(w1) ~ w1 * arm", priors={"arm[T.b]": mk.Prior("normal", 0, 20)}),
        mk.Selection("missing(w1) ~ w1 + w0:w1 + w0"),
    ],
)
def test_other_formulas_say_nothing(belief):
    assert not said(belief)


def test_sampling_warns_and_notes_it():
    spec = mk.Spec(mk.MvNormal("w0", "w1"), mk.Selection("missing(w1) ~ w1 * arm"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mk.errors.ConvergenceWarning)
        with pytest.warns(mk.errors.IdentificationWarning, match="a difference where w1 is 0"):
            fit = mk.sample(spec, table(80.0), draws=20, tune=20, chains=1, seed=1, progress=False)
    assert any("a difference where w1 is 0" in note for note in fit.notes)
