"""Posteriors mixed over imputations, and cross-validated metrics: numbers by hand, convergence, refusals."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mnarkit as mk
from mnarkit.errors import DataError


def posterior(k: int, *, chains: int = 2, draws: int = 400, scale: float = 1.0, shift: float = 0.3) -> xr.DataTree:
    """Draws around k · shift, and a vector with labels."""
    rng = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(k,)))
    b = rng.normal(k * shift, scale, (chains, draws))
    beta = rng.normal([1, 2], 1, (chains, draws, 2))
    data = xr.Dataset(
        {"b": (("chain", "draw"), b), "beta": (("chain", "draw", "term"), beta)},
        coords={"chain": range(chains), "draw": range(draws), "term": ["x", "z"]},
    )
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((chains, draws), dtype=bool))})
    return xr.DataTree.from_dict({"posterior": data, "sample_stats": stats})


PARTS = [posterior(k) for k in range(5)]


def test_the_mixture_has_rubins_mean_and_variance() -> None:
    mixed = mk.mix_posteriors(PARTS)
    table = mixed.to_frame().set_index("term")
    assert list(table.index) == ["b", "beta[x]", "beta[z]"]
    values = np.stack([p["posterior"]["b"].values.ravel() for p in PARTS])
    row = table.loc["b"]
    assert row["estimate"] == pytest.approx(values.mean())
    assert row["std_error"] == pytest.approx(values.std(ddof=1))
    assert row["within"] == pytest.approx(values.var(axis=1, ddof=1).mean())
    assert row["between"] == pytest.approx(values.mean(axis=1).var(ddof=1))
    low, high = np.quantile(values, [0.025, 0.975])
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([low, high])
    pooled = mk.pool(mk.Estimates.of(values.mean(axis=1), values.var(axis=1, ddof=1))).to_frame().iloc[0]
    assert row["lambda_"] == pytest.approx(pooled["lambda_"])
    draws = mixed.draws["posterior"]
    assert draws["imputation"].values.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    np.testing.assert_array_equal(draws["b"].values[2:4], PARTS[1]["posterior"]["b"].values)


def test_convergence_is_judged_within_imputations() -> None:
    """Imputations that differ give an R-hat far above 1 over all chains, and near 1 within each."""
    apart = [posterior(k, shift=5.0) for k in range(4)]
    mixed = mk.mix_posteriors(apart)
    whole = float(az.rhat(mixed.draws["posterior"].to_dataset())["b"])
    assert whole > 2
    assert mixed.health["rhat"].max() < 1.02  # independent draws: 1 + O(1/draws)
    assert mixed.health["rhat"][1] == pytest.approx(
        max(float(v.max()) for v in az.rhat(apart[1]["posterior"].to_dataset()).data_vars.values())
    )
    stuck = apart[2]["posterior"].to_dataset()
    stuck["b"].values[1] += 3.0
    worse = mk.mix_posteriors([*apart[:2], xr.DataTree.from_dict({"posterior": stuck}), apart[3]])
    assert worse.health["rhat"].idxmax() == 2
    assert worse.health["rhat_of"][2] == "b"
    assert any("within 1 of 4 imputations, most in 3" in note for note in worse.notes)
    assert "An R-hat over all chains would take" in str(worse)


def test_shorter_posteriors_keep_the_same_weight() -> None:
    mixed = mk.mix_posteriors([PARTS[0], posterior(1, chains=3, draws=100)])
    assert mixed.draws["posterior"].sizes["chain"] == 4
    assert mixed.draws["posterior"].sizes["draw"] == 100
    assert "2 chains of 100 draws are taken of each" in mixed.notes[0]


def test_what_other_libraries_return_is_read() -> None:
    data = [p["posterior"].to_dataset() for p in PARTS]
    as_objects = [SimpleNamespace(posterior=d) for d in data]
    for given in (data, as_objects, iter(PARTS)):
        pd.testing.assert_frame_equal(mk.mix_posteriors(given).to_frame(), mk.mix_posteriors(PARTS).to_frame())


def test_analyze_reads_a_posterior_as_its_mean_and_covariance() -> None:
    numbers = iter(range(5))
    tables = [pd.DataFrame({"y": [0.0, 1.0]})] * 5
    estimates = mk.analyze(tables, lambda table: PARTS[next(numbers)])
    assert estimates.terms == ("b", "beta[x]", "beta[z]")
    values = PARTS[3]["posterior"]
    stacked = np.column_stack([values["b"].values.ravel(), values["beta"].values.reshape(-1, 2)])
    np.testing.assert_allclose(estimates.estimates[3], stacked.mean(axis=0))
    np.testing.assert_allclose(estimates.covariances[3], np.cov(stacked.T))
    assert estimates.df_complete == np.inf


def other(change: Callable[[xr.Dataset], xr.Dataset]) -> list[Any]:
    return [PARTS[0], xr.DataTree.from_dict({"posterior": change(PARTS[1]["posterior"].to_dataset())})]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "one": (lambda: mk.mix_posteriors(PARTS[:1]), "two imputations or more, not 1"),
    "tree": (lambda: mk.mix_posteriors(PARTS[0]), "takes a list of posteriors, not DataTree"),
    "number": (lambda: mk.mix_posteriors([PARTS[0], 3]), "the posterior of imputation 2 of 2 is int"),
    "names": (
        lambda: mk.mix_posteriors(other(lambda d: d.rename(b="c"))),
        "imputation 2 of 2 has beta, c, the first has b, beta; fit one model",
    ),
    "shape": (
        lambda: mk.mix_posteriors(other(lambda d: d.isel(term=[0]))),
        r"'beta' has the shape \(1,\) in imputation 2 of 2 and \(2,\) in the first",
    ),
    "labels": (
        lambda: mk.mix_posteriors(other(lambda d: d.assign_coords(term=["x", "w"]))),
        "'beta' has other labels along 'term' in imputation 2 of 2",
    ),
    "level": (lambda: mk.mix_posteriors(PARTS, level=95), "level= is a probability"),
    "scores": (lambda: mk.cross_validated([0.5, 0.6], test_share=0.5), r"3 splits or more, not of shape \(2,\)"),
    "share": (lambda: mk.cross_validated([0.5, 0.6, 0.7], test_share=1), r"inside \(0, 1\), not 1"),
    "nan": (lambda: mk.cross_validated([0.5, np.nan, 0.7], test_share=0.1), "1 of 3 scores are not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_the_corrected_variance_is_nearer_to_the_truth_than_the_naive_one() -> None:
    """The mean of 10 random splits of 60 rows: metric, a mean absolute error of a mean; truth by repeating all."""
    rng = np.random.default_rng(7)
    means, corrected, naive = [], [], []
    for _ in range(300):
        y = rng.normal(size=60)
        scores = []
        for _ in range(10):
            order = rng.permutation(60)
            test, train = y[order[:12]], y[order[12:]]
            scores.append(np.abs(test - train.mean()).mean())
        mean, variance, df = mk.cross_validated(scores, test_share=0.2)
        means.append(mean)
        corrected.append(variance)
        naive.append(np.var(scores, ddof=1) / 10)
    truth = np.var(means, ddof=1)  # relative error √(2/299) = 0.08
    assert df == 9
    assert np.mean(naive) < 0.5 * truth
    assert np.mean(corrected) == pytest.approx(truth, rel=0.5)
    table = pd.DataFrame({"a": scores, "b": np.array(scores) * 2})
    estimate, variances, _ = mk.cross_validated(table, test_share=0.2)
    assert estimate["b"] == pytest.approx(2 * mean)
    assert variances["b"] == pytest.approx(4 * variance)


def test_scikit_learn_pipelines_are_analyzed() -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    tables = [
        pd.DataFrame({"x": x, "y": (x + rng.logistic(size=200) > 0).astype(int), "z": x + rng.normal(size=200)})
        for _ in range(3)
    ]
    model = make_pipeline(StandardScaler(), LogisticRegression())

    def accuracy(table: pd.DataFrame) -> tuple[float, float, float]:
        return mk.cross_validated(cross_val_score(model, table[["x", "z"]], table["y"], cv=5), test_share=0.2)

    def error_on_new_rows(table: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
        fitted = model.fit(table[["x", "z"]][:150], table["y"][:150])
        wrong = fitted.predict(table[["x", "z"]][150:]) != table["y"][150:]
        return {"error": wrong.mean()}, {"error": wrong.var() / len(wrong)}

    pooled = mk.pool(mk.analyze(tables, accuracy)).to_frame()
    assert 0.5 < pooled["estimate"][0] < 0.9
    assert mk.analyze(tables, accuracy).df_complete == 4
    assert mk.analyze(tables, error_on_new_rows).terms == ("error",)
