"""What `explore` computes: against published tables, other packages, and the definitions written out by hand."""

import datetime as dt
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

import mnarkit as mk
from mnarkit.errors import ConvergenceError, DataError, SpecError
from mnarkit.explore import NO_TEST, mcar
from mnarkit.explore.columns import Column, read_columns
from mnarkit.explore.logistic import area_under_curve, cross_validated_auc, fit_logistic
from mnarkit.explore.patterns import dropout, find_patterns, flux, monotone_order
from mnarkit.explore.rates import wilson
from mnarkit.explore.thresholds import crossing_probability, holm, thresholds
from tests.refs import refs


def read(case: str) -> pd.DataFrame:
    return pd.read_csv(refs(case) / "data.csv")


def columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    return read_columns(mk.IncompleteData.of(frame))


def masked(seen: np.ndarray) -> pd.DataFrame:
    """Ones and holes where `seen` says so."""
    return pd.DataFrame(np.where(seen, 1.0, np.nan), columns=[f"c{j}" for j in range(seen.shape[1])])


# ---- Little's test


def test_little_on_airquality_is_the_published_one():
    frame = read("little_mcar_airquality")
    test = mk.explore(frame).mcar
    # refs: exact value recomputed at convergence; EM stops at 1e-8 on each parameter, d² is flat there to its square
    assert test.statistic == pytest.approx(35.10617490715, abs=1e-8)
    assert (test.df, test.n_patterns) == (14, 4)
    assert test.p == pytest.approx(0.00141775887, rel=1e-7)
    assert test.contributions["contribution"].sum() == pytest.approx(test.statistic, rel=1e-12)


def test_a_row_with_nothing_recorded_is_a_pattern_that_adds_nothing():
    frame = read("little_mcar_airquality")
    test = mk.explore(pd.concat([frame, pd.DataFrame([{}])], ignore_index=True)).mcar
    assert test.statistic == pytest.approx(35.10617490715, abs=1e-8)
    assert (test.df, test.n_patterns, test.n) == (14, 5, 154)
    assert test.contributions.query("df == 0")["contribution"].tolist() == [0.0]


def test_little_on_apple_is_the_exact_one():
    test = mk.explore(read("mvnmle_apple")).mcar
    assert test.statistic == pytest.approx(7.357854458961, abs=1e-8)
    assert test.df == 1
    assert test.p == pytest.approx(chi2.sf(7.357854458961, 1), rel=1e-7)


def test_contributions_are_the_definition():
    frame = read("sas_fitness_em")
    fit = mk.em(mk.Spec(mk.MvNormal(*frame.columns)), frame)
    test = mk.explore(frame).mcar
    for row in test.contributions.itertuples():
        holes = row.missing.split(", ") if row.missing else []
        part = frame[(frame.isna() == frame.columns.isin(holes)).all(axis=1)]
        o = np.flatnonzero(~frame.columns.isin(holes))
        gap = part.iloc[:, o].mean().to_numpy() - fit.coef[o, 0]
        # two EM runs, each stopped at 1e-8 of a parameter
        assert row.contribution == pytest.approx(
            len(part) * gap @ np.linalg.solve(fit.cov[np.ix_(o, o)], gap), rel=1e-6
        )


def test_what_cannot_be_tested_is_said():
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    frame = pd.DataFrame({"x": x, "twice": 2 * x + 1, "one": 1.0, "no": np.nan, "word": ["a", "b"] * 25, "y": x**2})
    frame.loc[:20, "y"] = np.nan
    test = mk.explore(frame).mcar
    assert test.columns == ("x", "y")
    assert dict(test.left_out) == {
        "twice": "a linear function of columns before it",
        "one": "constant",
        "no": "nothing recorded",
        "word": "a category",
    }


