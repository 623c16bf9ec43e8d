"""Tables drawn at given parameters: their rows have the density that the kernels compute."""

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.fit import draw_parameters
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import kernel_parameters
from mnarkit.normal.together import unit_loglik_together

N = 4000
CORR = [[1.0, 0.6], [0.6, 1.0]]
ONE = {"coef": [[2.0, 0.7]], "sd": [1.5]}
TWO = {"coef": [[2.0, 0.7], [-1.0, 0.3]], "sd": [1.5, 0.8], "corr": CORR}
Y, PAIR = mk.Regression("y ~ x"), mk.MvNormal("y", "v", given="x")
WAVES = ("w0", "w1", "w2", "w3")
GROWTH = {
    "growth": [[1.0, 0.2], [0.5, -0.1]],
    "random_sd": [1.0, 0.4],
    "random_corr": [[1.0, -0.3], [-0.3, 1.0]],
    "residual_sd": [0.6, 0.7, 0.8, 0.9],
}
AR = {"coef": [[0.0], [0.2], [0.4], [0.6]], "sd": [1.0, 1.1, 1.2, 1.3], "lag_corr": [0.7]}
HAZARD = {"Intercept[w1]": -1.2, "Intercept[w2]": -1.0, "Intercept[w3]": -0.8, "previous": -0.4, "current": 0.6}

CASES: dict[str, tuple[mk.Spec, dict]] = {
    "probit": (mk.Spec(Y, mk.Selection("missing(y) ~ y + z")), ONE | {"missing_y": [-1.0, 0.5, 0.4]}),
    "logit": (mk.Spec(Y, mk.Selection("missing(y) ~ y + z", link="logit")), ONE | {"missing_y": [-1.0, 0.5, 0.4]}),
    "Heckman": (mk.Spec(Y, mk.Heckman("recorded(y) ~ x + z")), ONE | {"recorded_y": [0.3, 0.4, 0.8], "rho_y": -0.6}),
    "two probits": (
        mk.Spec(PAIR, mk.Selection("missing(y) ~ y + v"), mk.Selection("missing(v) ~ v + x")),
        TWO | {"missing_y": [-1.0, 0.4, -0.3], "missing_v": [-0.2, 0.3, 0.7]},
    ),
    "dropout": (mk.Spec(mk.MvNormal(*WAVES, covariance="ARH(1)"), mk.Dropout("previous + current", waves=WAVES)), AR),
    "growth and selection": (
        mk.Spec(mk.Growth(*WAVES, times=(0, 1, 2, 4), given="x"), mk.Selection("missing(w3) ~ w3 + w2")),
        GROWTH | {"missing_w3": [-0.5, -0.3, 0.4]},
    ),
    "shift inside the model": (
        mk.Spec(PAIR, mk.PatternMixture(mk.Shift("y", mk.Prior("normal", 0, 1), unit="sd", of="model"))),
        TWO | {"shift_y": 0.8},
    ),
    "scale inside the model": (mk.Spec(PAIR, mk.PatternMixture(mk.Scale("y", 1.5, of="model"))), TWO),
    "selection and shift": (
        mk.Spec(PAIR, mk.Selection("missing(y) ~ y"), mk.PatternMixture(mk.Shift("v", 0.5, unit="raw", of="model"))),
        TWO | {"missing_y": [-1.0, 0.4]},
    ),
}
CASES |= {
    "shared random terms, dropout": (
        mk.Spec(
            mk.Growth(*WAVES, times=(0, 1, 2, 4), given="x"), mk.SharedParameter("intercept + slope + x", by_wave=())
        ),
        GROWTH | {"dropout": {"Intercept": -1.2, "x": 0.3, "intercept": 0.4, "slope": -0.5}},
    ),
    "shared random terms, every hole": (
        mk.Spec(
            mk.Growth(*WAVES, times=(0, 1, 2, 4), given="x"),
            mk.SharedParameter("intercept + slope", of="missing", link="logit"),
        ),
        GROWTH | {"missing": {f"Intercept[{w}]": -1.0 for w in WAVES} | {"intercept": 0.5, "slope": 0.4}},
    ),
    "an earlier indicator": (
        mk.Spec(PAIR, mk.Selection("missing(v) ~ missing(y) + v"), mk.Selection("missing(y) ~ y + x")),
        TWO
        | {
            "missing_v": {"Intercept": -0.8, "missing(y)": 0.9, "v": 0.3},
            "missing_y": {"Intercept": -1.0, "x": 0.3, "y": 0.4},
        },
    ),
    "limits": (mk.Spec(PAIR, mk.Limits("y", high=1.5), mk.Limits("v", low=-0.5)), TWO),
    "limits and selection": (
        mk.Spec(PAIR, mk.Limits("v", low="z"), mk.Selection("missing(v) ~ v"), mk.Selection("missing(y) ~ y")),
        TWO | {"missing_v": [-0.8, 0.4], "missing_y": [-1.0, 0.4]},
    ),
}
CASES["dropout"] = (CASES["dropout"][0], AR | {"dropout": HAZARD})


