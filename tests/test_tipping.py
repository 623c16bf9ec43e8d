"""tipping_point: roots against a loop over imputed tables, contours on the zero set, errors against repeated seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

import mnarkit as mk
from mnarkit.errors import DataError, SpecError
from tests.posteriors import difference, joint_fit, two_columns
from tests.test_sensitivity import belief

FIT = joint_fit()
M, SEED = 20, 4
WHAT = "y ~ x + arm"
TERM = "arm[T.placebo]"
WIDE = {"y": mk.Grid(-8, 12, unit="sd", where="arm == 'placebo'")}


def pooled(fit: mk.Fit, what: object, late: mk.PatternMixture, term: str, m: int = M, seed: int = SEED) -> pd.Series:
    imputations = mk.impute(fit, m, seed=seed, under=late)
    return mk.pool(mk.analyze(imputations, what)).to_frame().set_index("term").loc[term]


def gap(row: pd.Series, crosses: str, at: float) -> float:
    if crosses == "estimate":
        return row["estimate"] - at
    return min(abs(row["ci_low"] - at), abs(row["ci_high"] - at))


@pytest.mark.parametrize("crosses", ["estimate", "interval", "p"])
@pytest.mark.parametrize("at", [0.0, 1.5])
def test_a_crossing_is_one_in_tables_imputed_there(crosses, at):
    found = mk.tipping_point(FIT, WHAT, term=TERM, shift=WIDE, crosses=crosses, at=at, m=M, seed=SEED)
    assert len(found.crossings) == (1 if crosses == "estimate" else 2)
    for value in found.crossings.iloc[:, 0]:
        row = pooled(FIT, WHAT, belief(("y", value, "sd", "arm == 'placebo'")), TERM)
        assert gap(row, crosses, at) < 1e-10 * row["std_error"]
    away = found.crossings.iloc[:, 0].abs()
    assert away.is_monotonic_increasing
    assert found.value == found.crossings.iloc[0, 0]


def test_an_interval_and_p_cross_together():
    two = [
        mk.tipping_point(FIT, WHAT, term=TERM, shift=WIDE, crosses=c, level=0.9, m=M, seed=SEED)
        for c in ("interval", "p")
    ]
    assert two[0].value == pytest.approx(two[1].value, rel=1e-10)
    assert two[1].crossings["p_value"].iloc[0] == pytest.approx(0.1, rel=1e-8)


@pytest.mark.parametrize("what", ["v ~ y", "v ~ y + I(y**2)"])
@pytest.mark.filterwarnings("ignore::mnarkit.errors.CongenialityWarning")
def test_predictors_that_move_cross_too(what):
    here = mk.tipping_point(
        FIT,
        what,
        term="y",
        shift={"y": mk.Grid(0, 30, unit="raw")},
        crosses="estimate",
        at=-0.05,
        m=M,
        seed=SEED,
        scan=7,
    )
    for value in here.crossings.iloc[:, 0]:
        assert pooled(FIT, what, belief(("y", value, "raw", None)), "y")["estimate"] == pytest.approx(-0.05, abs=1e-8)
    assert len(here.crossings) or "No crossing" in str(here)


def test_any_function_crosses_by_its_own_curve():
    found = mk.tipping_point(
        FIT, difference, term="drug", shift=WIDE, crosses="estimate", at=48.0, m=5, seed=SEED, scan=5
    )
    assert found.crossings.empty  # the drug arm does not move
    shift = {"y": mk.Grid(-2, 2, unit="sd")}
    found = mk.tipping_point(FIT, difference, term="drug", shift=shift, crosses="estimate", at=48.0, m=5, seed=SEED)

    def g(value: float) -> float:
        return pooled(FIT, difference, belief(("y", value, "sd", None)), "drug", m=5)["estimate"] - 48.0

    assert found.value == pytest.approx(brentq(g, -2, 2, xtol=1e-12), abs=1e-8)


def test_an_event_crosses_where_its_steps_do():
    """An event is a step function of the shift: on both sides of the crossing the sign differs."""
    what = mk.Logistic("arm", event="y <= 50")
    found = mk.tipping_point(FIT, what, term=TERM, shift=WIDE, crosses="estimate", at=-0.5, m=M, seed=SEED)
    for value in found.crossings.iloc[:, 0]:
        sides = [
            pooled(FIT, what, belief(("y", value + e, "sd", "arm == 'placebo'")), TERM)["estimate"] + 0.5
            for e in (-1e-6, 1e-6)
        ]
        assert sides[0] * sides[1] <= 0
    assert len(found.crossings) >= 1


def test_the_monte_carlo_error_is_the_spread_over_seeds():
    """24 seeds: the sd has a relative error of about 15 %, the mean error a smaller one; 0.6 to 1.6 is 2.5 of these."""
    fit = joint_fit(two_columns(200, seed=3))
    found = [
        mk.tipping_point(fit, WHAT, term=TERM, shift=WIDE, crosses="interval", m=15, seed=seed) for seed in range(24)
    ]
    values = np.array([one.value for one in found])
    errors = np.array([one.mc_error for one in found])
    assert np.isfinite(values).all()
    assert 0.6 < errors.mean() / values.std(ddof=1) < 1.6


def test_a_contour_lies_on_the_zero_set_of_the_loop():
    shift = {"y": mk.Grid(-8, 12, unit="sd", by="arm")}
    found = mk.tipping_point(FIT, WHAT, term=TERM, shift=shift, crosses="interval", m=M, seed=SEED, scan=15)
    assert len(found.segments) > 10
    for drug, placebo in found.segments[:: len(found.segments) // 5].reshape(-1, 2):
        late = belief(("y", drug, "sd", "arm == 'drug'"), ("y", placebo, "sd", "arm == 'placebo'"))
        row = pooled(FIT, WHAT, late, TERM)
        assert gap(row, "interval", 0.0) < 1e-9 * row["std_error"]
    line = mk.tipping_point(FIT, WHAT, term=TERM, shift=WIDE, crosses="interval", m=M, seed=SEED)
    nearest = found.crossings.iloc[0]
    assert np.hypot(*nearest.iloc[:2]) <= abs(line.value) + 1e-9  # along one axis is one of its points
    assert abs(nearest["ci_low"]) < 1e-9 or abs(nearest["ci_high"]) < 1e-9
    assert nearest["mc_error"] > 0
    assert "pieces in .segments" in str(found)


def test_pieces_of_a_contour_hang_together():
    """Every end that is not at the border of the range belongs to two pieces."""
    shift = {"y": mk.Grid(-8, 12, unit="sd", by="arm")}
    found = mk.tipping_point(FIT, WHAT, term=TERM, shift=shift, crosses="interval", m=M, seed=SEED, scan=15)
    ends, count = np.unique(found.segments.reshape(-1, 2).round(9), axis=0, return_counts=True)
    inside = ((ends > -8) & (ends < 12)).all(axis=1)
    assert (count[inside] == 2).all()


def test_no_crossing_is_said_with_the_range_and_its_ends():
    found = mk.tipping_point(
        FIT, WHAT, term="x", shift={"y": mk.Grid(-1, 1, unit="sd")}, crosses="estimate", m=M, seed=SEED
    )
    assert found.to_frame().empty
    assert np.isnan(found.value)
    assert np.isnan(found.mc_error)
    text = str(found)
    assert "No crossing  in the range searched" in text
    for end in (-1, 1):
        row = pooled(FIT, WHAT, belief(("y", end, "sd", None)), "x")
        assert f"shift_y = {end}: estimate {row['estimate']:.4g} [{row['ci_low']:.4g}" in text
    both = {"y": mk.Grid(-1, 1, unit="sd", by="arm")}
    assert (
        str(mk.tipping_point(FIT, WHAT, term="x", shift=both, crosses="estimate", m=M, seed=SEED)).count("At its end")
        == 4
    )


def test_how_large_a_crossing_is():
    found = mk.tipping_point(FIT, WHAT, term=TERM, shift=WIDE, crosses="estimate", m=M, seed=SEED)
    row = found.plausibility.iloc[0]
    table = two_columns()
    recorded = table["y"].dropna()
    moved = table["y"].isna() & (table["arm"] == "placebo")
    assert row["cells"] == moved.sum()
    assert row["in_sd"] == pytest.approx(found.value, rel=0.05)  # 60 draws of the sd, of which 20 are used
    assert row["raw"] == pytest.approx(row["in_sd_observed"] * recorded.std())
    assert row["of_range"] == pytest.approx(row["raw"] / (recorded.max() - recorded.min()))
    x = np.column_stack([np.ones(len(table)), table["x"], table["arm"] == "placebo"]).astype(float)[table["y"].notna()]
    fitted = x @ np.linalg.lstsq(x, recorded.to_numpy())[0]
    assert row["of_explained"] == pytest.approx(row["raw"] / fitted.std(ddof=1))
    assert row["r_squared"] == pytest.approx(np.corrcoef(fitted, recorded)[0, 1] ** 2)
    imputed = pd.concat(mk.impute(FIT, M, seed=SEED, under=belief(("y", found.value, "sd", "arm == 'placebo'"))))
    there = imputed.loc[np.tile(moved.to_numpy(), M), "y"]
    assert row["mean_there"] == pytest.approx(there.mean())
    assert row["outside"] == pytest.approx(np.mean((there < recorded.min()) | (there > recorded.max())))
    assert "times what the predictors explain" in str(found)


BAD = {
    r"'y ~ x \+ arm' has no term 'arm'; its terms are 'Intercept', 'x', 'arm\[T.placebo\]'": {"term": "arm"},
    r"crosses= is 'estimate', 'interval' or 'p', not 'ci'": {"crosses": "ci"},
    r"at= is the number that is reached, not None": {"at": None},
    r"scan= is a whole number of at least 3, not 1": {"scan": 1},
    r"is a coefficient: take mk.sensitivity": {"shift": {"missing(y) ~ y": mk.Grid(-1, 1, unit="sd")}},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_gets_one_line(message):
    given = {"term": TERM, "shift": WIDE, "m": M, "seed": SEED, **BAD[message]}
    with pytest.raises((SpecError, DataError), match=message) as refused:
        mk.tipping_point(FIT, WHAT, **given)
    assert "\n" not in str(refused.value)
