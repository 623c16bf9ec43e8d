"""One posterior, twice: the unseen values integrated out, or summed over, and sampled beside the parameters."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

import mnarkit as mk
from tests import latent_models
from tests.calibration.scenarios import (
    CURVE,
    CURVED,
    DATA,
    HAZARD,
    OF_COUNT,
    OF_TERMS,
    OF_V,
    OF_Y,
    SCENARIOS,
    WAVES,
    Scenario,
    predictors,
    raw,
)

SETTINGS = {"draws": 1000, "tune": 1000, "chains": 2, "progress": False, "target_accept": 0.9}
Arrays = dict[str, np.ndarray]


def table(n: int = 200, seed: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = 10 + x + 2 * rng.normal(size=n)
    missing = 0.4 * (y - 10) + z + rng.normal(size=n) > 0.8
    return pd.DataFrame({"y": np.where(missing, np.nan, y), "x": x, "z": z})


def sampled(spec: mk.Spec, frame: pd.DataFrame, seed: int) -> mk.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mk.sample(spec, frame, seed=seed, **SETTINGS)


def by_pymc(model: pm.Model, names: tuple[str, ...], draws: int = 1000) -> xr.Dataset:
    compiled = nutpie.compile_pymc_model(model, var_names=list(names))
    tree = nutpie.sample(
        compiled, draws=draws, tune=1000, chains=2, cores=2, seed=3, progress_bar=False, save_warmup=False
    )
    return tree["posterior"].to_dataset()


def agree(one: Arrays, two: Arrays, least: float = 100) -> None:
    """Compare means and spreads of every scalar, (chain, draw, ...): within five Monte Carlo errors."""
    assert one.keys() == two.keys()
    for name, a in one.items():
        b = two[name]
        assert a.shape[2:] == b.shape[2:], name
        for at in np.ndindex(a.shape[2:]):
            first, second = a[:, :, *at], b[:, :, *at]
            if np.ptp(first) < 1e-10:
                continue  # the diagonal of a correlation matrix
            middle = first.mean()
            for u, v in ((first, second), ((first - middle) ** 2, (second - middle) ** 2)):
                ess = [float(az.ess(w)) for w in (u, v)]
                assert min(ess) > least, (name, at, ess)
                error = np.hypot(u.std() / np.sqrt(ess[0]), v.std() / np.sqrt(ess[1]))
                assert abs(u.mean() - v.mean()) < 5 * error, (name, at, u.mean(), v.mean(), error)


def values(draws: xr.Dataset, *names: str) -> Arrays:
    return {name: draws[name].values for name in names}


BELIEFS: dict[str, tuple[mk.Selection, ...]] = {
    "MAR": (),
    "selection, probit": (mk.Selection("missing(y) ~ y + z"),),
    "selection, logit": (mk.Selection("missing(y) ~ y + z", link="logit"),),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BELIEFS)
def test_a_normal_column_has_the_same_posterior_from_both_engines(name):
    frame, beliefs = table(), BELIEFS[name]
    marginal = sampled(mk.Spec(mk.Regression("y ~ x"), *beliefs), frame, 1)
    latent = sampled(mk.Spec(mk.Regressions(mk.Regression("y ~ x")), *beliefs), frame, 2)
    assert ("latent" in latent.draws.children) == bool(beliefs)
    one, two = (f.draws["posterior"].to_dataset() for f in (marginal, latent))
    first = {"coef": one["coef"].values[:, :, 0], "sd": one["sd"].values[:, :, 0]}
    second = {"coef": two["coef_y"].values, "sd": two["sd_y"].values}
    if beliefs:
        terms = list(two["missing_y_term"].values)
        first["missing_y"] = one["missing_y"].sel(missing_y_term=terms).values
        second["missing_y"] = two["missing_y"].values
    agree(first, second)


# one residual sd: with one a wave, that of the last can be near 0, where no sampler of the lines moves
STEADY = replace(
    SCENARIOS["SharedParameter, dropout"],
    spec=mk.Spec(
        mk.Growth(*WAVES, times=CURVED.times, residual="constant", priors=DATA),
        mk.SharedParameter("0 + one + intercept + slope", by_wave=(), priors=OF_TERMS),
    ),
    nominal=CURVE | {"residual_sd": [0.7], "dropout": {"one": -1.2, "intercept": 0.3, "slope": 0.3}},
    n=100,
)
LATENT: dict[str, tuple[Scenario, Callable[[pd.DataFrame], pm.Model], tuple[str, ...], dict[str, dict]]] = {
    "two columns": (
        SCENARIOS["Selection, two correlated propensities"],
        latent_models.two_selections,
        ("coef", "sd", "corr"),
        {"missing_y": OF_Y, "missing_v": OF_V},
    ),
    "dropout": (SCENARIOS["Dropout"], latent_models.dropout, ("coef", "sd", "corr"), {"dropout": HAZARD}),
    "shared parameter": (
        STEADY,
        latent_models.shared_dropout,
        ("growth", "residual_sd", "random_sd", "random_corr"),
        {"dropout": OF_TERMS},
    ),
    "limits": (SCENARIOS["Limits"], latent_models.limits, ("coef", "sd", "corr"), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LATENT)
def test_marginal_and_latent_cells_give_the_same_posterior(name):
    scenario, model, some, indicators = LATENT[name]
    frame = mk.simulate(scenario.spec, scenario.nominal, data=predictors(scenario), seed=4)
    fit = sampled(scenario.spec, frame, 1)
    ours = fit.draws["posterior"].to_dataset()
    ours = ours.sel({f"{k}_term": list(terms) for k, terms in indicators.items()})
    names = (*some, *indicators)
    agree(values(ours, *names), values(by_pymc(model(frame), names), *names))


OF_BINARY = {"one": raw("normal", -0.5, 0.5), "y": raw("normal", 0.5, 1.0), "z": raw("normal", 0.5, 0.5)}


@pytest.mark.slow
def test_a_binary_outcome_summed_over_and_sampled_has_the_same_posterior():
    rng, n = np.random.default_rng(5), 150
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(0.3 + x)))).astype(float)
    missing = rng.random(n) < 1 / (1 + np.exp(-(-1.2 + y + 0.5 * z)))
    frame = pd.DataFrame({"one": 1.0, "x": x, "z": z, "y": np.where(missing, np.nan, y)})
    spec = mk.Spec(
        mk.Regression("y ~ 0 + one + x", family="bernoulli", priors={"coef": raw("normal", 0, 1)}),
        mk.Selection("missing(y) ~ 0 + one + y + z", link="logit", priors=OF_BINARY),
    )
    ours = sampled(spec, frame, 1).draws["posterior"].to_dataset().sel(missing_y_term=list(OF_BINARY))
    theirs = by_steps(latent_models.bernoulli_selection(frame, OF_BINARY), 1500)
    agree(values(ours, "coef_y", "missing_y"), values(theirs, "coef_y", "missing_y"))


@pytest.mark.slow
def test_a_count_summed_over_and_sampled_has_the_same_posterior():
    scenario = SCENARIOS["Poisson with selection"]
    truth = {"coef_y": [0.7, 0.5], "missing_y": {"one": -1.2, "y": 0.4, "z": 0.5}}
    frame = mk.simulate(scenario.spec, truth, data=predictors(scenario), seed=4)
    ours = sampled(scenario.spec, frame, 1).draws["posterior"].to_dataset()
    theirs = by_steps(latent_models.poisson_selection(frame), 3000)
    agree(values(ours.sel(missing_y_term=list(OF_COUNT)), "coef_y", "missing_y"), values(theirs, "coef_y", "missing_y"))


def by_steps(model: pm.Model, draws: int) -> xr.Dataset:
    """Sample what is discrete by Metropolis's steps, the rest by NUTS."""
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = pm.sample(
            draws, tune=1000, chains=2, cores=1, random_seed=2, progressbar=False, compute_convergence_checks=False
        )
    return tree["posterior"].to_dataset()


