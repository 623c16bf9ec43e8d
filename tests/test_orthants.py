"""Both signs of two correlated propensities: against 40 digits, SciPy, finite differences, and in the tails."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from mnarkit.families import LINKS
from mnarkit.normal.lattice import log_all_signs
from mnarkit.normal.orthants import (
    both_below,
    log_both_below,
    log_both_below_in_tail,
    log_density,
    log_two_signs,
    quantile_given_below,
)
from tests.independent import signs_probability

# log Φ₂(h, k; r) by mpmath, 40 digits, the integral of φ Φ over panels graded towards its mode and its turn
PRECISE = {
    (-1.0, 0.5, -0.6): -3.0030898500566513321,
    (-30.0, -30.0, 0.9): -480.23257142174864974,
    (-30.0, -30.0, -0.9): -9012.4152459694027824,
    (-30.0, 30.0, 0.5): -454.32124395634319711,
    (-30.0, -29.0, 0.99): -454.32124411290678833,
    (-30.0, 25.0, -0.999): -6642.6927817639759152,
    (-5.0, -5.0, 1 - 1e-8): -15.065291053955687433,
    (-5.0, 5.1, -0.9999): -15.96259019356160349,
    (-8.0, -3.0, 0.3): -36.29550644016222293,
    (-0.5, 0.4, -1 + 1e-9): -2500027.449840336772,
}
RHOS = [-1 + 1e-10, -0.9999, -0.93, -0.92, -0.74, -0.3, 0.0, 0.29, 0.5, 0.76, 0.924, 0.926, 0.9999, 1 - 1e-10]


def links_of(*names: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = np.array([len(LINKS[name][0]) for name in names])
    weights, slopes = np.zeros((2, sizes.max())), np.ones((2, sizes.max()))
    for i, name in enumerate(names):
        weights[i, : sizes[i]], slopes[i, : sizes[i]] = LINKS[name]
    return weights, slopes, sizes


def two_signs(point: np.ndarray, sign: np.ndarray, *names: str) -> tuple[float, np.ndarray]:
    """Log P(both signs) at (u, v, c, t), and its derivatives."""
    out = np.empty(7)
    value = log_two_signs(point[:2], point[2:4], point[4], point[5:], sign, *links_of(*names), out)
    return value, out


# Two standard normals


@pytest.mark.parametrize("at", PRECISE)
def test_log_probability_to_forty_digits(at: tuple[float, float, float]) -> None:
    h, k, r = at
    for one in (log_both_below(h, k, r), log_both_below(k, h, r), log_both_below_in_tail(h, k, r)):
        assert one == pytest.approx(PRECISE[at], rel=1e-12)


@pytest.mark.parametrize("r", RHOS)
def test_probability_equals_an_integral_by_scipy(r: float) -> None:
    for h, k in [(0.0, 0.0), (0.3, -0.2), (1.5, 1.4), (-1.0, 1.00001), (-2.0, -2.3), (3.0, -0.5), (-0.7, 0.6)]:
        root = np.sqrt((1 - r) * (1 + r))
        turn = np.clip([k / r + way * root / abs(r) for way in (-9, 0, 9)] if r else [0.0], -9, min(h, 9))
        whole = integrate.quad(
            lambda x, k=k, root=root: stats.norm.pdf(x) * stats.norm.cdf((k - r * x) / root),
            -9, h, points=turn, epsabs=1e-14, epsrel=1e-12, limit=500,
        )[0]  # fmt: skip
        # quad's own rounding, and what is left out below -9
        assert both_below(h, k, r) == pytest.approx(whole, abs=3e-13)


@pytest.mark.parametrize("r", RHOS)
def test_both_ways_of_computing_meet(r: float) -> None:
    for h, k in np.random.default_rng(1).normal(-1, 2, size=(40, 2)):
        made = both_below(h, k, r)
        assert np.exp(log_both_below_in_tail(h, k, r)) == pytest.approx(made, rel=1e-11, abs=2e-15)


def test_known_values() -> None:
    for r in RHOS:  # Sheppard's quarter
        assert both_below(0.0, 0.0, r) == pytest.approx(0.25 + np.arcsin(r) / (2 * np.pi), abs=1e-15)
        assert both_below(0.4, 60.0, r) == pytest.approx(stats.norm.cdf(0.4), abs=1e-15)
        assert both_below(0.4, -60.0, r) == 0
    # unit variances, correlation 0.7, b = 1, a = -0.5: both missing
    at = np.array([-0.5, -0.5, 1.0, 1.0, 0.7, 1.0, 1.0])
    assert np.exp(two_signs(at, np.ones(2), "probit", "probit")[0]) == pytest.approx(0.182, abs=5e-4)
    assert np.exp(two_signs(at * [1, 1, 1, 1, 0, 1, 1], np.ones(2), "probit", "probit")[0]) == pytest.approx(
        0.131, abs=5e-4
    )


@pytest.mark.parametrize("r", [-1.0, -1 + 1e-12, -0.999, -0.5, 0.0, 0.5, 0.999, 1 - 1e-12, 1.0])
def test_far_thresholds_and_correlations_of_one_are_finite_and_ordered(r: float) -> None:
    thresholds = np.array([-30.0, -12.0, -1.0, 0.0, 1.0, 12.0, 30.0])
    values = np.array([[log_both_below(h, k, r) for k in thresholds] for h in thresholds])
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=0) >= -1e-14).all()
    np.testing.assert_allclose(values, values.T, rtol=1e-12)
    single = stats.norm.logcdf(thresholds)
    assert (values <= np.minimum(single[:, None], single) + 1e-12).all()
    if r == 1.0:
        np.testing.assert_allclose(values, np.minimum(single[:, None], single), rtol=1e-6, atol=1e-14)


# Two signs


@pytest.mark.parametrize("names", [("probit", "probit"), ("probit", "logit"), ("logit", "logit")], ids="+".join)
@pytest.mark.parametrize("sign", [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)])
def test_two_signs_equal_the_integral_of_two_links(names: tuple[str, str], sign: tuple[float, float]) -> None:
    links = [
        lambda z, s=s, name=name: (stats.norm.cdf if name == "probit" else expit)(s * z)
        for s, name in zip(sign, names, strict=True)
    ]
    for u, v, corr in [((0.3, -0.5), (1.0, 2.0), 0.7), ((-1.0, 1.0), (0.2, 0.5), -0.95), ((0.0, 2.0), (3.0, 0.0), 0.0)]:
        c = corr * np.sqrt(v[0] * v[1])
        value = two_signs(np.array([*u, *v, c, 1.0, 1.0]), np.array(sign), *names)[0]
        expected = signs_probability(np.array(u), np.array([[v[0], c], [c, v[1]]]), links)
        assert np.exp(value) == pytest.approx(expected, abs=1e-12 if names == ("probit", "probit") else 6e-9)


@pytest.mark.parametrize("names", [("probit", "probit"), ("probit", "logit"), ("logit", "logit")], ids="+".join)
@pytest.mark.parametrize(
    "at",
    [
        (0.3, -0.5, 1.0, 2.0, 0.9, 1.0, 0.8),
        (0.3, -0.5, 1.0, 2.0, 0.0, 1.0, 0.8),
        (2.0, -1.0, 20.0, 30.0, -23.0, 1.0, 0.3),
        (-9.0, -7.0, 1.0, 2.0, 1.2, 1.0, 0.8),
        (-30.0, 30.0, 0.5, 0.5, -0.3, 1.0, 1.0),
        (-5.0, -5.2, 300.0, 310.0, 304.0, 1.0, 1.0),
    ],
)
@pytest.mark.parametrize("sign", [(1.0, 1.0), (-1.0, 1.0)])
def test_derivatives_equal_finite_differences(names: tuple[str, str], at: tuple[float, ...], sign: tuple) -> None:
    point, signs = np.array(at), np.array(sign)
    slopes = two_signs(point, signs, *names)[1]
    for i, slope in enumerate(slopes):
        step = 1e-5 * np.eye(7)[i]
        numeric = (two_signs(point + step, signs, *names)[0] - two_signs(point - step, signs, *names)[0]) / 2e-5
        # values of a few hundred good to 1e-13 of themselves, over 2e-5
        assert slope == pytest.approx(numeric, rel=2e-6, abs=2e-6), i


# Draws


@pytest.mark.parametrize("r", [-0.99, -0.4, 0.0, 0.6, 0.999])
@pytest.mark.parametrize("shift", [2.0, 0.0, -4.0, -20.0])
def test_quantiles_invert_the_distribution_function(r: float, shift: float) -> None:
    rng = np.random.default_rng(3)
    h, k, uniform = rng.normal(shift, 1, 60), rng.normal(shift, 1, 60), rng.random(60)
    uniform[:2] = 1e-9, 1 - 1e-9
    x = quantile_given_below(uniform, h, k, np.full(60, r))
    assert (x < h).all()
    back = [log_both_below(a, b, r) - log_both_below(c, b, r) for a, b, c in zip(x, k, h, strict=True)]
    # rounding of x times the steepest slope of log Φ₂
    np.testing.assert_allclose(back, np.log(uniform), rtol=1e-8, atol=1e-9)


def test_log_density_equals_scipy() -> None:
    for h, k, r in [(0.3, -1.0, 0.5), (-4.0, 2.0, -0.9)]:
        assert log_density(h, k, r) == pytest.approx(stats.multivariate_normal(cov=[[1, r], [r, 1]]).logpdf([h, k]))


# More than two


@pytest.mark.parametrize(("d", "within"), [(3, 2e-5), (4, 1e-3), (5, 2e-2)])
def test_more_signs_equal_scipy(d: int, within: float) -> None:
    rng = np.random.default_rng(d)
    for _ in range(4):
        root, t, u = rng.normal(size=(d, d)), rng.uniform(0.3, 1.5, d), rng.normal(size=d)
        sign = rng.choice([-1.0, 1.0], d)
        value, g_u, g_C, g_t = all_signs(u, root @ root.T, t, sign)
        cov = np.outer(sign, sign) * (root @ root.T) + np.diag(t)
        expected = stats.multivariate_normal.cdf(sign * u, cov=cov, maxpts=1_000_000, abseps=1e-8, releps=1e-8, rng=1)
        assert np.exp(value) == pytest.approx(expected, rel=within)  # SciPy's own error is some 1e-5 of it
        for part in (g_u, g_C, g_t):
            assert np.isfinite(part).all()


def test_three_independent_signs_are_a_product_and_permutations_change_nothing() -> None:
    u, t, sign = np.array([0.3, -1.2, 0.8]), np.array([1.0, 0.6, 1.4]), np.array([1.0, 1.0, -1.0])
    value = all_signs(u, np.zeros((3, 3)), t, sign)[0]
    assert value == pytest.approx(stats.norm.logcdf(sign * u / np.sqrt(t)).sum(), abs=1e-10)
    C = np.array([[1.0, 0.5, -0.3], [0.5, 2.0, 0.6], [-0.3, 0.6, 0.7]])
    values = [all_signs(u[p], C[np.ix_(p, p)], t[p], sign[p])[0] for p in ([0, 1, 2], [2, 0, 1], [1, 2, 0])]
    np.testing.assert_allclose(values, values[0], atol=1e-6)


@pytest.mark.parametrize("shift", [-3.0, -30.0, 30.0])
def test_far_orthants_of_three_are_finite_and_smooth(shift: float) -> None:
    C, t, sign = np.array([[1.0, 0.5, -0.3], [0.5, 2.0, 0.6], [-0.3, 0.6, 0.7]]), np.ones(3), np.ones(3)
    u = shift + np.array([0.1, 0.0, -0.2])
    value, g_u, _, _ = all_signs(u, C, t, sign)
    assert np.isfinite(value)
    for i in range(3):
        step = 1e-5 * np.eye(3)[i]
        numeric = (all_signs(u + step, C, t, sign)[0] - all_signs(u - step, C, t, sign)[0]) / 2e-5
        assert g_u[i] == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def all_signs(u: np.ndarray, C: np.ndarray, t: np.ndarray, sign: np.ndarray) -> tuple:
    """Log P(all signs) and its derivatives in u, C and t."""
    g_u, g_C, g_t = np.empty(len(u)), np.zeros(C.shape), np.empty(len(u))
    return log_all_signs(u, C, t, sign, g_u, g_C, g_t), g_u, g_C, g_t
