"""Diggle-Kenward dropout: density and gradient against integration, recovery, published values, refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import mnarkit as mk
from mnarkit.build import build_parts
from mnarkit.data import IncompleteData
from mnarkit.em.objective import Objective
from mnarkit.normal.conditional import draw_unseen, expected_unseen
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.together import unit_loglik_together
from mnarkit.spec.files import from_yaml
from mnarkit.spec.spec import Spec

WAVES = ("w0", "w1", "w2", "w3")
MODEL = mk.MvNormal(*WAVES, given="x")
COEF = np.array([[10.0, 0.5], [9.0, 0.6], [8.0, 0.7], [7.0, 0.8]])
COV = np.array([[4.0, 2.5, 2.0, 1.5], [2.5, 5.0, 3.0, 2.0], [2.0, 3.0, 5.0, 3.0], [1.5, 2.0, 3.0, 6.0]])

BELIEFS = {
    "constant slopes, probit": mk.Dropout("previous + current", waves=WAVES),
    "constant slopes, logit": mk.Dropout("previous + current + z", waves=WAVES, link="logit"),
    "one intercept": mk.Dropout("current + z", waves=WAVES, by_wave=()),
    "current by wave": mk.Dropout("previous + current + x", waves=WAVES, by_wave=("Intercept", "current")),
    "all by wave": mk.Dropout("previous + current", waves=WAVES, by_wave=("Intercept", "current", "previous")),
    "no intercept": mk.Dropout("0 + current", waves=WAVES, by_wave=()),
    "ignorable": mk.Dropout("previous", waves=WAVES),
    "slopes by arm": mk.Dropout("previous + current:arm", waves=WAVES),
    "slopes and intercepts by arm, logit": mk.Dropout("arm:previous + current * arm + z", waves=WAVES, link="logit"),
    "a slope by arm and wave": mk.Dropout(
        "previous + current:arm", waves=WAVES, by_wave=("Intercept", "current:arm[b]")
    ),
}
PRIORS = mk.Dropout(
    "previous + current",
    waves=WAVES,
    priors={"current": -0.2, "previous": mk.Prior("student_t", 4, 0, 0.5, unit="raw")},
)


def table(n: int = 50, seed: int = 2, slope: float = 0.25, intercept: float = -3.0) -> pd.DataFrame:
    """Dropout whose probit hazard grows with the current value."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    y = np.column_stack([np.ones(n), x]) @ COEF.T + rng.multivariate_normal(np.zeros(4), COV, n)
    gone = np.zeros(n, dtype=bool)
    for t in range(1, 4):
        gone |= intercept + slope * y[:, t] + rng.normal(size=n) > 0
        y[gone, t] = np.nan
    return pd.DataFrame(y, columns=list(WAVES)).assign(x=x, z=z, arm=np.where(np.arange(n) % 2, "a", "b"))


def coefficients(belief: mk.Dropout, terms: tuple[str, ...]) -> dict[str, float]:
    """Some values in own units, by name."""
    values = {"Intercept": -1.0, "previous": -0.1, "current": 0.15, "z": 0.3, "x": -0.2}
    values |= {"arm": -0.05, "current:arm": 0.12}
    return {t: values[t.partition("[")[0]] * (1 + 0.1 * k) for k, t in enumerate(terms)}


def by_integration(
    belief: mk.Dropout, row: pd.Series, named: dict[str, float], mean: np.ndarray
) -> tuple[float, float]:
    """log f(y_seen, r) of one row and E[y at the wave of leaving], by adaptive quadrature over that value."""
    seen = row[list(WAVES)].notna().to_numpy()
    left = int(seen.sum())
    y = row[list(WAVES)].to_numpy(dtype=float)
    out = stats.multivariate_normal.logpdf(y[:left], mean[:left], COV[:left, :left])
    cdf = stats.norm.cdf if belief.link == "probit" else stats.logistic.cdf

    def hazard(t: int, current: float) -> float:
        def of(name: str) -> float:
            return named.get(f"{name}[{WAVES[t]}]", named.get(name, 0.0))

        def slope(name: str, *by: str) -> float:
            return of(name) + sum(of(f"{b}[{row['arm']}]") + of(f"{b}[T.{row['arm']}]") for b in by)

        others = sum(of(c) * row[c] for c in ("x", "z")) + slope("Intercept", "arm")
        previous = slope("previous", "arm:previous", "previous:arm") + of(f"arm[{row['arm']}]:previous")
        return cdf(others + previous * y[t - 1] + slope("current", "current:arm") * current)

    for t in range(1, left):
        out += np.log1p(-hazard(t, y[t]))
    if left == 4:
        return out, np.nan
    slope = np.linalg.solve(COV[:left, :left], COV[:left, left])
    centre = mean[left] + slope @ (y[:left] - mean[:left])
    sd = np.sqrt(COV[left, left] - slope @ COV[:left, left])
    span = (centre - 12 * sd, centre + 12 * sd)

    def weight(v: float) -> float:
        return hazard(left, v) * stats.norm.pdf(v, centre, sd)

    mass = integrate.quad(weight, *span, epsabs=0, epsrel=1e-11, limit=200)[0]
    first = integrate.quad(lambda v: v * weight(v), *span, epsabs=0, epsrel=1e-10, limit=200)[0]
    return out + np.log(mass), first / mass


