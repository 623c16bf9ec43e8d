"""A selection model and its pattern mixture are one joint distribution: a published table, and the normal."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import mnarkit as mk
from mnarkit.errors import SpecError
from mnarkit.normal.translate import join_patterns, split_by_missing
from tests.refs import refs


def test_blood_pressures_of_a_textbook_both_ways() -> None:
    """van Buuren (2018), Table 3.6: probabilities as printed, to three decimals; means 150.00, 151.58, 138.60."""
    table = pd.read_csv(refs("fimd_selection_pmm_table") / "data.csv")
    y, p, missing = table["Y"], table["PY"].to_numpy(), 1 - table["PR1_given_Y"].to_numpy()
    seen, unseen, share = split_by_missing(p, missing)
    np.testing.assert_allclose(seen, table["PY_given_R1"], atol=5.001e-4)
    np.testing.assert_allclose(unseen, table["PY_given_R0"], atol=5.001e-4)
    assert share == pytest.approx(1 - 0.8784, abs=5e-5)
    assert (p @ y, seen @ y, unseen @ y) == pytest.approx((150.0, 151.5779, 138.6020), abs=5e-5)
    back, selection = join_patterns(seen, unseen, share)
    np.testing.assert_allclose(back, p, atol=1e-15)
    np.testing.assert_allclose(selection, missing, atol=1e-14)


@pytest.mark.parametrize("link", ["probit", "logit"])
@pytest.mark.parametrize(("mean", "sd", "a", "b"), [(0, 1, -0.5, 1), (10, 2, 3, -0.4), (-1, 0.5, 0.2, 0)])
def test_moments_of_the_unseen_equal_quadrature(link: str, mean: float, sd: float, a: float, b: float) -> None:
    made = mk.shift_of_selection(mean, sd, a, b, link=link)
    inverse = stats.norm.cdf if link == "probit" else stats.logistic.cdf

    def moment(k: int, *, missing: bool) -> float:
        def f(y: float) -> float:
            p = inverse(a + b * y)
            return y**k * stats.norm.pdf(y, mean, sd) * (p if missing else 1 - p)

        return integrate.quad(f, mean - 12 * sd, mean + 12 * sd, epsabs=1e-12, limit=200)[0]

    share = moment(0, missing=True)
    unseen, seen = moment(1, missing=True) / share, moment(1, missing=False) / (1 - share)
    spread = [np.sqrt(moment(2, missing=m) / w - c**2) for m, w, c in ((True, share, unseen), (False, 1 - share, seen))]
    expected = (share, seen, unseen, spread[1], spread[0], unseen - seen, (unseen - seen) / sd)
    found = (made.share, made.mean_seen, made.mean_unseen, made.sd_seen, made.sd_unseen, made.shift, made.shift_sd)
    assert found == pytest.approx(expected, abs=1e-7)  # eight probits are good to 3e-9 each


def test_a_shift_as_a_logit_selection_is_bayes_rule() -> None:
    a, b = mk.selection_of_shift(10.0, 2.0, -1.5, 0.3)
    y = np.linspace(0, 20, 9)
    unseen, seen = 0.3 * stats.norm.pdf(y, 8.5, 2), 0.7 * stats.norm.pdf(y, 10, 2)
    np.testing.assert_allclose(stats.logistic.cdf(a + b * y), unseen / (unseen + seen), rtol=1e-12)


def test_translation_there_and_back_is_near_where_the_shift_is_small() -> None:
    """A logit selection on a normal has nearly a shift of slope sd²: both sds stay near one another."""
    there = mk.shift_of_selection(0.0, 1.0, -0.5, 0.2, link="logit")
    a, b = mk.selection_of_shift(there.mean_seen, 1.0, there.shift, there.share)
    assert (a, b) == pytest.approx((-0.5, 0.2), abs=0.005)  # of the order of slope³


def test_what_has_no_translation() -> None:
    with pytest.raises(SpecError, match="link of a selection model is"):
        mk.shift_of_selection(0, 1, 0, 1, link="cauchit")
    with pytest.raises(SpecError, match="sd is a number above 0"):
        mk.shift_of_selection(0, 0, 0, 1)
    with pytest.raises(SpecError, match=r"share is P\(missing\), inside \(0, 1\), not 1"):
        mk.selection_of_shift(0, 1, 1, 1)
