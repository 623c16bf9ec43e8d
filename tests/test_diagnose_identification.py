"""What told each parameter: prior, exclusion, or shape; against independent computations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.diagnose.beliefs import carriers
from mnarkit.diagnose.collinear import collinearity
from mnarkit.diagnose.freed import freed_spec
from mnarkit.diagnose.identification import LABELS
from mnarkit.diagnose.identified import identification_findings
from mnarkit.diagnose.identify import identify
from mnarkit.diagnose.information import point_of, shape_share, standard_errors
from mnarkit.diagnose.prior_draws import log_prior_of, prior_of
from mnarkit.sample.target import Target
from tests.diagnose_scenarios import line
from tests.test_diagnose_predictive import fit_of

pytestmark = pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")  # few draws are enough here
EXCLUSION, SHAPE, MIXED, PRIOR, RECORDED = LABELS
MODEL = mk.Regression("y ~ x")
QUICK = {"draws": 200, "tune": 200, "chains": 2, "seed": 1, "progress": False}


def table(n: int = 3000, seed: int = 1, **how) -> pd.DataFrame:
    return line(np.random.default_rng(seed), n, **how)


def at(spec: mk.Spec, data: pd.DataFrame, **draws) -> mk.Fit:
    """A fit with one draw."""
    base = {"coef": [[1.0, 0.5]], "sd": [1.0]} | draws
    return fit_of(spec, data, {k: np.asarray(v, dtype=float)[None] for k, v in base.items()})


def probit_loglik(theta: np.ndarray, data: pd.DataFrame) -> np.ndarray:
    """log f(y seen, r) by row, written again: θ = (intercept, x, z of y; log sd; intercept, x, z, y of missing)."""
    x = np.column_stack([np.ones(len(data)), data["x"], data["z"]])
    mean, sd = x @ theta[:3], np.exp(theta[3])
    free, b = x @ theta[4:7], theta[7]
    y = data["y"].to_numpy()
    seen = stats.norm.logpdf(y, mean, sd) + stats.norm.logcdf(-(free + b * y))
    unseen = stats.norm.logcdf((free + b * mean) / np.sqrt(1 + (b * sd) ** 2))
    return np.where(np.isnan(y), unseen, seen)


def test_the_share_of_shape_is_that_of_the_information_of_the_wider_model():
    data = table(on_z=0.6, on_y=0.5)
    spec = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x + z"))
    fit = at(spec, data, missing_y=[-0.9, 0.4, 0.6, 0.5])
    (carrier,) = carriers(spec, fit.data)
    theta = np.array([1.0, 0.5, 0.0, 0.0, -0.9, 0.4, 0.6, 0.5])
    step = 1e-5 * np.eye(8)
    scores = np.stack([(probit_loglik(theta + e, data) - probit_loglik(theta - e, data)) / 2e-5 for e in step], axis=1)
    information = scores.T @ scores
    kept = [0, 1, 3, 4, 5, 6, 7]
    declared = np.linalg.inv(information[np.ix_(kept, kept)])[-1, -1]
    expected = declared / np.linalg.inv(information)[-1, -1]
    # both differentiate numerically: 1e-4 on standardised columns, relative error 1e-6 of scores of order 1
    assert shape_share(fit, point_of(fit), carrier) == pytest.approx(expected, rel=1e-4)
    assert 0.2 < expected < 0.5


def test_standard_errors_are_those_of_em_at_its_maximum():
    data = table(1500, on_z=0.6, on_y=0.5)
    spec = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x + z"))
    ml = mk.em(spec, data)
    by_name = ml.params
    fit = at(
        spec,
        data,
        coef=[[by_name["y ~ Intercept"], by_name["y ~ x"]]],
        sd=[by_name["var(y)"] ** 0.5],
        missing_y=[by_name[f"missing(y) ~ {t}"] for t in ("Intercept", "x", "z", "y")],
    )
    found = pd.Series(standard_errors(fit, point_of(fit)))
    np.testing.assert_allclose(found[ml.params.index], ml.std_errors, rtol=1e-5)


@pytest.mark.parametrize(
    ("belief", "model", "freed_belief", "freed_model"),
    [
        ("missing(y) ~ y + z", "y ~ x", "missing(y) ~ y + z + x", "y ~ x + z"),
        ("missing(y) ~ y + x + log(z)", "y ~ x", "missing(y) ~ y + x + log(z)", "y ~ x + log(z)"),
        ("missing(y) ~ y + x", "y ~ x + I(x**2)", "missing(y) ~ y + x", "y ~ x + I(x**2)"),
    ],
)
def test_a_freed_spec_has_the_same_columns_in_both_formulas(belief, model, freed_belief, freed_model):
    found = freed_spec(mk.Spec(mk.Regression(model), mk.Selection(belief, link="logit")), 0)
    assert found == mk.Spec(mk.Regression(freed_model), mk.Selection(freed_belief, link="logit"))


def test_freed_specs_of_other_beliefs():
    joint = mk.MvNormal("y", "w", given="x")
    found = freed_spec(mk.Spec(joint, mk.Selection("missing(y) ~ y")), 0)
    assert found.selections == (mk.Selection("missing(y) ~ y + x + w"),)
    heckman = freed_spec(mk.Spec(MODEL, mk.Heckman("recorded(y) ~ z")), 0)
    assert heckman == mk.Spec(mk.Regression("y ~ x + z"), mk.Heckman("recorded(y) ~ z + x"))
    waves = mk.MvNormal("a", "b", given="x")
    dropout = freed_spec(mk.Spec(waves, mk.Dropout("current + z", waves=("a", "b"))), 0)
    assert dropout.model == mk.MvNormal("a", "b", given="x + z")
    assert dropout.selections == (mk.Dropout("current + z + x + previous", waves=("a", "b")),)


def test_prior_draws_are_the_priors_in_the_columns_own_units():
    data = table(400, on_z=0.5)
    priors = {"y": mk.Prior("normal", 0.3, 0.1, unit="raw"), "z": mk.Prior("uniform", -1, 1)}
    spec = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + z", priors=priors))
    found = prior_of(Target.of(spec, mk.IncompleteData.of(data)), 20_000, 1)
    terms = found["missing_y"].sel(chain=0)
    on_y = terms.sel(missing_y_term="y").values
    assert abs(on_y.mean() - 0.3) < 5 * 0.1 / 20_000**0.5
    assert abs(on_y.std() - 0.1) < 5 * 0.1 / 40_000**0.5
    on_z = terms.sel(missing_y_term="z").values * data["z"].std()
    assert stats.kstest(on_z, "uniform", args=(-1, 2)).pvalue > 1e-4
    scale = data["y"].std()
    assert stats.kstest(found["sd"].values.ravel() / scale / 2.5, lambda v: 2 * stats.t.cdf(v, 3) - 1).pvalue > 1e-4
    slope = found["coef"].sel(chain=0, term="x").values.ravel() / scale * data["x"].std()
    assert stats.kstest(slope / 10, "norm").pvalue > 1e-4


def test_the_log_prior_of_draws_is_that_of_the_declared_priors():
    data = table(300, on_z=0.5).assign(v=np.random.default_rng(5).normal(size=300))
    model = mk.MvNormal("y", "v", given="x", priors={"corr": mk.Prior("lkj", 2)})
    fit = mk.sample(mk.Spec(model, mk.Selection("missing(y) ~ y")), data, **QUICK)
    found = log_prior_of(fit).ravel()
    draws = fit.draws["posterior"].to_dataset().stack(s=("chain", "draw"))
    scale = data[["y", "v"]].std().to_numpy()
    slope = draws["coef"].sel(term="x").transpose("s", "column_name").values * data["x"].std() / scale
    centered = draws["coef"].sel(term="Intercept").transpose("s", "column_name").values
    centered = (
        centered
        + draws["coef"].sel(term="x").transpose("s", "column_name").values * data["x"].mean()
        - data[["y", "v"]].mean().to_numpy()
    ) / scale
    sd = draws["sd"].transpose("s", "column_name").values / scale
    on_y = draws["missing_y"].sel(missing_y_term="y").values * scale[0]
    free = (
        draws["missing_y"].sel(missing_y_term="Intercept").values
        + draws["missing_y"].sel(missing_y_term="y").values * data["y"].mean()
    )
    corr = draws["corr"].values[0, 1]
    expected = stats.norm.logpdf(slope, 0, 10).sum(axis=1) + stats.norm.logpdf(centered, 0, 10).sum(axis=1)
    expected += stats.t.logpdf(sd / 2.5, 3).sum(axis=1) + np.log(1 - corr**2)
    expected += stats.norm.logpdf(on_y, 0, 1.5) + stats.norm.logpdf(free, 0, 3)
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-6)


def label_of(spec: mk.Spec, data: pd.DataFrame, name: str) -> pd.Series:
    return identify(mk.sample(spec, data, **QUICK), seed=1).table.set_index("parameter").loc[name]


def test_a_strong_exclusion_is_named_and_the_same_predictors_leave_shape():
    found = label_of(mk.Spec(MODEL, mk.Selection("missing(y) ~ y + z")), table(on_z=0.8, on_y=0.5), "missing_y[y]")
    assert (found["label"], found["columns"]) == (EXCLUSION, "z, x")
    assert found["from_exclusion"] + found["from_shape"] == pytest.approx(found["contraction"])
    skewed = table(on_y=0.5, skewed=True)
    fit = mk.sample(mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x")), skewed, **QUICK)
    labels = identify(fit, seed=1).table
    assert EXCLUSION not in set(labels["label"])
    assert labels.set_index("parameter").loc["missing_y[y]", "label"] in (SHAPE, MIXED, PRIOR)


def test_an_exclusion_that_moves_nothing_does_not_count():
    spec = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x + w"))
    fit = mk.sample(spec, table(on_y=0.5), **QUICK)
    made = identify(fit, seed=1)
    row = made.table.set_index("parameter").loc["missing_y[y]"]
    assert row["label"] != EXCLUSION
    assert made.weak["missing_y[y]"] == ("w",)
    assert row["from_exclusion"] == 0
    said = {one.what: one for one in identification_findings(made, fit)}["missing_y[y]"].verdict
    assert "w declared as an exclusion, but moves nothing: not counted" in said


def test_a_prior_only_amount_is_prior_only_and_one_that_auxiliaries_tell_is_not():
    data = table(800)
    late = mk.Spec(MODEL, mk.PatternMixture(mk.Shift("y", mk.Prior("normal", -0.3, 0.2), unit="sd")))
    assert label_of(late, data, "shift_y")["label"] == PRIOR
    alone = mk.Spec(MODEL, mk.PatternMixture(mk.Shift("y", mk.Prior("normal", 0, 1), unit="sd", of="model")))
    assert label_of(alone, data, "shift_y")["label"] == PRIOR
    rng = np.random.default_rng(3)
    complete = data["y"].fillna(pd.Series(2 + rng.normal(size=800)))
    with_aux = data.assign(v=complete + 0.5 * rng.normal(size=800))
    belief = mk.PatternMixture(mk.Shift("y", mk.Prior("normal", 0, 1), unit="sd", of="model"))
    found = label_of(mk.Spec(mk.MvNormal("y", "v", given="x"), belief), with_aux, "shift_y")
    assert (found["label"], found["columns"]) == (EXCLUSION, "v")


def test_under_mar_parameters_are_learned_from_what_is_recorded():
    fit = mk.sample(mk.Spec(MODEL), table(500), **QUICK)
    made = identify(fit, seed=1)
    assert set(made.table["label"]) == {RECORDED}
    np.testing.assert_allclose(made.table["contraction"], 1, atol=0.01)
    ratio = (made.table["sd"] / made.table["ml_std_error"]).dropna()
    # sd of 400 nearly independent draws: relative error below 0.05, 5 of them
    np.testing.assert_allclose(ratio, 1, atol=0.25)
    assert any("if the holes are ignorable" in one.verdict for one in identification_findings(made, fit))


def test_collinearity_is_r_squared_of_the_equation():
    data = table(2000, on_z=0.8)
    spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y + x + z"))
    fit = at(spec, data, missing_y=[-0.9, 0.4, 0.8, 0.0])
    assert collinearity(fit, carriers(spec, fit.data)[0]) == pytest.approx(1)
    partly = mk.Spec(mk.Regression("y ~ x + w"), mk.Selection("missing(y) ~ y + x"))
    fit = at(partly, data, coef=[[1, 0.5, 0.5]], missing_y=[-0.9, 0.4, 0.0])
    expected = 0.5 * data["x"] + 0.5 * data["w"]
    r = np.corrcoef(expected, data["x"])[0, 1] ** 2
    assert collinearity(fit, carriers(partly, fit.data)[0]) == pytest.approx(r)
    heckman = mk.Spec(mk.Regression("y ~ x"), mk.Heckman("recorded(y) ~ x + z"))
    fit = at(heckman, data, recorded_y=[0.9, -0.4, -0.8], rho_y=0.0)
    seen = data.dropna(subset=["y"])
    at_row = 0.9 - 0.4 * seen["x"] - 0.8 * seen["z"]
    mills = stats.norm.pdf(at_row) / stats.norm.cdf(at_row)
    r = np.corrcoef(mills, seen["x"])[0, 1] ** 2
    assert collinearity(fit, carriers(heckman, fit.data)[0]) == pytest.approx(r)


def test_influence_is_what_a_fit_without_the_row_says():
    data = table(250, seed=4, on_z=0.8, on_y=0.5)
    spec = mk.Spec(MODEL, mk.Selection("missing(y) ~ y + x + z"))
    whole = slopes(spec, data)
    found = mk.diagnose(whole[2], m=2, pairs=20, seed=1).influence
    rows = found.head(3)
    without = [slopes(spec, data.drop(data.index[int(r)])) for r in rows["row"]]
    exact = np.array([(mean - whole[0]) / whole[1] for mean, _, _ in without])
    # both means are of some 3,000 effective draws and have a standard error of 0.02 sd: 5 of their difference
    np.testing.assert_allclose(rows["change"], exact, atol=0.13)
    assert np.all(np.sign(rows["change"]) == np.sign(exact))


def slopes(spec, data):
    """Posterior mean and sd of the coefficient of y, and the fit."""
    fit = mk.sample(spec, data, draws=3000, tune=500, chains=2, seed=1, progress=False)
    draws = fit.draws["posterior"]["missing_y"].sel(missing_y_term="y")
    return float(draws.mean()), float(draws.std()), fit
