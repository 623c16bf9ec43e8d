"""The pass over the rows and the E-step on what it leaves: against row-by-row sums, in any chunks, from any source."""

from collections.abc import Iterator
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mnarkit as mk
from mnarkit.errors import ConvergenceWarning, DataError, MnarkitError, SpecError
from mnarkit.normal import moments as reducing
from mnarkit.normal import sources
from mnarkit.normal.expectation import expected_products
from mnarkit.normal.moments import Moments, add, gather
from mnarkit.normal.sources import moments_of

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, n: int = 60, p: int = 4, holes: float = 0.4) -> pd.DataFrame:
    """Columns far from 0 with holes, two predictors; the last row has nothing seen."""
    rng = np.random.default_rng(seed)
    x = rng.normal(50, 3, (n, 2))
    y = 1e4 + 20 * rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + x @ rng.normal(size=(2, p))
    y[4:][rng.random((n - 4, p)) < holes] = np.nan
    y[-1] = np.nan
    return pd.DataFrame(np.hstack([y, x]), columns=[*(f"y{j}" for j in range(p)), "x1", "x2"])


def spec_of(p: int = 4, given: str = "x1 + x2") -> mk.Spec:
    return mk.Spec(mk.MvNormal(*(f"y{j}" for j in range(p)), given=given))


@pytest.fixture(params=[False, True], ids=["NumPy", "Numba"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways, whatever the size of the table."""
    monkeypatch.setattr(reducing, "_SMALL", 0 if request.param else 10**9)
    return request.param


def slow_sums(moments: Moments, table: pd.DataFrame, terms: list[str]) -> dict[bytes, np.ndarray]:
    """Σ z z' of each pattern, one row after another, on the scaling that the moments name."""
    y = (table[list(moments.columns)].to_numpy() - moments.center) / moments.scale
    x = np.column_stack([np.ones(len(table)) if t == "Intercept" else table[t] for t in terms]) @ moments.x_map
    sums: dict[bytes, np.ndarray] = {}
    for i in range(len(y)):
        seen = ~np.isnan(y[i])
        if seen.any():
            z = np.concatenate([x[i], np.where(seen, y[i], 0.0)])
            sums[seen.tobytes()] = sums.get(seen.tobytes(), 0.0) + np.outer(z, z)
    return sums


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([0.05, 0.4, 0.8]), st.booleans())
def test_products_of_each_pattern_are_those_of_its_rows(seed: int, holes: float, compiled: bool) -> None:
    table = drawn(seed, holes=holes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reducing, "_SMALL", 0 if compiled else 10**9)
        moments = moments_of(spec_of(), table)
    sums = slow_sums(moments, table, ["Intercept", "x1", "x2"])
    assert len(sums) == len(moments.seen)
    for g, seen in enumerate(moments.seen):
        rows = moments.rows[moments.start[g] : moments.start[g + 1]]
        np.testing.assert_allclose(rows.T @ rows, sums[seen.tobytes()], atol=1e-9)
        assert len(rows) <= min(moments.count[g], 7)
    y = table[[f"y{j}" for j in range(4)]]
    np.testing.assert_allclose(moments.center, y.mean(), rtol=1e-13)
    np.testing.assert_allclose(moments.scale, y.std(), rtol=1e-10)
    seen = y.notna().any(axis=1)
    assert (moments.n, moments.n_empty) == (seen.sum(), (~seen).sum())


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 59), min_size=1, max_size=5, unique=True), st.booleans())
def test_chunked_is_whole(seed: int, cuts: list[int], compiled: bool) -> None:
    table = drawn(seed)
    x, y = table[["x1", "x2"]].to_numpy(), table[[f"y{j}" for j in range(4)]].to_numpy()
    parts = [(a, b) for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(y)], strict=True)]

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from ((x[a:b], y[a:b]) for a, b in parts)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reducing, "_SMALL", 0 if compiled else 10**9)
        patched.setattr(reducing, "_MERGE", 5)  # merge all the time
        terms, columns = ("Intercept", "x1", "x2"), tuple(f"y{j}" for j in range(4))
        whole = reducing.moments(*gather([(x, y)]), columns, terms)
        chunked = reducing.moments(*gather(blocks()), columns, terms)
    order = [int(np.flatnonzero((chunked.seen == seen).all(axis=1)).item()) for seen in whole.seen]
    np.testing.assert_array_equal(chunked.count[order], whole.count)
    np.testing.assert_allclose(chunked.center, whole.center, rtol=1e-12)
    np.testing.assert_allclose(chunked.scale, whole.scale, rtol=1e-10)
    for g, h in enumerate(order):
        one, other = (m.rows[m.start[k] : m.start[k + 1]] for m, k in ((whole, g), (chunked, h)))
        np.testing.assert_allclose(other.T @ other, one.T @ one, atol=1e-10 * whole.count[g] * 10)


