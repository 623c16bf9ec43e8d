"""Pieces of random terms: their standard deviations, the root of their correlations, and standard normal effects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from mnarkit.factored.pieces import Piece
from mnarkit.factored.random_terms import RandomTerms
from mnarkit.factored.spread import beta_shapes, root_gradient, root_of
from mnarkit.families import DEFAULTS
from mnarkit.priors import Prior

__all__ = ["random_pieces", "sd_prior"]

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


def random_pieces(random: RandomTerms, unit: float, link: str, declared: dict[str, Any]) -> dict[str, Piece]:
    """Pieces of the random terms of a standardised factor; effects where they are not integrated out."""
    prior, units = sd_prior(link, declared), random.scale / unit
    scale = prior.values[-1] * (units if prior.unit == "raw" else np.ones(random.k))
    df = prior.values[0] if prior.family == "half_student_t" else np.inf
    made: dict[str, Piece] = {random.sd: Spreads(scale, df)}
    if random.k > 1:
        made[random.corr] = Root(random.k, declared.get("random_corr", DEFAULTS["corr"]).values[0])
    if not random.marginal:
        made[random.effects] = Effects(random.known, random.k)
    return made


def sd_prior(link: str, declared: dict[str, Any]) -> Prior:
    """Give the prior of the standard deviations, per sd of the response and of the term."""
    return declared.get("random_sd", DEFAULTS.get((link, "random_sd"), DEFAULTS["random_sd"]))


@dataclass(frozen=True, slots=True, eq=False)
class Spreads:
    """exp u, half Student t with `df` degrees of freedom, half normal where they are infinite."""

    scale: np.ndarray
    df: float

    @property
    def size(self) -> int:
        """See `Piece`."""
        return len(self.scale)

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, Any]:
        """See `Piece`."""
        x = np.exp(u)
        z = x / self.scale
        if np.isinf(self.df):
            logp, slope = -0.5 * z**2 - _HALF_LOG_2PI, -(z**2)
        else:
            half = (self.df + 1) / 2
            head = special.gammaln(half) - special.gammaln(self.df / 2) - 0.5 * np.log(np.pi * self.df)
            logp, slope = head - half * np.log1p(z**2 / self.df), -(self.df + 1) * z**2 / (self.df + z**2)
        return x, float((np.log(2) + logp - np.log(self.scale) + u).sum()), (x, slope + 1)

    def backward(self, kept: Any, gradient: np.ndarray) -> np.ndarray:
        """See `Piece`."""
        x, inward = kept
        return gradient * x + inward


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """The Cholesky factor of an LKJ(eta) correlation matrix, from logits of (1 + partial correlations) / 2."""

    k: int
    eta: float

    @property
    def size(self) -> int:
        """See `Piece`."""
        return self.k * (self.k - 1) // 2

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, Any]:
        """See `Piece`."""
        a, p = beta_shapes(self.k, self.eta), special.expit(u)
        logp = (a * (special.log_expit(u) + special.log_expit(-u)) - special.betaln(a, a)).sum()
        return root_of(2 * p - 1, self.k), float(logp), (p, a * (1 - 2 * p))

    def backward(self, kept: Any, gradient: np.ndarray) -> np.ndarray:
        """See `Piece`."""
        p, inward = kept
        return root_gradient(2 * p - 1, self.k, gradient) * 2 * p * (1 - p) + inward


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Standard normal numbers, (groups, k), that the root of a covariance turns into effects: not centered."""

    groups: int
    k: int

    @property
    def size(self) -> int:
        """See `Piece`."""
        return self.groups * self.k

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, Any]:
        """See `Piece`."""
        return u.reshape(self.groups, self.k), float(-0.5 * (u @ u) - len(u) * _HALF_LOG_2PI), -u

    def backward(self, kept: Any, gradient: np.ndarray) -> np.ndarray:
        """See `Piece`."""
        return gradient.reshape(-1) + kept
