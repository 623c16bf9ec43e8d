"""Tables of conditional models of any family, drawn at given parameters: their rows have the factored density."""

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.factored.likelihood import unit_loglik

N = 4000
OF_HOLES = {"missing_y": {"Intercept": -1.0, "y": 0.5, "z": 0.4}}
WITHOUT_Y = {"missing_y": {"Intercept": -1.0, "z": 0.4}}


def alone(family: str, *, reads: bool, link: str = "probit") -> mk.Spec:
    return mk.Spec(mk.Regression("y ~ x", family=family), mk.Selection(f"missing(y) ~ {'y + ' * reads}z", link=link))


CASES: dict[str, tuple[mk.Spec, dict]] = {
    "bernoulli": (alone("bernoulli", reads=True, link="logit"), {"coef_y": [0.3, 0.8]} | OF_HOLES),
    "poisson": (alone("poisson", reads=True), {"coef_y": [0.3, 0.4]} | OF_HOLES),
    "negative binomial": (alone("negative_binomial", reads=True), {"coef_y": [0.2, 0.3], "cv_y": 0.5} | OF_HOLES),
    "ordinal": (alone("ordinal", reads=True), {"coef_y": [0.8], "cutpoints_y": [-1.0, 0.2, 1.5]} | OF_HOLES),
    "categorical": (alone("categorical", reads=False), {"coef_y": [[0.2, 0.5], [-0.3, 0.4]]} | WITHOUT_Y),
    "student t": (alone("student_t", reads=False), {"coef_y": [0.3, 0.8], "scale_y": 1.2, "df_y": 5.0} | WITHOUT_Y),
    "skew normal": (alone("skew_normal", reads=False), {"coef_y": [0.3, 0.8], "sd_y": 1.2, "skew_y": 2.0} | WITHOUT_Y),
    "log-normal": (alone("lognormal", reads=False), {"coef_y": [0.3, 0.8], "sd_y": 0.6} | WITHOUT_Y),
    "gamma": (alone("gamma", reads=False), {"coef_y": [0.3, 0.5], "cv_y": 0.6} | WITHOUT_Y),
    "beta": (alone("beta", reads=False), {"coef_y": [0.3, 0.5], "spread_y": 0.4} | WITHOUT_Y),
    "a binary covariate": (
        mk.Spec(
            mk.Regressions(mk.Regression("y ~ v*x", family="poisson"), mk.Regression("v ~ x", family="bernoulli")),
            mk.Selection("missing(v) ~ v + x", link="logit"),
            mk.Selection("missing(y) ~ missing(v) + z"),
        ),
        {
            "coef_y": {"Intercept": 0.2, "v": 0.5, "x": 0.1, "v:x": 0.3},
            "coef_v": [0.2, 0.5],
            "missing_v": {"Intercept": -0.8, "v": 0.7, "x": 0.2},
            "missing_y": {"Intercept": -1.0, "missing(v)": 0.8, "z": 0.3},
        },
    ),
}


def row_loglik(spec: mk.Spec, table: pd.DataFrame, truth: dict) -> np.ndarray:
    data = IncompleteData.of(table)
    layout = lay_out(spec, data, designs_of(spec, data))
    par = {}
    for factor in layout.factors:
        value = truth[factor.name]
        par[factor.name] = np.array([value[t] for t in factor.terms] if isinstance(value, dict) else value, dtype=float)
    return unit_loglik(layout, par | {k: np.array(v) for k, v in truth.items() if k not in par})


def moved(truth: dict, seed: int) -> dict:
    rng, made = np.random.default_rng(seed), {}
    for name, value in truth.items():
        if isinstance(value, dict):
            made[name] = {k: v + rng.normal(0, 0.1) for k, v in value.items()}
        elif name.startswith("coef"):
            made[name] = np.array(value) + rng.normal(0, 0.05, np.shape(value))
        else:
            made[name] = np.array(value) * (1 + rng.normal(0, 0.04))
    return made


@pytest.mark.parametrize("name", CASES)
def test_rows_have_the_factored_density(name):
    """E[f(row | θ') / f(row | θ)] = 1 at the θ that drew the rows, for every θ'; to 4 Monte Carlo errors."""
    spec, truth = CASES[name]
    table = mk.simulate(spec, truth, n=N, seed=3)
    here = row_loglik(spec, table, truth)
    for seed in range(4):
        ratio = np.exp(row_loglik(spec, table, moved(truth, seed)) - here)
        assert 0.01 < ratio.std() < 2
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio)), seed


