"""Random intercepts and slopes: densities against SciPy, effects against their exact law, statsmodels, imputations."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from pytensor.compile.mode import Mode
from scipy import special, stats

import mnarkit as mk
from mnarkit.build import build_factored
from mnarkit.data import IncompleteData
from mnarkit.errors import ConvergenceWarning, DataError, FormulaError, SpecError
from mnarkit.factored.check import check_factored
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.factored.posterior import Posterior, loglik_and_gradient, posterior_of
from mnarkit.factored.random_terms import group_labels
from mnarkit.factored.spread import root_of
from mnarkit.families import FAMILIES
from tests.refs import SHARED
from tests.test_factored import GRADES, scipy_logpdf
from tests.test_factored import table as families_table

PYTHON = Mode(linker="py", optimizer="fast_compile")
R, S = mk.Regression, mk.Selection


def table(groups: int = 12, rows: int = 5, seed: int = 3) -> pd.DataFrame:
    """A long table: people, times, a normal outcome, one above 0, one of 0 and 1, each with holes."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(groups), rows)
    time = np.tile(np.arange(rows), groups) + 0.2 * rng.normal(size=groups * rows)
    u = rng.multivariate_normal([0, 0], [[1.0, 0.2], [0.2, 0.3]], groups)
    x = rng.normal(size=groups * rows)
    y = 5 + x + 0.5 * time + u[person, 0] + u[person, 1] * time + rng.normal(size=groups * rows)
    b = (rng.random(groups * rows) < special.expit(x + u[person, 0])).astype(float)
    frame = pd.DataFrame({"y": y, "cost": np.exp(y / 4), "b": b, "x": x, "time": time, "id": person})
    for column in ("y", "cost", "b"):
        frame.loc[rng.random(len(frame)) < 0.2, column] = np.nan
    frame.loc[frame["id"] == 4, ["y", "cost", "b"]] = np.nan  # a person of whom nothing is seen
    return frame


TABLE = table()
SPECS = {
    "normal": mk.Spec(R("y ~ x + time + (1 + time | id)")),
    "intercept": mk.Spec(R("y ~ x + (1 | id)")),
    "slope alone": mk.Spec(R("y ~ time + (0 + time | id)")),
    "three": mk.Spec(R("y ~ time + (1 + time + x | id)")),
    "lognormal": mk.Spec(R("cost ~ x + time + (1 + time | id)", "lognormal")),
    "bernoulli": mk.Spec(R("b ~ x + (1 + time | id)", "bernoulli")),
    "selection": mk.Spec(R("y ~ x + time + (1 + time | id)"), S("missing(y) ~ y + time + (1 + x | id)")),
    "logit": mk.Spec(R("cost ~ x + (1 | id)", "lognormal"), S("missing(cost) ~ cost + (1 | id)", link="logit")),
    "summed": mk.Spec(
        mk.Regressions(R("y ~ b + time + (1 + time | id)"), R("b ~ x + (1 | id)", "bernoulli")),
        S("missing(b) ~ b + (1 | id)", priors={"random_sd": mk.Prior("half_normal", 1)}),
    ),
}


SHARED_TERMS = {
    "per sd": mk.Spec(R("y ~ x + time + (1 + time | id)"), mk.SharedParameter("intercept + slope + x", of="missing")),
    "raw": mk.Spec(
        R("b ~ x + (1 | id)", "bernoulli"),
        mk.SharedParameter(
            "intercept + time",
            of="missing",
            link="logit",
            priors={"intercept": mk.Prior("normal", 0, 2, unit="raw"), "time": 0.3},
        ),
    ),
}
SPECS |= SHARED_TERMS


def laid_out(spec: mk.Spec, frame: pd.DataFrame) -> Layout:
    data = IncompleteData.of(frame)
    check_factored(spec, data)
    return lay_out(spec, data, designs_of(spec, data))


@cache
def posterior(name: str) -> Posterior:
    return posterior_of(SPECS[name], laid_out(SPECS[name], TABLE))


def point(target: Posterior, seed: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).normal(size=target.size)


