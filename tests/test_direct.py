"""The log posterior that is sampled without compiling against the PyMC model of the same spec."""

import subprocess
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode

import mnarkit as mk
from mnarkit.build import build_parts
from mnarkit.data import IncompleteData
from mnarkit.sample.compiled import named_draws
from mnarkit.sample.own import posterior_of
from mnarkit.sample.target import Target
from tests.cases import SPECS, table

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing is compiled: exactness is what is tested
TABLE = table()
WAVES = ("w0", "w1", "w2", "w3")


def trial(n: int = 60) -> pd.DataFrame:
    """Four visits, rows that leave and rows that come back."""
    rng = np.random.default_rng(8)
    y = rng.normal(size=(n, 1)) + 0.3 * np.arange(4) + rng.normal(size=(n, 4))
    left = rng.integers(1, 9, n)
    y[np.arange(4) >= left[:, None]] = np.nan
    frame = pd.DataFrame(y, columns=list(WAVES)).assign(x=rng.normal(5, 2, n))
    v = np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n))
    return frame.assign(v=v, x2=rng.integers(0, 3, n))


RAW = {"coef": mk.Prior("normal", 1, 2, unit="raw"), "sd": mk.Prior("half_normal", 3, unit="raw")}
MORE: dict[str, mk.Spec] = {
    f"covariance {kind}": mk.Spec(mk.MvNormal(*WAVES, given="x", covariance=kind, priors=RAW))
    for kind in ("CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH")
} | {
    "growth": mk.Spec(mk.Growth(*WAVES, times=(0, 1, 2, 4), given="x")),
    "growth, by wave": mk.Spec(
        mk.Growth(*WAVES, times=(0, 1, 2, 4), degree=2, residual="by wave"), mk.Selection("missing(w3) ~ w2 + w3")
    ),
    "growth, one random term": mk.Spec(mk.Growth(*WAVES, times=(0, 1, 2, 4), degree=0)),
    "dropout": mk.Spec(mk.MvNormal(*WAVES), mk.Dropout("previous + current", waves=WAVES)),
    "dropout, some fixed": mk.Spec(
        mk.MvNormal(*WAVES, given="x", covariance="AR(1)"),
        mk.Dropout("previous + current + x", waves=WAVES, link="logit", priors={"current": 0.4}),
    ),
    "dropout, slopes by arm": mk.Spec(
        mk.MvNormal(*WAVES, given="arm"), mk.Dropout("previous + current:arm + x", waves=WAVES, link="logit")
    ),
    "dropout, slopes by arm, some fixed": mk.Spec(
        mk.MvNormal(*WAVES),
        mk.Dropout(
            "previous:arm + current * arm",
            waves=WAVES,
            by_wave=("Intercept", "current:arm[T.b]"),
            priors={"previous:arm[a]": 0.4, "current": mk.Prior("normal", 0, 0.2, unit="raw")},
        ),
    ),
    "dropout of a growth curve, slopes by arm": mk.Spec(
        mk.Growth(*WAVES, times=(0, 1, 2, 4), given="arm"), mk.Dropout("current:arm", waves=WAVES)
    ),
    "by arm, slopes by arm": mk.Spec(
        mk.MvNormal(*WAVES, given="arm", by="arm"), mk.Dropout("previous + current:arm", waves=WAVES)
    ),
    "selection, slopes by arm beside dropout": mk.Spec(
        mk.MvNormal(*WAVES, "v"),
        mk.Dropout("current:arm", waves=WAVES),
        mk.Selection("missing(v) ~ v:arm + w0:x2"),
    ),
    "shared": mk.Spec(
        mk.Growth(*WAVES, times=(0, 1, 2, 4), given="x"), mk.SharedParameter("intercept + slope + x", link="logit")
    ),
    "shared, by wave and raw": mk.Spec(
        mk.Growth(*WAVES, times=(0, 1, 2, 4), degree=2, residual="constant", priors=RAW),
        mk.SharedParameter(
            "slope + curvature + x",
            of="missing",
            by_wave=("slope",),
            priors={"curvature": 0.3, "slope[w2]": mk.Prior("normal", 0, 1, unit="raw")},
        ),
    ),
    "shared, one random term": mk.Spec(
        mk.Growth(*WAVES, times=(0, 1, 2, 4), degree=0), mk.SharedParameter("intercept", by_wave=())
    ),
    "Heckman with a fixed rho": mk.Spec(mk.Regression("w3 ~ x"), mk.Heckman("recorded(w3) ~ x", priors={"rho": 0.5})),
    "reference": mk.Spec(mk.MvNormal(*WAVES, given="arm"), mk.Reference("J2R", arm="arm", control="b")),
    "by arm": mk.Spec(mk.MvNormal(*WAVES, given="arm * x", by="arm"), mk.Selection("missing(w3) ~ w2 + w3")),
    "by arm, raw": mk.Spec(
        mk.MvNormal(*WAVES, given="arm", by="arm", priors=RAW | {"corr": mk.Prior("lkj", 2)}),
        mk.Dropout("previous + current + arm", waves=WAVES),
    ),
    **{
        f"by arm, {kind}": mk.Spec(mk.MvNormal(*WAVES, given="arm", covariance=kind, by="arm"))
        for kind in ("CS", "ARH(1)", "TOEP")
    },
    "too many propensities": mk.Spec(
        mk.MvNormal("w1", "w2", "w3", given="x"),
        *(mk.Selection(f"missing({w}) ~ {w} + x", link="logit") for w in ("w1", "w2", "w3")),
    ),
    "by arm, one column": mk.Spec(mk.MvNormal("w3", given="x", by="arm")),
}
ALL = SPECS | MORE


