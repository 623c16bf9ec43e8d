"""Shared-parameter models: density, gradient, expectations and draws against sums over the random terms; refusals."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import log_expit, log_ndtr

import mnarkit as mk
from mnarkit.build import build_parts
from mnarkit.data import IncompleteData
from mnarkit.em.objective import Objective
from mnarkit.normal.conditional import draw_unseen, expected_unseen
from mnarkit.normal.factors import draw_factors, log_factor_signs, roots
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.link_tables import log_link
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.together import unit_loglik_together
from mnarkit.spec.files import from_json, from_yaml

WAVES = ("w0", "w1", "w2", "w3", "w4")
TIMES = (0.0, 1.0, 2.0, 3.5, 5.0)
POWERS = np.vander(TIMES, 2, increasing=True)
MODEL = mk.Growth(*WAVES, times=TIMES, given="arm")
GROWTH = np.array([[10.0, 1.0], [0.5, -0.3]])  # intercept and slope ~ 1 + arm
SPREAD = np.array([[4.0, 0.6], [0.6, 0.5]])
RESIDUAL = np.array([1.0, 1.1, 0.9, 1.2, 1.0])

BELIEFS = {
    "slope": mk.SharedParameter("slope + arm"),
    "both, logit": mk.SharedParameter("intercept + slope", link="logit"),
    "one intercept": mk.SharedParameter("intercept + z", by_wave=()),
    "both by wave": mk.SharedParameter("intercept + slope", by_wave=("Intercept", "slope")),
    "some waves": mk.SharedParameter("slope", waves=("w0", "w2", "w4"), by_wave=()),
    "every hole": mk.SharedParameter("intercept + slope + z", of="missing"),
    "every hole, logit": mk.SharedParameter("slope", of="missing", link="logit", by_wave=()),
    "every hole, by wave": mk.SharedParameter("intercept + slope", of="missing", by_wave=("Intercept", "intercept")),
}
VALUES = {"Intercept": -0.8, "arm": -0.3, "z": 0.2, "intercept": 0.25, "slope": 0.9}


def table(n: int = 30, seed: int = 2, of: str = "dropout", intermittent: float = 0.1) -> pd.DataFrame:
    """People with a steep slope leave, or have holes; some other holes at random before."""
    rng = np.random.default_rng(seed)
    arm, z = rng.integers(0, 2, n).astype(float), rng.normal(size=n)
    u = rng.multivariate_normal(np.zeros(2), SPREAD, n)
    curve = np.column_stack([np.ones(n), arm]) @ GROWTH.T + u
    y = curve @ POWERS.T + RESIDUAL * rng.normal(size=(n, 5))
    propensity = (-1.0 + 1.2 * u[:, 1])[:, None] + rng.normal(size=(n, 5))
    propensity[:, 0] = -1.0
    gone = propensity > 0
    if of == "dropout":
        gone = np.maximum.accumulate(gone, axis=1) | (rng.random((n, 5)) < intermittent)
    return pd.DataFrame(np.where(gone, np.nan, y), columns=list(WAVES)).assign(arm=arm, z=z)


def frame_for(belief: mk.SharedParameter) -> pd.DataFrame:
    return table(of=belief.of)


def coefficients(terms: tuple[str, ...]) -> dict[str, float]:
    """Some values in own units, by name."""
    return {t: VALUES[t.partition("[")[0]] * (1 + 0.1 * k) for k, t in enumerate(terms)}


def prepared(belief: mk.SharedParameter, frame: pd.DataFrame):
    """The kernel's arguments and data at those values, and the coefficients."""
    spec, data = mk.Spec(MODEL, belief), IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    (indicator,) = layout.indicators
    named = coefficients(indicator.terms)
    cov = POWERS @ SPREAD @ POWERS.T + np.diag(RESIDUAL**2)
    beta = np.array(list(named.values()))
    parameters = Parameters(POWERS @ GROWTH, cov, [beta], [None], [], SPREAD)
    return spec, kernel_parameters(parameters, layout, rows), layout, rows, named


