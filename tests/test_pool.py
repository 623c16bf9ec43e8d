"""Rubin's rules: the digits of mice and SAS, and what must hold for any numbers."""

import subprocess
import sys
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnarkit.errors import DataError
from mnarkit.estimates import Estimates
from mnarkit.pool import Pooled, pool
from mnarkit.pool.scales import SCALES, on_scale
from tests.refs import refs

TESTED = "term estimate std_error dof statistic p_value ci_low ci_high"
COLUMNS = f"{TESTED} within between total riv lambda_ fmi fmi_rubin mc_error"


def least_squares(table: pd.DataFrame, response: str, terms: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    x = np.column_stack([np.ones(len(table)), *(np.asarray(v, float) for v in terms.values())])
    y = table[response].to_numpy(float)
    inverse = np.linalg.inv(x.T @ x)
    coef = inverse @ x.T @ y
    return coef, inverse * np.square(y - x @ coef).sum() / (len(y) - x.shape[1])


def regress(file: str, response: str, *names: str, df: float) -> pd.DataFrame:
    """mice's completed sets, the same regression on each, pooled."""
    stacked = pd.read_csv(refs("mice_pooling_nhanes2") / file)
    fits = []
    for _, table in stacked.groupby(".imp"):
        columns = {
            "age40-59": table["age"] == "40-59",
            "age60-99": table["age"] == "60-99",
            "hypyes": table["hyp"] == "yes",
            "age": table["age"] if table["age"].dtype.kind in "if" else None,
            "bmi": table["bmi"],
            "chl": table["chl"],
        }
        fits.append(least_squares(table, response, {name: columns[name] for name in names}))
    values, spread = zip(*fits, strict=True)
    estimates = Estimates.of(np.stack(values), np.stack(spread), terms=["Intercept", *names], df_complete=df)
    return pool(estimates).to_frame().set_index("term")


def agrees(frame: pd.DataFrame, columns: str, printed: dict[str, list[float]], rel: float = 1e-9) -> None:
    for term, row in printed.items():
        assert [frame.at[term, c] for c in columns.split()] == pytest.approx(row, rel=rel), term


def test_mice_full_precision() -> None:
    frame = regress("data_D_m5.csv", "bmi", "age40-59", "age60-99", "hypyes", "chl", df=20)
    estimate_within_between_total = {
        "Intercept": [18.87335845318, 11.68920032, 5.8923359111845, 18.76000341592],
        "age40-59": [-5.47147192852, 2.967267623, 0.2599946223404, 3.27926117024],
        "age60-99": [-7.70096690314, 3.878574531, 1.9864557476591, 6.26232142801],
        "hypyes": [2.94750463173, 3.735961056, 2.3154052431054, 6.51444734769],
        "chl": [0.05511707012, 0.0003439264803, 0.0001925412331, 0.00057497596],
    }
    dof_riv_lambda_fmi = {
        "Intercept": [8.103570376, 0.6049004978, 0.37690841183, 0.4891410662],
        "age40-59": [15.927923981, 0.1051450649, 0.09514141467, 0.1907523846],
        "age60-99": [8.023000398, 0.6145935519, 0.38064908111, 0.4930233706],
        "hypyes": [7.093853937, 0.7437139333, 0.42651143580, 0.5401426747],
        "chl": [7.580343419, 0.6717990411, 0.40184198254, 0.5149116616],
    }
    agrees(frame, "estimate within between total", estimate_within_between_total)
    agrees(frame, "dof riv lambda_ fmi", dof_riv_lambda_fmi)


def test_mice_pool_table() -> None:
    frame = regress("data_m2_seed1.csv", "chl", "age40-59", "age60-99", "bmi", "hypyes", df=20)
    printed = {
        "Intercept": [2.979488, 3081.702712, 16.77783124, 3106.869459, 18.09145, 0.008166507, 0.008100355, 0.1021574],
        "age40-59": [52.005346, 367.726421, 13.68301760, 388.250947, 16.49810, 0.055814663, 0.052864073, 0.1500157],
        "age60-99": [70.077449, 498.129498, 112.28149168, 666.551735, 7.29272, 0.338109344, 0.252676917, 0.3978908],
        "bmi": [6.006762, 3.897692, 0.02197335, 3.930652, 18.08472, 0.008456294, 0.008385384, 0.1024454],
        "hypyes": [-4.347543, 408.567912, 6.75735741, 418.703948, 17.63466, 0.024808694, 0.024208122, 0.1187861],
    }
    agrees(frame, "estimate within between total dof riv lambda_ fmi", printed, rel=5e-7)
    intervals = {
        "Intercept": [-114.082019, 120.04099, 0.957956041],
        "age40-59": [10.336814, 93.67388, 0.017526719],
        "age60-99": [9.521628, 130.63327, 0.028863238],
        "bmi": [1.842899, 10.17062, 0.007175381],
        "hypyes": [-47.401078, 38.70599, 0.834179684],
    }
    agrees(frame, "ci_low ci_high p_value", intervals, rel=5e-7)


def test_mice_pool_on_two_imputations() -> None:
    frame = regress("data_m2_seed18210.csv", "bmi", "age", df=23)
    printed = {
        "Intercept": [28.646618, 3.814682, 0.588114658, 4.696854, 10.72144, 0.2312570, 0.18782190, 0.30620278],
        "age": [-1.486715, 1.014543, 0.006947187, 1.024964, 20.96937, 0.0102714, 0.01016697, 0.09275848],
    }
    agrees(frame, "estimate within between total dof riv lambda_ fmi", printed, rel=5e-7)


def test_mice_pool_002() -> None:
    frame = regress("data_m5_seed121.csv", "bmi", "chl", "age40-59", "age60-99", "hypyes", df=20)
    printed = {
        "Intercept": [18.76175, 4.002796],
        "chl": [0.05359003, 0.02235067],
        "age40-59": [-4.573652, 2.033986],
        "age60-99": [-6.635969, 2.459769],
        "hypyes": [2.163629, 2.02898],
    }
    agrees(frame, "estimate std_error", printed, rel=5e-7)


def test_mice_pool_scalar() -> None:
    estimates = Estimates.of([-1.5457, -1.428], [0.9723**2, 1.041**2], terms="age", df_complete=23)
    row = pool(estimates).to_frame().set_index("term")
    printed = {"age": [-1.48685, 1.014524, 0.006926645, 1.024914, 20.97025, 0.01024122, 0.09272831]}
    agrees(row, "estimate within between total dof riv fmi", printed, rel=5e-7)


def test_sas_mianalyze() -> None:
    table = pd.read_csv(refs("sas_mianalyze_univariate") / "data.csv").query("imputation <= 5")
    names = ["Oxygen", "RunTime", "RunPulse"]
    errors = table[["S" + name for name in names]]
    frame = pool(Estimates.of(table[names], np.square(errors), df_complete=30)).to_frame().set_index("term")
    frame["efficiency"] = 1 / (1 + frame["fmi_rubin"] / 5)
    # recomputed from the printed inputs: as many digits as printed
    computed = {
        "Oxygen": "47.18098 0.990262 0.041470 0.930854 0.980619 26.2987 0.053461 0.051968 0.989713",
        "RunTime": "10.5119 0.276910 0.002947 0.073143 0.076679 26.5033 0.048348 0.047131 0.990662",
        "RunPulse": "171.5174 1.828601 0.191115 3.114443 3.343781 25.4629 0.073637 0.070769 0.986044",
    }
    columns = ["estimate", "std_error", "between", "within", "total", "dof", "riv", "fmi_rubin", "efficiency"]
    for term, digits in computed.items():
        ours = [f"{frame.loc[term, c]:.{len(d.split('.')[1])}f}" for c, d in zip(columns, digits.split(), strict=True)]
        assert " ".join(ours) == digits
    # the edition's own output, from inputs with more digits than it prints
    published = {
        "Oxygen": [0.041478, 0.930853, 0.980626, 26.298, 0.053471, 0.051977, 0.989712],
        "RunTime": [0.002948, 0.073142, 0.076679, 26.503, 0.048365, 0.047147, 0.990659],
        "RunPulse": [0.191086, 3.114442, 3.343744, 25.463, 0.073626, 0.070759, 0.986046],
    }
    agrees(frame, " ".join(columns[2:]), published, rel=5e-4)


def only(pooled: Pooled) -> dict[str, float]:
    """The numbers of the only term."""
    return {str(name): float(value) for name, (value,) in pooled.to_frame().drop(columns="term").items()}


def numbers(m: int = 4, k: int = 2, seed: int = 1, df: float | None = 30) -> Estimates:
    rng = np.random.default_rng(seed)
    return Estimates.of(rng.normal(size=(m, k)), rng.uniform(0.5, 2, size=(m, k)), df_complete=df)


def test_frame_has_exactly_the_documented_columns() -> None:
    frame = pool(numbers()).to_frame()
    assert list(frame.columns) == COLUMNS.split()
    assert frame["term"].tolist() == ["estimate[0]", "estimate[1]"]
    assert frame["mc_error"].tolist() == pytest.approx(np.sqrt(frame["between"] / 4).tolist())


def test_without_complete_degrees_of_freedom_it_is_rubin_and_said() -> None:
    pooled = pool(numbers(df=None))
    assert pooled.dof.tolist() == pytest.approx((3 * (1 + 1 / pooled.riv) ** 2).tolist())
    assert pooled.fmi.tolist() == pooled.fmi_rubin.tolist()
    assert "t with Rubin's degrees of freedom" in str(pooled)
    assert "Barnard-Rubin degrees" not in str(pooled)
    infinite = pool(numbers(df=np.inf))
    assert infinite.dof.tolist() == pytest.approx(pooled.dof.tolist())
    assert "t with Barnard-Rubin degrees of freedom (complete data: inf)" in str(infinite)


@pytest.mark.parametrize(("df", "dof"), [(30.0, 30 * 31 / 33), (np.inf, np.inf), (None, np.inf)])
def test_no_variance_between_imputations(df: float | None, dof: float) -> None:
    row = only(pool(Estimates.of([0.1, 0.1, 0.1], [0.3, 0.3, 0.3], df_complete=df)))
    assert row["between"] == row["riv"] == row["lambda_"] == row["mc_error"] == row["fmi_rubin"] == 0
    assert row["dof"] == pytest.approx(dof)
    assert not np.isnan(list(row.values())).any()
    if dof == np.inf:
        assert row["ci_high"] == pytest.approx(0.1 + 1.959963984540054 * np.sqrt(0.3))


def test_level() -> None:
    wide, narrow = pool(numbers(), level=0.99), pool(numbers(), level=0.5)
    assert (wide.ci_low < narrow.ci_low).all()
    assert "99% confidence interval" in str(wide)
    # t with 2 degrees of freedom has a closed form: P(|T| < t) = t / √(2 + t²)
    two = pool(Estimates.of([-1.0, 0.0, 1.0], [1e-12, 1e-12, 1e-12]), level=0.5)
    t = two.ci_high / two.std_error
    assert (t / np.sqrt(2 + t**2)).tolist() == pytest.approx([0.5])


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, np.nan, "0.95", True, None])
def test_a_level_that_is_none(level: Any) -> None:
    with pytest.raises(DataError, match="between 0 and 1") as refused:
        pool(numbers(), level=level)
    assert "\n" not in str(refused.value)


