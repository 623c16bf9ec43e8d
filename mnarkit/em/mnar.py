"""Maximum likelihood of a spec that departs from MAR."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em.ascent import climb, polish
from mnarkit.em.fit import EMFit
from mnarkit.em.loop import Criterion, Path, iterate
from mnarkit.em.modes import APART, documented_start, find_modes
from mnarkit.em.names import IndicatorEstimate, finite_values, unpack_cov
from mnarkit.em.normal import mar_start
from mnarkit.em.objective import Objective
from mnarkit.em.selection import selection_map
from mnarkit.em.start import Point, to_standard
from mnarkit.em.two_step import two_step
from mnarkit.errors import DataError, SpecError
from mnarkit.normal.parameters import Parameters
from mnarkit.normal.sources import moments_of
from mnarkit.priors import Prior, centre
from mnarkit.spec.amounts import parameters_of
from mnarkit.spec.bounds import limits_said
from mnarkit.spec.check import check, identification
from mnarkit.spec.death import death_said
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.pattern_mixture import Component
from mnarkit.spec.propensities import MOST_INTEGRATED, orthants
from mnarkit.spec.spec import Spec

__all__ = ["Settings", "mnar_fit", "two_step_fit"]

_FLAT = 1e-10  # smallest over largest eigenvalue of the information scaled to a diagonal of 1: flat up to rounding
_UNTOLD = 20.0  # standard error, in standard deviations of the column, of a parameter that nothing tells


@dataclass(frozen=True, slots=True)
class Settings:
    """How the loop runs."""

    tol: float
    max_iter: int
    criterion: Criterion
    accelerate: bool
    watch: Callable[[int, float, float], None]


def mnar_fit(spec: Spec, data: IncompleteData, start: Any, settings: Settings) -> EMFit:
    """Maximise log f(y_seen, r | θ), to a gradient of 0.

    Selection models by EM, but with correlated propensities, as other beliefs, by quasi-Newton.
    """
    check(spec, data)
    fitted = fitted_table(spec, data)
    objective = Objective.of(spec, fitted)
    began = _began(spec, fitted, objective, start)
    theta = objective.theta(began)
    if not np.isfinite(objective.loglik(theta)):
        raise SpecError("the log likelihood at start= is not finite; take values nearer to the data")
    path = _ascend(spec, objective, theta, settings)
    top = path.points[-1]
    covariance, flat = _covariance(objective, top)
    searched = objective.indicators and path.converged and flat is None
    modes = find_modes(objective, began, top) if searched else pd.DataFrame()
    notes = (
        *([] if path.converged else [path.reason]),
        *_held(spec),
        *_about_modes(modes),
        *([flat] if flat else []),
        *identification(spec),
        *limits_said(spec, data),
        *death_said(spec, data),
        *orthants(spec, data, MOST_INTEGRATED),
    )
    return _fit(spec, data, objective, path, modes, notes, covariance)


def _ascend(spec: Spec, objective: Objective, theta: np.ndarray, settings: Settings) -> Path:
    plain = all(isinstance(b, Selection) for b in spec.selections) and spec.selections
    together = objective.rows.together  # EM's moments are those of one sign at a time
    grouped = any(i.groups is not None for i in objective.standard.indicators)
    if not plain or objective.amounts or together or spec.limits or objective.arms or grouped:
        return climb(objective, theta, max_iter=settings.max_iter, watch=settings.watch)
    path = iterate(
        selection_map(objective),
        theta,
        tol=settings.tol,
        max_iter=settings.max_iter,
        accelerate=settings.accelerate,
        criterion=settings.criterion,
        watch=settings.watch,
    )
    if not settings.accelerate or not path.converged:
        return path
    end = polish(objective, path, max_iter=settings.max_iter)
    return replace(end, reason=f"{path.reason}, and {end.reason}")


def _began(spec: Spec, data: IncompleteData, objective: Objective, start: Any) -> Parameters:
    if isinstance(start, (EMFit, Mapping, pd.Series)):
        return _named(objective, start.params if isinstance(start, EMFit) else start)
    if start != "available":
        raise SpecError(
            "start= of a selection, Heckman or of='model' spec is 'available' (two-step for Heckman, else the MAR "
            f"maximum), a fit of the same spec, or its parameters by name, not {start!r}"
        )
    moments = moments_of(spec.mar(), data)
    point: Point | None = mar_start(moments, objective.scaling)
    if point is None:
        raise DataError(
            f"the data determine one of {', '.join(map(repr, moments.columns))} by the others where they are seen "
            "together; leave it out (mk.em(spec.mar(), df) names it)"
        )
    if objective.arms:
        point = point[0], np.stack([point[1]] * len(objective.arms))
    return documented_start(objective, point)


def _named(objective: Objective, values: Mapping[str, float] | pd.Series) -> Parameters:
    """Turn parameters in the columns' own units, by name, into standardised ones."""
    given, names = dict(values), objective.names
    missing, odd = [n for n in names if n not in given], [n for n in given if n not in names]
    if missing or odd:
        raise SpecError(
            f"start= by name needs {len(names)} parameters ({', '.join(names[:4])}, ...); "
            f"{f'{missing[0]!r} is missing' if missing else f'{odd[0]!r} is none of them'}"
        )
    vector = finite_values(given, names)
    (p, q), arms = objective.shape, len(objective.arms)
    coef, at = vector[: p * q].reshape(p, q), p * q + max(arms, 1) * (p * (p + 1) // 2)
    cov = unpack_cov(vector[p * q : at], p, arms)
    betas, rhos = [], []
    for one in objective.indicators:
        betas.append(np.linalg.solve(one.own, vector[at : at + len(one.fixed)]))
        at += len(one.fixed)
        rhos.append(float(vector[at]) if one.has_rho else None)
        at += one.has_rho
    coef, cov = to_standard(coef, cov, objective.layout.terms, objective.scaling)
    if not np.linalg.eigvalsh(cov).min() > 0 or any(r is not None and not -1 < r < 1 for r in rhos):
        raise SpecError("start= by name: the covariance is not positive definite, or a rho is not inside (-1, 1)")
    return Parameters(coef, cov, betas, rhos, objective.amounts)


def _covariance(objective: Objective, theta: np.ndarray) -> tuple[np.ndarray | None, str | None]:
    """Delta-method covariance of the own-units parameters, or why there is none."""
    information = -objective.hessian(theta)
    size = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if not values[0] > _FLAT * values[-1]:
        moved = np.abs(objective.own_slopes(theta) @ (vectors[:, 0] / size))
        reach = np.abs(objective.own_slopes(theta)) @ (1 / size)
        names = [n for n, m, r in zip(objective.names, moved, reach, strict=True) if m > 0.5 * r > 0]
        told = ", ".join(map(repr, names[:4])) or "some parameters"
        return None, f"no standard errors: the likelihood is flat at its maximum, the data do not tell {told}"
    inverse = (vectors / values) @ vectors.T / np.outer(size, size)
    worst = int(np.argmax(np.diag(inverse)))
    if not inverse[worst, worst] < _UNTOLD**2:
        moved = np.abs(objective.own_slopes(theta)[:, worst])
        name = objective.names[int(np.argmax(moved))]
        return None, (
            f"no standard errors: the data do not tell {name!r}; the likelihood keeps rising, or stays as it is, "
            "however far it moves (its predictor separates the rows, or columns are never seen together); leave it "
            "out, or fix it"
        )
    slopes = objective.own_slopes(theta)
    return slopes @ inverse @ slopes.T, None


def _about_modes(modes: pd.DataFrame) -> list[str]:
    if modes.empty:
        return []
    mine = modes[modes["returned"]].iloc[0]
    said = []
    if mine["boundary"]:
        said.append("the maximum lies at the boundary, |rho| near 1: standard errors mean little there")
    others = modes[~modes["returned"]]
    if others.empty:
        return said
    best = others.iloc[0]
    higher = best["loglik"] > mine["loglik"] + APART
    telling = ", ".join(f"{n} = {best[n]:.4g}" for n in modes.columns[4:])
    return [
        *said,
        f"a local maximum (log likelihood {mine['loglik']:.4f}): {len(others)} other{'s' if len(others) > 1 else ''} "
        f"found, the highest at {telling} with {best['loglik']:.4f}, which is {'higher' if higher else 'lower'}; see "
        ".modes, and which one is believed is not for the likelihood to say",
    ]


def _centres(component: Component) -> str:
    """Say the numbers at which amounts are held."""
    values = [p.value for p in parameters_of(component)]
    of_prior = " (the centre of its prior)"
    return ", ".join(f"{centre(v):g}{of_prior if isinstance(v, Prior) else ''}" for v in values)


def _held(spec: Spec) -> list[str]:
    return [f"{component} is held at {_centres(component)}: declared, not estimated" for component in spec.amounts]


def _fit(
    spec: Spec,
    data: IncompleteData,
    objective: Objective,
    path: Path,
    modes: pd.DataFrame,
    notes: tuple[str, ...],
    covariance: np.ndarray | None,
) -> EMFit:
    names = objective.names
    points = np.array([objective.own(point) for point in path.points])
    loglik = np.array(path.objective) + objective.constant
    coef, cov, indicators = objective.estimates(path.points[-1])
    front = pd.DataFrame({"iteration": np.arange(len(points)), "loglik": loglik, "minus_2_loglik": -2 * loglik})
    empty = int((~objective.layout.seen.any(axis=1)).sum())
    used = objective.n_rows
    return EMFit(
        spec=spec,
        data=data,
        columns=objective.layout.columns,
        terms=objective.layout.terms,
        coef=coef,
        cov=cov,
        indicators=indicators,
        loglik=float(loglik[-1]),
        log_prior=0.0,
        n=used,
        n_empty=len(objective.layout.y) - used if empty else 0,
        start=pd.Series(points[0], index=names, name="start"),
        history=pd.concat([front, pd.DataFrame(points, columns=names)], axis=1),
        iterations=len(points) - 1,
        evaluations=path.evaluations,
        converged=path.converged,
        reason=path.reason,
        prior=None,
        modes=modes,
        notes=notes,
        curvature=covariance,
        arms=objective.arms,
    )


def two_step_fit(spec: Spec, data: IncompleteData) -> EMFit:
    """Heckman's two-step estimates with Greene's standard errors; none for the variance and ρ."""
    check(spec, data)
    if len(spec.missingness) != 1 or not isinstance(spec.missingness[0], Heckman) or len(spec.model.columns) != 1:
        raise SpecError("method='two-step' is for one Regression with one Heckman belief")
    if spec.missingness[0].priors:
        raise SpecError("method='two-step' estimates every coefficient and rho; leave priors= out, or use method='ML'")
    objective = Objective.of(spec, data)
    found = two_step(objective.layout)
    rho = found.rho
    indicator = objective.layout.indicators[0]
    inside = Parameters(
        found.coef[None, :], np.array([[found.sigma**2]]), [found.selection], [float(np.clip(rho, -0.9999, 0.9999))], ()
    )
    named = dict(zip(objective.names, _vector(inside), strict=True))
    theta = objective.theta(_named(objective, named))
    path = Path((theta,), (objective.loglik(theta),), 1, True, "two-step: no iteration but the probit's")
    p = len(found.coef)
    covariance = np.full((len(objective.names),) * 2, np.nan)
    covariance[:p, :p] = found.coef_cov[:p, :p]
    covariance[p + 1 : -1, p + 1 : -1] = found.selection_cov
    error = np.sqrt(found.coef_cov[-1, -1])
    beyond = " (outside [-1, 1]: the model does not fit)" if abs(rho) > 1 else ""
    notes = (
        f"two-step: the coefficient of the inverse Mills ratio is {found.mills:.6g} (standard error {error:.6g}), "
        f"sigma {found.sigma:.6g}, rho {rho:.6g}{beyond}; the variance and rho have no standard errors",
        *identification(spec),
    )
    made = _fit(spec, data, objective, path, pd.DataFrame(), notes, covariance)
    name = f"recorded({objective.layout.columns[0]})"
    return replace(made, indicators=(IndicatorEstimate(name, indicator.terms, found.selection, rho),))


def _vector(parameters: Parameters) -> np.ndarray:
    return np.concatenate(
        [parameters.coef.ravel(), parameters.cov.ravel(), parameters.indicators[0], [parameters.rho[0]]]
    )
