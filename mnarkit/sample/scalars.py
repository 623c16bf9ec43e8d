"""Free parameters as scalars: each has a prior, and a map from the line to where it lives.

Order, priors and maps are those of the PyMC model that `build` makes, so both say one density of one vector.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.special import betaln, gammaln

from mnarkit.priors import Prior

__all__ = ["Block", "correlations", "located", "place", "place_all", "positive", "standard_normals", "unplaced"]

NORMAL, STUDENT, HALF_NORMAL, HALF_STUDENT, BETA, UNIFORM = range(6)
_LOG_2PI = math.log(2 * math.pi)
_LOG_2 = math.log(2)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Scalars of one name.

    Attributes
    ----------
    name, shape : str, tuple of int
        As in the PyMC model.
    kind : (k,) int array
        Family of each prior; it fixes the map: identity, exp, expit or an interval.
    numbers : (k, 4) array
        Location or first shape, scale or second shape, degrees of freedom, and the log of the normalising constant.
    squash : bool
        Whether the value is the tanh of what has the prior.
    """

    name: str
    shape: tuple[int, ...]
    kind: np.ndarray
    numbers: np.ndarray
    squash: bool = False

    @property
    def size(self) -> int:
        """The number of scalars."""
        return len(self.kind)


def located(
    name: str, priors: list[Prior], units: np.ndarray, shape: tuple[int, ...], *, squash: bool = False
) -> Block:
    """Scalars on the line (or between two bounds), a prior for each along the last axis, units where a prior is raw."""
    each = [_location(priors[i % len(priors)], unit) for i, unit in enumerate(np.broadcast_to(units, shape).ravel())]
    return Block(name, shape, np.array([k for k, _ in each]), np.array([n for _, n in each]).reshape(-1, 4), squash)


def standard_normals(name: str, size: int) -> Block:
    """Scalars on the line with standard normal priors."""
    return located(name, [Prior("normal", 0, 1)], np.ones(()), (size,))


def _location(prior: Prior, unit: float) -> tuple[int, tuple[float, ...]]:
    factor = unit if prior.unit == "raw" else 1.0
    a, b = prior.values[-2] * factor, prior.values[-1] * factor
    if prior.family == "uniform":
        return UNIFORM, (a, b, 0.0, 0.0)
    if prior.family == "normal":
        return NORMAL, (a, b, 0.0, -math.log(b) - _LOG_2PI / 2)
    return STUDENT, (a, b, prior.values[0], _log_student(prior.values[0], b))


def positive(name: str, prior: Prior, units: np.ndarray) -> Block:
    """Scalars above 0 with one prior, in the shape of their units."""
    scales = prior.values[-1] * (units.ravel() if prior.unit == "raw" else np.ones(units.size))
    if prior.family == "half_normal":
        rows = [(0.0, s, 0.0, _LOG_2 - math.log(s) - _LOG_2PI / 2) for s in scales]
        return Block(name, units.shape, np.full(len(scales), HALF_NORMAL), np.array(rows))
    df = prior.values[0]
    rows = [(0.0, s, df, _LOG_2 + _log_student(df, s)) for s in scales]
    return Block(name, units.shape, np.full(len(scales), HALF_STUDENT), np.array(rows))


def _log_student(df: float, scale: float) -> float:
    return float(gammaln((df + 1) / 2) - gammaln(df / 2) - math.log(df * math.pi) / 2 - math.log(scale))


def correlations(name: str, p: int, eta: float, arms: tuple[int, ...] = ()) -> Block:
    """LKJ(eta) as independent partial correlations: (1 + P_ij) / 2 ~ Beta(a, a), a = eta + (p - 2 - j) / 2.

    `arms` is the number of such matrices where there are several.
    """
    columns = np.tril_indices(p, -1)[1]
    a = eta + (p - 2 - columns) / 2
    numbers = np.column_stack([a, a, np.zeros(len(a)), -betaln(a, a)])
    times = int(np.prod(arms))
    return Block(name, (*arms, len(a)), np.full(times * len(a), BETA), np.tile(numbers, (times, 1)))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def place(theta, kind, numbers, squash, value, slope, score):
    """Fill the values, ∂value/∂θ and ∂/∂θ of the log prior of each scalar; the log prior, with its Jacobian."""
    total = 0.0
    for i in range(len(theta)):
        z, a, b, df = theta[i], numbers[i, 0], numbers[i, 1], numbers[i, 2]
        total += numbers[i, 3]
        family = kind[i]
        if family == NORMAL:
            r = (z - a) / b
            total -= 0.5 * r * r
            value[i], slope[i], score[i] = z, 1.0, -r / b
        elif family == STUDENT:
            r = (z - a) / b
            total -= 0.5 * (df + 1) * math.log1p(r * r / df)
            value[i], slope[i], score[i] = z, 1.0, -(df + 1) * r / (b * (df + r * r))
        elif family == HALF_NORMAL:
            v = math.exp(z)
            r = v / b
            total += z - 0.5 * r * r
            value[i], slope[i], score[i] = v, v, 1.0 - r * r
        elif family == HALF_STUDENT:
            v = math.exp(z)
            r = v / b
            total += z - 0.5 * (df + 1) * math.log1p(r * r / df)
            value[i], slope[i], score[i] = v, v, 1.0 - (df + 1) * r * r / (df + r * r)
        else:
            v = 1.0 / (1.0 + math.exp(-z))
            log_v = -math.log1p(math.exp(-abs(z))) + min(z, 0.0)
            if family == BETA:
                total += a * log_v + b * (log_v - z)
                value[i], slope[i], score[i] = v, v * (1.0 - v), a * (1.0 - v) - b * v
            else:
                total += 2 * log_v - z
                value[i], slope[i], score[i] = a + (b - a) * v, (b - a) * v * (1.0 - v), 1.0 - 2 * v
        if squash[i]:
            v = math.tanh(value[i])
            value[i], slope[i] = v, slope[i] * (1.0 - v * v)
    return total


@numba.njit(cache=True, error_model="numpy", nogil=True)
def place_all(theta, kind, numbers, squash, values):
    """Fill values (n, k) from θ (n, k)."""
    slope, score = np.empty(theta.shape[1]), np.empty(theta.shape[1])
    for i in range(len(theta)):
        place(theta[i], kind, numbers, squash, values[i], slope, score)


def unplaced(block: Block, values: np.ndarray) -> np.ndarray:
    """Undo `place` for a block: values to the line."""
    values = np.asarray(values, dtype=float).ravel()
    values = np.arctanh(values) if block.squash else values
    a, b = block.numbers[:, 0], block.numbers[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):  # every map is tried; one is taken
        share = np.where(block.kind == BETA, values, (values - a) / (b - a))
        return np.select(
            [block.kind <= STUDENT, block.kind <= HALF_STUDENT], [values, np.log(values)], np.log(share / (1 - share))
        )
