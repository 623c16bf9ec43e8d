"""The likelihood kernel against SciPy: tails, links, random patterns with groups and indicators, and its gradient."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from mnarkit.families import LINKS
from mnarkit.normal.likelihood import loglik_and_gradient, pack, packed_loglik_and_gradient, unit_loglik
from mnarkit.normal.patterns import cross_products, group_rows
from mnarkit.normal.signs import log_normal_cdf, log_sign
from mnarkit.normal.together import (
    loglik_and_gradient_together,
    packed_loglik_and_gradient_together,
    unit_loglik_together,
)
from tests.independent import signs_probability

PROBIT, LOGIT = (tuple(map(np.array, LINKS[link])) for link in ("probit", "logit"))
NODES = np.linspace(-12, 12, 1201)  # the trapezoid on a normal density converges exponentially: 1e-14 with this step
NAMES = ("B", "S", "A", "D", "c", "t")


def log_mills(x: np.ndarray) -> np.ndarray:
    """Log φ(x) / Φ(x), by SciPy."""
    return stats.norm.logpdf(x) - special.log_ndtr(x)


def sign_probability(u: float, v: float, t: float, link: str) -> float:
    """E of the link at (u + √v z) / √t, z standard normal, on a grid."""
    one = special.ndtr if link == "probit" else special.expit
    return float(np.trapezoid(stats.norm.pdf(NODES) * one((u + np.sqrt(v) * NODES) / np.sqrt(t)), NODES))


# Log Φ and the Mills ratio


def test_log_normal_cdf_equals_scipy_in_both_tails() -> None:
    around_switches = np.array([-36.0, 1.0])[:, None] + np.array([-1e-9, 0.0, 1e-9])
    x = np.concatenate([-np.geomspace(1e-8, 1e4, 400), [0.0], np.geomspace(1e-8, 40, 200), around_switches.ravel()])
    value, mills = np.array([log_normal_cdf(v) for v in x]).T
    np.testing.assert_allclose(value, special.log_ndtr(x), rtol=1e-11)
    # log φ - log Φ loses digits as x² / 2 grows: 1e-16 · 5e7 at -1e4
    np.testing.assert_allclose(mills, np.exp(log_mills(x)), rtol=2e-8)
    moderate = np.abs(x) < 36
    np.testing.assert_allclose(mills[moderate], np.exp(log_mills(x[moderate])), rtol=1e-12)
    np.testing.assert_allclose(mills[x < -100], special.erfcx(-x[x < -100] / np.sqrt(2)) ** -1 * np.sqrt(2 / np.pi))


# Links


def test_logit_is_eight_probits_to_three_in_a_billion() -> None:
    u = np.linspace(-30, 30, 1201)
    value = np.array([log_sign(x, 1.0, 0.0, 1.0, *LOGIT, 8)[0] for x in u])
    assert np.abs(np.exp(value) - special.expit(u)).max() < 3e-9
    assert LOGIT[0].sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(("link", "within"), [("probit", 1e-13), ("logit", 3e-9)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_unseen_values_are_integrated_out(link: str, within: float, sign: float) -> None:
    mixture = PROBIT if link == "probit" else LOGIT
    for u, v, t in [(0.0, 1.0, 1.0), (1.3, 0.2, 1.0), (-2.0, 4.0, 0.3), (3.0, 0.0, 1.0), (-4.0, 0.01, 2.5)]:
        value = log_sign(u, sign, v, t, *mixture, len(mixture[0]))[0]
        assert np.exp(value) == pytest.approx(sign_probability(sign * u, v, t, link), abs=within)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    "point", [(0.4, 0.7, 1.2), (-2.0, 0.0, 1.0), (60.0, 3.0, 0.4), (-60.0, 3.0, 0.4), (-9.0, 0.5, 1.0)]
)
def test_derivatives_of_a_link_equal_finite_differences(link: str, sign: float, point: tuple[float, ...]) -> None:
    mixture = PROBIT if link == "probit" else LOGIT
    _, *slopes = log_sign(point[0], sign, *point[1:], *mixture, len(mixture[0]))
    for i, slope in enumerate(slopes):
        step = 1e-5 * np.eye(3)[i]
        up, down = (np.array(point) + way * step for way in (1, -1))
        values = [log_sign(at[0], sign, *at[1:], *mixture, len(mixture[0]))[0] for at in (up, down)]
        # a value of 1e3 has 1e-13 of rounding, over 2e-5
        assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("link", LINKS)
def test_deep_tails_are_finite_and_continuous(link: str) -> None:
    mixture = PROBIT if link == "probit" else LOGIT
    u = -np.concatenate([np.arange(0, 400, 0.5), np.geomspace(400, 1e6, 40)])
    values = np.array([log_sign(x, 1.0, 0.5, 1.0, *mixture, len(mixture[0])) for x in u])
    assert np.isfinite(values).all()
    assert (np.diff(values[:, 0]) < 0).all()
    assert (np.diff(values[u < -15, 1]) > 0).all()  # no jump where the eight probits underflow
    within = np.abs(np.diff(u)) == 0.5
    climb = 0.25 * (values[1:, 1] + values[:-1, 1])
    np.testing.assert_allclose(-np.diff(values[:, 0])[within], climb[within], rtol=0.01)  # the slope is the value's
    assert log_sign(-1e6, -1.0, 0.5, 1.0, *mixture, len(mixture[0]))[0] == pytest.approx(0, abs=1e-14)


# The kernel on random patterns


@dataclass(frozen=True)
class Problem:
    """Rows with holes, and what a kernel takes: `arrays` from `cross` on, `point` the six parameters."""

    seen: np.ndarray
    group: np.ndarray
    y: np.ndarray
    x: np.ndarray
    w: np.ndarray
    signs: np.ndarray
    links: tuple[str, ...]
    arrays: tuple[np.ndarray, ...]
    order: np.ndarray
    point: tuple[np.ndarray, ...]

    def value(self) -> float:
        return self.gradients()[0]

    def gradients(self) -> tuple:
        return (loglik_and_gradient_together if self.arrays[-1].any() else loglik_and_gradient)(
            *self.point, *self.arrays
        )

    def units(self) -> np.ndarray:
        out, table = np.empty(len(self.y)), np.empty(len(self.y))
        (unit_loglik_together if self.arrays[-1].any() else unit_loglik)(*self.point, *self.arrays[1:], out)
        table[self.order] = out
        return table


def problem(
    seed: int, n: int = 40, p: int = 3, q: int = 2, groups: int = 2, links: tuple[str, ...] = (), together: int = 0
) -> Problem:
    """A random problem; the sign of each indicator follows the pattern, as where a column's holes are modelled.

    Indicators are taken one by one, but the first `together` as correlated where anything is unseen.
    """
    rng = np.random.default_rng(seed)
    seen = rng.random((n, p)) < 0.65
    seen[0], seen[1] = False, True
    group = rng.integers(groups, size=n)
    y, x = rng.normal(size=(n, p)), np.column_stack([np.ones(n), rng.normal(size=(n, q - 1))])
    k, w_start = len(links), 2 * np.arange(len(links) + 1)
    w = rng.normal(size=(n, 2 * k))
    patterns = group_rows(seen, group)
    y = np.where(seen, y, 0.0)

    def sign_of(rows: np.ndarray) -> np.ndarray:
        return np.where(np.column_stack([~rows[:, i % p] for i in range(k)] or [rows[:, :0]]), 1.0, -1.0)

    width = max([len(LINKS[link][0]) for link in links], default=1)
    weights, slopes = np.zeros((k, width)), np.ones((k, width))
    for i, link in enumerate(links):
        weights[i, : len(LINKS[link][0])], slopes[i, : len(LINKS[link][1])] = LINKS[link]
    per_row = patterns.order if k else patterns.order[:0]
    arrays = (
        cross_products(x, y, patterns),
        patterns.seen.astype(np.int64),
        patterns.group,
        patterns.start,
        sign_of(patterns.seen),
        np.ascontiguousarray(x[per_row]),
        np.ascontiguousarray(y[per_row]),
        np.ascontiguousarray(w[per_row]),
        w_start.astype(np.int64),
        weights,
        slopes,
        np.array([len(LINKS[link][0]) for link in links], dtype=np.int64),
        (~patterns.seen.all(axis=1)[:, None] & (np.arange(k) < together)).astype(np.int64),
    )
    root = rng.normal(size=(groups, p, p)) + np.eye(p)
    point = (
        rng.normal(size=(p, q)),
        root @ root.transpose(0, 2, 1) + 0.3 * np.eye(p),
        0.7 * rng.normal(size=(k, p)),
        0.5 * rng.normal(size=(k, q)),
        0.5 * rng.normal(size=2 * k),
        rng.uniform(0.3, 1.5, size=k),
    )
    return Problem(seen, group, y, x, w, sign_of(seen), links, arrays, patterns.order, point)


def by_hand(made: Problem) -> np.ndarray:
    """log f(y_o, r) of each row by SciPy: a normal density, and each indicator integrated over what is unseen in it."""
    B, S, A, D, c, t = made.point
    out = np.zeros(len(made.y))
    for i, (y, x, seen) in enumerate(zip(made.y, made.x, made.seen, strict=True)):
        mean, cov = B @ x, S[made.group[i]]
        o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
        gain = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
        full, rest = y.copy(), cov[np.ix_(m, m)] - gain @ cov[np.ix_(o, m)]
        full[m] = mean[m] + gain @ (y[o] - mean[o])
        if len(o):
            out[i] += stats.multivariate_normal(mean[o], cov[np.ix_(o, o)]).logpdf(y[o])
        u = A @ full + D @ x + (c * made.w[i]).reshape(-1, 2).sum(axis=1)
        alone = range(len(made.links))
        if len(m) and made.arrays[-1].any():
            d = int(made.arrays[-1].sum(axis=1).max())
            links = [partial(one_sign, made.signs[i, k], t[k], made.links[k]) for k in range(d)]
            out[i] += np.log(signs_probability(u[:d], A[:d, m] @ rest @ A[:d, m].T, links))
            alone = alone[d:]
        for k in alone:
            out[i] += np.log(sign_probability(made.signs[i, k] * u[k], A[k, m] @ rest @ A[k, m], t[k], made.links[k]))
    return out


def one_sign(sign: float, t: float, link: str, u: np.ndarray) -> np.ndarray:
    """P(sign of u + √t e), e with the link's distribution."""
    return (special.ndtr if link == "probit" else special.expit)(sign * u / np.sqrt(t))


