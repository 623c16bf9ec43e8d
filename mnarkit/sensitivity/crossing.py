"""Where a pooled result crosses a value: roots on a line, the zero set in a plane, and their Monte Carlo error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr

from mnarkit.estimates import Estimates
from mnarkit.pool import Pooled
from mnarkit.sensitivity.curves import Curve, Stack

__all__ = ["Crosses", "Margin", "contour", "monte_carlo_error", "nearer", "roots"]

type Crosses = Literal["estimate", "interval", "p"]

_EXACT, _STEPS = 1e-13, 200  # of the length of a bracket; halvings of one


@dataclass(frozen=True, slots=True, eq=False)
class Margin:
    """g(δ), whose zeros are the crossings; a smooth function where the curve is one.

    `estimate`: Q̄ - a. `interval`: |Q̄ - a| - t √T, above 0 where the interval leaves a out. `p`: log α - log p of
    the test of a, which has the same zeros.

    Attributes
    ----------
    curve : Curve
        The analysis over the points.
    term : int
        Its number.
    crosses : {"estimate", "interval", "p"}
        What crosses.
    at, level : float
        a and 1 - α.
    """

    curve: Curve
    term: int
    crosses: Crosses
    at: float
    level: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Evaluate at points (G, axes)."""
        return self.of(self.curve.pooled(points, self.level))

    def of(self, stack: Stack) -> np.ndarray:
        """Evaluate pooled numbers, (G,)."""
        gap = stack["estimate"][:, self.term] - self.at
        if self.crosses == "estimate":
            return gap
        if self.crosses == "interval":
            return np.abs(gap) - (stack["ci_high"] - stack["ci_low"])[:, self.term] / 2
        p = 2 * stdtr(stack["dof"][:, self.term], -np.abs(gap) / stack["std_error"][:, self.term])
        return np.log(1 - self.level) - np.log(np.maximum(p, 1e-300))

    def without_one(self, estimates: Estimates) -> np.ndarray:
        """G when one imputation is left out, (m,)."""
        values, variances = estimates.estimates[:, self.term], estimates.variances[:, self.term]
        m = len(values)
        around = values - values.mean()
        mean = values.mean() - around / (m - 1)
        between = (np.sum(around**2) - around**2 * m / (m - 1)) / (m - 2)
        within = (variances.sum() - variances) / (m - 1)
        pooled = Pooled(("",) * m, mean, within, between, m - 1, self.level, estimates.df_complete, "")
        stack = Stack.of(pooled)
        one = Margin(self.curve, 0, self.crosses, self.at, self.level)
        return one.of(Stack({name: column.T for name, column in stack.columns.items()}))


def roots(margin: Margin, line: np.ndarray, values: np.ndarray) -> list[float]:
    """Every root on a scanned line, by Brent's method between points of different sign; `values` are g on `line`."""

    def g(x: float) -> float:
        return float(margin(np.array([[x]]))[0])

    found = [float(x) for x, v in zip(line, values, strict=True) if v == 0]
    for a, b, at_a, at_b in zip(line[:-1], line[1:], values[:-1], values[1:], strict=True):
        if at_a * at_b < 0:
            found.append(float(brentq(g, a, b, xtol=_EXACT * max(abs(a), abs(b), b - a), rtol=8.9e-16)))
    return found


def monte_carlo_error(margin: Margin, point: Sequence[float], reach: np.ndarray) -> float:
    """Standard error of a crossing due to the finite number of imputations, by the delta method.

    The jackknife over imputations gives the error of g there; over the length of g's gradient, taken by central
    differences over `reach`, it is the error along the gradient. NaN with fewer than three imputations.
    """
    estimates = margin.curve.estimates(point)
    m = estimates.m
    if m < 3:
        return np.nan
    left = margin.without_one(estimates)
    error = np.sqrt((m - 1) / m * np.sum((left - left.mean()) ** 2))
    steps = np.diag(reach)
    sides = margin(np.concatenate([np.asarray(point) + steps, np.asarray(point) - steps]))
    slopes = (sides[: len(reach)] - sides[len(reach) :]) / (2 * reach)
    length = float(np.sqrt(np.sum(slopes**2)))
    return float(error / length) if length > 0 else np.inf


