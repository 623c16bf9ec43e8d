"""Which values a mechanism takes away, one function a belief: `holes.register` takes those of others.

Every belief sees the complete values and the cells that the beliefs before it left; it gives back the cells that it
leaves.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from scipy.special import expit

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.formula import parse
from mnarkit.normal.layout import Designs, Indicator, Layout
from mnarkit.simulate.truth import Truth, random_terms
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.indicator_order import indicator_order
from mnarkit.spec.limits import Limits
from mnarkit.spec.missingness import MAR, Heckman, Missingness, Selection
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["World", "happens", "holes", "in_order"]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a mechanism reads.

    Attributes
    ----------
    layout : Layout
        Predictors, indicators and complete values `y` (n, p), in the columns' own units.
    coef, cov : (p, q), (p, p) arrays
        Of the data model.
    truth : Truth
        All parameters by name.
    data : IncompleteData
        The complete table.
    designs : Designs
        Of the data model and of each indicator.
    """

    layout: Layout
    coef: np.ndarray
    cov: np.ndarray
    truth: Truth
    data: IncompleteData
    designs: Designs


def in_order(spec: Spec) -> list[Missingness]:
    """List the beliefs so that an indicator comes after those that it reads; without such, as they stand."""
    beliefs = list(spec.missingness)
    single = [b for b in beliefs if isinstance(b, (Selection, Heckman))]
    if not any(term.holes for b in single for term in parse(b.formula).terms):
        return beliefs
    order = indicator_order(beliefs)
    return sorted(beliefs, key=lambda b: order.index(b.columns[0]) if isinstance(b, (Selection, Heckman)) else -1)


@singledispatch
def holes(belief: Any, k: int, world: World, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Leave the cells that a belief's mechanism leaves.

    Parameters
    ----------
    belief : a belief
    k : int
        Its number among those with an indicator; for others -1.
    world : World
    seen : (n, p) bool array
        What the beliefs before it have left.
    rng : numpy.random.Generator

    Returns
    -------
    (n, p) bool array
    """
    raise SpecError(f"{belief} cannot be simulated: no mechanism is registered for {type(belief).__name__}")


@holes.register(MAR)
@holes.register(PatternMixture)
@holes.register(Reference)
@holes.register(Limits)
def _(belief: Any, k: int, world: World, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return seen  # the first have no model of the holes: they are those of the table given; limits hide last


@holes.register
def _(belief: Selection, k: int, world: World, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    indicator, layout = world.layout.indicators[k], world.layout
    beta = world.truth.numbers(indicator.name, indicator.terms)
    w, r = _predictors(k, world, seen), indicator.w.shape[1]
    if indicator.lines is None:
        eta = w @ beta[:r] + layout.y[:, list(indicator.slopes)] @ beta[r:]
    else:
        eta = _of_lines(indicator, beta, w, layout.y)[:, 0]
    left = seen.copy()
    left[:, indicator.column] &= ~happens(eta, belief.link, rng)
    return left


@holes.register
def _(belief: Heckman, k: int, world: World, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    indicator, layout = world.layout.indicators[k], world.layout
    j = indicator.column
    beta = world.truth.numbers(indicator.name, indicator.terms)
    rho = float(world.truth.numbers(f"rho_{layout.columns[j]}"))
    if not -1 < rho < 1:
        raise SpecError(f"truth: 'rho_{layout.columns[j]}' lies inside (-1, 1), not {rho:g}")
    residual = (layout.y[:, j] - layout.x @ world.coef[j]) / np.sqrt(world.cov[j, j])
    propensity = (
        _predictors(k, world, seen) @ beta + rho * residual + np.sqrt(1 - rho**2) * rng.normal(size=len(residual))
    )
    left = seen.copy()
    left[:, j] &= propensity > 0
    return left


@holes.register
def _(belief: Dropout, k: int, world: World, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    indicator, y = world.layout.indicators[k], world.layout.y
    hazard = indicator.hazard
    assert hazard is not None
    beta = world.truth.numbers("dropout", hazard.terms)
    left, gone = seen.copy(), np.zeros(len(y), dtype=bool)
    eta = _of_lines(indicator, beta, indicator.w, y)
    for t, column in enumerate(hazard.order):
        if t in hazard.at:
            gone |= happens(eta[:, hazard.at.index(t)], belief.link, rng)
        left[gone, column] = False
    return left


@holes.register
def _(belief: SharedParameter, k: int, world: World, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    indicator, y = world.layout.indicators[k], world.layout.y
    hazard = indicator.hazard
    assert hazard is not None
    beta = world.truth.numbers(hazard.of, hazard.terms)
    u = random_terms(world.truth, world.layout, y - world.layout.x @ world.coef.T, world.cov, rng)
    left = seen.copy()
    for t, made in zip(hazard.at, hazard.maps, strict=True):
        on = made @ beta
        eta = indicator.w @ on[: -u.shape[1]] + u @ on[-u.shape[1] :]
        missing = happens(eta, belief.link, rng)
        # who leaves is gone from there on, and so gone at all later waves whatever else is drawn for them
        for column in hazard.order[t:] if hazard.of == "dropout" else hazard.order[t : t + 1]:
            left[missing, column] = False
    return left


def _of_lines(indicator: Indicator, beta: np.ndarray, w: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Linear predictors of an indicator with several rows of the kernel, by wave: those of each row's group."""
    lines, r = indicator.lines, w.shape[1]
    assert lines is not None
    on = [made @ beta for made in lines.maps]
    each = [w @ b[:r] + y[:, list(which)] @ b[r:] for which, b in zip(lines.reading, on, strict=True)]
    eta = np.array(each).reshape(len(each), len(w)).T
    return eta if indicator.groups is None else indicator.groups.own(eta)


def _predictors(k: int, world: World, seen: np.ndarray) -> np.ndarray:
    """The fully seen predictors of indicator k, and earlier indicators as they came out."""
    built, layout = world.designs.indicators[k], world.layout
    frame = world.data.frame.copy()
    for column in built.holes:
        if column in layout.columns:
            j = layout.columns.index(column)
            frame[column] = np.where(seen[:, j], layout.y[:, j], np.nan)
    return built.rebuild(frame) if built.holes else layout.indicators[k].w


def happens(eta: np.ndarray, link: str, rng: np.random.Generator) -> np.ndarray:
    """Draw an indicator of each row given its linear predictor."""
    if link == "probit":
        return eta + rng.normal(size=len(eta)) > 0
    return rng.random(len(eta)) < expit(eta)