def covariance(par: dict, name: str) -> np.ndarray:
    sd = par[f"random_sd_{name}"]
    return par.get(f"random_corr_{name}", np.ones((1, 1))) * np.outer(sd, sd)


def random_columns(formula: str, frame: pd.DataFrame) -> np.ndarray:
    terms = formula.partition("(")[2].partition("|")[0].split("+")
    return np.column_stack(
        [np.ones(len(frame)) if t.strip() == "1" else frame[t.strip()] for t in terms if "0" not in t]
    )


def clusters_by_hand(column: str, par: dict, formula: str, x: np.ndarray) -> float:
    """Σ over people of log N(y; x β, Z Ψ Z' + σ² I); y from the cells of `par` where it is sampled."""
    frame = TABLE.copy()
    if f"{column}_missing" in par:
        frame.loc[frame[column].isna(), column] = par[f"{column}_missing"]
    y = np.log(frame[column]) if column == "cost" else frame[column]
    z, seen, total = random_columns(formula, frame), frame[column].notna(), 0.0
    for person in frame.loc[seen, "id"].unique():
        at = np.flatnonzero(seen & (frame["id"] == person))
        cov = z[at] @ covariance(par, column) @ z[at].T + par[f"sd_{column}"] ** 2 * np.eye(len(at))
        total += stats.multivariate_normal.logpdf(y.to_numpy()[at], x[at] @ par[f"coef_{column}"], cov)
    return total - (y[seen].sum() if column == "cost" else 0.0)


def added(par: dict, name: str, labels: tuple[str, ...], z: np.ndarray) -> np.ndarray:
    """What the effects of a draw add to the linear predictor in every row of the table; NaN for unknown people."""
    effects = dict(zip(labels, par[f"random_{name}"], strict=False))
    nothing = np.full(z.shape[1], np.nan)
    return np.array([z[i] @ effects.get(g, nothing) for i, g in enumerate(group_labels(TABLE["id"].tolist()))])


def value_at(name: str, theta: np.ndarray) -> tuple[float, dict]:
    target = posterior(name)
    return target(theta)[0] - target.values(theta)[1], target.own(theta)


ONE = np.ones(len(TABLE))
X, TIME = TABLE["x"].to_numpy(), TABLE["time"].to_numpy()


def far_points(size: int) -> list[np.ndarray]:
    """Points that a sampler in search of its step meets: scales of 0 and of 1e300, shapes at their ends."""
    rng = np.random.default_rng(4)
    along = [scale * rng.normal(size=size) for scale in (10, 50, 200, 800, 1e4, 1e8) for _ in range(5)]
    return along + [scale * axis for scale in (-800.0, -400.0, 400.0, 800.0) for axis in np.eye(size)]


@pytest.mark.parametrize("name", SPECS)
def test_no_point_stops_a_sampler(name):
    for theta in far_points(posterior(name).size):
        value, gradient = posterior(name)(theta)
        assert value == -np.inf or np.isfinite(value)
        assert gradient.shape == theta.shape


@pytest.mark.parametrize("name", ["normal", "intercept", "slope alone", "three", "lognormal"])
def test_integrated_effects_give_the_density_of_whole_clusters(name):
    value, par = value_at(name, point(posterior(name), seed=1))
    columns = {
        "normal": [ONE, X, TIME],
        "intercept": [ONE, X],
        "slope alone": [ONE, TIME],
        "three": [ONE, TIME],
        "lognormal": [ONE, X, TIME],
    }[name]
    column, formula = SPECS[name].model.columns[0], SPECS[name].model.formula
    expected = clusters_by_hand(column, par, formula, np.column_stack(columns))
    assert value == pytest.approx(expected, rel=1e-10)


def test_sampled_effects_stand_in_the_linear_predictor():
    value, par = value_at("bernoulli", point(posterior("bernoulli"), seed=1))
    labels = posterior("bernoulli").layout.factors[0].random.labels
    eta = np.column_stack([ONE, X]) @ par["coef_b"] + added(par, "b", labels, np.column_stack([ONE, TIME]))
    seen = TABLE["b"].notna()
    assert value == pytest.approx(stats.bernoulli.logpmf(TABLE["b"][seen], special.expit(eta[seen])).sum(), rel=1e-10)