def test_a_column_that_is_flat_where_others_are_recorded_stays_as_long_as_there_is_a_test():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"y": rng.normal(size=60), "z": rng.normal(size=60), "rare": np.arange(60) < 6})
    frame.loc[:9, "y"] = np.nan  # wherever `rare` is true
    test = mk.explore(frame).mcar
    assert test.columns == ("y", "z", "rare")
    assert test.df == 2
    assert np.isfinite(test.statistic)


def test_little_without_an_estimate_is_a_sentence(monkeypatch):
    def fails(*_, **__):
        raise ConvergenceError("EM met a singular covariance among 'c0', 'c1'")

    monkeypatch.setattr(mcar, "em", fails)
    found = mk.explore(pd.DataFrame({"a": [1.0, 2, 3, None, 5], "b": [1.0, 4, 2, 2, None]}))
    assert np.isnan(found.mcar.statistic)
    assert found.mcar.notes == ("EM has no estimate: EM met a singular covariance among 'a', 'b'",)
    assert "none, EM has no estimate" in str(found)
    assert NO_TEST[:40] in str(found)


def test_columns_never_seen_together_do_not_stop_explore():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    frame.loc[:29, "a"], frame.loc[30:, "b"] = np.nan, np.nan
    found = mk.explore(frame)
    # the covariance of a and b is in no pattern's term: the test has 2 + 2 - 3 degrees of freedom all the same
    assert np.isnan(found.mcar.statistic) or found.mcar.df == 1


def test_many_patterns_leave_the_commonest(monkeypatch):
    monkeypatch.setattr(mcar, "_PATTERNS", 4)
    rng = np.random.default_rng(3)
    values = rng.normal(size=(400, 4))
    values[rng.random((400, 4)) < 0.2] = np.nan
    test = mk.explore(pd.DataFrame(values, columns=list("abcd"))).mcar
    assert test.n_patterns == 4
    assert test.notes[0].startswith("the 4 commonest of ")


# ---- patterns


def test_patterns_and_means_are_those_of_proc_mi():
    found = mk.explore(read("sas_fitness_em"))
    assert found.patterns["count"].tolist() == [21, 4, 3, 2, 1]
    assert found.patterns["missing"].tolist() == ["", "RunPulse", "RunTime, RunPulse", "Oxygen, RunPulse", "Oxygen"]
    assert found.patterns["share"].round(4).tolist() == [0.6774, 0.1290, 0.0968, 0.0645, 0.0323]
    printed = [
        [46.353810, 10.809524, 171.666667],
        [47.109500, 10.137500, np.nan],
        [52.461667, np.nan, np.nan],
        [np.nan, 9.885000, np.nan],
        [np.nan, 11.950000, 176.000000],
    ]
    np.testing.assert_allclose(found.means.to_numpy(), printed, atol=5.1e-7)  # as printed
    assert found.monotone is None


@pytest.mark.parametrize("p", [5, 63, 64, 130])
def test_patterns_are_the_distinct_rows_of_the_mask(p):
    rng = np.random.default_rng(p)
    seen = rng.random((6, p))[rng.integers(0, 6, 300)] < 0.7
    found = find_patterns(columns(masked(seen)))
    distinct, count = np.unique(seen, axis=0, return_counts=True)
    assert sorted(map(tuple, found.seen.tolist())) == sorted(map(tuple, distinct.tolist()))
    assert sorted(found.count) == sorted(count)
    np.testing.assert_array_equal(found.seen[found.which], seen)


def test_monotone_is_that_some_order_of_the_columns_is():
    rng = np.random.default_rng(4)
    said = []
    for _ in range(200):
        seen = rng.random((int(rng.integers(2, 5)), 4)) < 0.6
        order = monotone_order(find_patterns(columns(masked(seen))))
        ever = any(not (seen[:, list(o)][:, 1:] & ~seen[:, list(o)][:, :-1]).any() for o in permutations(range(4)))
        assert (order is not None) == ever
        if order is not None:
            sorted_seen = masked(seen)[list(order)].notna().to_numpy()
            assert not (sorted_seen[:, 1:] & ~sorted_seen[:, :-1]).any()
        said.append(ever)
    assert 20 < sum(said) < 180


