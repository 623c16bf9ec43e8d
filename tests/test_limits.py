"""Limits: values known to lie below, above or between, against SciPy, and what is said and refused."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import MnarkitError
from mnarkit.normal.conditional import draw_unseen, expected_unseen
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.rectangles import draw_between
from mnarkit.normal.signs import log_between

NAN = np.nan

# The kernel of an interval


def exact_between(u: float, width: float, sd: float) -> float:
    """Log P(0 < z < width) by SciPy, of the tail in which the interval lies."""
    low, high = sorted((-u / sd, (width - u) / sd), key=abs)
    if low * high < 0:
        return float(np.log(abs(special.ndtr(high) - special.ndtr(low))))
    near, far = special.log_ndtr(-abs(low)), special.log_ndtr(-abs(high))
    return float(near + np.log(-np.expm1(far - near)))


@pytest.mark.parametrize("width", [0.02, 0.1, 0.5, 2.0, 40.0])
@pytest.mark.parametrize("u", [-60.0, -8.0, -1.0, 0.0, 0.05, 0.3, 1.0, 25.0, 90.0])
def test_log_between_equals_scipy(u: float, width: float) -> None:
    # SciPy's difference of logarithms loses 1e-16 x² / width
    value = log_between(u, width, 0.49)[0]
    assert value == pytest.approx(exact_between(u, width, 0.7), rel=1e-11, abs=1e-11 + 1e-15 * u**2 / width)


@pytest.mark.parametrize("width", [1e-8, 1e-4])
@pytest.mark.parametrize("u", [-30.0, -1.0, 0.0, 4.0])
def test_a_narrow_interval_is_its_width_times_the_density(u: float, width: float) -> None:
    value, d_u, d_var = log_between(u, width, 0.49)
    m = (u - width / 2) / 0.7
    assert value == pytest.approx(
        np.log(width) + stats.norm(0, 0.7).logpdf(0.7 * m), abs=1e-12 + 2 * width**2 * (1 + m**2)
    )
    assert d_u == pytest.approx(-m / 0.7, rel=1e-6, abs=1e-6)
    assert d_var == pytest.approx(0.5 * (m**2 - 1) / 0.49, rel=1e-6)


@pytest.mark.parametrize("width", [0.05, 0.4, 6.0])
@pytest.mark.parametrize("u", [-12.0, -0.3, 0.1, 2.0, 7.0])
def test_derivatives_of_an_interval_equal_differences(u: float, width: float) -> None:
    _, d_u, d_var = log_between(u, width, 1.3)
    numeric = (log_between(u + 1e-5, width, 1.3)[0] - log_between(u - 1e-5, width, 1.3)[0]) / 2e-5
    assert d_u == pytest.approx(numeric, rel=1e-7, abs=1e-8)
    numeric = (log_between(u, width, 1.3 + 1e-5)[0] - log_between(u, width, 1.3 - 1e-5)[0]) / 2e-5
    assert d_var == pytest.approx(numeric, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize(("mean", "width"), [(-9.0, 1.0), (0.2, 0.5), (0.0, 30.0), (40.0, 2.0), (0.5, 1e-6)])
def test_draws_between_invert_their_distribution_function(mean: float, width: float) -> None:
    uniform = np.linspace(0.001, 0.999, 101)
    z = np.array([draw_between(mean, 1.5, width, 2.0, u)[0] for u in uniform])
    assert ((z >= 0) & (z <= width)).all()
    share = np.array([np.exp(log_between(mean, one, 2.25)[0] - log_between(mean, width, 2.25)[0]) for one in z])
    below = share if 2 * mean > width else 1 - share  # in the upper half draws are turned
    np.testing.assert_allclose(np.minimum(abs(share - uniform), abs(below - uniform)), 0, atol=1e-8)


# Maximum likelihood


def tobit(n: int = 400, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "arm": np.where(rng.random(n) < 0.5, "a", "b")})
    frame["true"] = 1 + 0.8 * frame["x"] + 0.5 * (frame["arm"] == "b") + 1.2 * rng.normal(size=n)
    return frame.assign(y=frame["true"].where(frame["true"] > 0.5))


def test_em_of_a_tobit_is_its_maximum_by_scipy() -> None:
    data = tobit()
    x = np.column_stack([np.ones(len(data)), data["x"], data["arm"] == "b"]).astype(float)
    seen = data["y"].notna().to_numpy()

    def minus_loglik(theta: np.ndarray) -> float:
        sd, mean = np.exp(theta[3]), x @ theta[:3]
        recorded = stats.norm.logpdf(data["y"].to_numpy()[seen], mean[seen], sd).sum()
        return -recorded - special.log_ndtr((0.5 - mean[~seen]) / sd).sum()

    best = optimize.minimize(minus_loglik, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    fit = mk.em(mk.Spec(mk.Regression("y ~ x + arm"), mk.Limits("y", high=0.5)), data, progress=False)
    assert fit.converged
    assert fit.loglik == pytest.approx(-best.fun, abs=1e-8)
    order = [fit.params[f"y ~ {t}"] for t in ("Intercept", "x", "arm[T.b]")]
    np.testing.assert_allclose([*order, np.sqrt(fit.params["var(y)"])], [*best.x[:3], np.exp(best.x[3])], atol=1e-5)
    assert fit.n == len(data)


def test_rounded_values_give_what_the_values_give() -> None:
    data = tobit(2000).assign(
        low=lambda d: np.floor(d["true"] * 4) / 4, high=lambda d: np.floor(d["true"] * 4) / 4 + 0.25
    )
    half = data.assign(y=data["true"].where(np.arange(len(data)) % 2 == 0))
    model = mk.Regression("y ~ x + arm")
    rounded = mk.em(mk.Spec(model, mk.Limits("y", low="low", high="high")), half, progress=False)
    whole = mk.em(mk.Spec(model), data.assign(y=data["true"]), progress=False)
    # a rounding of 0.2 sd costs 0.3 % of the information (Sheppard: 1/12 of its square)
    np.testing.assert_allclose(rounded.params, whole.params, atol=0.1 * whole.std_errors.max())
    np.testing.assert_allclose(rounded.std_errors, whole.std_errors, rtol=0.02)


def test_a_projection_under_limits_is_that_of_a_tobit() -> None:
    data = tobit(3000, seed=4)
    fit = mk.em(mk.Spec(mk.Regression("y ~ x + arm"), mk.Limits("y", high=0.5)), data, progress=False)
    mean = fit.project("y ~ 1").iloc[0]
    assert abs(mean["estimate"] - data["true"].mean()) < 3 * mean["std_error"]
    assert mean["std_error"] == pytest.approx(data["true"].std() / np.sqrt(len(data)), rel=0.15)


SLOPE = "growth: slope ~ Intercept"


def test_growth_takes_limits() -> None:
    rng = np.random.default_rng(2)
    n = 600
    line = rng.multivariate_normal([2.0, -0.8], [[1.0, 0.1], [0.1, 0.2]], n)
    waves = {f"v{t}": line[:, 0] + t * line[:, 1] + 0.5 * rng.normal(size=n) for t in range(3)}
    data = pd.DataFrame({c: np.where(v > -0.5, v, NAN) for c, v in waves.items()})
    model = mk.Growth("v0", "v1", "v2", times=(0, 1, 2), residual="constant")
    limits = [mk.Limits(c, high=-0.5) for c in waves]
    fit = mk.em(mk.Spec(model, *limits), data, progress=False)
    slope, error = fit.params[SLOPE], fit.std_errors[SLOPE]
    assert abs(slope + 0.8) < 4 * error
    ignored = mk.em(mk.Spec(model), data, progress=False)
    assert ignored.params[SLOPE] > slope + 4 * error


# What is imputed


ROWS = pd.DataFrame(
    {
        "y": [NAN, NAN, NAN, NAN, 1.0],
        "v": [0.3, NAN, NAN, 1.0, NAN],
        "s": [NAN, 0.2, NAN, NAN, NAN],
        "low": [NAN, 0.0, 1.0, 2.5, NAN],
        "high": [-1.0, 0.5, 1.5, NAN, NAN],
        "lod": [NAN, NAN, -0.5, 0.0, 0.1],
    }
)
COV = np.array([[2.0, 0.8, -0.5], [0.8, 1.5, 0.4], [-0.5, 0.4, 1.0]])
SPEC = mk.Spec(
    mk.MvNormal("y", "v", "s"),
    mk.Selection("missing(v) ~ v + y", link="logit"),
    mk.Limits("y", low="low", high="high"),
    mk.Limits("s", high="lod"),
)
PROBIT = mk.Spec(SPEC.model, mk.Selection("missing(v) ~ v + y"), *SPEC.limits)


def laid_out(spec: mk.Spec, rows: pd.DataFrame) -> tuple:
    data = IncompleteData.of(rows)
    layout = lay_out(spec, data, designs_of(spec, data))
    kernel = kernel_data(layout, keep_empty_rows=True, products=False)
    mean, beta = np.array([[0.5], [0.2], [-0.3]]), np.array([0.4, -0.7, 0.9])
    return kernel_parameters(Parameters(mean, COV, [beta], [None], ()), layout, kernel), kernel, layout.y


@pytest.mark.parametrize("spec", [SPEC, PROBIT], ids=["logit", "probit"])
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_draws_have_the_moments_of_a_weighted_sample(spec: mk.Spec, row: int) -> None:
    """Against plain rejection: draws of all values, kept with the probability of what is known."""
    if row == 2 and spec is SPEC:
        pytest.skip("three at once with a logit are refused")
    n = 20_000
    copies = pd.concat([ROWS.iloc[[row]]] * n, ignore_index=True)
    arguments, kernel, y = laid_out(spec, copies)
    drawn = draw_unseen(arguments, kernel, y, np.random.default_rng(5))
    low, high, lod = ROWS.loc[row, ["low", "high", "lod"]]
    if np.isnan(ROWS.loc[row, "y"]):
        assert not ((drawn[:, 0] < low) | (drawn[:, 0] > high)).any()
    assert not (drawn[:, 2] > lod).any() or not np.isnan(ROWS.loc[row, "s"])
    expected = expected_unseen(*laid_out(spec, ROWS.iloc[[row]]))[0]
    error = drawn.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(drawn.mean(axis=0) - expected) < 5 * error + 1e-12)
    np.testing.assert_allclose(expected, by_weights(spec, row, 1_000_000), atol=0.02)


def by_weights(spec: mk.Spec, row: int, n: int) -> np.ndarray:
    """E[y | what is known] by drawing from the normal given what is seen, with importance weights."""
    rng = np.random.default_rng(9)
    y = ROWS.loc[row, ["y", "v", "s"]].to_numpy(float)
    low, high, lod = ROWS.loc[row, ["low", "high", "lod"]]
    o, m = np.flatnonzero(~np.isnan(y)), np.flatnonzero(np.isnan(y))
    mean = np.array([0.5, 0.2, -0.3])
    gain = COV[np.ix_(m, o)] @ np.linalg.inv(COV[np.ix_(o, o)])
    centre = mean[m] + gain @ (y[o] - mean[o])
    full = np.tile(y, (n, 1))
    full[:, m] = rng.multivariate_normal(centre, COV[np.ix_(m, m)] - gain @ COV[np.ix_(o, m)], n)
    u = 0.4 - 0.7 * full[:, 0] + 0.9 * full[:, 1]  # the order of the columns of the data model
    link = special.expit if spec is SPEC else special.ndtr
    weight = link(u if np.isnan(y[1]) else -u)
    if np.isnan(y[0]):
        weight *= ~(full[:, 0] < low) & ~(full[:, 0] > high)
    if np.isnan(y[2]):
        weight *= ~(full[:, 2] > lod)
    return weight @ full / weight.sum()


def test_imputed_values_lie_within_their_limits_and_recorded_ones_stay() -> None:
    data = tobit(120)
    spec = mk.Spec(mk.Regression("y ~ x + arm"), mk.Limits("y", high=0.5))
    fit = mk.sample(spec, data, draws=600, tune=400, chains=2, seed=1, progress=False)
    holes = data["y"].isna()
    for completed in mk.impute(fit, m=5, seed=2):
        assert completed.loc[holes, "y"].max() <= 0.5
        assert completed.loc[~holes, "y"].equals(data.loc[~holes, "y"])
    assert f"{holes.sum()} of {holes.sum()} holes of y are known up to limits ({holes.sum()} below a limit)" in str(fit)


def test_a_late_shift_leaves_cells_with_limits_as_they_are() -> None:
    data = tobit(120)
    data.loc[data["x"] > 1, "y"] = NAN
    spec = mk.Spec(mk.Regression("y ~ x + arm"), mk.Limits("y", high=0.5, where="x <= 1"))
    fit = mk.sample(spec, data, draws=600, tune=400, chains=2, seed=1, progress=False)
    plain = mk.impute(fit, m=2, seed=3)[0]
    moved = mk.impute(fit, m=2, seed=3, under=mk.PatternMixture(mk.Shift("y", 1.0, unit="raw")))[0]
    holes = data["y"].isna()
    np.testing.assert_allclose((moved["y"] - plain["y"])[holes], np.where(data.loc[holes, "x"] > 1, 1.0, 0.0))


# What is said and refused


def test_limits_are_data_and_stay_under_every_belief() -> None:
    limits = mk.Limits("y", high=0.5, because="the assay")
    spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y"), limits)
    assert spec.mar() == mk.Spec(spec.model, limits)
    assert spec.under(mk.Selection("missing(y) ~ x")).limits == (limits,)
    assert spec.under(mk.Limits("y", high=1)).limits == (mk.Limits("y", high=1),)
    assert (spec.mar().is_mar, spec.is_mar) == (True, False)
    assert "Known         Limits y below 0.5" in str(spec)
    assert mk.Spec(spec.model, mk.MAR(), limits).is_mar


DATA = tobit(60).assign(lod=0.5, up=lambda d: d["true"] + 1, down=lambda d: d["true"] - 1, word="a")
MODEL = mk.Regression("y ~ x")
REFUSED = {
    "no bound": (lambda: mk.Limits("y"), "no bound; say low=, high= or both"),
    "not a number": (lambda: mk.Limits("y", high=np.inf), "high= is a finite number or the name of a column"),
    "crossed": (lambda: mk.Limits("y", low=2, high=1), "low=2 is not below high=1"),
    "itself": (lambda: mk.Limits("y", high="y"), "as its own bound"),
    "no such column": (lambda: fitted(mk.Limits("y", high="lodd")), "did you mean 'lod'"),
    "not modelled": (lambda: mk.Spec(MODEL, mk.Limits("x", high=1)), "which the data model does not model"),
    "a bound that is modelled": (
        lambda: mk.em(mk.Spec(mk.MvNormal("y", "up"), mk.Limits("y", high="up")), DATA),
        "takes the modelled column 'up' as a bound",
    ),
    "text as a bound": (lambda: fitted(mk.Limits("y", high="word")), "'word' is not numeric"),
    "no hole": (lambda: fitted(mk.Limits("y", high=1), DATA.assign(y=DATA["true"])), "has no holes in 60 rows"),
    "no hole there": (lambda: fitted(mk.Limits("y", high=1, where="x > 90")), "has a bound under Limits"),
    "holes that cross": (
        lambda: fitted(mk.Limits("y", low="up", high="down")),
        "recorded values outside of their own limits",
    ),
    "limits that cross": (
        lambda: mk.em(mk.Spec(MODEL, mk.Limits("y", high=0.5), mk.Limits("y", low=0.7)), DATA),
        "holes whose lower limit is not below their upper one",
    ),
    "beside a reference": (
        lambda: mk.Spec(
            mk.MvNormal("y", "v", given="arm"), mk.Reference("J2R", arm="arm", control="a"), mk.Limits("y", high=1)
        ),
        "give them as two specs",
    ),
    "chunks": (
        lambda: mk.em(mk.Spec(MODEL, mk.Limits("y", high=0.5)), "no such file.parquet"),
        "fitted under MAR alone, without limits",
    ),
}


def fitted(limits: mk.Limits, data: pd.DataFrame = DATA) -> mk.EMFit:
    return mk.em(mk.Spec(MODEL, limits), data, progress=False)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(MnarkitError, match=re.escape(said)) as error:
        make()
    assert "\n" not in str(error.value)
