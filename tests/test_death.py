"""Death as a reason of its own, and holes before leaving with a model beside dropout."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.em.objective import Objective
from mnarkit.errors import MnarkitError
from mnarkit.normal.hazard import leaving_wave

NAN = np.nan
WAVES = ("w0", "w1", "w2", "w3")


def trial(n: int = 300, seed: int = 5) -> pd.DataFrame:
    """Four waves; some leave by their values, some die, some lack a wave between."""
    rng = np.random.default_rng(seed)
    cov = 0.5 + 0.5 * np.eye(4)
    y = rng.multivariate_normal([0, 0.2, 0.4, 0.6], cov, n)
    frame = pd.DataFrame(y, columns=list(WAVES))
    death = np.where(rng.random(n) < 0.15, rng.integers(1, 4, n), 4)
    left = np.full(n, 4)
    for t in range(3, 0, -1):
        left = np.where(-1.6 + 0.6 * y[:, t] + rng.normal(size=n) > 0, t, left)
    for t, wave in enumerate(WAVES):
        frame.loc[(left <= t) | (death <= t), wave] = NAN
    gap = (rng.random(n) < 0.1) & frame["w2"].notna()
    frame.loc[gap, "w1"] = NAN
    names = np.array([*WAVES, ""], dtype=object)
    return frame.assign(died=names[death], x=rng.normal(size=n), arm=np.where(np.arange(n) % 3, "drug", "placebo"))


TABLE = trial()
MODEL = mk.MvNormal(*WAVES)
DEATH = mk.Dropout("current", waves=WAVES, death="died")
SPEC = mk.Spec(MODEL, DEATH)


@pytest.mark.parametrize(
    ("seen", "death", "left"),
    [
        ([1, 1, 1, 1], 4, 4),
        ([1, 1, 0, 0], 4, 2),
        ([1, 1, 0, 0], 2, 4),  # there until death
        ([1, 0, 0, 0], 3, 1),  # left, and died later
        ([1, 0, 1, 0], 3, 4),
        ([0, 0, 0, 0], 0, 4),
        ([0, 0, 0, 0], 4, 0),
    ],
)
def test_who_dies_has_not_left(seen: list[int], death: int, left: int) -> None:
    assert leaving_wave(np.array([seen], dtype=bool), np.array([death]))[0] == left


def loglik_by_hand(spec: mk.Spec, table: pd.DataFrame, fit: mk.EMFit) -> float:
    """Log f(y_seen, r) row by row: hazards at risk alone, what they read of the unseen as a normal probability."""
    p, total = fit.params, 0.0
    for _, row in table.iterrows():
        y = row[list(WAVES)].to_numpy(float)
        death = WAVES.index(row["died"]) if row["died"] else 4
        o, m = np.flatnonzero(~np.isnan(y)), np.flatnonzero(np.isnan(y))
        mean = fit.coef[:, 0]
        gain = fit.cov[np.ix_(m, o)] @ np.linalg.inv(fit.cov[np.ix_(o, o)])
        full, rest = y.copy(), fit.cov[np.ix_(m, m)] - gain @ fit.cov[np.ix_(o, m)]
        full[m] = mean[m] + gain @ (y[o] - mean[o])
        if len(o):
            total += stats.multivariate_normal(mean[o], fit.cov[np.ix_(o, o)]).logpdf(y[o])
        last = o.max(initial=-1) + 1
        signs, u, a = [], [], []

        def slope(name: str, arm: str = str(row["arm"])) -> float:
            return p.get(name, 0.0) + p.get(f"{name}:arm[{arm}]", 0.0)

        for t in range(1, 4):
            if t < death and t <= last:
                signs.append(1 if t == last else -1)
                u.append(p[f"dropout ~ Intercept[{WAVES[t]}]"] + slope("dropout ~ current") * full[t])
                a.append(np.eye(4)[t] * slope("dropout ~ current"))
        for belief in spec.missingness[1:]:
            t = WAVES.index(belief.columns[0])
            if t < min(last, death):
                signs.append(1 if np.isnan(y[t]) else -1)
                name = f"missing({belief.columns[0]})"
                u.append(p[f"{name} ~ Intercept"] + slope(f"{name} ~ {WAVES[t]}") * full[t])
                a.append(np.eye(4)[t] * slope(f"{name} ~ {WAVES[t]}"))
        if signs:
            sign, slopes = np.array(signs), np.array(a)[:, m]
            var = slopes @ rest @ slopes.T + np.eye(len(sign))
            total += stats.multivariate_normal(np.zeros(len(sign)), np.outer(sign, sign) * var).logcdf(sign * u)
    return total


BESIDE = mk.Spec(MODEL, DEATH, mk.Selection("missing(w1) ~ w1"))
BY_ARM = mk.Spec(MODEL, mk.Dropout("current:arm", waves=WAVES, death="died"), mk.Selection("missing(w1) ~ w1:arm"))


@pytest.mark.parametrize("spec", [SPEC, BESIDE, BY_ARM], ids=["death", "a selection beside", "slopes by arm"])
def test_the_likelihood_is_that_of_rows_at_risk(spec: mk.Spec) -> None:
    fit = mk.em(spec, TABLE, progress=False)
    # SciPy's orthants of three are good to 1e-5 a row
    assert fit.loglik == pytest.approx(loglik_by_hand(spec, TABLE, fit), abs=1e-3)
    objective = Objective.of(spec, IncompleteData.of(TABLE))
    theta = 0.2 * np.random.default_rng(1).normal(size=objective.size)
    step = 1e-6 * np.eye(objective.size)
    numeric = [(objective.loglik(theta + e) - objective.loglik(theta - e)) / 2e-6 for e in step]
    np.testing.assert_allclose(objective.loglik_and_gradient(theta)[1], numeric, atol=1e-5)


def test_values_after_death_do_not_move_the_likelihood() -> None:
    """Cells after death are integrated out: the fit is that of rows cut there, with a hazard of those at risk."""
    alone = mk.em(SPEC, TABLE, progress=False)
    assert any("subjects die" in note for note in alone.notes)
    ignored = mk.em(mk.Spec(MODEL, mk.Dropout("current", waves=WAVES)), TABLE, progress=False)
    assert ignored.params["dropout ~ Intercept[w1]"] > alone.params["dropout ~ Intercept[w1]"]


def test_nothing_is_imputed_after_death() -> None:
    spec = mk.Spec(MODEL, mk.Dropout("previous", waves=WAVES, death="died"))  # quicker than with current
    fit = mk.sample(spec, TABLE, draws=800, tune=500, chains=2, seed=1, progress=False)
    dead = np.arange(4)[None, :] >= np.array([WAVES.index(d) if d else 4 for d in TABLE["died"]])[:, None]
    imputations = mk.impute(fit, m=3, seed=2)
    for completed in imputations:
        np.testing.assert_array_equal(completed[list(WAVES)].isna(), dead)
    assert f"left missing after death: w1 ({dead[:, 1].sum()})" in str(imputations)
    with pytest.raises(MnarkitError, match=f"'w3' has {dead[:, 3].sum()} cells after death"):
        mk.analyze(imputations, "w3 ~ x")
    alive = mk.analyze(imputations, lambda table: (table["w3"].mean(), table["w3"].var() / table["w3"].count(), 99))
    assert np.isfinite(mk.pool(alive).to_frame()["estimate"]).all()
    assert any("subjects die" in note for note in fit.notes)


REFUSED = {
    "recorded after death": (
        lambda: mk.em(SPEC, TABLE.assign(died=np.where(TABLE["w3"].notna(), "w3", TABLE["died"]))),
        "are recorded at or after the wave that 'died' names",
    ),
    "no such wave": (lambda: mk.em(SPEC, TABLE.assign(died="w9")), "300 rows have another value, such as 'w9'"),
    "no such column": (
        lambda: mk.em(mk.Spec(MODEL, mk.Dropout("current", waves=WAVES, death="dead")), TABLE),
        "the spec names 'dead'",
    ),
    "not a name": (lambda: mk.Dropout("current", waves=WAVES, death=3), "death= names a column, not 3"),
    "a projection": (lambda: mk.em(SPEC, TABLE, progress=False).project("w3 ~ x"), "cells after death"),
    "two dropouts": (lambda: mk.Spec(MODEL, DEATH, DEATH), "2 dropout models stand in one spec"),
    "no hole before leaving": (
        lambda: mk.em(mk.Spec(MODEL, DEATH, mk.Selection("missing(w2) ~ w2")), TABLE[TABLE["w1"].notna()]),
        "'w2' has no holes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(MnarkitError, match=re.escape(said)) as error:
        make()
    assert "\n" not in str(error.value)
