"""A covariance for each arm: density and gradient, EM, draws, imputations and strategies, and refusals."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.em.objective import Objective
from mnarkit.errors import DataError, FormulaError, SpecError
from mnarkit.normal.amounts import move
from mnarkit.normal.layout import designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.reference import refer, reference_rows
from tests.drawn import drawn_fit
from tests.independent import row_loglik

VISITS = ("w1", "w2", "w3", "w4")
COEF = np.array([[5.0, -1.0, 0.5], [4.0, -2.0, 0.4], [3.0, -3.0, 0.3], [2.0, -5.0, 0.2]])
CONTROL = np.array([[4.0, 2.0, 1.5, 1.0], [2.0, 5.0, 2.5, 1.5], [1.5, 2.5, 6.0, 3.0], [1.0, 1.5, 3.0, 7.0]])
DRUG = np.array([[2.0, -0.3, 0.2, 0.1], [-0.3, 1.0, 0.6, 0.4], [0.2, 0.6, 2.0, 1.4], [0.1, 0.4, 1.4, 9.0]])
COVS = np.stack([CONTROL, DRUG])  # in the order of the levels: 'control', 'drug'
MODEL = mk.MvNormal(*VISITS, given="arm + base", by="arm")
SEPARATE = mk.MvNormal(*VISITS, given="arm * base", by="arm")


def trial(n: int = 60, seed: int = 5) -> pd.DataFrame:
    """Two arms, four visits, dropout, and a few intermittent holes."""
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2 == 0, "drug", "control")
    base = rng.normal(10, 2, n)
    x = np.column_stack([np.ones(n), arm == "drug", base])
    noise = rng.normal(size=(n, 4))
    roots = np.linalg.cholesky(COVS)[(arm == "drug").astype(int)]
    y = x @ COEF.T + np.einsum("nij,nj->ni", roots, noise)
    leaves = rng.integers(0, 8, n)
    y[np.arange(4)[None, :] >= leaves[:, None]] = np.nan
    y[4, 1], y[7, 0] = np.nan, np.nan
    return pd.DataFrame(y, columns=list(VISITS)).assign(arm=arm, base=base)


def arm_of(frame: pd.DataFrame) -> np.ndarray:
    return (frame["arm"] == "drug").to_numpy().astype(int)


@pytest.mark.parametrize("beliefs", [(), (mk.Selection("missing(w4) ~ w4 + w3 + base", link="logit"),)])
def test_every_row_has_the_density_of_its_own_arm(beliefs: tuple) -> None:
    frame = trial()
    spec, data = mk.Spec(MODEL, *beliefs), IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    beta = np.array([-1.0, 0.05, 0.2, -0.3])
    named = Parameters(COEF, COVS, [beta] if beliefs else [], [None] * len(beliefs), [])
    sorted_rows, each = np.empty(data.n), np.empty(data.n)
    unit_loglik(*kernel_parameters(named, layout, rows), *rows.arrays[1:], sorted_rows)
    each[rows.patterns.order] = sorted_rows
    one = mk.Spec(mk.MvNormal(*VISITS, given="arm + base"), *beliefs)
    for arm, cov in enumerate(COVS):
        here = np.flatnonzero(arm_of(frame) == arm)
        point = {"coef": COEF, "cov": cov, "missing_w4": beta}
        w = [layout.indicators[0].w[here]] if beliefs else []
        expected = row_loglik(one, frame.iloc[here], point, layout.x[here], w)
        np.testing.assert_allclose(each[here], expected, atol=2e-8)  # a logit is eight probits to 2e-9


@pytest.mark.parametrize("kind", ["UN", "CSH", "AR(1)", "TOEP"])
@pytest.mark.parametrize("belief", [mk.MAR(), mk.Dropout("current + arm", waves=VISITS, by_wave=())])
def test_gradient_is_that_of_differences_and_units_come_back(kind: str, belief: mk.MAR | mk.Dropout) -> None:
    model = mk.MvNormal(*VISITS, given="arm", covariance=kind, by="arm")  # type: ignore[arg-type]
    objective = Objective.of(mk.Spec(model, belief), IncompleteData.of(trial()))
    theta = np.random.default_rng(0).normal(0, 0.3, objective.size)
    value, gradient = objective.loglik_and_gradient(theta)
    steps = 1e-6 * np.eye(len(theta))
    differences = [(objective.loglik(theta + e) - objective.loglik(theta - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-4)
    assert len(objective.names) == len(objective.own(theta))
    coef, cov, made = objective.estimates(theta)
    rows = kernel_data(objective.layout, keep_empty_rows=True, products=False)
    each = np.empty(60)
    betas = [one.coef for one in made[: len(objective.indicators)]]
    arguments = kernel_parameters(Parameters(coef, cov, betas, [None] * len(betas), []), objective.layout, rows)
    unit_loglik(*arguments, *rows.arrays[1:], each)
    assert each.sum() == pytest.approx(value + objective.constant, abs=1e-8)


@cache
def fitted() -> mk.EMFit:
    return mk.em(mk.Spec(SEPARATE), trial(), progress=False)


def test_em_with_everything_by_arm_is_em_of_each_arm() -> None:
    frame, both = trial(), fitted()
    alone = {a: mk.em(mk.Spec(mk.MvNormal(*VISITS, given="base")), frame[frame["arm"] == a]) for a in both.arms}
    assert both.arms == ("control", "drug")
    assert both.loglik == pytest.approx(sum(one.loglik for one in alone.values()), abs=1e-6)
    for arm, name in enumerate(both.arms):
        # EM of one arm stops when no parameter moves by 1e-8 of a step
        np.testing.assert_allclose(both.cov[arm], alone[name].cov, rtol=2e-5, atol=2e-5)
        shown = [f"var({v})[{name}]" for v in VISITS]
        np.testing.assert_allclose(
            both.std_errors[shown].to_numpy(), alone[name].std_errors[[f"var({v})" for v in VISITS]], rtol=1e-4
        )
    slope = both.params["w4 ~ base"] + both.params["w4 ~ arm[T.drug]:base"]
    assert slope == pytest.approx(alone["drug"].params["w4 ~ base"], abs=1e-5)
    assert mk.em(mk.Spec(mk.MvNormal(*VISITS, given="arm * base")), frame).loglik < both.loglik


def test_an_em_fit_by_arm_prints_saves_and_says_what_it_expects(tmp_path) -> None:
    fit, frame = fitted(), trial()
    assert "cov(w1, w2)[drug]" in str(fit)
    again = mk.EMFit.load(fit.save(tmp_path))
    pd.testing.assert_series_equal(again.params, fit.params)
    assert again.to_frame("cov")["_NAME_"].tolist()[-4:] == [f"{v}[drug]" for v in VISITS]
    assert mk.em(fit.spec, frame, start=fit, progress=False).loglik == pytest.approx(fit.loglik, abs=1e-8)
    alone = mk.em(mk.Spec(mk.MvNormal(*VISITS, given="base")), frame[frame["arm"] == "drug"])
    expected = alone.expected()
    pd.testing.assert_frame_equal(fit.expected().loc[expected.index], expected, rtol=1e-4, atol=1e-4)
    by_arm = alone.project("w4 ~ base").set_index("term")
    whole = fit.project("w4 ~ arm * base").set_index("term")["estimate"]
    assert whole["base"] + whole["arm[T.drug]:base"] == pytest.approx(by_arm.loc["base", "estimate"], abs=1e-4)
    with pytest.raises(FormulaError, match="differ from level to level"):
        fit.regress("w4 ~ w1 + arm * base")


def given_before(own: np.ndarray, control: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of later visits on earlier ones and what they leave, from control alone."""
    slope = control[first:, :first] @ np.linalg.inv(control[:first, :first]) if first else np.zeros((4, 0))
    return slope, control[first:, first:] - slope @ control[:first, first:]


