"""Amounts by wave and by group, cumulative, carried, with correlated priors; odds ratios."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.build.model import build_parts
from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.normal.amounts import carry_slopes
from mnarkit.normal.declared import amounts_of, draw_amounts, since_dropout
from mnarkit.odds import multiply_odds
from mnarkit.spec import files
from tests.test_build import PYTHON
from tests.test_impute import made, one_line, values

WAVES = ("w1", "w2", "w3", "w4")
MODEL = mk.MvNormal(*WAVES, given="arm")
COV = 4 * np.array([[1, 0.7, 0.5, 0.3], [0.7, 1, 0.7, 0.5], [0.5, 0.7, 1, 0.7], [0.3, 0.5, 0.7, 1]])


def trial(n: int = 24) -> pd.DataFrame:
    """Four waves, an arm; dropout after each wave, a row with an intermittent hole, one with nothing seen."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.multivariate_normal([20, 19, 18, 17], COV, n), columns=list(WAVES))
    frame["arm"] = np.where(np.arange(n) % 2 == 0, "drug", "control")
    for row in range(n):
        frame.iloc[row, 1 + row % 4 : 4] = np.nan
    frame.loc[3] = [np.nan, 19.0, 18.0, np.nan, "control"]
    frame.loc[7, "w2"] = np.nan
    frame.loc[4, list(WAVES)] = np.nan
    return frame


TRIAL = trial()
DRUG = (TRIAL["arm"] == "drug").to_numpy()
HOLES = TRIAL[list(WAVES)].isna().to_numpy()


def fitted(*beliefs: mk.PatternMixture, frame: pd.DataFrame = TRIAL, **more: object) -> mk.Fit:
    sd = np.sqrt(np.diag(COV))
    known = {"coef": [[20.0, 1], [19, 1], [18, 1], [17, 1]], "sd": sd, "corr": COV / np.outer(sd, sd)}
    return made(mk.Spec(MODEL, *beliefs), frame, vary=0.02, **known, **more)


def difference(*late: mk.Shift | mk.Scale, m: int = 4) -> np.ndarray:
    """(m, n, 4): what late amounts add."""
    fit = fitted()
    plain, moved = mk.impute(fit, m, seed=3), mk.impute(fit, m, seed=3, under=mk.PatternMixture(*late))
    return np.stack([values(moved, c) - values(plain, c) for c in WAVES], axis=2)


# Which cells, and by how much


def test_visits_since_dropout() -> None:
    seen = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]], dtype=bool)
    expected = [[0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1], [1, 2, 3, 4], [0, 0, 0, 0]]
    np.testing.assert_array_equal(since_dropout(seen), expected)


def test_several_columns_by_group() -> None:
    moved = difference(mk.Shift(WAVES, {"drug": -3, "control": 0.5}, unit="raw", by="arm"))
    expected = np.where(HOLES, np.where(DRUG, -3.0, 0.5)[:, None], 0.0)
    np.testing.assert_allclose(moved, np.broadcast_to(expected, moved.shape), atol=1e-12)


def test_one_amount_a_wave_by_position_and_by_name() -> None:
    each = (1.0, 2.0, 4.0, 8.0)
    moved = difference(mk.Shift(WAVES, each, unit="raw"))
    np.testing.assert_allclose(moved, np.broadcast_to(np.where(HOLES, each, 0.0), moved.shape), atol=1e-12)
    by_name = mk.Shift(WAVES, {"w4": 8, "w1": 1, "w2": 2, "w3": 4}, unit="raw")
    assert by_name == mk.Shift(WAVES, each, unit="raw")


def test_cumulative_amounts_are_those_of_rbmi() -> None:
    """rbmi's example of `delta_template`, delta = 5, 6, 7, 8 and first affected visit 2, with dlag = 1, 1, 1, 1."""
    row = TRIAL.index[(HOLES == [False, True, True, True]).all(axis=1)][0]
    by_wave = difference(mk.Shift(WAVES, (5, 6, 7, 8), unit="raw", cumulative=True))
    np.testing.assert_allclose(by_wave[0, row], [0, 6, 13, 21], atol=1e-12)
    constant = difference(mk.Shift(WAVES, 5, unit="raw", cumulative=True))
    np.testing.assert_allclose(constant[0], 5 * since_dropout(~HOLES), atol=1e-12)
    assert constant[0, 7, 1] == 0  # a hole before dropout


