"""The one loop: iterate a step until its parameters stand still, with or without acceleration."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from mnarkit.errors import ConvergenceError

__all__ = ["Path", "Step", "iterate", "relative_change"]

type Criterion = Literal["parameter", "loglik"]

_MEMORY = 20  # differences that an extrapolation reads
_ROUNDING = 1e-11  # a relative fall of the objective that summation in double precision explains


class Step(NamedTuple):
    """What one evaluation of the map gives.

    Attributes
    ----------
    after : (k,) array
        The next point.
    objective : float
        The objective at the point that the map was given.
    regime : hashable
        Objectives compare within one regime alone (say, the same values left out of the likelihood).
    rounding : float
        By how much rounding may have changed the objective.
    """

    after: np.ndarray
    objective: float
    regime: Hashable = None
    rounding: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Every point that the loop visited, the objective at each, and why it stopped.

    Attributes
    ----------
    points, objective : tuple
        The start first; one point an iteration.
    evaluations : int
        How often the map was evaluated.
    """

    points: tuple[np.ndarray, ...]
    objective: tuple[float, ...]
    evaluations: int
    converged: bool
    reason: str


@dataclass(slots=True)
class _History:
    """Points and their residuals M(θ) - θ, the newest last."""

    points: list[np.ndarray] = field(default_factory=list)
    residuals: list[np.ndarray] = field(default_factory=list)

    def add(self, point: np.ndarray, residual: np.ndarray) -> None:
        self.points, self.residuals = [*self.points, point][-_MEMORY:], [*self.residuals, residual][-_MEMORY:]

    def forget(self) -> None:
        self.points, self.residuals = self.points[-1:], self.residuals[-1:]

    def extrapolated(self) -> np.ndarray | None:
        """θ where the residuals' least-squares line reaches 0 (Anderson 1965; Walker & Ni 2011, section 2)."""
        if len(self.points) < 2:
            return None
        residuals, points = np.diff(self.residuals, axis=0).T, np.diff(self.points, axis=0).T
        share = np.linalg.lstsq(residuals, self.residuals[-1], rcond=1e-10)[0]
        return self.points[-1] + self.residuals[-1] - (points + residuals) @ share


def iterate(
    step: Callable[[np.ndarray], Step],
    start: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    accelerate: bool = False,
    criterion: Criterion = "parameter",
    judged: Callable[[np.ndarray], np.ndarray] = lambda point: point,
    watch: Callable[[int, float, float], None] = lambda iteration, objective, change: None,
) -> Path:
    """Repeat the map θ → M(θ) until it moves nothing by more than `tol`; the objective never falls on the way.

    Parameters
    ----------
    step : callable
        The map, with the objective at the point that it is given; `LinAlgError` where that is no point of the space.
    accelerate : bool
        Extrapolate through the last residuals M(θ) - θ (Anderson acceleration); a candidate at which the objective is
        lower than at the point before, or that lies outside the space, is replaced by the plain step.
    criterion : {"parameter", "loglik"}
        Judge the parameters' change (`relative_change`), or the objective's, absolute.
    judged : callable
        Turns a point into the vector of parameters whose change is judged.
    watch : callable
        Told of every iteration: its number, the objective, and what is judged.

    Raises
    ------
    ConvergenceError
        The objective of a plain step fell: the map is not EM's, or its arithmetic broke down.
    """
    points, objectives, history = [start], [], _History()
    now, evaluations = step(start), 1
    what = "parameters changed" if criterion == "parameter" else "the objective changed"
    reason, converged = f"stopped at max_iter={max_iter} before {what} by less than {tol:g}", False
    for iteration in range(1, max_iter + 1):
        objectives.append(now.objective)
        history.add(points[-1], now.after - points[-1])
        moved = relative_change(judged(points[-1]), judged(now.after))
        candidate = history.extrapolated() if accelerate and not moved < tol else None
        ahead = None if candidate is None else _tried(step, candidate)
        evaluations += ahead is not None
        if candidate is None or ahead is None or not _rises(now, ahead):
            if candidate is not None:
                history.forget()
            candidate, ahead = now.after, step(now.after)
            evaluations += 1
            if not _rises(now, ahead):
                raise ConvergenceError(
                    f"the objective fell from {now.objective:.10g} to {ahead.objective:.10g} at iteration {iteration}; "
                    "the data may determine some columns by others: leave one out, or use a prior"
                )
        change = moved if criterion == "parameter" else ahead.objective - now.objective
        if now.regime != ahead.regime:
            history, change = _History(), np.inf
        points.append(candidate)
        now = ahead
        watch(iteration, now.objective, change)
        if change < tol:
            converged, reason = True, f"{what} by less than {tol:g}"
            break
    return Path(tuple(points), (*objectives, now.objective), evaluations, converged, reason)


def _tried(step: Callable[[np.ndarray], Step], candidate: np.ndarray) -> Step | None:
    """Take the map at an extrapolated point, if it is one of the space."""
    try:
        made = step(candidate)
    except np.linalg.LinAlgError:
        return None
    return made if np.isfinite(made.objective) else None


def _rises(now: Step, ahead: Step) -> bool:
    if now.regime != ahead.regime:
        return True
    slack = _ROUNDING * (1 + abs(now.objective)) + now.rounding + ahead.rounding
    return bool(ahead.objective >= now.objective - slack)


def relative_change(before: np.ndarray, after: np.ndarray) -> float:
    """Take max |θ' - θ|, relative for parameters above 0.01 (the rule of SAS PROC MI's CONVERGE=)."""
    size = np.abs(after)
    return float(np.max(np.abs(after - before) / np.where(size > 0.01, size, 1.0), initial=0.0))
