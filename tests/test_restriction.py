"""Identifying restrictions on monotone patterns: donors, exact posteriors, and that ACMV is MAR."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.normal.restriction import compose, draw_regression, regressions_of
from mnarkit.spec import files
from tests.test_impute import one_line, values

WAVES = ("w1", "w2", "w3", "w4")
MODEL = mk.MvNormal(*WAVES, given="arm + base")


def trial(n: int = 400, seed: int = 4, selection: float = 0.0) -> pd.DataFrame:
    """Monotone dropout that depends on the last value seen, and by `selection` on the value that is not."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(n) < 0.5, "drug", "control")
    base = rng.normal(size=n)
    y = np.zeros((n, 4))
    y[:, 0] = 10 + base + rng.normal(size=n)
    for t in range(1, 4):
        y[:, t] = 2 + 0.8 * y[:, t - 1] + 0.5 * (arm == "drug") + rng.normal(size=n)
    frame = pd.DataFrame(y, columns=list(WAVES)).assign(arm=arm, base=base)
    gone = np.zeros(n, dtype=bool)
    for t in range(1, 4):
        z = 0.4 * (y[:, t - 1] - 10) + selection * (y[:, t] - 10)
        gone |= z + rng.normal(size=n) > 1.2
        frame.loc[gone, WAVES[t]] = np.nan
    return frame


DATA = trial()


def spec_of(name: str, *more: object, sparse: str = "refuse") -> mk.Spec:
    return mk.Spec(MODEL, mk.PatternMixture(mk.Restriction(name, sparse=sparse), *more))


def design(frame: pd.DataFrame) -> np.ndarray:
    return np.column_stack([np.ones(len(frame)), frame["arm"] == "drug", frame["base"]]).astype(float)


DONORS = {"CCMV": lambda n, s: n == 4, "NCMV": lambda n, s: n == s + 1, "ACMV": lambda n, s: n > s}


def by_hand(name: str, frame: pd.DataFrame) -> np.ndarray:
    """E[unseen | seen] at the least-squares estimates of the donors' regressions, wave after wave."""
    y, x = frame[list(WAVES)].to_numpy(copy=True), design(frame)
    n = (~np.isnan(y)).sum(axis=1)
    for s in range(4):
        if not (n <= s).any():
            continue
        donors = DONORS[name](n, s)
        beta = np.linalg.lstsq(np.hstack([x, y[:, :s]])[donors], y[donors, s])[0]
        y[n <= s, s] = np.hstack([x, y[:, :s]])[n <= s] @ beta
    return y


@pytest.mark.parametrize("name", ["CCMV", "NCMV", "ACMV"])
def test_imputations_are_those_of_the_donors_regressions(name: str) -> None:
    fit = mk.sample(spec_of(name), DATA, draws=250, chains=4, seed=1, progress=False)
    imps = mk.impute(fit, m=1000, seed=2)
    expected = by_hand(name, DATA)
    for s, wave in enumerate(WAVES[1:], start=1):
        holes = DATA[wave].isna().to_numpy()
        drawn = values(imps, wave)[:, holes].mean(axis=1)  # of each imputation, the mean of the holes
        error = drawn.std(ddof=1) / np.sqrt(len(drawn))
        # posterior means of coefficients are the estimates; products of coefficients of independent waves too
        assert abs(drawn.mean() - expected[holes, s].mean()) < 5 * error, wave


def test_restrictions_differ_where_dropout_depends_on_the_unseen() -> None:
    frame = trial(2000, selection=0.5)
    means = {name: by_hand(name, frame)[:, 3].mean() for name in DONORS}
    assert abs(means["CCMV"] - means["NCMV"]) > 0.1


# ACMV is MAR


def test_acmv_is_the_mar_maximum_likelihood_exactly() -> None:
    """On monotone patterns the MAR likelihood factors into the regressions on the available cases."""
    fits, _ = regressions_of(spec_of("ACMV"), IncompleteData.of(DATA))
    variances = [np.array([fit.rss / (fit.df + len(fit.coef))]) for fit in fits]
    coef, cov = compose([fit.coef[None, :] for fit in fits], variances, 3)
    mar = mk.em(mk.Spec(MODEL), DATA, tol=1e-12)
    np.testing.assert_allclose(coef[0], mar.coef, atol=1e-6)  # EM stops when steps are small
    np.testing.assert_allclose(cov[0], mar.cov, atol=1e-6)


def test_acmv_imputations_are_those_of_mar() -> None:
    fit = mk.sample(spec_of("ACMV"), DATA, draws=250, chains=4, seed=1, progress=False)
    pooled = mk.pool(mk.analyze(mk.impute(fit, m=500, seed=2), "w4 ~ arm + base")).to_frame().set_index("term")
    mar = mk.em(mk.Spec(MODEL), DATA).project("w4 ~ arm + base").set_index("term")
    error = np.sqrt(pooled["between"] / 500)
    assert (np.abs(pooled["estimate"] - mar["estimate"]) < 5 * error).all()
    np.testing.assert_allclose(pooled["std_error"], mar["std_error"], rtol=0.12)  # Bayes with few df, Rubin: near


