"""impute and Imputations on posteriors made by hand: what is kept, what moves, what is refused; and fits on disk."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import ConvergenceWarning, DataError, MnarkitError, SpecError
from mnarkit.impute.draw import draw_order

CHAINS, DRAWS = 2, 40
MODELLED = ["y", "v"]


def table(n: int = 40, seed: int = 1) -> pd.DataFrame:
    """`y` and `v` above 0 with holes, `x` and `arm` without; row 0 has nothing seen of y and v."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "y": rng.normal(50, 4, n),
            "v": rng.normal(20, 2, n),
            "x": rng.normal(10, 2, n),
            "arm": np.where(rng.random(n) < 0.5, "drug", "placebo"),
            "note": [f"row {i}" for i in range(n)],
        }
    )
    frame.loc[rng.random(n) < 0.4, "y"] = np.nan
    frame.loc[rng.random(n) < 0.3, "v"] = np.nan
    frame.loc[0, MODELLED] = np.nan
    return frame


TABLE = table()
REGRESSION = mk.Regression("y ~ x + arm")
JOINT = mk.MvNormal("y", "v", given="x")


def made(spec: mk.Spec, frame: pd.DataFrame, vary: float = 0.05, **center: object) -> mk.Fit:
    """A fit with given posterior centers; every draw is another one, unless vary is 0."""
    rng, arrays = np.random.default_rng(5), {}
    for name, value in center.items():
        draws = np.broadcast_to(np.asarray(value, float), (CHAINS, DRAWS, *np.shape(value)))
        noise = 0.0 if name == "corr" else vary * rng.normal(size=draws.shape)
        dims = ("chain", "draw", *(f"{name}_dim_{i}" for i in range(np.ndim(value))))
        arrays[name] = (dims, draws * np.exp(noise) if name in ("sd", "corr") else draws + noise)
    coords = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, coords=coords)})
    tree.attrs = {"spec": spec.to_json(), "seed": 11}
    return mk.Fit(spec, IncompleteData.of(frame), tree, 11, ("made by hand",))


def regression(*beliefs: object, frame: pd.DataFrame = TABLE, vary: float = 0.05, **more: object) -> mk.Fit:
    return made(mk.Spec(REGRESSION, *beliefs), frame, vary, coef=[[30.0, 2.0, -1.0]], sd=[3.0], **more)


def joint(*beliefs: object, frame: pd.DataFrame = TABLE, vary: float = 0.05, **more: object) -> mk.Fit:
    known = {"coef": [[30.0, 2.0], [15.0, 0.5]], "sd": [3.0, 1.5], "corr": [[1.0, -0.6], [-0.6, 1.0]]}
    return made(mk.Spec(JOINT, *beliefs), frame, vary, **known, **more)


def at(fit: mk.Fit, k: int, name: str) -> np.ndarray:
    """The parameter that imputation k uses."""
    return fit.draws["posterior"][name].values[divmod(draw_order(fit.n_draws, k + 1)[k], DRAWS)]


def values(imputations: mk.Imputations, column: str = "y") -> np.ndarray:
    """(m, n) completed values."""
    return np.stack([frame[column].to_numpy(float) for frame in imputations])


def one_line(error: pytest.ExceptionInfo[BaseException]) -> bool:
    return "\n" not in str(error.value)


FITS: dict[str, Callable[[], mk.Fit]] = {
    "regression, MAR": regression,
    "joint, MAR": joint,
    "regression, probit": lambda: regression(mk.Selection("missing(y) ~ y + x"), missing_y=[-3.0, 0.1, 0.04]),
    "joint, logit": lambda: joint(mk.Selection("missing(y) ~ y + v", link="logit"), missing_y=[-3.0, 0.1, -0.1]),
    "joint, two indicators": lambda: joint(
        mk.Selection("missing(y) ~ y", link="logit"),
        mk.Selection("missing(v) ~ v + y"),
        missing_y=[-3.0, 0.1],
        missing_v=[2.0, -0.1, 0.02],
    ),
    "regression, Heckman": lambda: made(
        mk.Spec(REGRESSION, mk.Heckman("recorded(y) ~ x")),
        TABLE,
        vary=0.02,
        coef=[[30.0, 2.0, -1.0]],
        sd=[3.0],
        recorded_y=[0.5, -0.02],
        rho_y=0.7,
    ),
    "joint, shift inside the model": lambda: joint(mk.PatternMixture(mk.Shift("y", -1, unit="sd", of="model"))),
    "joint, late shift": lambda: joint(mk.PatternMixture(mk.Shift("y", -1, unit="sd", where="arm == 'drug'"))),
}

# What is recorded stays