@pytest.mark.parametrize("strategy", ["J2R", "CIR", "CR", "LMCF"])
def test_strategies_take_blocks_of_both_covariances_as_carpenter_roger_and_kenward(strategy: str) -> None:
    """Monotone dropout: later visits given earlier ones by control's regression, LMCF by the subject's own."""
    frame = trial(40)
    frame.loc[[4, 7], list(VISITS)] = np.nan
    belief = mk.Reference(strategy, arm="arm", control="control")
    spec, data = mk.Spec(MODEL, belief), IncompleteData.of(frame)
    rows = reference_rows(belief, VISITS, data, designs_of(spec, data))
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(rows.y.shape)
    made = refer(np.where(np.isnan(rows.y), 0.0, rows.y), rows, Parameters(COEF, COVS, [], [], []), {}, noise)
    for i, row in frame.iterrows():
        first = int(row[list(VISITS)].notna().sum())
        if first == 4:
            continue
        x = np.array([1.0, row["arm"] == "drug", row["base"]])
        own, control = COEF @ x, COEF @ (x * [1, 0, 1])
        of_subject = COVS[int(row["arm"] == "drug")]
        slope, left = given_before(of_subject, of_subject if strategy == "LMCF" else CONTROL, first)
        before = {"CR": control}.get(strategy, own)[:first]
        later = {
            "J2R": control[first:],
            "CR": control[first:],
            "CIR": control[first:] + (own[first - 1] - control[first - 1] if first else 0.0),
            "LMCF": np.full(4 - first, own[first - 1]) if first else own,
        }[strategy]
        if strategy == "LMCF" and not first:
            left = of_subject
        expected = later + slope @ (rows.y[i, :first] - before) + np.linalg.cholesky(left) @ noise[i, first:]
        np.testing.assert_allclose(made[i, first:], expected, atol=1e-10)


