"""isni against maximum likelihood at small held coefficients."""

import numpy as np
import pytest

import mnarkit as mk
from mnarkit.errors import DataError, SpecError
from tests import cases

TABLE = cases.table(200, seed=4)
CASES = {
    "probit": (mk.Regression("y1 ~ x + arm"), "missing(y1) ~ y1 + z", "probit"),
    "logit": (mk.Regression("y1 ~ x + arm"), "missing(y1) ~ y1 + z", "logit"),
    "joint": (mk.MvNormal("y1", "y2", given="x"), "missing(y1) ~ y1 + y2", "probit"),
}
STEP = 0.02  # per sd: the central difference is then good to about STEP² times the third derivative


def held(model, formula: str, link: str, value: float) -> mk.EMFit:
    spec = mk.Spec(model, mk.Selection(formula, link=link, priors={"y1": value / TABLE["y1"].std()}))
    return mk.em(spec, TABLE, tol=1e-11, progress=False)


@pytest.mark.parametrize("name", CASES)
def test_the_slope_is_that_of_refits(name):
    model, formula, link = CASES[name]
    found = mk.isni(mk.Spec(model, mk.Selection(formula, link=link)), TABLE).to_frame().set_index("term")
    up, down = held(model, formula, link, STEP), held(model, formula, link, -STEP)
    terms = list(found.index)
    numeric = ((up.params - down.params) / (2 * STEP))[terms]
    np.testing.assert_allclose(found["isni"], numeric, rtol=2e-3, atol=2e-3 * np.abs(numeric).max())
    if name == "joint":  # y2, which is unseen in part, stands in the formula: 0 for y1 is not quite MAR
        return
    mar = mk.em(mk.Spec(model), TABLE, tol=1e-12, progress=False)
    np.testing.assert_allclose(found["estimate"], mar.params[terms], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["std_error"], mar.std_errors[terms], rtol=1e-3)
    np.testing.assert_allclose(found["c"], found["std_error"] / np.abs(found["isni"]))


def test_the_slope_of_a_projection_is_that_of_refits():
    model, formula, link = CASES["joint"]
    spec = mk.Spec(model, mk.Selection(formula, link=link))
    found = mk.isni(spec, TABLE, what="y1 ~ x + arm").to_frame()
    sides = [held(model, formula, link, s).project("y1 ~ x + arm")["estimate"].to_numpy() for s in (STEP, -STEP)]
    np.testing.assert_allclose(found["isni"], (sides[0] - sides[1]) / (2 * STEP), rtol=2e-3, atol=1e-3)
    assert found["term"].tolist() == ["Intercept", "x", "arm[T.placebo]"]


def test_a_mean_moves_by_what_is_known():
    """One normal column, probit: dμ̂/dγ = -share missing · σ φ/(Φ(1-Φ)) · (1 - share): E[y | missing] moves at once."""
    from scipy.stats import norm

    table = TABLE[["y1"]]
    found = mk.isni(mk.Spec(mk.MvNormal("y1"), mk.Selection("missing(y1) ~ y1")), table).to_frame()
    share, sd = table["y1"].isna().mean(), table["y1"].std(ddof=0)
    # at γ = 0 a hole's value moves by σ γ φ/Φ, a recorded one's model mean by -σ γ φ/(1 - Φ), in units of the sd
    ratio = norm.pdf(norm.ppf(share))
    expected = ratio * sd / (1 - share) * sd / table["y1"].std(ddof=1)
    assert found["isni"].iloc[0] == pytest.approx(expected, rel=1e-4)


def test_the_text_says_what_it_is():
    text = str(mk.isni(mk.Spec(CASES["logit"][0], mk.Selection(CASES["logit"][1], link="logit")), TABLE))
    assert "an odds ratio of 2.72" in text
    assert "no data can tell it" in text


BAD = {
    r"isni needs a model of the holes, Selection\('missing\(y1\) ~ y1 \+ \.\.\.'\); the spec has no Selection": (
        (),
        {},
    ),
    r"is held at 0.5 by the spec; leave it free": ((mk.Selection("missing(y1) ~ y1", priors={"y1": 0.5}),), {}),
    r"has no coefficient of 'y1'; its terms are": ((mk.Selection("missing(y1) ~ z"),), {}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_gets_one_line(message):
    beliefs, options = BAD[message]
    with pytest.raises(SpecError, match=message):
        mk.isni(mk.Spec(CASES["probit"][0], *beliefs), TABLE, **options)
    with pytest.raises(DataError, match=r"isni needs a table: mk.isni\(spec, df\)"):
        mk.isni(mk.Spec(CASES["probit"][0], mk.Selection("missing(y1) ~ y1")))