def by_rows(got: np.ndarray, rows) -> np.ndarray:
    made = np.empty(len(got))
    made[rows.patterns.order] = got
    return made


AXIS = np.linspace(-8, 8, 161)  # the density of u given five values is 0.3 wide: good to 1e-13


def over_random_terms(belief: mk.SharedParameter, row: pd.Series, named: dict[str, float]) -> tuple[float, np.ndarray]:
    """log f(y_seen, r) and E[u | y_seen, r] of one row, by a sum over a grid of u, the definition written out."""
    root = np.linalg.cholesky(SPREAD)
    points = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2)
    u = points @ root.T
    log = stats.norm.logpdf(points).sum(axis=1)
    mean = (GROWTH @ [1.0, row["arm"]] + u) @ POWERS.T
    y = row[list(WAVES)].to_numpy(dtype=float)
    log = log + sum(stats.norm.logpdf(y[t], mean[:, t], RESIDUAL[t]) for t in np.flatnonzero(~np.isnan(y)))
    waves = belief.waves or WAVES
    seen = row[list(waves)].notna().to_numpy()
    last = np.flatnonzero(seen).max(initial=-1)
    cdf = log_ndtr if belief.link == "probit" else log_expit
    for t, wave in enumerate(waves):

        def of(name: str, wave: str = wave) -> float | None:
            return named.get(f"{name}[{wave}]", named.get(name))

        if of("Intercept") is None:  # nobody leaves there, or all are seen: no model of that wave
            continue
        if belief.of == "dropout" and (t == 0 or last < 0 or t > last + 1):
            continue
        eta = of("Intercept") + (of("intercept") or 0.0) * u[:, 0] + (of("slope") or 0.0) * u[:, 1]
        eta = eta + sum((of(c) or 0.0) * row[c] for c in ("arm", "z"))
        missing = t == last + 1 if belief.of == "dropout" else not seen[t]
        log = log + cdf(eta if missing else -eta)
    top = log.max()
    weight = np.exp(log - top)
    total = weight.sum() * (AXIS[1] - AXIS[0]) ** 2
    return top + np.log(total), weight @ u / weight.sum()


@pytest.mark.parametrize("name", BELIEFS)
def test_density_and_expectation_equal_a_sum_over_the_random_terms(name):
    belief, frame = BELIEFS[name], frame_for(BELIEFS[name])
    _, arguments, layout, rows, named = prepared(belief, frame)
    assert rows.together
    got = np.empty(len(frame))
    unit_loglik_together(*arguments, *rows.arrays[1:], got)
    got, mean = by_rows(got, rows), expected_unseen(arguments, rows, layout.y)
    for i, row in frame.iterrows():
        loglik, u = over_random_terms(belief, row, named)
        # single logits are eight probits, good to 3e-9 absolute; the sums of both sides are good to 1e-8
        assert got[i] == pytest.approx(loglik, abs=1e-7 if belief.link == "probit" else 1e-6)
        holes = row[list(WAVES)].isna().to_numpy()
        expected = (GROWTH @ [1.0, row["arm"]] + u) @ POWERS.T
        np.testing.assert_allclose(mean[i, holes], expected[holes], atol=1e-5)


@pytest.mark.parametrize("name", BELIEFS)
def test_gradient_equals_finite_differences_and_own_units_agree(name):
    belief, data = BELIEFS[name], IncompleteData.of(frame_for(BELIEFS[name]))
    objective = Objective.of(mk.Spec(MODEL, belief), data)
    theta = np.random.default_rng(0).normal(0, 0.3, objective.size)
    value, gradient = objective.loglik_and_gradient(theta)
    steps = 1e-5 * np.eye(len(theta))
    numeric = [(objective.loglik(theta + e) - objective.loglik(theta - e)) / 2e-5 for e in steps]
    # the sum over the random terms is good to 1e-8, so differences of step 1e-5 are good to 1e-3 of a hundred rows at
    # worst; they are mostly good to 1e-5
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=5e-4)
    layout = objective.layout
    own = kernel_data(layout, keep_empty_rows=True, products=False)
    coef, cov, (indicator, growth) = objective.estimates(theta)
    spread = layout.structure.random_of(growth.coef, len(layout.terms))
    arguments = kernel_parameters(Parameters(coef, cov, [indicator.coef], [None], [], spread), layout, own)
    each = np.empty(data.n)
    unit_loglik_together(*arguments, *own.arrays[1:], each)
    assert each.sum() == pytest.approx(value + objective.constant, abs=1e-6)


