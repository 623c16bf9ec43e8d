"""Where the ascent of an MNAR likelihood starts, and every maximum that other starts lead to."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import logit, ndtri

from mnarkit.em.ascent import climb
from mnarkit.em.objective import Objective, shown_indicator
from mnarkit.em.start import Point
from mnarkit.em.two_step import two_step
from mnarkit.errors import ConvergenceError
from mnarkit.normal.layout import Indicator
from mnarkit.normal.parameters import Parameters
from mnarkit.spec.shared import RANDOM_TERMS

__all__ = ["APART", "documented_start", "find_modes"]

_RHO = (-0.99, -0.9, -0.5, 0.5, 0.9, 0.99)
_SLOPES = (-2.0, -0.5, 0.5, 2.0)  # per standard deviation of the column
APART = 1e-3  # log likelihoods closer than this, at estimates closer than 1 %, are one maximum
_EDGE = 1 - 1e-4  # |ρ| above this is at the boundary
_STEPS = 500


def documented_start(objective: Objective, point: Point) -> Parameters:
    """Start at the MAR maximum: Heckman models by two-step, selection models with no slope but the share missing."""
    coef, cov = np.array(point[0]), np.array(point[1])
    betas, rhos = [], []
    for k, (one, indicator) in enumerate(zip(objective.indicators, objective.standard.indicators, strict=True)):
        beta, rho = _shares(objective, indicator), 0.0
        if one.has_rho:
            try:
                found = two_step(objective.standard, k)
            except ConvergenceError:
                found = None
            if found is not None:
                beta, rho = found.selection, float(np.clip(found.rho, -0.95, 0.95))
                if len(coef) == 1:
                    coef, cov = found.coef[None, :], np.array([[found.sigma**2]])
        betas.append(one.free_map @ np.linalg.lstsq(one.free_map, beta - one.fixed)[0] + one.fixed)
        rhos.append(one.rho if one.rho is not None else rho if one.has_rho else None)
    return Parameters(coef, cov, betas, rhos, objective.amounts)


def _shares(objective: Objective, indicator: Indicator) -> np.ndarray:
    """Only the intercept, at the share of rows whose indicator is 1."""
    beta = np.zeros(len(indicator.terms))
    code = None if indicator.groups is None else indicator.groups.code
    signs = indicator.signs(objective.standard.present, objective.standard.death, code)
    share = np.mean(signs[signs != 0] > 0)
    beta[[t.startswith("Intercept") for t in indicator.terms]] = (
        ndtri(share) if indicator.link == "probit" else logit(share)
    )
    return beta


def find_modes(objective: Objective, start: Parameters, found: np.ndarray) -> pd.DataFrame:
    """Climb from several starts, and list the distinct maxima, highest first.

    Parameters
    ----------
    objective : Objective
        The likelihood.
    start : Parameters
        The documented start.
    found : (k,) array
        The maximum that it led to.

    Returns
    -------
    DataFrame
        Columns `loglik` (own units), `start`, `returned`, `boundary`, and the parameters that say MNAR.
    """
    tops = [("documented", found)]
    for name, other in _others(objective, start):
        path = climb(objective, objective.theta(other), max_iter=_STEPS)
        top = path.points[-1]
        if path.converged and not any(_same(objective, top, known) for _, known in tops):
            tops.append((name, top))
    names = objective.names
    says = _telling(objective)
    telling = [i for i, n in enumerate(names) if n in says]
    rows = []
    for name, top in tops:
        own = objective.own(top)
        edge = any(abs(own[i]) > _EDGE for i in telling if names[i].startswith("rho("))
        rows.append(
            {
                "loglik": objective.loglik(top) + objective.constant,
                "start": name,
                "returned": top is found,
                "boundary": edge,
                **{names[i]: own[i] for i in telling},
            }
        )
    return pd.DataFrame(rows).sort_values("loglik", ascending=False, ignore_index=True)


def _others(objective: Objective, start: Parameters) -> Iterator[tuple[str, Parameters]]:
    for k, (one, indicator) in enumerate(zip(objective.indicators, objective.standard.indicators, strict=True)):
        column = objective.layout.columns[indicator.column]
        if one.has_rho and one.rho is None:
            for rho in _RHO:
                yield f"rho({column}) = {rho:g}", replace(start, rho=_put(start.rho, k, rho))
        unit = _sds_of_random_terms(objective, start)
        for at in indicator.on_unseen:
            term = indicator.terms[at]
            if not one.free_map[at].any():
                continue
            for slope in _SLOPES:
                beta = np.array(start.indicators[k])
                beta[at] = slope / unit.get(term.partition("[")[0], 1.0)
                name = f"{indicator.name} ~ {term} = {slope:g} per sd"
                yield name, replace(start, indicators=_put(start.indicators, k, beta))


def _sds_of_random_terms(objective: Objective, start: Parameters) -> dict[str, float]:
    """Standardised, by name; none where no indicator reads them."""
    random = objective.parameters(objective.theta(start)).random
    return {} if random is None else dict(zip(RANDOM_TERMS, np.sqrt(np.diag(random)).tolist(), strict=False))


def _put(values: object, k: int, value: object) -> list[object]:
    made = list(values)  # type: ignore[call-overload]
    made[k] = value
    return made


def _same(objective: Objective, one: np.ndarray, other: np.ndarray) -> bool:
    near = np.allclose(objective.own(one), objective.own(other), rtol=0.01, atol=0.01)
    return near and abs(objective.loglik(one) - objective.loglik(other)) < APART


def _telling(objective: Objective) -> set[str]:
    """Name the parameters that say MNAR: ρ, and slopes of indicators on unseen values or random terms."""
    made = {n for n in objective.names if n.startswith("rho(")}
    for indicator in objective.layout.indicators:
        shown = shown_indicator(indicator, objective.layout.columns)
        made |= {f"{shown} ~ {indicator.terms[i]}" for i in indicator.on_unseen}
    return made