@pytest.mark.parametrize("name", FITS)
def test_recorded_cells_and_other_columns_come_back_bit_identical(name: str) -> None:
    fit = FITS[name]()
    for completed in mk.impute(fit, 3, seed=1):
        assert completed[list(fit.spec.model.columns)].notna().all(axis=None)
        pd.testing.assert_frame_equal(completed.where(TABLE.notna()), TABLE, check_exact=True)
        assert completed.dtypes.tolist() == TABLE.dtypes.tolist()
    pd.testing.assert_frame_equal(fit.data.frame, TABLE, check_exact=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "Float32", "double[pyarrow]", "float[pyarrow]"])
def test_floating_columns_keep_their_dtype_and_their_bits(dtype: str) -> None:
    numbers = TABLE["y"].copy()
    numbers.iloc[[1, 2, 3, 4]] = [-0.0, 1 / 3, 1e-40, 3e38]  # a signed zero, and what single precision can just hold
    column = (
        pd.array(numbers, dtype="Float64").astype(dtype) if dtype[0] == "F" or "[" in dtype else numbers.astype(dtype)
    )
    frame = TABLE.assign(y=column)
    completed = mk.impute(regression(frame=frame), 2, seed=1)[1]["y"]
    assert str(completed.dtype) == dtype
    seen = numbers.notna().to_numpy()
    before, after = (s.astype(dtype)[seen].to_numpy(dtype="f8").tobytes() for s in (frame["y"], completed))
    assert before == after
    assert completed.notna().all()


@pytest.mark.parametrize(
    ("dtype", "back"),
    [("Int64", "Float64"), ("Int8", "Float64"), ("boolean", "Float64"), ("int64[pyarrow]", "double[pyarrow]")],
)
def test_whole_numbers_come_back_floating_with_a_warning(dtype: str, back: str) -> None:
    whole = pd.array(TABLE["y"].round() % 2 if dtype == "boolean" else TABLE["y"].round(), dtype="Float64")
    frame = TABLE.assign(y=whole.astype(dtype))
    with pytest.warns(UserWarning, match="'y' holds whole numbers .* not rounded") as caught:
        imputed = mk.impute(regression(frame=frame), 2, seed=1)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    completed = imputed[0]["y"]
    assert str(completed.dtype) == back
    seen = TABLE["y"].notna().to_numpy()
    assert np.array_equal(completed.to_numpy(float)[seen], whole.to_numpy(float, na_value=np.nan)[seen])
    assert (completed.to_numpy(float)[~seen] % 1 != 0).all()


def test_whole_numbers_without_holes_are_left_in_peace() -> None:
    frame = TABLE.assign(v=np.arange(40))
    assert mk.impute(joint(frame=frame), 1, seed=1)[0]["v"].dtype == np.dtype(int)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([f"id{i}" for i in range(40)], name="person"),
        pd.Index(["same"] * 40),
        pd.MultiIndex.from_product([range(20), ["a", "b"]], names=["family", None]),
        pd.date_range("2024-01-31", periods=40, freq="ME", tz="Europe/Berlin"),
        pd.RangeIndex(80, 0, -2),
    ],
    ids=["text", "repeated", "several levels", "dates", "downwards"],
)
def test_the_index_is_kept_and_says_nothing_about_the_values(index: pd.Index) -> None:
    plain, other = mk.impute(joint(), 2, seed=1), mk.impute(joint(frame=TABLE.set_index(index)), 2, seed=1)
    pd.testing.assert_index_equal(other[1].index, index)
    pd.testing.assert_frame_equal(other[1].reset_index(drop=True), plain[1], check_exact=True)


# Seeds and the order of the draws


def test_an_imputation_depends_on_seed_and_number_alone() -> None:
    fit = FITS["joint, logit"]()
    few, many = mk.impute(fit, 8, seed=3), mk.impute(fit, 50, seed=3)
    pd.testing.assert_frame_equal(few[7], many[7], check_exact=True)
    pd.testing.assert_frame_equal(few[0], mk.impute(fit, 1, seed=3)[0], check_exact=True)
    holes = TABLE["y"].isna().to_numpy()
    assert len(np.unique(values(many)[:, holes])) == 50 * holes.sum()
    assert not np.isin(values(few)[:, holes], values(mk.impute(fit, 8, seed=4))[:, holes]).any()


def test_without_a_seed_one_is_taken_and_kept() -> None:
    fit = regression()
    first, second = mk.impute(fit, 2), mk.impute(fit, 2)
    assert first.seed != second.seed
    assert np.array_equal(values(mk.impute(fit, 2, seed=first.seed)), values(first))