KINDS = [(), ("probit",), ("logit",), ("probit", "logit", "probit")]
TOGETHER = [
    (("probit", "probit"), 2),
    (("probit", "logit"), 2),
    (("logit", "logit", "probit"), 2),
    (("probit", "probit", "probit", "logit"), 3),
]


@pytest.mark.parametrize("links", KINDS, ids=lambda links: "+".join(links) or "values alone")
@pytest.mark.parametrize(("p", "q", "groups"), [(3, 2, 2), (1, 1, 1), (5, 3, 3)])
def test_value_equals_a_row_by_row_computation(links: tuple[str, ...], p: int, q: int, groups: int) -> None:
    made = problem(p, p=p, q=q, groups=groups, links=links)
    expected = by_hand(made)
    # each row's logit is good to 3e-9 over its probability, which is above 1e-3 in nearly all rows
    within = 1e-6 if "logit" in links else 1e-9
    assert made.value() == pytest.approx(expected.sum(), abs=within)
    if links:
        np.testing.assert_allclose(made.units(), expected, atol=within)


@pytest.mark.parametrize(("links", "together"), TOGETHER)
def test_correlated_propensities_have_the_probability_of_an_orthant(links: tuple[str, ...], together: int) -> None:
    made = problem(3, links=links, together=together)
    expected = by_hand(made)
    within = 2e-6 if "logit" in links else 1e-9
    np.testing.assert_allclose(made.units(), expected, atol=within)
    assert made.value() == pytest.approx(made.units().sum(), rel=1e-13)
    # most rows are another number than the product of their signs
    alone = replace(made, arrays=(*made.arrays[:-1], 0 * made.arrays[-1]))
    assert np.mean(np.abs(alone.units() - expected) > 1e-3) > 0.5


