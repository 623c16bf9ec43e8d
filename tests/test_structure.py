"""Growth curves and structured covariances: against mixed models of statsmodels, published values, direct formulas."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.tsa.stattools import levinson_durbin_pacf

import mnarkit as mk
from mnarkit.build import build_parts
from mnarkit.data import IncompleteData
from mnarkit.em.objective import Objective
from mnarkit.normal.layout import kernel_data
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.structure import from_partial, structure_of
from mnarkit.spec.files import from_yaml
from tests.refs import refs

WAVES = ("w0", "w1", "w2", "w3")
TIMES = (0.0, 1.0, 3.0, 6.0)
MODELS = {
    "growth": mk.Growth(*WAVES, times=TIMES, given="arm"),
    "growth, constant residual": mk.Growth(*WAVES, times=TIMES, given="arm", residual="constant"),
    "random intercept": mk.Growth(*WAVES, times=TIMES, degree=0, residual="constant"),
    "quadratic": mk.Growth(*WAVES, times=TIMES, degree=2, residual="constant"),
    **{
        kind: mk.MvNormal(*WAVES, given="arm", covariance=kind)
        for kind in ("CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH")
    },
}


def table(n: int = 80, seed: int = 4) -> pd.DataFrame:
    """Random intercepts and slopes, dropout at random."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, n)
    u = rng.multivariate_normal([0, 0], [[4, 0.5], [0.5, 0.3]], n)
    y = (
        20
        + u[:, :1]
        + (-1.5 + 0.8 * arm + u[:, 1])[:, None] * np.array(TIMES)
        + rng.normal(0, [1, 1.2, 1.4, 1.6], (n, 4))
    )
    y[np.arange(4)[None, :] >= rng.integers(2, 7, n)[:, None]] = np.nan
    return pd.DataFrame(y, columns=list(WAVES)).assign(arm=arm)


@pytest.mark.parametrize("name", MODELS)
def test_pieces_make_the_covariance_that_they_say(name: str) -> None:
    structure = structure_of(MODELS[name])
    assert structure is not None
    rng = np.random.default_rng(3)
    theta = rng.normal(0, 0.4, sum(structure.sizes(2)))
    pieces = structure.from_free(theta, 2)
    coef, cov = structure.moments(pieces)
    np.linalg.cholesky(cov)
    np.testing.assert_allclose(structure.to_free(pieces), theta, atol=1e-10)
    np.testing.assert_allclose(structure.to_free(structure.nearest(coef, cov)), theta, atol=1e-6)
    if isinstance(MODELS[name], mk.Growth):  # in own units, written with powers of the times
        names = structure.names(WAVES, ("Intercept", "arm"))
        own = dict(zip(names, structure.own(pieces, 2.0, 5.0, np.eye(2), np.array([True, False])), strict=True))
        powers = [np.array(TIMES) ** k for k in range(len(structure.curve))]
        mean = sum(own[f"{c} ~ Intercept"] * z for c, z in zip(structure.curve, powers, strict=True))
        np.testing.assert_allclose(mean, 2 * coef[:, 0] + 5, atol=1e-9)
        spread = np.zeros((4, 4))
        for i, a in enumerate(structure.curve):
            for j, b in enumerate(structure.curve):
                label = f"var({a})" if a == b else next(k for k in (f"cov({a}, {b})", f"cov({b}, {a})") if k in own)
                spread += own[label] * np.outer(powers[i], powers[j])
        residual = [own.get(f"residual sd({w})", own.get("residual sd")) for w in WAVES]
        np.testing.assert_allclose(spread + np.diag(np.square(residual)), 4 * cov, atol=1e-9)
        return
    sd, lags = np.sqrt(np.diag(cov)), np.abs(np.subtract.outer(range(4), range(4)))
    corr = cov / np.outer(sd, sd)
    for k in range(1, 4):  # constant along diagonals
        assert np.ptp(corr[lags == k]) < 1e-12
    if name.startswith("CS"):
        assert corr[0, 1] == pytest.approx(corr[0, 3])
    if name.startswith("AR"):
        assert corr[0, 3] == pytest.approx(corr[0, 1] ** 3)
    assert (np.ptp(sd) < 1e-12) == ("H" not in name)


