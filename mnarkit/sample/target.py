"""The log posterior of a spec on a table as a function of one unconstrained vector, without PyMC.

It has the parameters, the maps and the priors of the PyMC model that `build` makes, in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.families import DEFAULTS
from mnarkit.normal.declared import Amount, FreeAmounts, free_amounts
from mnarkit.normal.layout import Indicator, KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import pack
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.scaling import Scaling, own_units_map, standardise
from mnarkit.normal.structure import Structure
from mnarkit.priors import Prior, prior_table
from mnarkit.sample.density import FREE, GROWTH, LAGS, arguments, log_density, log_density_together, moments_of_values
from mnarkit.sample.moving import BY_CONSTANT, OF_MEAN, PER_SD
from mnarkit.sample.scalars import Block, correlations, located, place_all, positive, unplaced
from mnarkit.spec.data_models import DataModel
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.pattern_mixture import Scale
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["Equation", "Target"]


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


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A log posterior density.

    Attributes
    ----------
    layout, standard, scaling : Layout, Layout, Scaling
        The table in own units, standardised, and how.
    rows : KernelData
        What the kernel reads.
    blocks : tuple of Block
        The free parameters, in the order of θ.
    equations : tuple of Equation
        One for each modelled indicator.
    amounts : dict
        Every free amount by name, linear in the values: where these are 0, and its factors, (k,).
    """

    spec: Spec
    layout: Layout
    standard: Layout
    scaling: Scaling
    rows: KernelData
    blocks: tuple[Block, ...]
    equations: tuple[Equation, ...]
    amounts: dict[str, tuple[float, np.ndarray]]
    scalars: tuple[np.ndarray, ...]
    design: tuple[Any, ...]
    packed: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, spec: Spec, data: IncompleteData) -> "Target | None":
        """Lay a checked spec out; None where it has something that is not written here."""
        data = fitted_table(spec, data)
        layout = lay_out(spec, data, designs_of(spec, data))
        if layout.hidden:  # random terms that indicators read
            return None
        standard, scaling = standardise(layout)
        rows = kernel_data(standard)
        blocks, equations = _free_parameters(spec, standard, scaling)
        scalars = (
            np.concatenate([b.kind for b in blocks]),
            np.concatenate([b.numbers for b in blocks]),
            np.concatenate([np.full(b.size, b.squash) for b in blocks]),
        )
        starts = dict(
            zip([*(b.name for b in blocks), ""], np.cumsum([0, *(b.size for b in blocks)]).tolist(), strict=True)
        )
        amounts = _amount_map(standard.amounts, starts)
        design = _design(spec, standard, rows, blocks, equations, starts, amounts)
        packed = pack(rows.arrays)
        made = cls(spec, layout, standard, scaling, rows, blocks, equations, amounts, scalars, design, packed)
        return made if made._agrees() else None

    @property
    def size(self) -> int:
        """Free scalars."""
        return len(self.scalars[0])

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Take the log density, constants included, and its gradient."""
        return self.function()(theta)

    def function(self) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Log density and gradient as a function that looks nothing up when it is called."""
        kernel, scalars, design = log_density_together if self.rows.together else log_density, self.scalars, self.design
        reals, whole = self.packed
        return lambda theta: kernel(theta, scalars, design, reals, whole)

    def values(self, theta: np.ndarray) -> np.ndarray:
        """Where each scalar lives: (..., k) from (..., k)."""
        flat = np.ascontiguousarray(theta, dtype=float).reshape(-1, self.size)
        out = np.empty(flat.shape)
        place_all(flat, self.scalars[0], self.scalars[1], self.scalars[2], out)
        return out.reshape(np.shape(theta))

    def theta(self, named: dict[str, np.ndarray]) -> np.ndarray:
        """Undo `values` for blocks by name; NaN where a block is not given."""
        each = [unplaced(b, named[b.name]) if b.name in named else np.full(b.size, np.nan) for b in self.blocks]
        return np.concatenate(each)

    def by_name(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Split values (..., k) into blocks, (..., *shape)."""
        edges = np.cumsum([b.size for b in self.blocks])[:-1]
        pieces = np.split(values, edges, axis=-1)
        return {b.name: v.reshape((*v.shape[:-1], *b.shape)) for b, v in zip(self.blocks, pieces, strict=True)}

    def parameters(self, values: np.ndarray) -> Parameters:
        """Standardised parameters as `normal.parameters` names them, at one point."""
        coef, cov = moments_of_values(values, self.design[0], self.design[1])
        named = self.by_name(values)
        free = {name: at + factors @ values for name, (at, factors) in self.amounts.items()}
        amounts = [free.get(a.name, a.declared) for a in self.standard.model_amounts]
        betas, rhos, at = [], [], int(self.design[0][7])
        for belief, equation in zip(self.spec.selections, self.equations, strict=True):
            k = equation.free_map.shape[1]
            betas.append(equation.free_map @ values[at : at + k] + equation.fixed)
            rhos.append(_rho(named, belief.columns[0], equation))
            at += k
        return Parameters(coef, cov, betas, rhos, amounts)

    def _agrees(self) -> bool:
        """Whether the compiled arguments are those of `normal.parameters`, at a point that has no special value."""
        values = self.values(0.3 * np.random.default_rng(1).normal(size=self.size))
        expected = kernel_parameters(self.parameters(values), self.standard, self.rows)
        made = arguments(values, self.design)[2:]
        pairs = zip(made, expected, strict=True)
        return all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in pairs)


def _rho(named: dict[str, np.ndarray], column: str, equation: Equation) -> float | None:
    if equation.rho is None or not np.isnan(equation.rho):
        return equation.rho
    value = named[f"rho_{column}"] if f"rho_{column}" in named else named[f"rho_{column}_z"]
    return float(value)


def _free_parameters(spec: Spec, standard: Layout, scaling: Scaling) -> tuple[tuple[Block, ...], tuple[Equation, ...]]:
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


def _amount_map(amounts: tuple[Amount, ...], starts: dict[str, int]) -> dict[str, tuple[float, np.ndarray]]:
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
    if structure is None:
        made = [located("coef_z", each, units, shape), positive("sd_z", priors["sd"], 1 / scaling.scale)]
        return made + ([correlations("partial_corr_z", p, eta)] if p > 1 else [])
    ones = 1 / scaling.scale if structure.by_wave else 1 / scaling.scale[:1]
    if structure.basis is None:
        low = structure.lowest if structure.kind.startswith("CS") else -1.0
        between = [Prior("uniform", low, 1.0)]
        return [
            located("coef_z", each, units, shape),
            positive("sd_z", priors["sd"], ones),
            located("shape_z", between, np.ones(()), (structure.n_shape,)),
        ]
    made = [
        located("growth_z", each, units, shape),
        positive("residual_sd_z", priors["sd"], ones),
        positive("random_sd_z", priors["sd"], 1 / scaling.scale[:rows]),
    ]
    return made + ([correlations("random_corr_z", rows, eta)] if rows > 1 else [])


def _equation(
    belief: Selection | Heckman | Dropout | SharedParameter, indicator: Indicator, scaling: Scaling, k: int
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


def _design(
    spec: Spec,
    standard: Layout,
    rows: KernelData,
    blocks: tuple[Block, ...],
    equations: tuple[Equation, ...],
    starts: dict[str, int],
    amounts: dict[str, tuple[float, np.ndarray]],
) -> tuple[Any, ...]:
    """Lay out what `density.arguments` reads."""
    structure, (p, q) = standard.structure, (len(standard.columns), len(standard.terms))
    head = _kind(structure), p, q, blocks[0].shape[0], structure is None or structure.by_wave
    first = sum(b.size for b in blocks[: len(_moment_names(blocks))])
    lines, fixed, (K, R) = _lines(standard, rows, equations)
    basis = np.zeros((p, 0)) if structure is None or structure.basis is None else structure.basis
    heckman, rhos, k = [], [], 0
    for belief, indicator, equation in zip(spec.selections, standard.indicators, equations, strict=True):
        if equation.rho is not None:
            name = f"rho_{belief.columns[0]}"
            where = starts.get(name, starts.get(f"{name}_z", -1))
            heckman.append((k, indicator.column, where))
            rhos.append(0.0 if np.isnan(equation.rho) else equation.rho)
        k += indicator.n_rows
    return (
        np.array([*head, K, R, first, len(rows.limited)], dtype=np.int64),
        np.ascontiguousarray(basis),
        lines,
        fixed,
        np.array(heckman, dtype=np.int64).reshape(-1, 3),
        np.array(rhos, dtype=float),
        _moves(standard, rows, amounts),
    )


def _moment_names(blocks: tuple[Block, ...]) -> list[str]:
    names = {"coef_z", "sd_z", "partial_corr_z", "growth_z", "residual_sd_z", "random_sd_z", "random_corr_z", "shape_z"}
    return [b.name for b in blocks if b.name in names]


def _kind(structure: Structure | None) -> int:
    if structure is None:
        return FREE
    return GROWTH if structure.basis is not None else next(v for k, v in LAGS.items() if structure.kind.startswith(k))


def _lines(
    standard: Layout, rows: KernelData, equations: tuple[Equation, ...]
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A and c as linear functions of the free coefficients, found by asking `kernel_parameters` for each of them.

    What cannot be said so is found out by comparing both at another point.
    """
    p = len(standard.columns)
    free = sum(e.free_map.shape[1] for e in equations)
    amounts = [1.0] * len(standard.model_amounts)

    def ask(phi: np.ndarray) -> np.ndarray:
        edges = np.cumsum([e.free_map.shape[1] for e in equations])[:-1]
        each = np.split(phi, edges) if equations else []
        betas = [e.free_map @ v + e.fixed for e, v in zip(equations, each, strict=True)]
        rhos = [None if e.rho is None else 0.0 for e in equations]
        asked = Parameters(np.zeros((p, len(standard.terms))), np.eye(p), betas, rhos, amounts)
        _, _, A, _, c, _ = kernel_parameters(asked, standard, rows)
        return np.concatenate([np.ravel(A), c])

    fixed = ask(np.zeros(free))
    found = [ask(e) - fixed for e in np.eye(free)]
    triplets = [(i, k, line[i]) for k, line in enumerate(found) for i in np.flatnonzero(line)]
    K = sum(i.n_rows for i in standard.indicators) + len(rows.limited)
    return np.array(triplets, dtype=float).reshape(-1, 3), fixed, (K, len(fixed) - K * p)


def _moves(standard: Layout, rows: KernelData, free: dict[str, tuple[float, np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Lay out what `moving` reads."""
    p, q = len(standard.columns), len(standard.terms)
    amounts = standard.model_amounts
    pieces, numbers = np.zeros((len(rows.pieces), 5 + 2 * p), np.int64), np.zeros((len(rows.pieces), 2 + q))
    for row, made, (columns, i) in zip(pieces, numbers, rows.pieces, strict=True):
        mode, factor, offset = _distance(amounts[i], standard)
        j, given = amounts[i].column, amounts[i].predictors
        row[:4], row[4 : 4 + len(columns)] = (mode, i, j, len(columns)), columns
        row[4 + p], row[5 + p : 5 + p + len(given)] = len(given), given
        intercept = np.array([t == "Intercept" for t in standard.terms])
        made[:2], made[2:] = (factor, offset), np.where(intercept, standard.center[j] / standard.scale[j], 0.0)
    groups = np.full((len(rows.groups), 1 + 2 * p), -1, np.int64)
    for row, (columns, scales) in zip(groups, rows.groups, strict=True):
        row[0], row[1 : 1 + len(columns)] = len(columns) if scales else 0, columns
        for a, column in enumerate(columns):
            row[1 + p + a] = next((i for i in scales if amounts[i].column == column), -1)
    fixed = [free[a.name][0] if isinstance(a.declared, Prior) else a.declared for a in amounts]
    lines = [
        (i, k, free[a.name][1][k])
        for i, a in enumerate(amounts)
        if isinstance(a.declared, Prior)
        for k in np.flatnonzero(free[a.name][1])
    ]
    return pieces, numbers, groups, np.array(lines, dtype=float).reshape(-1, 3), np.array(fixed, dtype=float)


def _distance(amount: Amount, standard: Layout) -> tuple[int, float, float]:
    """Mode, factor and offset: what the amount is multiplied by, and what is added, to make a distance or a share."""
    component, scale = amount.component, float(standard.scale[amount.column])
    if isinstance(component, Scale):
        return OF_MEAN, 1.0, -1.0
    match component.unit:
        case "percent":
            return OF_MEAN, 0.01, 0.0
        case "sd":
            return PER_SD, 1.0, 0.0
        case "sd_observed":
            return BY_CONSTANT, amount.sd_observed / scale, 0.0
    return BY_CONSTANT, 1 / scale, 0.0
