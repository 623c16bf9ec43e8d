"""Draws of unseen cells against numerical integration of the joint density of values and indicators."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import log_expit, log_ndtr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.normal.conditional import conditional_mean, draw_unseen, expected_unseen, truncated_normal
from mnarkit.normal.layout import KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters, kernel_parameters

NAN = np.nan
COPIES = 20_000

# The truncated normal


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("toward", [-1e4, -300.0, -37.0, -8.0, -1.0, 0.0, 2.0, 8.0, 40.0])
def test_truncated_normal_inverts_its_distribution_function(toward: float, sign: float) -> None:
    uniform = np.linspace(0.001, 0.999, 999)
    mean, sd = sign * toward * 2.5, 2.5
    z = truncated_normal(np.full(999, mean), sd, sign, uniform)
    assert (sign * z >= -1e-12 * abs(mean)).all()
    above = log_ndtr(-sign * (z - mean) / sd) - log_ndtr(toward)
    # a relative error of 3e-13 in z, which the far tail multiplies by its square
    np.testing.assert_allclose(above, np.log(uniform), atol=1e-10 + 1e-12 * toward**2)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("toward", [-25.0, -8.0, -1.0, 0.0, 2.0, 25.0])
def test_truncated_normal_has_the_moments_of_scipy(toward: float, sign: float) -> None:
    rng = np.random.default_rng(int(100 + toward))
    mean, sd, n = sign * toward * 0.7, 0.7, 50_000
    z = sign * truncated_normal(np.full(n, mean), sd, sign, rng.random(n))
    truth = stats.truncnorm(-toward, np.inf, loc=sign * mean, scale=sd)
    assert_moments(z[:, None], np.array([truth.mean()]), np.array([[truth.var()]]))


def assert_moments(draws: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> None:
    """Means and second moments of (n, d) draws within 5 of their Monte Carlo standard errors."""
    n, gap = len(draws), draws - mean
    assert np.all(np.abs(gap.mean(axis=0)) < 5 * draws.std(axis=0) / np.sqrt(n))
    products = gap[:, :, None] * gap[:, None, :]
    z = (products.mean(axis=0) - cov) / (products.std(axis=0) / np.sqrt(n))
    assert np.all(np.abs(z) < 5), z


# Unseen cells


@dataclass(frozen=True)
class Drawn:
    """A spec at known parameters; `log_chance` is log P(the row's indicators | all values), written out by hand."""

    spec: mk.Spec
    rows: pd.DataFrame
    coef: list[list[float]]
    cov: list[list[float]]
    indicators: tuple[list[float], ...]
    log_chance: Callable[[np.ndarray, pd.Series], np.ndarray]
    rho: tuple[float | None, ...] = (None,)

    def laid_out(self, table: pd.DataFrame) -> tuple[tuple, KernelData, Layout]:
        data = IncompleteData.of(table)
        layout = lay_out(self.spec, data, designs_of(self.spec, data))
        rows = kernel_data(layout, keep_empty_rows=True, products=False)
        named = Parameters(np.array(self.coef), np.array(self.cov), [*map(np.array, self.indicators)], self.rho, ())
        return kernel_parameters(named, layout, rows), rows, layout


def signed(missing: bool, u: np.ndarray, log_link: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return log_link(u if missing else -u)


def heckman(y: np.ndarray, row: pd.Series, mean: float, sd: float, u: float, rho: float) -> np.ndarray:
    return signed(np.isnan(row["y"]), -(u + rho * (y - mean) / sd) / np.sqrt(1 - rho**2), log_ndtr)


PAIR = [[2.0, -0.9], [-0.9, 1.0]]
TRIPLE = [[2.0, 0.8, -0.5], [0.8, 1.5, 0.4], [-0.5, 0.4, 1.0]]
ONE = pd.DataFrame({"y": [NAN, NAN, 0.4], "x": [0.5, -2.0, 1.0], "z": [0.3, -1.0, 2.0]})
TWO = pd.DataFrame({"y": [NAN, 0.7, NAN, -1.0], "v": [1.2, NAN, NAN, 0.3], "x": [0.5, -2.0, 1.0, 0.0]})
THREE = pd.DataFrame(
    {"y": [NAN, NAN, NAN, 0.2, NAN], "v": [NAN, 0.5, NAN, NAN, 1.0], "s": [0.4, NAN, NAN, NAN, -0.7], "x": 0.0}
)
REGRESSION, JOINT = mk.Regression("y ~ x"), mk.MvNormal("y", "v", given="x")

CASES: dict[str, Drawn] = {
    "probit": Drawn(
        mk.Spec(REGRESSION, mk.Selection("missing(y) ~ y + z")),
        ONE,
        [[1.0, 0.5]],
        [[2.0]],
        ([-1.0, 0.4, 1.2],),
        lambda y, row: signed(np.isnan(row["y"]), -1 + 0.4 * row["z"] + 1.2 * y[..., 0], log_ndtr),
    ),
    "probit, holes far more often than the values suggest": Drawn(
        mk.Spec(REGRESSION, mk.Selection("missing(y) ~ y")),
        ONE,
        [[1.0, 0.5]],
        [[2.0]],
        ([-14.0, -1.5],),
        lambda y, row: signed(np.isnan(row["y"]), -14 - 1.5 * y[..., 0], log_ndtr),
    ),
    "logit": Drawn(
        mk.Spec(REGRESSION, mk.Selection("missing(y) ~ y + z", link="logit")),
        ONE,
        [[1.0, 0.5]],
        [[2.0]],
        ([-4.0, 0.4, -2.0],),
        lambda y, row: signed(np.isnan(row["y"]), -4 + 0.4 * row["z"] - 2 * y[..., 0], log_expit),
    ),
    "Heckman": Drawn(
        mk.Spec(REGRESSION, mk.Heckman("recorded(y) ~ z")),
        ONE,
        [[1.0, 0.5]],
        [[2.0]],
        ([0.3, 0.8],),
        lambda y, row: heckman(y[..., 0], row, 1 + 0.5 * row["x"], np.sqrt(2), 0.3 + 0.8 * row["z"], -0.85),
        rho=(-0.85,),
    ),
    "joint, probit on both columns": Drawn(
        mk.Spec(JOINT, mk.Selection("missing(y) ~ y + v + x")),
        TWO,
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([-0.5, 0.3, 1.0, 0.8],),
        lambda y, row: signed(np.isnan(row["y"]), -0.5 + 0.3 * row["x"] + y[..., 0] + 0.8 * y[..., 1], log_ndtr),
    ),
    "joint, logit on both columns": Drawn(
        mk.Spec(JOINT, mk.Selection("missing(y) ~ v + y", link="logit")),
        TWO,
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([-2.0, 1.5, -1.1],),
        lambda y, row: signed(np.isnan(row["y"]), -2 + 1.5 * y[..., 0] - 1.1 * y[..., 1], log_expit),
    ),
    "joint, Heckman": Drawn(
        mk.Spec(JOINT, mk.Heckman("recorded(y) ~ x")),
        TWO,
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([0.6, -0.4],),
        lambda y, row: heckman(y[..., 0], row, 1 + 0.5 * row["x"], np.sqrt(2), 0.6 - 0.4 * row["x"], 0.9),
        rho=(0.9,),
    ),
    "joint, two indicators": Drawn(
        mk.Spec(JOINT, mk.Selection("missing(y) ~ y"), mk.Selection("missing(v) ~ v + x", link="logit")),
        TWO.drop(index=2).reset_index(drop=True),
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([-0.5, 1.4], [0.3, -0.6, -1.7]),
        lambda y, row: (
            signed(np.isnan(row["y"]), -0.5 + 1.4 * y[..., 0], log_ndtr)
            + signed(np.isnan(row["v"]), 0.3 - 0.6 * row["x"] - 1.7 * y[..., 1], log_expit)
        ),
        rho=(None, None),
    ),
    "joint, two self-masking probits": Drawn(
        mk.Spec(JOINT, mk.Selection("missing(y) ~ y"), mk.Selection("missing(v) ~ v + x")),
        TWO,
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([-0.5, 1.4], [0.3, -0.6, -1.7]),
        lambda y, row: (
            signed(np.isnan(row["y"]), -0.5 + 1.4 * y[..., 0], log_ndtr)
            + signed(np.isnan(row["v"]), 0.3 - 0.6 * row["x"] - 1.7 * y[..., 1], log_ndtr)
        ),
        rho=(None, None),
    ),
    "joint, two probits that pull against the values": Drawn(
        mk.Spec(JOINT, mk.Selection("missing(y) ~ y + v"), mk.Selection("missing(v) ~ y + v")),
        TWO,
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([-7.0, 1.5, 0.8], [-6.0, -1.2, 0.9]),
        lambda y, row: (
            signed(np.isnan(row["y"]), -7 + 1.5 * y[..., 0] + 0.8 * y[..., 1], log_ndtr)
            + signed(np.isnan(row["v"]), -6 - 1.2 * y[..., 0] + 0.9 * y[..., 1], log_ndtr)
        ),
        rho=(None, None),
    ),
    "joint, logit and probit on each other's columns": Drawn(
        mk.Spec(JOINT, mk.Selection("missing(y) ~ y + v", link="logit"), mk.Selection("missing(v) ~ y + v")),
        TWO,
        [[1.0, 0.5], [-1.0, 0.2]],
        PAIR,
        ([-1.0, 1.5, -1.1], [0.2, 0.7, 1.3]),
        lambda y, row: (
            signed(np.isnan(row["y"]), -1 + 1.5 * y[..., 0] - 1.1 * y[..., 1], log_expit)
            + signed(np.isnan(row["v"]), 0.2 + 0.7 * y[..., 0] + 1.3 * y[..., 1], log_ndtr)
        ),
        rho=(None, None),
    ),
    "three columns, two logits": Drawn(
        mk.Spec(
            mk.MvNormal("y", "v", "s"),
            mk.Selection("missing(y) ~ y", link="logit"),
            mk.Selection("missing(s) ~ s + y", link="logit"),
        ),
        THREE,
        [[1.0], [-1.0], [0.5]],
        TRIPLE,
        ([0.4, -1.3], [-0.8, 0.9, 1.6]),
        lambda y, row: (
            signed(np.isnan(row["y"]), 0.4 - 1.3 * y[..., 0], log_expit)
            + signed(np.isnan(row["s"]), -0.8 + 0.9 * y[..., 0] + 1.6 * y[..., 2], log_expit)
        ),
        rho=(None, None),
    ),
    "three columns, three probits": Drawn(
        mk.Spec(
            mk.MvNormal("y", "v", "s"),
            mk.Selection("missing(y) ~ y"),
            mk.Selection("missing(v) ~ v + s"),
            mk.Selection("missing(s) ~ s + y"),
        ),
        THREE,
        [[1.0], [-1.0], [0.5]],
        TRIPLE,
        ([0.4, -1.3], [-1.0, 0.8, -0.7], [-0.8, 0.9, 1.6]),
        lambda y, row: (
            signed(np.isnan(row["y"]), 0.4 - 1.3 * y[..., 0], log_ndtr)
            + signed(np.isnan(row["v"]), -1.0 + 0.8 * y[..., 1] - 0.7 * y[..., 2], log_ndtr)
            + signed(np.isnan(row["s"]), -0.8 + 0.9 * y[..., 0] + 1.6 * y[..., 2], log_ndtr)
        ),
        rho=(None, None, None),
    ),
    "three columns": Drawn(
        mk.Spec(mk.MvNormal("y", "v", "s"), mk.Selection("missing(y) ~ y + s")),
        THREE,
        [[1.0], [-1.0], [0.5]],
        TRIPLE,
        ([0.4, -1.3, 0.9],),
        lambda y, row: signed(np.isnan(row["y"]), 0.4 - 1.3 * y[..., 0] + 0.9 * y[..., 2], log_ndtr),
    ),
    "three columns, holes at random": Drawn(
        mk.Spec(mk.MvNormal("y", "v", "s")),
        THREE,
        [[1.0], [-1.0], [0.5]],
        TRIPLE,
        (),
        lambda y, row: np.zeros(y.shape[:-1]),
        rho=(),
    ),
}


def integrated(case: Drawn, row: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a row's unseen values given its seen ones and its indicators, on a grid."""
    columns, cov = list(case.spec.model.columns), np.array(case.cov)
    y = row[columns].to_numpy(float)
    mean = np.array(case.coef) @ np.array([1.0, row["x"]])[: len(case.coef[0])]
    o, m = np.flatnonzero(~np.isnan(y)), np.flatnonzero(np.isnan(y))
    gain = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
    root = np.linalg.cholesky(cov[np.ix_(m, m)] - gain @ cov[np.ix_(o, m)])
    nodes = np.linspace(-12, 12, {1: 2001, 2: 241, 3: 97}[len(m)])
    z = np.stack(np.meshgrid(*[nodes] * len(m), indexing="ij"), axis=-1).reshape(-1, len(m))
    full = np.tile(y, (len(z), 1))
    full[:, m] = mean[m] + gain @ (y[o] - mean[o]) + z @ root.T
    log_weight = -0.5 * np.sum(z**2, axis=1) + case.log_chance(full, row)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    center = weight @ full[:, m]
    return center, (full[:, m] - center).T @ (weight[:, None] * (full[:, m] - center))


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_moments_of_the_joint_density(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(list(CASES).index(name))
    which = rng.permutation(np.repeat(np.arange(len(case.rows)), COPIES))  # rows of one pattern are not neighbours
    arguments, rows, layout = case.laid_out(case.rows.iloc[which].reset_index(drop=True))
    drawn = draw_unseen(arguments, rows, layout.y, rng)
    seen = ~np.isnan(layout.y)
    assert np.array_equal(drawn[seen], layout.y[seen])
    assert np.isfinite(drawn).all()
    for number, row in case.rows.iterrows():
        unseen = row[list(case.spec.model.columns)].isna().to_numpy()
        if unseen.any():
            assert_moments(drawn[which == number][:, unseen], *integrated(case, row))


@pytest.mark.parametrize("name", CASES)
def test_expectations_are_those_of_the_joint_density(name: str) -> None:
    case = CASES[name]
    arguments, rows, layout = case.laid_out(case.rows)
    expected = expected_unseen(arguments, rows, layout.y)
    for number, row in case.rows.iterrows():
        unseen = row[list(case.spec.model.columns)].isna().to_numpy()
        if unseen.any():
            # the eight probits of a logit are good to 3e-9 over the probability of the row's indicators
            np.testing.assert_allclose(expected[number][unseen], integrated(case, row)[0], atol=2e-6)


def test_an_unrelated_indicator_leaves_the_draws_as_they_are() -> None:
    mar = CASES["three columns, holes at random"]
    arguments, rows, layout = mar.laid_out(mar.rows)
    plain = draw_unseen(arguments, rows, layout.y, np.random.default_rng(1))
    seen_alone = Drawn(
        mk.Spec(mk.MvNormal("y", "v", "s"), mk.Selection("missing(y) ~ x")),
        mar.rows.assign(x=range(5)),
        *(mar.coef, TRIPLE),
        ([0.2, -1.0],),
        mar.log_chance,
    )
    arguments, rows, layout = seen_alone.laid_out(seen_alone.rows)
    np.testing.assert_array_equal(draw_unseen(arguments, rows, layout.y, np.random.default_rng(1)), plain)


@pytest.mark.parametrize("name", ["joint, logit on both columns", "joint, logit and probit on each other's columns"])
def test_as_many_random_numbers_are_used_whatever_the_values_are(name: str) -> None:
    case, states = CASES[name], []
    for values in (0.0, 50.0):
        table = case.rows.assign(v=case.rows["v"] + values)
        arguments, rows, layout = case.laid_out(table)
        rng = np.random.default_rng(9)
        draw_unseen(arguments, rows, layout.y, rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


def test_a_singular_residual_covariance_can_be_drawn_from() -> None:
    case = CASES["three columns, holes at random"]
    v = np.array([1.0, 2.0, -1.0])
    twin = Drawn(
        case.spec, case.rows.assign(s=NAN, v=NAN, y=NAN), case.coef, np.outer(v, v).tolist(), (), case.log_chance, ()
    )
    arguments, rows, layout = twin.laid_out(twin.rows)
    gap = draw_unseen(arguments, rows, layout.y, np.random.default_rng(0)) - np.array([1.0, -1.0, 0.5])
    np.testing.assert_allclose(gap, gap[:, :1] * v, atol=1e-6)


# Conditional means


def test_conditional_mean_and_variance_row_by_row() -> None:
    rng = np.random.default_rng(4)
    y, mean = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    y[rng.random(y.shape) < 0.5] = NAN
    y[0] = NAN
    cov = np.array(TRIPLE)
    full, variance = conditional_mean(y, mean, cov)
    for i, row in enumerate(y):
        precision = np.linalg.inv(cov)
        m = np.isnan(row)
        block = np.linalg.inv(precision[np.ix_(m, m)])  # Var(y_m | y_o) from the precision matrix
        expected = mean[i, m] - block @ precision[np.ix_(m, ~m)] @ (row[~m] - mean[i, ~m])
        np.testing.assert_allclose(full[i, m], expected, atol=1e-12)
        np.testing.assert_allclose(variance[i, m], np.diag(block), atol=1e-12)
        assert np.array_equal(full[i, ~m], row[~m])
        assert not variance[i, ~m].any()