def test_printed() -> None:
    text = str(pool(Estimates.of([1.0, 2.0, 1.5], [0.5, 0.5, 0.5], terms=["x"], df_complete=24, what="y ~ x")))
    lines = text.splitlines()
    assert lines[0] == "Pooled over m = 3 imputations: y ~ x"
    assert lines[1] == "95% confidence interval, t with Barnard-Rubin degrees of freedom (complete data: 24)"
    assert lines[2].split()[:4] == ["estimate", "std_error", "ci_low", "ci_high"]
    assert lines[3].split()[:3] == ["x", "1.5", "0.9129"]
    assert repr(pool(numbers())) == str(pool(numbers()))


def test_one_imputation_is_refused() -> None:
    with pytest.raises(DataError, match=r"with 1 imputation .* cannot be estimated") as refused:
        pool(numbers(m=1))
    assert "\n" not in str(refused.value)


def test_a_certain_term_is_refused() -> None:
    with pytest.raises(DataError, match="variance of 'estimate' is 0 in all 2 imputations"):
        pool(Estimates.of([1.0, 2.0], [0.0, 0.0]))


def test_something_else_than_estimates() -> None:
    with pytest.raises(DataError, match="takes Estimates"):
        pool(pd.DataFrame({"a": [1.0]}))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("values", "spread", "message"),
    [
        ([[1.0, 2.0], [1.0, np.nan]], [[1.0, 1.0]] * 2, "the estimate of 'b' is nan in imputation 2 of 2"),
        ([[np.inf, 2.0], [np.nan, 0.0]], [[1.0, 1.0]] * 2, r"'a' is inf in imputation 1 of 2 \(2 such values in all\)"),
        ([[1.0, 2.0]] * 2, [[1.0, 1.0], [np.nan, 1.0]], "the variance of 'a' is nan in imputation 2 of 2"),
        ([[1.0, 2.0]] * 2, [[1.0, -0.25], [1.0, 1.0]], "the variance of 'b' is -0.25 in imputation 1 of 2"),
        ([[1.0, 2.0]] * 2, [1.0, 1.0], r"not \(2, 2\) with"),
        ([[1.0, 2.0]] * 2, [[1.0, 1.0]] * 3, r"not \(2, 2\) with \(3, 2, 2\)"),
        ([[1.0]] * 2, [[1.0]] * 2, r"2 terms are \(m, 2\)"),
        ([], [], "estimates of m imputations"),
        (["high", "low"], [1.0, 1.0], "the estimates are not numbers"),
    ],
)
def test_numbers_that_cannot_be_pooled(values: Any, spread: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        Estimates.of(values, spread, terms=["a", "b"])
    assert "\n" not in str(refused.value)


def test_terms_and_degrees_of_freedom_are_checked() -> None:
    with pytest.raises(DataError, match="the term 'a' is named 2 times"):
        Estimates.of([[1.0, 2.0]], [[1.0, 1.0]], terms=["a", "a"])
    for df in (0, -3, np.nan, "many", True):
        with pytest.raises(DataError, match="df_complete is"):
            Estimates.of([1.0], [1.0], df_complete=df)  # pyright: ignore[reportArgumentType]


def test_variances_alone_say_nothing_about_covariances() -> None:
    estimates = numbers()
    assert np.isnan(estimates.covariances[0, 0, 1])
    assert repr(estimates) == "Estimates of numbers given: 4 imputations, 2 terms, df_complete 30"


finite = st.floats(-1e6, 1e6).map(lambda v: round(v, 6))
variance = st.floats(1e-4, 1e6)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float | None]:
    m = draw(st.integers(2, 8))
    values = draw(st.lists(finite, min_size=m, max_size=m))
    spread = draw(st.lists(variance, min_size=m, max_size=m))
    return np.array(values), np.array(spread), draw(st.one_of(st.none(), st.just(np.inf), st.floats(0.5, 1e6)))