def test_cumulative_factors_multiply() -> None:
    fit = fitted()
    late = mk.PatternMixture(mk.Scale(WAVES, (0.9, 0.8, 0.5, 2.0), cumulative=True))
    plain, moved = mk.impute(fit, 2, seed=3), mk.impute(fit, 2, seed=3, under=late)
    row = TRIAL.index[(HOLES == [False, False, True, True]).all(axis=1)][0]
    for wave, factor in {"w3": 0.5, "w4": 1.0}.items():
        assert values(moved, wave)[0, row] == pytest.approx(factor * values(plain, wave)[0, row], rel=1e-12)


def test_where_and_by_stand_together() -> None:
    frame = TRIAL.assign(old=np.arange(len(TRIAL)) % 3 == 0)
    fit = fitted(frame=frame)
    late = mk.PatternMixture(mk.Shift("w4", {"drug": 1, "control": 2}, unit="raw", by="arm", where="old"))
    plain, moved = mk.impute(fit, 1, seed=3), mk.impute(fit, 1, seed=3, under=late)
    expected = np.where(HOLES[:, 3] & frame["old"], np.where(DRUG, 1.0, 2.0), 0.0)
    np.testing.assert_allclose((values(moved, "w4") - values(plain, "w4"))[0], expected, atol=1e-12)


# Carried or added at the end


def test_a_carried_shift_is_that_of_drawing_cells_one_after_another() -> None:
    """Each hole drawn given what is seen and the moved holes before it, with the same noise, in plain NumPy."""
    rng = np.random.default_rng(2)
    mean, seen = np.array([20.0, 19, 18, 17]), np.array([False, True, False, False])
    delta = np.array([1.5, 0.0, -2.0, 0.7])

    def drawn(shift: np.ndarray, noise: np.ndarray) -> np.ndarray:
        y = np.array([np.nan, 21.0, np.nan, np.nan])
        for j in np.flatnonzero(~seen):
            given = np.flatnonzero(~np.isnan(y))
            slope = np.linalg.solve(COV[np.ix_(given, given)], COV[given, j])
            spread = np.sqrt(COV[j, j] - slope @ COV[given, j])
            y[j] = mean[j] + slope @ (y[given] - mean[given]) + spread * noise[j] + shift[j]
        return y

    noise = rng.normal(size=4)
    expected = drawn(delta, noise) - drawn(np.zeros(4), noise)
    moved = delta.copy()
    for j in np.flatnonzero(~seen):
        later, slopes = carry_slopes(COV, seen, j)
        moved[later] += slopes * delta[j]  # of what is added to cell j itself, not of what was carried to it
    np.testing.assert_allclose(moved, expected, atol=1e-12)


def test_carry_through_impute() -> None:
    shift = mk.Shift(("w2", "w3"), (-1.0, 0.5), unit="raw", carry=True)
    moved, ended = difference(shift), difference(mk.Shift(("w2", "w3"), (-1.0, 0.5), unit="raw"))
    fit = fitted()
    row = TRIAL.index[(HOLES == [False, True, True, True]).all(axis=1)][0]
    from_draw = np.stack([np.outer(s, s) * fit.draws["posterior"]["corr"].values[0, 0] for s in [_first(fit, "sd")]])[0]
    slope = np.linalg.solve(from_draw[:2, :2], from_draw[:2, 2:])[1]  # of w3 and w4 on w2, given w1
    last = np.linalg.solve(from_draw[:3, :3], from_draw[:3, 3])[2]
    w3 = -slope[0] + 0.5
    # w4 moves with w2 directly, given w3, and with w3
    direct = np.linalg.solve(from_draw[:3, :3], from_draw[:3, 3])[1]
    np.testing.assert_allclose(moved[0, row], [0, -1, w3, -direct + last * w3], atol=1e-10)
    np.testing.assert_allclose(ended[0, row], [0, -1, 0.5, 0], atol=1e-12)
    np.testing.assert_array_equal(moved[:, ~HOLES], 0)


def _first(fit: mk.Fit, name: str) -> np.ndarray:
    return fit.draws["posterior"][name].values[0, 0]


def test_a_carried_scale_moves_the_later_cells_by_what_it_adds() -> None:
    fit = fitted()
    late = mk.PatternMixture(mk.Scale("w3", 0.5, carry=True))
    plain, moved = mk.impute(fit, 1, seed=3), mk.impute(fit, 1, seed=3, under=late)
    row = TRIAL.index[(HOLES == [False, False, True, True]).all(axis=1)][0]
    added = -0.5 * values(plain, "w3")[0, row]
    cov = np.outer(_first(fit, "sd"), _first(fit, "sd")) * _first(fit, "corr")
    slope = np.linalg.solve(cov[:3, :3], cov[:3, 3])[2]
    assert values(moved, "w4")[0, row] - values(plain, "w4")[0, row] == pytest.approx(slope * added, abs=1e-10)


