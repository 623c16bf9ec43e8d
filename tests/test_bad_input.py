"""Bad input through the API: one line that names the column, the count, what is allowed and the fix."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError, MnarkitError, SpecError
from mnarkit.report.audit import audit
from mnarkit.sample.convergence import troubles
from mnarkit.spec.check import check, identification
from mnarkit.spec.files import from_yaml


def table(n: int = 40) -> pd.DataFrame:
    """Ten incomes are missing, and ten values of `other`, in five rows both."""
    rng = np.random.default_rng(1)
    names = ("income", "other", "age", "size")
    frame = pd.DataFrame(rng.normal(50, 5, (n, 4)), columns=names).assign(arm=["drug", "placebo"] * (n // 2))
    frame.loc[:9, "income"] = np.nan
    frame.loc[5:14, "other"] = np.nan
    return frame


T = table()
MODEL, JOINT = mk.Regression("income ~ age"), mk.MvNormal("income", "other", given="age")
SELECTION = mk.Selection("missing(income) ~ income + size")


def sel(formula: str, link: str = "probit", **priors: object) -> mk.Selection:
    return mk.Selection(f"missing({formula.split(' ~ ')[0]}) ~ {formula.split(' ~ ')[1]}", link=link, priors=priors)


def shift(column: str = "income", unit: str = "sd", **more: object) -> mk.PatternMixture:
    return mk.PatternMixture(mk.Shift(column, -10, unit=unit, **more))


def on(formula: str, *beliefs: object) -> mk.Spec:
    return mk.Spec(mk.Regression(formula), *beliefs)


TEXT = T["income"].map("{:.1f}".format).where(T["income"].notna() & (T.index != 20), ".").astype(object)

TABLES: dict[str, tuple[mk.Spec, pd.DataFrame, type[MnarkitError], str]] = {
    "unknown modelled column": (
        on("incme ~ age"),
        T,
        SpecError,
        "names 'incme'; the columns are 'income', .* — did yo",
    ),
    "unknown predictor": (on("income ~ agee"), T, SpecError, "names 'agee'; .* did you mean 'age'?"),
    "unknown column, other case": (on("INCOME ~ age"), T, SpecError, "names 'INCOME'; .* did you mean 'income'?"),
    "unknown in missingness": (
        mk.Spec(MODEL, sel("income ~ siz")),
        T,
        SpecError,
        "names 'siz'; .* did you mean 'size'",
    ),
    "unknown in where": (mk.Spec(MODEL, shift(where="amr == 1")), T, SpecError, "names 'amr'; .* did you mean 'arm'?"),
    "unknown level in where": (
        mk.Spec(MODEL, shift(where="arm == 'durg'")),
        T,
        DataError,
        "'arm' is never 'durg'; its levels are 'drug', 'placebo'$",
    ),
    "where without holes": (
        mk.Spec(MODEL, shift(where="age > 500")),
        T,
        SpecError,
        r"none of the 10 holes of 'income' is where age > 500 \(0 of 40 rows\); change where=",
    ),
    "text": (
        mk.Spec(MODEL),
        T.assign(income=TEXT),
        DataError,
        r"'income' is not numeric: dtype \w+, 40 recorded values, such as '\.'; convert it with "
        r"pd.to_numeric\(table\['income'\]\), once the 11 values that are not numbers are recoded, or missing$",
    ),
    "numbers as objects": (
        mk.Spec(MODEL),
        T.assign(age=T["age"].astype(object)),
        DataError,
        r"'age' is not numeric: dtype object, 40 recorded values, such as [\d.]+; convert it with pd.to_numeric\(.*\)$",
    ),
    "dates": (
        mk.Spec(MODEL),
        T.assign(age=pd.date_range("2020-01-01", periods=40)),
        DataError,
        "'age' is not numeric: dtype datetime.*; turn it into a number",
    ),
    "text in a numeric function": (on("income ~ log(arm)"), T, DataError, "'arm' is not numeric"),
    "infinities": (
        mk.Spec(MODEL),
        T.replace({"income": {T["income"].iloc[20]: np.inf}}),
        DataError,
        "'income' has 1 infinite values; make them missing or finite",
    ),
    "infinities in a predictor": (
        mk.Spec(MODEL),
        T.assign(age=T["age"].where(T.index < 38, -np.inf)),
        DataError,
        "'age' has 2 infinite values; make them missing or finite",
    ),
    "nothing recorded": (
        mk.Spec(MODEL),
        T.assign(income=np.nan),
        DataError,
        "'income' has no recorded value in 40 row",
    ),
    "nothing recorded, objects": (
        mk.Spec(MODEL),
        T.assign(income=pd.Series([None] * 40, dtype=object)),
        DataError,
        "'income' has 0 recorded values in 40 rows; drop the column",
    ),
    "missingness of a column without holes": (
        mk.Spec(mk.MvNormal("income", "size"), sel("size ~ size")),
        T,
        SpecError,
        "'size' has no holes in 40 rows, so 'missing.size. ~ size' has nothing to explain; leave it out",
    ),
    "amount for a column without holes": (
        mk.Spec(mk.MvNormal("income", "size"), shift("size")),
        T,
        SpecError,
        "'size' has no holes in 40 rows, so there is nothing for Shift size by -10 sd .* to move; leave it out",
    ),
    "belief on data without holes": (
        mk.Spec(MODEL, SELECTION),
        T.dropna(),
        SpecError,
        r"no hole in 'income' \(25 rows\): there is nothing that Selection .*; analyze the table as it is",
    ),
    "fewer rows than parameters": (
        on("income ~ age + size + arm"),
        T.iloc[7:13],
        DataError,
        r"'income' has 3 recorded values for 5 parameters \(Intercept, age, size, arm\[T.placebo\], sd\); use fewer",
    ),
    "one recorded value": (mk.Spec(MODEL), T.iloc[9:11], DataError, "'income' has 1 recorded values for 3 parameters"),
    "fewer rows than coefficients": (
        on("income ~ 1", sel("income ~ income + size + age + other2")),
        T.assign(other2=T["age"] * T["size"]).iloc[8:12],
        DataError,
        "'missing.income. ~ income .*' has 5 coefficients for 4 rows; use fewer terms",
    ),
    "collinear": (
        on("income ~ age + size + double"),
        T.assign(double=2 * T["age"] + 1),
        DataError,
        "'double' among the predictors of 'income' is perfectly collinear with 'age' in all 40 rows; le",
    ),
    "collinear in missingness": (
        mk.Spec(MODEL, sel("income ~ income + size + double + age")),
        T.assign(double=2 * T["age"]),
        DataError,
        "'age' among the predictors in 'missing.*' is perfectly collinear with 'double' in all 40 rows; leave one out",
    ),
    "constant": (
        mk.Spec(MODEL),
        T.assign(income=T["income"] * 0 + 5),
        DataError,
        "'income' is constant: all 30 recorded values are 5; leave it out of the model",
    ),
    "constant predictor": (
        mk.Spec(MODEL),
        T.assign(age=7),
        DataError,
        "'age' among the predictors of 'income' is constant in all 40 rows; leave it out",
    ),
    "constant in missingness": (mk.Spec(MODEL, SELECTION), T.assign(size=7), DataError, "'size' among .* is constant"),
    "one level": (
        on("income ~ age + arm"),
        T.assign(arm="drug"),
        DataError,
        "'arm' among the predictors of 'income' is constant, 'drug' in all 40 rows; leave it out",
    ),
    "a level without recorded values": (
        on("income ~ age + arm"),
        T.assign(income=T["income"].where(T["arm"] == "drug")),
        DataError,
        r"'arm\[T.placebo\]' among the predictors of 'income' is constant in all 15 rows with a recorded value",
    ),
    "missing predictor": (
        on("income ~ age + other"),
        T,
        DataError,
        "'other' has 10 holes; predictors must be fully seen: leave 'other' out, drop those rows, or model it too",
    ),
    "missing predictor of missingness": (
        mk.Spec(MODEL, sel("income ~ income + other")),
        T,
        DataError,
        "'other' has 10 ",
    ),
    "missing in where": (mk.Spec(MODEL, shift(where="other > 0")), T, DataError, "'other' has 10 holes"),
    "percent": (
        mk.Spec(MODEL, shift(unit="percent")),
        T.assign(income=T["income"].where(T.index < 37, -1)),
        DataError,
        "'income' has 3 recorded values that are not above 0, so percent has no meaning for it; use unit='sd' or 'raw'",
    ),
    "limits among too many propensities": (
        mk.Spec(
            mk.MvNormal("income", "other", "more"),
            sel("income ~ income"),
            mk.Selection("missing(other) ~ other", link="logit"),
            mk.Limits("more", high=0.5),
        ),
        T.assign(more=T["other"].where(T["other"] < T["other"].median()) / 10),
        SpecError,
        r"rows have unseen values in more than 4 models .* \(income, other, more\), .* a limit among them, .* leave",
    ),
    "modelled column transformed": (
        mk.Spec(MODEL, sel("income ~ log(income)")),
        T,
        SpecError,
        "'log.income.' in .* is not linear in 'income', which .*; let the column stand as it is alone",
    ),
    "modelled column in Heckman": (
        mk.Spec(MODEL, mk.Heckman("recorded(income) ~ income")),
        T,
        SpecError,
        "'income' is a modelled column .* a Heckman model takes fully seen columns",
    ),
    "a column named rho": (
        mk.Spec(MODEL, mk.Heckman("recorded(income) ~ rho")),
        T.assign(rho=T["size"]),
        SpecError,
        "'rho' in .* is the name of the error correlation; rename that column",
    ),
    "prior of no term": (
        mk.Spec(MODEL, sel("income ~ income", incme=1.0)),
        T,
        SpecError,
        "the prior of 'incme' has no term in .*; its parameters are Intercept, income",
    ),
}


def refused(make: Callable[[], object], kind: type[MnarkitError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", TABLES)
def test_what_does_not_fit_the_table_is_refused_with_one_line(name: str) -> None:
    spec, frame, kind, said = TABLES[name]
    before = frame.copy()
    refused(lambda: check(spec, IncompleteData.of(frame)), kind, said)
    pd.testing.assert_frame_equal(frame, before)


def test_the_table_that_the_others_are_made_from_is_fine() -> None:
    for spec in (on("income ~ age + size + arm", SELECTION), mk.Spec(JOINT, sel("income ~ income")), mk.Spec(JOINT)):
        check(spec, IncompleteData.of(T))


@pytest.mark.parametrize("entry", [mk.em, mk.build, mk.sample])
def test_every_entry_checks(entry: Callable[..., object]) -> None:
    refused(lambda: entry(on("income ~ agee"), T), SpecError, "did you mean 'age'")
    refused(lambda: entry(on("income ~ age"), pd.concat([T, T[["age"]]], axis=1)), DataError, r"'age' \(2 times\); ren")
    refused(lambda: entry(on("income ~ age"), {"income": [1]}), DataError, "type dict; pass a pandas")


VALUES = {
    "call": (
        lambda: mk.Regression("income ~ np.exp(age)"),
        FormulaError,
        "holds 'np.exp.age.', which is not allowed; the",
    ),
    "code": (
        lambda: mk.Regression("income ~ exec('1')"),
        FormulaError,
        "not allowed; the functions are above, abs, bs, C, .*",
    ),
    "Heckman of missing": (
        lambda: mk.Heckman("missing(y) ~ x"),
        FormulaError,
        "refer to being recorded, .* write 'recorded.y. ~ ...', not 'missing.y. ~ x'",
    ),
    "Shift without unit": (
        lambda: mk.Shift("income", -1),
        SpecError,
        "'income' has no unit; say unit= one of 'sd', 'sd",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_wrong_by_itself_is_refused(name: str) -> None:
    refused(*VALUES[name])


GOOD = mk.Spec(MODEL, SELECTION).to_yaml()
FILES = {
    "misspelt": (
        "formula: missing",
        "formla: missing",
        r"missingness\[0\].formla is not a field of Selection; .*mean 'f",
    ),
    "twice": ("link: probit", "link: probit\n  link: logit", r"line \d+: the key 'link' stands twice; keep one"),
    "version": ("mnarkit_spec: 1", "mnarkit_spec: 7", "is a spec of version 7; this mnarkit reads version 1"),
    "no version": ("mnarkit_spec: 1", "because: ''", "has no version of its layout; add mnarkit_spec: 1"),
    "call": (
        "income ~ age",
        "income ~ open(age)",
        "s.yaml: model: the formula holds 'open.age.', which is not allowed",
    ),
    "Heckman": (
        "kind: Selection",
        "kind: Heckman",
        r"s.yaml: missingness\[0\].* not known|is not a field|write 'recorded",
    ),
}


EXACT = pd.DataFrame({"x": range(10), "y": [2.0 * i + 1 if i % 3 else np.nan for i in range(10)]}).assign(
    u=[0.0, 3, 1, 4, 1, 5, 9, 2, 6, 5]
)
LEVELS = pd.DataFrame({"g": [*"aabbcc"] * 2, "y": [1.0, 1, 4, 4, 2, 2, 1, 1, 4, 4, 2, np.nan]})
BY_X = r"'y' is determined exactly by x \(all 6 recorded values.*leave 'y', or what determines it, out of the model$"


@pytest.mark.parametrize(
    ("spec", "frame", "said"),
    [
        (on("y ~ x"), EXACT, BY_X),
        (on("y ~ x", mk.Heckman("recorded(y) ~ x")), EXACT, BY_X),
        (on("y ~ x", mk.Selection("missing(y) ~ y")), EXACT, BY_X),
        (on("y ~ x", mk.PatternMixture(mk.Shift("y", 1, unit="sd"))), EXACT, BY_X),
        (mk.Spec(mk.MvNormal("u", "y", given="x")), EXACT, BY_X),
        (
            on("y ~ x + I(x**2)"),
            pd.DataFrame({"x": [1, 2, 3, 1, 2], "y": [1.0, 4, 2, 1, 4]}),
            r"'y' is determined exactly by x, I\(x \*\* 2\) \(all 5 recorded values",
        ),
        (on("y ~ g"), LEVELS, r"'y' is determined exactly by g\[T.b\], g\[T.c\] \(all 11 recorded values"),
    ],
)
@pytest.mark.parametrize("verb", [mk.em, mk.build], ids=["em", "build"])
def test_a_column_that_the_predictors_determine_is_named(
    verb: Callable, spec: mk.Spec, frame: pd.DataFrame, said: str
) -> None:
    refused(lambda: verb(spec, frame), DataError, said)


@pytest.mark.parametrize("far", [0.0, 1e6, -1e9])
@pytest.mark.parametrize("e", [1e-12, 1e-8, 1e-7])
def test_residuals_that_arithmetic_cannot_tell_are_none(e: float, far: float) -> None:
    rng = np.random.default_rng(2)
    x, z = rng.normal(size=(2, 200))
    frame = pd.DataFrame({"x": x + far, "z": z, "y": far + 2 * x - z + e * rng.normal(size=200)})
    refused(lambda: mk.em(on("y ~ x + z"), frame), DataError, r"'y' is determined exactly by x, z \(all 200")
    frame["y"] += 1e-4 * rng.normal(size=200)
    design = np.column_stack([np.ones(200), x, z])
    left = frame["y"] - far - design @ np.linalg.lstsq(design, frame["y"] - far)[0]
    assert mk.em(on("y ~ x + z"), frame).cov.item() == pytest.approx(np.mean(left**2), rel=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_in_a_file_is_refused_with_its_place(name: str) -> None:
    old, new, said = FILES[name]
    assert GOOD.count(old) == 1 or old == "link: probit"
    text = GOOD if old in GOOD else GOOD.replace("  formula: missing", "  link: probit\n  formula: missing")
    refused(lambda: from_yaml(text.replace(old, new), "s.yaml"), SpecError, said)


# A posterior made by hand


def fit(values: np.ndarray, diverged: int = 0, spec: mk.Spec | None = None, notes: tuple[str, ...] = ()) -> mk.Fit:
    """Intercept and slopes (chain, draw, term) of `income`, its sd near 5."""
    chains, draws, terms = values.shape
    arrays = {
        "coef": (("chain", "draw", "column_name", "term"), values[:, :, None]),
        "sd": (("chain", "draw", "column_name"), 5 + 0.1 * np.random.default_rng(2).normal(size=(chains, draws, 1))),
    }
    names = ["Intercept", "age", "arm[T.placebo]"][:terms]
    posterior = xr.Dataset(arrays, coords={"column_name": ["income"], "term": names})
    flags = np.arange(chains * draws).reshape(chains, draws) < diverged
    tree = xr.DataTree.from_dict(
        {"posterior": posterior, "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), flags)})}
    )
    tree.attrs = {"default_priors": "{}", "tune": np.int64(10)}
    return mk.Fit(spec or mk.Spec(MODEL), IncompleteData.of(T), tree, 1, notes)


def noise(chains: int = 2, draws: int = 500, terms: int = 2) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(chains, draws, terms))


@pytest.mark.parametrize("m", [0, -3, 1.5, True, "5", None])
def test_m_is_at_least_1(m: object) -> None:
    refused(lambda: mk.impute(fit(noise()), m), SpecError, f"a whole number of at least 1, not {re.escape(repr(m))}$")


def test_m_is_at_most_the_number_of_draws() -> None:
    refused(lambda: mk.impute(fit(noise(2, 5)), 11), SpecError, "m=11 is more than the 10 posterior draws; sample more")


def test_other_rows_with_an_unseen_level_are_refused() -> None:
    spec = on("income ~ age + arm")
    rows = T.assign(arm=["drug", "placebo", "surgery", "surgery"] * 10)
    refused(
        lambda: mk.impute(fit(noise(terms=3), spec=spec), 2, seed=1, data=rows),
        DataError,
        "'arm' is 'surgery' in 20 rows; the levels known are 'drug', 'placebo'; recode those rows",
    )


def test_good_draws_have_no_trouble() -> None:
    made = fit(noise(2, 1000))
    assert troubles(made) == ()
    assert made.draws.attrs["divergences"] == 0


def test_divergences_are_counted() -> None:
    assert troubles(fit(noise(2, 1000), diverged=3)) == (
        "3 of 2000 draws diverged: raise target_accept, or give narrower priors",
    )


def test_chains_that_disagree_name_the_parameter() -> None:
    values = noise(2, 1000)
    values[1, :, 1] += 3
    low, rhat = troubles(fit(values))
    assert re.fullmatch(
        r"the effective sample size of coef\[income, age\] is \d+, below 100 a chain: take more draws", low
    )
    assert re.fullmatch(
        r"R-hat of coef\[income, age\] is [1-3]\.\d{3}, above 1.01: the chains disagree, do not use these draws; "
        "tune longer",
        rhat,
    )


def test_few_draws_have_a_low_effective_sample_size() -> None:
    (low,) = troubles(fit(noise(1, 60)))
    assert low.endswith("below 100 a chain: take more draws")


def test_troubles_stay_in_the_audit() -> None:
    values = noise(2, 1000)
    values[1, :, 1] += 3
    made = fit(values, diverged=3)
    found = troubles(made)
    record = audit(mk.Fit(made.spec, made.data, made.draws, 1, ("it rests on the link", *found)))
    assert len(found) == 3
    assert record["notes"] == ["it rests on the link", *found]
    assert record["sampling"]["divergences"] == 3
    assert record["sampling"]["rhat_max"] > 1.01
    assert record["sampling"]["ess_min"] < 200
    assert record["data"]["holes"] == {"income": 10, "other": 10}


# What identifies a selection model

I_SIZE = "(i) size moving the indicator and not income (exclusion)"
II = "(ii) {} moving income and, given income, not the indicator (shadow variable)"
III = "(iii) {} alone, which the data can hardly check; treat it as a sensitivity analysis"
ONE, BOTH = "; the data cannot test that", "; neither can be tested with the data"
SHAPE = "the normal shape of income and the {} link"
ERRORS = III.format("the normal shape of the errors")


@pytest.mark.parametrize(
    ("model", "belief", "said"),
    [
        (MODEL, sel("income ~ income + age + size"), I_SIZE + ONE),
        (MODEL, sel("income ~ income"), II.format("age") + ONE),
        (MODEL, sel("income ~ income + size"), f"{I_SIZE} and {II.format('age')}{BOTH}"),
        (MODEL, sel("income ~ income + age"), III.format(SHAPE.format("probit"))),
        (MODEL, sel("income ~ income + age", "logit"), III.format(SHAPE.format("logit"))),
        (MODEL, sel("income ~ income + poly(age, 2)"), III.format(SHAPE.format("probit"))),
        (JOINT, sel("income ~ income + age"), II.format("other") + ONE),
        (JOINT, sel("income ~ income + other + age"), III.format(SHAPE.format("probit"))),
        (MODEL, mk.Heckman("recorded(income) ~ age + size"), I_SIZE + ONE),
        (MODEL, mk.Heckman("recorded(income) ~ size"), I_SIZE + ONE),
        (MODEL, mk.Heckman("recorded(income) ~ age"), ERRORS),
        (JOINT, mk.Heckman("recorded(income) ~ age"), II.format("other") + ONE),
        (JOINT, mk.Heckman("recorded(income) ~ age + size"), f"{I_SIZE} and {II.format('other')}{BOTH}"),
    ],
)
def test_what_identifies_a_selection_model_is_said(model: object, belief: object, said: str) -> None:
    assert identification(mk.Spec(model, belief)) == (f"{belief.formula!r} is identified by {said}",)


def test_a_formula_without_its_column_is_ignorable() -> None:
    said = "'missing(income) ~ age' does not contain income: its holes are ignorable under this belief"
    assert identification(mk.Spec(MODEL, sel("income ~ age"))) == (said,)
    (also,) = identification(mk.Spec(JOINT, sel("income ~ other")))
    assert also.endswith("under this belief (given the unseen values of the other columns that it reads)")


@pytest.mark.parametrize(
    ("belief", "what"),
    [
        (sel("income ~ income + age", income=0.5), "the coefficient of income fixed at 0.5"),
        (mk.Heckman("recorded(income) ~ age", priors={"rho": -0.4}), "rho fixed at -0.4"),
    ],
)
def test_what_is_fixed_is_declared(belief: object, what: str) -> None:
    said = f"{belief.formula!r} has {what}: it is declared, and the data cannot test it"
    assert identification(mk.Spec(MODEL, belief)) == (said,)


def test_beliefs_about_amounts_and_mar_need_no_sentence() -> None:
    assert identification(mk.Spec(MODEL)) == identification(mk.Spec(MODEL, shift())) == ()
