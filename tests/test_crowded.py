"""Rows with too many correlated propensities: their unseen values are sampled, exactly as the model says."""

import warnings
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, log_ndtr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.normal.conditional import draw_unseen
from mnarkit.normal.crowded import crowded_loglik_and_gradient
from mnarkit.normal.joint import joint_propensities
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import pack, unpack
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.together import unit_loglik_together
from mnarkit.sample.scalars import place
from mnarkit.sample.target import Target
from mnarkit.spec.propensities import sampled_rows
from tests.test_factored_agree import agree

FIVE = tuple(f"y{k}" for k in range(5))


def table(n: int = 80, p: int = 5, seed: int = 3) -> pd.DataFrame:
    """Answers to p questions, each withheld more often the larger it is; in some rows all of them."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = 0.5 * x[:, None] + rng.normal(size=(n, 1)) + rng.normal(size=(n, p))
    y[rng.normal(size=(n, p)) < 0.7 * y - 0.2] = np.nan
    return pd.DataFrame(y, columns=[f"y{k}" for k in range(p)]).assign(x=x, z=z)


def spec_of(p: int = 5, link: Literal["probit", "logit"] = "probit") -> mk.Spec:
    names = [f"y{k}" for k in range(p)]
    beliefs = [mk.Selection(f"missing({c}) ~ {c} + z", link=link) for c in names]
    return mk.Spec(mk.MvNormal(*names, given="x"), *beliefs)


CASES = {
    "probit": (spec_of(), table()),
    "logit": (spec_of(3, "logit"), table(p=3)),
    "one logit": (
        mk.Spec(
            mk.MvNormal("y0", "y1", "y2", "y3", given="x"),
            mk.Selection("missing(y0) ~ y0 + y3 + z", link="logit"),
            mk.Selection("missing(y1) ~ y1 + y0"),
            mk.Heckman("recorded(y2) ~ x + z"),
        ),
        table(p=4),
    ),
    "by arm": (
        mk.Spec(
            mk.MvNormal(*FIVE, given="x + arm", by="arm"), *(mk.Selection(f"missing({c}) ~ {c} + arm") for c in FIVE)
        ),
        table().assign(arm=np.where(np.arange(80) % 2, "a", "b")),
    ),
}


def target_of(name: str) -> Target:
    target = Target.of(CASES[name][0], IncompleteData.of(CASES[name][1]))
    assert target is not None
    return target


def by_hand(target: Target, theta: np.ndarray) -> float:
    """Log f(y_o, r | e) of the sampled rows: one at a time, their unseen values written out as E[y_m | y_o] + L e."""
    values = target.values(theta)
    B, S, A, D, c, t = kernel_parameters(target.parameters(values), target.standard, target.rows)
    _, seen, group, start, sign, x, y, w, w_start, _, _, sizes, joint = target.rows.arrays
    e, total, at = target.by_name(values)["unseen_z"], 0.0, 0
    for g in np.flatnonzero((joint == 3).any(axis=1)):
        o, cov = np.flatnonzero(seen[g]), S[group[g]]
        m = np.flatnonzero((A[joint[g] == 3] != 0).any(axis=0) & (seen[g] == 0))
        gain = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
        root = np.linalg.cholesky(cov[np.ix_(m, m)] - gain @ cov[np.ix_(o, m)])
        for row in range(start[g], start[g + 1]):
            mean, full = B @ x[row], y[row].copy()
            total += stats.multivariate_normal(mean[o], cov[np.ix_(o, o)]).logpdf(y[row, o]) if len(o) else 0.0
            full[m] = mean[m] + gain @ (y[row, o] - mean[o]) + root @ e[at : at + len(m)]
            at += len(m)
            for k in np.flatnonzero(sign[g]):
                own = slice(w_start[k], w_start[k + 1])
                u = sign[g, k] * (A[k] @ full + D[k] @ x[row] + c[own] @ w[row, own]) / np.sqrt(t[k])
                total += np.log(expit(u)) if sizes[k] > 1 else log_ndtr(u)
    assert at == len(e)
    return total


def of_the_rest(target: Target, theta: np.ndarray) -> float:
    """Log priors, and the rows that are integrated, by kernels that have tests of their own."""
    rows, values = target.rows, target.values(theta)
    arguments = kernel_parameters(target.parameters(values), target.standard, rows)
    by_row = np.zeros(len(rows.arrays[5]))
    unit_loglik_together(*arguments, *rows.arrays[1:], by_row)
    sampled = np.repeat((rows.arrays[-1] == 3).any(axis=1), np.diff(rows.arrays[3]))
    kind, numbers, squash = target.scalars
    return place(theta, kind, numbers, squash, *np.empty((3, target.size))) + by_row[~sampled].sum()


@pytest.mark.parametrize("name", CASES)
def test_the_density_is_that_of_a_row_by_row_computation(name):
    target = target_of(name)
    assert target.by_name(np.zeros(target.size))["unseen_z"].size > 10
    for theta in 0.4 * np.random.default_rng(5).normal(size=(3, target.size)):
        expected = by_hand(target, theta) + of_the_rest(target, theta)
        # a logit as eight probits is good to 3e-9 of probabilities that are above 1e-3 in nearly all rows
        assert target(theta)[0] == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_central_differences(name):
    target = target_of(name)
    theta = 0.4 * np.random.default_rng(6).normal(size=target.size)
    _, gradient = target(theta)
    # a value of a few hundred, rounded to 1e-13, over 2e-5; curvature 1e-10 times the third derivative
    numeric = [(target(theta + h)[0] - target(theta - h)[0]) / 2e-5 for h in 1e-5 * np.eye(target.size)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=2e-5)


def test_the_average_over_the_deviations_is_the_probability_of_the_orthant():
    """SciPy's orthant of five propensities given what is seen, against 40,000 draws of e for that row."""
    spec, frame = CASES["probit"]
    frame = frame[frame[list(FIVE)].isna().all(axis=1)].head(1)
    rng = np.random.default_rng(2)
    B, root = rng.normal(size=(5, 2)), np.tril(rng.normal(size=(5, 5)) / 3) + np.eye(5)
    S, A, c = root @ root.T, np.diag(rng.normal(0.8, 0.2, 5)), rng.normal(size=10) / 2
    known = kernel_data_of(spec, frame)
    arguments = B, S[None], A, np.zeros((5, 2)), c, np.ones(5)
    values = [np.exp(crowded_loglik_and_gradient(*arguments, e, *known)[0]) for e in rng.normal(size=(40_000, 5))]
    _, _, _, _, sign, x, _, w, w_start, *_ = unpack(*known)
    u = A @ B @ x[0] + np.array([c[a:b] @ w[0, a:b] for a, b in pairwise(w_start)])
    turned = np.diag(sign[0])
    orthant = stats.multivariate_normal(cov=turned @ (A @ S @ A + np.eye(5)) @ turned, seed=1).cdf(sign[0] * u)
    assert abs(np.mean(values) - orthant) < 5 * np.std(values) / np.sqrt(len(values)) + 1e-5  # SciPy's own error