def same(left: Pooled, right: Pooled, scaled: dict[str, float], sign: float = 1.0) -> None:
    ours, theirs = only(left), only(right)
    ends = ("ci_low", "ci_high") if sign > 0 else ("ci_high", "ci_low")
    for name in COLUMNS.split()[1:]:
        other = ends[0] if name == "ci_low" else ends[1] if name == "ci_high" else name
        spread = max(abs(ours["estimate"]), ours["std_error"]) * abs(scaled.get(name, 1.0))
        atol = 1e-9 * spread if name in scaled else 1e-9
        assert theirs[other] == pytest.approx(ours[name] * scaled.get(name, 1.0), rel=1e-6, abs=atol), name


@settings(deadline=None, max_examples=60)
@given(drawn(), st.one_of(st.floats(1e-3, 1e3), st.floats(-1e3, -1e-3)))
def test_a_change_of_unit(inputs: tuple[np.ndarray, np.ndarray, float | None], c: float) -> None:
    values, spread, df = inputs
    scaled = dict.fromkeys(["estimate", "ci_low", "ci_high"], c) | dict.fromkeys(["std_error", "mc_error"], abs(c))
    scaled |= dict.fromkeys(["within", "between", "total"], c * c) | {"statistic": np.sign(c)}
    before = pool(Estimates.of(values, spread, df_complete=df))
    after = pool(Estimates.of(values * c, spread * c * c, df_complete=df))
    same(before, after, scaled, np.sign(c))


