"""Posteriors against published results; each with R-hat and effective sample size."""

from functools import cache

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats

import mnarkit as mk
from tests.refs import refs


def summary(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1))


WAGES = mk.Spec(mk.Regression("lwage ~ educ"))


@cache
def wages_fit(cores: int = 2) -> mk.Fit:
    return mk.sample(
        WAGES, mk.load_dataset("wages"), draws=300, tune=300, chains=2, cores=cores, seed=1, progress=False
    )


def test_draws_are_what_arviz_reads():
    fit = wages_fit()
    table = az.summary(fit.draws, group="posterior")
    assert list(table.index) == ["coef[lwage, Intercept]", "coef[lwage, educ]", "sd[lwage]"]
    loo = az.loo(fit.draws)
    assert loo.n_data_points == 428  # the others say nothing under MAR
    az.plot_forest(fit.draws)
    assert fit.draws["log_likelihood"].to_dataset()["unit"].dims == ("chain", "draw", "obs")
    assert fit.draws.attrs["spec"] == WAGES.to_json()


def test_log_likelihood_is_that_of_each_row():
    fit = wages_fit()
    data = mk.load_dataset("wages")
    posterior = fit.draws["posterior"].to_dataset()
    coef = posterior["coef"].values[1, 7, 0]
    by_hand = stats.norm(coef[0] + coef[1] * data["educ"], posterior["sd"].values[1, 7, 0]).logpdf(data["lwage"])
    unit = fit.draws["log_likelihood"].to_dataset()["unit"]
    np.testing.assert_array_equal(unit["obs"], np.flatnonzero(data["lwage"].notna()))
    np.testing.assert_allclose(unit.values[1, 7], by_hand[data["lwage"].notna()], atol=1e-10)


def test_the_draws_do_not_depend_on_the_number_of_cores():
    assert wages_fit(1).draws.identical(wages_fit(2).draws)


def test_other_data_go_into_the_compiled_model():
    """The second table has other rows; its posterior is that of a model compiled for it."""
    data = mk.load_dataset("wages").iloc[:500]
    fit = mk.sample(WAGES, data, draws=1000, chains=2, seed=3, progress=False)
    ml = mk.em(WAGES, data).to_frame().set_index("term")
    posterior = fit.draws["posterior"].to_dataset()["coef"]
    for j, term in enumerate(("lwage ~ Intercept", "lwage ~ educ")):
        values = posterior.values[..., 0, j]
        error = values.std() / np.sqrt(fit.draws.attrs["ess_min"])
        # wide priors: the posterior mean is the estimate up to Monte Carlo error
        assert abs(values.mean() - ml.loc[term, "estimate"]) < 5 * error


@pytest.mark.slow
def test_heckman_agrees_with_maximum_likelihood_under_wide_priors():
    """Stata's womenwk: posterior means to 0.1 SE + 4 Monte Carlo errors, SDs to 10 %."""
    data = pd.read_csv(refs("heckman_womenwk") / "data.csv")
    wide = {"rho": mk.Prior("normal", 0, 10)} | {
        t: mk.Prior("normal", 0, 30) for t in ("Intercept", "married", "children", "education", "age")
    }
    model = mk.Regression(
        "wage ~ education + age", priors={"coef": mk.Prior("normal", 0, 30), "sd": mk.Prior("half_student_t", 1, 100)}
    )
    spec = mk.Spec(model, mk.Heckman("recorded(wage) ~ married + children + education + age", priors=wide))
    fit = mk.sample(spec, data, draws=2000, seed=11, progress=False)
    assert fit.draws.attrs["rhat_max"] < 1.01
    assert fit.draws.attrs["ess_min"] > 2000
    posterior = fit.draws["posterior"]
    coef, recorded = posterior["coef"].sel(column_name="wage"), posterior["recorded_wage"]
    ml = {  # estimate, standard error
        "education": (0.9899537, 0.0532565),
        "age": (0.2131294, 0.0206031),
        "Intercept": (0.4857752, 1.077037),
        "s:married": (0.4451721, 0.0673954),
        "s:children": (0.4387068, 0.0277828),
        "s:education": (0.0557318, 0.0107349),
        "s:age": (0.0365098, 0.0041533),
        "s:Intercept": (-2.491015, 0.1893402),
        "athrho": (0.8742086, 0.1014225),
        "lnsigma": (1.792559, 0.0275983),
    }
    draws = {
        **{t: coef.sel(term=t).values for t in ("education", "age", "Intercept")},
        **{
            f"s:{t}": recorded.sel(recorded_wage_term=t).values
            for t in ("married", "children", "education", "age", "Intercept")
        },
        "athrho": np.arctanh(posterior["rho_wage"].values),
        "lnsigma": np.log(posterior["sd"].values[..., 0]),
    }
    for name, (estimate, error) in ml.items():
        mean, sd = summary(draws[name])
        mc_error = sd / np.sqrt(fit.draws.attrs["ess_min"])
        assert abs(mean - estimate) < 0.1 * error + 4 * mc_error, name
        assert abs(sd / error - 1) < 0.1, name