@pytest.mark.parametrize("name", ["selection", "logit"])
def test_a_selection_model_has_random_terms_of_its_own(name):
    value, par = value_at(name, point(posterior(name), seed=1))
    column = SPECS[name].model.columns[0]
    unseen = TABLE[column].isna().to_numpy()
    y = TABLE[column].to_numpy().copy()
    y[unseen] = par[f"{column}_missing"]
    x = np.column_stack([ONE, X, TIME] if name == "selection" else [ONE, X])
    expected = clusters_by_hand(column, par, SPECS[name].model.formula, x)
    labels = posterior(name).layout.factors[1].random.labels
    if name == "selection":
        eta = np.column_stack([ONE, y, TIME]) @ par["missing_y"]
        eta += added(par, "missing_y", labels, np.column_stack([ONE, X]))
        expected += stats.norm.logcdf(np.where(unseen, eta, -eta)).sum()
    else:
        eta = np.column_stack([ONE, y]) @ par["missing_cost"] + added(par, "missing_cost", labels, ONE[:, None])
        expected += stats.logistic.logcdf(np.where(unseen, eta, -eta)).sum()
    assert value == pytest.approx(expected, rel=1e-10)


def test_unseen_values_are_summed_over_given_the_effects():
    value, par = value_at("summed", point(posterior("summed"), seed=1))
    factors = {f.name: f.random.labels for f in posterior("summed").layout.factors}
    of_b, of_y = (added(par, n, factors[f"coef_{n}"], z) for n, z in (("b", ONE[:, None]), ("y", np.c_[ONE, TIME])))
    of_r = added(par, "missing_b", factors["missing_b"], ONE[:, None])
    expected = 0.0
    for i, row in TABLE.iterrows():
        each = []
        for b in [0, 1] if np.isnan(row["b"]) else [row["b"]]:
            total = stats.bernoulli.logpmf(b, special.expit(par["coef_b"] @ [1, row["x"]] + of_b[i]))
            if not np.isnan(row["y"]):
                total += stats.norm.logpdf(row["y"], par["coef_y"] @ [1, b, row["time"]] + of_y[i], par["sd_y"])
            at = par["missing_b"] @ [1, b] + of_r[i]
            each.append(total + stats.norm.logcdf(at if np.isnan(row["b"]) else -at))
        expected += special.logsumexp(each)
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", SHARED_TERMS)
def test_a_model_of_holes_reads_the_effects_of_the_values(name):
    value, par = value_at(name, point(posterior(name), seed=1))
    column = SPECS[name].model.columns[0]
    labels = posterior(name).layout.factors[0].random.labels
    assert len(par[f"random_{column}"]) == 12  # of every person: holes tell something of the one without a value too
    z = np.column_stack([ONE, TIME] if name == "per sd" else [ONE])
    of_y = added(par, column, labels, z)
    u = np.array([par[f"random_{column}"][labels.index(g)] for g in group_labels(TABLE["id"].tolist())])
    seen = TABLE[column].notna().to_numpy()
    if name == "per sd":
        eta = (np.column_stack([ONE, X, TIME]) @ par["coef_y"] + of_y)[seen]
        expected = stats.norm.logpdf(TABLE["y"][seen], eta, par["sd_y"]).sum()
        at = np.column_stack([ONE, X, u]) @ par["missing_y"]
        expected += stats.norm.logcdf(np.where(seen, -at, at)).sum()
    else:
        eta = (np.column_stack([ONE, X]) @ par["coef_b"] + of_y)[seen]
        expected = stats.bernoulli.logpmf(TABLE["b"][seen], special.expit(eta)).sum()
        assert par["missing_b"][1] == pytest.approx(0.3)
        at = np.column_stack([ONE, TIME, u]) @ par["missing_b"]
        expected += stats.logistic.logcdf(np.where(seen, -at, at)).sum()
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", SPECS)
def test_gradient_equals_finite_differences(name):
    target = posterior(name)
    theta = point(target, seed=2)
    numeric = [(target(theta + e)[0] - target(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(target.size)]
    # central differences of step 1e-5 of a log density of a few hundred: rounding 1e-8, curvature 1e-7
    np.testing.assert_allclose(target(theta)[1], numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("normal", "lognormal", "categorical")])
def test_every_other_family_takes_sampled_effects(family):
    frame = families_table().assign(id=np.arange(60) % 7)
    bounds = {"beta": (0.0, 1.2), "poisson": (0, 9), "negative_binomial": (0, 12)}.get(family)
    spec = mk.Spec(R(f"{family} ~ z + (1 + w | id)", family, bounds=bounds))
    target = posterior_of(spec, laid_out(spec, frame))
    theta = point(target, seed=4)
    par, effects = target.own(theta), target.layout.factors[0].random
    expected = 0.0
    for i, row in frame[frame[family].notna()].iterrows():
        u = par[f"random_{family}"][effects.labels.index(str(frame["id"][i]))]
        own = par[f"coef_{family}"] @ ([row["z"]] if family == "ordinal" else [1, row["z"]])
        value = GRADES.index(row[family]) if family == "ordinal" else row[family]
        expected += scipy_logpdf(family, value, own + u @ [1, row["w"]], par)
    assert target(theta)[0] - target.values(theta)[1] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["bernoulli", "summed", "normal", "three", "per sd"])
