"""Selection not linear in an unseen value: thresholds, splines, powers and interactions, against SciPy's quad."""

import itertools
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy import integrate, special, stats
from scipy.interpolate import BSpline, CubicSpline

import mnarkit as mk
from mnarkit.build import build_factored
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError, SpecError
from mnarkit.factored.check import check_factored
from mnarkit.factored.draw import draw_unseen
from mnarkit.factored.layout import Layout, designs_of, lay_out
from mnarkit.factored.likelihood import unit_loglik
from mnarkit.factored.posterior import Posterior, posterior_of
from mnarkit.factored.tail import said_unresolved
from tests.test_factored import scipy_logpdf
from tests.test_random_terms import far_points

R = mk.Regression
PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing is compiled: exactness is what is tested


def table(n: int = 80, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    frame = pd.DataFrame({"x": x, "z": z, "arm": np.where(np.arange(n) % 2, "drug", "none")})
    frame["normal"] = 3 + x + rng.normal(size=n)
    frame["student_t"] = 3 + x + rng.standard_t(4, n)
    frame["skew_normal"] = 2 + x + stats.skewnorm.rvs(4, size=n, random_state=rng)
    frame["lognormal"] = np.exp(1 + 0.4 * x + 0.4 * rng.normal(size=n))
    frame["gamma"] = rng.gamma(3, 1, n) * np.exp(0.3 * x)
    frame["beta"] = 0.02 + 1.1 * rng.beta(3, 2, n)
    frame["poisson"] = rng.poisson(np.exp(1 + 0.2 * x)).astype(float)
    for column in FAMILIES:
        frame.loc[rng.random(n) < 0.3, column] = np.nan
    return frame


FAMILIES = ("normal", "student_t", "skew_normal", "lognormal", "gamma", "beta", "poisson")
TABLE = table()
MIDDLE = {f: float(np.nanquantile(TABLE[f], 0.6).round(2)) for f in FAMILIES}


def laid_out(spec: mk.Spec, frame: pd.DataFrame = TABLE) -> tuple[Layout, Posterior]:
    data = IncompleteData.of(frame)
    check_factored(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    return layout, posterior_of(spec, layout)


def point(target: Posterior, seed: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).normal(size=target.size)


def regression_of(family: str) -> mk.Regression:
    name: Any = family
    return R(f"{family} ~ x", family=name, bounds=(0.0, 1.2) if family == "beta" else None)


def support(family: str) -> tuple[float, float]:
    return {"lognormal": (0, np.inf), "gamma": (0, np.inf), "beta": (0, 1.2)}.get(family, (-np.inf, np.inf))


def quad(f, family: str, breaks: list[float], middle: float, width: float, limits=(-np.inf, np.inf)) -> float:
    """∫ f over the support, in pieces: between breaks, and near the middle of the density and far from it."""
    low, high = (max(support(family)[0], limits[0]), min(support(family)[1], limits[1]))
    inner = sorted({*breaks, *(middle + width * k for k in (-30, -8, -4, -2, -1, 0, 1, 2, 4, 8, 30))})
    edges = [low, *(e for e in inner if low < e < high), high]
    pieces = itertools.pairwise(edges)
    return sum(integrate.quad(f, a, b, epsabs=1e-13, epsrel=1e-10, limit=200)[0] for a, b in pieces)


def spline(column: str, family: str) -> list:
    """The columns of bs() on these knots, constant beyond the recorded values."""
    low, high = np.nanmin(TABLE[family]), np.nanmax(TABLE[family])
    knots = np.r_[[low] * 4, MIDDLE[family], [high] * 4]
    each = [BSpline(knots, np.eye(5)[k], 3) for k in range(1, 5)]
    return [lambda v, s=s: float(s(min(max(v, low), high * (1 - 1e-12)))) for s in each]


def natural(family: str) -> list:
    """The columns of cs() on these knots: cardinal natural splines, straight beyond them."""
    recorded = TABLE[family].dropna()
    knots = np.array([recorded.min(), MIDDLE[family], recorded.max()])

    def cardinal(k: int):
        s = CubicSpline(knots, np.eye(3)[k], bc_type="natural")
        ends = (knots[0], s(knots[0]), s(knots[0], 1)), (knots[-1], s(knots[-1]), s(knots[-1], 1))

        def value(v: float) -> float:
            for outside, (at, level, slope) in zip((v < knots[0], v > knots[-1]), ends, strict=True):
                if outside:
                    return float(level + slope * (v - at))
            return float(s(v))

        return value

    return [cardinal(k) for k in range(3)]


def term_of(kind: str, family: str) -> tuple[str, list, list[float]]:
    """A formula, what it makes of (value, row), and where that jumps or bends."""
    c = MIDDLE[family]
    one = [lambda v, r: 1.0]
    z = [lambda v, r: r["z"]]
    match kind:
        case "threshold":
            return f"above({family}, {c}) + z", [*one, lambda v, r: float(v > c), *z], [c]
        case "by arm":
            drug = [lambda v, r: float(v > c) * (r["arm"] == "drug"), lambda v, r: float(v > c) * (r["arm"] == "none")]
            return f"above({family}, {c}):arm + z", [*one, *z, *drug], [c]
        case "line and jump":
            return f"{family} + above({family}, {c}):{family}", [*one, lambda v, r: v, lambda v, r: v * (v > c)], [c]
        case "square":
            return f"{family} + I({family}**2) + z", [*one, lambda v, r: v, lambda v, r: v**2, *z], []
        case "spline":
            made = spline(family, family)
            made = [lambda v, r, s=s: s(v) for s in made]
            ends = [float(TABLE[family].min()), float(TABLE[family].max())]
            return f"bs({family}, knots=[{c}], extrapolation='clip')", [*one, *made], [c, *ends]
    made = [lambda v, r, s=s: s(v) for s in natural(family)]
    ends = [float(TABLE[family].min()), float(TABLE[family].max())]
    return f"0 + cs({family}, knots=[{c}]) + z", [*made, *z], [c, *ends]


def by_row(family: str, kind: str, link: str, par: dict, row: pd.Series, made: list, breaks: list[float]) -> float:
    eta = par[f"coef_{family}"] @ [1, row["x"]]
    own = stats.norm if link == "probit" else stats.logistic

    def density(v: float) -> float:
        at = par[f"missing_{family}"] @ [m(v, row) for m in made]
        unseen = pd.isna(row[family])
        return np.exp(scipy_logpdf(family, v, eta, par) + own.logcdf(at if unseen else -at))

    if not pd.isna(row[family]):
        return np.log(density(row[family]))
    if family == "poisson":
        return np.log(sum(density(float(k)) for k in range(60)))
    middle, width = place(family, eta, par)
    return np.log(quad(density, family, breaks, middle, width))


def place(family: str, eta: float, par: dict) -> tuple[float, float]:
    """About where a density lies, and how wide it is."""
    match family:
        case "lognormal":
            return float(np.exp(eta)), float(np.exp(eta) * par[f"sd_{family}"])
        case "gamma":
            return float(np.exp(eta)), float(np.exp(eta) * par[f"cv_{family}"])
        case "beta":
            return 1.2 * float(special.expit(eta)), 0.3
        case "student_t":
            return eta, par[f"scale_{family}"]
    return eta, par[f"sd_{family}"]


CASES = [
    *((family, "threshold", "probit") for family in FAMILIES),
    *(("normal", kind, "logit") for kind in ("by arm", "line and jump", "square", "spline", "natural")),
    ("gamma", "square", "probit"),
    ("student_t", "spline", "logit"),
    ("lognormal", "natural", "probit"),
]


@pytest.mark.parametrize(("family", "kind", "link"), CASES)
def test_likelihood_equals_quadrature_and_its_gradient_differences(family, kind, link):
    formula, made, breaks = term_of(kind, family)
    layout, target = laid_out(mk.Spec(regression_of(family), mk.Selection(f"missing({family}) ~ {formula}", link=link)))
    theta = point(target, 1)
    par = target.own(theta)
    rows = np.r_[np.flatnonzero(TABLE[family].isna())[:6], np.flatnonzero(TABLE[family].notna())[:4]]
    if kind == "threshold" and family == "normal":
        rows = np.arange(len(TABLE))
    expected = [by_row(family, kind, link, par, TABLE.iloc[i], made, breaks) for i in rows]
    # fixed points: a few 1e-6 of a row's likelihood, 1e-4 in the tails of a Student t and at a bound
    np.testing.assert_allclose(unit_loglik(layout, par)[rows], expected, atol=2e-4)
    assert np.median(np.abs(unit_loglik(layout, par)[rows] - expected)) < 1e-5
    value, gradient = target(theta)
    assert value - target.values(theta)[1] == pytest.approx(unit_loglik(layout, par).sum(), abs=1e-8)
    numeric = [(target(theta + e)[0] - target(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(target.size)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_point_stops_a_sampler(family):
    formula = term_of("threshold", family)[0]
    _, target = laid_out(mk.Spec(regression_of(family), mk.Selection(f"missing({family}) ~ {formula}")))
    for theta in far_points(target.size):
        value, gradient = target(theta)
        assert value == -np.inf or np.isfinite(value)
        assert gradient.shape == theta.shape


def test_the_pymc_model_has_the_same_log_posterior():
    spec = mk.Spec(regression_of("normal"), mk.Selection(f"missing(normal) ~ {term_of('by arm', 'normal')[0]}"))
    _, target = laid_out(spec)
    model = build_factored(spec, IncompleteData.of(TABLE)).model
    function = model.compile_fn(model.logp(), inputs=model.value_vars, mode=PYTHON, point_fn=False)
    for seed in (3, 4):
        theta, start, held = point(target, seed), 0, {}
        for name, piece in target.pieces.items():
            held[name] = theta[start : start + piece.size]
            start += piece.size
        given = [held[v.name.removesuffix("_log__").removesuffix("_z")] for v in model.value_vars]
        shapes = [np.shape(model.initial_point()[v.name]) for v in model.value_vars]
        value: Any = function(*(np.reshape(g, s) for g, s in zip(given, shapes, strict=True)))
        # PyMC has constants in single precision
        assert float(value) == pytest.approx(target(theta)[0], abs=1e-4)


def test_points_stand_beside_sampled_and_summed_cells_of_the_row():
    frame = TABLE.assign(y=TABLE["normal"], c=TABLE["student_t"], k=TABLE["poisson"].clip(upper=3))
    model = mk.Regressions(R("y ~ c + k"), R("c ~ x"), R("k ~ 1", "poisson", bounds=(0, 9)))
    _layout, target = laid_out(mk.Spec(model, mk.Selection("missing(y) ~ above(y, 3) + k")), frame)
    theta = point(target, 2)
    par = target.own(theta)
    cells, expected = iter(par["c_missing"]), 0.0
    for _, row in frame.iterrows():
        unseen = pd.isna(row["y"])
        needed = unseen or not pd.isna(row["y"])
        c = next(cells) if pd.isna(row["c"]) and needed else row["c"]
        total = 0.0
        for k in range(10) if pd.isna(row["k"]) else [row["k"]]:
            eta = par["coef_y"] @ [1, c, k]
            share = stats.poisson.pmf(k, np.exp(par["coef_k"][0]))
            low, high = (par["missing_y"] @ [1, above, k] for above in (0, 1))
            below = stats.norm.cdf((3 - eta) / par["sd_y"])
            if unseen:
                share *= below * stats.norm.cdf(low) + (1 - below) * stats.norm.cdf(high)
            else:
                share *= stats.norm.pdf(row["y"], eta, par["sd_y"]) * stats.norm.cdf(-(high if row["y"] > 3 else low))
            total += share
        expected += np.log(total) + stats.norm.logpdf(c, par["coef_c"] @ [1, row["x"]], par["sd_c"])
    assert target(theta)[0] - target.values(theta)[1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("family", "kind"), [("normal", "threshold"), ("gamma", "threshold"), ("normal", "square")])
def test_draws_have_the_distribution_of_the_curved_density(family, kind):
    formula, made, breaks = term_of(kind, family)
    holes = np.flatnonzero(TABLE[family].isna())[:3]
    again = pd.concat([TABLE, *[TABLE.iloc[[i]] for i in holes for _ in range(400)]], ignore_index=True)
    layout, _ = laid_out(mk.Spec(regression_of(family), mk.Selection(f"missing({family}) ~ {formula}")), again)
    slopes = {"threshold": [-1.0, 1.8, 0.4], "square": [2.0, -3.0, 0.5, 0.4]}[kind]
    par: dict[str, Any] = {
        f"coef_{family}": np.array([1.2 if family == "gamma" else 3.0, 0.3]),
        f"missing_{family}": np.array(slopes),
    }
    par |= {f"sd_{family}": 1.1, f"cv_{family}": 0.6}
    drawn = draw_unseen(layout, par, [np.zeros(0)], np.random.default_rng(8))[0][len(TABLE) :, 0].reshape(3, 400).T
    places = []
    for i, values in zip(holes, drawn.T, strict=True):
        row = TABLE.iloc[i]
        eta = par[f"coef_{family}"] @ [1, row["x"]]
        grid = np.sort(np.r_[np.linspace(*((1e-6, 40) if family == "gamma" else (-9, 15)), 24001), breaks])
        at = np.array([[m(v, row) for m in made] for v in grid]) @ par[f"missing_{family}"]
        logs = np.array([scipy_logpdf(family, v, eta, par) for v in grid]) if family == "gamma" else None
        logs = stats.norm.logpdf(grid, eta, 1.1) if logs is None else logs
        cdf = integrate.cumulative_trapezoid(np.exp(logs) * stats.norm.cdf(at), grid, initial=0)
        places.append(np.interp(values, grid, cdf / cdf[-1]))
    # 1,200 values of which each would be uniform; the bound is that of a p of 0.001
    assert stats.kstest(np.concatenate(places), "uniform").pvalue > 0.001


def test_knots_are_those_of_the_recorded_values():
    data = IncompleteData.of(TABLE)
    spec = mk.Spec(R("normal ~ x"), mk.Selection("missing(normal) ~ bs(normal, df=5, extrapolation='clip')"))
    built = designs_of(spec, data).built[1]
    (state,) = built.model_spec.transform_state.values()
    recorded = TABLE["normal"].dropna()
    np.testing.assert_allclose(state["knots"][4:-4], np.quantile(recorded, [1 / 3, 2 / 3]))
    assert (state["lower_bound"], state["upper_bound"]) == (recorded.min(), recorded.max())
    # other rows keep them
    other = IncompleteData.of(TABLE.head(30))
    rebuilt = lay_out(spec, other, designs_of(spec, data)).factors[1]
    here = np.flatnonzero(TABLE["normal"].head(30).notna())
    at = [list(rebuilt.row[: rebuilt.direct]).index(i) for i in here]
    np.testing.assert_allclose(rebuilt.x[at], built.matrix[here])


def generated(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    y = 2 + x + rng.normal(size=n)
    missing = rng.random(n) < stats.norm.cdf(-1.2 + 1.6 * (y > 2.5) + 0.6 * z)
    return pd.DataFrame({"y": np.where(missing, np.nan, y), "x": x, "z": z})


def test_a_threshold_is_recovered_and_said():
    spec = mk.Spec(R("y ~ x"), mk.Selection("missing(y) ~ above(y, 2.5) + z"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mk.sample(spec, generated(300, 3), draws=150, tune=150, chains=2, seed=1, progress=False)
    posterior = fit.draws["posterior"]
    truth = {"coef_y": [2, 1], "sd_y": 1, "missing_y": [-1.2, 1.6, 0.6]}
    for name, value in truth.items():
        drawn = posterior[name]
        error = (drawn.mean(("chain", "draw")).values - value) / drawn.std(("chain", "draw")).values
        assert np.abs(error).max() < 4  # posterior sds
    assert posterior["sd_y"].values.std() < 0.15
    assert "y marginal, integrated over 102 fixed points a row, split at 2.5" in fit.notes[0]
    assert "latent" not in fit.draws.children
    assert fit.draws["log_likelihood"]["unit"].sizes["obs"] == 300


def test_coefficients_can_be_fixed_and_have_priors_by_term(tmp_path):
    fixed = mk.Selection(
        "missing(y) ~ above(y, 2.5) + z", priors={"above(y, 2.5)": 1.5, "z": mk.Prior("normal", 0, 0.5)}
    )
    _, target = laid_out(mk.Spec(R("y ~ x"), fixed), generated(120, 4))
    assert target.size == 5
    own = [target.own(point(target, seed))["missing_y"][1] for seed in (1, 2)]
    np.testing.assert_allclose(own, 1.5)
    path = tmp_path / "spec.yaml"
    path.write_text(mk.Spec(R("y ~ x"), fixed).to_yaml(), encoding="utf-8")
    assert mk.read_spec(path) == mk.Spec(R("y ~ x"), fixed)


def test_a_coefficient_too_steep_for_the_points_is_said():
    spec = mk.Spec(R("y ~ x"), mk.Selection("missing(y) ~ y + I(y**2)"))
    data = IncompleteData.of(generated(200, 5))
    designs = designs_of(spec, data)
    coarse, fine = lay_out(spec, data, designs), lay_out(spec, data, designs, order=12)
    par = {"coef_y": np.array([2.0, 1.0]), "sd_y": 1.0, "missing_y": np.array([-2.0, 0.5, 0.1])}
    assert said_unresolved(coarse, fine, [(par, [np.zeros(0)])]) == ()
    steep = par | {"missing_y": np.array([-200.0, 60.0, 0.0])}
    (said,) = said_unresolved(coarse, fine, [(steep, [np.zeros(0)])])
    assert said.startswith("the sums over unseen y are off by")
    assert "write the jump as above()" in said


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            mk.Spec(R("normal ~ x"), mk.Selection("missing(normal) ~ bs(normal, df=4)")),
            "add extrapolation='clip'",
        ),
        (
            mk.Spec(R("normal ~ x"), mk.Selection("missing(normal) ~ scale(normal) + above(normal, 3)")),
            "which needs every",
        ),
        (mk.Spec(R("normal ~ x"), mk.Selection("missing(normal) ~ above(normal, 99)")), "above\\(normal, 99\\)"),
        (
            mk.Spec(
                mk.Regressions(R("normal ~ x"), R("gamma ~ x", "gamma")),
                mk.Selection("missing(normal) ~ above(normal, 3) + above(gamma, 2)"),
            ),
            "rows lack 'normal', 'gamma' together.*let thresholds, splines and limits read fewer",
        ),
    ],
    ids=range(4),
)
def test_what_cannot_be_is_refused_with_one_line(spec, message):
    with pytest.raises((SpecError, DataError), match=message) as caught:
        laid_out(spec)
    assert "\n" not in str(caught.value)


def test_columns_modelled_jointly_are_written_one_given_the_other():
    belief = mk.Selection("missing(normal) ~ above(normal, 3)")
    message = r'Regressions\(Regression\("normal ~ x"\), Regression\("lognormal ~ normal \+ x"\)\)'
    with pytest.raises(SpecError, match=message):
        mk.sample(mk.Spec(mk.MvNormal("normal", "lognormal", given="x"), belief), TABLE)


@pytest.mark.parametrize("call", ["above(x)", "above(x, 1, 2)", "above(x + 1, 2)", "above(x, z)", "above(x, 'a')"])
def test_a_threshold_is_a_column_and_a_number(call):
    with pytest.raises(FormulaError, match="above"):
        R(f"y ~ {call}")
