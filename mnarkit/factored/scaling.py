"""Factors standardised for the sampler, and their parameters back in the columns' own units."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from mnarkit.factored.columns import Coded
from mnarkit.factored.layout import Factor, Layout
from mnarkit.factored.random_terms import standardised

__all__ = ["Back", "back_of", "standardise", "unconstrained_scale"]


def standardise(layout: Layout) -> Layout:
    """Center and scale the design of every factor, and its linear predictor by the response."""
    return replace(layout, factors=tuple(_standard(f, layout) for f in layout.factors))


def _standard(factor: Factor, layout: Layout) -> Factor:
    """Only columns beside an intercept, or cutpoints, are centered: by their mean in rows where they are seen."""
    cutpoints = factor.family == "ordinal"
    constant = np.array([t == "Intercept" for t in factor.terms], dtype=bool)
    centered = cutpoints or bool(constant.any())
    known = np.ones(len(factor.x), dtype=bool)
    known[factor.direct :] = False
    known[factor.curve_at] = False
    x = factor.x[known] if known.sum() > 1 else factor.x
    center = np.where(constant | (not centered), 0.0, x.mean(axis=0) if len(x) else 0.0)
    sd = x.std(axis=0, ddof=1) if len(x) > 1 else np.ones(x.shape[1])
    scale = np.where(constant | ~(sd > 0), 1.0, sd)
    made = (factor.x - center) / scale
    made[np.ix_(factor.curve_at, [c.column for c in factor.curves])] = 0.0
    origin, unit = _response_scale(factor, layout.coded[factor.column], centered)
    random = None if factor.random is None else standardised(factor.random)
    made = np.ascontiguousarray(made)
    return replace(factor, x=made, center=center, scale=scale, origin=origin, unit=unit, random=random)


def _response_scale(factor: Factor, one: Coded, centered: bool) -> tuple[float, float]:
    if factor.of_indicator:
        return 0.0, 1.0
    recorded = one.values[one.seen]
    match factor.link, factor.family:
        case "identity", family:
            held = np.log(recorded) if family == "lognormal" else recorded
            return (float(held.mean()) if centered else 0.0), float(held.std(ddof=1))
        case "log", _:
            return (float(np.log(recorded.mean())) if centered else 0.0), 1.0
        case "logit", "beta":
            low, high = one.bounds
            return (float(special.logit((recorded.mean() - low) / (high - low))) if centered else 0.0), 1.0
    return 0.0, 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Back:
    """The way from standardised to own units: coef = map coef_z + origin, and the cutpoints' move by x's center.

    Attributes
    ----------
    map : (q, q) array
    origin : (q,) array
    moved : (q,) array
        Cutpoints in own units are those on centered columns plus `moved` · coef.
    """

    map: Any
    origin: Any
    moved: Any


def back_of(factor: Factor) -> Back:
    """Map the coefficients of a standardised factor to own units."""
    constant = np.array([t == "Intercept" for t in factor.terms], dtype=bool)
    made = np.diag(factor.unit / factor.scale)
    if constant.any():
        made[np.flatnonzero(constant)[0]] -= np.where(constant, 0.0, factor.unit * factor.center / factor.scale)
    return Back(made, np.where(constant, factor.origin, 0.0), factor.center)


def unconstrained_scale(one: Coded) -> tuple[str, float, float]:
    """Map a real u to the support of a continuous column: real c + s u, positive exp(c + s u), or inside bounds.

    Returns
    -------
    tuple
        The support, and c and s: mean and sd of the recorded values on the unconstrained scale.
    """
    recorded = one.values[one.seen]
    match one.family.support:
        case "positive":
            recorded = np.log(recorded)
        case "interval":
            low, high = one.bounds
            recorded = special.logit((recorded - low) / (high - low))
    return one.family.support, float(recorded.mean()), float(recorded.std(ddof=1))
