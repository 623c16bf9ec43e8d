"""Declared amounts on a table: which cells each moves and how often, and the priors of those that are free."""

import re
from dataclasses import dataclass

import numpy as np

from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.priors import Prior
from mnarkit.spec.amounts import Parameter, parameters_of
from mnarkit.spec.bounds import present_cells
from mnarkit.spec.odds_ratio import OddsRatio
from mnarkit.spec.pattern_mixture import Component, Scale
from mnarkit.spec.spec import Spec

__all__ = ["Amount", "FreeAmounts", "amounts_of", "draw_amounts", "free_amounts", "level_rows", "since_dropout"]


@dataclass(frozen=True, slots=True, eq=False)
class Amount:
    """One declared number or prior on one column of a table; several may share a name, and with it their value.

    Attributes
    ----------
    name : str
        Among the draws.
    column : int
        Its modelled column.
    cells : (n,) bool array
        The rows in which it moves the column.
    sd_observed : float
        Of the recorded values of the fit's table.
    predictors : tuple of int
        Modelled columns in the regression of the column.
    declared : float or Prior
        Its value; the logarithm of an odds ratio.
    times : (n,) array
        How often it counts: 1, or for a cumulative amount the number of waves since dropout; 0 outside `cells`.
    """

    name: str
    component: Component
    column: int
    cells: np.ndarray
    sd_observed: float
    predictors: tuple[int, ...]
    declared: float | Prior
    times: np.ndarray


@dataclass(frozen=True, slots=True)
class FreeAmounts:
    """Amounts with priors that are drawn together: independent, or normal with one correlation between each two."""

    names: tuple[str, ...]
    priors: tuple[Prior, ...]
    corr: float | None

    @property
    def root(self) -> np.ndarray:
        """L with L Lᵀ the correlations, lower triangular."""
        k = len(self.names)
        c = 0.0 if self.corr is None else self.corr
        return np.linalg.cholesky(np.full((k, k), c) + (1.0 - c) * np.eye(k))


def amounts_of(spec: Spec, data: IncompleteData, recorded_sd: tuple[float, ...]) -> tuple[Amount, ...]:
    """Find the spec's amounts, and the cells that each moves in a table; the sds are those of the fit's table."""
    found: list[Amount] = []
    present = present_cells(spec, data)
    for component in spec.amounts:
        here = np.ones(data.n, dtype=bool) if component.where is None else evaluate(condition(component.where), data)
        seen = present[:, [spec.model.columns.index(c) for c in component.columns]]
        predictors = tuple(spec.model.columns.index(c) for c in component.predictors)
        for parameter in parameters_of(component):
            rows = here if component.by is None else here & level_rows(component.by, parameter.level, data)
            name = _name(component, parameter, {a.name for a in found})
            times = _times(component.cumulative, parameter.wave, seen) * rows[:, None]
            for i in np.flatnonzero(_concerned(component, parameter)):
                j = spec.model.columns.index(component.columns[i])
                cells = times[:, i] > 0
                value = _on_its_scale(component, parameter.value)
                found.append(Amount(name, component, j, cells, recorded_sd[j], predictors, value, times[:, i]))
    return tuple(found)


def _on_its_scale(component: Component, value: float | Prior) -> float | Prior:
    """An odds ratio in logarithms, as its priors are."""
    return float(np.log(value)) if isinstance(component, OddsRatio) and not isinstance(value, Prior) else value


def _concerned(component: Component, parameter: Parameter) -> np.ndarray:
    """The columns that a parameter can move: its own, or that and the later ones if it is cumulative."""
    waves = np.arange(len(component.columns))
    if parameter.wave is None:
        return waves >= 0
    return waves >= parameter.wave if component.cumulative else waves == parameter.wave


def _times(cumulative: bool, wave: int | None, seen: np.ndarray) -> np.ndarray:
    """How often an amount counts in every cell, (n, waves), for rows that it concerns."""
    if not cumulative:
        return (~seen).astype(float)
    since = since_dropout(seen)
    if wave is None:
        return since
    return ((since > 0) & (since[:, [wave]] > 0)).astype(float)


def since_dropout(seen: np.ndarray) -> np.ndarray:
    """The number of waves since the beginning of each row's last run of holes, 1 at its first; 0 before: (n, waves)."""
    run = ~np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    return np.where(run, np.cumsum(run, axis=1), 0).astype(float)


def level_rows(by: str, level: object, data: IncompleteData) -> np.ndarray:
    """The rows of a level of a group, (n,)."""
    return (data.frame[by] == level).to_numpy(dtype=bool, na_value=False)


def _name(component: Component, parameter: Parameter, taken: set[str]) -> str:
    """`shift_y`; `shift_w1_to_w3`, `shift_w2` by wave; `shift_y_drug` by level; a number behind what is taken."""
    columns = component.columns
    if parameter.wave is not None:
        which = columns[parameter.wave]
    else:
        which = columns[0] if len(columns) == 1 else f"{columns[0]}_to_{columns[-1]}"
    level = "" if parameter.level is None else "_" + re.sub(r"\W+", "_", str(parameter.level))
    kind = {Scale: "scale", OddsRatio: "log_odds_ratio"}.get(type(component), "shift")
    stem = f"{kind}_{which}{level}"
    return next(n for n in (stem, *(f"{stem}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def free_amounts(amounts: tuple[Amount, ...]) -> tuple[FreeAmounts, ...]:
    """The amounts that have priors, those drawn together in one place."""
    free = {a.name: a for a in amounts if isinstance(a.declared, Prior)}
    together: dict[object, list[Amount]] = {}
    for amount in free.values():
        key = amount.name if amount.component.corr is None else id(amount.component)
        together.setdefault(key, []).append(amount)
    return tuple(
        FreeAmounts(
            tuple(a.name for a in each),
            tuple(a.declared for a in each if isinstance(a.declared, Prior)),
            each[0].component.corr,
        )
        for each in together.values()
    )


def draw_amounts(amounts: tuple[Amount, ...], rng: np.random.Generator) -> dict[str, float]:
    """The value of every amount by name: numbers as declared, priors drawn."""
    values = {a.name: float(a.declared) for a in amounts if not isinstance(a.declared, Prior)}
    for free in free_amounts(amounts):
        if free.corr is None:
            values |= {n: float(p.draw(rng)) for n, p in zip(free.names, free.priors, strict=True)}
            continue
        deviations = free.root @ rng.standard_normal(len(free.names))
        drawn = zip(free.names, free.priors, deviations, strict=True)
        values |= {n: p.values[0] + p.values[1] * float(z) for n, p, z in drawn}
    return values