OF_TIME = {"one": raw("normal", -0.5, 0.5), "y": raw("normal", 0.3, 0.4), "time": raw("normal", 0, 0.3)}
LINES = mk.Regression(
    "y ~ 0 + one + time + (1 + time | id)",
    priors={
        **{k: DATA[k] for k in ("coef", "sd")},
        "random_sd": raw("half_normal", 1.5),
        "random_corr": mk.Prior("lkj", 2),
    },
)


def long_table(people: int = 30, rows: int = 4) -> pd.DataFrame:
    """Everybody has a line of their own; high values are missing more often."""
    rng = np.random.default_rng(6)
    person, time = np.repeat(np.arange(people), rows), np.tile(np.arange(float(rows)), people)
    u = rng.multivariate_normal([0, 0], [[1.0, 0.1], [0.1, 0.3]], people)
    y = 0.5 + 0.3 * time + u[person, 0] + u[person, 1] * time + 0.7 * rng.normal(size=people * rows)
    missing = -1.0 + 0.5 * y + rng.normal(size=len(y)) > 0
    return pd.DataFrame({"one": 1.0, "y": np.where(missing, np.nan, y), "time": time, "id": person})


@pytest.mark.slow
@pytest.mark.parametrize("priors", [{}, OF_TIME], ids=["MAR", "selection"])
def test_random_lines_integrated_out_and_sampled_have_the_same_posterior(priors):
    frame = long_table()
    beliefs = (mk.Selection("missing(y) ~ 0 + one + y + time", priors=priors),) if priors else ()
    fit = sampled(mk.Spec(LINES, *beliefs), frame, 1)
    assert "integrated out" in fit.notes[0]
    ours = fit.draws["posterior"].to_dataset()
    ours = ours.sel(missing_y_term=list(priors)) if priors else ours
    names = ("coef_y", "sd_y", "random_sd_y", "random_corr_y", *(("missing_y",) if priors else ()))
    agree(values(ours, *names), values(by_pymc(latent_models.own_lines(frame, priors), names, 2000), *names))


