"""Free parameters of each part of a spec, on standardised columns, inside an open PyMC model."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor

from mnarkit.build.ops import Covariance
from mnarkit.build.priors import coefficient, location_scale, positive
from mnarkit.families import DEFAULTS
from mnarkit.normal.declared import Amount, free_amounts
from mnarkit.normal.layout import Indicator, Layout
from mnarkit.normal.scaling import Scaling, own_units_map
from mnarkit.normal.structure import Pieces, Structure
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.data_models import DataModel
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter

__all__ = ["add_amounts", "add_correlation", "add_data_model", "add_indicator", "add_structure"]

# untyped: PyTensor annotates its results as variables without arithmetic, and elementwise functions as returning None
pt: Any = pytensor.tensor
_AMOUNT: dict[str, Any] = {"normal": pm.Normal, "student_t": pm.StudentT, "uniform": pm.Uniform}


def add_data_model(model: DataModel, layout: Layout, scaling: Scaling) -> tuple[Any, Any]:
    """`coef_z`, `sd_z` and, for several columns, `partial_corr_z`: (coefficients, residual covariance)."""
    priors = {
        **{k: DEFAULTS[k] for k in ("coef", "intercept", "sd", "corr")},
        **prior_table(getattr(model, "priors", None)),
    }
    p = len(layout.columns)
    each = [priors["intercept" if t == "Intercept" else "coef"] for t in layout.terms]
    units = scaling.x_scale[None, :] / scaling.scale[:, None]
    coef = location_scale("coef_z", each, units, dims=("column_name", "term"))
    arms, sds = _by_arm(layout, 1 / scaling.scale)
    sd = positive("sd_z", priors["sd"], sds, dims=(*arms, "column_name"))
    if p == 1:
        return coef, (sd**2)[..., None]
    share = _partial_correlations(p, priors["corr"].values[0], arms=sds.shape[:-1])
    if not arms:
        return coef, Covariance()(sd, 2 * share - 1)
    return coef, pt.stack([Covariance()(sd[a], 2 * share[a] - 1) for a in range(len(sds))])


def _by_arm(layout: Layout, each: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The dim of arms, if each has a covariance of its own, and numbers of columns for every arm."""
    if layout.arms is None:
        return (), each
    return ("arm",), np.tile(each, (len(layout.arms.labels), 1))


def add_structure(structure: Structure, model: DataModel, layout: Layout, scaling: Scaling) -> tuple[Pieces, Any, Any]:
    """Free parameters of a structured data model, on columns standardised alike, with its coefficients and covariance.

    `growth_z`, `random_sd_z`, `random_corr_z` and `residual_sd_z`, or `coef_z`, `shape_z` (ρ, or partial
    autocorrelations, uniform) and `sd_z`.
    """
    priors = {
        **{k: DEFAULTS[k] for k in ("coef", "intercept", "sd", "corr")},
        **prior_table(getattr(model, "priors", None)),
    }
    each = [priors["intercept" if t == "Intercept" else "coef"] for t in layout.terms]
    rows = structure.p if structure.basis is None else structure.basis.shape[1]
    units = scaling.x_scale[None, :] / scaling.scale[:rows, None]
    curve = structure.basis is not None
    mean = location_scale(
        "growth_z" if curve else "coef_z", each, units, dims=("curve" if curve else "column_name", "term")
    )
    ones = 1 / scaling.scale if structure.by_wave else 1 / scaling.scale[:1]
    arms, ones = _by_arm(layout, ones)
    dims = (*arms, "column_name" if structure.by_wave else "common_sd")
    sd = positive("residual_sd_z" if curve else "sd_z", priors["sd"], ones, dims=dims)
    if curve:
        spread = positive("random_sd_z", priors["sd"], 1 / scaling.scale[:rows], dims=("curve",))
        if rows == 1:
            shape = (spread**2)[:, None]
        else:
            shape = Covariance()(spread, 2 * _partial_correlations(rows, priors["corr"].values[0], "random_corr_z") - 1)
    else:
        low = structure.lowest if structure.kind.startswith("CS") else -1.0
        shape: Any = pm.Uniform("shape_z", low, 1.0, shape=(*ones.shape[:-1], structure.n_shape))
    pieces = Pieces(mean, shape, sd)
    if not arms:
        return pieces, *structure.moments(pieces, pt)
    covs = [structure.moments(Pieces(mean, shape[a], sd[a]), pt)[1] for a in range(len(ones))]
    return pieces, mean, pt.stack(covs)


