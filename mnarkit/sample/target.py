"""The log posterior of a spec on a table as a function of one unconstrained vector, without PyMC.

It has the parameters, the maps and the priors of the PyMC model that `build` makes, in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.families import DEFAULTS
from mnarkit.normal.layout import Amount, Indicator, KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import pack
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.scaling import Scaling, own_units_map, standardise
from mnarkit.normal.structure import Structure
from mnarkit.priors import Prior, prior_table
from mnarkit.sample.density import (
    FREE,
    GROWTH,
    LAGS,
    all_spreads,
    arguments,
    log_density,
    log_density_together,
    moments_of_values,
)
from mnarkit.sample.moving import BY_CONSTANT, OF_MEAN, PER_SD
from mnarkit.sample.scalars import Block, correlations, located, place_all, positive, unplaced
from mnarkit.spec.data_models import DataModel
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.pattern_mixture import Scale
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["Equation", "Target"]

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
    """

    spec: Spec
    layout: Layout
    standard: Layout
    scaling: Scaling
    rows: KernelData
    blocks: tuple[Block, ...]
    equations: tuple[Equation, ...]
    scalars: tuple[np.ndarray, ...]
    design: tuple[Any, ...]
    packed: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, spec: Spec, data: IncompleteData) -> "Target | None":
        """Lay a checked spec out; None where it has something that is not written here."""
        data = fitted_table(spec, data)
        layout = lay_out(spec, data, designs_of(spec, data))
        standard, scaling = standardise(layout)
        rows = kernel_data(standard)
        blocks, equations = _free_parameters(spec, standard, scaling)
        scalars = (
            np.concatenate([b.kind for b in blocks]),
            np.concatenate([b.numbers for b in blocks]),
            np.concatenate([np.full(b.size, b.squash) for b in blocks]),
        )
        design = _design(spec, standard, rows, blocks, equations)
        made = cls(spec, layout, standard, scaling, rows, blocks, equations, scalars, design, pack(rows.arrays))
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
        amounts = [named.get(a.name, a.component.amount) for a in self.standard.model_amounts]
        betas, rhos, free = [], [], self.coefficients(values)
        for belief, equation in zip(self.spec.selections, self.equations, strict=True):
            k = equation.free_map.shape[1]
            betas.append(equation.free_map @ free[:k] + equation.fixed)
            rhos.append(_rho(named, belief.columns[0], equation))
            free = free[k:]
        random = self.random(values) if self.standard.hidden else None
        return Parameters(coef, cov, betas, rhos, [float(np.asarray(a)) for a in amounts], random)

    def random(self, values: np.ndarray) -> np.ndarray:
        """Covariance of the random terms that indicators read, on t⁰, t¹, t²: (..., g, g) from values (..., k)."""
        _, back, _, at = self.design[-1]
        flat = values.reshape(-1, self.size)
        spread = np.empty((len(flat), *back.shape))
        all_spreads(flat, at, spread)
        return (back @ spread @ back.T).reshape(*values.shape[:-1], *back.shape)

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        """Free coefficients of the indicators, those per sd of a random term divided by it: (..., m)."""
        of_term, first = self.design[-1][2], int(self.design[0][7])
        found = values[..., first : first + len(of_term)]
        if not (of_term >= 0).any():
            return found
        sd = np.sqrt(np.diagonal(self.random(values), axis1=-2, axis2=-1))
        return found / np.where(of_term >= 0, sd[..., of_term], 1.0)

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
    amounts = [(a.name, a.component.amount) for a in standard.amounts]
    drawn = [located(name, [prior], np.ones(()), ()) for name, prior in amounts if isinstance(prior, Prior)]
    return (*blocks, *rhos, *drawn), tuple(equations)


def _data_model(model: DataModel, layout: Layout, scaling: Scaling) -> list[Block]:
    priors = {**{k: DEFAULTS[k] for k in ("coef", "intercept", "sd", "corr")}, **prior_table(model.priors)}
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


