"""The log posterior of a spec on a table as a function of one unconstrained vector, without PyMC.

It has the parameters, the maps and the priors of the PyMC model that `build` makes, in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.normal.declared import Amount
from mnarkit.normal.joint import deviations
from mnarkit.normal.layout import KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import pack
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.scaling import Scaling, standardise
from mnarkit.normal.structure import Structure
from mnarkit.priors import Prior
from mnarkit.sample.density import (
    FREE,
    GROWTH,
    LAGS,
    all_spreads,
    arguments,
    log_density,
    log_density_of_sampled,
    log_density_together,
    moments_of_values,
)
from mnarkit.sample.free import Equation, amount_map, free_parameters, free_terms
from mnarkit.sample.moving import BY_CONSTANT, OF_MEAN, PER_SD
from mnarkit.sample.scalars import Block, place_all, standard_normals, unplaced
from mnarkit.spec.events import fitted_table
from mnarkit.spec.pattern_mixture import Scale
from mnarkit.spec.shared import RANDOM_TERMS
from mnarkit.spec.spec import Spec

__all__ = ["Target"]


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
        standard, scaling = standardise(layout)
        rows = kernel_data(standard)
        blocks, equations = free_parameters(spec, standard, scaling)
        if rows.crowd is not None:
            blocks = (*blocks, standard_normals("unseen_z", deviations(rows.crowd)))
        scalars = (
            np.concatenate([b.kind for b in blocks]),
            np.concatenate([b.numbers for b in blocks]),
            np.concatenate([np.full(b.size, b.squash) for b in blocks]),
        )
        starts = dict(
            zip([*(b.name for b in blocks), ""], np.cumsum([0, *(b.size for b in blocks)]).tolist(), strict=True)
        )
        amounts = amount_map(standard.amounts, starts)
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
        if self.rows.crowd is None:
            return lambda theta: kernel(theta, scalars, design, reals, whole)
        crowd, sampled = pack(self.rows.crowd), deviations(self.rows.crowd)

        def both(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, slopes = kernel(theta, scalars, design, reals, whole)
            more, further = log_density_of_sampled(theta, scalars, design, *crowd, sampled)
            return value + more, slopes + further

        return both

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
        coef, covs = moments_of_values(values, self.design[0], self.design[1])
        cov = covs[0] if self.standard.arms is None else covs
        named = self.by_name(values)
        declared = {name: at + factors @ values for name, (at, factors) in self.amounts.items()}
        amounts = [declared.get(a.name, a.declared) for a in self.standard.model_amounts]
        betas, rhos, free = [], [], self.coefficients(values)
        for belief, equation in zip(self.spec.selections, self.equations, strict=True):
            k = equation.free_map.shape[1]
            betas.append(equation.free_map @ free[:k] + equation.fixed)
            rhos.append(_rho(named, belief.columns[0], equation))
            free = free[k:]
        random = self.random(values) if self.standard.hidden else None
        return Parameters(coef, cov, betas, rhos, amounts, random)

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
        np.array([*head, K, R, first, len(rows.limited), _arms(standard)], dtype=np.int64),
        np.ascontiguousarray(basis),
        lines,
        fixed,
        np.array(heckman, dtype=np.int64).reshape(-1, 3),
        np.array(rhos, dtype=float),
        _moves(standard, rows, amounts),
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
        for name, prior in free_terms(belief, indicator)
    ]
    return structure.powers, np.ascontiguousarray(structure.back), np.array(of_term), starts["random_sd_z"]


def _arms(standard: Layout) -> int:
    return 1 if standard.arms is None else len(standard.arms.labels)


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
        none = np.eye(standard.hidden)
        asked = Parameters(np.zeros((p, len(standard.terms))), np.eye(p), betas, rhos, amounts, none)
        _, _, A, _, c, _ = kernel_parameters(asked, standard, rows)
        return np.concatenate([np.ravel(A), c])

    fixed = ask(np.zeros(free))
    found = [ask(e) - fixed for e in np.eye(free)]
    triplets = [(i, k, line[i]) for k, line in enumerate(found) for i in np.flatnonzero(line)]
    K = sum(i.n_rows for i in standard.indicators) + len(rows.limited)
    return np.array(triplets, dtype=float).reshape(-1, 3), fixed, (K, len(fixed) - K * (p + standard.hidden))


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