def _partial_correlations(p: int, eta: float, name: str = "partial_corr_z", arms: tuple[int, ...] = ()) -> Any:
    """LKJ(eta) as independent partial correlations: (1 + P_ij) / 2 ~ Beta(a, a), a = eta + (p - 2 - j) / 2.

    Lewandowski, Kurowicka & Joe (2009), section 2.4.
    """
    columns = np.tril_indices(p, -1)[1]
    a = eta + (p - 2 - columns) / 2
    return pm.Beta(name, a, a, shape=(*arms, len(columns)))


def add_indicator(
    belief: Selection | Heckman | Dropout | SharedParameter,
    indicator: Indicator,
    scaling: Scaling,
    k: int,
    random: Any = None,
) -> tuple[Any, Any]:
    """`missing_y_z` or `recorded_y_z`: coefficients in the order of the terms, standardised and in own units.

    `random`, the covariance of random terms, turns coefficients per sd of a random term into standardised ones.
    """
    priors = {name: prior for name, prior in prior_table(belief.priors).items() if name != "rho"}
    default = DEFAULTS[belief.link, "slope"], DEFAULTS[belief.link, "intercept"]
    each = [priors.get(t, default[t.partition("[")[0] == "Intercept"]) for t in indicator.terms]
    units = np.concatenate([scaling.w_scales[k], [scaling.scale[j] for j in indicator.slopes]])
    back: Any = pm.Data(f"{indicator.name}_map", own_units_map(indicator, scaling, k))
    if not priors:
        only = [p for p in each if isinstance(p, Prior)]
        beta = location_scale(f"{indicator.name}_z", only, units, dims=(f"{indicator.name}_term",))
        beta = beta / _sd_of_terms(indicator, each, random)
        return beta, back @ beta
    numbered = zip(indicator.terms, each, units, strict=True)
    beta = pt.stack([coefficient(f"{indicator.name}_{t}_z", p, u) for t, p, u in numbered])
    beta = beta / _sd_of_terms(indicator, each, random)
    for i, (term, prior) in enumerate(zip(indicator.terms, each, strict=True)):
        if term == "Intercept" and not isinstance(prior, Prior):  # fixed, raw: take off what the slopes carry there
            beta = pt.set_subtensor(beta[i], beta[i] - (back @ pt.set_subtensor(beta[i], 0.0))[i])
    return beta, back @ beta


def _sd_of_terms(indicator: Indicator, priors: Sequence[Prior | float], random: Any) -> Any:
    """The sd of each term that is a random term with a prior per sd of it; 1 for the others."""
    if indicator.hazard is None or not indicator.hazard.hidden:
        return 1.0
    sd = pt.sqrt(pt.diag(random))
    made = []
    for term, prior in zip(indicator.terms, priors, strict=True):
        name = term.partition("[")[0]
        of_one = name in RANDOM_TERMS and isinstance(prior, Prior) and prior.unit == "sd"
        made.append(sd[RANDOM_TERMS.index(name)] if of_one else pt.as_tensor(1.0))
    return pt.stack(made)


@singledispatch
def add_correlation(belief: Any, column: str) -> Any:
    """Heckman's ρ; None for a belief that has none."""
    return None


@add_correlation.register
def _(belief: Heckman, column: str) -> Any:
    prior = prior_table(belief.priors).get("rho", DEFAULTS["rho"])
    name = f"rho_{column}"
    if not isinstance(prior, Prior):
        fixed: Any = pm.Data(f"{name}_fixed", np.asarray(prior))
        return pm.Deterministic(name, fixed * 1.0)
    if prior.family == "uniform":
        return pm.Uniform(name, *prior.values)
    kind = {"normal": pm.Normal, "student_t": pm.StudentT}[prior.family]
    return pm.Deterministic(name, pt.tanh(kind(f"{name}_z", *prior.values)))


def add_amounts(amounts: tuple[Amount, ...]) -> dict[str, Any]:
    """Add numbers as data, priors as parameters; the data inform them only where they stand inside the model.

    Correlated ones are mean + sd L u with u standard normal, `{first name}_z`.
    """
    added = {}
    for amount in amounts:
        if not isinstance(amount.declared, Prior) and amount.name not in added:
            added[amount.name] = pm.Data(amount.name, np.asarray(amount.declared))
    for free in free_amounts(amounts):
        if free.corr is None:
            added |= {n: _AMOUNT[p.family](n, *p.values) for n, p in zip(free.names, free.priors, strict=True)}
            continue
        deviations = pt.dot(free.root, pm.Normal(f"{free.names[0]}_z", 0, 1, shape=len(free.names)))
        for i, (name, prior) in enumerate(zip(free.names, free.priors, strict=True)):
            added[name] = pm.Deterministic(name, prior.values[0] + prior.values[1] * deviations[i])
    return added