def contour(margin: Margin, xs: np.ndarray, ys: np.ndarray, values: np.ndarray, tol: float) -> np.ndarray:
    """Segments (S, 2, 2) of the zero set in a plane, whose ends lie on it.

    Parameters
    ----------
    margin : Margin
        g.
    xs, ys : (a,), (b,) arrays
        The scanned lines.
    values : (a, b) array
        g where they cross.
    tol : float
        How close the ends are brought to the zero set, as a share of the distance between lines.
    """
    up = values > 0
    cells = [(i, j) for i in range(len(xs) - 1) for j in range(len(ys) - 1) if _mixed(up, i, j)]
    edges = {edge: None for i, j in cells for edge in _edges(i, j) if up[edge[0]] != up[edge[1]]}
    if not edges:
        return np.zeros((0, 2, 2))
    low = np.array([(xs[a[0]], ys[a[1]]) for a, _ in edges])
    high = np.array([(xs[b[0]], ys[b[1]]) for _, b in edges])
    ends = np.array([(values[a], values[b]) for a, b in edges])
    share = _illinois(lambda s: margin(low + s[:, None] * (high - low)), ends, tol)
    at = dict(zip(edges, low + share[:, None] * (high - low), strict=True))
    made = []
    for i, j in cells:
        crossed = [at[e] for e in _edges(i, j) if e in at]
        if len(crossed) == 4:  # a saddle: the middle says which corners belong together
            middle = margin(np.array([[(xs[i] + xs[i + 1]) / 2, (ys[j] + ys[j + 1]) / 2]]))[0] > 0
            order = (0, 3, 1, 2) if middle != up[i, j] else (0, 1, 2, 3)
            crossed = [crossed[k] for k in order]
        made += [crossed[k : k + 2] for k in range(0, len(crossed) - 1, 2)]
    return np.array(made)


def nearer(margin: Margin, start: np.ndarray, neutral: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Slide along a smooth zero set to its point nearest to the neutral one, (axes,); the start if that fails.

    Each step takes the nearest point of the tangent, and lands on the zero set within rounding.
    """
    reach = 1e-5 * (ranges[1] - ranges[0])
    point = start
    for _ in range(_STEPS):
        sides = margin(np.concatenate([[point], point + np.diag(reach), point - np.diag(reach)]))
        slope = (sides[1 : 1 + len(reach)] - sides[1 + len(reach) :]) / (2 * reach)
        length = slope @ slope
        if not length > 0:
            return start
        away = point - neutral
        moved = neutral + slope * (slope @ away - sides[0]) / length
        if np.abs(moved - point).max() < 1e-12 * np.abs(ranges).max():
            inside = np.all((moved >= ranges[0]) & (moved <= ranges[1]))
            closer = np.linalg.norm(moved - neutral) <= np.linalg.norm(start - neutral)
            return moved if inside and closer else start
        point = moved
    return start


type _Edge = tuple[tuple[int, int], tuple[int, int]]


def _edges(i: int, j: int) -> list[_Edge]:
    """The edges of a cell, around it: bottom, right, top, left."""
    a, b, c, d = (i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)
    return [(a, b), (b, c), (d, c), (a, d)]


def _mixed(up: np.ndarray, i: int, j: int) -> bool:
    corners = up[i : i + 2, j : j + 2]
    return bool(corners.any() and not corners.all())


def _illinois(g: Callable[[np.ndarray], np.ndarray], ends: np.ndarray, tol: float) -> np.ndarray:
    """Roots in (0, 1) of many functions at once: regula falsi, the weight of an end that stays is halved."""
    low, high = np.zeros(len(ends)), np.ones(len(ends))
    at_low, at_high = ends[:, 0].copy(), ends[:, 1].copy()
    weight_low, weight_high = at_low.copy(), at_high.copy()
    last, middle = np.zeros(len(ends)), np.full(len(ends), 0.5)
    for step in range(_STEPS):
        falsi = (low * weight_high - high * weight_low) / (weight_high - weight_low)
        middle = np.where(step % 4 == 3, (low + high) / 2, np.clip(falsi, low, high))
        value = g(middle)
        left = np.sign(value) == np.sign(at_low)
        weight_high = np.where(left, np.where(last > 0, weight_high / 2, at_high), value)
        weight_low = np.where(left, value, np.where(last < 0, weight_low / 2, at_low))
        at_low, at_high = np.where(left, value, at_low), np.where(left, at_high, value)
        moved = np.abs(middle - np.where(left, low, high))
        low, high = np.where(left, middle, low), np.where(left, high, middle)
        last = np.where(left, 1.0, -1.0)
        if np.all((value == 0) | (high - low < tol) | (moved < tol / 4)):
            break
    return middle