@settings(deadline=None, max_examples=60)
@given(drawn(), st.randoms(use_true_random=False))
def test_the_order_of_the_imputations(inputs: tuple[np.ndarray, np.ndarray, float | None], random: Any) -> None:
    values, spread, df = inputs
    order = list(range(len(values)))
    random.shuffle(order)
    before = pool(Estimates.of(values, spread, df_complete=df))
    same(before, pool(Estimates.of(values[order], spread[order], df_complete=df)), {"estimate": 1.0})


@settings(deadline=None, max_examples=60)
@given(st.floats(-1e12, 1e12), variance, st.integers(2, 30), st.one_of(st.none(), st.floats(0.5, 1e6)))
def test_identical_imputations(value: float, spread: float, m: int, df: float | None) -> None:
    row = only(pool(Estimates.of([value] * m, [spread] * m, df_complete=df)))
    assert row["between"] == 0
    assert row["estimate"] == value
    assert row["fmi_rubin"] == row["riv"] == 0
    assert not np.isnan(list(row.values())).any()


@settings(deadline=None, max_examples=60)
@given(drawn())
def test_bounds(inputs: tuple[np.ndarray, np.ndarray, float | None]) -> None:
    values, spread, df = inputs
    pooled = pool(Estimates.of(values, spread, df_complete=df))
    assert 0 < pooled.dof[0] <= (np.inf if df is None else df) * (1 + 1e-9)
    assert 0 <= pooled.lambda_[0] <= pooled.fmi_rubin[0] <= 1
    assert pooled.ci_low[0] <= pooled.estimate[0] <= pooled.ci_high[0]
    assert 0 <= pooled.p_value[0] <= 1
    assert pooled.to_frame().notna().all(axis=None)