def table_of(name: str) -> pd.DataFrame:
    return TABLE if name in SPECS else trial().assign(arm=np.where(np.arange(60) % 2, "a", "b"))


@cache
def both(name: str):
    """The target, and log density and gradient of the PyMC model as one function of the same vector."""
    data = IncompleteData.of(table_of(name))
    target, model = Target.of(ALL[name], data), build_parts(ALL[name], data).model
    outputs = [model.logp(), model.dlogp()]
    function = model.compile_fn(outputs, inputs=model.value_vars, mode=PYTHON, point_fn=False)
    shapes = [np.shape(model.initial_point()[v.name]) for v in model.value_vars]
    edges = np.cumsum([np.prod(s, dtype=int) for s in shapes])[:-1]

    def density(theta):
        pieces = np.split(theta, edges)
        return function(*(v.reshape(s) for v, s in zip(pieces, shapes, strict=True)))

    return target, model, density


@pytest.mark.parametrize("name", ALL)
def test_free_parameters_are_those_of_the_model_in_its_order(name):
    target, model, _ = both(name)
    shapes = [np.shape(model.initial_point()[v.name]) for v in model.value_vars]
    assert [b.name for b in target.blocks] == [v.name for v in model.free_RVs]
    assert [b.shape for b in target.blocks] == shapes


@pytest.mark.parametrize("name", ALL)
def test_density_and_gradient_are_those_of_the_model(name):
    target, _, density = both(name)
    points = 0.5 * np.random.default_rng(7).normal(size=(3, target.size))
    here = [target(theta) for theta in points]
    there = [density(theta) for theta in points]
    for (value, gradient), (expected, slopes) in zip(here, there, strict=True):
        # PyMC has constants in single precision, and a normal among Student's t as one of 1e8 degrees of freedom
        assert value == pytest.approx(expected, abs=2e-6 * target.size)
        assert value - here[0][0] == pytest.approx(expected - there[0][0], rel=1e-8, abs=1e-8)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-8 * np.abs(slopes).max())


@pytest.mark.parametrize("name", ALL)
def test_draws_in_own_units_are_those_of_the_model(name):
    target, model, _ = both(name)
    theta = 0.5 * np.random.default_rng(3).normal(size=(2, 3, target.size))
    made, expected = posterior_of(target, theta), named_draws(theta, model)
    assert set(made.data_vars) == set(expected.data_vars)
    labels, known = ({k: list(v.values) for k, v in d.coords.items()} for d in (made, expected))
    assert labels == known
    for variable in made.data_vars:
        assert made[variable].dims == expected[variable].dims
        np.testing.assert_allclose(made[variable], expected[variable], rtol=1e-9, atol=1e-12, err_msg=str(variable))


@pytest.mark.parametrize("name", ["regression, selection with priors", "joint, two shifts inside the model", "growth"])
def test_values_go_to_the_line_and_back(name):
    target, _, _ = both(name)
    theta = 0.5 * np.random.default_rng(4).normal(size=target.size)
    np.testing.assert_allclose(target.theta(target.by_name(target.values(theta))), theta, rtol=1e-9, atol=1e-12)


def test_what_numbers_cannot_say_has_no_density():
    target, _, _ = both("joint, MAR")
    value, gradient = target(np.full(target.size, 800.0))
    assert value == -np.inf
    assert not gradient.any()


DIRECT = """
import sys
import mnarkit as mk
wages = mk.load_dataset("wages")
mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=20, tune=20, chains=2, seed=1, progress=False)
print(sorted({"pymc", "pytensor"} & set(sys.modules)))
"""


def test_neither_pymc_nor_pytensor_is_loaded():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DIRECT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