@pytest.mark.parametrize("name", BELIEFS)
def test_density_and_expectation_equal_integration(name: str) -> None:
    belief, frame = BELIEFS[name], table()
    spec, data = Spec(MODEL, belief), IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    (indicator,) = layout.indicators
    named = coefficients(belief, indicator.terms)
    parameters = Parameters(COEF, COV, [np.array(list(named.values()))], [None], [])
    arguments = kernel_parameters(parameters, layout, rows)
    sorted_rows, got = np.empty(data.n), np.empty(data.n)
    unit_loglik(*arguments, *rows.arrays[1:], sorted_rows)
    got[rows.patterns.order] = sorted_rows
    mean = expected_unseen(arguments, rows, layout.y)
    for i, row in frame.iterrows():
        loglik, expected = by_integration(belief, row, named, COEF @ [1.0, row["x"]])
        # the logit as eight probits is good to 3e-9 absolute; hazards here are above 1e-3
        assert got[i] == pytest.approx(loglik, abs=1e-8 if belief.link == "probit" else 1e-5)
        if np.isfinite(expected):
            left = int(row[list(WAVES)].notna().sum())
            assert mean[i, left] == pytest.approx(expected, abs=1e-7 if belief.link == "probit" else 1e-4)


@pytest.mark.parametrize("name", [*BELIEFS, "priors"])
def test_gradient_and_the_pymc_model_agree_with_it(name: str) -> None:
    belief, data = BELIEFS.get(name, PRIORS), IncompleteData.of(table())
    spec = Spec(MODEL, belief)
    objective = Objective.of(spec, data)
    rng = np.random.default_rng(0)
    theta = rng.normal(0, 0.3, objective.size)
    value, gradient = objective.loglik_and_gradient(theta)
    steps = 1e-6 * np.eye(len(theta))
    by_differences = [(objective.loglik(theta + e) - objective.loglik(theta - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(gradient, by_differences, rtol=1e-6, atol=1e-5)
    # own units and standardised ones are one likelihood
    layout = objective.layout
    own = kernel_data(layout, keep_empty_rows=True, products=False)
    coef, cov, (indicator,) = objective.estimates(theta)
    arguments = kernel_parameters(Parameters(coef, cov, [indicator.coef], [None], []), layout, own)
    each = np.empty(data.n)
    unit_loglik(*arguments, *own.arrays[1:], each)
    assert each.sum() == pytest.approx(value + objective.constant, abs=1e-8)
    if name in ("constant slopes, probit", "current by wave", "priors", "slopes by arm"):
        model = build_parts(spec, data).model
        free = {v.name for v in model.free_RVs}
        assert ("dropout_z" in free) or ("dropout_previous_z" in free)
        assert list(model.coords["dropout_term"]) == list(indicator.terms)


@pytest.mark.parametrize("name", ["constant slopes, probit", "slopes by arm"])
def test_the_data_part_of_the_pymc_model_is_the_same_likelihood(name: str) -> None:
    data = IncompleteData.of(table())
    built = build_parts(Spec(MODEL, BELIEFS[name]), data)
    objective = Objective.of(Spec(MODEL, BELIEFS[name]), data)
    point = built.model.initial_point()
    rng = np.random.default_rng(4)
    point = {k: np.asarray(v) + 0.1 * rng.normal(size=np.shape(v)) for k, v in point.items()}
    model = built.model
    wanted = [model.potentials[0], *(model[n] for n in ("coef", "sd", "corr", "dropout"))]
    graph = model.replace_rvs_by_values(wanted)
    compiled = model.compile_fn(graph, inputs=model.value_vars, on_unused_input="ignore", mode="FAST_COMPILE")
    potential, coef, sd, corr, beta = compiled(point)
    own = kernel_data(objective.layout, keep_empty_rows=True, products=False)
    each = np.empty(data.n)
    arguments = kernel_parameters(Parameters(coef, corr * np.outer(sd, sd), [beta], [None], []), objective.layout, own)
    unit_loglik(*arguments, *own.arrays[1:], each)
    assert float(potential) + objective.constant == pytest.approx(each.sum(), abs=1e-7)


def test_the_hazard_is_recovered_by_maximum_likelihood() -> None:
    frame = table(6000, seed=7)
    fit = mk.em(mk.Spec(MODEL, mk.Dropout("previous + current", waves=WAVES)), frame, progress=False)
    at = fit.params[["dropout ~ current", "dropout ~ previous", "dropout ~ Intercept[w2]"]]
    error = fit.std_errors[at.index]
    assert (np.abs(at.to_numpy() - [0.25, 0.0, -3.0]) < 3.5 * error.to_numpy()).all()
    assert error["dropout ~ current"] < 0.08


@pytest.mark.parametrize("name", ["constant slopes, probit", "slopes by arm"])
def test_imputations_follow_the_distribution_given_leaving(name: str) -> None:
    belief, data = BELIEFS[name], IncompleteData.of(table(12))
    spec = Spec(MODEL, belief)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    named = coefficients(belief, layout.indicators[0].terms)
    named |= {"current": 0.8, "previous": -0.5, "current:arm[a]": 0.8, "current:arm[b]": -0.4}
    parameters = Parameters(COEF, COV, [np.array([named[t] for t in layout.indicators[0].terms])], [None], [])
    arguments = kernel_parameters(parameters, layout, rows)
    rng = np.random.default_rng(1)
    drawn = np.stack([draw_unseen(arguments, rows, layout.y, rng) for _ in range(4000)])
    expected = expected_unseen(arguments, rows, layout.y)
    error = drawn.std(axis=0) / np.sqrt(4000) + 1e-12
    assert (np.abs(drawn.mean(axis=0) - expected) / error).max() < 4.5  # about 20 cells


def test_a_row_that_comes_back_has_its_hole_integrated_out_of_two_hazards() -> None:
    frame = table()
    back = frame.index[frame["w3"].notna()][:4]
    frame.loc[back, "w1"] = np.nan
    belief = BELIEFS["constant slopes, probit"]
    spec, data = Spec(MODEL, belief), IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    named = coefficients(belief, layout.indicators[0].terms) | {"current": 0.4, "previous": -0.3, "Intercept[w1]": -2.0}
    beta = np.array([named[t] for t in layout.indicators[0].terms])
    arguments = kernel_parameters(Parameters(COEF, COV, [beta], [None], []), layout, rows)
    sorted_rows, got = np.empty(data.n), np.empty(data.n)
    assert rows.together
    unit_loglik_together(*arguments, *rows.arrays[1:], sorted_rows)
    got[rows.patterns.order] = sorted_rows
    for i in back:
        y, mean = frame.loc[i, list(WAVES)].to_numpy(dtype=float), COEF @ [1.0, frame["x"][i]]

        def stays(t: int, previous: float, current: float) -> float:
            return stats.norm.sf(named[f"Intercept[{WAVES[t]}]"] - 0.3 * previous + 0.4 * current)

        def density(v: float, y: np.ndarray = y, mean: np.ndarray = mean) -> float:
            full = np.array([y[0], v, y[2], y[3]])
            return stays(1, y[0], v) * stays(2, v, y[2]) * stats.multivariate_normal.pdf(full, mean, COV)

        whole = integrate.quad(
            density, mean[1] - 30, mean[1] + 30, epsabs=0, epsrel=1e-10, limit=300, points=[mean[1]]
        )[0]
        assert got[i] == pytest.approx(np.log(whole * stays(3, y[2], y[3])), abs=1e-8)


def test_nobody_is_at_risk_after_leaving_and_waves_without_leavers_have_no_hazard() -> None:
    frame = table(40)
    frame.loc[frame["w2"].isna() & frame["w1"].notna(), ["w1", "w2", "w3"]] = np.nan  # nobody leaves at w2
    spec = mk.Spec(MODEL, mk.Dropout("previous + current", waves=WAVES))
    data = IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    assert layout.indicators[0].terms == ("Intercept[w1]", "Intercept[w3]", "previous", "current")
    seen = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    assert layout.indicators[0].signs(seen).tolist() == [[-1, -1], [-1, 1], [1, 0], [0, 0]]


def test_the_file_keeps_the_belief() -> None:
    for belief in (*BELIEFS.values(), PRIORS):
        spec = mk.Spec(MODEL, belief, because="those who feel worse stay away")
        assert from_yaml(spec.to_yaml()) == spec


def _reversed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.dropna(subset=["w0"])


def _come_back(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[frame["w3"].notna().to_numpy().nonzero()[0][:2], ["w1", "w2"]] = np.nan
    return frame


REFUSED = {
    "not monotone": (
        BELIEFS["constant slopes, probit"],
        _come_back,
        r"2 of 50 rows come back after a hole \(4 holes .* and 2 of them",
    ),
    "no leavers": (
        BELIEFS["constant slopes, probit"],
        lambda f: f.assign(w1=f["w0"], w2=f["w0"].mask(f.index == 0), w3=f["x"] + f["z"] ** 2),
        r"nobody leaves after the first wave: no row of 50",
    ),
    "backwards": (mk.Dropout("previous + current", waves=WAVES[::-1]), _reversed, "waves= are in their order in time"),
    "a modelled column": (
        mk.Dropout("current + w0", waves=WAVES),
        lambda f: f,
        "'w0' in 'current [+] w0' is a modelled column",
    ),
    "by_wave": (mk.Dropout("current", waves=WAVES, by_wave=("z",)), lambda f: f, "by_wave= names 'z'"),
    "a prior": (
        mk.Dropout("current", waves=WAVES, priors={"previous": 1.0}),
        lambda f: f,
        "the prior of 'previous' has no term",
    ),
    "a fixed intercept": (
        mk.Dropout("current", waves=WAVES, priors={"Intercept[w1]": 1.0}),
        lambda f: f,
        "slopes alone can be fixed",
    ),
    "collinear": (
        mk.Dropout("current + z + z2", waves=WAVES),
        lambda f: f.assign(z2=f["z"] * 2),
        "'z2' .* is perfectly collinear with 'z'",
    ),
    "too many groups": (
        mk.Dropout("current:x", waves=WAVES),
        lambda f: f,
        "'current:x' in 'current:x' has 50 different slopes in 50 rows, .* at most 24 groups; take a column with fewer",
    ),
    "slopes said twice": (
        mk.Dropout("current:arm + current:arm2", waves=WAVES),
        lambda f: f.assign(arm2=f["arm"]),
        "the slopes .* are linearly dependent in 50 rows",
    ),
    "an unknown slope": (
        mk.Dropout("current:arm", waves=WAVES, priors={"current:arm[c]": 0.0}),
        lambda f: f,
        r"the prior of 'current:arm\[c\]' has no term .* current:arm\[a\], current:arm\[b\]",
    ),
    "a column called current": (
        BELIEFS["one intercept"],
        lambda f: f.assign(current=1.0),
        "'current' in .* is the value at a wave, and a column too",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_does_not_fit_is_refused(name: str) -> None:
    belief, change, message = REFUSED[name]
    with pytest.raises(mk.errors.MnarkitError, match=message):
        mk.em(mk.Spec(MODEL, belief), change(table()))


def test_a_belief_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(mk.errors.SpecError, match="at least two columns"):
        mk.Dropout("current", waves=("w0",))
    with pytest.raises(mk.errors.FormulaError, match="right-hand side"):
        mk.Dropout("missing(w1) ~ current", waves=WAVES)
    for text in ("log(current)", "previous:current", "current:log(previous)", "I(current * x)"):
        with pytest.raises(mk.errors.FormulaError, match="stand as they are, or by group as in current:arm"):
            mk.Dropout(text, waves=WAVES)
    with pytest.raises(mk.errors.SpecError, match="'w1' has 2 models of its holes"):
        mk.Spec(MODEL, mk.Dropout("current", waves=WAVES), *[mk.Selection("missing(w1) ~ w1")] * 2)
    with pytest.raises(mk.errors.SpecError, match="speaks of 'w9'"):
        mk.Spec(MODEL, mk.Dropout("current", waves=("w0", "w9")))