IMPORTED = """
import sys
import mnarkit.pool
print([m for m in ("statsmodels", "formulaic", "pymc", "scipy.stats") if m in sys.modules])
import mnarkit.analyze
print([m for m in ("statsmodels", "pymc", "scipy.stats") if m in sys.modules])
"""


def test_pooling_and_analyzing_import_no_model_code() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


# scales


def mice_r_squared() -> tuple[np.ndarray, int]:
    stacked = pd.read_csv(refs("mice_pooling_nhanes2") / "data_D_m5.csv")
    values = []
    for _, table in stacked.groupby(".imp"):
        x = [np.ones(len(table)), table["age"] == "40-59", table["age"] == "60-99", table["hyp"] == "yes", table["chl"]]
        design, y = np.column_stack(x).astype(float), table["bmi"].to_numpy()
        residual = y - design @ np.linalg.lstsq(design, y)[0]
        values.append(1 - residual @ residual / np.square(y - y.mean()).sum())
    return np.array(values), len(table)


def test_mice_pool_r_squared() -> None:
    values, n = mice_r_squared()
    sampling = 4 * values * (1 - values) ** 2 / (n - 3)  # the delta method gives Fisher's 1/(n - 3) for atanh
    pooled = pool(Estimates.of(values, sampling, terms="r2"), transform="r_squared")
    assert pooled.terms == ("r_squared(r2)",)
    assert pooled.within.tolist() == pytest.approx([1 / 22])
    row = pooled.back().iloc[0]
    assert row["term"] == "r2"
    assert [row["estimate"], pooled.fmi[0]] == pytest.approx([0.5527005715, 0.5335472955], rel=1e-9)
    ends = pooled.estimate[0] + np.array([-1.96, 1.96]) * pooled.std_error[0]  # mice takes the normal's, to two digits
    assert SCALES["r_squared"].back(ends).tolist() == pytest.approx([0.1298981047, 0.8316211882], rel=1e-9)
    assert row["ci_low"] < 0.1298 < 0.8317 < row["ci_high"]  # t is wider


