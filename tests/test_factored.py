"""Factored models: every family in every place, against SciPy row by row."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy import special, stats

import mnarkit as mk
from mnarkit.build import build_factored
from mnarkit.data import IncompleteData
from mnarkit.factored import arithmetic
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.factored.likelihood import loglik, unit_loglik
from mnarkit.factored.posterior import Posterior, posterior_of
from mnarkit.families import FAMILIES

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing is compiled: exactness is what is tested
GRADES = ["low", "mid", "high"]


def table(n: int = 60, seed: int = 5) -> pd.DataFrame:
    """One column of each family, each with holes; y is fully seen and follows all of them a little."""
    rng = np.random.default_rng(seed)
    z, w = rng.normal(size=n), rng.normal(size=n)
    level = rng.integers(0, 3, n)
    columns = {
        "normal": 10 + 2 * rng.normal(size=n),
        "student_t": 5 + 2 * rng.standard_t(4, n),
        "skew_normal": 3 + stats.skewnorm.rvs(3, size=n, random_state=rng),
        "lognormal": np.exp(1 + 0.5 * rng.normal(size=n)),
        "bernoulli": (rng.random(n) < 0.4).astype(float),
        "ordinal": pd.Categorical.from_codes(level, GRADES, ordered=True),
        "categorical": pd.Series(np.array(["a", "b", "c"], dtype=object)[level]),
        "poisson": rng.poisson(1.5, n).astype(float),
        "negative_binomial": rng.negative_binomial(2, 0.5, n).astype(float),
        "gamma": rng.gamma(3, 2, n),
        "beta": 0.05 + 0.9 * rng.beta(3, 2, n),
    }
    frame = pd.DataFrame(columns).assign(z=z, w=w, y=1 + 0.5 * z + rng.normal(size=n))
    for column in columns:
        frame.loc[rng.random(n) < 0.25, column] = None
    return frame


TABLE = table()
WHERE = ("leaf", "covariate", "probit", "logit")


def spec_of(family: str, where: str) -> mk.Spec:
    bounds = {"beta": (0.0, 1.2), "poisson": (0, 9), "negative_binomial": (0, 12)}.get(family)
    own = mk.Regression(f"{family} ~ z", family=family, bounds=bounds)
    if where == "covariate":
        return mk.Spec(mk.Regressions(mk.Regression(f"y ~ {family} + z"), own))
    if where == "leaf":
        return mk.Spec(mk.Regressions(own))
    return mk.Spec(mk.Regressions(own), mk.Selection(f"missing({family}) ~ {family} + w", link=where))


@cache
def posterior(family: str, where: str) -> Posterior:
    spec, data = spec_of(family, where), IncompleteData.of(TABLE)
    return posterior_of(spec, lay_out(spec, data, designs_of(spec, data)))


def point(target: Posterior, seed: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).normal(size=target.size)


def scipy_logpdf(family: str, value, eta, par: dict) -> float:
    """log f(value | η) by SciPy; values of levels are codes."""
    p = {name.removesuffix(f"_{family}"): v for name, v in par.items()}
    match family:
        case "normal":
            return stats.norm.logpdf(value, eta, p["sd"])
        case "student_t":
            return stats.t.logpdf(value, p["df"], eta, p["scale"])
        case "lognormal":
            return stats.lognorm.logpdf(value, p["sd"], scale=np.exp(eta))
        case "skew_normal":
            unit = stats.skewnorm(p["skew"])
            scale = p["sd"] / unit.std()
            return stats.skewnorm.logpdf(value, p["skew"], eta - scale * unit.mean(), scale)
        case "bernoulli":
            return stats.bernoulli.logpmf(value, special.expit(eta))
        case "ordinal":
            cumulative = np.concatenate([[0], special.expit(p["cutpoints"] - eta), [1]])
            return np.log(np.diff(cumulative)[int(value)])
        case "categorical":
            return np.log(special.softmax(np.concatenate([[0], eta]))[int(value)])
        case "poisson":
            return stats.poisson.logpmf(value, np.exp(eta))
        case "negative_binomial":
            size = p["cv"] ** -2
            return stats.nbinom.logpmf(value, size, size / (size + np.exp(eta)))
        case "gamma":
            shape = p["cv"] ** -2
            return stats.gamma.logpdf(value, shape, scale=np.exp(eta) / shape)
    precision, mean = p["spread"] ** -2 - 1, special.expit(eta)
    return stats.beta.logpdf(value, precision * mean, precision * (1 - mean), scale=1.2)


def coded(family: str, value):
    return {"ordinal": GRADES, "categorical": ["a", "b", "c"]}[family].index(value) if isinstance(value, str) else value


def dummies(family: str, value) -> list[float]:
    """What a value puts into a design."""
    return [float(value == k) for k in (1, 2)] if family in ("ordinal", "categorical") else [value]


def by_hand(family: str, where: str, par: dict) -> np.ndarray:
    """log f of every row, latent cells given, discrete ones enumerated."""
    support = {"bernoulli": 2, "ordinal": 3, "categorical": 3, "poisson": 10, "negative_binomial": 13}.get(family, 0)
    cells = iter(par.get(f"{family}_missing", ()))
    out = []
    for _, row in TABLE.iterrows():
        unseen = pd.isna(row[family])
        if unseen and where == "leaf":
            out.append(0.0)
            continue
        values = [coded(family, row[family])] if not unseen else list(range(support)) or [next(cells)]
        own = np.array([row["z"]] if family == "ordinal" else [1, row["z"]])
        each = []
        for value in values:
            total = scipy_logpdf(family, value, par[f"coef_{family}"] @ own, par)
            if where == "covariate":
                # formulaic puts numbers before or after levels by the order of the formula
                x = np.array([1, *dummies(family, value), row["z"]])
                total += stats.norm.logpdf(row["y"], par["coef_y"] @ x, par["sd_y"])
            elif where != "leaf":
                x = np.array([1, *dummies(family, value), row["w"]])
                at = par[f"missing_{family}"] @ x
                link = stats.norm if where == "probit" else stats.logistic
                total += link.logcdf(at if unseen else -at)
            each.append(total)
        out.append(special.logsumexp(each))
    return np.array(out)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("family", FAMILIES)
def test_likelihood_equals_an_independent_computation(family, where):
    target = posterior(family, where)
    theta = point(target, seed=1)
    layout: Layout = target.layout
    prior = target.values(theta)[1]
    par = target.own(theta)
    spec, data = spec_of(family, where), IncompleteData.of(TABLE)
    plain = lay_out(spec, data, designs_of(spec, data))
    latent = [par.get(f"{c}_missing", np.zeros(0)) for c in layout.columns]
    expected = by_hand(family, where, par)
    # double precision on both sides; SciPy's t and skew normal are good to about 1e-10
    assert loglik(plain.factors, par, latent, plain.columns, arithmetic) == pytest.approx(expected.sum(), abs=1e-7)
    assert target(theta)[0] - prior == pytest.approx(expected.sum(), abs=1e-7)
    if not any(len(v) for v in latent):
        np.testing.assert_allclose(unit_loglik(plain, par), expected, atol=1e-8)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_equals_finite_differences(family, where):
    target = posterior(family, where)
    theta = point(target, seed=2)
    step = 1e-5
    numeric = [(target(theta + e)[0] - target(theta - e)[0]) / (2 * step) for e in step * np.eye(target.size)]
    # central differences of step 1e-5 of a log density of a few hundred: rounding 1e-8, curvature 1e-7
    np.testing.assert_allclose(target(theta)[1], numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pymc_model_has_the_same_log_posterior(family):
    where = "covariate" if family in ("gamma", "bernoulli", "normal") else "probit"
    target = posterior(family, where)
    model = build_factored(spec_of(family, where), IncompleteData.of(TABLE)).model
    function = model.compile_fn(model.logp(), inputs=model.value_vars, mode=PYTHON, point_fn=False)
    values = []
    for seed in (3, 4):
        theta = point(target, seed)
        start, held = 0, {}
        for name, piece in target.pieces.items():
            held[name] = theta[start : start + piece.size]
            start += piece.size
        given = [_of_variable(v.name, held).reshape(np.shape(model.initial_point()[v.name])) for v in model.value_vars]
        values.append(float(function(*given)) - target(theta)[0])
    # the ordered cutpoints' prior is known up to a constant alone; PyMC has constants in single precision
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    if family != "ordinal":
        assert values[0] == pytest.approx(0, abs=1e-4)


def _of_variable(name: str, held: dict[str, np.ndarray]) -> np.ndarray:
    for suffix in ("_log__", "_interval__", "_ordered__"):
        name = name.removesuffix(suffix)
    return held[name.removesuffix("_z")]


CURVED = mk.Spec(
    mk.Regressions(
        mk.Regression("y ~ normal + I(normal**2) + normal:bernoulli + normal:arm + log(gamma):z + sqrt(gamma)"),
        mk.Regression("normal ~ gamma + z"),
        mk.Regression("gamma ~ bernoulli", family="gamma"),
        mk.Regression("bernoulli ~ z", family="bernoulli"),
    ),
    mk.Selection("missing(normal) ~ normal + w", link="logit"),
)


def test_terms_of_unseen_values_are_computed_from_the_values_themselves():
    frame = TABLE.assign(arm=np.where(np.arange(len(TABLE)) % 3, "drug", "none"))
    data = IncompleteData.of(frame)
    plain = lay_out(CURVED, data, designs_of(CURVED, data))
    target = posterior_of(CURVED, plain)
    theta = point(target, seed=6)
    par = target.own(theta)
    numeric = [(target(theta + e)[0] - target(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(target.size)]
    np.testing.assert_allclose(target(theta)[1], numeric, rtol=1e-5, atol=1e-4)
    expected = 0.0
    cells = {
        c: dict(zip(rows, par.get(f"{c}_missing", ()), strict=True))
        for c, rows in zip(plain.columns, plain.latent, strict=True)
    }
    for i, row in enumerate(frame.to_dict("records")):
        x, g = cells["normal"].get(i, row["normal"]), cells["gamma"].get(i, row["gamma"])
        each = []
        for b in [0, 1] if np.isnan(row["bernoulli"]) else [row["bernoulli"]]:
            none = float(row["arm"] == "none")
            terms = {
                "Intercept": 1,
                "normal": x,
                "I(normal ** 2)": x**2,
                "sqrt(gamma)": np.sqrt(g),
                "normal:bernoulli": x * b,
                "normal:arm[T.none]": x * none,
                "log(gamma):z": np.log(g) * row["z"],
            }
            names = plain.factors[[f.name for f in plain.factors].index("coef_y")].terms
            total = stats.norm.logpdf(row["y"], par["coef_y"] @ [terms[t] for t in names], par["sd_y"])
            total += stats.norm.logpdf(x, par["coef_normal"] @ [1, g, row["z"]], par["sd_normal"])
            total += scipy_logpdf("gamma", g, par["coef_gamma"] @ [1, b], par)
            total += scipy_logpdf("bernoulli", b, par["coef_bernoulli"] @ [1, row["z"]], par)
            at = par["missing_normal"] @ [1, x, row["w"]]
            each.append(total + stats.logistic.logcdf(at if np.isnan(row["normal"]) else -at))
        expected += special.logsumexp(each)
    assert target(theta)[0] - target.values(theta)[1] == pytest.approx(expected, rel=1e-10)
