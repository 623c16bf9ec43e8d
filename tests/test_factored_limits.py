"""Limits of columns of any family: the probability of an interval by SciPy, alone and beside a selection."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.factored.check import check_factored
from mnarkit.factored.draw import draw_unseen
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.factored.likelihood import unit_loglik
from mnarkit.factored.posterior import posterior_of
from tests.test_curved import FAMILIES, MIDDLE, TABLE, place, point, quad, regression_of
from tests.test_factored import scipy_logpdf

LIMITED = ("negative_binomial", *FAMILIES)


def censored(family: str) -> pd.DataFrame:
    """Of the holes, a third lie below a limit, a third above one, and of the rest every other one between two."""
    frame = TABLE.assign(negative_binomial=TABLE["poisson"])
    holes = np.flatnonzero(frame[family].isna())
    c = MIDDLE.get(family, MIDDLE["poisson"])
    low, high = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    high[holes[::3]], low[holes[1::3]] = c, 0.8 * c
    low[holes[2::6]], high[holes[2::6]] = (1.0, 3.0) if family in ("poisson", "negative_binomial") else (0.9 * c, c)
    return frame.assign(low=low, high=high)


def distribution(family: str, eta: float, par: dict):
    """The family at η, frozen, of SciPy."""
    p = {name.removesuffix(f"_{family}"): v for name, v in par.items()}
    match family:
        case "normal":
            return stats.norm(eta, p["sd"])
        case "student_t":
            return stats.t(p["df"], eta, p["scale"])
        case "skew_normal":
            unit = stats.skewnorm(p["skew"])
            scale = p["sd"] / unit.std()
            return stats.skewnorm(p["skew"], eta - scale * unit.mean(), scale)
        case "lognormal":
            return stats.lognorm(p["sd"], scale=np.exp(eta))
        case "gamma":
            return stats.gamma(p["cv"] ** -2, scale=np.exp(eta) * p["cv"] ** 2)
        case "beta":
            precision, mean = p["spread"] ** -2 - 1, special.expit(eta)
            return stats.beta(precision * mean, precision * (1 - mean), scale=1.2)
        case "poisson":
            return stats.poisson(np.exp(eta))
    size = p["cv"] ** -2
    return stats.nbinom(size, size / (size + np.exp(eta)))


def between(given, low: float, high: float, *, counts: bool) -> float:
    """P(low ≤ y ≤ high); nothing is known where both are NaN."""
    below = np.ceil(low) - 1 if counts else low
    upper = 1.0 if np.isnan(high) else given.cdf(high)
    return float(upper - (0.0 if np.isnan(low) else given.cdf(below)))


def laid_out(spec: mk.Spec, frame: pd.DataFrame):
    data = IncompleteData.of(frame)
    check_factored(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    return layout, posterior_of(spec, layout)


@pytest.mark.parametrize("family", [f for f in LIMITED if f != "normal"])
def test_the_likelihood_has_the_probability_of_the_interval(family):
    frame, counts = censored(family), family in ("poisson", "negative_binomial")
    own = regression_of(family)
    bounds = (0, 60) if counts else own.bounds
    spec = mk.Spec(mk.Regression(own.formula, family=family, bounds=bounds), mk.Limits(family, low="low", high="high"))
    layout, target = laid_out(spec, frame)
    theta = point(target, 1)
    par = target.own(theta)
    expected = []
    for _, row in frame.iterrows():
        eta = par[f"coef_{family}"] @ [1, row["x"]]
        if not pd.isna(row[family]):
            expected.append(scipy_logpdf(family, row[family], eta, par))
            continue
        given = distribution(family, eta, par)
        expected.append(np.log(between(given, row["low"], row["high"], counts=counts)))
    # fixed points: 1e-5 of a probability where the density is smooth, 1e-4 far from where it lies
    np.testing.assert_allclose(unit_loglik(layout, par), expected, atol=2e-4)
    assert np.median(np.abs(unit_loglik(layout, par) - expected)) < 1e-6
    assert not layout.roles.latent.any()
    numeric = [(target(theta + e)[0] - target(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(target.size)]
    np.testing.assert_allclose(target(theta)[1], numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gamma", "normal"])
def test_a_cell_with_limits_counts_as_recorded_for_a_selection(family):
    frame, c = censored(family), MIDDLE[family]
    belief = mk.Selection(f"missing({family}) ~ above({family}, {c}) + z")
    spec = mk.Spec(mk.Regressions(regression_of(family)), belief, mk.Limits(family, low="low", high="high"))
    layout, target = laid_out(spec, frame)
    par = target.own(point(target, 3))
    found = unit_loglik(layout, par)
    for i in np.flatnonzero(frame[family].isna()):
        row = frame.iloc[i]
        eta = par[f"coef_{family}"] @ [1, row["x"]]
        measured = not (pd.isna(row["low"]) and pd.isna(row["high"]))

        def density(v: float, row=row, eta=eta, sign=-1.0 if measured else 1.0) -> float:
            at = par[f"missing_{family}"] @ [1, float(v > c), row["z"]]
            return np.exp(scipy_logpdf(family, v, eta, par) + stats.norm.logcdf(sign * at))

        ends = -np.inf if pd.isna(row["low"]) else row["low"], np.inf if pd.isna(row["high"]) else row["high"]
        middle, width = place(family, eta, par)
        assert found[i] == pytest.approx(np.log(quad(density, family, [c], middle, width, ends)), abs=2e-5)


def test_a_limited_covariate_is_integrated_with_what_it_explains():
    frame = censored("gamma").assign(y=np.cos(np.arange(len(TABLE))))
    model = mk.Regressions(mk.Regression("y ~ log(gamma)"), regression_of("gamma"))
    layout, target = laid_out(mk.Spec(model, mk.Limits("gamma", low="low", high="high")), frame)
    theta = point(target, 4)
    par = target.own(theta)
    cells, expected = dict(zip(layout.latent[0], par["gamma_missing"], strict=True)), 0.0
    for i, row in frame.reset_index(drop=True).iterrows():
        eta = par["coef_gamma"] @ [1, row["x"]]

        def density(v: float, row=row, eta=eta) -> float:
            own = scipy_logpdf("gamma", v, eta, par)
            return np.exp(own + stats.norm.logpdf(row["y"], par["coef_y"] @ [1, np.log(v)], par["sd_y"]))

        known = row["gamma"] if not pd.isna(row["gamma"]) else cells.get(i)
        if known is not None:
            expected += np.log(density(known))
            continue
        ends = -np.inf if pd.isna(row["low"]) else row["low"], np.inf if pd.isna(row["high"]) else row["high"]
        expected += np.log(quad(density, "gamma", [], *place("gamma", eta, par), ends))
    assert target(theta)[0] - target.values(theta)[1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["student_t", "gamma", "beta", "poisson"])
def test_imputed_values_have_the_distribution_within_their_limits(family):
    counts = family == "poisson"
    frame = censored(family)
    known = np.flatnonzero(frame[family].isna() & (frame["low"].notna() | frame["high"].notna()))[:6]
    again = pd.concat([frame, *[frame.iloc[[i]] for i in known for _ in range(200)]], ignore_index=True)
    layout, target = laid_out(mk.Spec(regression_of(family), mk.Limits(family, low="low", high="high")), again)
    par = target.own(point(target, 2))
    drawn = draw_unseen(layout, par, [np.zeros(0)], np.random.default_rng(6))[0][len(frame) :, 0].reshape(6, 200)
    places, spread = [], np.random.default_rng(7)
    for i, values in zip(known, drawn, strict=True):
        row = frame.iloc[i]
        low, high = row["low"], row["high"]
        assert np.isnan(low) or values.min() >= low
        assert np.isnan(high) or values.max() <= high
        given = distribution(family, par[f"coef_{family}"] @ [1, row["x"]], par)
        whole = between(given, low, high, counts=counts)
        start = 0.0 if np.isnan(low) else given.cdf(np.ceil(low) - 1 if counts else low)
        upper = given.cdf(values)
        lower = given.cdf(values - 1) if counts else upper
        places.append((lower + spread.random(200) * (upper - lower) - start) / whole)
    # 1,200 values of which each would be uniform; the bound is that of a p of 0.001
    assert stats.kstest(np.concatenate(places), "uniform").pvalue > 0.001


def test_imputations_keep_recorded_values_and_late_shifts_leave_limited_cells():
    frame = censored("gamma")
    spec = mk.Spec(regression_of("gamma"), mk.Limits("gamma", low="low", high="high"))
    with pytest.warns(mk.errors.ConvergenceWarning):  # few draws, on purpose
        fit = mk.sample(spec, frame, draws=20, tune=60, chains=2, seed=1, progress=False)
    assert any("holes of gamma are known up to limits" in note for note in fit.notes)
    plain, moved = (
        mk.impute(fit, m=3, seed=2, under=under)
        for under in (None, mk.PatternMixture(mk.Shift("gamma", 1.0, unit="raw")))
    )
    holes = frame["gamma"].isna()
    limited = (frame["low"].notna() | frame["high"].notna())[holes].to_numpy()
    by = moved.cells["gamma"] - plain.cells["gamma"]
    np.testing.assert_allclose(by, np.broadcast_to(np.where(limited, 0.0, 1.0), by.shape), atol=1e-12)
    low, high = frame.loc[holes, "low"].to_numpy(), frame.loc[holes, "high"].to_numpy()
    assert np.all((plain.cells["gamma"] >= low) | np.isnan(low))
    assert np.all((plain.cells["gamma"] <= high) | np.isnan(high))
    done = plain[0]
    assert (done.loc[~holes, "gamma"] == frame.loc[~holes, "gamma"]).all()


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        (mk.Spec(mk.Regression("arm ~ x", "bernoulli"), mk.Limits("arm", high=1)), SpecError, "limits are of numbers"),
        (mk.Spec(regression_of("gamma"), mk.Limits("gamma", high=0)), DataError, r"gamma has no value; .* 0 and inf"),
        (mk.Spec(regression_of("poisson"), mk.Limits("poisson", low=0.2, high=0.8)), DataError, "poisson has no value"),
        (mk.Spec(mk.Regression("x ~ z", "student_t"), mk.Limits("x", high=0)), SpecError, "has no holes"),
    ],
    ids=range(4),
)
def test_what_cannot_be_is_refused_with_one_line(spec, kind, message):
    with pytest.raises(kind, match=message) as caught:
        laid_out(spec, TABLE)
    assert "\n" not in str(caught.value)


def test_a_normal_column_gives_what_the_joint_model_gives():
    frame = censored("normal")
    limits = mk.Limits("normal", low="low", high="high")
    fit = mk.em(mk.Spec(mk.Regression("normal ~ x"), limits), frame)
    layout, _ = laid_out(mk.Spec(mk.Regressions(mk.Regression("normal ~ x")), limits), frame)
    given = fit.params
    par = {"coef_normal": given.iloc[:2].to_numpy(), "sd_normal": float(np.sqrt(given["var(normal)"]))}
    assert unit_loglik(layout, par).sum() == pytest.approx(fit.loglik, abs=1e-4)


def test_narrow_intervals_are_their_width_times_the_density():
    frame = TABLE.assign(low=np.where(TABLE["gamma"].isna(), 2.0, np.nan))
    frame["high"] = frame["low"] + 1e-6
    layout, target = laid_out(mk.Spec(regression_of("gamma"), mk.Limits("gamma", low="low", high="high")), frame)
    par = target.own(point(target, 5))
    holes = np.flatnonzero(frame["gamma"].isna())
    eta = np.column_stack([np.ones(len(holes)), frame["x"].to_numpy()[holes]]) @ par["coef_gamma"]
    expected = [scipy_logpdf("gamma", 2.0, e, par) + np.log(1e-6) for e in eta]
    np.testing.assert_allclose(unit_loglik(layout, par)[holes], expected, atol=1e-5)