def test_the_joint_covariance_is_that_of_rbmi() -> None:
    """With values seen after the event, by the inverse of the whole matrix that rbmi's compute_sigma makes.

    S11 own, S12 = S11 R11⁻¹ R12, S22 = R22 - R21 R11⁻¹ (R11 - S11) R11⁻¹ R12.
    """
    frame = trial(8)
    frame.loc[0, list(VISITS)] = [4.0, np.nan, np.nan, 1.5]
    frame["stop"] = None
    frame.loc[0, "stop"] = "w2"
    belief = mk.Reference("J2R", arm="arm", control="control", event="stop")
    spec, data = mk.Spec(MODEL, belief), IncompleteData.of(frame)
    rows = reference_rows(belief, VISITS, data, designs_of(spec, data))
    zeros = np.zeros(rows.y.shape)
    made = refer(np.where(np.isnan(rows.y), 0.0, rows.y), rows, Parameters(COEF, COVS, [], [], []), {}, zeros)
    s11, r11, r12, r22 = DRUG[:1, :1], CONTROL[:1, :1], CONTROL[:1, 1:], CONTROL[1:, 1:]
    s12 = s11 @ np.linalg.inv(r11) @ r12
    s22 = r22 - r12.T @ np.linalg.inv(r11) @ (r11 - s11) @ np.linalg.inv(r11) @ r12
    precision = np.linalg.inv(np.block([[s11, s12], [s12.T, s22]]))
    x = np.array([1.0, 1.0, frame.loc[0, "base"]])
    mean = np.concatenate([(COEF @ x)[:1], (COEF @ (x * [1, 0, 1]))[1:]])
    m, o = [1, 2], [0, 3]
    pulled = np.linalg.solve(precision[np.ix_(m, m)], precision[np.ix_(m, o)] @ (np.array([4.0, 1.5]) - mean[o]))
    np.testing.assert_allclose(made[0, m], mean[m] - pulled, atol=1e-10)


