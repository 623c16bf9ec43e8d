"""Weights of a survey design in the analysis: statsmodels' estimates and sandwich, what the notes say, refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import mnarkit as mk
from mnarkit.errors import DataError
from tests.drawn import drawn_fit

RNG = np.random.default_rng(4)
N = 120


def completed(m: int = 3) -> list[pd.DataFrame]:
    """Tables that differ in some cells of y."""
    x, w, group = RNG.normal(size=N), RNG.uniform(0.5, 8, N), np.repeat(["a", "b", "c"], N // 3)
    y = 1 + x + 0.5 * (group == "b") + RNG.normal(size=N) * np.sqrt(w)
    return [
        pd.DataFrame({"y": y + np.where(np.arange(N) < 20, RNG.normal(size=N), 0), "x": x, "group": group, "w": w})
        for _ in range(m)
    ]


TABLES = completed()


def test_least_squares_are_those_of_statsmodels() -> None:
    made = mk.analyze(TABLES, "y ~ x + group", weights="w")
    for k, table in enumerate(TABLES):
        theirs = smf.wls("y ~ x + group", table, weights=table["w"]).fit(cov_type="HC0")
        terms = list(made.terms)
        np.testing.assert_allclose(made.estimates[k], theirs.params[terms], rtol=1e-10)
        spread = theirs.cov_params().loc[terms, terms] * N / (N - 1)
        np.testing.assert_allclose(made.covariances[k], spread, rtol=1e-9, atol=1e-12)
    assert made.df_complete == N - 4


def test_logistic_regressions_are_those_of_statsmodels() -> None:
    made = mk.analyze(TABLES, mk.Logistic("x + group", event="y > 1.2"), weights="w")
    for k, table in enumerate(TABLES):
        binomial = sm.families.Binomial()
        frame = table.assign(happens=(table["y"] > 1.2).astype(float))
        theirs = smf.glm("happens ~ x + group", frame, family=binomial, var_weights=table["w"]).fit(
            cov_type="HC0", tol=1e-12
        )
        terms = list(made.terms)
        np.testing.assert_allclose(made.estimates[k], theirs.params[terms], rtol=1e-8)
        spread = theirs.cov_params().loc[terms, terms] * N / (N - 1)
        np.testing.assert_allclose(made.covariances[k], spread, rtol=1e-7, atol=1e-12)


def test_the_size_of_weights_does_not_matter_and_equal_ones_give_the_plain_estimate() -> None:
    larger = [table.assign(w=1000 * table["w"]) for table in TABLES]
    equal = [table.assign(w=2.0) for table in TABLES]
    for what in ("y ~ x", mk.Logistic("x", event="y > 1.2")):
        one, other = (mk.analyze(tables, what, weights="w") for tables in (TABLES, larger))
        np.testing.assert_allclose(one.covariances, other.covariances, rtol=1e-9)
        plain, same = mk.analyze(TABLES, what), mk.analyze(equal, what, weights="w")
        np.testing.assert_allclose(plain.estimates, same.estimates, rtol=1e-9, atol=1e-12)


def test_the_notes_say_what_weights_do_not_do() -> None:
    frame = TABLES[0].assign(y=TABLES[0]["y"].where(np.arange(N) >= 20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without = mk.analyze(
            mk.impute(drawn_fit(mk.Spec(mk.MvNormal("y", "x")), frame), 5, seed=1), "y ~ x", weights="w"
        )
        within = drawn_fit(mk.Spec(mk.MvNormal("y", "x", given="w")), frame)
        known = mk.analyze(mk.impute(within, 5, seed=1), "y ~ x", weights="w")
    assert "the model behind the imputations did not use them; put what they rest on" in without.notes[0]
    assert "has w as a predictor" in known.notes[0]
    pooled = mk.pool(without)
    assert pooled.notes == without.notes
    assert str(pooled).splitlines()[-1] == f"Note: {without.notes[0]}"
    assert "weights w" in pooled.what
    assert mk.pool(without.combine([[0, 1]], ["x"])).notes == without.notes
    assert mk.pool(mk.predict(without, pd.DataFrame({"x": [0.0]}))).estimate.shape == (1,)


BAD = {
    "absent": (lambda t: mk.analyze(t, "y ~ x", weights="weight"), "'weight'"),
    "text": (lambda t: mk.analyze(t, "y ~ x", weights="group"), "'group'"),
    "no name": (lambda t: mk.analyze(t, "y ~ x", weights=t[0]["w"]), "names a column"),
    "zero": (
        lambda t: mk.analyze([f.assign(w=f["w"].where(f.index > 1, 0.0)) for f in t], "y ~ x", weights="w"),
        "'w' has 2 of 120 weights that are not above 0",
    ),
    "hole": (
        lambda t: mk.analyze([f.assign(w=f["w"].where(f.index > 1)) for f in t], "y ~ x", weights="w"),
        "'w' has 2 holes in imputation 1 of 3",
    ),
    "differ": (
        lambda t: mk.analyze([f.assign(w=f["w"] + k) for k, f in enumerate(t)], "y ~ x", weights="w"),
        "'w' differs between imputations",
    ),
    "function": (lambda t: mk.analyze(t, lambda f: (f["y"].mean(), 1.0), weights="w"), "weights its rows itself"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_are_one_line(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises((DataError, mk.errors.SpecError), match=message) as caught:
        make(TABLES)
    assert "\n" not in str(caught.value)
