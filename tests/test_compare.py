"""compare: estimates are those of its parts, implied means and shares against closed forms, and refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import mnarkit as mk
from mnarkit.compare.entry import entry
from mnarkit.compare.shares import _missing_given_y, shares_of
from mnarkit.compare.unseen import Groups
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, MnarkitWarning, SpecError
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters
from tests.drawn import drawn_fit

WAGES = mk.load_dataset("wages")
MODEL = mk.Regression("lwage ~ educ + exper")
MAR = mk.Spec(MODEL)
HECKMAN = mk.Spec(MODEL, mk.Heckman("recorded(lwage) ~ educ + exper + kidslt6 + nwifeinc"))
LOWER = mk.PatternMixture(mk.Shift("lwage", -0.4, unit="sd"))
FORMULA = "lwage ~ educ + exper"


@pytest.fixture(scope="module")
def fits() -> dict[str, object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MnarkitWarning)
        mar = drawn_fit(MAR, WAGES)
        return {
            "EM": mk.em(MAR, WAGES),
            "MAR": mar,
            "Heckman, EM": mk.em(HECKMAN, WAGES),
            "Heckman": drawn_fit(HECKMAN, WAGES),
            "lower": (mar, LOWER),
        }


@pytest.fixture(scope="module")
def made(fits: dict[str, object]) -> mk.Comparison:
    return mk.compare(fits, FORMULA, m=20, seed=3, by="city")  # pyright: ignore[reportArgumentType]


def test_estimates_are_those_of_the_parts(made: mk.Comparison, fits: dict[str, object]) -> None:
    table = made.to_frame().set_index(["assumption", "term"])
    pooled = mk.pool(mk.analyze(mk.impute(fits["MAR"], 20, seed=3, under=LOWER), FORMULA)).to_frame()
    for _, row in pooled.iterrows():
        for name in ("estimate", "std_error", "ci_low", "ci_high", "fmi"):
            assert table.loc[("lower", row["term"]), name] == row[name]
    projected = fits["Heckman, EM"].project(FORMULA).set_index("term")
    for term in ("Intercept", "educ", "exper"):
        row = table.loc[("Heckman, EM", term)]
        estimate, error = projected.loc[term, ["estimate", "std_error"]]
        assert row["estimate"] == estimate
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(stats.norm.interval(0.95, estimate, error))
        assert row["p_value"] == pytest.approx(2 * stats.norm.sf(abs(estimate / error)))
    assert made.imputations["Heckman"].m == 20
    assert set(made.imputations) == {"MAR", "Heckman", "lower"}


def test_the_same_random_numbers_serve_all_beliefs(made: mk.Comparison) -> None:
    """A late shift moves every imputed cell of the same fit by 0.4 of the residual sd of its draw."""
    moved = made.imputations["lower"].cells["lwage"] - made.imputations["MAR"].cells["lwage"]
    assert np.ptp(moved, axis=1) == pytest.approx(0, abs=1e-12)
    assert (moved < 0).all()


def test_implied_means_are_those_of_heckmans_formula(made: mk.Comparison, fits: dict[str, object]) -> None:
    """E[y | x, not recorded] = x'β - ρσ φ(z'γ) / Φ(-z'γ), row by row."""
    fit = fits["Heckman, EM"]
    p = fit.params
    holes = WAGES[WAGES["lwage"].isna()]
    mean = p["lwage ~ Intercept"] + p["lwage ~ educ"] * holes["educ"] + p["lwage ~ exper"] * holes["exper"]
    index = p["recorded(lwage) ~ Intercept"] + sum(
        p[f"recorded(lwage) ~ {c}"] * holes[c] for c in ("educ", "exper", "kidslt6", "nwifeinc")
    )
    mills = stats.norm.pdf(index) / stats.norm.cdf(-index)
    expected = mean - p["rho(lwage)"] * np.sqrt(p["var(lwage)"]) * mills
    baseline = fits["EM"].params
    under_mar = baseline["lwage ~ Intercept"] + holes[["educ", "exper"]] @ [
        baseline["lwage ~ educ"],
        baseline["lwage ~ exper"],
    ]
    table = made.unseen.query("assumption == 'Heckman, EM'").set_index("group")
    for group, rows in {"all": holes.index, "city = 1": holes.index[holes["city"] == 1]}.items():
        row = table.loc[group]
        assert row["holes"] == len(rows)
        assert row["unseen_mean"] == pytest.approx(expected[rows].mean(), rel=1e-6)
        assert row["mar_mean"] == pytest.approx(under_mar[rows].mean(), rel=1e-6)
        distance = (expected[rows].mean() - under_mar[rows].mean()) / np.sqrt(baseline["var(lwage)"])
        assert row["shift_sd"] == pytest.approx(distance, abs=1e-6)
        recorded = WAGES["lwage"][WAGES["city"] == 1] if group != "all" else WAGES["lwage"]
        assert row["recorded_mean"] == pytest.approx(recorded.mean())


def test_predicted_shares_of_a_heckman_model_are_its_probit(fits: dict[str, object]) -> None:
    fit = fits["Heckman, EM"]
    p = fit.params
    index = p["recorded(lwage) ~ Intercept"] + sum(
        p[f"recorded(lwage) ~ {c}"] * WAGES[c] for c in ("educ", "exper", "kidslt6", "nwifeinc")
    )
    groups = Groups(("no", "yes"), WAGES["city"].to_numpy())
    table = shares_of(entry("Heckman", fit), groups, 400, 1)
    for g, row in table.iterrows():
        expected = stats.norm.cdf(-index[WAGES["city"] == g]).mean()
        assert row["missing"] == WAGES["lwage"][WAGES["city"] == g].isna().mean()
        assert abs(row["predicted"] - expected) < 5 * row["mc_error"]
        assert row["mc_error"] < 0.003  # 400 draws of y for 269 rows or more


def test_predicted_shares_of_a_selection_model_integrate_over_the_value() -> None:
    spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y + z", link="logit"))
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": rng.normal(size=30), "x": rng.normal(size=30), "z": rng.normal(size=30)})
    table.loc[:9, "y"] = np.nan
    coef, sd, a = np.array([[0.5, -0.3]]), 1.4, np.array([-0.5, 0.8, 1.1])  # intercept, z, y
    data = IncompleteData.of(table)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    parameters = Parameters(coef, np.array([[sd**2]]), [a], [None], [])
    each = np.stack([_missing_given_y(parameters, layout, rows, rng)["y"] for _ in range(4000)])
    for i, row in table.iterrows():
        mean = 0.5 - 0.3 * row["x"]

        def integrand(y: float, mean: float = mean, row: pd.Series = row) -> float:
            return stats.norm.pdf(y, mean, sd) / (1 + np.exp(0.5 - 0.8 * row["z"] - 1.1 * y))

        expected = integrate.quad(integrand, mean - 9 * sd, mean + 9 * sd)[0]
        error = each[:, i].std(ddof=1) / np.sqrt(len(each))
        assert abs(each[:, i].mean() - expected) < 5 * error


def test_predicted_shares_of_dropout_add_up_over_waves() -> None:
    waves = ("w0", "w1", "w2")
    belief = mk.Dropout("current + z", waves=waves, by_wave=("Intercept",))
    spec = mk.Spec(mk.MvNormal(*waves, given="z"), belief)
    rng = np.random.default_rng(2)
    n, coef = 60_000, np.array([[1.0, 0.2], [0.5, 0.1], [0.0, 0.4]])
    cov = np.array([[1.0, 0.5, 0.3], [0.5, 1.5, 0.6], [0.3, 0.6, 2.0]])
    z = rng.normal(size=n)
    y = np.column_stack([np.ones(n), z]) @ coef.T + rng.multivariate_normal(np.zeros(3), cov, n)
    gone, hazard = np.zeros((n, 3), dtype=bool), {"w1": -1.0, "w2": -0.7}
    for t in (1, 2):
        leaves = hazard[waves[t]] + 0.3 * z + 0.4 * y[:, t] + rng.normal(size=n) > 0
        gone[:, t] = gone[:, t - 1] | leaves
    table = pd.DataFrame(np.where(gone, np.nan, y), columns=list(waves)).assign(z=z)
    data = IncompleteData.of(table)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    named = {"Intercept[w1]": -1.0, "Intercept[w2]": -0.7, "z": 0.3, "current": 0.4}
    beta = np.array([named[t] for t in layout.indicators[0].terms])
    found = _missing_given_y(Parameters(coef, cov, [beta], [None], []), layout, rows, rng)
    assert set(found) == {"w1", "w2"}
    for t in (1, 2):
        error = np.sqrt(gone[:, t].var() / n + found[waves[t]].var() / n)
        assert abs(found[waves[t]].mean() - gone[:, t].mean()) < 5 * error


def test_groups_add_up_to_the_whole(made: mk.Comparison) -> None:
    for _, rows in made.unseen.groupby("assumption"):
        whole, parts = rows.iloc[0], rows.iloc[1:]
        assert parts["holes"].sum() == whole["holes"] == 325
        assert np.average(parts["unseen_mean"], weights=parts["holes"]) == pytest.approx(whole["unseen_mean"])
    observed = made.shares.query("assumption == 'MAR'")
    assert observed["predicted"].isna().all()  # MAR has no model of the holes
    assert observed["missing"].iloc[0] == pytest.approx(325 / 753)


def test_distributions_and_stability_are_plain_arithmetic(made: mk.Comparison) -> None:
    table = made.distributions.set_index(["assumption", "values"])
    assert table.loc[("lower", "recorded"), "mean"] == pytest.approx(WAGES["lwage"].mean())
    completed = [frame["lwage"] for frame in made.imputations["lower"]]
    assert table.loc[("lower", "completed"), "sd"] == pytest.approx(np.mean([c.std() for c in completed]))
    assert table.loc[("lower", "completed"), "q95"] == pytest.approx(np.mean([c.quantile(0.95) for c in completed]))
    assert table.loc[("lower", "imputed"), "n"] == 325
    assert ("EM", "imputed") not in table.index  # expectations are no distribution
    estimates = made.to_frame().set_index(["assumption", "term"])
    row = made.stability.set_index(["assumption", "term"]).loc[("lower", "educ")]
    difference = estimates.loc[("lower", "educ"), "estimate"] - estimates.loc[("EM", "educ"), "estimate"]
    assert row["difference"] == pytest.approx(difference)
    assert row["in_se"] == pytest.approx(difference / estimates.loc[("EM", "educ"), "std_error"])
    assert row["excludes_0"]
    assert row["same_verdict"]


def test_a_verdict_that_changes_is_seen() -> None:
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"y": rng.normal(0.5, 1, 80)})
    table.loc[:29, "y"] = np.nan
    spec = mk.Spec(mk.Regression("y ~ 1"))
    far = spec.under(mk.PatternMixture(mk.Shift("y", -3, unit="sd")))
    made = mk.compare({"MAR": mk.em(spec, table), "far lower": mk.em(far, table)}, "y ~ 1", seed=1)
    assert made.stability["same_verdict"].tolist() == [True, False]