def test_imputation_k_uses_draw_k_of_the_order() -> None:
    fit = made(mk.Spec(mk.Regression("y ~ 1")), TABLE, vary=1.0, coef=[[0.0]], sd=[0.0])
    imputed = mk.impute(fit, 80, seed=1)
    for k in range(80):  # the residual sd is 0, so that a hole is the intercept itself
        assert imputed[k]["y"][0] == pytest.approx(at(fit, k, "coef").item(), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5000))
@example(1)
@example(4000)
@example(4097)
def test_draws_come_in_a_fixed_order_spread_over_the_chains(n_draws: int) -> None:
    order = draw_order(n_draws, n_draws)
    assert sorted(order) == list(range(n_draws))
    for m in {m for m in (1, 2, 5, 7, 20, 50, 333) if m <= n_draws}:
        first = draw_order(n_draws, m)
        assert first == order[:m]
        for parts in (2, 4, 5):  # as many from each chain as there are, to a van der Corput discrepancy of log2
            found = np.histogram(first, bins=np.linspace(0, n_draws, parts + 1) - 0.5)[0]
            assert np.abs(found - m / parts).max() <= 1 + np.log2(m + 1), (m, parts)


def test_order_starts_in_different_places() -> None:
    assert draw_order(4000, 4) == [0, 2048, 1024, 3072]


# How many


@pytest.mark.parametrize("m", [0, -1, 2.5, True, "3", None, np.float64(3)])
def test_a_number_of_imputations_that_is_none(m: object) -> None:
    with pytest.raises(SpecError, match="whole number of at least 1, not") as caught:
        mk.impute(regression(), m)  # type: ignore[arg-type]
    assert one_line(caught)


def test_more_imputations_than_draws_are_refused() -> None:
    assert len(mk.impute(regression(), np.int64(80), seed=1)) == 80
    with pytest.raises(SpecError, match="m=81 is more than the 80 posterior draws") as caught:
        mk.impute(regression(), 81)
    assert one_line(caught)


def test_more_imputations_than_the_effective_sample_size_warn(tmp_path: Path) -> None:
    fit = regression()
    fit.draws.attrs["ess_min"] = 12.4
    for known in (fit, mk.load_fit(fit.save(tmp_path))):
        assert len(mk.impute(known, 12, seed=1)) == 12
        with pytest.warns(ConvergenceWarning, match=r"m=13 .*\(12\)") as caught:
            mk.impute(known, 13, seed=1)
        assert caught[0].filename == __file__


# Amounts applied after the fit

Y_HOLES = TABLE["y"].isna().to_numpy()
DRUG = (TABLE["arm"] == "drug").to_numpy()