def test_em_adds_carried_and_cumulative_amounts_to_expectations() -> None:
    data = mk.load_dataset("depression")
    visits = ("bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m")
    model = mk.MvNormal(*visits, given="treatment + bdi_pre")
    plain = mk.em(mk.Spec(model), data)
    late = mk.em(mk.Spec(model, mk.PatternMixture(mk.Shift(visits, 1, unit="raw", cumulative=True))), data)
    seen = data[list(visits)].notna().to_numpy()
    added = late.expected()[list(visits)].to_numpy() - plain.expected()[list(visits)].to_numpy()
    np.testing.assert_allclose(added, since_dropout(seen), atol=1e-8)
    carry = mk.em(mk.Spec(model, mk.PatternMixture(mk.Shift("bdi_2m", 1, unit="raw", carry=True))), data)
    assert any("Shift bdi_2m by 1 raw" in note and "carried" in note for note in carry.notes)


def test_a_shift_leaves_what_was_recorded_after_an_event_as_it_is() -> None:
    frame = TRIAL.assign(left=np.where(TRIAL["w2"].notna() & DRUG, "w2", ""))
    reference = mk.Reference("J2R", arm="arm", control="control", event="left")
    shift = mk.PatternMixture(mk.Shift(("w2", "w3", "w4"), 5, unit="raw"))
    plain, moved = (fitted(reference, *more, frame=frame) for more in ((), (shift,)))
    for wave in ("w2", "w3", "w4"):
        before, after = values(mk.impute(plain, 2, seed=1), wave), values(mk.impute(moved, 2, seed=1), wave)
        np.testing.assert_allclose(after - before, np.broadcast_to(5.0 * frame[wave].isna(), before.shape), atol=1e-12)


# Priors


def test_correlated_priors_of_late_amounts() -> None:
    priors = {"drug": mk.Prior("normal", -1, 0.5), "control": mk.Prior("normal", 0.3, 2)}
    late = mk.Spec(MODEL, mk.PatternMixture(mk.Shift(WAVES, priors, unit="raw", by="arm", corr=0.7)))
    amounts = amounts_of(late, IncompleteData.of(TRIAL), (1.0,) * 4)
    assert {a.name for a in amounts} == {"shift_w1_to_w4_drug", "shift_w1_to_w4_control"}
    rng, n = np.random.default_rng(1), 4000
    drawn = [draw_amounts(amounts, rng) for _ in range(n)]
    pairs = np.array([[d["shift_w1_to_w4_drug"], d["shift_w1_to_w4_control"]] for d in drawn])
    np.testing.assert_allclose(pairs.mean(axis=0), [-1, 0.3], atol=5 * 2 / np.sqrt(n))  # five standard errors
    np.testing.assert_allclose(pairs.std(axis=0), [0.5, 2], rtol=5 / np.sqrt(2 * n))
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.7, abs=5 * (1 - 0.49) / np.sqrt(n))


def test_a_prior_is_one_value_for_all_its_columns() -> None:
    late = mk.Shift(WAVES, mk.Prior("normal", 0, 3), unit="raw")
    moved = difference(late)
    each = [np.unique(np.round(one[HOLES], 9)) for one in moved]
    assert [len(e) for e in each] == [1] * 4
    assert len(np.unique(each)) == 4


