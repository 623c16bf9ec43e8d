"""Unseen continuous cells as sums over fixed points, on panels around what the recorded rows predict, split at jumps.

The points are Gauss-Legendre's on panels of the unconstrained scale v of a column (v = y, log y, or the logit between
bounds). They depend on the table alone, not on the parameters: the log likelihood is a smooth function whose
gradient needs nothing new.
"""

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from mnarkit.calls import check_call
from mnarkit.factored.columns import Coded
from mnarkit.formula import Design

__all__ = [
    "ORDER",
    "STEPWISE",
    "Axis",
    "Grid",
    "axis_of",
    "breaks_of",
    "calls_in",
    "from_line",
    "grid_of",
    "log_slope",
    "onto_line",
    "reads_stepwise",
]

STEPWISE = frozenset({"above", "bs", "cs", "poly"})  # of an unseen value: summed over points, never sampled
ORDER = 6  # points a panel
_WIDTH, _CORE = 1.5, 6.0  # in residual sds: a panel, and half of what even panels cover
_TAILS: Mapping[str, tuple[int, float]] = {"student_t": (9, 2.0)}  # how many panels follow, each longer by a factor


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Where the points of a column lie: around the prediction of recorded rows, in units of their residual sd.

    Attributes
    ----------
    coef : (q,) array
        Least squares of v on the column's design.
    spread, mean, sd : float
        Residual sd of v, and mean and sd of the recorded v.
    breaks : tuple of float
        Values of the column at which something jumps or bends.
    """

    coef: np.ndarray
    spread: float
    mean: float
    sd: float
    breaks: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Points of the cells of one column: values of the column and log weights, (cells, K).

    Point k stands for v from `low` to `high`, (cells, K), whose distance is its weight on the scale of v.
    """

    rows: np.ndarray
    values: np.ndarray
    log_weights: np.ndarray
    low: np.ndarray
    high: np.ndarray


def calls_in(name: str) -> list[str]:
    """Split the factors of a term that are calls: 'log(x):z' -> 'log(x)'."""
    depth, start = 0, 0
    parts = []
    for i, character in enumerate(name + ":"):
        depth += (character in "([") - (character in ")]")
        if character == ":" and depth == 0:
            parts.append(name[start:i])
            start = i + 1
    return [p for p in parts if p.endswith(")") and not p.startswith("`")]


def breaks_of(column: str, designs: Iterable[Design]) -> tuple[float, ...]:
    """Find the thresholds and the knots at which formulas read a column."""
    found: set[float] = set()
    for built in designs:
        for code in {f.expr for term in built.model_spec.term_slices for f in term.factors}:
            if code.endswith(")") and not code.startswith("`") and column in check_call(code).columns:
                found |= set(_thresholds(code))
                found |= {float(k) for k in built.model_spec.transform_state.get(code, {}).get("knots", ())}
    return tuple(sorted(found))


def _thresholds(code: str) -> list[float]:
    nodes = [n for n in ast.walk(ast.parse(code, mode="eval")) if isinstance(n, ast.Call)]
    above = [n for n in nodes if isinstance(n.func, ast.Name) and n.func.id == "above"]
    return [float(ast.literal_eval(v)) for n in above for v in (*n.args[1:], *(k.value for k in n.keywords))]


def axis_of(one: Coded, x: np.ndarray, known: np.ndarray, breaks: tuple[float, ...]) -> Axis:
    """Fit v on the design in the rows where all is recorded; a robust spread, so that a sharp centre is resolved."""
    v = onto_line(one, one.values)
    coef = np.linalg.lstsq(x[known], v[known], rcond=None)[0]
    left = v[known] - x[known] @ coef
    recorded = v[one.seen]
    sd = float(recorded.std(ddof=1))
    middle = 1.4826 * float(np.median(np.abs(left - np.median(left))))
    spread = min(float(left.std()), 1.2 * middle) if middle > 0 else float(left.std())
    return Axis(coef, max(spread, 0.02 * sd), float(recorded.mean()), sd, breaks)