BLIMP_SELECTION = {  # posterior median, SD, 2.5 %, 97.5 %
    "resvar": (2.034, 0.165, 1.746, 2.403),
    "Intercept": (4.301, 0.186, 3.934, 4.663),
    "d1": (-1.452, 0.184, -1.814, -1.096),
    "d2": (0.228, 0.151, -0.070, 0.523),
    "x1": (0.273, 0.087, 0.101, 0.440),
    "m:Intercept": (-0.742, 0.220, -1.197, -0.319),
    "m:y": (0.004, 0.063, -0.121, 0.126),
}
BLIMP_SHIFT = {
    "resvar": (2.051, 0.167, 1.758, 2.413),
    "Intercept": (4.367, 0.160, 4.053, 4.680),
    "d1": (-1.434, 0.181, -1.785, -1.074),
    "d2": (0.232, 0.150, -0.054, 0.524),
    "x1": (0.272, 0.087, 0.102, 0.444),
    "ymis": (0.286, 0.012, 0.265, 0.311),
}


def regression_of_y(posterior, center: float) -> dict[str, np.ndarray]:
    """y on d1, d2 and x1 - center out of the joint model of (y, x1, x2, x3) given d1 and d2, draw by draw."""
    sd = posterior["sd"]
    slope = (
        posterior["corr"].sel(column_name="y", column_name_2="x1") * sd.sel(column_name="y") / sd.sel(column_name="x1")
    )
    coef = posterior["coef"]
    rest = {
        t: (coef.sel(column_name="y", term=t) - slope * coef.sel(column_name="x1", term=t)).values
        for t in ("Intercept", "d1", "d2")
    }
    residual = sd.sel(column_name="y") ** 2 - slope**2 * sd.sel(column_name="x1") ** 2
    return {
        **rest,
        "Intercept": rest["Intercept"] + slope.values * center,
        "x1": slope.values,
        "resvar": residual.values,
    }


def compare(draws: dict[str, np.ndarray], published: dict[str, tuple[float, ...]]) -> None:
    """Medians and intervals to 0.15 posterior SD, SDs to 15 %."""
    for name, (median, sd, low, high) in published.items():
        got = np.quantile(draws[name], [0.5, 0.025, 0.975])
        np.testing.assert_allclose(got, [median, low, high], atol=0.15 * sd, err_msg=name)
        assert abs(draws[name].std() / sd - 1) < 0.15, name


JOINT = mk.MvNormal("x1", "y", "x2", "x3", given="d1 + d2", priors={"sd": mk.Prior("half_student_t", 1, 50)})


def with_factored_priors(model: pm.Model) -> pm.Model:
    """Flat slopes of x1, y, x2 and x3, each given the ones before; residual variances flat, y's proportional to it.

    Blimp prints a flat prior for y's variance too. Its two runs on these data scatter around what that gives, the upper
    limits by 0.07 and 0.21 posterior SD; a density proportional to the variance is within 0.15 SD of both.
    Flat sds with an LKJ(1) correlation are Π Σ_jj^(-p/2) on the covariance; flat factored regressions are
    Π d_j^-(p - j), d_j = Σ_jj Π_k (1 - P_jk²) with the partial correlations P.
    """
    p = 4
    rows = np.tril_indices(p, -1)[0]
    with model:
        log_var = 2 * pt.log(model["sd_z"])
        left = pt.log1p(-((2 * model["partial_corr_z"] - 1) ** 2))
        log_d = log_var + pt.stack([left[np.flatnonzero(rows == j)].sum() if j else 0.0 for j in range(p)])
        pm.Potential("factored", p / 2 * log_var.sum() - (np.arange(p)[::-1] * log_d).sum() + log_d[1])
    return model


def blimp(name: str, spec: mk.Spec) -> tuple[mk.Fit, pd.DataFrame]:
    data = pd.read_csv(refs(name) / "data.csv")
    model = with_factored_priors(mk.build(spec, data))
    fit = mk.sample(spec, data, draws=2000, seed=5, progress=False, model=model)
    assert fit.draws.attrs["rhat_max"] < 1.01
    assert fit.draws.attrs["ess_min"] > 1000
    return fit, data


@pytest.mark.slow
def test_probit_selection_agrees_with_blimp():
    fit, data = blimp("blimp_ex7_1a_selection", mk.Spec(JOINT, mk.Selection("missing(y) ~ y")))
    posterior = fit.draws["posterior"]
    draws = regression_of_y(posterior, data["x1"].mean())
    draws |= {f"m:{t}": posterior["missing_y"].sel(missing_y_term=t).values for t in ("Intercept", "y")}
    compare(draws, BLIMP_SELECTION)


@pytest.mark.slow
def test_shift_inside_the_model_agrees_with_blimp():
    shift = mk.PatternMixture(mk.Shift("y", 0.2, unit="sd", of="model", predictors=("x1",)))
    fit, data = blimp("blimp_ex7_2a_pmm", mk.Spec(JOINT, shift))
    draws = regression_of_y(fit.draws["posterior"], data["x1"].mean())
    draws["ymis"] = 0.2 * np.sqrt(draws["resvar"])
    # Blimp lists d2 among the centered predictors of this run ("Means Model: d2"): its intercept is at d2's mean
    draws["Intercept"] = draws["Intercept"] + draws["d2"] * data["d2"].mean()
    compare(draws, BLIMP_SHIFT)