def test_dropout_counts_who_leaves():
    last = np.repeat([1, 2, 3, 4], [3, 2, 5, 10])  # waves seen of 4
    frame = masked(np.arange(1, 5) <= last[:, None]).assign(id=range(20), twin=lambda t: t["c1"])
    table = dropout(find_patterns(columns(frame)))
    assert table is not None
    assert table["wave"].tolist() == ["c1, twin", "c2", "c3"]
    assert table["at_risk"].tolist() == [20, 17, 15]
    assert table["left"].tolist() == [3, 2, 5]
    assert table["hazard"].tolist() == [3 / 20, 2 / 17, 5 / 15]
    assert dropout(find_patterns(columns(frame[["c2", "c1"]]))) is None
    assert dropout(find_patterns(columns(frame[["c0", "c1"]]))) is None


def test_flux_is_its_definition():
    rng = np.random.default_rng(5)
    r = (rng.random((12, 4)) < 0.6).astype(int)
    n, p = r.shape
    influx, outflux = np.zeros(p), np.zeros(p)
    for j in range(p):
        for k in range(p):
            for i in range(n):
                influx[j] += (1 - r[i, j]) * r[i, k]
                outflux[j] += r[i, j] * (1 - r[i, k])
    found = flux(find_patterns(columns(masked(r == 1))))
    np.testing.assert_allclose(found["influx"], influx / r.sum(), rtol=1e-14)
    np.testing.assert_allclose(found["outflux"], outflux / (1 - r).sum(), rtol=1e-14)


# ---- rates


def test_wilson_is_that_of_statsmodels():
    count, n = np.array([0, 1, 37, 99, 100]), np.array([100, 7, 153, 100, 100])
    low, high = wilson(count, n)
    expected = proportion_confint(count, n, alpha=0.05, method="wilson")
    np.testing.assert_allclose([low, high], expected, atol=1e-15)


def test_rates_by_a_category_with_holes_of_its_own():
    frame = pd.DataFrame({"city": ["Rome", "Oslo", None, "Rome", None], "y": [1.0, None, None, None, 2.0]})
    found = mk.explore(frame, by="city").by
    assert found is not None
    assert found[["segment", "column", "n", "missing"]].values.tolist() == [
        ["Oslo", "y", 1, 1],
        ["Rome", "y", 2, 1],
        ["(missing)", "y", 2, 1],
    ]


def test_rates_by_a_number_are_in_five_bins_and_the_rest_of_many_levels_is_one_segment():
    x = np.arange(100.0)
    frame = pd.DataFrame(
        {"x": x, "id": [f"p{i:03}" for i in range(98)] + ["p000", "p001"], "y": np.where(x < 30, np.nan, x)}
    )
    by_x = mk.explore(frame, by="x").by
    assert by_x is not None
    y = by_x.query("column == 'y'")
    assert y["segment"].tolist() == ["0 to 19", "20 to 39", "40 to 59", "60 to 79", "80 to 99"]
    assert y["missing"].tolist() == [20, 10, 0, 0, 0]
    by_id = mk.explore(frame, by="id").by
    assert by_id is not None
    assert by_id["segment"].nunique() == 21
    assert by_id.query("column == 'y'")["n"].sum() == 100
    assert by_id["segment"].iloc[20] == "(other: 78 levels)"


# ---- predictors


