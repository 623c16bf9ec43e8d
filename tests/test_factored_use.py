"""Factored models from spec to completed tables, and what is refused before the work."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import ConvergenceWarning, DataError, SpecError
from mnarkit.factored.check import check_factored
from mnarkit.factored.draw import draw_unseen
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.fit import Fit

R = mk.Regression


def table(n: int = 400, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "y": pd.array(rng.random(n) < special.expit(x), dtype="boolean"),
            "visits": pd.array(rng.poisson(2, n), dtype="Int64"),
            "grade": pd.Categorical.from_codes(rng.integers(0, 3, n), ["low", "mid", "high"], ordered=True),
            "cost": rng.gamma(2, 1, n),
            "x": x,
        }
    )
    for column in ("y", "visits", "grade", "cost"):
        frame.loc[rng.random(n) < 0.3, column] = None
    return frame


TABLE = table()


def fit_at(spec: mk.Spec, frame: pd.DataFrame, draws: int = 400, **values: object) -> Fit:
    """A fit all of whose draws are the same."""
    names = {
        k: (("chain", "draw", *[f"{k}_{i}" for i in range(np.ndim(v))]), np.broadcast_to(v, (1, draws, *np.shape(v))))
        for k, v in values.items()
    }
    return Fit(spec, IncompleteData.of(frame), xr.DataTree.from_dict({"posterior": xr.Dataset(names)}), 1)


def test_imputations_of_a_discrete_leaf_have_its_probabilities_and_its_dtype():
    spec = mk.Spec(R("y ~ x", "bernoulli"))
    imps = mk.impute(fit_at(spec, TABLE, coef_y=[0.2, 1.0]), m=400, seed=3)
    assert imps[0]["y"].dtype == "boolean"
    assert not imps[0]["y"].isna().any()
    p = special.expit(0.2 + TABLE["x"].to_numpy()[TABLE["y"].isna()])
    drawn = imps.cells["y"].astype(float).mean(axis=0)
    # a mean of 400 draws: within 5 standard errors in each of about 120 cells
    assert np.abs((drawn - p) / np.sqrt(p * (1 - p) / 400)).max() < 5


def test_counts_and_ordered_levels_keep_their_dtypes():
    spec = mk.Spec(mk.Regressions(R("visits ~ x", "poisson"), R("grade ~ x", "ordinal"), R("cost ~ x", "gamma")))
    fit = fit_at(
        spec,
        TABLE,
        coef_visits=[0.5, 0.1],
        coef_grade=[0.5],
        cutpoints_grade=[-1.0, 1.0],
        coef_cost=[0.5, 0.1],
        cv_cost=0.7,
    )
    done = mk.impute(fit, m=2, seed=1)[1]
    assert done["visits"].dtype == "Int64"
    assert done["grade"].cat.categories.tolist() == ["low", "mid", "high"]
    assert not done[["visits", "grade", "cost"]].isna().any().any()
    seen = TABLE["cost"].notna()
    assert (done.loc[seen, "cost"] == TABLE.loc[seen, "cost"]).all()


def test_a_summed_value_is_drawn_from_bayes_theorem():
    frame = TABLE.assign(y=TABLE["y"].astype("Float64"))
    spec = mk.Spec(R("y ~ x", "bernoulli"), mk.Selection("missing(y) ~ y", link="logit"))
    data = IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    par = {"coef_y": np.array([0.2, 1.0]), "missing_y": np.array([-1.0, 2.0])}
    rng = np.random.default_rng(1)
    none = [np.zeros(0)]
    holes = frame["y"].isna().to_numpy()
    drawn = np.mean([draw_unseen(layout, par, none, rng)[0][holes, 0] for _ in range(400)], axis=0)
    prior = special.expit(0.2 + frame["x"].to_numpy()[holes])
    one, zero = prior * special.expit(1.0), (1 - prior) * special.expit(-1.0)
    p = one / (one + zero)
    assert np.abs((drawn - p) / np.sqrt(p * (1 - p) / 400)).max() < 5


def test_an_odds_ratio_multiplies_the_odds_of_a_leaf():
    spec = mk.Spec(R("y ~ x", "bernoulli"))
    late = mk.PatternMixture(mk.OddsRatio("y", 3.0))
    imps = mk.impute(fit_at(spec, TABLE, coef_y=[0.2, 1.0]), m=400, seed=3, under=late)
    p = special.expit(np.log(3) + 0.2 + TABLE["x"].to_numpy()[TABLE["y"].isna()])
    drawn = imps.cells["y"].astype(float).mean(axis=0)
    assert np.abs((drawn - p) / np.sqrt(p * (1 - p) / 400)).max() < 5


def test_a_late_shift_moves_each_cell_by_its_own_conditional_sd():
    spec = mk.Spec(R("cost ~ x", "gamma"))
    fit = fit_at(spec, TABLE, coef_cost=[0.5, 0.1], cv_cost=0.7)
    plain, moved = (
        mk.impute(fit, m=3, seed=4, under=u) for u in (None, mk.PatternMixture(mk.Shift("cost", 0.5, unit="sd")))
    )
    sd = 0.7 * np.exp(0.5 + 0.1 * TABLE["x"].to_numpy()[TABLE["cost"].isna()])
    np.testing.assert_allclose(moved.cells["cost"] - plain.cells["cost"], np.broadcast_to(0.5 * sd, (3, len(sd))))


def test_sampling_says_what_became_of_the_unseen_cells_and_saves_and_loads(tmp_path):
    spec = mk.Spec(mk.Regressions(R("visits ~ y + cost", "poisson"), R("y ~ x", "bernoulli"), R("cost ~ x", "gamma")))
    with pytest.warns(ConvergenceWarning):  # few draws, on purpose: R-hat and effective sample size
        fit = mk.sample(spec, TABLE.head(120), draws=20, tune=30, chains=2, seed=1, progress=False)
    assert "y marginal, summed over its 2 levels" in fit.notes[0]
    assert "cost latent, sampled beside the parameters" in fit.notes[0]
    assert "visits marginal, left out, being read by nothing else that is known, and drawn afterwards" in fit.notes[0]
    assert fit.draws["posterior"]["coef_visits"].dims == ("chain", "draw", "visits_term")
    assert set(fit.draws["latent"].data_vars) == {"cost_missing"}
    again = mk.load_fit(fit.save(tmp_path / "run"))
    first, second = (mk.impute(f, m=2, seed=1)[1] for f in (fit, again))
    pd.testing.assert_frame_equal(first, second)


BAD = [
    (
        mk.Spec(R("visits ~ x", "poisson")),
        {"visits": -1.0},
        DataError,
        r"'visits' has 1 negative counts; poisson takes 0",
    ),
    (mk.Spec(R("visits ~ x", "poisson")), {"visits": 1.5}, DataError, "1 recorded values that poisson cannot have"),
    (mk.Spec(R("cost ~ x", "gamma")), {"cost": 0.0}, DataError, "'cost' has 1 recorded values that gamma cannot have"),
    (mk.Spec(R("cost ~ x", "beta")), {}, DataError, r"values inside \(0, 1\); widen them with bounds"),
    (mk.Spec(R("visits ~ x", "bernoulli")), {}, DataError, "bernoulli takes 0 and 1, true and false, or text with two"),
    (
        mk.Spec(R("x ~ cost", "student_t")),
        {},
        SpecError,
        r"'cost' in 'x ~ cost' has \d+ holes and no model; add Regression",
    ),
    (
        mk.Spec(mk.Regressions(R("x ~ scale(cost)"), R("cost ~ 1", "gamma"))),
        {},
        SpecError,
        "which needs every value of 'cost'",
    ),
    (
        mk.Spec(mk.Regressions(R("x ~ log(cost)"), R("cost ~ 1"))),
        {},
        SpecError,
        "give 'cost' the family lognormal or gamma",
    ),
    (
        mk.Spec(mk.Regressions(R("x ~ C(visits)"), R("visits ~ 1", "poisson"))),
        {},
        SpecError,
        "takes the values of 'visits' as",
    ),
    (mk.Spec(R("cost ~ x", "gamma"), mk.Heckman("recorded(cost) ~ x")), {}, SpecError, "Heckman needs jointly normal"),
    (
        mk.Spec(R("cost ~ x", "gamma"), mk.PatternMixture(mk.Shift("cost", 1, unit="raw", of="model"))),
        {},
        SpecError,
        "apply it late with of='prediction'",
    ),
    (mk.Spec(R("y ~ x", "bernoulli"), mk.PatternMixture(mk.Shift("y", 1, unit="raw"))), {}, SpecError, "use OddsRatio"),
    (mk.Spec(R("x ~ 1", "student_t"), mk.Selection("missing(x) ~ x")), {}, SpecError, "no hole in 'x'"),
]


@pytest.mark.parametrize(("spec", "cell", "kind", "message"), BAD, ids=range(len(BAD)))
def test_what_does_not_fit_is_refused_with_one_line(spec, cell, kind, message):
    frame = TABLE.assign(visits=TABLE["visits"].astype("Float64"))
    for column, value in cell.items():
        frame.loc[frame[column].first_valid_index(), column] = value
    with pytest.raises(kind, match=message) as caught:
        check_factored(spec, IncompleteData.of(frame))
    assert "\n" not in str(caught.value)


def test_a_level_that_is_never_recorded_is_refused():
    frame = TABLE.assign(grade=TABLE["grade"].cat.add_categories(["top"]))
    with pytest.raises(DataError, match="declares the level 'top', recorded in 0 rows"):
        check_factored(mk.Spec(R("grade ~ x", "ordinal")), IncompleteData.of(frame))


def test_em_says_what_to_use_instead():
    with pytest.raises(SpecError, match=r"mk.em maximises .* cost is gamma; use mk.sample"):
        mk.em(mk.Spec(R("cost ~ x", "gamma")), TABLE)