def test_chunked_fit_is_the_whole_fit(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    table = drawn(3, n=300)
    whole = mk.em(spec_of(), table, tol=1e-12)
    monkeypatch.setattr(sources, "_BLOCK", 37)
    chunked = mk.em(spec_of(), table, tol=1e-12)
    np.testing.assert_allclose(chunked.params, whole.params, rtol=1e-10, atol=1e-10 * np.abs(whole.params).max())
    assert chunked.loglik == pytest.approx(whole.loglik, rel=1e-12)


def test_patterns_beyond_64_columns_are_told_apart(compiled: bool) -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=(400, 70))
    y[:200, 0] = np.nan
    y[200:, 69] = np.nan
    y[::2, 64] = np.nan
    raw, _ = gather([(np.empty((400, 0)), y)])
    assert sorted(raw.count) == [100, 100, 100, 100]
    assert {s.tobytes() for s in raw.seen} == {s.tobytes() for s in ~np.isnan(y)}


def test_sums_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    y = drawn(5, n=4000).to_numpy()[:, :4]
    blocks = [(np.empty((500, 0)), y[a : a + 500]) for a in range(0, 4000, 500)]
    monkeypatch.setattr(reducing, "_SMALL", 0)
    made = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(reducing, "_THREADS", threads)
        made.append(gather(blocks)[0].rows)
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


def test_merging_is_a_sum_in_any_grouping() -> None:
    y = drawn(6, n=90).to_numpy()[:, :4]
    origin = reducing.Origin.near(np.empty((90, 0)), y)
    parts = [reducing.raw_of(np.empty((30, 0)), y[a : a + 30], origin) for a in (0, 30, 60)]
    left, right = add([add(parts[:2]), parts[2]]), add([parts[0], add(parts[1:])])
    np.testing.assert_array_equal(left.seen, right.seen)
    for g in range(len(left.count)):
        one, other = (r.rows[r.start[g] : r.start[g + 1]] for r in (left, right))
        np.testing.assert_allclose(one.T @ one, other.T @ other, atol=1e-10)


# The E-step