def holed_table(n: int = 400, offset: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    x, z = rng.normal(size=n), rng.normal(size=n)
    city = rng.choice(["Rome", "Oslo", "Bern"], n)
    frame = pd.DataFrame({"x": x + offset, "z": z, "city": city, "y": x + z})
    frame.loc[rng.random(n) < norm.cdf(-1 + 1.5 * x), "y"] = np.nan
    frame.loc[rng.random(n) < 0.2, "z"] = np.nan
    return frame


@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_differences_and_correlations_are_those_of_pandas(offset):
    frame = holed_table(offset=offset)
    table = mk.explore(frame).predictors
    row = table.query("column == 'z' and feature == 'x'").iloc[0]
    hole = frame["z"].isna()
    a, b = frame.loc[hole, "x"], frame.loc[~hole, "x"]
    d = (a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2)
    tolerance = 1e-12 if offset == 0 else 1e-7  # a mean of 1e7 has 9 digits less
    assert row["smd"] == pytest.approx(d, rel=tolerance)
    assert row["correlation"] == pytest.approx(np.corrcoef(hole, frame["x"])[0, 1], rel=tolerance)
    assert row["mean_missing"] == pytest.approx(a.mean(), rel=1e-12)
    rome = table.query("column == 'z' and level == 'Rome'").iloc[0]
    assert rome["mean_recorded"] == pytest.approx((frame.loc[~hole, "city"] == "Rome").mean())
    seen = frame["z"].notna()
    y = table.query("column == 'y' and feature == 'z'").iloc[0]  # over the rows in which z is recorded
    assert y["correlation"] == pytest.approx(np.corrcoef(frame.loc[seen, "y"].isna(), frame.loc[seen, "z"])[0, 1])
    assert y["n_missing"] + y["n_recorded"] == seen.sum()


def test_a_feature_that_separates_the_holes_is_infinitely_far_apart():
    frame = pd.DataFrame({"flag": [0.1, 0.3] * 30, "y": [None, 2.0] * 30})
    found = mk.explore(frame)
    assert found.predictors["smd"].tolist() == [-np.inf]
    assert "flag always 0.1 where missing, 0.3 where recorded" in str(found)


def test_ridge_fit_maximises_its_objective():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(200, 3))
    y = (rng.random(200) < norm.cdf(x[:, 0] - 0.5)).astype(float)

    def loss(beta):
        eta = beta[0] + x @ beta[1:]
        return -(y @ eta - np.log1p(np.exp(eta)).sum() - 0.5 * beta[1:] @ beta[1:])

    found = fit_logistic(x, y)
    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(found, best.x, atol=1e-6)  # BFGS on a differenced gradient is good to about 1e-7


def test_area_under_curve_counts_pairs():
    rng = np.random.default_rng(8)
    score, y = rng.integers(0, 6, 40), (rng.random(40) < 0.4).astype(float)
    pairs = [(s > t) + 0.5 * (s == t) for s in score[y == 1] for t in score[y == 0]]
    assert area_under_curve(score, y) == pytest.approx(np.mean(pairs), rel=1e-14)


def test_auc_is_judged_on_rows_left_out():
    rng = np.random.default_rng(9)
    noise, y = rng.normal(size=(120, 60)), (np.arange(120) % 2).astype(float)
    auc, low, high = cross_validated_auc(noise, y, rng, 0.95)
    inside = area_under_curve(noise @ fit_logistic(noise, y)[1:], y)
    assert inside > 0.85  # 60 columns of noise fit 120 rows, and say nothing of others
    assert abs(auc - 0.5) < 0.15  # its standard error is 0.053
    assert 0 <= low < auc < high <= 1


def test_what_drives_a_hole_is_found():
    found = mk.explore(holed_table())
    auc = found.auc.set_index("column")
    assert auc.loc["y", "auc_low"] > 0.8
    assert auc.loc["z", "auc_low"] < 0.5 < auc.loc["z", "auc_high"]
    slopes = found.predictors.query("column == 'y'").set_index("feature")["coef"]
    assert slopes.abs().idxmax() == "x"


def test_columns_missing_in_the_same_rows_have_the_same_fit():
    frame = holed_table().assign(twin=lambda t: t["y"] ** 2)
    fits = mk.explore(frame).auc.set_index("column")
    assert fits.loc["y", "auc"] == fits.loc["twin", "auc"]