CURVES: dict[str, tuple[str, Callable[..., pm.Model], dict[str, mk.Prior]]] = {
    "square": (
        "0 + one + y + I(y**2)",
        latent_models.square_selection,
        {"one": raw("normal", -1, 0.5), "y": raw("normal", 0, 0.5), "I(y ** 2)": raw("normal", 0.3, 0.3)},
    ),
    "threshold": (
        "0 + one + above(y, 1)",
        partial(latent_models.threshold_selection, threshold=1.0),
        {"one": raw("normal", -1, 0.5), "above(y, 1)": raw("normal", 1, 1)},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_a_curved_selection_over_points_and_over_values_has_the_same_posterior(name):
    formula, model, priors = CURVES[name]
    rng, n = np.random.default_rng(7), 120
    x = rng.normal(size=n)
    y = 0.5 + 0.7 * x + rng.normal(size=n)
    chance = {"square": -1.0 + 0.2 * y + 0.4 * y**2, "threshold": -1.0 + 2.5 * (y > 1)}[name]
    frame = pd.DataFrame({"one": 1.0, "x": x, "y": np.where(rng.logistic(size=n) < chance, np.nan, y)})
    link = "logit" if name == "square" else "probit"
    regression = mk.Regression("y ~ 0 + one + x", priors={k: DATA[k] for k in ("coef", "sd")})
    fit = sampled(mk.Spec(regression, mk.Selection(f"missing(y) ~ {formula}", link=link, priors=priors)), frame, 1)
    assert "latent" not in fit.draws.children
    ours = fit.draws["posterior"].to_dataset().sel(missing_y_term=list(priors))
    names = ("coef_y", "sd_y", "missing_y")
    agree(values(ours, *names), values(by_pymc(model(frame, priors), names), *names))


def test_the_comparison_sees_a_third_of_a_standard_deviation():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(2, 1000))
    agree({"a": a}, {"a": rng.normal(size=(2, 1000))})
    for moved in (a + 0.33, 1.33 * a):
        with pytest.raises(AssertionError):
            agree({"a": a}, {"a": moved})