def _design(
    spec: Spec, standard: Layout, rows: KernelData, blocks: tuple[Block, ...], equations: tuple[Equation, ...]
) -> tuple[Any, ...]:
    """Lay out what `density.arguments` reads."""
    structure, (p, q) = standard.structure, (len(standard.columns), len(standard.terms))
    starts = dict(zip([b.name for b in blocks], np.cumsum([0, *(b.size for b in blocks)]).tolist(), strict=False))
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
        np.array([*head, K, R, first], dtype=np.int64),
        np.ascontiguousarray(basis),
        lines,
        fixed,
        np.array(heckman, dtype=np.int64).reshape(-1, 3),
        np.array(rhos, dtype=float),
        _moves(standard, rows, starts),
        _hidden(spec, standard, equations, starts),
    )


def _hidden(
    spec: Spec, standard: Layout, equations: tuple[Equation, ...], starts: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Lay out what `random_terms` reads."""
    free = sum(e.free_map.shape[1] for e in equations)
    structure = standard.structure
    if not standard.hidden or structure is None or structure.back is None:
        return np.zeros((len(standard.columns), 0)), np.zeros((0, 0)), np.full(free, -1), 0
    of_term = [
        RANDOM_TERMS.index(name) if name in RANDOM_TERMS and prior.unit == "sd" else -1
        for belief, indicator in zip(spec.selections, standard.indicators, strict=True)
        for name, prior in _free_terms(belief, indicator)
    ]
    return structure.powers, np.ascontiguousarray(structure.back), np.array(of_term), starts["random_sd_z"]


def _free_terms(belief: Modelled, indicator: Indicator) -> list[tuple[str, Prior]]:
    """The free coefficients of an indicator, without their wave, with their priors."""
    default, given = Prior("normal", 0, 1), prior_table(belief.priors)
    each = [(term.partition("[")[0], given.get(term, default)) for term in indicator.terms]
    return [(name, prior) for name, prior in each if isinstance(prior, Prior)]


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
        betas = [e.free_map @ v + e.fixed for e, v in zip(equations, np.split(phi, edges), strict=True)]
        rhos = [None if e.rho is None else 0.0 for e in equations]
        none = np.eye(standard.hidden)
        asked = Parameters(np.zeros((p, len(standard.terms))), np.eye(p), betas, rhos, amounts, none)
        _, _, A, _, c, _ = kernel_parameters(asked, standard, rows)
        return np.concatenate([np.ravel(A), c])

    fixed = ask(np.zeros(free)) if equations else np.zeros(0)
    found = [ask(e) - fixed for e in np.eye(free)]
    triplets = [(i, k, line[i]) for k, line in enumerate(found) for i in np.flatnonzero(line)]
    K = sum(i.n_rows for i in standard.indicators)
    return np.array(triplets, dtype=float).reshape(-1, 3), fixed, (K, len(fixed) - K * (p + standard.hidden))


def _moves(standard: Layout, rows: KernelData, starts: dict[str, int]) -> tuple[np.ndarray, ...]:
    """Lay out what `moving` reads."""
    p, q = len(standard.columns), len(standard.terms)
    amounts = standard.model_amounts
    pieces, numbers = np.zeros((len(rows.pieces), 5 + 2 * p), np.int64), np.zeros((len(rows.pieces), 3 + q))
    for row, made, (columns, i) in zip(pieces, numbers, rows.pieces, strict=True):
        mode, factor, offset = _distance(amounts[i], standard)
        row[:4] = mode, starts.get(amounts[i].name, -1), amounts[i].column, len(columns)
        row[4 : 4 + len(columns)] = columns
        given = amounts[i].predictors
        row[4 + p], row[5 + p : 5 + p + len(given)] = len(given), given
        declared, j = amounts[i].component.amount, amounts[i].column
        made[:3] = 0.0 if isinstance(declared, Prior) else declared, factor, offset
        intercept = np.array([t == "Intercept" for t in standard.terms])
        made[3:] = np.where(intercept, standard.center[j] / standard.scale[j], 0.0)
    groups, factors = np.full((len(rows.groups), 1 + 2 * p), -2, np.int64), np.ones((len(rows.groups), p))
    for row, made, (columns, scales) in zip(groups, factors, rows.groups, strict=True):
        row[0], row[1 : 1 + len(columns)] = len(columns) if scales else 0, columns
        for a, column in enumerate(columns):
            on = [i for i in scales if amounts[i].column == column]
            if on:
                declared = amounts[on[0]].component.amount
                row[1 + p + a] = starts.get(amounts[on[0]].name, -1)
                made[a] = 1.0 if isinstance(declared, Prior) else declared
    return pieces, numbers, groups, factors


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