def test_fits_of_large_tables_take_both_sides_and_say_so():
    rng = np.random.default_rng(10)
    x = rng.normal(size=30_000)
    frame = pd.DataFrame({"x": x, "y": np.where(rng.random(30_000) < 0.01 * (1 + (x > 0)), np.nan, x)})
    found = mk.explore(frame, seed=3)
    fit = found.auc.iloc[0]
    assert fit["n_missing"] == frame["y"].isna().sum()
    assert fit["n_recorded"] == 2500
    assert found.rows == 20_000
    assert "20,000 rows drawn with seed 3" in str(found)
    assert str(found) == str(mk.explore(frame, seed=3))


# ---- thresholds


def z_of(hole: np.ndarray, values: np.ndarray, cuts: list[float]) -> float:
    n, m = len(hole), hole.sum()
    best = 0.0
    for cut in cuts:
        below = (values <= cut).sum()
        variance = m / n * (1 - m / n) * below * (n - below) / (n - 1)
        best = max(best, abs(hole[values <= cut].sum() - below * m / n) / np.sqrt(variance))
    return best


@pytest.mark.parametrize("values", [np.arange(10.0), np.array([1.0, 1, 1, 2, 2, 3, 3, 3, 3, 4])], ids=["apart", "ties"])
def test_crossing_probability_is_the_count_of_all_tables(values):
    cuts = sorted(set(values))[:-1]
    below = np.array([(values <= c).sum() for c in cuts])
    statistics = []
    for chosen in combinations(range(10), 4):
        hole = np.zeros(10, dtype=int)
        hole[list(chosen)] = 1
        statistics.append(z_of(hole, values, cuts))
    for reach in sorted(set(np.round(statistics, 9) - 1e-6)):  # below each value that occurs, not on it
        share = np.mean(np.array(statistics) >= reach)
        assert crossing_probability(below, 10, 4, reach) == pytest.approx(share, abs=1e-9)


def test_crossing_probability_is_that_of_permutations():
    rng = np.random.default_rng(11)
    values = rng.integers(0, 15, 300).astype(float)
    cuts = sorted(set(values))[1:-2]
    below = np.array([(values <= c).sum() for c in cuts])
    hole = (np.arange(300) < 40).astype(int)
    drawn = np.array([z_of(rng.permutation(hole), values, cuts) for _ in range(4000)])
    for reach in (1.5, 2.2, 3.0):
        p = crossing_probability(below, 300, 40, reach)
        assert abs((drawn >= reach).mean() - p) < 5 * np.sqrt(p * (1 - p) / 4000)


def test_holm_is_that_of_statsmodels():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9, 0.03])
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-14)