PRIORS = mk.SharedParameter(
    "intercept + slope + arm", priors={"intercept": 0.1, "slope": mk.Prior("student_t", 4, 0, 0.5, unit="raw")}
)


@pytest.mark.parametrize(
    "belief", [BELIEFS["both, logit"], BELIEFS["both by wave"], PRIORS], ids=["", "waves", "priors"]
)
def test_the_pymc_model_has_that_likelihood_and_priors_per_sd_of_a_random_term(belief):
    data = IncompleteData.of(table())
    built = build_parts(mk.Spec(MODEL, belief), data)
    model, layout = built.model, built.layout
    rng = np.random.default_rng(4)
    point = {k: np.asarray(v) + 0.1 * rng.normal(size=np.shape(v)) for k, v in model.initial_point().items()}
    wanted = ["coef", "sd", "corr", "dropout", "random_sd", "random_corr", *(v.name for v in model.free_RVs)]
    graph = model.replace_rvs_by_values([model.potentials[0], *(model[n] for n in wanted)])
    compiled = model.compile_fn(graph, inputs=model.value_vars, on_unused_input="ignore", mode="FAST_COMPILE")
    potential, *found = compiled(point)
    named = dict(zip(wanted, found, strict=True))
    cov = named["corr"] * np.outer(named["sd"], named["sd"])
    spread = named["random_corr"] * np.outer(named["random_sd"], named["random_sd"])
    own = kernel_data(layout, keep_empty_rows=True, products=False)
    parameters = Parameters(named["coef"], cov, [named["dropout"]], [None], [], spread)
    each = np.empty(data.n)
    unit_loglik_together(*kernel_parameters(parameters, layout, own), *own.arrays[1:], each)
    jacobian = layout.seen.sum(axis=0) @ np.log(built.scaling.scale)
    assert float(potential) == pytest.approx(each.sum() + jacobian, abs=1e-6)
    terms = list(model.coords["dropout_term"])
    at = terms.index("slope[w2]" if belief.by_wave[-1] == "slope" else "slope")
    if belief is PRIORS:
        assert named["dropout"][terms.index("intercept")] == pytest.approx(0.1)
        assert named["dropout"][at] == pytest.approx(named["dropout_slope_z"] / built.scaling.scale[0])
    else:
        assert named["dropout"][at] == pytest.approx(named["dropout_z"][at] / named["random_sd"][1])


def test_draws_follow_the_distribution_given_the_signs():
    belief, frame = BELIEFS["both by wave"], table(12, intermittent=0.2)
    _, arguments, layout, rows, _ = prepared(belief, frame)
    rng = np.random.default_rng(1)
    drawn = np.stack([draw_unseen(arguments, rows, layout.y, rng) for _ in range(3000)])
    assert drawn.shape[1:] == (12, 5)
    expected = expected_unseen(arguments, rows, layout.y)
    error = drawn.std(axis=0) / np.sqrt(3000) + 1e-12
    assert (np.abs(drawn.mean(axis=0) - expected) / error).max() < 4.5  # about 25 cells
    np.testing.assert_array_equal(drawn[0][layout.seen], layout.y[layout.seen])