@pytest.mark.parametrize("together", [0, 2])
def test_unit_values_sum_to_the_whole(together: int) -> None:
    made = problem(11, links=("logit", "probit"), together=together)
    assert made.units().sum() == pytest.approx(made.value(), rel=1e-13)


@pytest.mark.parametrize(("links", "together"), [((), 0), (("probit", "logit"), 0), (("probit", "logit"), 2)])
def test_packed_arrays_are_read_as_the_arrays(links: tuple[str, ...], together: int) -> None:
    made = problem(4, links=links, together=together)
    reals, whole = pack(made.arrays)
    read = packed_loglik_and_gradient_together if together else packed_loglik_and_gradient
    packed = read(*made.point, reals, whole.astype(np.int32))  # as PyMC stores whole numbers
    for one, other in zip(packed, made.gradients(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_in_another_order_have_the_same_value() -> None:
    made = problem(5, links=("probit",))
    turned = np.random.default_rng(0).permutation(len(made.y))
    patterns = group_rows(made.seen[turned], made.group[turned])
    order = turned[patterns.order]
    arrays = list(made.arrays)
    arrays[0] = cross_products(made.x[turned], made.y[turned], patterns)
    arrays[5:8] = (np.ascontiguousarray(a[order]) for a in (made.x, made.y, made.w))
    assert replace(made, arrays=tuple(arrays)).value() == pytest.approx(made.value(), rel=1e-13)


@pytest.mark.parametrize(
    ("links", "together"),
    [*((links, 0) for links in KINDS), *TOGETHER, (("probit",) * 4, 4)],
    ids=lambda value: "+".join(value) or "values alone" if isinstance(value, tuple) else f"together {value}",
)
def test_gradient_equals_central_differences_in_all_six_parameters(links: tuple[str, ...], together: int) -> None:
    made = problem(7, links=links, together=together)
    _, *gradient = made.gradients()
    for which, (name, at, slope) in enumerate(zip(NAMES, made.point, gradient, strict=True)):
        assert slope.shape == at.shape, name
        for place in np.ndindex(at.shape):
            step = np.zeros(at.shape)
            step[place] += 0.5e-5
            step[(*place[:-2], *place[-2:][::-1]) if name == "S" else place] += 0.5e-5  # S stays symmetric
            ends = [
                replace(made, point=(*made.point[:which], at + way * step, *made.point[which + 1 :])) for way in (1, -1)
            ]
            numeric = (ends[0].value() - ends[1].value()) / 2e-5
            # a value of a few hundred, rounded to 1e-13, over 2e-5; curvature 1e-10 times the third derivative
            assert np.sum(step * slope) * 1e5 == pytest.approx(numeric, rel=1e-6, abs=1e-6), (name, place)


@pytest.mark.parametrize("together", [0, 2])
def test_gradient_in_a_covariance_is_symmetric(together: int) -> None:
    made = problem(7, links=("probit", "logit"), together=together)
    slope = made.gradients()[2]
    np.testing.assert_allclose(slope, slope.transpose(0, 2, 1), atol=1e-10)


@pytest.mark.parametrize("links", [(), ("probit", "logit")])
@pytest.mark.parametrize("wrong", [np.diag([1.0, -1.0, 1.0]), np.ones((3, 3)), np.full((3, 3), np.nan)])
def test_not_positive_definite_is_minus_infinity(links: tuple[str, ...], wrong: np.ndarray) -> None:
    made = problem(2, links=links)
    S = made.point[1].copy()
    S[1] = wrong
    broken = replace(made, point=(made.point[0], S, *made.point[2:]))
    assert broken.value() == -np.inf


@pytest.mark.parametrize("together", [0, 2])
def test_extreme_propensities_leave_value_and_gradient_finite(together: int) -> None:
    made = problem(3, links=("probit", "logit"), together=together)
    B, S, A, D, c, t = made.point
    value, *gradient = replace(made, point=(B, S, 1e3 * A, 1e3 * D, 1e3 * c, t)).gradients()
    assert np.isfinite(value)
    assert value < -1e4
    assert all(np.isfinite(part).all() for part in gradient)


# Patterns

MASKS = st.tuples(st.integers(0, 40), st.integers(1, 70)).flatmap(
    lambda shape: st.tuples(
        st.one_of(
            hnp.arrays(bool, shape), hnp.arrays(bool, (3, shape[1])).map(lambda few: few[np.arange(shape[0]) % 3])
        ),
        hnp.arrays(np.int64, shape[0], elements=st.sampled_from([0, 1, 2, 300, 2**40])),
    )
)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_rows_are_grouped_exactly(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    seen, group = drawn
    patterns = group_rows(seen, group)
    assert sorted(patterns.order.tolist()) == list(range(len(seen)))
    keys = [(*row, g) for row, g in zip(seen.tolist(), group.tolist(), strict=True)]
    held = [(*row, g) for row, g in zip(patterns.seen.tolist(), patterns.group.tolist(), strict=True)]
    assert len(set(held)) == len(held)
    assert set(held) == set(keys)
    assert patterns.count.sum() == len(seen)
    for number, key in enumerate(held):
        rows = patterns.rows(number).tolist()
        assert rows == [i for i, k in enumerate(keys) if k == key]  # all of its rows, in the table's order


def test_patterns_that_a_float_would_merge_stay_apart() -> None:
    seen = np.zeros((2, 70), dtype=bool)
    seen[:, 0] = True
    seen[1, 69] = True  # 2**69 + 1 == 2**69 as a float
    assert group_rows(seen).count.tolist() == [1, 1]


def test_cross_products_are_those_of_the_seen_columns() -> None:
    made = problem(9)
    y = np.where(made.seen, made.y, np.nan)
    patterns = group_rows(made.seen, made.group)
    for g, products in enumerate(cross_products(made.x, y, patterns)):
        rows = patterns.rows(g)
        z = np.hstack([made.x[rows], np.where(patterns.seen[g], y[rows], 0.0)])
        np.testing.assert_allclose(products, sum(np.outer(r, r) for r in z), atol=1e-12)
