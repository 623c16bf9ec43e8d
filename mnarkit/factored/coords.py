"""Names of parameters, their dims and the labels of those."""

from itertools import pairwise
from typing import Any

from mnarkit.factored.columns import Coded
from mnarkit.factored.layout import Layout
from mnarkit.factored.random_terms import RandomTerms
from mnarkit.families import FAMILIES

__all__ = ["coords_of", "dims_of"]


def coords_of(layout: Layout) -> dict[str, list[Any]]:
    """Label every dim: terms, levels against the first, cutpoints, and the rows of the table of sampled cells."""
    coords: dict[str, list[Any]] = {}
    for factor in layout.factors:
        one = layout.coded[factor.column]
        coords[f"{factor.name}_term" if factor.of_indicator else f"{one.column}_term"] = list(factor.terms)
        if factor.random is not None:
            coords |= _random_coords(factor.random)
        if factor.family == "ordinal":
            labels = _labels(one)
            coords[f"{one.column}_cutpoint"] = [f"{a} | {b}" for a, b in pairwise(labels)]
        if factor.family == "categorical":
            coords[f"{one.column}_level"] = _labels(one)[1:]
    for one, rows in zip(layout.coded, layout.latent, strict=True):
        if len(rows):
            coords[f"{one.column}_missing_obs"] = rows.tolist()
    return coords


def dims_of(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Dims of every parameter and of the sampled cells, by name."""
    dims: dict[str, tuple[str, ...]] = {}
    for factor in layout.factors:
        if factor.random is not None:
            dims |= _random_dims(factor.random)
        column = layout.columns[factor.column]
        if factor.of_indicator:
            dims[factor.name] = (f"{factor.name}_term",)
            continue
        dims[factor.name] = (f"{column}_level",) * (factor.family == "categorical") + (f"{column}_term",)
        for name in FAMILIES[factor.family].auxiliary:
            dims[f"{name}_{column}"] = (f"{column}_cutpoint",) if name == "cutpoints" else ()
    for one, rows in zip(layout.coded, layout.latent, strict=True):
        if len(rows):
            dims[f"{one.column}_missing"] = (f"{one.column}_missing_obs",)
    return dims


def _random_coords(random: RandomTerms) -> dict[str, list[Any]]:
    named = list(random.terms)
    return {
        f"{random.effects}_term": named,
        f"{random.effects}_group": list(random.labels[: random.known]),
    } | ({f"{random.effects}_term_2": named} if random.k > 1 else {})


def _random_dims(random: RandomTerms) -> dict[str, tuple[str, ...]]:
    term = f"{random.effects}_term"
    return {
        random.sd: (term,),
        random.corr: (term, f"{term}_2"),
        random.effects: (f"{random.effects}_group", term),
    }


def _labels(one: Coded) -> list[str]:
    return [f"{level:g}" if isinstance(level, float) else str(level) for level in one.levels or ()]