def masks(n: int = N) -> pd.DataFrame:
    """Rows whose holes are given: in v or in y, never in both."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": 0.0, "v": 0.0, "x": rng.normal(size=n), "z": rng.normal(size=n)})
    u = rng.random(n)
    frame.loc[u < 0.3, "y"] = np.nan
    frame.loc[u > 0.8, "v"] = np.nan
    return frame


def table_of(name: str, seed: int = 5) -> pd.DataFrame:
    spec, truth = CASES[name]
    if spec.pattern_mixtures:
        return mk.simulate(spec, truth, data=masks(), seed=seed)
    return mk.simulate(spec, truth, n=N, seed=seed)


def own(spec: mk.Spec, truth: dict) -> dict[str, np.ndarray]:
    """Coefficients, sds and correlations of the columns, whatever the truth was said in."""
    made = dict(truth)
    if "growth" in made:
        powers = np.vander([0.0, 1, 2, 4], 2, increasing=True)
        spread = np.array(made["random_corr"]) * np.outer(made["random_sd"], made["random_sd"])
        cov = powers @ spread @ powers.T + np.diag(np.array(made["residual_sd"]) ** 2)
        sd = np.sqrt(np.diag(cov))
        made |= {"coef": powers @ made["growth"], "sd": sd, "corr": cov / np.outer(sd, sd)}
    if "lag_corr" in made:
        made["corr"] = made["lag_corr"][0] ** np.abs(np.subtract.outer(range(4), range(4)))
    for name, value in made.items():
        if isinstance(value, dict):
            made[name] = list(value.values())
    return {k: np.asarray(v, float)[None] for k, v in made.items()}


def row_loglik(spec: mk.Spec, table: pd.DataFrame, truth: dict) -> np.ndarray:
    data = IncompleteData.of(table)
    layout = lay_out(spec, data, designs_of(spec, data))
    parameters, _ = draw_parameters(own(spec, truth), layout, 0)
    rows, out = kernel_data(layout, keep_empty_rows=True, products=False), np.empty(len(table))
    by_row = unit_loglik_together if rows.together else unit_loglik
    by_row(*kernel_parameters(parameters, layout, rows), *rows.arrays[1:], out)
    return out


def moved(truth: dict, seed: int) -> dict:
    """A truth nearby: every number that is free to move, by a few hundredths or tenths."""
    rng, made = np.random.default_rng(seed), {}
    for name, value in truth.items():
        if "corr" in name and np.ndim(value) == 2:
            made[name] = np.where(np.eye(len(value)) > 0, 1.0, np.array(value) * (1 + rng.normal(0, 0.1)))
        elif isinstance(value, dict):
            made[name] = {k: v + rng.normal(0, 0.1) for k, v in value.items()}
        else:
            size = 0.2 if name.startswith(("missing", "recorded", "shift")) else 0.1 if "rho" in name else 0.05
            made[name] = np.array(value) + rng.normal(0, size, np.shape(value))
    return made


@pytest.mark.parametrize("name", CASES)
def test_rows_have_the_density_of_the_kernels(name):
    """E[f(row | θ') / f(row | θ)] = 1 at the θ that drew the rows, for every θ'; to 4 Monte Carlo errors."""
    spec, truth = CASES[name]
    table = table_of(name)
    here = row_loglik(spec, table, truth)
    for seed in range(4):
        ratio = np.exp(row_loglik(spec, table, moved(truth, seed)) - here)
        assert ratio.std() < 2
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio)), seed


def test_recorded_cells_are_those_of_the_complete_table():
    spec, truth = CASES["two probits"]
    table, complete = mk.simulate(spec, truth, n=500, seed=3, complete=True)
    pd.testing.assert_frame_equal(table.fillna(0), complete.where(table.notna(), 0.0))
    assert not complete.isna().any().any()
    assert complete.loc[table["v"].isna(), "v"].mean() > complete["v"].mean()
    pd.testing.assert_frame_equal(table, mk.simulate(spec, truth, n=500, seed=3))


def test_predictors_come_from_the_table_given():
    wages = mk.load_dataset("wages")
    spec = mk.Spec(mk.Regression("lwage ~ educ"), mk.Heckman("recorded(lwage) ~ educ + age"))
    truth = {"coef": [[0.0, 0.1]], "sd": [0.6], "recorded_lwage": [-1.0, 0.1, 0.0], "rho_lwage": 0.3}
    same = mk.simulate(spec, truth, data=wages, seed=1)
    np.testing.assert_array_equal(same["educ"], wages["educ"])
    more = mk.simulate(spec, truth, data=wages, n=2000, seed=1)
    assert len(more) == 2000
    assert set(more["educ"]) <= set(wages["educ"])


@pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")  # forty draws
def test_a_posterior_draw_is_a_truth():
    spec, truth = CASES["dropout"]
    table = mk.simulate(spec, truth, n=150, seed=2)
    fit = mk.sample(spec, table, draws=40, tune=200, chains=1, seed=1, progress=False)
    draw = fit.draws["posterior"].isel(chain=0, draw=-1)
    again = mk.simulate(spec, draw, n=150, seed=2)
    assert list(again.columns) == list(table.columns)
    assert again.notna().all(axis=1).any()
    assert again.isna().any().any()


def test_holes_that_nothing_makes_are_those_of_the_table():
    table = mk.simulate(mk.Spec(PAIR), TWO, data=masks(50), seed=1)
    pd.testing.assert_frame_equal(table.isna(), masks(50)[table.columns].isna())
    assert not mk.simulate(mk.Spec(PAIR), TWO, n=50, seed=1).isna().any().any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sd": None}, r"truth has no 'sd'; it takes \(y\)"),
        ({"coef": [[1.0, 2.0, 3.0]]}, r"truth: 'coef' has the shape \(1, 3\); it takes \(1, 2\) \(y; Intercept, x\)"),
        ({"missing_y": {"Intercept": 1.0, "y": 0.0}}, "truth: 'missing_y' lacks z; its terms are Intercept, z, y"),
        ({"missing_y": {"Intercept": 1.0, "y": 0.0, "z": 0, "a": 1}}, "truth: 'missing_y' has a, which is no term"),
        ({"coef": "many"}, "truth: 'coef' is made of numbers, not 'many'"),
        ({"sd": [-1.0]}, "truth: 'sd' is above 0, not -1"),
        ({"sd": [np.nan]}, "truth: 'sd' has 1 values that are not finite"),
    ],
)
def test_a_truth_that_does_not_fit_is_named(change, says):
    spec, truth = CASES["probit"]
    wrong = {k: v for k, v in (truth | change).items() if v is not None}
    with pytest.raises(mk.errors.SpecError, match=says):
        mk.simulate(spec, wrong, n=10)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "simulate takes n="),
        ({"n": 0}, "n= is a whole number of at least 1, not 0"),
        ({"n": 5, "data": pd.DataFrame({"x": [1.0]})}, "'z'"),
    ],
)
def test_options_that_make_no_rows_are_refused(options, says):
    with pytest.raises(mk.errors.MnarkitError, match=says):
        mk.simulate(*CASES["probit"], **options)


def test_slopes_by_group_need_a_table_with_the_groups():
    spec = mk.Spec(PAIR, mk.Selection("missing(y) ~ y:arm"))
    with pytest.raises(mk.errors.SpecError, match="'y:arm' is a slope by group: give data=, a table with the groups"):
        mk.simulate(spec, TWO, n=10)


def test_limits_hide_what_lies_inside_and_are_empty_where_they_do_not_hold():
    spec, truth = CASES["limits and selection"]
    table, complete = mk.simulate(spec, truth, n=2000, seed=1, complete=True)
    limit, hole = complete["z"], table["v"].isna()
    inside = complete["v"] >= limit
    assert hole[inside].all()
    told = hole & table["z"].notna()
    assert told.any()
    assert inside[told].all()
    by_selection = hole & table["z"].isna()
    assert by_selection.any()
    assert inside[by_selection].any()  # and are not told
    assert table.loc[~hole, "z"].equals(limit[~hole])
    assert complete.notna().all(axis=None)


def test_between_two_columns_of_limits_no_value_is_recorded_beside_its_interval():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"x": rng.normal(size=500), "y": 0.0, "low": -0.5, "high": rng.uniform(0, 3, 500)})
    spec = mk.Spec(Y, mk.Limits("y", low="low", high="high"))
    table = mk.simulate(spec, ONE, data=rows, seed=1)
    assert 0.1 < table["y"].isna().mean() < 0.9
    assert table.loc[table["y"].notna(), ["low", "high"]].isna().all(axis=None)
    mk.em(spec, table)  # fits


def test_predictors_drawn_with_the_same_seed_are_not_the_noise():
    rows = pd.DataFrame({"x": np.random.default_rng(1).normal(size=500)})
    table = mk.simulate(mk.Spec(Y), ONE, data=rows, seed=1)
    residual = table["y"] - 2.0 - 0.7 * rows["x"]
    assert abs(np.corrcoef(residual, rows["x"])[0, 1]) < 4 / np.sqrt(500)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(mk.errors.SpecError, match="has no distribution of its own to draw from"):
        mk.simulate(mk.Spec(mk.MvNormal(*WAVES), mk.PatternMixture(mk.Restriction("CCMV"))), AR, n=10)
    limited = mk.Spec(Y, mk.Limits("y", high=0.0), mk.Selection("missing(y) ~ y"))
    with pytest.raises(mk.errors.SpecError, match="holes of 'y' are made by something else than Limits y below 0"):
        mk.simulate(limited, ONE | {"missing_y": [0, 1]}, n=99)
    truth = {"coef": np.zeros((4, 1)), "sd": np.ones(4), "corr": np.eye(4), "dropout": [-1.0, 0.5]}
    shared = mk.Spec(mk.Growth(*WAVES, times=(0, 1, 2, 4)), mk.SharedParameter("slope", by_wave=()))
    with pytest.raises(mk.errors.SpecError, match="truth has no 'random_sd'"):
        mk.simulate(shared, truth, n=10)
    with pytest.raises(mk.errors.SpecError, match="does not draw deaths"):
        mk.simulate(mk.Spec(mk.MvNormal(*WAVES), mk.Dropout("current", waves=WAVES, death="died")), AR, n=10)


def test_a_belief_without_a_model_of_the_holes_needs_a_table():
    with pytest.raises(mk.errors.SpecError, match="has no model of the holes: give data="):
        mk.simulate(*CASES["shift inside the model"], n=10)
    with pytest.raises(mk.errors.SpecError, match="'corr' is a correlation matrix"):
        mk.simulate(mk.Spec(PAIR), TWO | {"corr": [[1.0, 2.0], [2.0, 1.0]]}, n=10)
