"""Random terms of one factor at a point: effects in its linear predictor, or integrated out of a normal density."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mnarkit.factored.clustered import Clustered, clustered, draw_effects, sums
from mnarkit.factored.random_terms import RandomTerms, own_map
from mnarkit.factored.shared import Shared

__all__ = ["RandomPart", "add_to_spread", "draw_own_effects", "effects_in_own_units", "root_at"]


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

    def scaled(self, shared: Shared, par: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Effects as an indicator reads them: in own units, per sd where its coefficients are."""
        return {shared.scaled: par[self.random.effects] @ self._own_rows(shared)[0].T}

    def _own_rows(self, shared: Shared) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the root in own units, (s, k), over what they are divided by, (s,)."""
        rows = (own_map(self.random, self.unit) @ self.root)[shared.which]
        over = np.where(shared.per_sd, np.sqrt((rows**2).sum(axis=1)), 1.0)
        return rows / over[:, None], over

    def add_shared(
        self, gradient: dict[str, Any], g: np.ndarray, par: Mapping[str, Any], indicator: str, shared: Shared
    ) -> None:
        """Add the gradient through effects that an indicator reads; g (N,) is that in its linear predictor."""
        rows, over = self._own_rows(shared)
        free, coef = par[self.random.effects], par[indicator][shared.places]
        held = (free @ rows.T)[shared.at]
        gradient[indicator][shared.places] = g @ held
        on_held = sums(g[:, None] * coef, shared.at, self.random.known)
        gradient[self.random.effects] = gradient[self.random.effects] + on_held @ rows
        on_rows = on_held.T @ free
        inward = np.where(shared.per_sd, (on_rows * rows).sum(axis=1), 0.0)
        on_own = np.zeros((self.random.k, self.random.k))
        np.add.at(on_own, shared.which, (on_rows - inward[:, None] * rows) / over[:, None])
        add_to_spread(self.random, gradient, own_map(self.random, self.unit).T @ on_own, par)

    def add_to(self, gradient: dict[str, Any], g: np.ndarray, par: Mapping[str, Any], made: Clustered | None) -> None:
        """Add the gradient; g (N,) is that in the linear predictor over `unit`, `made` what integrating gave."""
        random = self.random
        if made is not None:
            on_root = self.unit * made.d_root
        else:
            on_effects = sums(random.x * g[:, None], random.at, random.known)
            gradient[random.effects] = on_effects @ self.root
            on_root = on_effects.T @ par[random.effects]
        add_to_spread(random, gradient, on_root, par)


def add_to_spread(random: RandomTerms, gradient: dict[str, Any], on_root: np.ndarray, par: Mapping[str, Any]) -> None:
    """Add the gradient in the root of the covariance to those in standard deviations and correlations."""
    corr = par[random.corr] if random.k > 1 else np.ones((1, 1))
    gradient[random.sd] = gradient.get(random.sd, 0.0) + (on_root * corr).sum(axis=1)
    if random.k > 1:
        gradient[random.corr] = gradient.get(random.corr, 0.0) + on_root * np.asarray(par[random.sd])[:, None]


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