INSIDE = {"log": (0.2, 3.0), "logit": (0.1, 0.7), "cloglog": (0.1, 0.7), "atanh": (-0.5, 0.9), "sqrt": (0.3, 2.0)}


@pytest.mark.parametrize("name", [*INSIDE, "r_squared"])
def test_a_scale_there_and_back(name: str) -> None:
    scale = SCALES[name]
    q = np.linspace(*INSIDE.get(name, (0.1, 0.7)), 7)
    assert scale.back(scale.there(q)).tolist() == pytest.approx(q.tolist())
    step = 1e-6
    assert ((scale.there(q + step) - scale.there(q - step)) / (2 * step)).tolist() == pytest.approx(
        scale.slope(q).tolist(), rel=1e-6
    )
    assert (scale.slope(q) > 0).all()


def test_scales_in_closed_form() -> None:
    q = np.array([0.2, 0.6])
    assert SCALES["cloglog"].there(q).tolist() == pytest.approx(np.log(-np.log(1 - q)).tolist())
    assert SCALES["logit"].there(q).tolist() == pytest.approx(np.log(q / (1 - q)).tolist())
    assert SCALES["atanh"].there(q).tolist() == pytest.approx((0.5 * np.log((1 + q) / (1 - q))).tolist())


def test_pooling_on_a_scale_is_pooling_the_moved_estimates() -> None:
    values, spread = np.array([[1.0, 0.4], [2.0, 0.5], [1.5, 0.3]]), np.array([[[0.3, 0.01], [0.01, 0.02]]] * 3)
    estimates = Estimates.of(values, spread, terms=["hr", "x"], df_complete=50)
    moved = pool(estimates, transform={"hr": "log"})
    by_hand = pool(Estimates.of(np.log(values[:, 0]), 0.3 / values[:, 0] ** 2, df_complete=50))
    assert moved.terms == ("log(hr)", "x")
    assert moved.ci_low.tolist() == pytest.approx([by_hand.ci_low[0], pool(estimates).ci_low[1]])
    back = moved.back().set_index("term")
    assert back.at["hr", "ci_high"] == pytest.approx(np.exp(by_hand.ci_high[0]))
    assert back.at["x", "estimate"] == moved.estimate[1]
    assert pool(estimates).back("tanh")["estimate"].tolist() == pytest.approx(np.tanh(values.mean(axis=0)).tolist())
    moved_covariances, scales = on_scale(estimates, {"hr": "log"})
    assert scales == ("log", None)
    assert moved_covariances.covariances[1, 0, 1] == pytest.approx(0.01 / 2)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda e: pool(e, transform="log"),
            r"'log' takes estimates above 0; that of 'b' is -0.3 in imputation 2 of 2",
        ),
        (lambda e: pool(e, transform="logit"), "between 0 and 1; that of 'a' is 1"),
        (lambda e: pool(e, transform="exp"), "transform= is one of 'log', 'logit'"),
        (lambda e: pool(e, transform={"c": "log"}), "names 'c'; the terms are 'a', 'b'"),
        (lambda e: pool(e, transform={"a": "ln"}), "not 'ln'"),
        (lambda e: pool(e, transform=3), "or a mapping from terms"),
        (lambda e: pool(e).back(), "nothing to invert; name a function"),
        (lambda e: pool(e).back("log"), "takes 'exp', 'expit'"),
    ],
)
def test_scales_that_do_not_fit(run: Any, message: str) -> None:
    estimates = Estimates.of([[1.0, 0.5], [2.0, -0.3]], [[1.0, 1.0]] * 2, terms=["a", "b"])
    with pytest.raises(DataError, match=message) as refused:
        run(estimates)
    assert "\n" not in str(refused.value)


