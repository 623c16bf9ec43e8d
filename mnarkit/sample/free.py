"""The free parameters of a spec as blocks of scalars with their priors, and the equations of its indicators.

They are those of the PyMC model that `build` makes, in the same order.
"""

from dataclasses import dataclass

import numpy as np

from mnarkit.families import DEFAULTS
from mnarkit.normal.declared import Amount, FreeAmounts, free_amounts
from mnarkit.normal.layout import Indicator, Layout
from mnarkit.normal.scaling import Scaling, own_units_map
from mnarkit.priors import Prior, prior_table
from mnarkit.sample.scalars import Block, correlations, located, positive
from mnarkit.spec.data_models import DataModel
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["Equation", "amount_map", "free_parameters", "free_terms"]

type Modelled = Selection | Heckman | Dropout | SharedParameter


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """The coefficients of an indicator, β = free_map @ values + fixed, and `own` @ β in the columns' own units.

    Attributes
    ----------
    rho : float or None
        An error correlation that is given; NaN for a free one, None where there is none.
    """

    free_map: np.ndarray
    fixed: np.ndarray
    own: np.ndarray
    rho: float | None


def free_parameters(spec: Spec, standard: Layout, scaling: Scaling) -> tuple[tuple[Block, ...], tuple[Equation, ...]]:
    """Blocks in their order: the data model's, each indicator's coefficients, error correlations, amounts."""
    blocks = list(_data_model(spec.model, standard, scaling))
    equations, rhos = [], []
    for k, (belief, indicator) in enumerate(zip(spec.selections, standard.indicators, strict=True)):
        made, equation, rho = _equation(belief, indicator, scaling, k)
        blocks += made
        rhos += rho
        equations.append(equation)
    drawn = [block for free in free_amounts(standard.amounts) for block in _amount_blocks(free)]
    return (*blocks, *rhos, *drawn), tuple(equations)


def _amount_blocks(free: FreeAmounts) -> list[Block]:
    """Amounts as declared; correlated ones as standard normal deviations."""
    if free.corr is None:
        return [located(name, [prior], np.ones(()), ()) for name, prior in zip(free.names, free.priors, strict=True)]
    count = len(free.names)
    return [located(f"{free.names[0]}_z", [Prior("normal", 0, 1)] * count, np.ones(()), (count,))]


def amount_map(amounts: tuple[Amount, ...], starts: dict[str, int]) -> dict[str, tuple[float, np.ndarray]]:
    """Every free amount by name: what it is where all values are 0, and its factors, (k,), on the values."""
    size, made = starts[""], {}
    for free in free_amounts(amounts):
        if free.corr is None:
            made |= {name: (0.0, np.eye(size)[starts[name]]) for name in free.names}
            continue
        at = starts[f"{free.names[0]}_z"]
        for name, prior, row in zip(free.names, free.priors, free.root, strict=True):
            factors = np.zeros(size)
            factors[at : at + len(row)] = prior.values[1] * row
            made[name] = prior.values[0], factors
    return made


def _data_model(model: DataModel, layout: Layout, scaling: Scaling) -> list[Block]:
    priors = {
        **{k: DEFAULTS[k] for k in ("coef", "intercept", "sd", "corr")},
        **prior_table(getattr(model, "priors", None)),
    }
    each = [priors["intercept" if t == "Intercept" else "coef"] for t in layout.terms]
    structure, p, eta = layout.structure, len(layout.columns), priors["corr"].values[0]
    rows = p if structure is None or structure.basis is None else structure.basis.shape[1]
    shape = rows, len(layout.terms)
    units = scaling.x_scale[None, :] / scaling.scale[:rows, None]
    arms = () if layout.arms is None else (len(layout.arms.labels),)
    if structure is None:
        sds = np.broadcast_to(1 / scaling.scale, (*arms, p))
        made = [located("coef_z", each, units, shape), positive("sd_z", priors["sd"], sds)]
        return made + ([correlations("partial_corr_z", p, eta, arms)] if p > 1 else [])
    ones = 1 / scaling.scale if structure.by_wave else 1 / scaling.scale[:1]
    ones = np.broadcast_to(ones, (*arms, len(ones)))
    if structure.basis is None:
        low = structure.lowest if structure.kind.startswith("CS") else -1.0
        between = [Prior("uniform", low, 1.0)]
        return [
            located("coef_z", each, units, shape),
            positive("sd_z", priors["sd"], ones),
            located("shape_z", between, np.ones(()), (*arms, structure.n_shape)),
        ]
    made = [
        located("growth_z", each, units, shape),
        positive("residual_sd_z", priors["sd"], ones),
        positive("random_sd_z", priors["sd"], 1 / scaling.scale[:rows]),
    ]
    return made + ([correlations("random_corr_z", rows, eta)] if rows > 1 else [])


def _equation(
    belief: Modelled, indicator: Indicator, scaling: Scaling, k: int
) -> tuple[list[Block], Equation, list[Block]]:
    declared = prior_table(belief.priors)
    priors = {name: prior for name, prior in declared.items() if name != "rho"}
    default = DEFAULTS[belief.link, "slope"], DEFAULTS[belief.link, "intercept"]
    terms, own = indicator.terms, own_units_map(indicator, scaling, k)
    each = [priors.get(t, default[t.partition("[")[0] == "Intercept"]) for t in terms]
    units = np.concatenate([scaling.w_scales[k], [scaling.scale[j] for j in indicator.slopes]])
    free = [i for i, prior in enumerate(each) if isinstance(prior, Prior)]
    some = [(terms[i], prior, units[i]) for i, prior in enumerate(each) if isinstance(prior, Prior)]
    if priors:
        blocks = [located(f"{indicator.name}_{t}_z", [prior], np.asarray(u), ()) for t, prior, u in some]
    else:
        blocks = [located(f"{indicator.name}_z", [p for _, p, _ in some], units, (len(terms),))]
    free_map = np.eye(len(terms))[:, free]
    fixed = np.array([0.0 if isinstance(p, Prior) else p * u for p, u in zip(each, units, strict=True)])
    for i, (term, prior) in enumerate(zip(terms, each, strict=True)):
        if term == "Intercept" and not isinstance(prior, Prior):  # fixed, raw: take off what the slopes carry there
            others = np.where(np.arange(len(terms)) == i, 0.0, own[i])
            free_map[i] = -others @ free_map
            fixed[i] -= others @ fixed
    if not isinstance(belief, Heckman):
        return blocks, Equation(free_map, fixed, own, None), []
    prior = declared.get("rho", DEFAULTS["rho"])
    if not isinstance(prior, Prior):
        return blocks, Equation(free_map, fixed, own, float(prior)), []
    name, squash = f"rho_{belief.columns[0]}", prior.family != "uniform"
    rho = located(f"{name}_z" if squash else name, [prior], np.ones(()), (), squash=squash)
    return blocks, Equation(free_map, fixed, own, np.nan), [rho]


def free_terms(belief: Modelled, indicator: Indicator) -> list[tuple[str, Prior]]:
    """The free coefficients of an indicator, without their wave, with their priors."""
    default, given = Prior("normal", 0, 1), prior_table(belief.priors)
    each = [(term.partition("[")[0], given.get(term, default)) for term in indicator.terms]
    return [(name, prior) for name, prior in each if isinstance(prior, Prior)]
