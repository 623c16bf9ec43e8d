"""Random terms of a factor laid out on a table: which rows are of which group, and the terms in each row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnarkit.bars import Bar
from mnarkit.data import IncompleteData
from mnarkit.factored.clustered import cross_products
from mnarkit.formula import Design, Formula, design

__all__ = [
    "INTEGRATED",
    "RandomDesign",
    "RandomTerms",
    "group_labels",
    "own_map",
    "random_design",
    "random_terms",
    "standardised",
    "whole_effects",
]

INTEGRATED = ("normal", "lognormal")


@dataclass(frozen=True, slots=True, eq=False)
class RandomDesign:
    """The design of random terms and the column of their groups."""

    bar: Bar
    built: Design


@dataclass(frozen=True, slots=True, eq=False)
class RandomTerms:
    """Random terms of a factor.

    Attributes
    ----------
    name : str
        `y`, or `missing_y`: how its parameters are named.
    family : str
        The family of the factor, or `missing`.
    labels : tuple of str
        The groups of the table, the first `known` with rows of the factor.
    of_row : (n,) array
        The group of every row of the table, by place in `labels`.
    every, x : (n, k), (N, k) arrays
        The terms in every row of the table, in own units; and in the factor's own rows, standardised where it is.
    at : (N,) array
        The group of each of the factor's own rows.
    center, scale : (k,) arrays
        x is (own units - center) / scale.
    zz : (known, k, k) array
        x'x of each group.
    marginal : bool
        Whether the effects are integrated out.
    shared : bool
        Whether a model of holes reads them.
    """

    name: str
    family: str
    bar: Bar
    terms: tuple[str, ...]
    labels: tuple[str, ...]
    known: int
    of_row: np.ndarray
    every: np.ndarray
    x: Any
    at: Any
    center: np.ndarray
    scale: np.ndarray
    zz: np.ndarray
    marginal: bool
    shared: bool

    @property
    def k(self) -> int:
        """How many terms there are."""
        return len(self.terms)

    @property
    def effects(self) -> str:
        """The name of the effects, (groups, k)."""
        return f"random_{self.name}"

    @property
    def sd(self) -> str:
        """The name of their standard deviations."""
        return f"random_sd_{self.name}"

    @property
    def corr(self) -> str:
        """The name of their correlations; there are none of one term."""
        return f"random_corr_{self.name}"


def random_design(formula: Formula, data: IncompleteData) -> RandomDesign | None:
    """Build the random terms of a formula, if it has some."""
    return (
        None
        if formula.bar is None or formula.random is None
        else RandomDesign(formula.bar, design(formula.random, data))
    )


def random_terms(
    made: RandomDesign, name: str, data: IncompleteData, rows: np.ndarray, family: str, *, summed: bool, shared: bool
) -> RandomTerms:
    """Lay random terms out on the own rows of a factor.

    They are integrated out of a normal one that sums no cells; where they are `shared` with a model of holes, those of
    every group are sampled.
    """
    keys = group_labels(data.frame[made.bar.group].tolist())
    here = dict.fromkeys(keys if shared else (keys[i] for i in rows.tolist()))
    labels = (*here, *(key for key in dict.fromkeys(keys) if key not in here))
    place = {label: i for i, label in enumerate(labels)}
    of_row = np.array([place[key] for key in keys], dtype=np.int64)
    every = made.built.rebuild(data)
    x, k, known = np.ascontiguousarray(every[rows]), every.shape[1], len(here)
    return RandomTerms(
        name=name,
        family=family,
        bar=made.bar,
        terms=made.built.names,
        labels=labels,
        known=known,
        of_row=of_row,
        every=every,
        x=x,
        at=of_row[rows],
        center=np.zeros(k),
        scale=np.ones(k),
        zz=cross_products(x, of_row[rows], known),
        marginal=family in INTEGRATED and not summed and not shared,
        shared=shared,
    )


def group_labels(values: Iterable[Any]) -> list[str]:
    """Name groups by text; a whole number is named alike whatever its type."""
    numbers = (int, float, np.integer, np.floating)
    return [str(int(v)) if isinstance(v, numbers) and float(v).is_integer() else str(v) for v in values]


def standardised(random: RandomTerms) -> RandomTerms:
    """Scale the terms, and center them beside a random intercept."""
    constant = np.array([t == "Intercept" for t in random.terms], dtype=bool)
    x = random.x
    center = np.where(constant | (not constant.any()), 0.0, x.mean(axis=0) if len(x) else 0.0)
    sd = x.std(axis=0, ddof=1) if len(x) > 1 else np.ones(random.k)
    scale = np.where(constant | ~(sd > 0), 1.0, sd)
    made = np.ascontiguousarray((x - center) / scale)
    return replace(random, x=made, center=center, scale=scale, zz=cross_products(made, random.at, random.known))


def own_map(random: RandomTerms, unit: float) -> np.ndarray:
    """Map effects on standardised terms to own units: b = map b_z, (k, k)."""
    constant = np.array([t == "Intercept" for t in random.terms], dtype=bool)
    made = np.diag(unit / random.scale)
    if constant.any():
        made[np.flatnonzero(constant)[0]] -= np.where(constant, 0.0, unit * random.center / random.scale)
    return made


def whole_effects(
    random: RandomTerms, held: Mapping[str, np.ndarray], par: Mapping[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Effects of every group of a table, (groups, k): those `held` of a draw, the others drawn from the population."""
    corr = np.asarray(par[random.corr]) if random.k > 1 else np.ones((1, 1))
    sd = np.asarray(par[random.sd])
    new = [i for i, label in enumerate(random.labels) if label not in held]
    made = np.empty((len(random.labels), random.k))
    for i, label in enumerate(random.labels):
        made[i] = held.get(label, np.nan)
    if new:
        root = np.linalg.cholesky(corr * np.outer(sd, sd))
        made[new] = rng.standard_normal((len(new), random.k)) @ root.T
    return made