def test_the_pymc_model_has_the_same_log_posterior(name):
    """Effects are variables of the PyMC model: where they are integrated out, log p(θ) = log p(θ, u) - log p(u | θ)."""
    target, model = posterior(name), build_factored(SPECS[name], IncompleteData.of(TABLE)).model
    function = model.compile_fn(model.logp(), inputs=model.value_vars, mode=PYTHON, point_fn=False)
    rng = np.random.default_rng(5)
    theta = point(target, seed=5)
    held, start = {}, 0
    for key, piece in target.pieces.items():
        held[key], start = theta[start : start + piece.size], start + piece.size
    less = 0.0
    if target.layout.factors[0].random.marginal:
        random, factor = target.layout.factors[0].random, target.layout.factors[0]
        u = rng.normal(size=(random.known, random.k))
        held["random_y"] = u.reshape(-1)
        par = target.values(theta)[0]
        root = factor.unit * par["random_sd_y"][:, None] * par["random_corr_y"]
        r = factor.y - factor.origin - factor.unit * (factor.x @ par["coef_y"])
        for g in range(random.known):
            z, here = random.x[random.at == g] @ root, r[random.at == g]
            precision = np.eye(random.k) + z.T @ z / par["sd_y"] ** 2
            mean = np.linalg.solve(precision, z.T @ here / par["sd_y"] ** 2)
            less += stats.multivariate_normal.logpdf(u[g], mean, np.linalg.inv(precision))
    given = []
    for variable in model.value_vars:
        key = variable.name
        for suffix in ("_log__", "_logodds__", "_interval__"):
            key = key.removesuffix(suffix)
        given.append(held[key.removesuffix("_z")].reshape(np.shape(model.initial_point()[variable.name])))
    # PyMC has constants in single precision
    assert float(function(*given)) - less == pytest.approx(target(theta)[0], abs=1e-4)


def test_effects_that_were_integrated_out_are_drawn_from_their_law():
    target = posterior("normal")
    theta = point(target, seed=7)
    par, factor = target.own(theta), target.layout.factors[0]
    rng = np.random.default_rng(8)
    drawn = np.array([target.effects(theta, rng)["random_y"] for _ in range(4000)])
    psi, noise = covariance(par, "y"), par["sd_y"] ** 2
    for g, label in list(enumerate(factor.random.labels[: factor.random.known]))[:5]:
        at = (TABLE["y"].notna() & (TABLE["id"].astype(str) == label)).to_numpy()
        z = np.column_stack([ONE, TIME])[at]
        r = TABLE["y"].to_numpy()[at] - np.column_stack([ONE, X, TIME])[at] @ par["coef_y"]
        gain = psi @ z.T @ np.linalg.inv(z @ psi @ z.T + noise * np.eye(len(z)))
        mean, cov = gain @ r, psi - gain @ z @ psi
        # 4,000 draws: means within 5 standard errors, variances within 12 % (5 standard errors are 11 %)
        assert np.abs((drawn[:, g].mean(axis=0) - mean) / np.sqrt(np.diag(cov) / 4000)).max() < 5
        np.testing.assert_allclose(np.cov(drawn[:, g].T), cov, rtol=0.12, atol=0.12 * cov.max() / 3)


