"""Random terms of one factor at a point: effects in its linear predictor, or integrated out of a normal density."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mnarkit.factored.clustered import Clustered, clustered, draw_effects, sums
from mnarkit.factored.random_terms import RandomTerms, own_map

__all__ = ["RandomPart", "draw_own_effects", "effects_in_own_units", "root_at"]


def root_at(random: RandomTerms, par: Mapping[str, Any]) -> np.ndarray:
    """Give B with b = B u, u standard normal: standard deviations times the root of the correlations, (k, k)."""
    sd = np.asarray(par[random.sd])
    return sd[:, None] * (par[random.corr] if random.k > 1 else np.ones((1, 1)))


class RandomPart:
    """Effects at a point, and the way of a gradient back to them and their spread."""

    __slots__ = ("effects", "random", "root", "unit")

    def __init__(self, random: RandomTerms, unit: float, par: Mapping[str, Any]) -> None:
        self.random, self.unit, self.root = random, unit, root_at(random, par)
        self.effects = None if random.marginal else par[random.effects] @ self.root.T

    def predictor(self) -> np.ndarray:
        """What sampled effects add to the linear predictor, (N,)."""
        if self.effects is None:
            return np.zeros(len(self.random.at))
        return self.unit * (self.random.x * self.effects[self.random.at]).sum(axis=1)

    def density(self, family: str, y: np.ndarray, eta: np.ndarray, sd: float) -> Clustered:
        """Integrate the effects out of a normal density, or one of the logarithm."""
        held, random = np.log(y) if family == "lognormal" else y, self.random
        return clustered(held - eta, random.x, random.at, random.zz, sd, self.unit * self.root)

    def add_to(self, gradient: dict[str, Any], g: np.ndarray, par: Mapping[str, Any], made: Clustered | None) -> None:
        """Add the gradient; g (N,) is that in the linear predictor over `unit`, `made` what integrating gave."""
        random = self.random
        if made is not None:
            on_root = self.unit * made.d_root
        else:
            on_effects = sums(random.x * g[:, None], random.at, random.known)
            gradient[random.effects] = on_effects @ self.root
            on_root = on_effects.T @ par[random.effects]
        if random.k == 1:
            gradient[random.sd] = on_root[0]
            return
        gradient[random.sd] = (on_root * par[random.corr]).sum(axis=1)
        gradient[random.corr] = on_root * np.asarray(par[random.sd])[:, None]


def effects_in_own_units(random: RandomTerms, unit: float, par: dict[str, Any]) -> None:
    """Turn what belongs to random terms in `par` into own units: effects, standard deviations, correlations."""
    root = own_map(random, unit) @ root_at(random, par)
    cov = root @ root.T
    sd = np.sqrt(np.diag(cov))
    if not random.marginal:
        par[random.effects] = par[random.effects] @ root.T
    par[random.sd] = sd
    if random.k > 1:
        par[random.corr] = cov / np.outer(sd, sd)


def draw_own_effects(
    random: RandomTerms, unit: float, r: np.ndarray, sd: float, root: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw effects that were integrated out, given residuals r (N,) of the linear predictor, in own units."""
    noise = rng.standard_normal((random.known, random.k))
    held = draw_effects(r, random.x, random.at, random.zz, sd, unit * root, noise)
    return held @ (own_map(random, unit) / unit).T
