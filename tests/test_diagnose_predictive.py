"""Replicated tables: drawn from the model, compared with a verdict that is calibrated."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import mnarkit as mk
from mnarkit.diagnose.outside import outside_findings
from mnarkit.diagnose.predicted import predictive_findings
from mnarkit.diagnose.predictive import predictive_check
from mnarkit.diagnose.replicate import replicator_of
from mnarkit.diagnose.segments import segments_of
from mnarkit.diagnose.statistics import Statistics

DIMS = {"coef": ("column_name", "term"), "sd": ("column_name",), "corr": ("column_name", "column_name_2")}


def fit_of(spec: mk.Spec, data: pd.DataFrame, draws: dict[str, np.ndarray]) -> mk.Fit:
    """A fit with the draws given, (S, ...), as one chain."""
    made = {
        k: (("chain", "draw", *DIMS.get(k, tuple(f"{k}_{i}" for i in range(v.ndim - 1)))), v[None])
        for k, v in draws.items()
    }
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(made), "sample_stats": xr.Dataset()})
    return mk.Fit(spec, mk.IncompleteData.of(data), tree, 1)


def line(n: int, seed: int, *, skewed: bool = False, on_z: float = 0.0, y_on_z: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    e = (np.exp(rng.normal(size=n)) - np.exp(0.5)) / 2.16 if skewed else rng.normal(size=n)
    y = 1 + 0.5 * x + y_on_z * z + e
    lost = -0.9 + 0.4 * x + on_z * z + rng.normal(size=n) > 0
    return pd.DataFrame({"y": np.where(lost, np.nan, y), "x": x, "z": z})


def regression_fit(data: pd.DataFrame, seed: int = 1, draws: int = 400) -> mk.Fit:
    """Exact draws from the posterior of y ~ x under a flat prior on (coef, log sd)."""
    rng = np.random.default_rng(seed)
    kept = data.dropna(subset=["y"])
    x = np.column_stack([np.ones(len(kept)), kept["x"]])
    root = np.linalg.cholesky(np.linalg.inv(x.T @ x))
    beta = np.linalg.lstsq(x, kept["y"].to_numpy())[0]
    rest = float(np.sum((kept["y"].to_numpy() - x @ beta) ** 2))
    sd = np.sqrt(rest / rng.chisquare(len(kept) - 2, draws))
    coef = beta + sd[:, None] * (rng.normal(size=(draws, 2)) @ root.T)
    return fit_of(mk.Spec(mk.Regression("y ~ x")), data, {"coef": coef[:, None, :], "sd": sd[:, None]})


def many(fit: mk.Fit, times: int = 200) -> np.ndarray:
    made = replicator_of(fit)
    return np.stack([made.replicated(0, np.random.default_rng(k)) for k in range(times)])


PAIR = {"coef": np.array([[[1.0, 0.5], [-1.0, 0.2]]]), "sd": np.array([[2.0, 1.0]])}
CORR = np.array([[[1.0, 0.6], [0.6, 1.0]]])


def pair_table(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(n, 2))
    y[rng.random((n, 2)) < 0.3] = np.nan
    return pd.DataFrame(y, columns=["y1", "y2"]).assign(x=rng.normal(size=n))


@pytest.mark.parametrize("link", ["probit", "logit"])
def test_replicated_tables_have_the_moments_and_the_rates_of_the_model(link):
    spec = mk.Spec(mk.MvNormal("y1", "y2", given="x"), mk.Selection("missing(y1) ~ y2 + x", link=link))
    data = pair_table()
    draws = {**PAIR, "corr": CORR, "missing_y1": np.array([[-0.3, 0.4, 0.7]])}  # Intercept, x, y2
    tables = many(fit_of(spec, data, draws))
    x = data["x"].to_numpy()
    mean = np.column_stack([1 + 0.5 * x, -1 + 0.2 * x])
    rest = tables - mean
    count = tables.shape[0] * tables.shape[1]
    assert not np.isnan(tables[..., 1]).any()  # holes of y2 are ignorable: complete
    assert abs(rest[..., 1].mean()) < 5 / count**0.5
    assert abs(rest[..., 1].var() - 1) < 5 * (2 / count) ** 0.5
    distribution = stats.norm.cdf if link == "probit" else stats.logistic.cdf
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    each = distribution((-0.3 + 0.4 * x + 0.7 * mean[:, 1])[:, None] + 0.7 * nodes)
    expected = float((each @ weights / weights.sum()).mean())
    share = np.isnan(tables[..., 0]).mean()
    assert abs(share - expected) < 5 * (expected * (1 - expected) / count) ** 0.5
    # what is recorded of y1 is not a random part: its mean given selection on y2, by importance over the same integral
    kept = 1 - each
    shift = 0.6 * 2 * (kept * nodes) @ weights / (kept @ weights)
    recorded = np.nanmean(rest[..., 0], axis=0)
    error = np.nanstd(rest[..., 0]) / (200 * 0.4) ** 0.5
    assert np.abs(recorded - shift).max() < 5 * error


def test_a_heckman_fit_replicates_selection_on_the_error():
    spec = mk.Spec(mk.Regression("y ~ x"), mk.Heckman("recorded(y) ~ x"))
    draws = {"coef": np.array([[[0.0, 1.0]]]), "sd": np.array([[2.0]]), "recorded_y": np.array([[0.3, 0.0]])}
    tables = many(fit_of(spec, line(400, 3), {**draws, "rho_y": np.array([-0.8])}))
    rest = tables[..., 0] - line(400, 3)["x"].to_numpy()
    seen = ~np.isnan(rest)
    assert abs(seen.mean() - stats.norm.cdf(0.3)) < 5 * 0.5 / seen.size**0.5
    mills = stats.norm.pdf(0.3) / stats.norm.cdf(0.3)
    assert abs(np.nanmean(rest) + 0.8 * 2 * mills) < 5 * 2 / seen.sum() ** 0.5


def test_a_dropout_fit_replicates_hazards_and_what_follows_is_missing():
    waves = ("w0", "w1", "w2")
    rng = np.random.default_rng(4)
    y = rng.normal(size=(600, 3))
    y[:200, 2] = y[:80, 1] = np.nan
    y[0] = np.nan
    spec = mk.Spec(mk.MvNormal(*waves), mk.Dropout("current", waves=waves))
    draws = {"coef": np.zeros((1, 3, 1)), "sd": np.ones((1, 3)), "corr": np.eye(3)[None]}
    draws["dropout"] = np.array([[-1.0, -0.5, 0.8]])  # Intercept[w1], Intercept[w2], current
    tables = many(fit_of(spec, pd.DataFrame(y, columns=list(waves)), draws))
    seen = ~np.isnan(tables)
    assert not seen[:, 0].any()
    assert seen[:, 1:, 0].all()
    assert not (seen[..., 2] & ~seen[..., 1])[:, 1:].any()
    first = stats.norm.cdf(-1.0 / np.sqrt(1 + 0.8**2))
    count = 200 * 599
    assert abs((1 - seen[:, 1:, 1].mean()) - first) < 5 * (first * (1 - first) / count) ** 0.5
    second = stats.norm.cdf(-0.5 / np.sqrt(1 + 0.8**2))
    gone = (~seen[:, 1:, 2])[seen[:, 1:, 1]].mean()
    assert abs(gone - second) < 5 * (second * (1 - second) / seen[:, 1:, 1].sum()) ** 0.5


def test_an_amount_inside_the_model_moves_the_cells_that_are_missing():
    belief = mk.PatternMixture(mk.Shift("y1", 3.0, unit="raw", of="model"))
    data = pair_table()
    fit = fit_of(mk.Spec(mk.MvNormal("y1", "y2", given="x"), belief), data, {**PAIR, "corr": CORR})
    tables = many(fit)
    rest = (tables[..., 0] - (1 + 0.5 * data["x"].to_numpy())).mean(axis=0)
    moved = np.where(data["y1"].isna(), 3.0, 0.0)
    np.testing.assert_allclose(rest, moved, atol=5 * 2 / 200**0.5)


def test_the_same_noise_gives_the_same_table():
    made = replicator_of(fit := regression_fit(line(100, 5)))
    again = replicator_of(fit)
    one, two = (m.replicated(3, np.random.default_rng(9)) for m in (made, again))
    np.testing.assert_array_equal(one, two)
    other = made.replicated(4, np.random.default_rng(9))
    assert 0.95 < np.corrcoef(other.ravel(), one.ravel())[0, 1] < 1  # other parameters, the same noise


def test_statistics_are_what_their_names_say():
    data = pair_table()
    data.loc[data.index[:250], "g"] = "a"
    data["g"] = data["g"].fillna("b")
    spec = mk.Spec(
        mk.MvNormal("y1", "y2", given="x"), mk.Selection("missing(y1) ~ y1"), mk.Selection("missing(y2) ~ y2")
    )
    segments = segments_of(spec, mk.IncompleteData.of(data))
    y, x = data[["y1", "y2"]].to_numpy(), np.column_stack([np.ones(500), data["x"]])
    statistics = Statistics.of(("y1", "y2"), x, np.array([True, True]), segments, y)
    names, values = statistics.names, statistics(y)
    assert len(names) == len(values)
    found = {tuple(row): v for row, v in zip(names.itertuples(index=False), values, strict=True)}
    seen = data.dropna(subset=["y1"])
    residual = seen["y1"] - np.poly1d(np.polyfit(seen["x"], seen["y1"], 1))(seen["x"])
    assert found["recorded", "y1", "", "mean"] == pytest.approx(seen["y1"].mean())
    assert found["recorded", "y1", "", "residual skewness"] == pytest.approx(stats.skew(residual))
    assert found["recorded", "y1", "", "log residual kurtosis"] == pytest.approx(np.log(stats.kurtosis(residual) + 3))
    a = data[data["g"] == "a"]
    assert found["recorded", "y2", "g = a", "mean"] == pytest.approx(a["y2"].mean())
    assert found["recorded", "y2", "g = a", "sd"] == pytest.approx(a["y2"].std(ddof=0))
    assert found["missing", "y2", "g = a", "share missing"] == pytest.approx(a["y2"].isna().mean())
    assert found["recorded", "y1, y2", "", "correlation"] == pytest.approx(np.arctanh(data["y1"].corr(data["y2"])))
    missing = data["y1"].isna()
    gap = (data["y2"][missing].mean() - data["y2"][~missing].mean()) / data["y2"].std(ddof=0)
    assert found["missing", "y1", "", "mean of y2, missing minus recorded, in sd"] == pytest.approx(gap)
    both = data[["y1", "y2"]].isna().all(axis=1).mean()
    assert found["missing", "y1, y2", "", "share of rows with this pattern"] == pytest.approx(both)


def test_segments_leave_out_row_names_what_cuts_alike_and_what_decides_the_holes():
    data = line(300, 6)
    data = data.assign(square=data["x"].rank() ** 2, name=[f"r{i}" for i in range(300)], had=data["y"].notna())
    found = segments_of(mk.Spec(mk.Regression("y ~ x")), mk.IncompleteData.of(data))
    assert list(dict.fromkeys(found.columns)) == ["x", "z"]
    assert found.deciding == ("had",)
    np.testing.assert_array_equal(found.rows.sum(axis=1), 2)


def test_the_truth_raises_no_alarm_and_log_normal_errors_do():
    truth = predictive_check(regression_fit(line(1000, 7)), pairs=100, seed=1)
    assert truth.p_value > 0.05
    assert not truth.table["alarm"].any()
    wrong = predictive_check(regression_fit(line(1000, 7, skewed=True)), pairs=100, seed=1)
    assert wrong.p_value < 0.01
    (first, *rest) = predictive_findings(wrong, mk.Spec(mk.Regression("y ~ x")))
    assert first.alarm
    assert any("the residuals are not normal" in one.verdict for one in rest)


def test_variance_left_by_fitting_is_that_of_the_theory():
    # skewness is untouched by the fit, the mean of a third of the rows by x keeps most of its variance
    data = line(600, 9)
    data["y"] = 1 + np.random.default_rng(90).normal(size=600)  # complete: the theory is that of least squares
    table = predictive_check(regression_fit(data, draws=2000), pairs=1000, seed=2).table
    shapes = table[table["segment"] == ""].set_index("statistic")
    assert not shapes.loc["residual sd", "tested"]  # a fit reproduces it
    assert shapes.loc["residual sd", "used_up"] > 1 - 5 * (4 / 1000) ** 0.5
    assert shapes.loc["residual skewness", "used_up"] < 5 * (2 / 1000) ** 0.5
    at = table.set_index("segment").query("statistic == 'mean'")
    x = np.column_stack([np.ones(600), data["x"]])
    hat = x @ np.linalg.solve(x.T @ x, x.T)
    segments = segments_of(mk.Spec(mk.Regression("y ~ x")), mk.IncompleteData.of(data))
    for label, rows in zip(segments.labels, segments.rows.T, strict=True):
        c = rows / rows.sum()
        # a variance estimated from 1,000 pairs: relative error below sqrt(2 / 1,000), 5 of them for each of the two
        assert abs(at.loc[label, "used_up"] - c @ hat @ c / (c @ c)) < 5 * (2 / 1000) ** 0.5


def test_a_column_outside_the_model_breaks_mar_only_if_it_goes_with_holes_and_values():
    def found(**how):
        fit = regression_fit(line(1500, 10, **how))
        return outside_findings(fit, mk.impute(fit, 2, seed=1))

    (harm,) = found(on_z=0.5, y_on_z=0.3)
    assert harm.alarm
    assert "add z to the data model" in harm.verdict
    (harmless,) = found(on_z=0.5)
    assert not harmless.alarm
    assert harmless.verdict.endswith("z with the holes alone, which does no harm")
    (neither,) = found(y_on_z=0.3)
    assert not neither.alarm


def test_chains_in_two_modes_are_judged_one_by_one():
    """A chain that is right raises no alarm, two that are wrong do."""
    fit = regression_fit(line(300, 3))
    chains = {
        name: v.values.reshape(2, 200, *v.shape[2:]).copy() for name, v in fit.draws["posterior"].data_vars.items()
    }
    right = two_chains(fit, chains, rhat=1.0)
    assert predictive_check(right, pairs=50, seed=1).chain is None
    one_wrong = {**chains, "coef": chains["coef"] + np.array([0, 3.0])[:, None, None, None]}
    found = predictive_check(two_chains(fit, one_wrong, rhat=3.0), pairs=50, seed=1)
    assert (found.chain, found.p_value > 0.05) == (0, True)
    both_wrong = {**chains, "coef": chains["coef"] + np.array([-3.0, 3.0])[:, None, None, None]}
    apart = predictive_check(two_chains(fit, both_wrong, rhat=3.0), pairs=50, seed=1)
    assert apart.p_value < 0.05
    said = [f.verdict for f in predictive_findings(apart, fit.spec) if f.what == "chains"]
    assert len(said) == 1


def two_chains(fit: mk.Fit, draws: dict[str, np.ndarray], rhat: float) -> mk.Fit:
    old = fit.draws["posterior"].dataset
    made = {name: (old[name].dims, values) for name, values in draws.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(made), "sample_stats": xr.Dataset()})
    tree.attrs["rhat_max"] = rhat
    return mk.Fit(fit.spec, fit.data, tree, 1)