def test_the_page_repeats_every_assumption_and_ranks_nothing(made: mk.Comparison) -> None:
    text = str(made)
    assert "'EM', 'MAR': MAR" in text
    for said in (
        "5 assumptions: 753 rows",
        "95% intervals, m = 20, seed 3",
        "Intervals of 'EM', 'Heckman, EM': maximum likelihood, delta method, normal",
        "untestable  the errors of lwage and of being recorded are bivariate normal",
        "unseen values differ from what MAR predicts by exactly: Shift lwage by -0.4 sd",
        "No data can tell which of these assumptions is true.",
        "Share of missing values, observed and predicted",
    ):
        assert said in text
    assert "loglik" not in text.lower().replace(" ", "")
    assert (mk.compare.__doc__ or "").splitlines()[0].endswith("this is not `az.compare`, and it ranks nothing by fit.")


def test_a_function_returns_whatever_is_to_be_stable(fits: dict[str, object]) -> None:
    """A share of low wages with its variance: an estimand no formula gives."""

    def low(table: pd.DataFrame) -> tuple[float, float]:
        share = float((table["lwage"] < 0.7).mean())
        return share, share * (1 - share) / len(table)

    made = mk.compare({"MAR": fits["MAR"], "lower": fits["lower"]}, low, m=10, seed=1).to_frame()  # pyright: ignore[reportArgumentType]
    assert made["estimate"].is_monotonic_increasing
    assert made["term"].tolist() == ["estimate", "estimate"]