@pytest.mark.parametrize(("logistic", "rank"), list(itertools.product((False, True), (1, 2))))
def test_factors_are_drawn_from_their_density(logistic, rank):
    rng = np.random.default_rng(5)
    loading = np.column_stack([rng.normal(0, 1.2, (4, rank)), np.zeros((4, 2 - rank))])
    u, sign, links = np.array([-1.0, 0.2, 0.5, -0.4]), np.array([-1.0, 1.0, -1.0, 1.0]), np.full(4, logistic)
    made = draw_factors(np.tile(u, (20_000, 1)), loading @ loading.T, np.ones(4), sign, links, rng)
    L, found = roots(loading @ loading.T)
    assert found == rank
    points = AXIS[:, None] * [1.0, 0.0] if rank == 1 else np.stack(np.meshgrid(AXIS, AXIS), axis=-1).reshape(-1, 2)
    cdf = log_expit if logistic else log_ndtr
    weight = np.exp(cdf(sign * (u + points @ L.T)).sum(axis=1) + stats.norm.logpdf(points).sum(axis=1))
    for power in (1, 2):
        expected = weight @ points**power / weight.sum()
        error = (made**power).std(axis=0) / np.sqrt(len(made)) + 1e-9
        assert (np.abs((made**power).mean(axis=0) - expected) / error).max() < 4.5


@pytest.mark.parametrize("logistic", [False, True])
def test_one_sign_has_its_closed_form_and_no_variance_gives_a_product(logistic):
    u, sign, t = np.array([0.4, -1.0, 2.0]), np.array([1.0, -1.0, 1.0]), np.ones(3)
    slots = np.empty(3), np.empty((3, 3)), np.empty(3)
    cdf = log_expit if logistic else log_ndtr
    links = np.full(3, logistic)
    value = log_factor_signs(u, np.zeros((3, 2)), 0, t, sign, links, *slots)
    assert value == pytest.approx(cdf(sign * u).sum(), abs=1e-12)
    if not logistic:
        L = np.array([[1.5, 0.0], [0.0, 0.0], [0.0, 0.0]])
        expected = log_ndtr(u[0] / np.sqrt(1 + 1.5**2)) + log_ndtr(sign[1:] * u[1:]).sum()
        assert log_factor_signs(u, L, 1, t, sign, links, *slots) == pytest.approx(expected, abs=1e-8)


def test_propensities_that_no_sum_can_hold_have_no_probability_at_once():
    """A sampler that looks for its step reaches them, where a sum took minutes a row: 12.6 points for 1 / width."""
    slots = np.empty(1), np.empty((1, 1)), np.empty(1)
    u, sign, t, links = np.array([0.4]), np.ones(1), np.ones(1), np.array([False])
    for size, expected in ((1e4, log_ndtr(0.4 / np.hypot(1, 1e4))), (1e6, -np.inf), (np.inf, -np.inf)):
        value = log_factor_signs(u, np.array([[size, 0.0]]), 1, t, sign, links, *slots)
        assert value == pytest.approx(expected, abs=1e-8)
        assert np.isfinite(slots[0]).all()


def test_tables_of_the_links_are_those_functions():
    for x in np.random.default_rng(0).uniform(-45, 45, 500):
        mills = np.exp(stats.norm.logpdf(x) - log_ndtr(x))
        np.testing.assert_allclose(log_link(x, False), (log_ndtr(x), mills, -x * mills), rtol=1e-11, atol=2e-9)
        above = np.exp(log_expit(-x))
        expected = (log_expit(x), above, above * (2 * above - 1))
        np.testing.assert_allclose(log_link(x, True), expected, rtol=1e-12, atol=1e-11)


def test_maximum_likelihood_finds_the_slopes_that_mar_misses():
    frame = table(1500, seed=7)
    fit = mk.em(mk.Spec(MODEL, mk.SharedParameter("slope")), frame, progress=False)
    mar = mk.em(mk.Spec(MODEL), frame, progress=False)
    truth = {"dropout ~ slope": 1.2, "growth: slope ~ Intercept": 0.5, "growth: var(slope)": 0.5}
    for name, value in truth.items():
        assert abs(fit.params[name] - value) < 3.5 * fit.std_errors[name]
    # steep slopes are lost: what is seen falls behind by more than its standard error
    assert mar.params["growth: slope ~ Intercept"] < 0.5 - 3 * mar.std_errors["growth: slope ~ Intercept"]