def test_random_terms_are_drawn_by_group():
    """Variances within and between groups of 2,000, to 5 standard errors; and the holes of a group go together."""
    groups, rows = 2000, 5
    frame = pd.DataFrame({"id": np.repeat(np.arange(groups), rows), "t": np.tile(np.arange(5.0), groups)})
    spec = mk.Spec(mk.Regression("y ~ t + (1 + t | id)"), mk.Selection("missing(y) ~ t + (1 | id)", link="logit"))
    truth = {
        "coef_y": [1.0, 0.5],
        "sd_y": 0.7,
        "random_sd_y": [1.2, 0.4],
        "random_corr_y": [[1.0, 0.5], [0.5, 1.0]],
        "missing_y": {"Intercept": -1.0, "t": 0.0},
        "random_sd_missing_y": [1.5],
    }
    table, complete = mk.simulate(spec, truth, data=frame, seed=1, complete=True)
    y = complete["y"].to_numpy().reshape(groups, rows)
    powers = np.vander(np.arange(5.0), 2, increasing=True)
    spread = np.array([[1.44, 0.24], [0.24, 0.16]])
    expected = powers @ spread @ powers.T + 0.49 * np.eye(5)
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / groups)
    assert np.all(np.abs(np.cov(y.T) - expected) < 5 * error)
    hole = table["y"].isna().to_numpy().reshape(groups, rows)
    between = hole.mean(axis=1).var()
    assert between > 2 * hole.mean() * (1 - hole.mean()) / rows
    alone = mk.simulate(mk.Spec(mk.Regression("y ~ 1 + (1 + t | id)")), truth | {"coef_y": [1.0]}, data=frame, seed=1)
    assert list(alone.columns) == ["y", "id", "t"]
    with pytest.raises(mk.errors.SpecError, match=r"\(1 \+ t | id\) is about groups of rows: give data="):
        mk.simulate(spec, truth, n=10)
    with pytest.raises(mk.errors.SpecError, match="'random_corr_y' is a correlation matrix"):
        mk.simulate(spec, truth | {"random_corr_y": [[1.0, 2.0], [2.0, 1.0]]}, data=frame, seed=1)


def test_levels_are_those_of_the_table_given():
    rng = np.random.default_rng(1)
    grade = pd.Categorical(rng.choice(["low", "middle", "high"], 300), ["low", "middle", "high"], ordered=True)
    rows = pd.DataFrame({"grade": grade, "smokes": rng.choice(["no", "yes"], 300), "x": rng.normal(size=300)})
    spec = mk.Spec(
        mk.Regressions(
            mk.Regression("grade ~ x + smokes", family="ordinal"), mk.Regression("smokes ~ x", family="bernoulli")
        ),
        mk.Selection("missing(grade) ~ smokes"),
    )
    truth = {
        "coef_grade": {"smokes[T.yes]": 1.0, "x": 0.5},
        "cutpoints_grade": [-1.0, 1.0],
        "coef_smokes": [0.0, 1.0],
        "missing_grade": {"Intercept": -1.0, "smokes[T.yes]": 0.5},
    }
    table, complete = mk.simulate(spec, truth, data=rows, seed=1, complete=True)
    assert list(table["grade"].cat.categories) == ["low", "middle", "high"]
    assert table["grade"].isna().any()
    assert set(table["smokes"]) == {"no", "yes"}
    assert complete.loc[complete["smokes"] == "yes", "grade"].cat.codes.mean() > complete["grade"].cat.codes.mean()
    kept = table["grade"].notna()
    assert table.loc[kept, "grade"].equals(complete.loc[kept, "grade"])


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")  # forty draws
def test_a_posterior_draw_is_a_truth():
    spec, truth = CASES["a binary covariate"]
    table = mk.simulate(spec, truth, n=150, seed=2)
    fit = mk.sample(spec, table, draws=40, tune=100, chains=1, seed=1, progress=False)
    again = mk.simulate(spec, fit.draws["posterior"].isel(chain=0, draw=-1), data=table, seed=2)
    assert list(again.columns) == list(table.columns)
    assert again["v"].isna().any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"coef_y": [1.0]}, r"truth: 'coef_y' has the shape \(1,\); it takes \(2,\)"),
        ({"cv_y": None}, "truth has no 'cv_y'; it takes one number"),
        ({"missing_y": {"Intercept": 1.0}}, "truth: 'missing_y' lacks"),
    ],
)
def test_a_truth_that_does_not_fit_is_named(change, says):
    spec, truth = CASES["negative binomial"]
    wrong = {k: v for k, v in (truth | change).items() if v is not None}
    with pytest.raises(mk.errors.SpecError, match=says):
        mk.simulate(spec, wrong, n=20)
    with pytest.raises(mk.errors.SpecError, match="truth has no 'cutpoints_y'"):
        mk.simulate(CASES["ordinal"][0], {"coef_y": [0.8]} | OF_HOLES, n=20)
