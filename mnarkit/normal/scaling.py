"""Columns standardised for the sampler and the ascent, and the way back to their own units."""

from dataclasses import dataclass, replace

import numpy as np

from mnarkit.normal.hazard import standard_maps
from mnarkit.normal.layout import Indicator, Layout
from mnarkit.spec.bounds import Bounds

__all__ = ["Scaling", "own_units_map", "standardise"]


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How standardised columns were made: y = (value - center) / scale, x_z = x @ x_map, w_z = w @ w_maps[k]."""

    center: np.ndarray
    scale: np.ndarray
    x_map: np.ndarray
    w_maps: tuple[np.ndarray, ...]
    x_scale: np.ndarray
    w_scales: tuple[np.ndarray, ...]


def standardise(layout: Layout) -> tuple[Layout, Scaling]:
    """Center and scale columns by their recorded means and sds; none is centered if a formula has no intercept."""
    names = [layout.terms, *(i.w_terms for i in layout.indicators)]
    centered = all("Intercept" in terms for terms in names)
    scale = np.nanstd(layout.y, axis=0, ddof=1)
    scale = np.where(scale > 0, scale, 1.0)
    center = np.nanmean(layout.y, axis=0) if centered else np.zeros(len(scale))
    if layout.structure is not None:
        scale, center = np.full(len(scale), np.sqrt(np.mean(scale**2))), np.full(len(scale), center.mean())
    x_map, x_scale = _predictor_map(layout.x, layout.terms, centered)
    made = [_standard_indicator(i, centered, center, scale) for i in layout.indicators]
    indicators = tuple(indicator for indicator, _, _ in made)
    bounds = layout.bounds
    if bounds is not None:
        bounds = Bounds((bounds.low - center) / scale, (bounds.high - center) / scale)
    standard = replace(
        layout,
        y=(layout.y - center) / scale,
        x=layout.x @ x_map,
        indicators=indicators,
        center=center,
        scale=scale,
        bounds=bounds,
    )
    return standard, Scaling(center, scale, x_map, tuple(m for _, m, _ in made), x_scale, tuple(s for _, _, s in made))


def _standard_indicator(
    indicator: Indicator, centered: bool, center: np.ndarray, scale: np.ndarray
) -> tuple[Indicator, np.ndarray, np.ndarray]:
    """Standardise an indicator: with the map of its predictors (of several rows: of its coefficients) and their sds."""
    w_map, w_scale = _predictor_map(indicator.w, indicator.w_terms, centered)
    made = replace(indicator, w=indicator.w @ w_map)
    if indicator.lines is None:
        return made, w_map, w_scale
    more = (
        0 if indicator.hazard is None else indicator.hazard.hidden
    )  # random terms have mean 0, and the scale that all waves of a growth curve share
    center, scale = np.append(center, np.zeros(more)), np.append(scale, np.full(more, scale[0]))
    maps, own, unit = standard_maps(indicator.lines, indicator.w_terms, w_map, center, scale)
    return replace(made, lines=replace(indicator.lines, maps=maps)), own, unit


def own_units_map(indicator: Indicator, scaling: Scaling, k: int) -> np.ndarray:
    """Map standardised coefficients of an indicator to own units: β = map @ β_z, both in the order of its terms."""
    if indicator.lines is not None:
        return scaling.w_maps[k]
    r = indicator.w.shape[1]
    made = np.zeros((len(indicator.terms), len(indicator.terms)))
    made[:r, :r] = scaling.w_maps[k]
    for i, j in enumerate(indicator.slopes):
        made[r + i, r + i] = 1 / scaling.scale[j]
        if "Intercept" in indicator.terms:
            made[indicator.terms.index("Intercept"), r + i] = -scaling.center[j] / scaling.scale[j]
    return made


def _predictor_map(x: np.ndarray, terms: tuple[str, ...], centered: bool) -> tuple[np.ndarray, np.ndarray]:
    constant = np.array([name == "Intercept" for name in terms[: x.shape[1]]], dtype=bool)
    sd = x.std(axis=0, ddof=1)
    sd = np.where(constant | ~(sd > 0), 1.0, sd)
    made = np.diag(1 / sd)
    if centered and constant.any():
        made[np.flatnonzero(constant)[0], ~constant] = -x.mean(axis=0)[~constant] / sd[~constant]
    return made, sd