def moved(fit: mk.Fit, *late: mk.PatternMixture, m: int = 6, column: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """(m, n) values without and with late beliefs, with the same seed."""
    plain, other = (values(mk.impute(fit, m, seed=2, under=under), column) for under in (None, list(late)))
    seen = fit.data.seen(column)
    assert np.array_equal(plain[:, seen], other[:, seen])
    return plain, other


def shift(amount: float | mk.Prior, unit: str, **more: object) -> mk.PatternMixture:
    return mk.PatternMixture(mk.Shift("y", amount, unit=unit, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["regression, MAR", "joint, MAR", "joint, logit", "regression, Heckman"])
def test_a_shift_in_sd_moves_by_the_residual_sd_of_the_draw(name: str) -> None:
    fit = FITS[name]()
    plain, other = moved(fit, shift(-0.4, "sd"))
    for k in range(6):
        distance = -0.4 * at(fit, k, "sd")[0]
        np.testing.assert_allclose((other - plain)[k], np.where(Y_HOLES, distance, 0), atol=1e-12)


def test_a_shift_in_sd_given_another_column_is_residual_to_it_too() -> None:
    fit = joint()
    plain, other = moved(fit, shift(2, "sd", predictors=("v",)))
    distance = [2 * at(fit, k, "sd")[0] * np.sqrt(1 - 0.6**2) for k in range(6)]
    np.testing.assert_allclose((other - plain)[:, Y_HOLES], np.tile(distance, (Y_HOLES.sum(), 1)).T, atol=1e-12)


@pytest.mark.parametrize(("unit", "distance"), [("sd_observed", 1.5 * TABLE["y"].std()), ("raw", 1.5)])
def test_a_shift_in_a_fixed_unit_moves_every_draw_alike(unit: str, distance: float) -> None:
    plain, other = moved(regression(), shift(1.5, unit))
    np.testing.assert_allclose(other - plain, np.tile(np.where(Y_HOLES, distance, 0), (6, 1)), atol=1e-12)


def test_a_shift_in_percent_is_of_the_conditional_mean_given_what_is_seen() -> None:
    fit = joint()
    plain, other = moved(fit, shift(-10, "percent"))
    for k in range(6):
        coef, sd = at(fit, k, "coef"), at(fit, k, "sd")
        fitted = coef @ np.array([np.ones(40), TABLE["x"]])
        gap = np.nan_to_num(TABLE["v"] - fitted[1])  # nothing to learn from where v is unseen too
        mean = fitted[0] - 0.6 * sd[0] / sd[1] * gap
        np.testing.assert_allclose((other - plain)[k, Y_HOLES], -0.1 * mean[Y_HOLES], rtol=1e-9)


def test_percent_of_what_is_not_above_zero_is_refused() -> None:
    low = made(mk.Spec(mk.Regression("y ~ 1")), TABLE, coef=[[-5.0]], sd=[1.0])
    with pytest.raises(DataError, match=f"not above 0 in {Y_HOLES.sum()} of {Y_HOLES.sum()} rows") as caught:
        mk.impute(low, 2, seed=1, under=shift(5, "percent"))
    assert one_line(caught)
    with pytest.raises(DataError, match="recorded values that are not above 0"):
        mk.impute(regression(frame=TABLE.assign(y=TABLE["y"] - 55)), 2, under=shift(5, "percent"))


def test_where_picks_the_rows() -> None:
    plain, other = moved(regression(), shift(3, "raw", where="arm == 'drug' & x > 8"))
    picked = Y_HOLES & DRUG & (TABLE["x"] > 8).to_numpy()
    assert 0 < picked.sum() < Y_HOLES.sum()
    np.testing.assert_allclose(other - plain, np.tile(np.where(picked, 3.0, 0.0), (6, 1)), atol=1e-12)


def test_scale_multiplies_the_completed_value() -> None:
    plain, other = moved(regression(), mk.PatternMixture(mk.Scale("y", 0.8, where="arm == 'drug'")))
    np.testing.assert_array_equal(other, plain * np.where(Y_HOLES & DRUG, 0.8, 1.0))


def test_late_beliefs_are_stacked_in_their_order() -> None:
    first, second = (
        shift(3, "raw"),
        mk.PatternMixture(mk.Scale("y", 0.5), mk.Shift("y", -1, unit="raw", where="x > 10")),
    )
    plain, other = moved(joint(), first, second)
    expected = (plain + 3) * 0.5 - np.where(TABLE["x"] > 10, 1.0, 0.0)
    np.testing.assert_allclose(other[:, Y_HOLES], expected[:, Y_HOLES], rtol=1e-12)
    assert mk.impute(joint(), 1, seed=2, under=(first, second)).under == (first, second)


def test_only_its_own_column_moves() -> None:
    plain, other = moved(joint(), mk.PatternMixture(mk.Shift("v", 5, unit="raw")), column="y")
    assert np.array_equal(plain, other)
    plain, other = moved(joint(), mk.PatternMixture(mk.Shift("v", 5, unit="raw")), column="v")
    np.testing.assert_allclose((other - plain)[:, TABLE["v"].isna()], 5, atol=1e-12)


def test_a_late_prior_is_drawn_once_an_imputation() -> None:
    belief = shift(mk.Prior("uniform", 5, 9), "raw")
    plain, other = moved(regression(), belief, m=30)
    distance = (other - plain)[:, Y_HOLES]
    np.testing.assert_allclose(distance, np.tile(distance[:, :1], distance.shape[1]), atol=1e-11)
    assert len(np.unique(distance[:, 0].round(6))) == 30
    assert ((distance > 5) & (distance < 9)).all()
    assert np.array_equal(other[:3], values(mk.impute(regression(), 3, seed=2, under=belief)))
    z = (distance[:, 0].mean() - 7) / (4 / np.sqrt(12 * 30))
    assert abs(z) < 5


def test_amounts_of_the_spec_are_applied_before_the_late_ones() -> None:
    belief = mk.PatternMixture(mk.Shift("y", mk.Prior("normal", -2, 1), unit="raw"), mk.Scale("y", 2))
    plain, fit = regression(), regression(belief, shift_y=-2.0)
    late = shift(1, "raw")
    before, after = values(mk.impute(plain, 6, seed=2)), values(mk.impute(fit, 6, seed=2, under=late))
    for k in range(6):
        expected = (before[k] + at(fit, k, "shift_y")) * 2 + 1
        np.testing.assert_allclose(after[k, Y_HOLES], expected[Y_HOLES], rtol=1e-12)


@pytest.mark.parametrize(
    ("under", "said"),
    [
        (mk.PatternMixture(mk.Shift("y", 1, unit="sd", of="model")), r"inside the likelihood; fit it with mk\.sample"),
        (mk.Selection("missing(y) ~ y"), r"takes PatternMixture.*mk\.sample\(spec\.under"),
        ([mk.Heckman("recorded(y) ~ x")], "takes PatternMixture"),
        (mk.Shift("y", 1, unit="sd"), "takes PatternMixture"),
        ("y", "takes PatternMixture"),
        (mk.PatternMixture(mk.Shift("x", 1, unit="sd")), "'x', which the data model does not model"),
        (mk.PatternMixture(mk.Shift("y", 1, unit="sd", where="dose > 1")), "'dose'"),
        (mk.PatternMixture(mk.Shift("y", 1, unit="sd", where="v > 1")), "'v'"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_late_beliefs_that_are_refused(under: object, said: str) -> None:
    with pytest.raises(MnarkitError, match=said) as caught:
        mk.impute(regression(), 2, under=under)  # type: ignore[arg-type]
    assert one_line(caught)


def test_a_late_belief_about_a_column_without_holes_is_refused() -> None:
    fit = joint(frame=TABLE.assign(v=1.0 + TABLE["x"]))
    with pytest.raises(SpecError, match="'v' has no holes in 40 rows") as caught:
        mk.impute(fit, 2, under=mk.PatternMixture(mk.Shift("v", 1, unit="sd")))
    assert one_line(caught)


# Amounts inside the model, and indicators


def test_a_shift_inside_the_model_moves_what_is_left_after_the_other_column() -> None:
    belief = mk.PatternMixture(mk.Shift("y", -5, unit="raw", of="model"))
    draws = [values(mk.impute(joint(*beliefs, vary=0.0), 4, seed=2)) for beliefs in ((), (belief,))]
    distance = (draws[1] - draws[0])[0]
    v_seen = TABLE["v"].notna().to_numpy()
    # y is -5 lower, so v is expected -5 · cov/var(y) away, which a seen v gives back: (1 - 0.6²) is left
    np.testing.assert_allclose(distance[Y_HOLES & v_seen], -5 * (1 - 0.6**2), atol=1e-10)
    np.testing.assert_allclose(distance[Y_HOLES & ~v_seen], -5, atol=1e-10)
    assert not distance[~Y_HOLES].any()


def test_a_scale_inside_the_model_scales_mean_and_residual_where_it_holds() -> None:
    belief = mk.PatternMixture(mk.Scale("y", 1.3, of="model", where="arm == 'drug'"))
    plain, other = (values(mk.impute(joint(*beliefs, vary=0.0), 1, seed=2))[0] for beliefs in ((), (belief,)))
    assert np.array_equal(plain[~(Y_HOLES & DRUG)], other[~(Y_HOLES & DRUG)])
    at_both = Y_HOLES & DRUG & TABLE["v"].notna().to_numpy()
    mean_y, mean_v = np.array([[30.0, 2.0], [15.0, 0.5]]) @ np.array([np.ones(40), TABLE["x"]])
    var_y, slope = 9.0, -0.6 * 1.5 / 3  # of v on y, which the scale leaves as it is
    left = 1.5**2 - slope**2 * var_y
    noise = []
    for drawn, scale in ((plain, 1.0), (other, 1.3)):
        var, center_v = scale**2 * var_y, mean_v + slope * (scale - 1) * mean_y
        gain = slope * var / (left + slope**2 * var)
        center = scale * mean_y + gain * (TABLE["v"] - center_v)
        noise.append(((drawn - center) / np.sqrt(var - gain * slope * var))[at_both])
    assert at_both.sum() > 2
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-9)


LARGE = pd.DataFrame({"y": np.where(np.arange(6000) % 3 > 0, np.nan, 50.0), "x": np.arange(6000) % 2.0})


def test_unrecorded_values_of_a_heckman_model_have_its_mean() -> None:
    fit = made(
        mk.Spec(mk.Regression("y ~ x"), mk.Heckman("recorded(y) ~ x")),
        LARGE,
        0.0,
        coef=[[40.0, 5.0]],
        sd=[3.0],
        recorded_y=[0.3, -1.0],
        rho_y=0.8,
    )
    u = 0.3 - LARGE["x"].to_numpy()
    expected = (
        40 + 5 * LARGE["x"] - 0.8 * 3 * stats.norm.pdf(u) / stats.norm.cdf(-u)
    )  # Heckman (1979), eq. 8, sign turned
    gap = (mk.impute(fit, 1, seed=1)[0]["y"] - expected)[LARGE["y"].isna()].to_numpy()
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(len(gap))
    assert abs(gap[LARGE["x"][LARGE["y"].isna()] == 1].mean()) < 5 * gap.std() / np.sqrt(len(gap) / 2)


def test_missing_values_of_a_probit_selection_model_have_its_mean() -> None:
    selection = mk.Selection("missing(y) ~ x + y")
    fit = made(
        mk.Spec(mk.Regression("y ~ x"), selection),
        LARGE,
        0.0,
        coef=[[40.0, 5.0]],
        sd=[3.0],
        missing_y=[-17.0, -1.0, 0.4],
    )
    u = (-17 - LARGE["x"] + 0.4 * (40 + 5 * LARGE["x"])) / np.sqrt(1 + (0.4 * 3) ** 2)
    expected = 40 + 5 * LARGE["x"] + 0.4 * 9 / np.sqrt(1 + (0.4 * 3) ** 2) * stats.norm.pdf(u) / stats.norm.cdf(u)
    gap = (mk.impute(fit, 1, seed=1)[0]["y"] - expected)[LARGE["y"].isna()].to_numpy()
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(len(gap))


def test_pooled_mean_tends_to_the_posterior_mean() -> None:
    fit = regression(vary=0.3)
    imputed = mk.impute(fit, 80, seed=6)
    predictors = np.column_stack([np.ones(40), TABLE["x"], TABLE["arm"] == "placebo"])
    expected = np.array([np.where(Y_HOLES, predictors @ at(fit, k, "coef")[0], TABLE["y"]).mean() for k in range(80)])
    # every draw is used once, so what is left is the residual noise of the imputed cells
    error = np.sqrt(Y_HOLES.sum() * np.mean(fit.draws["posterior"]["sd"].values ** 2)) / 40 / np.sqrt(80)
    assert abs(values(imputed).mean() - expected.mean()) < 5 * error
    assert error < 0.2 * expected.std()


# Other rows


def test_other_rows_are_read_with_the_fit_of_the_old_ones() -> None:
    fit = made(mk.Spec(REGRESSION), TABLE, 0.0, coef=[[30.0, 2.0, -1.0]], sd=[0.0])
    rows = pd.DataFrame(
        {"arm": ["drug", "placebo", "drug"], "x": [1.0, 2.0, 3.0], "y": [np.nan, np.nan, 7.0]}, index=list("abc")
    )
    completed = mk.impute(fit, 2, seed=1, data=rows)
    np.testing.assert_allclose(completed[0]["y"], [32, 33, 7], atol=1e-12)
    assert completed[0].columns.tolist() == ["arm", "x", "y"]
    assert completed[0].index.tolist() == ["a", "b", "c"]
    assert completed.data.n == 3


@pytest.mark.parametrize("name", FITS)
def test_other_rows_may_have_nothing_recorded(name: str) -> None:
    fit = FITS[name]()
    rows = table(n=7, seed=8).assign(y=np.nan)
    assert mk.impute(fit, 2, seed=1, data=rows)[1]["y"].notna().all()


def test_other_rows_may_have_no_holes() -> None:
    rows = TABLE.dropna()
    assert mk.impute(regression(), 2, seed=1, data=rows)[0].equals(rows)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (TABLE.assign(arm="surgery"), "'arm'.*'surgery'.*'drug', 'placebo'"),
        (TABLE.drop(columns="x"), "'x'"),
        (TABLE.drop(columns="y"), "'y'"),
        (TABLE.assign(x=TABLE["x"].where(TABLE["x"] > 9)), "'x' has"),
        (TABLE.assign(y="high"), "'y' is not numeric"),
        ([1, 2], "type list"),
    ],
    ids=["unseen level", "no predictor", "no response", "holes in a predictor", "text", "no table"],
)
def test_other_rows_that_are_refused(rows: object, said: str) -> None:
    with pytest.raises(MnarkitError, match=said) as caught:
        mk.impute(regression(), 2, data=rows)
    assert one_line(caught)


def test_other_rows_with_none_for_every_value_come_back_as_numbers() -> None:
    rows = table(n=7, seed=8).assign(y=None)
    assert mk.impute(regression(), 2, seed=1, data=rows)[0]["y"].dtype == np.dtype(float)


def test_the_recorded_sd_is_that_of_the_fit_for_other_rows() -> None:
    rows = table(n=7, seed=8).assign(y=np.nan)
    plain, other = (
        values(mk.impute(regression(), 2, seed=1, data=rows, under=under)) for under in (None, shift(1, "sd_observed"))
    )
    np.testing.assert_allclose(other - plain, TABLE["y"].std(), atol=1e-12)


def test_percent_of_other_rows_with_nothing_recorded() -> None:
    rows = table(n=7, seed=8).assign(y=np.nan)
    plain, other = (
        values(mk.impute(regression(), 2, seed=1, data=rows, under=under)) for under in (None, shift(1, "percent"))
    )
    assert (other > plain).all()


# Imputations


def test_imputations_are_a_sequence_of_tables() -> None:
    imputed = mk.impute(joint(), 3, seed=1)
    assert (len(imputed), imputed.m, len(list(imputed))) == (3, 3, 3)
    pd.testing.assert_frame_equal(imputed[-1], imputed[2], check_exact=True)
    for k in (3, -4, 100):
        with pytest.raises(IndexError, match=f"imputation {k} is not there; there are 3") as caught:
            _ = imputed[k]
        assert one_line(caught)
    assert "3 imputations of 40 rows" in str(imputed)
    assert f"y ({Y_HOLES.sum()})" in str(imputed)
    assert "seed 1\nunder MAR" in str(imputed)


def test_a_table_taken_out_is_the_users_own() -> None:
    imputed = mk.impute(regression(), 2, seed=1)
    taken = imputed[0]
    taken.loc[:, "y"] = 0.0
    assert (imputed[0]["y"] != 0).all()
    assert imputed.data.frame["y"].isna().any()


def test_long_has_a_block_an_imputation() -> None:
    frame = TABLE.set_index(pd.Index([f"id{i}" for i in range(40)]))
    imputed = mk.impute(regression(frame=frame), 3, seed=1)
    long = imputed.to_long()
    assert long.columns.tolist() == [".imp", ".id", *TABLE.columns]
    assert long[".imp"].tolist() == np.repeat([1, 2, 3], 40).tolist()
    assert long[".id"].tolist() == frame.index.tolist() * 3
    np.testing.assert_array_equal(long.loc[long[".imp"] == 2, "y"], imputed[1]["y"])
    whole = imputed.to_long(include_original=True)
    assert whole[".imp"].unique().tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(whole.loc[whole[".imp"] == 0, "y"], TABLE["y"])
    pd.testing.assert_frame_equal(whole.iloc[40:].reset_index(drop=True), long)


def test_long_numbers_the_rows_of_an_index_with_several_levels() -> None:
    frame = TABLE.set_index(pd.MultiIndex.from_product([range(20), ["a", "b"]]))
    assert mk.impute(regression(frame=frame), 2, seed=1).to_long()[".id"].tolist() == [*range(40)] * 2


def test_wide_has_a_column_an_imputation() -> None:
    imputed = mk.impute(joint(), 2, seed=1)
    wide = imputed.to_wide()
    assert wide.columns.tolist() == ["x", "arm", "note", "y.1", "y.2", "v.1", "v.2"]
    np.testing.assert_array_equal(wide["v.2"], imputed[1]["v"])
    pd.testing.assert_index_equal(wide.index, TABLE.index)


def test_wide_leaves_complete_columns_alone() -> None:
    frame = TABLE.assign(v=1.0 + TABLE["x"])
    assert mk.impute(joint(frame=frame), 2, seed=1).to_wide().columns.tolist() == [
        "v",
        "x",
        "arm",
        "note",
        "y.1",
        "y.2",
    ]


def test_xarray_has_imputation_and_row() -> None:
    imputed = mk.impute(joint(frame=TABLE.assign(y=TABLE["y"].astype("double[pyarrow]"))), 3, seed=1)
    dataset = imputed.to_xarray()
    assert dict(dataset.sizes) == {"imputation": 3, "obs": 40}
    assert list(dataset.data_vars) == MODELLED
    np.testing.assert_array_equal(dataset["y"], values(imputed))
    np.testing.assert_array_equal(dataset["v"].sel(imputation=2), imputed[2]["v"])


def test_parquet_holds_the_tables_exactly(tmp_path: Path) -> None:
    frame = TABLE.assign(arm=TABLE["arm"].astype("category")).set_index(
        pd.Index([f"id{i}" for i in range(40)], name="id")
    )
    imputed = mk.impute(regression(frame=frame), 3, seed=1)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "kept.txt").write_text("kept")
    paths = imputed.to_parquet(tmp_path / "new")
    assert [p.name for p in paths] == ["imputation-001.parquet", "imputation-002.parquet", "imputation-003.parquet"]
    for path, completed in zip(paths, imputed, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(path), completed, check_exact=True)
    assert (tmp_path / "new" / "kept.txt").read_text() == "kept"


def test_parquet_never_overwrites(tmp_path: Path) -> None:
    mk.impute(regression(), 3, seed=1).to_parquet(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(DataError, match="already holds 3 imputations") as caught:
        mk.impute(regression(), 5, seed=2).to_parquet(tmp_path)
    assert one_line(caught)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


# Fits on disk


def rich() -> mk.Fit:
    """A table with what parquet finds hard: text as index, factors with unused levels, nullable numbers, attrs."""
    frame = TABLE.assign(
        arm=pd.Categorical(TABLE["arm"], categories=["placebo", "drug", "never"], ordered=True),
        y=TABLE["y"].astype("float32"),
        v=pd.array(TABLE["v"], dtype="Float64"),
        visits=pd.array([3, None] * 20, dtype="Int64"),
        when=pd.date_range("2024-01-01", periods=40, tz="Europe/Berlin"),
    ).set_index(pd.Index([f"Ä{i}" for i in range(40)], name="person"))
    frame.attrs = {"source": "a registry", "waves": [1, 2]}
    belief = mk.Selection("missing(y) ~ y + x", priors={"y": mk.Prior("normal", 0, 0.5)}, because="“high” values hide")
    fit = made(
        mk.Spec(JOINT, belief),
        frame,
        coef=[[30.0, 2.0], [15.0, 0.5]],
        sd=[3.0, 1.5],
        corr=[[1, -0.6], [-0.6, 1]],
        missing_y=[-3, 0.1, 0.04],
    )
    return replace(fit, notes=("rests on the normal shape — alone", "3 of 80 draws diverged"))


def test_a_fit_comes_back_from_disk_without_loss(tmp_path: Path) -> None:
    fit = rich()
    assert fit.save(tmp_path / "a" / "run") == tmp_path / "a" / "run"
    back = mk.load_fit(tmp_path / "a" / "run")
    pd.testing.assert_frame_equal(back.data.frame, fit.data.frame, check_exact=True, check_freq=False)
    assert back.data.frame.attrs == fit.data.frame.attrs
    assert back.draws.identical(fit.draws)
    assert (back.spec, back.seed, back.notes) == (fit.spec, fit.seed, fit.notes)
    assert str(back) == str(fit)
    before, after = (mk.impute(f, 2, seed=1)[1] for f in (fit, back))
    pd.testing.assert_frame_equal(before, after, check_exact=True, check_freq=False)


STORED = {
    "text as objects": pd.Series(["a", None] * 20, dtype=object),
    "numbers as objects": pd.Series([1, 2] * 20, dtype=object),
    "levels that are numbers": pd.Series(pd.Categorical([3, 1] * 20, categories=[3, 2, 1])),
    "dates to the second": pd.Series(pd.date_range("2024-01-01", periods=40, unit="s")),
}


@pytest.mark.parametrize("name", STORED)
def test_a_fit_whose_table_parquet_stores_otherwise_comes_back(name: str, tmp_path: Path) -> None:
    fit = regression(frame=TABLE.assign(more=STORED[name]))
    back = mk.load_fit(fit.save(tmp_path))
    before, after = (f.data.frame["more"] for f in (fit, back))
    assert before.isna().tolist() == after.isna().tolist()
    assert isinstance(before.dtype, pd.CategoricalDtype) == isinstance(after.dtype, pd.CategoricalDtype)
    assert before.dropna().tolist() == after.dropna().tolist()
    assert np.array_equal(values(mk.impute(back, 2, seed=1)), values(mk.impute(fit, 2, seed=1)))


def tamper_table(folder: Path) -> None:
    frame = pd.read_parquet(folder / "data.parquet")
    frame.loc[3, "x"] += 1e-9
    frame.to_parquet(folder / "data.parquet")


def tamper_spec(folder: Path) -> None:
    (folder / "spec.yaml").write_text(mk.Spec(mk.Regression("y ~ x")).to_yaml())


def tamper_fingerprint(folder: Path) -> None:
    about = json.loads((folder / "fit.json").read_text())
    (folder / "fit.json").write_text(json.dumps({**about, "fingerprint": "0" * 64}))


@pytest.mark.parametrize("tamper", [tamper_table, tamper_spec, tamper_fingerprint])
def test_a_folder_that_was_changed_is_refused(tamper: Callable[[Path], None], tmp_path: Path) -> None:
    mk.load_fit(regression().save(tmp_path))
    tamper(tmp_path)
    with pytest.raises(MnarkitError, match="not the one fitted") as caught:
        mk.load_fit(tmp_path)
    assert one_line(caught)


@pytest.mark.parametrize("name", ["spec.yaml", "posterior.nc", "data.parquet", "fit.json"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    (regression().save(tmp_path) / name).unlink()
    with pytest.raises(MnarkitError, match=f"is not a run folder: {name} missing$") as caught:
        mk.load_fit(tmp_path)
    assert one_line(caught)


@pytest.mark.parametrize("name", ["posterior.nc", "data.parquet", "fit.json"])
def test_a_damaged_file_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    (regression().save(tmp_path) / name).write_text("{")
    with pytest.raises(MnarkitError, match=name) as caught:
        mk.load_fit(tmp_path)
    assert one_line(caught)
