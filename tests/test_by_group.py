"""Selection coefficients by group: exact against the closed form of a normal column, labelled by level."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import MnarkitError, SpecError
from mnarkit.factored.check import check_factored
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.factored.likelihood import unit_loglik
from mnarkit.factored.posterior import posterior_of
from mnarkit.spec.engine import engine_of


def table(n: int = 90, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    arm = np.array(["active", "control", "high"])[np.arange(n) % 3]
    y = 5 + x + rng.normal(size=n)
    missing = rng.random(n) < stats.norm.cdf(-0.7 + 0.8 * (y - 5) * (arm == "active") + 0.4 * z)
    return pd.DataFrame({"y": np.where(missing, np.nan, y), "x": x, "z": z, "arm": arm, "w": x + rng.normal(size=n)})


TABLE = table()
LEVELS = ("active", "control", "high")


def laid_out(formula: str):
    spec, data = mk.Spec(mk.Regression("y ~ x"), mk.Selection(formula)), IncompleteData.of(TABLE)
    check_factored(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    return layout, posterior_of(spec, layout)


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("missing(y) ~ y:arm + z", ("Intercept", "z", *(f"y:arm[{level}]" for level in LEVELS))),
        (
            "missing(y) ~ y * arm",
            ("Intercept", "y", "arm[T.control]", "arm[T.high]", "y:arm[T.control]", "y:arm[T.high]"),
        ),
    ],
    ids=["slopes", "slopes and intercepts"],
)
def test_the_likelihood_is_the_closed_form_with_the_slope_of_the_rows_group(formula, names):
    layout, target = laid_out(formula)
    theta = 0.4 * np.random.default_rng(3).normal(size=target.size)
    par = target.own(theta)
    labelled = {name.replace("T.", ""): v for name, v in zip(layout.factors[1].terms, par["missing_y"], strict=True)}
    assert set(layout.factors[1].terms) == set(names)
    expected = []
    for _, row in TABLE.iterrows():
        slope = labelled.get("y", 0.0) + labelled.get(f"y:arm[{row['arm']}]", 0.0)
        rest = labelled["Intercept"] + labelled.get("z", 0.0) * row["z"] + labelled.get(f"arm[{row['arm']}]", 0.0)
        mean, sd = par["coef_y"] @ [1, row["x"]], par["sd_y"]
        if pd.isna(row["y"]):
            expected.append(stats.norm.logcdf((rest + slope * mean) / np.sqrt(1 + (slope * sd) ** 2)))
        else:
            expected.append(stats.norm.logpdf(row["y"], mean, sd) + stats.norm.logcdf(-rest - slope * row["y"]))
    # fixed points against a closed form
    np.testing.assert_allclose(unit_loglik(layout, par), expected, atol=1e-6)
    numeric = [(target(theta + e)[0] - target(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(target.size)]
    np.testing.assert_allclose(target(theta)[1], numeric, rtol=1e-5, atol=1e-5)


def test_a_slope_of_a_group_can_be_fixed_and_levels_must_be_known():
    belief = mk.Selection("missing(y) ~ y:arm + z", priors={"y:arm[control]": 0.0, "y:arm[high]": 0.0})
    spec, data = mk.Spec(mk.Regressions(mk.Regression("y ~ x")), belief), IncompleteData.of(TABLE)
    assert engine_of(spec, data).name == "factored"
    check_factored(spec, data)
    target = posterior_of(spec, lay_out(spec, data, designs_of(spec, data)))
    assert target.size == 3 + 5 - 2
    wrong = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y:arm", priors={"y:arm[low]": 0.0}))
    with pytest.raises(
        SpecError, match=r"'y:arm\[low\]' has no term .* y:arm\[active\], y:arm\[control\], y:arm\[high\]"
    ):
        check_factored(wrong, data)


@pytest.mark.parametrize(
    ("formula", "engine"),
    [
        ("missing(y) ~ y:arm", "normal"),
        ("missing(y) ~ y * arm", "normal"),
        ("missing(y) ~ y:z", "factored"),
        ("missing(y) ~ I(y**2):arm", "factored"),
    ],
)
def test_one_column_has_slopes_by_group_in_closed_form_and_others_over_points(formula, engine):
    spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection(formula))
    assert engine_of(spec, IncompleteData.of(TABLE)).name == engine
    assert mk.plan(spec, TABLE).engine == engine


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("missing(y) ~ y:x", r"'y:x' in .* has 90 different slopes in 90 rows, .* at most 24 groups"),
        ("missing(y) ~ y:w", "'y:w' in .* is not linear in"),
        ("missing(y) ~ I(y**2):arm", "is not linear in"),
        ("missing(y) ~ C(y):arm", "is not linear in"),
    ],
)
def test_products_that_columns_modelled_jointly_cannot_have_are_written_one_given_the_other(formula, message):
    spec = mk.Spec(mk.MvNormal("w", "y", given="x"), mk.Selection(formula))
    table = TABLE.assign(w=np.where(np.arange(len(TABLE)) == 3, np.nan, TABLE["w"]))
    with pytest.raises(MnarkitError, match=message) as raised:
        mk.sample(spec, table)
    assert 'Regressions(Regression("w ~ x"), Regression("y ~ w + x"))' in str(raised.value)
    assert "\n" not in str(raised.value)
