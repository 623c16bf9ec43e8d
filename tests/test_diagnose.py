"""The page of checks: sampler, imputations, influence, and the comparison of data models."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mnarkit as mk
from mnarkit.diagnose.imputed import imputation_findings
from mnarkit.diagnose.influence import influence_findings, influence_of
from mnarkit.diagnose.sampler import sampler_findings
from mnarkit.diagnose.scalars import scalars_of

SPEC = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y"))


def table(n: int = 200, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 5 + x + rng.normal(size=n)
    return pd.DataFrame({"y": np.where(rng.random(n) < 0.3, np.nan, y), "x": x})


def toy(
    posterior: dict, *, stats: dict | None = None, loglik: np.ndarray | None = None, spec=SPEC, data=None
) -> mk.Fit:
    """A fit whose draws are given: arrays (chain, draw, ...), with dims named after the variable."""
    dims = {k: ("chain", "draw", *(f"{k}_dim_{i}" for i in range(v.ndim - 2))) for k, v in posterior.items()}
    groups = {"posterior": xr.Dataset({k: (dims[k], v) for k, v in posterior.items()})}
    groups["sample_stats"] = xr.Dataset({k: (("chain", "draw"), v) for k, v in (stats or {}).items()})
    if loglik is not None:
        coords = {"obs": np.arange(loglik.shape[2])}
        groups["log_likelihood"] = xr.Dataset({"unit": (("chain", "draw", "obs"), loglik)}, coords=coords)
    return mk.Fit(spec, mk.IncompleteData.of(table() if data is None else data), xr.DataTree.from_dict(groups), 1)


def by_what(found) -> dict:
    return {one.what: one for one in found}


def test_scalars_leave_out_what_stands_still_and_what_stands_twice():
    rng = np.random.default_rng(2)
    corr = np.ones((2, 50, 2, 2))
    corr[..., 0, 1] = corr[..., 1, 0] = rng.uniform(size=(2, 50))
    fit = toy({"corr": corr, "rho_y": np.full((2, 50), 0.3), "sd": rng.normal(size=(2, 50, 2))})
    assert list(scalars_of(fit.draws["posterior"].to_dataset())) == ["corr[1, 0]", "sd[0]", "sd[1]"]


def test_a_good_sampler_has_no_alarm_and_a_bad_one_says_what_to_do():
    rng = np.random.default_rng(3)
    stats = {"diverging": np.zeros((4, 500), dtype=bool), "energy": rng.normal(size=(4, 500))}
    good = sampler_findings(toy({"sd": rng.normal(size=(4, 500, 1))}, stats=stats))
    assert [one.what for one in good if one.alarm] == []
    apart = rng.normal(size=(4, 500, 1)) + np.array([0, 0, 3, 3])[:, None, None]
    stats = {"diverging": np.zeros((4, 500), dtype=bool), "energy": np.cumsum(rng.normal(size=(4, 500)), axis=1)}
    stats["diverging"][0, :7] = True
    bad = by_what(sampler_findings(toy({"sd": apart}, stats=stats)))
    assert all(one.alarm for one in bad.values() if one.what != "effective draws, tail")
    assert "the chains disagree about sd[0]: do not use" in bad["R-hat"].verdict
    assert bad["divergences"].number == 7
    assert "raise target_accept" in bad["divergences"].verdict


def test_energy_is_the_bayesian_fraction_of_missing_information():
    energy = np.random.default_rng(4).normal(size=(2, 300))
    found = by_what(sampler_findings(toy({"sd": energy[..., None]}, stats={"energy": energy})))
    each = [np.mean(np.diff(e) ** 2) / np.var(e) for e in energy]
    assert found["energy"].number == pytest.approx(min(each))


def imputations(cells: np.ndarray, y: np.ndarray) -> mk.Imputations:
    data = mk.IncompleteData.of(pd.DataFrame({"y": y, "x": np.arange(len(y), dtype=float)}))
    return mk.Imputations(data, {"y": cells}, mk.Spec(mk.Regression("y ~ x")), (), 1, len(cells))


def test_imputed_values_are_compared_with_recorded_ones():
    rng = np.random.default_rng(5)
    y = rng.uniform(1, 3, 400)
    y[:100] = np.nan
    cells = rng.normal(1, 1, (20, 100))
    found = by_what(imputation_findings(imputations(cells, y)))
    recorded = y[100:]
    assert found["y (n = 100)"].number == pytest.approx((cells.mean() - recorded.mean()) / recorded.std(ddof=1))
    outside = np.mean((cells < recorded.min()) | (cells > recorded.max()))
    assert found["y, out of the recorded range"].number == pytest.approx(outside)
    assert found["y, out of the recorded range"].alarm
    assert found["y, negative values"].number == pytest.approx(np.mean(cells < 0))
    assert "model its logarithm" in found["y, negative values"].verdict
    completed = np.column_stack([cells, np.broadcast_to(recorded, (20, 300))])
    pooled = mk.pool(mk.Estimates.of(completed.mean(axis=1), completed.var(axis=1, ddof=1) / 400, df_complete=399))
    assert found["y, mean over all rows"].number == pytest.approx(pooled.fmi[0])


def test_imputations_that_are_all_alike_are_an_alarm():
    y = np.array([np.nan, 1.0, 2.0, 3.0])
    found = by_what(imputation_findings(imputations(np.full((5, 1), 2.0), y)))
    assert found["y, spread"].alarm


def test_influence_is_what_leaving_a_row_out_does():
    # y_i ~ N(mu, 1), flat prior: without row i the mean moves by (mean - y_i) / (n - 1)
    rng = np.random.default_rng(6)
    y = rng.normal(size=40)
    mu = rng.normal(y.mean(), 40**-0.5, size=(4, 5000))
    loglik = -0.5 * (y - mu[..., None]) ** 2
    found = influence_of(toy({"mu": mu}, loglik=loglik), ["mu"]).set_index("row")["change"]
    exact = (y.mean() - y) / 39 * 40**0.5
    # weights have a variance below 3 here: Monte Carlo error of a mean of 20,000 draws, 5 of them
    np.testing.assert_allclose(found.loc[range(40)], exact, atol=5 * (3 / 20_000) ** 0.5)
    assert abs(found.iloc[0]) == found.abs().max()


def test_influence_names_the_row_by_the_index_of_the_table():
    rng = np.random.default_rng(7)
    data = table().set_index(pd.Index([f"id{i}" for i in range(200)]))
    mu = rng.normal(size=(2, 300))
    loglik = rng.normal(size=(2, 300, 200)) * 0.01
    loglik[:, :, 17] += 2 * mu
    fit = toy({"mu": mu}, loglik=loglik, data=data)
    (one,) = influence_findings(fit, ["mu"], influence_of(fit, ["mu"]))
    assert one.alarm
    assert one.verdict.startswith("row id17 (y = ")


def loo_pair(spec_a: mk.Spec, spec_b: mk.Spec, *, data=None) -> dict[str, mk.Fit]:
    rng = np.random.default_rng(8)
    loglik = -1 + 0.05 * rng.normal(size=(2, 300, 60))
    worse = loglik - 0.5
    draws = {"sd": rng.normal(size=(2, 300, 1))}
    return {"a": toy(draws, loglik=worse, spec=spec_a), "b": toy(draws, loglik=loglik, spec=spec_b, data=data)}


def test_loo_ranks_data_models_within_one_belief():
    belief = mk.Selection("missing(y) ~ y", because="one reason")
    other = mk.Selection("missing(y) ~ y", because="another")
    found = mk.loo(loo_pair(mk.Spec(mk.Regression("y ~ 1"), belief), mk.Spec(mk.Regression("y ~ x"), other)))
    assert found["name"].tolist() == ["b", "a"]
    assert found["of"].unique().tolist() == ["(y seen, r)"]
    np.testing.assert_allclose(found["difference"], [0, -30], atol=1e-6)
    np.testing.assert_allclose(found["elpd"], [-60, -90], atol=1)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (mk.MAR(), mk.Selection("missing(y) ~ y"), r"of \(y seen\), the other of \(y seen, r\), and they never stand"),
        (mk.Selection("missing(y) ~ y"), mk.Selection("missing(y) ~ y + x"), "within one belief; what is unseen"),
        (mk.MAR(), mk.PatternMixture(mk.Shift("y", 1, unit="sd", of="model")), "within one belief"),
    ],
)
def test_loo_refuses_to_rank_beliefs_and_says_why(first, second, message):
    model = mk.Regression("y ~ x")
    with pytest.raises(mk.errors.SpecError, match=message):
        mk.loo(loo_pair(mk.Spec(model, first), mk.Spec(model, second)))


def test_loo_takes_late_amounts_for_what_they_are_and_refuses_what_does_not_compare():
    model, late = mk.Regression("y ~ x"), mk.PatternMixture(mk.Shift("y", 1, unit="sd"))
    assert len(mk.loo(loo_pair(mk.Spec(model), mk.Spec(model, late)))) == 2
    with pytest.raises(mk.errors.SpecError, match="fits of different tables"):
        mk.loo(loo_pair(mk.Spec(model), mk.Spec(model), data=table(seed=9)))
    with pytest.raises(mk.errors.SpecError, match="densities of different columns"):
        mk.loo(loo_pair(mk.Spec(model), mk.Spec(mk.MvNormal("y", "x"))))
    with pytest.raises(mk.errors.SpecError, match="at least two fits by name"):
        mk.loo({"a": toy({"sd": np.zeros((2, 3, 1))})})
    with pytest.raises(mk.errors.SpecError, match="'a' has no log_likelihood"):
        mk.loo({name: toy({"sd": np.zeros((2, 3, 1))}) for name in ("a", "b")})


def test_diagnose_refuses_what_is_no_fit():
    with pytest.raises(mk.errors.SpecError, match=r"takes a Fit from mk\.sample, not DataFrame"):
        mk.diagnose(table())