def test_amounts_are_in_the_residual_sd_of_the_rows_own_arm_and_carried_by_its_slopes() -> None:
    frame = trial()
    shift = mk.PatternMixture(mk.Shift(("w3", "w4"), 0.5, unit="sd", carry=True))
    spec, data = mk.Spec(MODEL, shift), IncompleteData.of(frame)
    layout = lay_out(spec, data, designs_of(spec, data))
    y = np.nan_to_num(layout.y)
    before = y.copy()
    move(y, [(a, 0.5) for a in layout.amounts], Parameters(COEF, COVS, [], [], []), layout, layout.seen)
    for arm, cov in enumerate(COVS):
        both = (arm_of(frame) == arm) & frame[["w3", "w4"]].isna().all(axis=1) & frame[["w1", "w2"]].notna().all(axis=1)
        sd = np.sqrt(np.diag(cov))
        o = [0, 1, 2]
        slope = np.linalg.solve(cov[np.ix_(o, o)], cov[o, 3])[2]
        moved = (y - before)[both]
        np.testing.assert_allclose(moved[:, 2], 0.5 * sd[2])
        np.testing.assert_allclose(moved[:, 3], 0.5 * sd[3] + slope * 0.5 * sd[2])


@cache
def drawn() -> mk.Fit:
    return drawn_fit(mk.Spec(SEPARATE), trial(200))


def test_imputations_have_the_conditional_moments_of_the_arm() -> None:
    """Over 200 draws: mean and sd of w4 of rows that lack it alone, within 5 Monte Carlo standard errors."""
    frame, fit = trial(200), drawn()
    imputed = mk.impute(fit, 400, seed=3).cells["w4"]
    at = mk.em(fit.spec, frame, progress=False)
    lacking = frame["w4"].isna().to_numpy()
    for arm, cov in enumerate(at.cov):
        rows = (arm_of(frame) == arm) & frame["w4"].isna().to_numpy() & frame[["w1", "w2", "w3"]].notna().all(axis=1)
        o = [0, 1, 2]
        slope = np.linalg.solve(cov[np.ix_(o, o)], cov[o, 3])
        sd = np.sqrt(cov[3, 3] - slope @ cov[o, 3])
        gap = imputed[:, rows.to_numpy()[lacking]] - at.expected()["w4"].to_numpy()[rows.to_numpy()]
        spread = np.sqrt(np.mean(gap**2))
        # draws of the parameters add to it: some 1/50 of the variance for each of 5 coefficients of 100 rows
        assert 0.93 * sd < spread < 1.25 * sd


def test_a_fit_by_arm_is_judged_compared_and_stressed(tmp_path) -> None:
    fit = drawn()
    again = mk.load_fit(fit.save(tmp_path))
    assert again.draws["posterior"]["corr"].dims == ("chain", "draw", "arm", "column_name", "column_name_2")
    j2r = mk.Reference("J2R", arm="arm", control="control")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        formula = "w4 ~ arm + base"
        made = mk.compare({"EM": mk.em(fit.spec, trial(200)), "MAR": fit, "J2R": (fit, j2r)}, formula, m=20, seed=1)
        em = mk.em(fit.spec.under(j2r), trial(200)).project(formula).set_index("term")["estimate"]
    table = made.to_frame().set_index(["assumption", "term"])
    row = table.loc[("J2R", "arm[T.drug]")]
    assert abs(row["estimate"] - em["arm[T.drug]"]) < 5 * row["mc_error"]
    assert table.loc[("EM", "arm[T.drug]"), "estimate"] < row["estimate"] < 0  # J2R takes the effect back