REFUSED = {
    "one": (SpecError, "two or more fits by name, .*, not 1", lambda f: {"EM": f["EM"]}, FORMULA, {}),
    "list": (SpecError, "two or more fits by name, .*, not list", lambda f: [f["EM"], f["MAR"]], FORMULA, {}),
    "name": (SpecError, "has a name in words, not 1", lambda f: {1: f["EM"], 2: f["MAR"]}, FORMULA, {}),
    "spec": (SpecError, "'b' is a fit from mk.sample or mk.em", lambda f: {"a": f["EM"], "b": MAR}, FORMULA, {}),
    "late": (SpecError, "late beliefs are applied to imputations", lambda f: f | {"b": (f["EM"], LOWER)}, FORMULA, {}),
    "function": (SpecError, "'EM' is an EMFit, which has no imputations", lambda f: f, lambda t: (1.0, 1.0), {}),
    "level": (DataError, "level= is a probability", lambda f: f, FORMULA, {"level": 95}),
    "by": (SpecError, "by= names 'town'", lambda f: f, FORMULA, {"by": "town"}),
    "by number": (DataError, "by=3 is of type int", lambda f: f, FORMULA, {"by": 3}),
    "m": (SpecError, "m=5000 is more than the 400 posterior draws", lambda f: f, FORMULA, {"m": 5000}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(name: str, fits: dict[str, object]) -> None:
    error, message, beliefs, estimand, options = REFUSED[name]
    with pytest.raises(error, match=message) as raised:
        mk.compare(beliefs(fits), estimand, seed=1, **({"m": 5} | options))
    assert "\n" not in str(raised.value)


def test_fits_of_different_tables_are_refused(fits: dict[str, object]) -> None:
    other = mk.em(MAR, WAGES.iloc[1:])
    with pytest.raises(DataError, match=r"'EM' was fitted to a table of 753 rows .* and 'other' to another of 752"):
        mk.compare({"EM": fits["EM"], "other": other}, FORMULA)  # pyright: ignore[reportArgumentType]


def test_analyses_with_different_terms_are_refused(fits: dict[str, object]) -> None:
    calls = iter("aabb")

    def moody(table: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
        name = next(calls)
        return {name: 1.0}, {name: 1.0}

    with pytest.raises(DataError, match="the estimand has the terms 'b' under 'lower' and 'a' under 'MAR'"):
        mk.compare({"MAR": fits["MAR"], "lower": fits["lower"]}, moody, m=2, seed=1)  # pyright: ignore[reportArgumentType]


def test_a_factored_belief_is_set_against_the_mar_fit_of_the_comparison() -> None:
    """There is no EM: the MAR mean is that of the MAR fit's imputations, from which a late shift lies its amount."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"z": rng.normal(size=80)})
    frame["x"] = frame["z"] + rng.normal(size=80)
    frame["y"] = frame["x"] + rng.normal(size=80)
    frame.loc[rng.random(80) < 0.3, "x"] = np.nan
    spec = mk.Spec(mk.Regressions(mk.Regression("y ~ x"), mk.Regression("x ~ z")), mk.Selection("missing(x) ~ x"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MnarkitWarning)
        mar, fit = (
            mk.sample(s, frame, draws=100, tune=200, chains=2, seed=1, progress=False) for s in (spec.mar(), spec)
        )
        late = (mar, mk.PatternMixture(mk.Shift("x", -0.5, unit="raw")))
        made = mk.compare({"lower": late, "Selection": fit, "MAR": mar}, "y ~ x", m=10, seed=2, progress=False)
        alone = mk.compare({"lower": late, "Selection": fit}, "y ~ x", m=10, seed=2, progress=False)
    rows = made.unseen.set_index("assumption")
    assert rows.loc["MAR", "shift"] == pytest.approx(0, abs=1e-12)
    assert rows.loc["lower", "shift"] == pytest.approx(-0.5)
    sd = float(mar.draws["posterior"]["sd_x"].mean())
    assert rows.loc["lower", "shift_sd"] == pytest.approx(-0.5 / sd)
    cells = made.imputations["Selection"].cells["x"].mean() - made.imputations["MAR"].cells["x"].mean()
    assert rows.loc["Selection", "shift"] == pytest.approx(cells)
    assert alone.unseen["shift"].isna().all()
    shares = made.shares.set_index("assumption")
    assert shares["predicted"].drop("Selection").isna().all()
    draws = fit.draws["posterior"].to_dataset().stack(s=("chain", "draw"))
    mean = draws["coef_x"].values[0] + np.outer(frame["z"], draws["coef_x"].values[1])
    a, b = draws["missing_x"].values
    exact = stats.norm.cdf((a + b * mean) / np.sqrt(1 + (b * draws["sd_x"].values) ** 2))
    # ten of the draws, and one x of each row for every one of them
    error = np.hypot(exact.mean(axis=0).std(), 0.5 / np.sqrt(80)) / np.sqrt(10)
    assert abs(shares.loc["Selection", "predicted"] - exact.mean()) < 4 * error
