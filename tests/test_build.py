"""Every spec of the catalogue: log density and gradient against an independent computation."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
from pytensor.compile.mode import Mode
from scipy import stats

import mnarkit as mk
from mnarkit.build import Built, build_parts
from mnarkit.data import IncompleteData
from mnarkit.em.mnar import _named
from mnarkit.em.objective import Objective
from mnarkit.normal.correlation import partial_correlations
from tests.cases import SPECS, table
from tests.independent import row_loglik

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing is compiled: exactness is what is tested
TABLE = table()
SMALL = table(20)  # limits are integrated one by one by hand, which takes long


def rows_for(name: str) -> pd.DataFrame:
    return SMALL if any(isinstance(b, mk.Limits) for b in SPECS[name].missingness) else TABLE


@dataclass(frozen=True)
class Compiled:
    """A model as one function of its unconstrained point: named values, log likelihood, log density, gradient."""

    built: Built
    names: tuple[str, ...]
    function: object
    shapes: dict[str, tuple[int, ...]]

    def point(self, seed: int) -> np.ndarray:
        """Normal values on the unconstrained scale, narrow, so that correlations stay away from ±1."""
        return 0.5 * np.random.default_rng(seed).normal(size=sum(int(np.prod(s)) for s in self.shapes.values()))

    def __call__(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        sizes = [int(np.prod(s)) for s in self.shapes.values()]
        pieces = np.split(flat, np.cumsum(sizes)[:-1])
        return dict(
            zip(
                self.names,
                self.function(*(v.reshape(s) for v, s in zip(pieces, self.shapes.values(), strict=True))),
                strict=True,
            )
        )


@cache
def compiled(name: str) -> Compiled:
    built = build_parts(SPECS[name], IncompleteData.of(rows_for(name)))
    model = built.model
    wanted = [*model.free_RVs, *model.deterministics]
    outputs = [
        *model.replace_rvs_by_values(wanted),
        *model.replace_rvs_by_values(model.potentials),
        model.logp(),
        model.dlogp(),
    ]
    shapes = {v.name: np.shape(model.initial_point()[v.name]) for v in model.value_vars}
    names = (*(v.name for v in wanted), "loglik", "logp", "gradient")
    return Compiled(
        built, names, model.compile_fn(outputs, inputs=model.value_vars, mode=PYTHON, point_fn=False), shapes
    )


@pytest.mark.parametrize("name", SPECS)
def test_likelihood_equals_an_independent_computation(name):
    model = compiled(name)
    values = model(model.point(seed=1))
    layout, scale = model.built.layout, model.built.scaling.scale
    values["cov"] = np.outer(values["sd"], values["sd"]) * values.get("corr", np.ones((1, 1)))
    by_hand = row_loglik(SPECS[name], rows_for(name), values, layout.x, [i.w for i in layout.indicators])
    jacobian = layout.seen.sum(axis=0) @ np.log(scale)
    # the grid of the independent integral is good to 1e-9 a row, the eight probits to 3e-9
    assert values["loglik"] == pytest.approx(by_hand.sum() + jacobian, abs=2e-6)


@pytest.mark.parametrize("name", SPECS)
def test_gradient_equals_finite_differences(name):
    model = compiled(name)
    point = model.point(seed=2)
    step = 1e-5 * np.eye(len(point))
    numeric = [(model(point + e)["logp"] - model(point - e)["logp"]) / 2e-5 for e in step]
    # central differences of step 1e-5 of a log density of a few hundred: rounding 1e-8, curvature 1e-7
    np.testing.assert_allclose(model(point)["gradient"], numeric, rtol=1e-5, atol=1e-4)


def test_prior_equals_scipy():
    model = compiled("regression, probit")
    values = model(model.point(seed=4))
    expected = stats.norm(0, 10).logpdf(values["coef_z"]).sum()
    expected += (
        np.log(2) + stats.t(3, 0, 2.5).logpdf(values["sd_z"]) + np.log(values["sd_z"])
    ).sum()  # half t, log transform
    expected += stats.norm(0, [3, 1.5, 1.5]).logpdf(values["missing_y1_z"]).sum()
    assert values["logp"] - values["loglik"] == pytest.approx(
        expected, abs=1e-6
    )  # PyMC has constants in single precision


def test_raw_priors_mean_the_columns_own_units():
    model = compiled("regression, selection with priors")
    values = model(model.point(seed=5))
    terms = list(model.built.model.coords["missing_y1_term"])
    assert values["missing_y1"][terms.index("y1")] == pytest.approx(-0.3)
    assert values["missing_y1"][terms.index("Intercept")] == pytest.approx(0.7)
    slope_z = values["missing_y1_x_z"]
    assert values["missing_y1"][terms.index("x")] == pytest.approx(slope_z / TABLE["x"].std())


def test_model_has_named_dims_and_can_be_extended():
    model = mk.build(SPECS["joint, probit"], TABLE)
    assert model.named_vars_to_dims["coef"] == ("column_name", "term")
    assert model.coords["missing_y1_term"] == ("Intercept", "arm[T.placebo]", "y1", "y2")
    with model:
        pm.Potential("belief", pm.logp(pm.Normal.dist(0, 0.1), model["missing_y1"][2]))
    assert np.isfinite(model.compile_logp(mode=PYTHON)(model.initial_point()))


@pytest.mark.parametrize("name", ["regression, probit", "regression, logit", "joint, probit"])
def test_the_likelihood_of_the_model_is_flat_at_the_maximum_of_em(name):
    data = table(300)
    fit = mk.em(SPECS[name], data)
    model = build_parts(SPECS[name], IncompleteData.of(data)).model
    objective = Objective.of(SPECS[name], IncompleteData.of(data))
    top = _named(objective, fit.params)
    sd = np.sqrt(np.diag(top.cov))
    values = {"coef_z": top.coef, "sd_z_log__": np.log(sd), "missing_y1_z": top.indicators[0]}
    if len(sd) > 1:
        values["partial_corr_z_logodds__"] = 2 * np.arctanh(partial_correlations(top.cov))
    loglik = model.replace_rvs_by_values(model.potentials)[0]
    gradient = pytensor.grad(loglik, model.value_vars)
    function = model.compile_fn([loglik, *gradient], inputs=model.value_vars, mode=PYTHON, point_fn=False)
    value, *slopes = function(*(values[v.name] for v in model.value_vars))
    assert value + objective.constant == pytest.approx(fit.loglik, abs=1e-7)
    assert max(np.abs(s).max() for s in slopes) / len(data) < 1e-7  # the requirement is 1e-5