def onto_line(one: Coded, values: Any) -> Any:
    """V of values of a column; infinite beyond the ends of its support."""
    with np.errstate(divide="ignore", invalid="ignore"):
        match one.family.support:
            case "positive":
                return np.log(np.maximum(values, 0.0))
            case "interval":
                low, high = one.bounds
                return special.logit(np.clip((values - low) / (high - low), 0.0, 1.0))
    return np.asarray(values, dtype=np.float64)


def from_line(one: Coded, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of the column at v, and log dy/dv."""
    match one.family.support:
        case "positive":
            return np.maximum(np.exp(np.minimum(v, 700.0)), np.finfo(float).tiny), v
        case "interval":
            low, high = one.bounds
            p = np.clip(special.expit(v), 1e-15, 1 - 1e-15)
            return low + (high - low) * p, np.log(high - low) + special.log_expit(v) + special.log_expit(-v)
    return v, np.zeros(v.shape)


def log_slope(one: Coded, values: np.ndarray) -> np.ndarray:
    """Log dy/dv at values of the column."""
    return from_line(one, onto_line(one, values))[1]


def grid_of(
    one: Coded,
    axis: Axis,
    rows: np.ndarray,
    x: np.ndarray,
    predicted: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    order: int,
) -> Grid:
    """Points for the cells of a column in `rows` of the table.

    Parameters
    ----------
    one : Coded
        The column.
    axis : Axis
        Of that column on the table of the fit.
    rows : (c,) array
        Rows of the table.
    x, predicted : (c, q), (c,) arrays
        The column's design there, and whether all that it reads is recorded.
    limits : pair of (c,) arrays
        Between which the cells are known to lie; infinite where nothing is known.
    order : int
        Points a panel.
    """
    places, shares = special.roots_legendre(order)
    low, high = (onto_line(one, b)[:, None] if one.family.support != "real" else b[:, None] for b in limits)
    around = np.where(predicted, x @ axis.coef, axis.mean)
    around = np.clip(around, low[:, 0], high[:, 0])
    core = _CORE * axis.spread + (0.0 if predicted.all() else 3.0 * axis.sd)
    half = axis.spread * _half(core / axis.spread, *_TAILS.get(one.family.name, (4, 1.6)))
    edges = around[:, None] + np.concatenate([-half[:0:-1], half])
    breaks = onto_line(one, np.array(axis.breaks))
    breaks = np.clip(breaks[np.isfinite(breaks)], edges[:, :1], edges[:, -1:])
    edges = np.clip(np.sort(np.hstack([edges, breaks]), axis=1), low, high)
    start, length = edges[:, :-1, None], np.diff(edges, axis=1)[:, :, None]
    v = start + length * (1 + places) / 2
    weights = np.broadcast_to(length * shares / 2, v.shape)
    upper = start + np.cumsum(weights, axis=2)
    flat = (len(rows), -1)
    values, log_slope = from_line(one, v.reshape(flat))
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights.reshape(flat)) + log_slope
    return Grid(rows, values, log_weights, (upper - weights).reshape(flat), upper.reshape(flat))


def _half(core: float, tails: int, growth: float) -> np.ndarray:
    """Edges of the panels on one side, in residual sds: even ones, then longer and longer ones."""
    edges = list(_WIDTH * np.arange(int(np.ceil(core / _WIDTH)) + 1))
    for k in range(1, tails + 1):
        edges.append(edges[-1] + _WIDTH * growth**k)
    return np.array(edges)


def reads_stepwise(column: str, names: Collection[str]) -> bool:
    """Whether a term reads a column through a threshold or a spline."""
    calls = [check_call(code) for name in names for code in calls_in(name)]
    return any(column in call.columns and call.functions & STEPWISE for call in calls)