def test_simulated_tables_have_the_covariance_of_each_arm() -> None:
    spec = mk.Spec(MODEL)
    sd = np.sqrt(np.diagonal(COVS, axis1=1, axis2=2))
    truth = {"coef": COEF, "sd": sd, "corr": COVS / (sd[:, :, None] * sd[:, None, :])}
    rows = pd.DataFrame({"arm": ["drug", "control"] * 20_000, "base": 10.0}).assign(**dict.fromkeys(VISITS, 0.0))
    made = mk.simulate(spec, truth, data=rows, seed=1)
    for arm, cov in zip(("control", "drug"), COVS, strict=True):
        found = made.loc[made["arm"] == arm, list(VISITS)].cov().to_numpy()
        # 20,000 rows: the standard error of a covariance is at most √2 · 9 / √20,000 = 0.09
        np.testing.assert_allclose(found, cov, atol=0.4)
    with pytest.raises(SpecError, match="one for each of control, drug"):
        mk.simulate(spec, truth | {"sd": sd[0]}, data=rows, seed=1)


def test_sampling_starts_at_em_and_names_the_arms() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mk.sample(mk.Spec(SEPARATE), trial(200), draws=300, tune=400, chains=2, seed=3, progress=False)
    posterior = fit.draws["posterior"].to_dataset()
    assert posterior["sd"].coords["arm"].values.tolist() == ["control", "drug"]
    assert fit.draws.attrs["divergences"] == 0
    at = mk.em(fit.spec, trial(200), progress=False)
    sd = np.sqrt(np.diagonal(at.cov, axis1=1, axis2=2))
    # the posterior mean of an sd is some 3 % above the maximum, of 100 rows on 2 terms; its own sd is 7 % and more
    np.testing.assert_allclose(posterior["sd"].mean(("chain", "draw")).values, sd, rtol=0.15)
    checked = mk.diagnose(fit, seed=1)
    assert "sampler" in str(checked).lower()
    grid = mk.Grid(-1, 1, unit="sd", points=3)
    stressed = mk.sensitivity(fit, "w4 ~ arm + base", {"w4": grid}, m=10, seed=1, progress=False)
    assert len(stressed.to_frame()) > 3


BAD = {
    "modelled": (lambda f: mk.MvNormal("w1", "w2", by="w1"), "by='w1' is a modelled column"),
    "text": (lambda f: mk.MvNormal("w1", "w2", by=3), "names the column whose levels"),
    "absent": (lambda f: mk.em(mk.Spec(mk.MvNormal("w1", "w2", by="group")), f), "'group'"),
    "hole": (lambda f: mk.em(mk.Spec(MODEL), f.assign(arm=f["arm"].where(f.index > 2))), "'arm' has 3 holes"),
    "one level": (lambda f: mk.em(mk.Spec(mk.MvNormal(*VISITS, by="arm")), f.assign(arm="x")), "has 1 levels"),
    "an identifier": (lambda f: mk.em(mk.Spec(mk.MvNormal(*VISITS, by="id")), f.assign(id=range(60))), "60 levels"),
    "few rows": (
        lambda f: mk.em(mk.Spec(MODEL), f[(f["arm"] == "control") | (f.index < 8)]),
        "'arm' is 'drug' in 4 rows with a recorded value, and a covariance of 4 columns needs at least 5",
    ),
    "nothing recorded": (
        lambda f: mk.em(mk.Spec(MODEL), f.assign(w4=f["w4"].where(f["arm"] == "control"))),
        "'w4' has 0 recorded values where arm is 'drug'",
    ),
    "Heckman": (
        lambda f: mk.em(mk.Spec(MODEL, mk.Heckman("recorded(w4) ~ base")), f),
        "reads one residual covariance, and by='arm' has one for each level",
    ),
    "inside": (
        lambda f: mk.em(mk.Spec(MODEL, mk.PatternMixture(mk.Shift("w4", 1, unit="sd", of="model"))), f),
        "use of='prediction'",
    ),
    "restriction": (
        lambda f: mk.Spec(MODEL, mk.PatternMixture(mk.Restriction("CCMV"))),
        "or by=",
    ),
    "new level": (
        lambda f: mk.impute(drawn(), 2, seed=1, data=f.assign(arm="other")),
        "'arm' is 'other' in 60 rows",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_go_with_it_is_one_line(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises((SpecError, DataError), match=message.replace("(", r"\(")) as caught:
        make(trial())
    assert "\n" not in str(caught.value)