def test_the_likelihood_is_that_of_statsmodels_and_highest_where_it_says():
    frame = table(groups=40, rows=6, seed=9)
    seen = frame[frame["y"].notna()]
    fitted = smf.mixedlm("y ~ x + time", seen, groups=seen["id"], re_formula="1 + time").fit(reml=False)
    layout = laid_out(mk.Spec(R("y ~ x + time + (1 + time | id)")), frame)
    cov = np.asarray(fitted.cov_re)
    sd = np.sqrt(np.diag(cov))
    corr = cov[0, 1] / sd.prod()
    par = {
        "coef_y": fitted.fe_params.to_numpy(),
        "sd_y": float(np.sqrt(fitted.scale)),
        "random_sd_y": sd,
        "random_corr_y": root_of(np.array([corr]), 2),
    }
    value, gradient = loglik_and_gradient(layout, par)
    assert value == pytest.approx(fitted.llf, abs=1e-8)
    # statsmodels stops where its gradient is small; a standard error moves the log likelihood by about 1 / SE > 5
    assert np.abs(gradient["coef_y"]).max() < 0.01
    assert abs(gradient["sd_y"]) < 0.05
    assert np.abs(gradient["random_sd_y"]).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("source", ["simulated", "clusters"])
def test_the_posterior_agrees_with_restricted_maximum_likelihood(source):
    if source == "simulated":
        frame, formula, group, slope = table(groups=150, rows=5, seed=11), "y ~ x + time", "id", "time"
    else:
        path = SHARED / "data" / "clusters.csv"
        if not path.is_file():
            pytest.skip("the table is not here")
        frame, formula, group, slope = pd.read_csv(path), "y_i ~ x2_i + d_j", "level2id", None
        frame = frame[frame["x2_i"].notna()]
    column = formula.partition(" ~")[0]
    seen = frame[frame[column].notna()]
    bar = f"(1 + {slope} | {group})" if slope else f"(1 | {group})"
    # mixedlm and a posterior with wide priors differ by what the uncertainty of variances does, of order 1 / groups
    reml = smf.mixedlm(formula, seen, groups=seen[group], re_formula=f"1 + {slope}" if slope else "1").fit(reml=True)
    fit = mk.sample(mk.Spec(R(f"{formula} + {bar}")), frame, draws=1000, tune=600, chains=2, seed=12, progress=False)
    draws = fit.draws["posterior"].to_dataset()
    names = [n for n in reml.params.index if n in reml.fe_params.index]
    mean, sd = (getattr(draws[f"coef_{column}"], f)(("chain", "draw")).values for f in ("mean", "std"))
    # 2,000 draws with ess above 800: 5 Monte Carlo errors are 0.18 posterior sd
    assert np.abs((mean - reml.fe_params.to_numpy()) / sd).max() < 0.2
    np.testing.assert_allclose(sd, reml.bse_fe.to_numpy(), rtol=0.15)
    assert len(names) == len(mean)
    spread = draws[f"random_sd_{column}"]
    difference = spread.mean(("chain", "draw")).values - np.sqrt(np.diag(np.asarray(reml.cov_re)))
    assert np.abs(difference / spread.std(("chain", "draw")).values).max() < 0.5


def fitted(spec: mk.Spec, frame: pd.DataFrame, **options) -> mk.Fit:
    given = {"draws": 150, "tune": 200, "chains": 2, "seed": 1, "progress": False} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few draws, on purpose
        return mk.sample(spec, frame, **given)