def mcar_table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Correlated columns, some with few values, a skewed one and a rare hole; masks that go together."""
    base = rng.normal(size=(n, 1))
    y = base + rng.normal(size=(n, 6))
    frame = pd.DataFrame(y, columns=list("abcdef"))
    frame["b"], frame["c"], frame["d"] = (y[:, 1] > 0.5) * 1.0, np.round(y[:, 2]), np.exp(2 * y[:, 3])
    rate = np.array([0.3, 0.05, 0.2, 0.0, 0.5, 0.1])
    together = rng.random((n, 1))
    holes = np.where(rng.random((n, 6)) < 0.5, together, rng.random((n, 6))) < rate
    return frame.mask(holes)


def flagged(tables: int, n: int, seed: int) -> float:
    """The share of tables missing completely at random in which any pair is flagged."""
    rng = np.random.default_rng(seed)
    each = [thresholds(columns(mcar_table(rng, n)), np.arange(n)) for _ in range(tables)]
    return float(np.mean([(table["p_adjusted"] <= 0.05).any() for table in each]))


def test_at_most_one_in_twenty_mcar_tables_is_flagged():
    # 5 % and three Monte Carlo standard errors of 150 tables
    assert flagged(150, 120, seed=12) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 400, 3000])
def test_at_most_one_in_twenty_mcar_tables_is_flagged_among_many(n):
    tables = 2000
    assert flagged(tables, n, seed=n) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tables)


def test_a_planted_jump_is_found_at_its_value():
    rng = np.random.default_rng(13)
    frame = mcar_table(rng, 600)
    frame.loc[(frame["f"] > 0.7) & (rng.random(600) < 0.6), "a"] = np.nan
    top = thresholds(columns(frame), np.arange(600)).iloc[0]
    assert (top["column"], top["predictor"]) == ("a", "f")
    assert top["p_adjusted"] < 1e-4
    assert top["cut"] == pytest.approx(0.7, abs=0.15)  # a cut each fiftieth of the rows
    assert top["rate_high"] > top["rate_low"] + 0.3
    assert top["missing_low"] + top["missing_high"] == frame.loc[frame["f"].notna(), "a"].isna().sum()


# ---- heaping


def test_heaps_and_bounds_are_told_and_smooth_columns_are_not():
    rng = np.random.default_rng(14)
    n = 2000
    smooth = rng.normal(50, 10, n)
    income = np.round(rng.lognormal(7, 0.5, n))
    heaped = np.where(rng.random(n) < 0.4, 50 * np.round(income / 50), income)
    frame = pd.DataFrame(
        {
            "smooth": smooth,
            "whole": np.round(smooth),
            "counted": rng.poisson(30, n),
            "floor": np.maximum(smooth, 40),
            "ceiling": np.minimum(np.round(smooth), 60),
            "heaped": heaped,
            "marks": rng.integers(1, 6, n),
            "ninety_nine": np.where(rng.random(n) < 0.05, 99.0, np.round(smooth, 2)),
        }
    )
    signs = mk.explore(frame).heaping.set_index("column")["signs"]
    assert "marks" not in signs.index
    assert [signs[c] for c in ("smooth", "whole", "counted")] == ["", "", ""]
    assert "at the least value 40" in signs["floor"]
    assert "at the greatest value 60" in signs["ceiling"]
    assert "multiples of 10" in signs["heaped"]
    assert "99" in signs["ninety_nine"]


# ---- tables that come in


def types() -> dict[str, list]:
    day = dt.date(2020, 1, 1)
    return {
        "num": [None if i % 5 == 0 else float(i) for i in range(60)],
        "int": [None if i % 7 == 0 else i for i in range(60)],
        "flag": [None if i % 6 == 0 else i % 4 == 0 for i in range(60)],
        "text": [None if i % 9 == 0 else "ab"[i % 2] for i in range(60)],
        "day": [None if i % 8 == 0 else day + dt.timedelta(days=i) for i in range(60)],
        "when": [None if i % 8 == 0 else dt.datetime(2020, 1, 1) + dt.timedelta(hours=i) for i in range(60)],
        "span": [None if i % 10 == 0 else dt.timedelta(hours=i) for i in range(60)],
        "list": [None if i % 4 == 0 else [i] for i in range(60)],
    }


FRAMES = {
    "arrow": lambda: pa.table(types()),
    "polars": lambda: pl.DataFrame(types()),
    "objects": lambda: pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in types().items()}),
    "nullable": lambda: pd.DataFrame(types()).convert_dtypes(),
    "arrow dtypes": lambda: pa.table(types()).to_pandas(types_mapper=pd.ArrowDtype),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_all_frames_say_the_same(kind):
    plain, other = mk.explore(pd.DataFrame(types()), by="day"), mk.explore(FRAMES[kind](), by="day")
    assert str(other) == str(plain)
    pd.testing.assert_frame_equal(other.thresholds, plain.thresholds)
    pd.testing.assert_frame_equal(other.means, plain.means)


def test_a_nan_in_an_arrow_column_is_missing():
    frame = pd.DataFrame({"x": pd.array(pa.array([1.0, float("nan"), None]), dtype=pd.ArrowDtype(pa.float64()))})
    assert mk.explore(frame).rates["missing"].tolist() == [2]


def test_ordered_levels_have_thresholds_and_zones_and_periods_are_dates():
    frame = pd.DataFrame(
        {
            "size": pd.Categorical(["S", "M", "L"] * 30, categories=["S", "M", "L"], ordered=True),
            "zone": pd.date_range("2020-01-01", periods=90, tz="Europe/Rome"),
            "month": pd.period_range("2020-01", periods=90, freq="M"),
        }
    )
    frame["y"] = np.where(frame["size"] == "L", np.nan, 1.0)
    found = mk.explore(frame)
    top = found.thresholds.iloc[0]
    assert (top["predictor"], top["cut_label"], top["rate_low"], top["rate_high"]) == ("size", "M", 0.0, 1.0)
    assert {"zone", "month"} <= set(found.thresholds["predictor"])


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({"a": [1, 2]}), "There are no holes"),
        (pd.DataFrame({"a": [1.0]}), "1 row, 1 column"),
        (pd.DataFrame({"a": [np.nan]}), "nothing at all is recorded in a"),
        (pd.DataFrame({"a": [None, None], "b": [1, None]}), "nothing at all is recorded in a"),
        (pd.DataFrame({"a": [1.0, None, 2.0], "b": ["x", "y", None]}), "2 columns"),
        (pd.DataFrame({"a, b": [1.0, None, 2.0], "b": [None, 1.0, 1.5]}), "missing: a, b"),
    ],
)
def test_small_and_odd_tables_are_described(frame, says):
    assert says in str(mk.explore(frame))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        ({"by": "citty"}, SpecError, "by= names 'citty'; the columns are 'city', 'y' — did you mean 'city'?"),
        ({"by": ["city"]}, DataError, "give the name of one column"),
        ({"seed": -1}, SpecError, "seed is a whole number of at least 0, not -1"),
        ({"df": pd.DataFrame({"y": [1, np.inf]})}, DataError, "'y' has 1 infinite values"),
        ({"df": pd.DataFrame({"y": [1, 2]}), "by": "y"}, DataError, "is the only column"),
        ({"df": pd.DataFrame({"l": [[1]], "y": [1]}), "by": "l"}, DataError, "holds things without levels"),
        ({"df": pd.DataFrame([[1, 2]], columns=["a", "a"])}, DataError, "occur more than once"),
        ({"df": [1]}, DataError, "type list"),
    ],
)
def test_bad_input_is_one_line(call, error, says):
    frame = pd.DataFrame({"city": ["Rome", "Oslo"], "y": [1.0, None]})
    with pytest.raises(error) as caught:
        mk.explore(**{"df": frame} | call)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- the summary


def test_the_summary_says_what_a_stranger_needs():
    text = str(mk.explore(read("little_mcar_airquality"), by="Month"))
    for said in (
        "153 rows, 6 columns: 44 of 918 cells are missing (4.8 %); 111 rows (72.5 %) are complete",
        "(rates with 95 % Wilson intervals)",
        "Ozone    37  of 153  24.2 %  (18.1 % to 31.5 %)",
        "4 patterns",
        "not monotone",
        "Ozone: AUC 0.",
        "42.6 % where Month ≤ 6",
        "χ² = 35.11, df 14, p = 0.0014",
        "No test can tell MAR from MNAR",
    ):
        assert said in text
    assert max(map(len, text.splitlines())) <= 110


# ---- dates of any year, and labels that tell segments apart

DAY, TIME, UTC = dt.date, dt.datetime, dt.UTC
ANY_YEAR = {
    "days": pd.Series([DAY(1, 1, 1), DAY(9999, 1, 1), DAY(1970, 1, 2), None] * 15, dtype=object),
    "times": pd.Series([TIME(1, 1, 1), TIME(9999, 1, 1), TIME(1970, 1, 2), None] * 15, dtype=object),
    "aware": pd.Series([TIME(y, 1, d, tzinfo=UTC) for y, d in ((1, 1), (9999, 1), (1970, 2))] * 20, dtype=object),
    "seconds": pd.Series(np.array(["0001-01-01", "9999-01-01", "1970-01-02", "NaT"] * 15, dtype="datetime64[s]")),
    "arrow": pd.Series([DAY(1, 1, 1), DAY(9999, 1, 1), DAY(1970, 1, 2), None] * 15, dtype=pd.ArrowDtype(pa.date32())),
}


@pytest.mark.parametrize("name", ANY_YEAR)
def test_dates_of_any_year_are_days(name: str):
    frame = pd.DataFrame({"d": ANY_YEAR[name], "y": [1.0, np.nan, 2.0, 3.0, 4.0] * 12})
    days = columns(frame)[0].values
    assert days[:3].tolist() == [-719162.0, 2932532.0, 1.0]
    found = mk.explore(frame, by="d")
    assert found.by["segment"].tolist()[:3] == ["0001-01-01", "1970-01-02", "9999-01-01"]
    assert "0001-01-01" in str(found)


def test_parquet_dates_of_1500_are_days():
    table = pa.table({"d": pa.array([DAY(1500, 1, 1), DAY(2000, 5, 1), None] * 20), "y": [1.0, None, 2.0] * 20})
    assert mk.explore(table, by="d").by["segment"].tolist() == ["1500-01-01", "2000-05-01", "(missing)"]


def test_huge_durations_are_days():
    held = pd.Series([dt.timedelta.max, dt.timedelta.min, dt.timedelta(hours=12)] * 5, dtype=object)
    np.testing.assert_allclose(columns(pd.DataFrame({"d": held}))[0].values[:3], [1e9, -999999999, 0.5], rtol=1e-12)


def test_times_with_and_without_a_zone_are_refused():
    held = pd.Series([TIME(2000, 1, 1), TIME(2000, 1, 1, tzinfo=UTC), TIME(2001, 1, 1)], dtype=object)
    with pytest.raises(
        DataError, match=r"^'d' has 1 times with a time zone and 2 without; give all of them one, or none"
    ):
        mk.explore(pd.DataFrame({"d": held}))


def test_whole_numbers_beyond_double_precision_are_refused():
    frame = pd.DataFrame({"d": pd.Series([10**309, 1, None], dtype=object)})
    with pytest.raises(DataError, match=r"^'d' has whole numbers beyond 1.8e308.*rescale it$"):
        mk.explore(frame)
    with pytest.raises(DataError, match=r"^'d' is not numeric"):
        mk.em(mk.Spec(mk.Regression("d ~ 1")), frame)


LABELS = {
    "times of one day": pd.date_range("2000-01-01", periods=60, freq="7min"),
    "few times": pd.Series(pd.to_datetime(["2000-01-01 10:00", "2000-01-01 11:00"])).repeat(30),
    "four digits": [1.00001, 1.00002, 1.00003] * 20,
    "bins of four digits": 1 + np.arange(60) * 1e-9,
    "number beside text": pd.Series([1, "1"] * 30, dtype=object),
    "truth beside text": pd.Series([True, "True"] * 30, dtype=object),
    "(missing) beside holes": pd.Series(["(missing)", None, "a"] * 20, dtype=object),
}


@pytest.mark.parametrize("name", LABELS)
def test_segments_have_labels_of_their_own(name: str):
    frame = pd.DataFrame({"g": pd.Series(np.asarray(LABELS[name])), "y": [1.0, np.nan, 2.0, 3.0, np.nan, 4.0] * 10})
    found = mk.explore(frame, by="g")
    assert found.by["segment"].is_unique
    assert found.by["n"].sum() == 60
    assert len(found.by) > 1
    assert found.predictors["feature"].is_unique
    if frame["g"].isna().any():
        assert found.by["segment"].tolist() == ["'(missing)'", "a", "(missing)"]


@pytest.mark.parametrize("factor", [1e155, 1e-200])
def test_magnitudes_whose_squares_overflow_are_named(factor: float):
    frame = pd.DataFrame({"a": np.arange(30) * factor, "b": [1.0, np.nan, 2.0] * 10})
    with pytest.raises(DataError, match=r"^'a' (has values up to|varies by) \d.*e[+-]\d+.*; rescale it"):
        mk.explore(frame)
