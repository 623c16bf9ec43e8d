"""Slopes of unseen values by group among jointly normal columns: labels, maxima, imputations, and what reads them."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.diagnose.beliefs import carriers
from mnarkit.diagnose.freed import freed_spec
from mnarkit.errors import SpecError
from mnarkit.factored import likelihood as factored_likelihood
from mnarkit.factored.layout import designs_of as factored_designs
from mnarkit.factored.layout import lay_out as factored_layout
from mnarkit.normal.conditional import draw_unseen
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import Parameters, kernel_parameters

WAVES = ("w0", "w1", "w2")
TRIAL = mk.Spec(
    mk.MvNormal(*WAVES, given="arm"),
    mk.Dropout("previous + current * arm", waves=WAVES, because="side effects drive them away under drug alone"),
)
TRUTH = {
    "coef": [[0.0, 0.2], [0.2, 0.5], [0.4, 0.8]],
    "sd": [1.0, 1.1, 1.2],
    "corr": 0.4 + 0.6 * np.eye(3),
    "dropout": {
        "Intercept[w1]": -0.9,
        "Intercept[w2]": -0.7,
        "arm[T.placebo]": 0.1,
        "previous": 0.2,
        "current": 0.8,
        "current:arm[T.placebo]": -0.8,
    },
}
HOLES = mk.Spec(mk.MvNormal("y", "v", given="x"), mk.Selection("missing(y) ~ y:arm + z"))
SELECTED = {
    "coef": [[5.0, 0.7], [1.0, 0.3]],
    "sd": [2.0, 1.0],
    "corr": [[1.0, 0.5], [0.5, 1.0]],
    "missing_y": {"Intercept": -0.8, "z": 0.5, "y:arm[drug]": 0.25, "y:arm[placebo]": -0.05},
}


def subjects(n: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    return frame.assign(arm=np.where(rng.random(n) < 0.5, "drug", "placebo"))


def drawn(spec: mk.Spec, truth: dict, n: int, seed: int = 3) -> pd.DataFrame:
    return mk.simulate(spec, truth, data=subjects(n), seed=seed)


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("missing(y) ~ y:arm + z", ("Intercept", "z", "y:arm[drug]", "y:arm[placebo]")),
        ("missing(y) ~ y * arm", ("Intercept", "arm[T.placebo]", "y", "y:arm[T.placebo]")),
    ],
)
@pytest.mark.parametrize("link", ["probit", "logit"])
def test_labels_and_density_are_those_of_the_factored_engine(formula, terms, link):
    table = drawn(HOLES, SELECTED, 200)
    data, belief = IncompleteData.of(table), mk.Selection(formula, link=link)
    joint, alone = mk.Spec(mk.MvNormal("y", given="x"), belief), mk.Spec(mk.Regressions(mk.Regression("y ~ x")), belief)
    layout, other = (
        lay_out(joint, data, designs_of(joint, data)),
        factored_layout(alone, data, factored_designs(alone, data)),
    )
    named = dict(zip(terms, [-0.8, 0.4, 0.25, -0.2], strict=True))
    assert layout.indicators[0].terms == terms
    assert set(other.factors[1].terms) == set(terms)
    rows, made = kernel_data(layout, keep_empty_rows=True, products=False), np.empty(len(table))
    par = Parameters(np.array([[5.0, 0.7]]), np.array([[4.0]]), [np.array(list(named.values()))], [None], [])
    unit_loglik(*kernel_parameters(par, layout, rows), *rows.arrays[1:], made)
    own = {
        "coef_y": np.array([5.0, 0.7]),
        "sd_y": 2.0,
        "missing_y": np.array([named[t] for t in other.factors[1].terms]),
    }
    expected = factored_likelihood.unit_loglik(other, own)
    # the factored engine sums over fixed points, good to 1e-6
    np.testing.assert_allclose(made, np.asarray(expected)[rows.patterns.order], atol=2e-6)


@pytest.mark.filterwarnings("ignore::mnarkit.errors.MnarkitWarning")  # few draws
def test_posterior_means_are_those_of_the_factored_engine():
    prior = mk.Prior("normal", 0, 0.5, unit="raw")
    belief = mk.Selection(
        "missing(y) ~ 0 + z + y:arm", priors=dict.fromkeys(("z", "y:arm[drug]", "y:arm[placebo]"), prior)
    )
    data_model = {"coef": mk.Prior("normal", 0, 2, unit="raw"), "sd": mk.Prior("half_normal", 3, unit="raw")}
    one = mk.Regression("y ~ 0 + x", priors=data_model)
    table = drawn(HOLES, SELECTED, 120).assign(y=lambda f: f["y"] - 5)
    options = {"draws": 1000, "tune": 500, "chains": 2, "cores": 1, "progress": False}
    fits = [mk.sample(mk.Spec(m, belief), table, seed=s, **options) for m, s in ((one, 1), (mk.Regressions(one), 2))]
    posteriors = [fit.draws["posterior"]["missing_y"] for fit in fits]
    assert {"coef", "coef_y"} == {n for fit in fits for n in fit.draws["posterior"].data_vars if n.startswith("coef")}
    for term in belief.priors:
        values = [p.sel(missing_y_term=term[0]).values for p in posteriors]
        error = np.sqrt(sum(v.var() / float(az.ess(v)) for v in values))
        assert abs(values[0].mean() - values[1].mean()) < 4 * error, term


def within(fit: mk.EMFit, truth: dict[str, float], errors: float) -> None:
    assert fit.converged
    away = {n: (fit.params[n] - v) / fit.std_errors[n] for n, v in truth.items()}
    assert max(map(abs, away.values())) < errors, away


def test_a_difference_between_arms_is_found_by_maximum_likelihood():
    table = drawn(HOLES, SELECTED, 20_000)
    fit = mk.em(HOLES, table, progress=False)
    within(fit, {f"missing(y) ~ {t}": v for t, v in SELECTED["missing_y"].items()}, 4)
    gap = fit.params["missing(y) ~ y:arm[drug]"] - fit.params["missing(y) ~ y:arm[placebo]"]
    assert gap > 10 * fit.std_errors["missing(y) ~ y:arm[drug]"]
    assert set(fit.modes.columns[4:]) == {"missing(y) ~ y:arm[drug]", "missing(y) ~ y:arm[placebo]"}


def test_dropout_that_depends_on_the_value_in_one_arm_alone_is_found():
    table = drawn(TRIAL, TRUTH, 20_000)
    fit = mk.em(TRIAL, table, progress=False)
    within(fit, {f"dropout ~ {t}": v for t, v in TRUTH["dropout"].items()}, 4)
    assert fit.params["dropout ~ current:arm[T.placebo]"] < -5 * fit.std_errors["dropout ~ current:arm[T.placebo]"]


def test_unseen_values_are_drawn_as_rejection_draws_them():
    """Four rows in each arm without y: draws of y and e, kept where the indicator is 1, against those of the engine."""
    table = drawn(HOLES, SELECTED, 400)
    rows = table.index[table["y"].isna() & table["v"].notna()]
    table = table.loc[[i for a in ("drug", "placebo") for i in rows[table.loc[rows, "arm"] == a][:4]]]
    table = pd.concat([table, drawn(HOLES, SELECTED, 30, seed=4)], ignore_index=True)
    data = IncompleteData.of(table)
    layout = lay_out(HOLES, data, designs_of(HOLES, data))
    kernel = kernel_data(layout, keep_empty_rows=True, products=False)
    coef, sd = np.array(SELECTED["coef"]), np.array(SELECTED["sd"])
    cov = np.array(SELECTED["corr"]) * np.outer(sd, sd)
    strong = SELECTED["missing_y"] | {"y:arm[drug]": 0.9, "y:arm[placebo]": -0.6}
    par = Parameters(coef, cov, [np.array(list(strong.values()))], [None], [])
    arguments, rng = kernel_parameters(par, layout, kernel), np.random.default_rng(5)
    ours = np.stack([draw_unseen(arguments, kernel, layout.y, rng)[:8, 0] for _ in range(3000)])
    for i in range(8):
        row = table.loc[i]
        gain = cov[0, 1] / cov[1, 1]
        mean = coef[0] @ [1, row["x"]] + gain * (row["v"] - coef[1] @ [1, row["x"]])
        y = rng.normal(mean, np.sqrt(cov[0, 0] - gain * cov[0, 1]), 400_000)
        z = strong["Intercept"] + strong["z"] * row["z"] + strong[f"y:arm[{row['arm']}]"] * y + rng.normal(size=len(y))
        kept = y[z > 0][:3000]
        if len(kept) == 3000:
            assert stats.ks_2samp(ours[:, i], kept).pvalue > 1e-4  # eight rows
        else:  # rejection keeps few where a hole is rare
            assert i > 3


def test_the_way_from_mar_goes_along_one_slope():
    table = drawn(HOLES, SELECTED, 300)
    with pytest.raises(
        SpecError, match=r"has 'y:arm\[placebo\]' too; hold that with priors=\{'y:arm\[placebo\]': 0.0\}"
    ):
        mk.isni(HOLES, table, coefficient="missing(y) ~ y:arm[drug]")
    held = mk.Selection("missing(y) ~ y:arm + z", priors={"y:arm[placebo]": 0.0})
    found = mk.isni(mk.Spec(HOLES.model, held), table, coefficient="missing(y) ~ y:arm[drug]").to_frame()
    top = mk.em(HOLES.mar(), table, progress=False)
    assert found["estimate"].iloc[0] == pytest.approx(top.params.iloc[0], abs=1e-4)


@pytest.mark.parametrize(
    ("belief", "given"),
    [
        (mk.Selection("missing(y) ~ y:arm + z"), "x + z + arm"),
        (mk.Selection("missing(y) ~ y * arm"), "x + arm"),
    ],
)
def test_a_group_that_moves_slopes_alone_is_put_into_the_data_model(belief, given):
    assert freed_spec(mk.Spec(HOLES.model, belief), 0).model.given == given


def test_a_column_of_few_numbers_is_a_group_too():
    table = drawn(HOLES, SELECTED, 300).assign(drug=lambda f: (f["arm"] == "drug").astype(float))
    by_number = mk.em(mk.Spec(HOLES.model, mk.Selection("missing(y) ~ y + y:drug + z")), table, progress=False)
    by_level = mk.em(HOLES, table, progress=False)
    assert by_number.loglik == pytest.approx(by_level.loglik, abs=1e-6)
    slope = by_number.params["missing(y) ~ y"] + by_number.params["missing(y) ~ y:drug"]
    assert slope == pytest.approx(by_level.params["missing(y) ~ y:arm[drug]"], abs=1e-4)


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")  # there is a second, lower maximum
def test_a_slope_held_at_zero_in_one_arm_leaves_that_arm_ignorable():
    table = drawn(TRIAL, TRUTH, 500)
    held = mk.Dropout("previous + current:arm", waves=WAVES, priors={"current:arm[placebo]": 0.0})
    fit = mk.em(mk.Spec(TRIAL.model, held), table, progress=False)
    assert fit.params["dropout ~ current:arm[placebo]"] == 0.0
    assert fit.params["dropout ~ current:arm[drug]"] != 0.0
    data = IncompleteData.of(table)
    names = [c.name for c in carriers(mk.Spec(TRIAL.model, held), data)]
    assert names == ["dropout[current:arm[drug]]", "dropout[current:arm[placebo]]"]


@pytest.mark.filterwarnings("ignore::mnarkit.errors.MnarkitWarning")  # few draws
def test_whatever_takes_a_fit_takes_one_with_slopes_by_group():
    table = drawn(TRIAL, TRUTH, 300)
    fit = mk.sample(TRIAL, table, draws=150, tune=300, chains=2, seed=1, progress=False)
    assert list(fit.draws["posterior"]["dropout_term"].values) == list(TRUTH["dropout"])
    assert "dropout[current:arm[T.placebo]]" in str(mk.diagnose(fit))
    completed = mk.impute(fit, m=3, seed=2)
    assert not completed[0][list(WAVES)].isna().any(axis=None)
    again = mk.simulate(TRIAL, fit.draws["posterior"].isel(chain=0, draw=-1), data=subjects(100), seed=2)
    assert again["w2"].isna().any()
    top = mk.em(TRIAL, table, progress=False)
    compared = mk.compare({"drawn": fit, "maximum": top}, "w2 ~ arm", m=10, seed=3, by="arm", progress=False)
    shares = compared.shares
    error = 0.5 / np.sqrt(table["arm"].value_counts().min())
    assert set(shares["assumption"]) == {"drawn", "maximum"}
    assert (shares["missing"] - shares["predicted"]).abs().max() < 5 * error
    grid = mk.Grid(-0.8, -0.4, points=2, unit="raw")
    varied = mk.sensitivity(fit, "w2 ~ arm", {"dropout ~ current:arm[T.placebo]": grid}, m=5, seed=4, progress=False)
    assert len(varied.to_frame()) >= 2
    assert mk.plan(TRIAL, table).engine == "normal"