@cache
def fit_of(name: str) -> mk.Fit:
    return fitted(SPECS[name], TABLE)


def test_from_sample_to_pooled(tmp_path):
    fit = fit_of("normal")
    assert "random effects (1 + time | id) of y marginal, integrated out" in fit.notes[0]
    assert "those of 1 levels without a value from the population afterwards" in fit.notes[0]
    assert "random_y" not in fit.draws["posterior"].data_vars
    assert fit.draws["latent"]["random_y"].dims == ("chain", "draw", "random_y_group", "random_y_term")
    again = mk.load_fit(fit.save(tmp_path / "run"))
    one, two = (mk.impute(f, m=3, seed=2) for f in (fit, again))
    pd.testing.assert_frame_equal(one[2], two[2])
    assert not one[0]["y"].isna().any()
    assert (one[1].loc[TABLE["y"].notna(), "y"] == TABLE["y"].dropna()).all()
    assert mk.diagnose(fit) is not None
    pooled = mk.pool(mk.analyze(one, lambda t: smf.mixedlm("y ~ x + time", t, groups=t["id"]).fit())).to_frame()
    assert {"x", "time"} <= set(pooled["term"])


def test_cells_are_drawn_around_the_effects_of_their_person():
    frame = pd.DataFrame({"id": np.repeat(range(6), 4), "y": np.tile([0.0, 1.0, 2.0, np.nan], 6)})
    frame["y"] += 10.0 * frame["id"]
    frame.loc[frame["id"] == 5, "y"] = np.nan
    fit = fitted(mk.Spec(R("y ~ 1 + (1 | id)")), frame, draws=400, chains=2)
    cells = mk.impute(fit, m=400, seed=1).cells["y"]
    # the mean of a person's own three values, little shrunk between people 10 apart, sd 1 in a person
    np.testing.assert_allclose(cells[:, :5].mean(axis=0), 1 + 10 * np.arange(5), atol=1)
    # of the sixth nothing is known but the others: an sd of about 16 around 21
    assert cells[:, 5].std() > 8
    together = np.corrcoef(cells[:, 5:].T)[0, 1]
    assert together > 0.9  # one effect for all rows of the person in an imputation


def test_new_rows_of_known_and_unknown_people_are_imputed():
    fit = fit_of("normal")
    rows = TABLE.head(4).assign(y=np.nan, id=[0, 0, 99, 99])
    assert not mk.impute(fit, m=2, seed=1, data=rows)[1]["y"].isna().any()
    with pytest.raises(DataError, match="1 levels of 'id', the first '99', have values here and none in the fit"):
        mk.impute(fit, m=2, seed=1, data=rows.assign(y=[np.nan, 1, 2, np.nan]))


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_with_random_terms_comes_back_from_its_file(name, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPECS[name].to_yaml(), encoding="utf-8")
    assert mk.read_spec(path) == SPECS[name]
    assert "| id)" in str(SPECS[name])


def test_priors_of_random_terms_count():
    tight = {"random_sd": mk.Prior("half_normal", 1e-3, unit="raw")}
    spec = mk.Spec(R("y ~ x + time + (1 + time | id)", priors=tight))
    spread = fitted(spec, TABLE).draws["posterior"]["random_sd_y"]
    # half normal with sd 0.001 in own units; beside an intercept its term is taken at the mean of time, 2
    assert float(spread.sel(random_y_term="time").max()) < 0.006
    assert float(spread.max()) < 0.02
    raised = mk.Spec(R("y ~ time + (1 + time | id)", priors={"random_corr": mk.Prior("lkj", 1e4)}))
    target = posterior_of(raised, laid_out(raised, TABLE))
    flat = posterior("normal").pieces["random_corr_y"]
    assert target.pieces["random_corr_y"].forward(np.array([1.0]))[1] < flat.forward(np.array([1.0]))[1] - 100


