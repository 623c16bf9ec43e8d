"""Tables drawn from factored fits, against what the spec says in closed form."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import mnarkit as mk
from mnarkit.diagnose.identify import identify
from mnarkit.diagnose.predicted import predictive_findings
from mnarkit.diagnose.predictive import predictive_check
from mnarkit.diagnose.replicate import replicator_of

TIMES, N = 60, 400


def fit_of(spec: mk.Spec, data: pd.DataFrame, draws: dict[str, object]) -> mk.Fit:
    """A fit with one draw."""
    made = {
        k: (("chain", "draw", *(f"{k}_{i}" for i in range(np.ndim(v)))), np.asarray(v)[None, None])
        for k, v in draws.items()
    }
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(made), "sample_stats": xr.Dataset()})
    return mk.Fit(spec, mk.IncompleteData.of(data), tree, 1)


def table() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    x = rng.normal(size=N)
    made = pd.DataFrame({"x": x, "b": (rng.random(N) < 0.5).astype(float), "k": rng.poisson(2, N).astype(float)})
    made["g"] = pd.Categorical(rng.choice(["p", "q", "r"], N))
    made.loc[rng.random(N) < 0.3, "b"] = np.nan
    made.loc[rng.random(N) < 0.2, "k"] = np.nan
    return made


def many(fit: mk.Fit) -> np.ndarray:
    made = replicator_of(fit)
    assert made is not None
    return np.stack([made.replicated(0, np.random.default_rng(k)) for k in range(TIMES)])


@pytest.mark.parametrize("link", ["probit", "logit"])
def test_columns_follow_their_families_and_holes_their_indicator(link):
    data, x = table(), table()["x"].to_numpy()
    spec = mk.Spec(
        mk.Regressions(mk.Regression("k ~ b", family="poisson"), mk.Regression("b ~ x", family="bernoulli")),
        mk.Selection("missing(b) ~ b + k", link=link),
    )
    draws = {"coef_b": [0.2, 0.9], "coef_k": [0.3, 0.8], "missing_b": [-0.8, 0.9, 0.1]}
    fit = fit_of(spec, data, draws)
    made = replicator_of(fit)
    columns = made.columns
    tables = many(fit)
    b, k = (tables[..., columns.index(c)] for c in ("b", "k"))
    assert made.modelled[columns.index("b")]
    assert not made.modelled[columns.index("k")]
    assert not np.isnan(k).any()  # holes of k are ignorable: complete
    one = special.expit(0.2 + 0.9 * x)
    count = TIMES * N
    assert abs(k.mean() - np.mean(one * np.exp(1.1) + (1 - one) * np.exp(0.3))) < 5 * 3 / count**0.5
    # P(b = 1, b recorded), summing the counts out
    counts = np.arange(60)
    happens = stats.norm.cdf if link == "probit" else special.expit
    recorded = {
        v: np.sum(stats.poisson.pmf(counts, np.exp(0.3 + 0.8 * v)) * (1 - happens(-0.8 + 0.9 * v + 0.1 * counts)))
        for v in (0, 1)
    }
    expected = np.mean(one * recorded[1])
    assert abs(np.mean(b == 1) - expected) < 5 * 0.5 / count**0.5
    assert abs(np.mean(b == 0) - np.mean((1 - one) * recorded[0])) < 5 * 0.5 / count**0.5


def test_unordered_levels_stand_as_columns_of_0_and_1():
    data, x = table(), table()["x"].to_numpy()
    spec = mk.Spec(mk.Regression("g ~ x", family="categorical"))
    fit = fit_of(spec, data, {"coef_g": [[0.5, 1.0], [-0.5, 0.0]]})
    made = replicator_of(fit)
    assert made.columns == ("g = q", "g = r")
    tables = many(fit)
    weights = np.exp(np.stack([0.5 + x, np.full(N, -0.5)]))
    share = (weights / (1 + weights.sum(axis=0))).mean(axis=1)
    np.testing.assert_allclose(tables.mean(axis=(0, 1)), share, atol=5 * 0.5 / (TIMES * N) ** 0.5)
    done = made.completed(0, np.random.default_rng(1))
    np.testing.assert_array_equal(done[:, 0], (data["g"] == "q").astype(float))


def poisson_fit(data: pd.DataFrame) -> mk.Fit:
    return mk.sample(
        mk.Spec(mk.Regression("k ~ x", family="poisson")), data, draws=100, tune=100, chains=2, seed=1, progress=False
    )


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")
def test_counts_with_more_spread_than_poisson_are_seen_and_poisson_counts_are_not():
    rng = np.random.default_rng(3)
    x = rng.normal(size=N)
    counts = {
        "right": rng.poisson(np.exp(0.5 + 0.4 * x)),
        "wrong": rng.poisson(np.exp(0.5 + 0.4 * x) * rng.gamma(1, 1, N)),
    }
    found = {}
    for name, k in counts.items():
        data = pd.DataFrame({"x": x, "k": np.where(rng.random(N) < 0.2, np.nan, k)})
        fit = poisson_fit(data)
        found[name] = predictive_check(fit, pairs=40, seed=2)
    assert found["right"].p_value > 0.05
    assert found["wrong"].p_value < 0.05
    said = [f.verdict for f in predictive_findings(found["wrong"], mk.Spec(mk.Regression("k ~ x", family="poisson")))]
    assert any("not as poisson values are" in one for one in said)


@pytest.mark.filterwarnings("ignore::mnarkit.errors.MnarkitWarning")
def test_levels_are_compared_by_their_shares():
    data = table()
    data.loc[data.index[:100], "g"] = None
    fit = mk.sample(
        mk.Spec(mk.Regression("g ~ x", family="categorical")),
        data, draws=100, tune=100, chains=2, seed=1, progress=False,
    )  # fmt: skip
    found = mk.diagnose(fit, m=10, pairs=20, seed=2)
    assert found.predictive.columns == ("g = q", "g = r")
    shares = {f.what: f.number for f in found.findings if f.measure == "imputed minus recorded share"}
    cells, recorded = found.imputations.cells["g"], data["g"].dropna()
    assert shares == {
        f"g = {level} (n = 100)": pytest.approx((cells == level).mean() - (recorded == level).mean())
        for level in ("p", "q", "r")
    }
    assert sum(shares.values()) == pytest.approx(0, abs=1e-12)


def test_independent_draws_have_no_chains_that_disagree():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(60, 2))
    y[:20, 1] = np.nan
    spec = mk.Spec(mk.MvNormal("a", "b"), mk.PatternMixture(mk.Restriction("CCMV")))
    fit = mk.sample(spec, pd.DataFrame(y, columns=["a", "b"]), draws=20, chains=2, seed=1, progress=False)
    found = mk.diagnose(fit, m=5, seed=2)
    sampler = [f for f in found.findings if f.check == "sampler"]
    assert [(f.what, f.number, f.alarm) for f in sampler] == [("independent draws", 40, False)]


def selection_fit(formula: str, n: int = 800) -> mk.Fit:
    rng = np.random.default_rng(8)
    x, z = rng.normal(size=(2, n))
    b = (rng.random(n) < special.expit(x)).astype(float)
    lost = rng.random(n) < special.expit(-1 + 1.2 * b + 1.5 * z)
    data = pd.DataFrame({"b": np.where(lost, np.nan, b), "x": x, "z": z})
    spec = mk.Spec(mk.Regression("b ~ x", family="bernoulli"), mk.Selection(formula, link="logit"))
    return mk.sample(spec, data, draws=300, tune=300, chains=2, seed=1, progress=False)


@pytest.mark.filterwarnings("ignore::mnarkit.errors.MnarkitWarning")
@pytest.mark.parametrize(
    ("formula", "label", "columns"),
    [
        ("missing(b) ~ b + z", "mixed", "z, x"),
        ("missing(b) ~ b + x", "prior only", ""),  # the link alone tells next to nothing of it
    ],
)
def test_labels_of_a_bernoulli_outcome_follow_its_exclusions(formula, label, columns):
    fit = selection_fit(formula)
    found = identify(fit, seed=3)
    assert found is not None
    row = found.table.set_index("parameter").loc["missing_b[b]"]
    assert (row["label"], row["columns"]) == (label, columns)
    # the default prior of a slope under a logit link: normal, 2.5 per sd of what is recorded
    before = found.prior["missing_b"].sel(missing_b_term="b").values
    expected = 2.5 / float(np.nanstd(fit.data.number("b"), ddof=1))
    assert abs(np.sqrt(np.mean(before**2)) / expected - 1) < 0.15  # 2,000 draws by NUTS: about 3 % each


@pytest.mark.filterwarnings("ignore::mnarkit.errors.MnarkitWarning")
def test_a_modelled_covariate_counts_among_the_exclusions():
    rng = np.random.default_rng(3)
    z = rng.normal(size=300)
    x = z + rng.normal(size=300)
    y = x + rng.normal(size=300)
    lost = rng.random(300) < special.expit(-1 + 0.5 * y)
    data = pd.DataFrame({"y": np.where(lost, np.nan, y), "x": np.where(rng.random(300) < 0.1, np.nan, x), "z": z})
    spec = mk.Spec(mk.Regressions(mk.Regression("y ~ x"), mk.Regression("x ~ z")), mk.Selection("missing(y) ~ y"))
    found = identify(mk.sample(spec, data, draws=100, tune=100, chains=2, seed=1, progress=False), seed=2)
    row = found.table.set_index("parameter").loc["missing_y[y]"]
    assert (row["label"], row["columns"]) == ("mixed", "x")