def test_autocorrelations_are_those_of_statsmodels() -> None:
    partial = np.array([0.6, -0.3, 0.2, 0.1])
    theirs = levinson_durbin_pacf(np.concatenate([[1.0], partial]))[1]
    np.testing.assert_allclose(from_partial(partial, 5), theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "fixed", "random"),
    [
        ("growth, constant residual", "y ~ arm * t", "t"),
        ("CS", "y ~ arm * C(t)", "1"),
    ],
)
def test_maximum_likelihood_is_that_of_a_mixed_model(name: str, fixed: str, random: str) -> None:
    frame = table(150)
    fit = mk.em(mk.Spec(MODELS[name]), frame, progress=False)
    long = mk.to_long(
        frame.assign(i=range(150)).rename(columns=dict(zip(WAVES, (f"y_{t:g}" for t in TIMES), strict=True))),
        subject="i",
        time="t",
        value="y",
    ).dropna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = smf.mixedlm(fixed, long, groups="i", re_formula=random).fit(reml=False, method="lbfgs", gtol=1e-10)
    assert fit.loglik == pytest.approx(theirs.llf, abs=2e-4)  # their optimiser stops a little below the top
    assert fit.loglik >= theirs.llf - 1e-6
    if name.startswith("growth"):
        assert fit.params["growth: slope ~ arm"] == pytest.approx(theirs.params["arm:t"], abs=1e-3)
        assert fit.std_errors["growth: slope ~ arm"] == pytest.approx(theirs.bse["arm:t"], rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_and_units(name: str) -> None:
    objective = Objective.of(
        mk.Spec(MODELS[name], mk.Dropout("current", waves=WAVES, by_wave=())), IncompleteData.of(table())
    )
    theta = np.random.default_rng(0).normal(0, 0.3, objective.size)
    value, gradient = objective.loglik_and_gradient(theta)
    by_differences = [
        (objective.loglik(theta + e) - objective.loglik(theta - e)) / 2e-6 for e in 1e-6 * np.eye(len(theta))
    ]
    np.testing.assert_allclose(gradient, by_differences, rtol=1e-6, atol=1e-4)
    coef, cov, (dropout, _) = objective.estimates(theta)
    rows = kernel_data(objective.layout, keep_empty_rows=True, products=False)
    each = np.empty(80)
    arguments = kernel_parameters(Parameters(coef, cov, [dropout.coef], [None], []), objective.layout, rows)
    unit_loglik(*arguments, *rows.arrays[1:], each)
    assert each.sum() == pytest.approx(value + objective.constant, abs=1e-8)


@pytest.mark.parametrize("name", ["growth", "TOEPH", "AR(1)"])
def test_the_pymc_model_says_the_same(name: str) -> None:
    data = IncompleteData.of(table())
    built = build_parts(mk.Spec(MODELS[name]), data)
    model, layout = built.model, built.layout
    rng = np.random.default_rng(4)
    point = {k: np.asarray(v) + 0.1 * rng.normal(size=np.shape(v)) for k, v in model.initial_point().items()}
    names = ["coef", "sd", "corr", *(["growth", "random_sd", "residual_sd"] if name == "growth" else ["lag_corr"])]
    graph = model.replace_rvs_by_values([model.potentials[0], *(model[n] for n in names)])
    compiled = model.compile_fn(graph, inputs=model.value_vars, on_unused_input="ignore", mode="FAST_COMPILE")
    potential, coef, sd, corr, *more = compiled(point)
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    each = np.empty(data.n)
    arguments = kernel_parameters(Parameters(coef, corr * np.outer(sd, sd), [], [], []), layout, rows)
    unit_loglik(*arguments, *rows.arrays[1:], each)
    constant = -np.log(built.scaling.scale) @ layout.seen.sum(axis=0)
    assert float(potential) + constant == pytest.approx(each.sum(), abs=1e-7)
    if name == "growth":
        growth, random_sd, residual_sd = more
        np.testing.assert_allclose(np.vander(TIMES, 2, increasing=True) @ growth, coef, atol=1e-9)
        assert random_sd[0] ** 2 + residual_sd[0] ** 2 == pytest.approx(sd[0] ** 2)
    else:
        np.testing.assert_allclose(more[0], corr[0, 1 : 1 + len(more[0])], atol=1e-12)


def test_the_file_keeps_the_model() -> None:
    for model in MODELS.values():
        assert from_yaml(mk.Spec(model).to_yaml()) == mk.Spec(model)


def test_diggle_and_kenwards_model_of_the_schizophrenia_trial() -> None:
    """The exact maximum, recomputed in refs/mplus_diggle_kenward_nimh: Mplus integrates by Monte Carlo."""
    frame = pd.read_csv(refs("mplus_diggle_kenward_nimh") / "data.csv")
    waves = tuple(f"severe{t}" for t in range(7))
    spec = mk.Spec(mk.Growth(*waves, times=tuple(range(7))), mk.Dropout("previous + current", waves=waves))
    fit = mk.em(spec, frame, progress=False)
    assert fit.loglik == pytest.approx(-4272.98970, abs=5e-6)
    published = {
        "dropout ~ previous": (0.69219, 0.15795),
        "dropout ~ current": (-0.85120, 0.19155),
        "growth: intercept ~ Intercept": (6.10025, 0.04877),
        "growth: slope ~ Intercept": (-0.39301, 0.01878),
        "growth: var(intercept)": (0.55098, 0.06523),
        "growth: var(slope)": (0.06538, 0.00904),
        "growth: cov(intercept, slope)": (0.03692, 0.01510),
        **{
            f"dropout ~ Intercept[severe{t}]": (-threshold, error)
            for t, (threshold, error) in enumerate(
                [(1.61650, 0.28954), (1.48016, 0.26482), (1.83667, 0.28631), (1.61832, 0.26703), (1.88443, 0.29816)], 2
            )
        },
    }
    for name, (estimate, error) in published.items():
        assert fit.params[name] == pytest.approx(estimate, abs=1.1e-5), name
        assert fit.std_errors[name] == pytest.approx(error, abs=1.1e-5), name
    variances = [0.67067, 0.63189, 0.61096, 0.55864, 0.65374, 0.52237, 0.94577]
    got = [fit.params[f"growth: residual sd({w})"] ** 2 for w in waves]
    np.testing.assert_allclose(got, variances, atol=1.1e-5)


BAD = {
    "times": (lambda: mk.Growth(*WAVES, times=(0, 1)), "one number for each of the 4 waves"),
    "order": (lambda: mk.Growth(*WAVES, times=(0, 1, 3, 2)), "increase from wave to wave"),
    "too few": (lambda: mk.Growth("w0", "w1", times=(0, 1)), "at least 3 waves"),
    "degree": (lambda: mk.Growth(*WAVES, times=TIMES, degree=3), "degree= is 0, 1 or 2"),
    "residual": (lambda: mk.Growth(*WAVES, times=TIMES, residual="free"), "residual= is 'by wave' or 'constant'"),
    "intercept": (lambda: mk.Growth(*WAVES, times=TIMES, given="0 + arm"), "has no intercept"),
    "covariance": (lambda: mk.MvNormal(*WAVES, covariance="AR1"), r"one of UN, CS, CSH, AR\(1\)"),
    "two columns": (lambda: mk.MvNormal("w0", "w1", covariance="CS"), "at least 3 columns"),
}


@pytest.mark.parametrize("name", BAD)
def test_models_that_make_no_sense_are_refused(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(mk.errors.SpecError, match=message):
        make()