HOLES = TABLE.assign(time=TABLE["time"].where(TABLE.index != 3))
BAD = {
    "id with holes": (
        R("y ~ x + (1 | id)"),
        TABLE.assign(id=TABLE["id"].where(TABLE.index > 1)),
        "'id' .* has 2 holes",
    ),
    "one row a level": (R("y ~ x + (1 | row)"), TABLE.assign(row=np.arange(len(TABLE))), "has one row with a recorded"),
    "slope with holes": (
        R("y ~ x + (1 + time | id)"),
        HOLES,
        "'time' in .* has 1 holes; random slopes take fully seen",
    ),
    "no such column": (R("y ~ x + (1 | idd)"), TABLE, "did you mean 'id'"),
    "two levels": (R("y ~ x + (1 | arm)"), TABLE.assign(arm=np.arange(len(TABLE)) % 2), "has 2 levels .* at least 3"),
    "constant slope": (R("y ~ (1 + arm | id)"), TABLE.assign(arm=TABLE["id"] % 2), "'arm' .* does not vary within any"),
    "modelled group": (
        mk.Regressions(R("y ~ x + (1 | b)"), R("b ~ x", "bernoulli")),
        TABLE,
        "'b' is a modelled column",
    ),
    "too many": (R("y ~ x + (1 + C(w) | id)"), TABLE.assign(w=np.arange(len(TABLE)) % 9), "are 9 columns of at most 6"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_the_table_is_said_in_one_line(name):
    model, frame, message = BAD[name]
    with pytest.raises((DataError, SpecError), match=message) as raised:
        mk.sample(mk.Spec(model), frame, draws=10, progress=False)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R("y ~ x + (1 | a) + (1 | b)"), "has 2 bars"),
        (lambda: R("y ~ x + (1 || a)"), "correlated: write"),
        (lambda: R("y ~ x + (1 | a/b)"), "after the bar stands one column"),
        (lambda: R("y ~ x | id"), "not in parentheses of its own"),
        (lambda: R("y ~ x * (1 | id)"), "add them"),
        (lambda: R("y ~ x + (y | id)"), "stands on both sides"),
        (lambda: R("g ~ x + (1 | id)", "categorical"), "takes no random terms"),
        (lambda: mk.MvNormal("y", "z", given="x + (1 | id)"), "MvNormal takes no random terms"),
        (lambda: mk.Heckman("recorded(y) ~ x + (1 | id)"), "Heckman takes no random terms"),
        (lambda: R("y ~ x", priors={"random_sd": mk.Prior("half_normal", 1)}), "no prior 'random_sd'"),
        (lambda: R("y ~ x + (1 | i)", priors={"random_sd": mk.Prior("normal", 0, 1)}), "half_normal or half_student_t"),
        (lambda: mk.Spec(mk.MvNormal("y", "z"), S("missing(y) ~ y + (1 | id)")), "take Regression"),
        (lambda: mk.Spec(R("y ~ x"), mk.SharedParameter("intercept", of="missing")), "write \\(1 \\+ time \\| id\\)"),
        (lambda: mk.Spec(R("y ~ (1 | i)"), mk.SharedParameter("intercept")), "take of='missing'"),
        (lambda: mk.Spec(R("y ~ (1 | i)"), mk.SharedParameter("slope", of="missing")), "names 'slope', which"),
        (lambda: mk.Spec(R("y ~ (1 + x + t | i)"), mk.SharedParameter("slope", of="missing")), "have 2 slopes"),
        (
            lambda: mk.Spec(R("y ~ (1 | i)"), mk.SharedParameter("intercept + y", of="missing")),
            "Selection reads values",
        ),
    ],
)
def test_random_terms_where_they_cannot_be_are_refused(make, message):
    with pytest.raises((FormulaError, SpecError), match=message):
        make()


def test_em_and_least_squares_say_what_to_do_instead():
    with pytest.raises(SpecError, match=r"random terms .* use mk\.sample"):
        mk.em(SPECS["normal"], TABLE)
    with pytest.raises(FormulaError, match=r"smf\.mixedlm"):
        mk.analyze([TABLE.dropna()], "y ~ x + (1 | id)")