# how many imputations


def test_how_many_imputations() -> None:
    pooled = pool(numbers(m=5))
    needed = pooled.imputations_needed(0.04, confidence=0.9)
    assert needed.index.tolist() == list(pooled.terms)
    for count, fmi in zip(needed, pooled.fmi, strict=True):
        odds = fmi / (1 - fmi) * np.exp(1.6448536269514722 * np.sqrt(2 / 5))
        assert count == np.ceil(1 + 0.5 * (odds / (1 + odds) / 0.04) ** 2)


def test_how_many_imputations_for_a_monte_carlo_error() -> None:
    pooled = pool(numbers(m=5))
    needed = pooled.imputations_needed(mc_error=0.1)
    assert (np.sqrt(pooled.between / needed) <= 0.1 + 1e-9).all()
    assert (np.sqrt(pooled.between / (needed - 1)) > 0.1).all()
    assert pooled.imputations_needed(mc_error=float(pooled.mc_error[0])).iloc[0] == 5


def test_without_variance_between_two_imputations_will_do() -> None:
    certain = pool(Estimates.of([0.1, 0.1, 0.1], [0.3, 0.3, 0.3]))
    assert certain.imputations_needed().tolist() == certain.imputations_needed(mc_error=1e-9).tolist() == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"cv": 0}, "cv= is a finite number"), ({"mc_error": -1}, "mc_error= is"), ({"confidence": 1}, "confidence= is")],
)
def test_targets_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pool(numbers()).imputations_needed(**options)


# tables for a paper


def test_latex() -> None:
    lines = pool(Estimates.of([[0.0, 9.0], [1.0, 9.1]], [[1.0, 0.1]] * 2, terms=["a_b", "c & d"]), level=0.9).to_latex()
    rows = lines.splitlines()
    assert rows[:4] == [
        r"\begin{tabular}{lrrrrrr}",
        r"\toprule",
        r"Term & Estimate & SE & CI low & CI high & p & FMI \\",
        r"\midrule",
    ]
    assert rows[4].startswith(r"a\_b & 0.500 & 1.323 & ")
    assert rows[5].startswith(r"c \& d & 9.050 & ")
    assert "& $<$ 0.001 &" in rows[5]
    assert rows[6:8] == [r"\bottomrule", r"\end{tabular}"]
    assert rows[8] == "% Pooled over m = 2 imputations: numbers given"
    assert rows[9].startswith("% 90% confidence interval")
    infinite = pool(Estimates.of([1.0, 1.0], [1.0, 1.0])).to_latex(["dof"], digits=1)
    assert infinite.splitlines()[4] == r"estimate & $\infty$ \\"


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [(1.2345, 3, "1.234"), (0.0063, 3, "0.006"), (1.2e-5, 3, "1.2e-05"), (-0.00038, 3, "$-$0.00038"), (0.0, 2, "0.00")],
)
def test_numbers_in_latex(value: float, digits: int, written: str) -> None:
    lines = pool(Estimates.of([value, value], [1.0, 1.0])).to_latex(["estimate"], digits=digits).splitlines()
    assert lines[4] == rf"estimate & {written} \\"


def test_great_tables() -> None:
    html = pool(numbers()).to_great_tables(["estimate", "riv"], digits=2).as_raw_html()
    assert "RIV" in html
    assert f"{pool(numbers()).estimate[0]:.2f}" in html
    assert "Pooled over m = 4 imputations" in html


def test_great_tables_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = lazy_loader.load("great_tables_that_is_absent", error_on_import=False)
    monkeypatch.setattr(sys.modules["mnarkit.pool.export"], "great_tables", absent)
    with pytest.raises(DataError, match=r"pip install 'mnarkit\[tables\]'"):
        pool(numbers()).to_great_tables()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["se"]}, "'se' is not a column of the table; they are 'estimate'"),
        ({"columns": "riv"}, "put it into brackets"),
        ({"digits": -1}, "digits= is a whole number"),
    ],
)
def test_tables_that_cannot_be_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pool(numbers()).to_latex(**options)
