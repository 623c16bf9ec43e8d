"""Direct ascent of a likelihood: quasi-Newton with the exact gradient, then Newton to the top."""

from collections.abc import Callable

import numpy as np
from scipy import optimize

from mnarkit.em.loop import Path
from mnarkit.em.objective import Objective

__all__ = ["climb", "polish"]

_TOP = 1e-9  # gradient per row and standardised parameter at which the top is reached
_NEWTON = 25  # Newton steps at most: they converge in a handful


def climb(
    objective: Objective,
    start: np.ndarray,
    *,
    max_iter: int,
    watch: Callable[[int, float, float], None] = lambda iteration, objective, change: None,
) -> Path:
    """Ascend from a start by BFGS, whose line search never lowers the objective, and finish by Newton."""
    points, count = [start], [0]

    def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
        count[0] += 1
        value, gradient = objective.loglik_and_gradient(theta)
        return (-value / objective.n_rows, -gradient / objective.n_rows) if np.isfinite(value) else (1e10, gradient)

    def note(xk: np.ndarray) -> None:  # SciPy goes by this name
        points.append(xk.copy())
        watch(len(points) - 1, objective.loglik(xk), float(np.abs(points[-1] - points[-2]).max()))

    optimize.minimize(
        negative, start, jac=True, method="BFGS", callback=note, options={"gtol": 1e-6, "maxiter": max_iter}
    )
    values = [objective.loglik(point) for point in points]
    return polish(
        objective, Path(tuple(points), tuple(values), count[0], False, ""), max_iter=max_iter + 1 - len(points)
    )


def polish(objective: Objective, path: Path, *, max_iter: int) -> Path:
    """Go on from the end of a path by Newton steps that raise the objective, to a gradient of 0."""
    points, values = list(path.points), list(path.objective)
    evaluations, size = path.evaluations, np.inf
    why = f"after {_NEWTON} Newton steps" if max_iter >= _NEWTON else "stopped at max_iter"
    for left in range(min(_NEWTON, max_iter), -1, -1):
        gradient = objective.loglik_and_gradient(points[-1])[1]
        size = float(np.abs(gradient).max(initial=0.0)) / objective.n_rows
        if not size >= _TOP or not left:
            break
        step = _direction(objective.hessian(points[-1]), gradient)
        evaluations += 2 * len(step) + 1
        ahead = _uphill(objective, points[-1], values[-1], step)
        if ahead is None:
            why = "and no step raises the objective"
            break
        points.append(ahead[0])
        values.append(ahead[1])
    converged = size < 1e-6
    reason = f"the gradient is {f'below {_TOP:g}' if size < _TOP else f'{size:.1g}'} per row"
    reason += "" if converged else f", {why}"
    return Path(tuple(points), tuple(values), evaluations, converged, reason)


def _direction(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Newton's step, with the curvature made positive where the objective is not concave."""
    values, vectors = np.linalg.eigh(-hessian)
    values = np.maximum(np.abs(values), 1e-8 * np.abs(values).max())
    return vectors @ ((vectors.T @ gradient) / values)


def _uphill(objective: Objective, point: np.ndarray, value: float, step: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Halve a step until it raises the objective (by rounding at least: near the top nothing else is left)."""
    slack = 1e-13 * abs(value)
    for _ in range(30):
        ahead = objective.loglik(point + step)
        if ahead >= value - slack and np.isfinite(ahead):
            return point + step, max(ahead, value)
        step = step / 2
    return None