def test_weights_of_patterns_give_the_conditional_of_all_available_cases() -> None:
    """Saturated: binary waves, Σ_j α_j f_j(y_1 … y_s) / Σ_j α_j f_j(y_1 … y_s-1) over j ≥ s is a pooled frequency."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, (600, 3))
    n = 1 + (rng.random(600) < 0.4 + 0.4 * y[:, 0]) + (rng.random(600) < 0.3 + 0.5 * y[:, 1])
    n = np.minimum(n, 3)
    for first in (0, 1):
        mixed = weights = 0.0
        for j in (2, 3):  # patterns in which the second wave is seen
            pattern = y[n == j]
            share, at = len(pattern) / len(y), pattern[:, 0] == first
            weight = share * at.mean()  # α_j f_j(y_1)
            mixed += weight * pattern[at, 1].mean()
            weights += weight
        pooled = y[(n >= 2) & (y[:, 0] == first), 1].mean()
        assert mixed / weights == pytest.approx(pooled, abs=1e-14)


def test_second_moments_of_patterns_average_to_the_pooled_regression() -> None:
    """The moments of y_1, y_2 by pattern, averaged over the patterns' shares, have the available cases' regression."""
    y = DATA[["w1", "w2"]].to_numpy()
    n = DATA[list(WAVES)].notna().sum(axis=1).to_numpy()
    mean, second, share = np.zeros(2), np.zeros((2, 2)), (n >= 2).sum()
    for j in (2, 3, 4):
        pattern = y[n == j]
        mean += len(pattern) / share * pattern.mean(axis=0)
        second += len(pattern) / share * (pattern.T @ pattern / len(pattern))
    cov = second - np.outer(mean, mean)
    slope = np.polyfit(y[n >= 2, 0], y[n >= 2, 1], 1)[0]
    assert cov[0, 1] / cov[0, 0] == pytest.approx(slope, rel=1e-10)


# The posterior


def test_draws_have_the_known_posterior() -> None:
    fits, _ = regressions_of(spec_of("NCMV"), IncompleteData.of(DATA))
    fit, size = fits[2], 20_000
    coef, variance = draw_regression(fit, size, np.random.default_rng(1))
    assert stats.kstest(fit.rss / variance, stats.chi2(fit.df).cdf).pvalue > 1e-4
    scale = np.sqrt(fit.rss / fit.df * np.diag(fit.root @ fit.root.T))
    for k in range(len(fit.coef)):
        assert stats.kstest((coef[:, k] - fit.coef[k]) / scale[k], stats.t(fit.df).cdf).pvalue > 1e-4


def test_the_composed_normal_has_the_regressions_as_its_conditionals() -> None:
    rng = np.random.default_rng(5)
    coefs = [rng.normal(size=(1, 2 + s)) for s in range(4)]
    variances = [rng.uniform(0.5, 2, 1) for _ in range(4)]
    coef, cov = (a[0] for a in compose(coefs, variances, 2))
    for s in range(1, 4):
        slope = np.linalg.solve(cov[:s, :s], cov[:s, s])
        np.testing.assert_allclose(slope, coefs[s][0, 2:], atol=1e-10)
        assert cov[s, s] - slope @ cov[:s, s] == pytest.approx(variances[s][0], rel=1e-9)
        np.testing.assert_allclose(coef[s] - slope @ coef[:s], coefs[s][0, :2], atol=1e-10)


def test_draws_depend_on_the_seed_alone_and_are_saved(tmp_path) -> None:
    spec = spec_of("CCMV", mk.Shift("w4", mk.Prior("normal", -1, 0.5), unit="sd"))
    fit = mk.sample(spec, DATA, draws=50, chains=2, seed=1, progress=False)
    other = mk.sample(spec, DATA, draws=50, chains=2, seed=1, cores=1, progress=False)
    assert fit.draws["posterior"].to_dataset().identical(other.draws["posterior"].to_dataset())
    assert fit.draws["posterior"]["shift_w4"].values.std() == pytest.approx(0.5, rel=0.4)
    again = mk.load_fit(fit.save(tmp_path))
    assert again.spec == spec
    pd.testing.assert_frame_equal(mk.impute(again, 1, seed=1)[0], mk.impute(fit, 1, seed=1)[0])


# Sparse donors, and what is refused


def few_neighbours() -> pd.DataFrame:
    """Three rows leave after w2."""
    frame = DATA.copy()
    rows = frame.index[frame["w2"].notna() & frame["w3"].isna()]
    return frame.drop(rows[3:]).reset_index(drop=True)


def test_sparse_donors_are_refused_or_joined_by_the_nearest() -> None:
    frame = few_neighbours()
    with pytest.raises(
        SpecError, match=r"takes 'w2' from the rows seen up to 'w2': there are 3, and its regression needs 7; .*nearest"
    ) as caught:
        mk.sample(spec_of("NCMV"), frame, seed=1, progress=False)
    assert one_line(caught)
    fit = mk.sample(spec_of("NCMV", sparse="nearest"), frame, draws=50, chains=1, seed=1, progress=False)
    more = int((frame[list(WAVES)].notna().sum(axis=1) == 3).sum())
    assert f"'w2' has 3 donors for 7: seen up to 'w3' ({more}) added" in fit.notes
    assert any("holes of 'w2' from" in note for note in fit.notes)


def test_no_donor_at_all() -> None:
    frame = DATA[DATA["w4"].isna()].reset_index(drop=True)
    frame.loc[:4, list(WAVES)] = [[10.0, 11, 12, 13], [9, 8, 7, 7], [8, 9, 9, 8], [7, 9, 9, 9], [6, 6, 7, 5]]
    with pytest.raises(SpecError, match=r"from the rows seen at all waves: there are 5, and its regression needs 7"):
        mk.sample(spec_of("CCMV"), frame, seed=1, progress=False)


REFUSED = {
    "name": (lambda: mk.Restriction("MAR"), "a Restriction is one of 'CCMV', 'NCMV', 'ACMV', not 'MAR'"),
    "sparse": (lambda: mk.Restriction("CCMV", sparse="all"), "sparse= is 'refuse' or 'nearest'"),
    "two": (lambda: mk.PatternMixture(mk.Restriction("CCMV"), mk.Restriction("NCMV")), "has 2 restrictions; keep one"),
    "model": (
        lambda: mk.Spec(mk.Regression("y ~ x"), mk.PatternMixture(mk.Restriction("CCMV"))),
        "so the data model is MvNormal of the waves in their order",
    ),
    "priors": (
        lambda: mk.Spec(
            mk.MvNormal("y", "z", priors={"corr": mk.Prior("lkj", 2)}), mk.PatternMixture(mk.Restriction("CCMV"))
        ),
        "with covariance='UN' and without priors=",
    ),
    "amount inside": (
        lambda: spec_of("CCMV", mk.Shift("w4", 1, unit="sd", of="model")),
        "and Shift w4 .* says it otherwise; keep one, or give amounts with of='prediction'",
    ),
    "selection": (
        lambda: mk.Spec(MODEL, mk.PatternMixture(mk.Restriction("CCMV")), mk.Selection("missing(w4) ~ w4")),
        "and Selection .* says it otherwise",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_restrictions_that_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(SpecError, match=message) as caught:
        make()
    assert one_line(caught)


def test_holes_that_are_not_monotone_are_counted() -> None:
    frame = DATA.copy()
    frame.loc[[5, 9], "w1"] = np.nan
    frame.loc[[5, 9], "w2"] = 10.0
    with pytest.raises(SpecError, match=r"2 of 400 rows have a hole before a recorded value \(the first is row 5\)"):
        mk.sample(spec_of("CCMV"), frame, seed=1, progress=False)
    fit = mk.sample(spec_of("CCMV"), DATA, draws=20, chains=1, seed=1, progress=False)
    with pytest.raises(SpecError, match="2 of 400 rows have a hole before"):
        mk.impute(fit, 1, seed=1, data=frame)


def test_where_a_restriction_goes_instead() -> None:
    with pytest.raises(SpecError, match=r"no one likelihood to maximise; mk.sample\(spec, df\) draws"):
        mk.em(spec_of("NCMV"), DATA)
    with pytest.raises(SpecError, match=r"is drawn exactly by mk\.sample"):
        mk.build(spec_of("NCMV"), DATA)
    fit = mk.sample(spec_of("ACMV"), DATA, draws=20, chains=1, seed=1, progress=False)
    with pytest.raises(SpecError, match=r"is a fit of its own; make it with mk.sample\(spec.under"):
        mk.impute(fit, 1, under=mk.PatternMixture(mk.Restriction("NCMV")))


def test_printing_and_round_trip() -> None:
    spec = spec_of("NCMV", mk.Shift(("w3", "w4"), -1, unit="raw"), sparse="nearest")
    text = str(spec)
    assert "is distributed as among the neighbouring cases, the rows that leave right after that wave" in text
    assert "unseen values differ from what the restriction predicts by exactly: Shift w3, w4 by -1 raw" in text
    assert files.from_yaml(spec.to_yaml()) == spec == files.from_json(spec.to_json())
