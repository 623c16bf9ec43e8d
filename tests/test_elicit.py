"""elicit: the quantiles that were said are the quantiles of the prior; contradictions are refused."""

import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.errors import SpecError
from tests.test_impute import one_line


def frozen(prior: mk.Prior):
    if prior.family == "normal":
        return stats.norm(*prior.values)
    df, centre, scale = prior.values
    return stats.t(df, centre, scale)


@pytest.mark.parametrize("family", ["normal", "student_t"])
@pytest.mark.parametrize(("best", "bound"), [(-20, -40), (0.2, 1.0), (-1, 0.5)])
def test_a_bound_has_its_probability(family: str, best: float, bound: float) -> None:
    prior = frozen(mk.elicit(best, bound=bound, unit="raw", sure=0.9, family=family, df=3).prior)
    beyond = prior.cdf(bound) if bound < best else prior.sf(bound)
    assert beyond == pytest.approx(0.1, abs=1e-12)
    assert prior.ppf(0.5) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("family", ["normal", "student_t"])
def test_an_interval_has_its_probability(family: str) -> None:
    prior = frozen(mk.elicit(-0.3, interval=(-0.8, 0.2), unit="sd", sure=0.8, family=family).prior)
    assert prior.cdf(-0.8) == pytest.approx(0.1, abs=1e-12)
    assert prior.sf(0.2) == pytest.approx(0.1, abs=1e-12)


def test_an_uneven_interval_is_refused_or_matched_and_said() -> None:
    with pytest.raises(SpecError, match=r"-20 is not the middle of .* which is -25") as caught:
        mk.elicit(-20, interval=(-50, 0), unit="raw")
    assert one_line(caught)
    matched = mk.elicit(-20, interval=(-50, 0), unit="raw", sure=0.9, uneven="match")
    prior = frozen(matched.prior)
    assert prior.cdf(0) - prior.cdf(-50) == pytest.approx(0.9, abs=1e-10)
    below, above = prior.cdf(-50), prior.sf(0)
    assert f"has {below:.3g} below and {above:.3g} above" in matched.mismatch
    assert "asked were 0.05 below -50 and above 0 each" in str(matched)


def test_it_goes_straight_into_amounts_with_its_unit() -> None:
    drug = mk.elicit(-0.5, bound=-1.5, unit="sd")
    shift = mk.Shift(("w1", "w2"), {"drug": drug, "control": 0}, by="arm", of="model")
    assert shift == mk.Shift(("w1", "w2"), {"drug": drug.prior, "control": 0}, by="arm", of="model", unit="sd")
    assert mk.Scale("y", mk.elicit(0.8, bound=0.6, unit="factor")).amount.family == "normal"
    assert mk.OddsRatio("y", mk.elicit(0.7, bound=2, unit="log odds ratio")).amount.values[0] == 0.7
    assert drug.sentence == "about -0.5 sd, with probability 0.95 not below -1.5: normal(-0.5, 0.608) sd"


def test_percent_beyond_nothing_is_said_or_refused() -> None:
    assert "lies beyond -100 percent" in mk.elicit(-30, bound=-65, unit="percent").mismatch
    with pytest.raises(SpecError, match="beyond -100 percent, where nothing is left; say a narrower bound"):
        mk.elicit(-60, bound=-95, unit="percent")


REFUSED = {
    "unit": (lambda: mk.elicit(1, bound=2, unit="kg"), "unit= is one of 'sd', 'sd_observed', 'raw', 'percent'"),
    "neither": (lambda: mk.elicit(1, unit="sd"), r"give bound= \(one side\) or interval= \(both sides\)"),
    "both": (lambda: mk.elicit(1, bound=2, interval=(0, 2), unit="sd"), "one of the two"),
    "same": (lambda: mk.elicit(1, bound=1, unit="sd"), "the bound 1 is the best guess itself"),
    "outside": (lambda: mk.elicit(3, interval=(0, 2), unit="sd"), r"3 does not lie inside \(0, 2\)"),
    "sure": (lambda: mk.elicit(1, bound=2, unit="sd", sure=95), "a probability between 0.5 and 1, not 95"),
    "family": (lambda: mk.elicit(1, bound=2, unit="sd", family="gamma"), "'normal' or 'student_t', not 'gamma'"),
    "text": (lambda: mk.elicit("20%", bound=2, unit="sd"), "best= is a finite number, not '20%'"),
    "two units": (
        lambda: mk.Shift("y", mk.elicit(-20, bound=-40, unit="percent"), unit="sd"),
        "the shift of 'y' has amounts in percent and in sd; say all in one unit",
    ),
    "factor of a shift": (
        lambda: mk.Shift("y", mk.elicit(0.8, bound=0.6, unit="factor")),
        "'y' has the unit 'factor'; say unit= one of",
    ),
    "percent of a scale": (
        lambda: mk.Scale("y", mk.elicit(-20, bound=-40, unit="percent")),
        "the scale of 'y' has amounts in factor and in percent",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictions(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(SpecError, match=message) as caught:
        make()
    assert one_line(caught)