def test_correlated_priors_inside_the_model_have_the_bivariate_normal_density() -> None:
    """The model's density of (shift_drug, shift_placebo), by a change of variables, is SciPy's bivariate normal."""
    priors = {"drug": mk.Prior("normal", -1, 0.5), "control": mk.Prior("normal", 0.3, 2)}
    spec = mk.Spec(MODEL, mk.PatternMixture(mk.Shift("w4", priors, unit="raw", of="model", by="arm", corr=0.7)))
    model = build_parts(spec, IncompleteData.of(TRIAL)).model
    free = model["shift_w4_drug_z"]
    wanted = [model["shift_w4_drug"], model["shift_w4_control"]]
    values_of = model.compile_fn(
        [*model.replace_rvs_by_values(wanted), model.logp(vars=[free])],
        inputs=model.value_vars,
        mode=PYTHON,
        point_fn=False,
        on_unused_input="ignore",
    )
    cov = np.array([[0.25, 0.7 * 0.5 * 2], [0.7 * 0.5 * 2, 4.0]])
    for z in np.random.default_rng(3).normal(size=(3, 2)):
        point = model.initial_point() | {free.name: z}
        drug, control, logp = values_of(*(point[v.name] for v in model.value_vars))
        expected = stats.multivariate_normal([-1, 0.3], cov).logpdf([drug, control])
        # PyMC has constants in single precision
        assert logp - 0.5 * np.log(np.linalg.det(cov)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")  # few rows, few draws
def test_correlated_priors_applied_when_imputing_are_drawn_by_sample() -> None:
    priors = {"drug": mk.Prior("normal", -1, 0.5), "control": mk.Prior("normal", 0.3, 2)}
    late = mk.PatternMixture(mk.Shift("w4", priors, unit="raw", by="arm", corr=0.7))
    fit = mk.sample(mk.Spec(mk.Regression("w4 ~ 1"), late), TRIAL, draws=500, chains=2, seed=1, progress=False)
    drug, control = (fit.draws["posterior"][f"shift_w4_{arm}"].values.ravel() for arm in ("drug", "control"))
    # nothing informs them: independent draws are nearly what NUTS gives of a standard normal
    assert np.corrcoef(drug, control)[0, 1] == pytest.approx(0.7, abs=5 * 0.51 / np.sqrt(300))
    assert drug.mean() == pytest.approx(-1, abs=5 * 0.5 / np.sqrt(300))
    assert control.std() == pytest.approx(2, rel=5 / np.sqrt(2 * 300))


# What is declared, said and refused


def test_printing_says_groups_waves_carrying_and_what_it_is_relative_to() -> None:
    text = str(
        mk.Spec(
            MODEL,
            mk.PatternMixture(
                mk.Shift(("w3", "w4"), {"drug": (-1, -2), "control": 0}, unit="raw", by="arm", carry=True),
                mk.Shift(WAVES, -0.1, unit="sd", cumulative=True),
            ),
        )
    )
    assert "Shift w3, w4 by -1 at w3, -2 at w4 for arm = 'drug' and 0 for arm = 'control' raw" in text
    assert "carried to later cells of the row" in text
    assert "cumulative over the waves since dropout, holes before it as they are" in text
    assert "relative to what is drawn given all that is seen of the row" in text
    inside = mk.PatternMixture(mk.Shift("w4", 1, unit="raw", of="model"))
    assert "relative to the regression on its predictors where it is recorded" in inside.assumption


REFUSED = {
    "level without amount": (
        lambda: mk.Shift("w4", {"drug": 1}, unit="raw", by="arm"),
        r"\d+ holes of w4 are where arm is 'control', for which .* has no amount; give every level with holes one",
    ),
    "amount without level": (
        lambda: mk.Shift("w4", {"drug": 1, "control": 0, "placebo": 0}, unit="raw", by="arm"),
        "'placebo' is no level of 'arm', for which .* has an amount; its levels are 'drug', 'control'",
    ),
    "no such group": (
        lambda: mk.Shift("w4", {"drug": 1}, unit="raw", by="team"),
        "'team'",
    ),
    "waves out of order": (
        lambda: mk.Shift(("w3", "w2"), 1, unit="raw", cumulative=True),
        "counts waves in the order w3, w2, and the data model has w2, w3",
    ),
    "waves left out": (
        lambda: mk.Shift(("w1", "w4"), 1, unit="raw", cumulative=True),
        "the data model has w1, w2, w3, w4; name the waves in that order, none left out",
    ),
    "odds of a number": (
        lambda: mk.OddsRatio("w4", 2),
        "is about odds, and 'w4' is not modelled as binary or ordinal; use Shift",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_amounts_that_do_not_fit_the_table(name: str) -> None:
    make, message = REFUSED[name]
    late = mk.PatternMixture(make())
    with pytest.raises(SpecError, match=message) as caught:
        mk.impute(fitted(), 1, seed=1, under=late)
    assert one_line(caught)
    with pytest.raises(SpecError, match=message):
        mk.em(mk.Spec(MODEL, late), TRIAL)


DECLARED = {
    "by without amounts": (lambda: mk.Shift("y", 1, unit="sd", by="arm"), "amount= says one for each of its levels"),
    "level twice": (
        lambda: mk.Shift("y", (("a", 1), ("a", 2)), unit="sd", by="arm"),
        "2 amounts for arm = 'a'; give one",
    ),
    "too few waves": (lambda: mk.Shift(WAVES, (1, 2), unit="sd"), "has 2 amounts for 4 columns"),
    "other waves": (lambda: mk.Shift(WAVES, {"w1": 1}, unit="sd"), "give one for each of 'w1', 'w2', 'w3', 'w4'"),
    "column twice": (lambda: mk.Shift(("y", "y"), 1, unit="sd"), "names 'y' 2 times"),
    "one wave": (lambda: mk.Shift("y", 1, unit="sd", cumulative=True), "is cumulative over waves, and names one"),
    "not cumulative": (lambda: mk.Shift(WAVES, 1, unit="sd", cumulative=1), "cumulative= is True or False, not 1"),
    "carry inside": (
        lambda: mk.Shift("y", 1, unit="sd", of="model", carry=True),
        "carry= is about of='prediction'",
    ),
    "corr of one": (
        lambda: mk.Shift("y", mk.Prior("normal", 0, 1), unit="sd", corr=0.5),
        "corr= is the correlation between the normal priors of two or more amounts .* here are 1 priors",
    ),
    "corr of others": (
        lambda: mk.Shift(WAVES, [mk.Prior("uniform", 0, 1)] * 4, unit="sd", corr=0.5),
        r"here are 4 priors \(uniform\)",
    ),
    "corr too low": (
        lambda: mk.Shift(WAVES, [mk.Prior("normal", 0, 1)] * 4, unit="sd", corr=-0.4),
        r"corr= between 4 amounts lies inside \(-0.333, 1\), not -0.4",
    ),
    "cumulative scale inside": (
        lambda: mk.Scale(WAVES, 2, of="model", cumulative=True),
        "cumulative factors do not stand inside the model",
    ),
    "factor of a group": (lambda: mk.Scale("y", {"a": 1, "b": -1}, by="arm"), "a factor above 0, not -1"),
    "odds": (lambda: mk.OddsRatio("y", 0), "the odds ratio of 'y' is a number above 0, not 0"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_declarations_that_are_refused(name: str) -> None:
    make, message = DECLARED[name]
    with pytest.raises(SpecError, match=message) as caught:
        make()
    assert one_line(caught)


def test_declarations_round_trip() -> None:
    spec = mk.Spec(
        MODEL,
        mk.PatternMixture(
            mk.Shift(
                WAVES,
                {"drug": (1, 2, mk.Prior("normal", 0, 1), 3), 2: mk.Prior("normal", 1, 1)},
                unit="raw",
                by="arm",
                cumulative=True,
                carry=True,
                corr=-0.25,
            ),
            mk.Scale(("w1", "w2"), (1.5, 2)),
            mk.OddsRatio("w1", {True: 2, False: mk.Prior("student_t", 4, 0, 1)}, by="old"),
        ),
    )
    from_yaml, from_json = files.from_yaml(spec.to_yaml()), files.from_json(spec.to_json())
    assert from_yaml == spec == from_json
    assert hash(from_yaml) == hash(spec)


# Odds


def test_odds_of_a_binary_column_are_multiplied() -> None:
    p = np.random.default_rng(1).uniform(size=50)
    made_ = multiply_odds(np.column_stack([1 - p, p]), 3.0)
    np.testing.assert_allclose(made_[:, 1] / made_[:, 0], 3 * p / (1 - p), rtol=1e-12)
    np.testing.assert_allclose(made_.sum(axis=1), 1, rtol=1e-14)


def test_cumulative_odds_of_an_ordinal_column_are_multiplied() -> None:
    rng = np.random.default_rng(2)
    p, ratio = rng.dirichlet([0.5] * 5, 40), rng.uniform(0.1, 10, 40)
    made_ = multiply_odds(p, ratio)
    for k in range(1, 5):
        before, after = (a[:, k:].sum(axis=1) / a[:, :k].sum(axis=1) for a in (p, made_))
        np.testing.assert_allclose(after, ratio * before, rtol=1e-9)
    np.testing.assert_allclose(made_.sum(axis=1), 1, rtol=1e-13)
    np.testing.assert_allclose(multiply_odds(p, 1.0), p, atol=1e-15)
    np.testing.assert_allclose(multiply_odds(made_, 1 / ratio), p, atol=1e-12)


def test_odds_at_the_ends() -> None:
    sure = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(multiply_odds(sure, 5.0), sure)
    small = multiply_odds(np.array([[1 - 1e-18, 1e-18]]), 2.0)
    assert small[0, 1] == pytest.approx(2e-18, rel=1e-12)