@pytest.mark.parametrize("name", BELIEFS)
def test_files_keep_the_belief(name):
    spec = mk.Spec(MODEL, BELIEFS[name], because="those who get worse fast leave")
    assert from_yaml(spec.to_yaml()) == spec
    assert from_json(spec.to_json()) == spec
    assert spec.missingness[0].waves == (BELIEFS[name].waves or WAVES)
    assert "does not depend on its values, seen or not" in str(spec)


REFUSED = {
    "a column called slope": (BELIEFS["slope"], lambda f: f.assign(slope=1.0), "a random term .* and a column too"),
    "nobody leaves": (
        BELIEFS["slope"],
        lambda f: f.assign(**{w: f["z"] * k + f["arm"] * k**2 + f["w0"] for k, w in enumerate(WAVES)}).assign(
            w1=lambda g: g["w1"].mask(g.index == 0)
        ),
        "no row of 30 has a last run of holes .* of='missing' models those",
    ),
    "by_wave": (mk.SharedParameter("slope", by_wave=("z",)), lambda f: f, "by_wave= names 'z'"),
    "a prior": (mk.SharedParameter("slope", priors={"intercept": 1.0}), lambda f: f, "the prior of 'intercept' has no"),
    "a fixed intercept": (
        mk.SharedParameter("slope", priors={"Intercept[w1]": 1.0}),
        lambda f: f,
        "slopes alone can be fixed",
    ),
    "collinear": (
        mk.SharedParameter("slope + z + z2"),
        lambda f: f.assign(z2=f["z"] * 2),
        "'z2' .* is perfectly collinear with 'z'",
    ),
    "an unknown column": (mk.SharedParameter("slope + age"), lambda f: f, "the spec names 'age'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_does_not_fit_is_refused(name):
    belief, change, message = REFUSED[name]
    with pytest.raises(mk.errors.MnarkitError, match=message):
        mk.em(mk.Spec(MODEL, belief), change(table(intermittent=0.0)))


def test_a_belief_that_makes_no_sense_is_refused():
    for arguments, message in (
        (("missing(w1) ~ slope",), "right-hand side"),
        (("arm",), "shares no random term"),
        (("log(slope)",), "stand as they are"),
        (("slope", ("w0",)), "two columns or more"),
        (("slope", (), "death"), "'dropout' or 'missing'"),
        (("slope", (), "dropout", (), "cloglog"), "'probit' or 'logit'"),
    ):
        with pytest.raises(mk.errors.MnarkitError, match=message):
            mk.SharedParameter(*arguments)
    for model, beliefs, message in (
        (mk.MvNormal(*WAVES), (BELIEFS["slope"],), "take Growth"),
        (MODEL, (mk.SharedParameter("curvature"),), "which a Growth of degree 1 has not"),
        (MODEL, (mk.SharedParameter("slope + w0"),), "'w0' in .* is a modelled column"),
        (MODEL, (mk.SharedParameter("slope", waves=("w2", "w1")),), "not in the order"),
        (MODEL, (mk.SharedParameter("slope", waves=("w2", "w9")),), "speaks of 'w9'"),
        (
            mk.Growth(*WAVES, times=TIMES, degree=2),
            (mk.SharedParameter("intercept + slope + curvature", by_wave=("slope",)),),
            "at most 2",
        ),
        (MODEL, (BELIEFS["some waves"], mk.Selection("missing(w1) ~ w1")), "stand in one spec"),
        (
            MODEL,
            (BELIEFS["slope"], mk.PatternMixture(mk.Shift("w1", 1.0, unit="sd", of="model"))),
            "stand in one spec|two reasons",
        ),
    ):
        with pytest.raises(mk.errors.MnarkitError, match=message):
            mk.Spec(model, *beliefs)