def slow_expectation(
    coef: np.ndarray, cov: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Row by row."""
    yx, yy, value = np.zeros(coef.shape), np.zeros(cov.shape), 0.0
    for i in range(len(y)):
        o, m = np.flatnonzero(~np.isnan(y[i])), np.flatnonzero(np.isnan(y[i]))
        if not len(o):
            continue
        mean, full, spread = coef @ x[i], y[i].copy(), np.zeros(cov.shape)
        slope = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
        full[m] = mean[m] + slope @ (y[i, o] - mean[o])
        spread[np.ix_(m, m)] = cov[np.ix_(m, m)] - slope @ cov[np.ix_(o, m)]
        yx += np.outer(full, x[i])
        yy += np.outer(full, full) + spread
        value += stats.multivariate_normal(mean[o], cov[np.ix_(o, o)]).logpdf(y[i, o])
    return yx, yy, value


@pytest.mark.parametrize("compiled_step", [False, True], ids=["NumPy", "Numba"])
@pytest.mark.parametrize("holes", [0.05, 0.4, 0.8])
@pytest.mark.parametrize("given_x", ["1", "x1 + x2", "0 + x1"])
def test_expectations_are_those_of_the_rows(compiled_step: bool, holes: float, given_x: str) -> None:
    table = drawn(7, holes=holes)
    moments = moments_of(spec_of(given=given_x), table)
    rng = np.random.default_rng(2)
    p, q = 4, len(moments.terms)
    coef, root = rng.normal(size=(p, q)), rng.normal(size=(p, p))
    cov = root @ root.T + 0.5 * np.eye(p)
    y = (table[list(moments.columns)].to_numpy() - moments.center) / moments.scale
    x = np.column_stack([np.ones(len(y)) if t == "Intercept" else table[t] for t in moments.terms]) @ moments.x_map
    expected = slow_expectation(coef, cov, y, x)
    made = expected_products(coef, cov, moments, compiled=compiled_step)
    for one, other in zip(made, expected, strict=False):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert not made[3].any()


def test_a_dependent_column_is_left_out_where_it_is_seen_with_the_others() -> None:
    table = drawn(8)
    table["y3"] = table["y0"] - table["y1"]
    table.loc[::5, "y3"] = np.nan
    with pytest.warns(ConvergenceWarning, match="'y3' is determined by 'y0', 'y1'"):
        fit = mk.em(spec_of(), table)
    left = fit.curvature.left_out  # type: ignore[union-attr]
    seen = fit.curvature.moments.seen  # type: ignore[union-attr]
    np.testing.assert_array_equal(left[:, 3], seen[:, [0, 1, 3]].all(axis=1))
    filled, holes = fit.expected(), table["y3"].isna() & table[["y0", "y1"]].notna().all(axis=1)
    np.testing.assert_allclose(filled.loc[holes, "y3"], (table["y0"] - table["y1"])[holes], rtol=1e-4)


# Sources


def test_frames_of_every_kind_are_the_same_table() -> None:
    table = drawn(9)
    expected = mk.em(spec_of(), table).params
    nullable = table.convert_dtypes()
    arrow = table.convert_dtypes(dtype_backend="pyarrow")
    columns = table[table.columns[::-1]]
    fortran = pd.DataFrame(np.asfortranarray(table.to_numpy()), columns=table.columns)
    for other in (nullable, arrow, columns, fortran):
        np.testing.assert_allclose(mk.em(spec_of(), other).params, expected, rtol=1e-8)


def test_the_private_table_does_not_change_with_the_users() -> None:
    table = drawn(9)
    data = mk.IncompleteData.of(table)
    before = data.fingerprint()
    table.loc[0, "y0"] = -1.0
    table["x1"] = 0.0
    table.iloc[3:5, 1] = 7.0
    assert data.fingerprint() == before


def test_parquet_and_dask_are_the_table_in_memory(tmp_path: Path) -> None:
    table = drawn(10, n=500)
    for k, a in enumerate(range(0, 500, 125)):
        table.iloc[a : a + 125].to_parquet(tmp_path / f"part{k}.parquet", row_group_size=50)
    whole = mk.em(spec_of(), table, tol=1e-11)
    lazy = dd.from_pandas(table, npartitions=7)
    for source in (tmp_path, str(tmp_path), ds.dataset(str(tmp_path)), lazy):
        fit = mk.em(spec_of(), source, tol=1e-11)
        np.testing.assert_allclose(fit.params, whole.params, rtol=1e-7)
        assert fit.loglik == pytest.approx(whole.loglik, rel=1e-10)
        assert (fit.n, fit.n_empty, fit.data) == (whole.n, whole.n_empty, None)
    with pytest.raises(DataError, match="read in chunks, which is not kept"):
        fit.project("y0 ~ 1")
    with pytest.raises(SpecError, match="under MAR alone"):
        mk.em(spec_of().under(mk.Selection("missing(y0) ~ y0")), tmp_path)


def test_a_part_with_other_columns_is_named(tmp_path: Path) -> None:
    table = drawn(10)
    table.to_parquet(tmp_path / "a.parquet")
    table.drop(columns="y2").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"the part 'b.parquet' has no column 'y2'; its columns are 'y0'"):
        mk.em(spec_of(), tmp_path)


REFUSED = {
    "infinite": (lambda t: t.assign(y1=t["y1"].where(t.index != 5, np.inf)), "'y1' has 1 infinite"),
    "constant": (lambda t: t.assign(y1=t["y1"] * 0 + 3), "'y1' is constant"),
    "unseen": (lambda t: t.assign(y1=np.nan), r"'y1' has (no|0) recorded value"),
    "text": (lambda t: t.assign(y1="a"), "'y1' is not numeric"),
    "hole": (lambda t: t.assign(x1=t["x1"].where(t.index != 5)), "'x1' has 1 hole"),
    "collinear": (lambda t: t.assign(x2=2 * t["x1"]), "collinear"),
    "few": (lambda t: t.assign(y1=t["y1"].where(t.index < 3)), "'y1' has 3 recorded values"),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_tables_that_are_refused(name: str, chunked: bool, tmp_path: Path) -> None:
    change, said = REFUSED[name]
    table = change(drawn(11))
    source: object = table
    if chunked:
        table.to_parquet(tmp_path / "t.parquet")
        source = tmp_path
    with pytest.raises(MnarkitError, match=said) as caught:
        mk.em(spec_of(), source)
    assert "\n" not in str(caught.value)


def years(n_each: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    year = np.repeat(np.arange(2000.0, 2021.0), n_each)
    t = year - 2010
    y = 3 + 0.5 * t - 0.02 * t**2 + 0.003 * t**3 + rng.normal(size=len(t))
    table = pd.DataFrame({"y0": y, "y1": rng.normal(size=len(t)), "x1": year, "x2": year**2, "x3": year**3, "t": t})
    table.loc[::5, "y0"] = np.nan
    return table


def test_predictors_that_are_nearly_collinear_are_fitted(compiled: bool) -> None:
    table = years()
    raw = mk.em(mk.Spec(mk.Regression("y0 ~ x1 + x2 + x3")), table)
    centered = mk.em(mk.Spec(mk.Regression("y0 ~ t + I(t**2) + I(t**3)")), table)
    rel = 1e-6
    assert raw.loglik == pytest.approx(centered.loglik, abs=rel)
    assert raw.cov.item() == pytest.approx(centered.cov.item(), rel=rel)
    assert raw.coef[0, 3] == pytest.approx(centered.coef[0, 3], rel=rel)
    assert raw.std_errors.iloc[3] == pytest.approx(centered.std_errors.iloc[3], rel=rel)
    pd.testing.assert_series_equal(mk.em(raw.spec, table, start=raw).params, raw.params, rtol=10 * rel)
    lazy = mk.em(raw.spec, dd.from_pandas(table, npartitions=3))
    assert lazy.loglik == pytest.approx(centered.loglik, abs=rel)


def test_nearly_collinear_predictors_without_an_intercept(compiled: bool) -> None:
    table = years().dropna()
    table["x2"] = table["x1"] * (1 + 1e-4 * np.sin(np.arange(len(table))))
    fit = mk.em(mk.Spec(mk.Regression("y0 ~ 0 + x1 + x2")), table)
    expected, left, *_ = np.linalg.lstsq(table[["x1", "x2"]].to_numpy(), table["y0"].to_numpy())
    np.testing.assert_allclose(fit.coef[0], expected, rtol=1e-6)
    assert fit.cov.item() == pytest.approx(left.item() / len(table), rel=1e-9)


RANK = {
    "exactly": (
        lambda t: t.assign(x2=2 * t["x1"] - 3),
        r"'x2' among .* is perfectly collinear with 'x1' in all \d+ ro",
    ),
    "nearly": (
        lambda t: t.assign(x2=t["x1"] + 1e-7 * np.sin(np.arange(len(t)))),
        r"'x2' among .* is nearly collinear with 'x1' in all \d+ rows.*1 - R² = .*e-1\d",
    ),
    "constant": (lambda t: t.assign(x2=0.1), r"'x2' among the predictors of .* is constant in all \d+ rows"),
    "determined": (
        lambda t: t.assign(y1=(1 + 2 * t["x1"] - t["x2"]).where(t["y1"].notna())),
        r"^'y1' is determined exactly by x1, x2 \(all \d+ recorded values",
    ),
    "determined up to 1e-8": (
        lambda t: t.assign(y1=(1 + 2 * t["x1"] + 1e-8 * t["y0"].fillna(0) / 1e4).where(t["y1"].notna())),
        r"^'y1' is determined exactly by x1 \(all",
    ),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("name", RANK)
def test_one_rule_of_rank_for_tables_of_every_kind(name: str, chunked: bool, compiled: bool, tmp_path: Path) -> None:
    change, said = RANK[name]
    table = change(drawn(11, n=300))
    source: object = table
    if chunked:
        table.to_parquet(tmp_path / "t.parquet")
        source = tmp_path
    with pytest.raises(DataError, match=said) as caught:
        mk.em(spec_of(), source)
    assert "\n" not in str(caught.value)


BROKEN = {
    "a broken part": ("b.parquet", b"garbage" * 10),
    "an empty part": ("b.parquet", b""),
    "a foreign file": ("notes.txt", b"hello"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_part_that_is_no_parquet_is_named(name: str, tmp_path: Path) -> None:
    file, content = BROKEN[name]
    drawn(1).to_parquet(tmp_path / "a.parquet")
    (tmp_path / file).write_bytes(content)
    for source in (tmp_path, ds.dataset(str(tmp_path))):
        with pytest.raises(DataError, match=f"^the part '{file}' cannot be read as Parquet") as caught:
            mk.em(spec_of(), source)
        assert "\n" not in str(caught.value)


def test_a_path_to_a_csv_is_told_what_a_source_is(tmp_path: Path) -> None:
    drawn(1).to_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"t.csv' cannot be read as Parquet .* with pd.read_csv$"):
        mk.em(spec_of(), tmp_path / "t.csv")


@pytest.mark.parametrize("first", [True, False])
def test_a_part_without_a_value_is_missing(first: bool, tmp_path: Path) -> None:
    table = drawn(10)
    empty = table.assign(y0=None)
    table.to_parquet(tmp_path / "b.parquet")
    empty.to_parquet(tmp_path / ("a.parquet" if first else "c.parquet"))
    both = pd.concat([table, table.assign(y0=np.nan)])
    np.testing.assert_allclose(mk.em(spec_of(), tmp_path).params, mk.em(spec_of(), both).params, rtol=1e-6)


def test_columns_in_the_names_of_folders_are_columns(tmp_path: Path) -> None:
    table = drawn(10).assign(x1=lambda t: np.arange(len(t)) % 3)
    table.to_parquet(tmp_path, partition_cols=["x1"])
    expected = mk.em(spec_of(), table).params
    for source in (tmp_path, ds.dataset(str(tmp_path), partitioning="hive")):
        np.testing.assert_allclose(mk.em(spec_of(), source).params, expected, rtol=1e-6)


def test_late_amounts_are_checked_whatever_the_size(tmp_path: Path) -> None:
    table = drawn(10)
    table.to_parquet(tmp_path / "t.parquet")
    many = pd.concat([table] * 500, ignore_index=True)
    spec = spec_of().under(mk.PatternMixture(mk.Shift("y0", 1, unit="sd", where="zzz > 0")))
    for source in (table, many, tmp_path, dd.from_pandas(table, npartitions=2)):
        with pytest.raises(MnarkitError, match="'zzz'"):
            mk.em(spec, source)
    with pytest.raises(SpecError, match=r"none of the .* is where x1 > 1e9"):
        mk.em(spec_of().under(mk.PatternMixture(mk.Shift("y0", 1, unit="sd", where="x1 > 1e9"))), many)


def test_sources_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        mk.em(spec_of(), tmp_path / "nothing")
    drawn(1).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(SpecError, match=r"'log\(x1\)' needs the whole table"):
        mk.em(spec_of(given="log(x1)"), tmp_path)
    with pytest.raises(DataError, match="no column 'y4'"):
        mk.em(spec_of(p=5), tmp_path)


@pytest.mark.parametrize("which", ["y0", "x1"])
@pytest.mark.parametrize("factor", [1e155, 1e100, 1e-100, 1e-200])
@pytest.mark.parametrize("chunked", [False, True])
def test_magnitudes_whose_squares_overflow_are_named(
    which: str, factor: float, chunked: bool, compiled: bool, tmp_path: Path
) -> None:
    table = drawn(2)
    table[which] *= factor
    source: object = table
    if chunked:
        table.to_parquet(tmp_path / "t.parquet")
        source = tmp_path
    with pytest.raises(DataError, match=rf"^'{which}' (has values|is of magnitude|varies by) .*e[+-]\d+.*; rescale it"):
        mk.em(spec_of(), source)


@pytest.mark.parametrize("value", [1e200, 1e308])
def test_one_late_value_that_overflows_is_told(value: float, monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    table = drawn(2, n=300)
    table.loc[250, "y0"] = value
    monkeypatch.setattr(sources, "_BLOCK", 100)
    with pytest.raises(DataError, match=r"^'y0' .*rescale it"):
        moments_of(spec_of(), table)


@pytest.mark.parametrize("factor", [1e70, 1e-70])
def test_a_fit_scales_with_its_table_as_far_as_numbers_go(factor: float, compiled: bool) -> None:
    table = drawn(2)
    plain, scaled = mk.em(spec_of(), table), mk.em(spec_of(), table * factor)
    np.testing.assert_allclose(scaled.cov / factor**2, plain.cov, rtol=1e-5)
    np.testing.assert_allclose(scaled.std_errors.iloc[-1] / factor**2, plain.std_errors.iloc[-1], rtol=1e-5)
