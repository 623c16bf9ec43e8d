"""Reference-based imputation: published numbers, an independent computation, events, and refusals."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.fit import Fit
from mnarkit.normal.layout import designs_of
from mnarkit.normal.parameters import Parameters
from mnarkit.normal.reference import refer, reference_rows
from mnarkit.spec.events import events_of, fitted_table
from mnarkit.spec.files import from_json, from_yaml
from tests.refs import refs

VISITS = ("w1", "w2", "w3", "w4")
MODEL = mk.MvNormal(*VISITS, given="arm + base")
COEF = np.array([[5.0, -1.0, 0.5], [4.0, -2.0, 0.4], [3.0, -3.0, 0.3], [2.0, -5.0, 0.2]])
COV = np.array([[4.0, 2.0, 1.5, 1.0], [2.0, 5.0, 2.5, 1.5], [1.5, 2.5, 6.0, 3.0], [1.0, 1.5, 3.0, 7.0]])
PARAMETERS = Parameters(COEF, COV, [], [], [])


def trial(n: int = 40, seed: int = 5) -> pd.DataFrame:
    """Two arms, four visits, dropout, and a few intermittent holes."""
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2 == 0, "drug", "control")
    base = rng.normal(10, 2, n)
    x = np.column_stack([np.ones(n), arm == "drug", base])
    y = x @ COEF.T + rng.multivariate_normal(np.zeros(4), COV, n)
    leaves = rng.integers(0, 7, n)
    y[np.arange(4)[None, :] >= np.where(leaves == 0, 1, leaves)[:, None]] = np.nan
    y[4, 1], y[7, 0] = np.nan, np.nan
    return pd.DataFrame(y, columns=list(VISITS)).assign(arm=arm, base=base)


def means(strategy: str, own: np.ndarray, control: np.ndarray, first: int) -> np.ndarray:
    """The mean of one subject, written visit by visit as in Carpenter, Roger & Kenward (2013), section 4."""
    mean = own.copy()
    for j in range(len(own)):
        after = j >= first
        match strategy:
            case "J2R":
                mean[j] = control[j] if after else own[j]
            case "CR":
                mean[j] = control[j]
            case "CIR" if after:
                mean[j] = control[j] + (own[first - 1] - control[first - 1] if first else 0)
            case "LMCF" if after and first:
                mean[j] = own[first - 1]
            case "half" if after:
                mean[j] = control[j] + (0.5 * (own[first - 1] - control[first - 1]) if first else 0)
    return mean


BELIEFS = {name: mk.Reference(name, arm="arm", control="control") for name in ("MAR", "J2R", "CR", "CIR", "LMCF")} | {
    "half": mk.Reference("causal", arm="arm", control="control", k0=0.5)
}


@pytest.mark.parametrize("name", BELIEFS)
def test_cells_after_an_event_are_drawn_around_the_strategys_mean(name: str) -> None:
    table = trial()
    data = IncompleteData.of(table)
    spec = mk.Spec(MODEL, BELIEFS[name])
    rows = reference_rows(BELIEFS[name], VISITS, data, designs_of(spec, data))
    rng = np.random.default_rng(1)
    under_mar = np.where(np.isnan(rows.y), rng.normal(size=rows.y.shape), rows.y)
    noise = rng.standard_normal(rows.y.shape)
    made = refer(under_mar, rows, PARAMETERS, dict(BELIEFS[name].amounts), noise)
    for i, row in table.iterrows():
        seen = row[list(VISITS)].notna().to_numpy()
        first = 4 - int(np.argmax(seen[::-1])) if seen.any() else 0
        x = np.array([1.0, row["arm"] == "drug", row["base"]])
        mean = means(name, COEF @ x, COEF @ (x * [1, 0, 1]), first)
        before, after = np.arange(4)[:first], np.arange(4)[first:]
        np.testing.assert_array_equal(made[i, before], under_mar[i, before])
        if name == "MAR" or not len(after):
            np.testing.assert_array_equal(made[i], under_mar[i])
            continue
        inverse = np.linalg.inv(COV)[np.ix_(after, after)]  # precision form: no Schur complement in common
        pulled = np.linalg.inv(COV)[np.ix_(after, before)] @ (made[i, before] - mean[before])
        expected = mean[after] - np.linalg.solve(inverse, pulled)
        spread = np.linalg.cholesky(np.linalg.inv(inverse)) @ noise[i, after]
        np.testing.assert_allclose(made[i, after], expected + spread, atol=1e-10)


def test_copying_increments_and_jumping_are_causal_models_with_all_or_nothing_kept() -> None:
    data = IncompleteData.of(trial())
    zeros = np.zeros((data.n, 4))

    def filled(belief: mk.Reference) -> np.ndarray:
        rows = reference_rows(belief, VISITS, data, designs_of(mk.Spec(MODEL, belief), data))
        return refer(zeros, rows, PARAMETERS, dict(belief.amounts), zeros)

    causal = {k: mk.Reference("causal", arm="arm", control="control", k0=k) for k in (0.0, 1.0)}
    np.testing.assert_allclose(filled(causal[1.0]), filled(BELIEFS["CIR"]))
    np.testing.assert_allclose(filled(causal[0.0]), filled(BELIEFS["J2R"]))
    fading = mk.Reference("causal", arm="arm", control="control", k0=1, k1=0.5, times=(0, 2, 4, 8))
    rows = reference_rows(fading, VISITS, data, designs_of(mk.Spec(MODEL, fading), data))
    i = int(np.flatnonzero((rows.events.first == 2) & (data.frame["arm"] == "drug"))[0])
    x = np.array([1.0, 1.0, data.frame["base"][i]])
    mean = COEF @ (x * [1, 0, 1]) + np.array([0, 0, 0.5**2, 0.5**6]) * (COEF @ x - COEF @ (x * [1, 0, 1]))[1]
    slope = np.linalg.solve(COV[:2, :2], COV[:2, 2:]).T
    own = (COEF @ x)[:2]
    began = np.where(np.isnan(rows.y[i, :2]), 0.0, rows.y[i, :2])
    made = refer(np.where(np.isnan(rows.y), 0.0, rows.y), rows, PARAMETERS, dict(fading.amounts), zeros)
    np.testing.assert_allclose(made[i, 2:], mean[2:] + slope @ (began - own))


def test_events_are_dropout_or_as_declared_and_later_values_are_set_aside() -> None:
    table = trial()
    table["stop"] = None
    table.loc[[0, 1], "stop"] = ["w2", "w3"]
    table.loc[0, list(VISITS)] = [1.0, 2.0, np.nan, 4.0]
    table.loc[1, list(VISITS)] = [1.0, np.nan, 3.0, 4.0]
    belief = mk.Reference("J2R", arm="arm", control="control", event="stop")
    events = events_of(belief, VISITS, IncompleteData.of(table))
    assert events.first[:3].tolist() == [1, 2, 4]
    assert events.aside[0].tolist() == [False, True, False, True]
    assert events.aside[1].tolist() == [False, False, True, True]
    assert not events.aside[2:].any()
    left = fitted_table(mk.Spec(MODEL, belief), IncompleteData.of(table)).frame
    assert left.loc[0, list(VISITS)].isna().tolist() == [False, True, True, True]
    dropout = events_of(BELIEFS["J2R"], VISITS, IncompleteData.of(table))
    assert dropout.first[:2].tolist() == [4, 4]
    assert not dropout.aside.any()


def test_every_subject_can_have_a_strategy() -> None:
    table = trial().assign(how="")
    gone = np.flatnonzero(table["w4"].isna())
    table.loc[gone[0], "how"] = "LMCF"
    table.loc[gone[1], "how"] = "MAR"
    belief = mk.Reference("J2R", arm="arm", control="control", by_subject="how")
    events = events_of(belief, VISITS, IncompleteData.of(table))
    assert [events.strategy[i] for i in gone[:3]] == ["LMCF", "MAR", "J2R"]


def a_fit(table: pd.DataFrame, *beliefs: mk.Reference | mk.PatternMixture) -> Fit:
    """The parameters above as the one draw of a fit."""
    sd = np.sqrt(np.diag(COV))
    posterior = xr.Dataset(
        {
            "coef": (("chain", "draw", "column_name", "term"), COEF[None, None]),
            "sd": (("chain", "draw", "column_name"), sd[None, None]),
            "corr": (("chain", "draw", "column_name", "column_name_2"), (COV / np.outer(sd, sd))[None, None]),
        }
    )
    tree = xr.DataTree.from_dict({"posterior": posterior})
    table = table.assign(arm=pd.Categorical(table["arm"], categories=["control", "drug"]))
    return Fit(mk.Spec(MODEL, *beliefs), IncompleteData.of(table), tree, 1)


def test_a_late_reference_is_the_reference_and_shifts_stack_on_it() -> None:
    table = trial()
    declared, late = a_fit(table, BELIEFS["CIR"]), a_fit(table)
    one = mk.impute(declared, 1, seed=3)[0]
    np.testing.assert_array_equal(one[list(VISITS)], mk.impute(late, 1, seed=3, under=BELIEFS["CIR"])[0][list(VISITS)])
    shift = mk.PatternMixture(mk.Shift("w4", 2, unit="raw", where="arm == 'drug'"))
    moved = mk.impute(late, 1, seed=3, under=[BELIEFS["CIR"], shift])[0]
    expected = np.where(table["w4"].isna() & (table["arm"] == "drug"), one["w4"] + 2, one["w4"])
    np.testing.assert_allclose(moved["w4"], expected)
    np.testing.assert_array_equal(moved["w3"], one["w3"])
    replaced = mk.impute(declared, 1, seed=3, under=BELIEFS["J2R"])[0]
    np.testing.assert_array_equal(replaced["w4"], mk.impute(a_fit(table, BELIEFS["J2R"]), 1, seed=3)[0]["w4"])


def test_recorded_values_after_an_event_stay_and_inform_the_holes_beside_them() -> None:
    table = trial()
    table["stop"] = None
    table.loc[2, "stop"] = "w2"
    table.loc[2, list(VISITS)] = [8.0, 7.5, np.nan, 40.0]
    belief = mk.Reference("J2R", arm="arm", control="control", event="stop")
    completed = mk.impute(a_fit(table, belief), 1, seed=1)[0]
    assert completed.loc[2, ["w1", "w2", "w4"]].tolist() == [8.0, 7.5, 40.0]
    assert completed.loc[2, "w3"] > 12  # 3 sd of w3 lie below, were it not for the 40 at the next visit


def test_a_strategy_of_ones_own() -> None:
    def halfway(own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
        mean = own.copy()
        mean[:, event:] = (own[:, event:] + control[:, event:]) / 2
        return mean

    mk.register_strategy("halfway", halfway)
    spec = mk.Spec(MODEL, mk.Reference("halfway", arm="arm", control="control"))
    assert mk.impute(a_fit(trial(), *spec.missingness), 1, seed=1)[0].notna().all(axis=None)
    mk.register_strategy("halfway", lambda own, control, event: own[:1])
    with pytest.raises(mk.errors.SpecError, match=r"'halfway' returned .* it returns finite means of shape"):
        mk.impute(a_fit(trial(), *spec.missingness), 1, seed=1)


def test_the_file_keeps_the_belief() -> None:
    spec = mk.Spec(
        MODEL,
        mk.Reference(
            "causal",
            arm="arm",
            control=0,
            event="stop",
            by_subject="how",
            k0=mk.Prior("uniform", 0, 1),
            k1=0.9,
            times=(0, 1, 2, 4),
            because="the drug washes out",
        ),
        mk.PatternMixture(mk.Shift("w4", 1, unit="sd")),
    )
    assert from_yaml(spec.to_yaml()) == spec
    assert from_json(spec.to_json()) == spec
    text = spec.to_yaml().replace("causal", "causl")
    with pytest.raises(mk.errors.SpecError, match=r"missingness\[0\].* the strategy 'causl' is not known"):
        from_yaml(text)


def _spec(**changed: object) -> mk.Spec:
    fields = {"strategy": "J2R", "arm": "arm", "control": "control"} | changed
    return mk.Spec(MODEL, mk.Reference(**fields))  # type: ignore[arg-type]


REFUSED = {
    "no such level": (_spec(control="placebo"), {}, r"control='placebo' is no level of 'arm'; its levels are 'drug'"),
    "an arm with holes": (_spec(), {"arm": [None, *["drug", "control"] * 19, "drug"]}, r"'arm' has 1 holes in 40 rows"),
    "an arm out of the model": (_spec(arm="base2", control=1), {"base2": [1, 2] * 20}, r"the data model does not read"),
    "no such column": (_spec(event="stopp"), {"stop": ""}, r"names 'stopp'.*did you mean 'stop'"),
    "no such visit": (
        _spec(event="stop"),
        {"stop": ["w5", *[""] * 39]},
        r"1 rows have another value, such as 'w5'; allowed: w1, w2",
    ),
    "no such strategy": (
        _spec(by_subject="how"),
        {"how": ["J3R", "J3R", *[""] * 38]},
        r"2 rows have another value, such as 'J3R'",
    ),
    "causal without k0": (_spec(by_subject="how"), {"how": ["causal"] * 40}, r"subjects under 'causal': it needs k0="),
    "times": (_spec(strategy="causal", k0=1, times=(0, 1)), {}, r"times= has 2 numbers for 4 visits"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_does_not_fit_is_refused(name: str) -> None:
    spec, columns, message = REFUSED[name]
    with pytest.raises(mk.errors.MnarkitError, match=message):
        mk.em(spec, trial().assign(**columns))


def test_a_belief_that_makes_no_sense_is_refused() -> None:
    reference = BELIEFS["J2R"]
    inside = mk.PatternMixture(mk.Shift("w4", 1, unit="sd", of="model"))
    with pytest.raises(mk.errors.SpecError, match="is fitted under MAR"):
        mk.Spec(MODEL, reference, inside)
    with pytest.raises(mk.errors.SpecError, match="2 reference-based beliefs"):
        mk.Spec(MODEL, reference, reference)
    with pytest.raises(mk.errors.SpecError, match="needs k0="):
        mk.Reference("causal", arm="arm", control="control")
    with pytest.raises(mk.errors.SpecError, match="are for the causal strategy"):
        mk.Reference("J2R", arm="arm", control="control", k0=1)
    with pytest.raises(mk.errors.SpecError, match="increase"):
        mk.Reference("causal", arm="arm", control="control", k0=1, times=(0, 2, 1))
    with pytest.raises(mk.errors.SpecError, match="has a name of its own"):
        mk.register_strategy("CIR", lambda own, control, event: own)


def test_a_late_reference_cannot_take_values_out_of_a_fit() -> None:
    table = trial()
    table["stop"] = None
    table.loc[2, list(VISITS)] = [8.0, 7.0, np.nan, 5.0]
    table.loc[2, "stop"] = "w2"
    belief = mk.Reference("J2R", arm="arm", control="control", event="stop")
    with pytest.raises(mk.errors.SpecError, match=r"2 values recorded after an event are in the fit"):
        mk.impute(a_fit(table), 1, seed=1, under=belief)
    assert len(mk.impute(a_fit(table, belief), 1, seed=1, under=belief)) == 1


def antidepressant() -> pd.DataFrame:
    """The trial of the reference folder, a row a patient."""
    long = pd.read_csv(refs("rbmi_antidepressant") / "data.csv", dtype={"PATIENT": str})[
        ["PATIENT", "THERAPY", "BASVAL", "VISIT", "CHANGE"]
    ]
    return mk.to_wide(long, subject="PATIENT", time="VISIT", value="CHANGE")


def test_expectations_give_the_published_conditional_mean_estimates() -> None:
    """openpharma/rbmi, vignette CondMean_Inference, recomputed to 5 decimals in refs/rbmi_antidepressant."""
    model = mk.MvNormal(*(f"CHANGE_{v}" for v in (4, 5, 6, 7)), given="THERAPY + BASVAL")
    fit = mk.em(mk.Spec(model, mk.Reference("J2R", arm="THERAPY", control="PLACEBO")), antidepressant())
    for visit, published in {5: 1.30543, 6: 1.92899, 7: 2.12558}.items():
        table = fit.project(f"CHANGE_{visit} ~ THERAPY + BASVAL").set_index("term")
        # REML's and ML's covariances differ by a factor, and what is imputed depends on their ratios alone
        assert table.loc["THERAPY[T.PLACEBO]", "estimate"] == pytest.approx(published, abs=2e-5)


@pytest.mark.slow
def test_pooled_estimates_are_those_of_the_five_macros() -> None:
    """SAS, 10,000 imputations: visit 7, MAR 2.79516 (0.0041 Monte Carlo error), J2R 2.12426 (0.0040)."""
    model = mk.MvNormal(*(f"CHANGE_{v}" for v in (4, 5, 6, 7)), given="THERAPY + BASVAL")
    fit = mk.sample(mk.Spec(model), antidepressant(), draws=2000, chains=2, seed=20261123, progress=False)
    assert fit.draws.attrs["rhat_max"] <= 1.01
    reference = mk.Reference("J2R", arm="THERAPY", control="PLACEBO")
    published = {None: (2.79516, 0.0041, 1.11445), reference: (2.12426, 0.004, 1.1275)}
    for under, (estimate, error, std_error) in published.items():
        imps = mk.impute(fit, m=2500, seed=1, under=under)
        pooled = mk.pool(mk.analyze(imps, "CHANGE_7 ~ THERAPY + BASVAL")).to_frame().set_index("term")
        at = pooled.loc["THERAPY[T.PLACEBO]"]
        print(under, at[["estimate", "std_error", "mc_error"]].to_dict())
        assert abs(at["estimate"] - estimate) < 3 * np.hypot(at["mc_error"], error)
        # the standard error's own Monte Carlo error is about 0.5 % at m = 2,500; priors differ slightly from SAS's
        assert at["std_error"] == pytest.approx(std_error, rel=0.02)
