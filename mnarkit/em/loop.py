"""The one loop: iterate a step until its parameters stand still."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Path", "iterate", "relative_change"]

type Point = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Every point that the loop visited, the objective at each, and why it stopped."""

    points: tuple[Point, ...]
    objective: tuple[float, ...]
    converged: bool
    reason: str


def iterate(
    step: Callable[[Point], tuple[Point, float]],
    start: Point,
    *,
    tol: float,
    max_iter: int,
    scale: Callable[[Point], np.ndarray],
) -> Path:
    """Repeat `step`, which returns the next point and the objective at the point it was given.

    Parameters
    ----------
    scale : callable
        Turns a point into the vector of parameters whose change is judged.
    """
    points, objective = [start], []
    reason = f"stopped at max_iter={max_iter} before the parameters changed by less than {tol:g}"
    converged = False
    for _ in range(max_iter):
        after, value = step(points[-1])
        objective.append(value)
        points.append(after)
        if relative_change(scale(points[-2]), scale(after)) < tol:
            converged, reason = True, f"parameters changed by less than {tol:g}"
            break
    objective.append(step(points[-1])[1])
    return Path(tuple(points), tuple(objective), converged, reason)


def relative_change(before: np.ndarray, after: np.ndarray) -> float:
    """Take max |θ' - θ|, relative for parameters above 0.01 (the rule of SAS PROC MI's CONVERGE=)."""
    size = np.abs(after)
    return float(np.max(np.abs(after - before) / np.where(size > 0.01, size, 1.0), initial=0.0))
