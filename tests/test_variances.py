"""variances: published jackknife and information-anchored errors, formulas against loops, refits, and refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, IdentificationWarning, SpecError
from mnarkit.variances.formulas import boot_impute, jackknife
from mnarkit.variances.refits import Refits
from tests.drawn import drawn_fit
from tests.refs import refs

VISITS = (4, 5, 6, 7)
MODEL = mk.MvNormal(*(f"CHANGE_{v}" for v in VISITS), given="THERAPY + BASVAL")
J2R = mk.Reference("J2R", arm="THERAPY", control="PLACEBO")

# openpharma/rbmi, vignette CondMean_Inference: estimate, jackknife SE, information-anchored SE
PUBLISHED = {
    "trt_4": (-0.092, 0.695, 0.695),
    "lsm_ref_4": (-1.616, 0.588, 0.588),
    "lsm_alt_4": (-1.708, 0.396, 0.396),
    "trt_5": (1.305, 0.878, 0.944),
    "lsm_ref_5": (-4.133, 0.688, 0.738),
    "lsm_alt_5": (-2.828, 0.604, 0.603),
    "trt_6": (1.929, 0.862, 0.993),
    "lsm_ref_6": (-6.088, 0.671, 0.758),
    "lsm_alt_6": (-4.159, 0.686, 0.686),
    "trt_7": (2.126, 0.858, 1.123),
    "lsm_ref_7": (-6.965, 0.685, 0.850),
    "lsm_alt_7": (-4.839, 0.762, 0.763),
}


def antidepressant() -> pd.DataFrame:
    """The trial of the reference folder, a row a patient."""
    long = pd.read_csv(refs("rbmi_antidepressant") / "data.csv", dtype={"PATIENT": str})[
        ["PATIENT", "THERAPY", "BASVAL", "VISIT", "CHANGE"]
    ]
    return mk.to_wide(long, subject="PATIENT", time="VISIT", value="CHANGE")


def least_squares_means(table: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """Difference and means of the arms at the mean baseline, by visit; the variances are not used."""
    placebo = (table["THERAPY"] == "PLACEBO").to_numpy(dtype=float)
    x = np.column_stack([np.ones(len(table)), placebo, table["BASVAL"] - table["BASVAL"].mean()])
    said = {}
    for visit in VISITS:
        drug, difference, _ = np.linalg.lstsq(x, table[f"CHANGE_{visit}"].to_numpy(), rcond=None)[0]
        said |= {f"trt_{visit}": difference, f"lsm_ref_{visit}": drug, f"lsm_alt_{visit}": drug + difference}
    return said, dict.fromkeys(said, 1.0)


def test_jackknife_and_information_anchored_errors_are_the_published_ones() -> None:
    made = mk.variances(
        mk.Spec(MODEL, J2R),
        antidepressant(),
        least_squares_means,
        methods=("jackknife", "information-anchored"),
        progress=False,
    )
    table = made.to_frame().set_index(["term", "method"])
    for term, (estimate, error, anchored) in PUBLISHED.items():
        row = table.loc[(term, "jackknife")]
        # printed to three decimals; REML's covariance and ML's differ by a factor, which conditional means do not see
        assert row["estimate"] == pytest.approx(estimate, abs=5.1e-4)
        assert row["std_error"] == pytest.approx(error, abs=5.1e-4)
        assert table.loc[(term, "information-anchored"), "std_error"] == pytest.approx(anchored, abs=5.1e-4)
    seventh = table.loc[("trt_7", "jackknife")]
    assert [seventh["ci_low"], seventh["ci_high"]] == pytest.approx([0.444, 3.807], abs=6e-4)


def trial(n: int = 60, seed: int = 3) -> pd.DataFrame:
    """Two arms, two visits, a third gone at the second."""
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2 == 0, "drug", "placebo")
    base = rng.normal(10, 2, n)
    first = base - 1.5 * (arm == "drug") + rng.normal(0, 1.5, n)
    second = 0.7 * first + 0.2 * base - 1.0 * (arm == "drug") + rng.normal(0, 1.5, n)
    second[rng.random(n) < stats.norm.cdf(-0.6 + 0.3 * (first - first.mean()))] = np.nan
    return pd.DataFrame({"v1": first, "v2": second, "arm": arm, "base": base}, index=[f"s{i}" for i in range(n)])


TABLE = trial()
SMALL = mk.MvNormal("v1", "v2", given="arm + base")
BELIEF = mk.Reference("J2R", arm="arm", control="placebo")
SHIFT = mk.PatternMixture(
    mk.Shift("v2", 0.5, unit="sd"), mk.Shift("v2", 0.2, unit="sd_observed", where="arm == 'drug'")
)


def test_the_jackknife_of_a_mean_is_its_textbook_variance() -> None:
    y = np.random.default_rng(1).normal(size=(30, 2))
    left = np.stack([np.delete(y, i, axis=0).mean(axis=0) for i in range(30)])
    np.testing.assert_allclose(jackknife(left), y.var(axis=0, ddof=1) / 30, rtol=1e-12)


@pytest.mark.parametrize("between", [1.0, 0.0])
def test_bootstrap_and_impute_is_an_analysis_of_variance(between: float) -> None:
    rng = np.random.default_rng(2)
    b, m = 50, 3
    values = between * rng.normal(size=(b, 1)) + rng.normal(size=(b, m))
    if not between:  # less between than within: the component is 0
        values -= 0.9 * values.mean(axis=1, keepdims=True)
    f = stats.f_oneway(*values).statistic
    msw = np.mean([np.var(row, ddof=1) for row in values])
    estimate, variance, dof = boot_impute(values[..., None])
    if between:
        component = msw * (f - 1) / m
        expected = (1 + 1 / b) * component + msw / (b * m)
        # Satterthwaite's degrees of freedom of the combination of mean squares that the variance is
        parts = [(b + 1) / (b * m) * msw * f, -msw / m]
        own = [b - 1, b * (m - 1)]
        assert dof[0] == pytest.approx(sum(parts) ** 2 / sum(p**2 / d for p, d in zip(parts, own, strict=True)))
    else:
        expected = np.var(values, ddof=1) / (b * m)
    assert estimate[0] == pytest.approx(values.mean())
    assert variance[0] == pytest.approx(expected)


SPECS = {
    "reference": mk.Spec(SMALL, BELIEF),
    "shifts": mk.Spec(SMALL, SHIFT),
    "by arm": mk.Spec(SMALL, mk.PatternMixture(mk.Shift("v2", {"drug": 0.3, "placebo": 0.1}, unit="sd", by="arm"))),
    "MAR": mk.Spec(SMALL),
    "selection": mk.Spec(mk.Regression("v2 ~ arm + base"), mk.Selection("missing(v2) ~ v2", priors={"v2": 0.5})),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_refit_is_em_on_those_rows(name: str) -> None:
    rows = np.random.default_rng(4).integers(0, len(TABLE), len(TABLE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentificationWarning)
        made = Refits.of(SPECS[name], IncompleteData.of(TABLE)).on(rows)
        alone = mk.em(SPECS[name], TABLE.iloc[rows].reset_index(drop=True), progress=False)
    # both stop where a step changes no standardised parameter by more than 1e-8, from different starts
    np.testing.assert_allclose(made.theta, alone.params, rtol=1e-5, atol=1e-6)
    pd.testing.assert_frame_equal(made.filled(made.predicted(made.theta)), alone.expected(), rtol=1e-5)


def test_moves_that_are_held_give_the_same_estimate() -> None:
    refits = Refits.of(SPECS["reference"], IncompleteData.of(TABLE))
    analyst = refits.analyst
    under_mar = mk.em(SPECS["MAR"], TABLE, progress=False).expected()
    moved = under_mar[["v1", "v2"]].to_numpy() + refits.distance
    np.testing.assert_allclose(moved, analyst.filled(analyst.predicted(analyst.theta))[["v1", "v2"]], atol=1e-6)
    assert (refits.distance[TABLE["v2"].notna()] == 0).all()


def test_refits_in_other_processes_give_the_same_numbers() -> None:
    asked = {"methods": ("information-anchored", "bootstrap-impute"), "resamples": 50, "seed": 5, "progress": False}
    one, two = (mk.variances(SPECS["reference"], TABLE, "v2 ~ arm", workers=w, **asked).to_frame() for w in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_every_method_stands_side_by_side() -> None:
    fit = drawn_fit(mk.Spec(SMALL), TABLE)
    every = ("rubin", "jackknife", "bootstrap", "bootstrap-impute", "information-anchored")
    one = mk.variances(
        SPECS["reference"],
        TABLE,
        "v2 ~ arm + base",
        methods=every,
        fit=fit,
        m=40,
        resamples=100,
        seed=5,
        progress=False,
    )
    effect = one.to_frame().set_index(["term", "method"]).loc["arm[T.placebo]"]
    assert tuple(effect.index) == every
    # the same number three times; a standard deviation over 100 samples has a relative error of 1/√200
    close = effect.loc["jackknife", "std_error"]
    assert effect.loc[["bootstrap", "bootstrap-impute"], "std_error"].to_numpy() == pytest.approx(close, rel=0.25)
    # imputed values are tied to the control arm, which the anchored variances do not take for knowledge
    assert effect.loc["information-anchored", "std_error"] > 1.1 * close
    assert effect.loc["rubin", "std_error"] > 1.1 * close
    assert set(effect["interval"]) == {"t", "normal", "percentile"}
    for method, word in (("jackknife", "repeated sampling"), ("rubin", "information-anchored")):
        assert effect.loc[method, "targets"].startswith(word)
    text = str(one)
    assert "untestable  after dropout the mean jumps" in text
    assert all(name in text for name in every)
    assert "95% intervals, seed 5" in text
    assert "keep the sizes of 2 groups" in text


def test_a_formula_with_constants_of_the_data_is_built_on_every_choice_of_rows() -> None:
    """The means of the arms at the mean baseline of the rows used, as a formula and as a function."""

    def means(table: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
        x = np.column_stack([table["arm"] == a for a in ("drug", "placebo")] + [table["base"] - table["base"].mean()])
        found = np.linalg.lstsq(x.astype(float), table["v2"].to_numpy())[0]
        return dict(zip("ab", found[:2], strict=True)), dict.fromkeys("ab", 1.0)

    formula = "v2 ~ 0 + arm + center(base)"
    errors = [
        mk.variances(SPECS["reference"], TABLE, what, methods="jackknife", progress=False).to_frame()["std_error"][:2]
        for what in (formula, means)
    ]
    np.testing.assert_allclose(*errors, rtol=1e-8)


def test_without_holes_every_method_estimates_the_same() -> None:
    whole = TABLE.assign(v2=TABLE["v2"].fillna(8.0))
    made = mk.variances(mk.Spec(SMALL), whole, "v2 ~ 1", methods=("jackknife",), progress=False).to_frame()
    assert made["estimate"][0] == pytest.approx(whole["v2"].mean())
    assert made["std_error"][0] == pytest.approx(whole["v2"].sem())


def test_a_prior_on_an_amount_is_held_at_its_centre_and_said() -> None:
    spread = mk.PatternMixture(mk.Shift("v2", mk.Prior("normal", 0.5, 0.2), unit="sd"))
    made = mk.variances(mk.Spec(SMALL, spread), TABLE, "v2 ~ 1", methods="jackknife", progress=False)
    fixed = mk.PatternMixture(mk.Shift("v2", 0.5, unit="sd"))
    same = mk.variances(mk.Spec(SMALL, fixed), TABLE, "v2 ~ 1", methods="jackknife", progress=False)
    assert made.to_frame()["std_error"][0] == pytest.approx(same.to_frame()["std_error"][0])
    assert "held at its centre" in str(made)


REFUSED = {
    "methods": (SpecError, "methods= are some of 'rubin', .*, not 'delta'", {"methods": ("delta",)}),
    "none": (SpecError, "methods= are some of", {"methods": ()}),
    "few": (SpecError, "resamples= is a whole number of at least 50, not 10", {"resamples": 10}),
    "m": (SpecError, "m= is a whole number of at least 2, not 1", {"m": 1}),
    "level": (SpecError, "level= is a probability", {"level": 95}),
    "MAR": (SpecError, "not for MAR; leave it out", {"spec": mk.Spec(SMALL), "methods": "information-anchored"}),
    "selection": (
        SpecError,
        "not for Selection .*; leave it out",
        {"spec": mk.Spec(SMALL, mk.Selection("missing(v2) ~ v2")), "methods": "information-anchored"},
    ),
    "predictor": (DataError, r"'v2' has \d+ holes and stands on the right", {"what": "v1 ~ v2"}),
    "unknown": (SpecError, "names 'v3'", {"what": "v2 ~ v3"}),
    "what": (DataError, "an analysis is a formula", {"what": 3}),
    "strata": (SpecError, "strata= names 'site'", {"strata": "site", "methods": "bootstrap"}),
    "holes": (DataError, r"'v2', which has \d+ holes", {"strata": "v2", "methods": "bootstrap"}),
    "workers": (DataError, "workers= is a whole number", {"workers": 0}),
    "fit": (SpecError, "fit= are posterior draws", {"fit": 3}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(name: str) -> None:
    error, message, options = REFUSED[name]
    asked = {"spec": SPECS["reference"], "df": TABLE, "what": "v2 ~ arm", "methods": "jackknife"} | options
    spec, df, what = asked.pop("spec"), asked.pop("df"), asked.pop("what")
    with pytest.raises(error, match=message) as raised:
        mk.variances(spec, df, what, progress=False, **asked)
    assert "\n" not in str(raised.value)


def test_a_fit_of_another_table_or_spec_is_refused() -> None:
    fit = drawn_fit(mk.Spec(SMALL), TABLE, draws=5)
    with pytest.raises(DataError, match="fit= is a fit of another table"):
        mk.variances(mk.Spec(SMALL), TABLE.iloc[1:], "v2 ~ arm", methods="rubin", fit=fit)
    with pytest.raises(SpecError, match="fit= is a fit of another spec"):
        mk.variances(mk.Spec(mk.MvNormal("v1", "v2", given="arm")), TABLE, "v2 ~ arm", methods="rubin", fit=fit)


def test_a_refit_that_fails_is_named() -> None:
    few = TABLE.assign(site=["a"] + ["b"] * (len(TABLE) - 1))
    spec = mk.Spec(mk.MvNormal("v1", "v2", given="base + site"))
    with pytest.raises(DataError, match=r"without row 1: 'site.*constant.*; the method needs every refit"):
        mk.variances(spec, few, "v2 ~ base", methods="jackknife", progress=False)