def kernel_data_of(spec: mk.Spec, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The sampled rows of a table, packed, in own units; predictors as in the table of the cases."""
    designs = designs_of(spec, IncompleteData.of(table()))
    crowd = kernel_data(lay_out(spec, IncompleteData.of(frame), designs), keep_empty_rows=True).crowd
    assert crowd is not None
    return pack(crowd)


@pytest.mark.parametrize("name", ["probit", "logit"])
def test_imputed_values_are_those_that_give_the_signs(name):
    """One row 4,000 times, against the mean and spread of weighted draws: within five Monte Carlo errors."""
    spec, frame = CASES[name]
    names = list(spec.model.columns)
    row = frame[frame[names].isna().all(axis=1)].iloc[[0] * 4000].reset_index(drop=True)
    designs = designs_of(spec, IncompleteData.of(frame))
    layout = lay_out(spec, IncompleteData.of(row), designs)
    rows, p = kernel_data(layout, keep_empty_rows=True, products=False), len(names)
    rng = np.random.default_rng(4)
    root = np.tril(rng.normal(size=(p, p)) / 3) + np.eye(p)
    coef, betas = 0.3 * rng.normal(size=(p, 2)), [rng.normal([0.3, 0.3, 0.9], 0.1) for _ in range(p)]
    par = Parameters(coef, root @ root.T, betas, [None] * p, [])
    made = draw_unseen(kernel_parameters(par, layout, rows), rows, layout.y, rng)
    x, z = layout.x[0], float(row["z"].iloc[0])
    free = coef @ x + rng.normal(size=(400_000, p)) @ root.T
    at = [betas[k][0] + betas[k][1] * z + betas[k][2] * free[:, k] for k in range(p)]
    weight = np.prod([expit(u) if name == "logit" else np.exp(log_ndtr(u)) for u in at], axis=0)
    weight /= weight.sum()
    assert (weight**2).sum() < 1 / 30_000  # so many draws in effect: their errors are a third of the others
    for power in (1, 2):
        expected = weight @ free**power
        spread = np.sqrt(weight @ (free**power - expected) ** 2 * (1 / 4000 + (weight**2).sum()))
        assert np.all(np.abs((made**power).mean(axis=0) - expected) < 5 * spread)
    cov = np.cov(free.T, aweights=weight)
    size = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    # a covariance over 4,000 draws has an error of at most √2 / √4000 of the sds, its peer a third of that
    assert np.all(np.abs(np.cov(made.T) - cov) < 5 * 1.5 * size / np.sqrt(4000))


def test_the_summary_and_the_plan_say_what_is_sampled_instead():
    spec, frame = CASES["logit"]
    said = str(mk.plan(spec, frame))
    count = sampled_rows(spec, IncompleteData.of(frame))
    assert f"in {count} too many for that, whose unseen values are sampled beside the parameters" in said
    assert f"latent    {count} rows: unseen values that too many indicators read" in said


def test_what_needs_the_joint_probability_is_refused_in_one_line():
    spec, frame = CASES["logit"]
    for call in (mk.em, partial(mk.isni, coefficient="missing(y0) ~ y0")):
        with pytest.raises(
            mk.errors.SpecError, match=r"rows have unseen values in more .* maximum likelihood .* as ign"
        ):
            call(spec, frame)


def test_a_fit_is_drawn_imputed_and_diagnosed():
    spec, frame = CASES["logit"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mk.sample(spec, frame, draws=200, tune=200, chains=2, seed=1, progress=False)
        found = mk.diagnose(fit)
    with pytest.raises(mk.errors.SpecError, match=r"samples those values, mk\.loo would need their joint probability"):
        mk.loo({"one": fit, "two": fit})
    assert "unseen_z" not in fit.draws["posterior"]
    assert "log_likelihood" not in fit.draws.children
    assert "missing_y0" in str(found)
    imputed = mk.impute(fit, m=3, seed=1)
    assert not imputed[0][["y0", "y1", "y2"]].isna().to_numpy().any()


@pytest.mark.slow
def test_sampled_and_integrated_values_have_the_same_posterior(monkeypatch):
    """Two correlated propensities in closed form, and the same rows as if they were too many."""
    spec, frame = spec_of(2), table(150, 2)
    settings = {"draws": 2000, "tune": 1000, "chains": 2, "progress": False}
    fits = []
    for most in (3, 1):
        monkeypatch.setitem(kernel_data.__kwdefaults__, "most", most)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.append(mk.sample(spec, frame, seed=most, **settings))
    assert ["log_likelihood" in f.draws.children for f in fits] == [True, False]
    one, two = ({k: v.values for k, v in f.draws["posterior"].data_vars.items()} for f in fits)
    agree(one, two)


def test_a_row_with_a_limit_among_many_is_integrated():
    """A value within limits has no freedom to be sampled; rectangles take any links."""
    none, logit, limit = np.zeros(3, bool), np.array([True, False, False]), np.array([False, False, True])
    pattern = np.eye(3, dtype=bool), np.ones((1, 3)), np.zeros((1, 3))
    np.testing.assert_array_equal(joint_propensities(*pattern, (none, logit, none), 3), [[3, 3, 3]])
    np.testing.assert_array_equal(joint_propensities(*pattern, (none, logit, limit), 3), [[1, 1, 1]])
