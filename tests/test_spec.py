"""Specs are values: checked when they are made, frozen, equal, hashable, and readable."""

from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from mnarkit.errors import FormulaError, SpecError
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.data_models import MvNormal, Regression, Regressions
from mnarkit.spec.missingness import MAR, Heckman, Selection
from mnarkit.spec.pattern_mixture import PatternMixture, Scale, Shift
from mnarkit.spec.spec import Spec

MODEL = Regression("y ~ x")
SHIFT = Shift("y", -0.4, unit="sd")
HALF = Prior("half_normal", 1)

VALUES = {
    "Prior": lambda: Prior("student_t", 3, 0, 2.5, unit="raw"),
    "Regression": lambda: Regression("y ~ x + z", priors={"coef": Prior("normal", 0, 1)}),
    "MvNormal": lambda: MvNormal("y1", "y2", given="arm", priors={"corr": Prior("lkj", 2)}),
    "MAR": lambda: MAR(because="by design"),
    "Selection": lambda: Selection("missing(y) ~ y + x", link="logit", priors={"y": 0.5, "x": Prior("normal", 0, 1)}),
    "Heckman": lambda: Heckman("recorded(y) ~ x + z", priors={"rho": Prior("uniform", -1, 1)}, because="z moves work"),
    "Shift": lambda: Shift("y", Prior("normal", 0, 0.5), unit="sd", of="model", where="x > 3", predictors=("y2",)),
    "Scale": lambda: Scale("y", 1.2, where="arm == 'drug'"),
    "PatternMixture": lambda: PatternMixture(SHIFT, Scale("y", 1.1), because="they said so"),
    "Spec": lambda: Spec(MODEL, Selection("missing(y) ~ y"), because="high values are withheld"),
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_values_are_equal_hashable_and_frozen(make):
    one, other = make(), make()
    assert one is not other
    assert one == other
    assert len({one, other}) == 1
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        setattr(one, fields(one)[0].name, "other")
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        one.something_new = 1


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_values_that_differ_in_one_field_are_not_equal(make):
    assert all(make() != other() for name, other in VALUES.items() if other is not make)


def test_priors_are_equal_whatever_their_order_and_container():
    priors = {"x": Prior("normal", 0, 1), "Intercept": 2}
    selection = Selection("missing(y) ~ x", priors=priors)
    assert selection == Selection("missing(y) ~ x", priors=dict(reversed(priors.items())))
    assert selection == replace(selection)
    assert selection.priors == (("Intercept", 2.0), ("x", Prior("normal", 0, 1)))


def test_a_prior_table_is_the_same_for_a_mapping_for_pairs_and_for_none():
    priors = {"x": Prior("normal", 0, 1), "Intercept": 2.0}
    assert prior_table(priors) == prior_table(tuple(priors.items())) == priors
    assert prior_table(Selection("missing(y) ~ x", priors=priors).priors) == priors
    assert prior_table(None) == prior_table(()) == {}


def test_priors_given_as_a_dict_are_not_shared_with_it():
    priors = {"x": 1.0}
    selection = Selection("missing(y) ~ x", priors=priors)
    priors["x"] = 2.0
    assert dict(selection.priors) == {"x": 1.0}


def test_numpy_numbers_are_numbers():
    assert Shift("y", np.float64(-0.4), unit="sd") == SHIFT
    assert Prior("normal", np.int64(0), np.float32(1)) == Prior("normal", 0, 1)


BAD = [
    (lambda: Prior("gauss", 0, 1), SpecError, "'gauss' is not known; use one of normal, student_t, uniform, half_n"),
    (lambda: Prior("normal", 0), SpecError, r"takes 2 finite numbers \(mean, sd\), not \(0,\)"),
    (lambda: Prior("normal", 0, True), SpecError, "takes 2 finite numbers"),
    (lambda: Prior("normal", 0, float("inf")), SpecError, "takes 2 finite numbers"),
    (lambda: Prior("normal", 0, 0), SpecError, "the sd of a normal prior must be above 0, not 0"),
    (lambda: Prior("lkj", -1), SpecError, "the eta of a lkj prior must be above 0"),
    (lambda: Prior("uniform", 1, 1), SpecError, "needs low < high, not 1 and 1"),
    (lambda: Prior("normal", 0, 1, unit="kg"), SpecError, "'sd' or 'raw', not 'kg'"),
    (lambda: Regression("~ x"), FormulaError, "x"),
    (lambda: Regression("missing(y) ~ x"), FormulaError, "takes 'y ~ x', a column on the left, not 'missing"),
    (lambda: Regression("y ~ x + y"), FormulaError, "'y' stands on both sides of 'y ~ x [+] y'"),
    (lambda: Regression(3), FormulaError, "takes a formula as text, not 3"),
    (
        lambda: Regression("y ~ x", family="poison"),
        SpecError,
        "'poison' is not known; Regression has normal, student_t",
    ),
    (lambda: Regression("y ~ x", bounds=(0, 1)), SpecError, "'normal' takes no bounds; those with bounds are beta"),
    (lambda: Regression("y ~ x", "beta", bounds=(1, 0)), SpecError, "a pair of numbers .low, high., low < high"),
    (lambda: Regression("y ~ x", "poisson", bounds=(1, 9)), SpecError, "bounds= of counts is .0, the largest count"),
    (lambda: Regression("y ~ 0 + x", "ordinal"), FormulaError, "cutpoints of an ordinal model stand for the intercept"),
    (lambda: Regression("y ~ x", "poisson", priors={"sd": HALF}), SpecError, "no prior 'sd'; it has coef, intercept"),
    (lambda: Regressions(), SpecError, "one or more of Regression, not 'nothing'"),
    (lambda: Regressions(Regression("y ~ x"), Regression("y ~ z")), SpecError, "'y' has 2 regressions"),
    (
        lambda: Regressions(Regression("y ~ x"), Regression("x ~ z"), Regression("z ~ y + u")),
        SpecError,
        "explain columns by each other: 'y' <- 'x' <- 'z' <- 'y'; take one of these predictors out",
    ),
    (lambda: Regression("y ~ x", priors={"slope": Prior("normal", 0, 1)}), SpecError, "no prior 'slope'; it has coef"),
    (lambda: Regression("y ~ x", priors={"corr": Prior("lkj", 1)}), SpecError, "no prior 'corr'"),
    (lambda: Regression("y ~ x", priors={"sd": Prior("normal", 0, 1)}), SpecError, "residual sd is half_normal or"),
    (lambda: Regression("y ~ x", priors={"coef": 1}), SpecError, "the prior of a slope is a Prior, not 1"),
    (lambda: Regression("y ~ x", priors={"intercept": Prior("normal", 0, 1, unit="raw")}), SpecError, "unit='raw'"),
    (lambda: MvNormal(), SpecError, "names of one or more columns"),
    (lambda: MvNormal("y", 3), SpecError, "names of one or more columns"),
    (lambda: MvNormal("y", "z", "y"), SpecError, "names 'y' 2 times"),
    (lambda: MvNormal("y", given="x + y"), SpecError, "'y' is a modelled column and stands in given= too"),
    (lambda: MvNormal("y", given="z ~ x"), FormulaError, "given= takes a right-hand side"),
    (lambda: Selection("recorded(y) ~ y"), FormulaError, r"Selection takes 'missing\(y\) ~ ...', not 'recorded"),
    (lambda: Selection("y ~ x"), FormulaError, r"takes 'missing\(y\)"),
    (lambda: Selection("missing(y) ~ y", link="cloglog"), SpecError, "'probit' or 'logit', not 'cloglog'"),
    (lambda: Selection("missing(y) ~ y", priors={"y": "0.5"}), SpecError, "'y' is a Prior or a number that fixes it"),
    (lambda: Selection("missing(y) ~ y", priors={1: 0.5}), SpecError, "named by parameter, not by 1"),
    (lambda: Selection("missing(y) ~ y", priors=(("y", 0.5), ("y", 1))), SpecError, "2 priors of 'y'; give each"),
    (lambda: Regression("y ~ x", priors=(("sd", HALF), ("sd", HALF))), SpecError, "Regression has 2 priors of 'sd'"),
    (lambda: Heckman("missing(y) ~ x"), FormulaError, r"refer to being recorded.*write 'recorded\(y\) ~ ...'"),
    (lambda: Heckman("recorded(y) ~ x", priors={"rho": 1.0}), SpecError, r"inside \(-1, 1\), not 1.0"),
    (lambda: Heckman("recorded(y) ~ x", priors={"rho": Prior("uniform", -1, 2)}), SpecError, r"inside \[-1, 1\]"),
    (lambda: Heckman("recorded(y) ~ x", priors={"rho": Prior("lkj", 1)}), SpecError, "uniform .* normal or student_t"),
    (lambda: Shift("y", -0.4), SpecError, "'y' has no unit; say unit= one of 'sd', 'sd_observed', 'raw', 'percent'"),
    (lambda: Shift("y", -0.4, unit="kg"), SpecError, "has the unit 'kg'; say unit= one of"),
    (lambda: Shift("y", "-0.4", unit="sd"), SpecError, "Shift of 'y' takes a finite number or a Prior, not '-0.4'"),
    (lambda: Shift("y", float("nan"), unit="sd"), SpecError, "takes a finite number or a Prior, not nan"),
    (lambda: Shift("y", Prior("half_normal", 1), unit="sd"), SpecError, "a prior of normal, student_t, uniform"),
    (lambda: Shift("y", -100, unit="percent"), SpecError, "leaves nothing; it must be above -100"),
    (lambda: Shift("", 1, unit="sd"), SpecError, "names a column, not ''"),
    (lambda: Shift("y", 1, unit="sd", of="data"), SpecError, "of= is 'prediction' or 'model', not 'data'"),
    (lambda: Shift("y", 1, unit="sd", predictors="z"), SpecError, "tuple of column names, not 'z'"),
    (lambda: Shift("y", 1, unit="sd", where="__import__('os')"), SpecError, "__import__"),
    (lambda: Scale("y", 0), SpecError, "a factor above 0, not 0"),
    (lambda: PatternMixture(), SpecError, "one or more of Shift, Scale, OddsRatio and Restriction, not 'nothing'"),
    (lambda: PatternMixture(MAR()), SpecError, r"one or more of Shift, Scale, OddsRatio and Restriction, not MAR"),
    (lambda: PatternMixture(SHIFT, because=3), SpecError, "a reason in words, not 3"),
    (
        lambda: Spec("y ~ x"),
        SpecError,
        r"starts with .* Regression\(...\), Regressions\(...\), MvNormal\(...\) or Growth\(...\), not 'y ~ x'",
    ),
    (
        lambda: Spec(MODEL, SHIFT),
        SpecError,
        "a belief is MAR, Selection, Heckman, Dropout, SharedParameter, PatternMixture, Reference or Limits, not Shift",
    ),
    (lambda: Spec(MODEL, because=None), SpecError, "a reason in words, not None"),
    (lambda: Spec(MODEL, MAR(), Selection("missing(y) ~ y")), SpecError, r"MAR\(\) stands beside another belief"),
    (
        lambda: Spec(MODEL, Selection("missing(y) ~ y"), Heckman("recorded(y) ~ z")),
        SpecError,
        "'y' has 2 models of its holes; a column can have one",
    ),
    (
        lambda: Spec(MODEL, Selection("missing(z) ~ z")),
        SpecError,
        "speaks of 'z', which the data model does not model; its modelled columns are 'y'",
    ),
    (
        lambda: Spec(MODEL, PatternMixture(Shift("y", 1, unit="sd", predictors=("z",)))),
        SpecError,
        "speaks of 'z', which the data model does not model",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_refused_with_one_line(make, kind, message):
    with pytest.raises(kind, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_spec_without_beliefs_is_mar():
    spec = Spec(MODEL)
    assert spec == Spec(MODEL, MAR())
    assert spec.is_mar
    assert not Spec(MODEL, PatternMixture(SHIFT)).is_mar


def test_under_swaps_the_belief_and_keeps_the_data_model():
    spec = Spec(MODEL, Selection("missing(y) ~ y"), because="withheld")
    under = spec.under(PatternMixture(SHIFT), because="another view")
    assert under == Spec(MODEL, PatternMixture(SHIFT), because="another view")
    assert spec.because == "withheld"
    assert under.model is spec.model


def test_mar_is_the_counterpart_without_belief_and_reason():
    spec = Spec(MODEL, Selection("missing(y) ~ y"), because="withheld")
    assert spec.mar() == Spec(MODEL)
    assert spec.mar().mar() == spec.mar()


def test_a_spec_sorts_its_beliefs():
    selection, mixture = Selection("missing(y1) ~ y1"), PatternMixture(Shift("y2", 1, unit="raw"))
    spec = Spec(MvNormal("y1", "y2"), mixture, selection)
    assert spec.selections == (selection,)
    assert spec.pattern_mixtures == (mixture,)
    assert spec.missingness == (mixture, selection)


def test_printing_says_belief_assumption_reason_and_what_is_ignorable():
    spec = Spec(
        MvNormal("y1", "y2", "y3", given="arm"),
        Selection("missing(y1) ~ y1", because="high values are withheld"),
        PatternMixture(Shift("y2", -0.4, unit="sd", where="arm == 'drug'")),
        because="asked of the nurses",
    )
    lines = str(spec).splitlines()
    assert lines[0] == "Data model    (y1, y2, y3) jointly normal, given arm"
    assert lines[1] == "Missingness   Selection missing(y1) ~ y1, probit"
    assert lines[2].startswith("  untestable  P(y1 missing) follows")
    assert lines[3] == "  because     high values are withheld"
    assert "Shift y2 by -0.4 sd (of the prediction, added last, where arm == 'drug')" in lines[4]
    assert lines[6] == "Ignorable     holes in y3: given the values seen and the other indicators"
    assert lines[7] == "Because       asked of the nurses"
    assert len(lines) == 8


def test_printing_a_mar_spec_names_no_ignorable_column():
    assert str(Spec(MODEL)).splitlines() == [
        "Data model    y ~ x, normal residuals",
        "Missingness   MAR",
        "  untestable  whether a value is missing depends only on the values that are seen",
    ]
