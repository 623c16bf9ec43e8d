"""Pieces of one unconstrained vector: each with its map to parameters, its log prior with the Jacobian, and gradients.

A piece goes `forward` from reals u to (value, log prior, what `backward` needs), and `backward` from a gradient in the
value to that in u, the prior's included.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import special

__all__ = ["Cells", "Coefficients", "Cutpoints", "Inside", "Piece", "Positive"]

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class Piece(Protocol):
    """Reals to a parameter and back."""

    @property
    def size(self) -> int:
        """How many reals it takes."""
        ...

    def forward(self, u: np.ndarray) -> tuple[Any, float, Any]:
        """Give the value, the log prior with the Jacobian of the map, and what `backward` needs."""
        ...

    def backward(self, kept: Any, gradient: Any) -> np.ndarray:
        """Give the gradient in u of (something with this gradient in the value) + log prior."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """Coefficients of a shape (..., q) with normal or Student t priors; some may be uniform, some fixed.

    `df` is infinite for a normal prior; `low`, `high` are NaN but for a uniform one; `fixed` is NaN where free. The
    fixed `intercept`, if there is one, is less what `carried` · slopes stands for. `plain`: all are free and
    normal.
    """

    shape: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    df: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fixed: np.ndarray
    intercept: int | None = None
    carried: np.ndarray | None = None
    plain: bool = False

    @property
    def size(self) -> int:
        """Free coefficients."""
        return int(np.isnan(self.fixed).sum())

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, Any]:
        """See `Piece`."""
        if self.plain:
            z = (u - self.mean) / self.scale
            logp = -0.5 * (z @ z) - np.log(self.scale).sum() - len(u) * _HALF_LOG_2PI
            return u.reshape(self.shape), float(logp), (slice(None), 1.0, -z / self.scale)
        free, uniform = np.isnan(self.fixed), ~np.isnan(self.low)
        value = self.fixed.copy()
        value[free] = u
        slope, inward = np.ones(value.shape), np.zeros(value.shape)
        logp = np.zeros(value.shape)
        gaussian = free & np.isinf(self.df) & ~uniform
        z = (value - self.mean) / self.scale
        logp[gaussian] = (-0.5 * z**2 - np.log(self.scale) - _HALF_LOG_2PI)[gaussian]
        inward[gaussian] = (-z / self.scale)[gaussian]
        heavy = free & np.isfinite(self.df) & ~uniform
        if heavy.any():
            logp[heavy], inward[heavy] = _student(z[heavy], self.scale[heavy], self.df[heavy])
        if uniform.any():
            p = special.expit(value[uniform])
            logp[uniform] = np.log(p) + np.log1p(-p)
            inward[uniform] = 1 - 2 * p
            width = (self.high - self.low)[uniform]
            value[uniform] = self.low[uniform] + width * p
            slope[uniform] = width * p * (1 - p)
        if self.intercept is not None and self.carried is not None:
            value[self.intercept] -= self.carried @ np.delete(value, self.intercept)
        return value.reshape(self.shape), float(logp.sum()), (free, slope, inward)

    def backward(self, kept: Any, gradient: np.ndarray) -> np.ndarray:
        """See `Piece`."""
        free, slope, inward = kept
        flat = np.array(gradient, dtype=np.float64).reshape(-1)
        if self.intercept is not None and self.carried is not None:
            flat[np.arange(len(flat)) != self.intercept] -= self.carried * flat[self.intercept]
        return (flat * slope + inward)[free]


def _student(z: np.ndarray, scale: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    head = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(np.pi * df) - np.log(scale)
    return head - (df + 1) / 2 * np.log1p(z**2 / df), -(df + 1) * z / (scale * (df + z**2))


@dataclass(frozen=True, slots=True, eq=False)
class Positive:
    """`offset` + `unit` · exp u: half normal, half Student t (scale, df) or gamma (shape, rate) on exp u."""

    family: str
    one: float
    two: float
    unit: float = 1.0
    offset: float = 0.0
    size: int = 1

    def forward(self, u: np.ndarray) -> tuple[float, float, Any]:
        """See `Piece`."""
        x = float(np.exp(u[0]))
        match self.family:
            case "half_normal":
                logp, slope = np.log(2) - 0.5 * (x / self.one) ** 2 - np.log(self.one) - _HALF_LOG_2PI, -x / self.one**2
            case "half_student_t":
                value, inward = _student(np.array([x / self.two]), np.array([self.two]), np.array([self.one]))
                logp, slope = np.log(2) + value[0], inward[0]
            case _:
                head = self.one * np.log(self.two) - special.gammaln(self.one)
                logp, slope = head + (self.one - 1) * u[0] - self.two * x, (self.one - 1) / x - self.two
        return self.offset + self.unit * x, float(logp + u[0]), (self.unit * x, slope * x + 1)

    def backward(self, kept: Any, gradient: float) -> np.ndarray:
        """See `Piece`."""
        slope, inward = kept
        return np.array([gradient * slope + inward])


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """low + (high - low) · expit u, uniform."""

    low: float
    high: float
    size: int = 1

    def forward(self, u: np.ndarray) -> tuple[float, float, Any]:
        """See `Piece`."""
        p = float(special.expit(u[0]))
        width = self.high - self.low
        logp = float(special.log_expit(u[0]) + special.log_expit(-u[0]))
        return self.low + width * p, logp, (width * p * (1 - p), 1 - 2 * p)

    def backward(self, kept: Any, gradient: float) -> np.ndarray:
        """See `Piece`."""
        slope, inward = kept
        return np.array([gradient * slope + inward])


@dataclass(frozen=True, slots=True, eq=False)
class Cutpoints:
    """c_1 = u_1, c_k = c_{k-1} + exp u_k: the order statistics of logistic variables, up to a constant.

    At the centre of the predictors all probabilities of the levels are then equally likely, Dirichlet(1, …, 1).
    """

    size: int

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, Any]:
        """See `Piece`."""
        steps = np.exp(u[1:])
        cuts = u[0] + np.concatenate([[0.0], np.cumsum(steps)])
        logp = special.log_expit(cuts).sum() + special.log_expit(-cuts).sum() + u[1:].sum()
        return cuts, float(logp), (steps, -np.tanh(cuts / 2))

    def backward(self, kept: Any, gradient: np.ndarray) -> np.ndarray:
        """See `Piece`."""
        steps, inward = kept
        after = np.cumsum((gradient + inward)[::-1])[::-1]
        return np.concatenate([after[:1], after[1:] * steps + 1])


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Sampled cells, flat on their support: c + s u on the real line, its exp, or its logistic between bounds."""

    size: int
    support: str
    center: float
    spread: float
    bounds: tuple[float, float]

    def forward(self, u: np.ndarray) -> tuple[np.ndarray, float, Any]:
        """See `Piece`."""
        real = self.center + self.spread * u
        scale = self.size * np.log(self.spread)
        match self.support:
            case "positive":
                value = np.exp(np.minimum(real, 700.0))
                return value, float(real.sum() + scale), (self.spread * value, np.full(self.size, self.spread))
            case "interval":
                low, high = self.bounds
                p, q = special.expit(real), special.expit(-real)
                logp = (special.log_expit(real) + special.log_expit(-real)).sum() + self.size * np.log(high - low)
                return (
                    low + (high - low) * p,
                    float(logp + scale),
                    ((high - low) * self.spread * p * q, self.spread * (q - p)),
                )
        return real, float(scale), (np.full(self.size, self.spread), np.zeros(self.size))

    def backward(self, kept: Any, gradient: np.ndarray) -> np.ndarray:
        """See `Piece`."""
        slope, inward = kept
        return gradient * slope + inward
