"""What the likelihood tells: scores of every row at the posterior mean, standard errors, and the share of shape."""

from dataclasses import dataclass

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.diagnose.beliefs import Carrier
from mnarkit.diagnose.freed import freed_spec
from mnarkit.em.objective import Objective
from mnarkit.em.start import to_standard
from mnarkit.errors import MnarkitError
from mnarkit.fit import Fit, draw_parameters, stacked_draws
from mnarkit.normal.layout import KernelData, designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.together import unit_loglik_together
from mnarkit.spec.check import check
from mnarkit.spec.events import fitted_table
from mnarkit.spec.propensities import MOST_INTEGRATED, sampled_rows
from mnarkit.spec.spec import Spec

__all__ = ["Point", "point_of", "shape_share", "standard_errors"]

_STEP = 1e-4  # of standardised parameters: the central difference is then good to 1e-8 of third derivatives
_FLAT = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """Posterior means in the columns' own units, by column and term, so that a wider model can be put there."""

    terms: tuple[str, ...]
    coef: np.ndarray
    cov: np.ndarray
    indicators: tuple[dict[str, float], ...]
    rho: tuple[float | None, ...]


def point_of(fit: Fit) -> Point:
    """The posterior means of a fit of the extended normal."""
    data = fitted_table(fit.spec, fit.data)
    layout = lay_out(fit.spec, data, designs_of(fit.spec, data))
    draws = stacked_draws(fit)
    mean = {name: values.mean(axis=0)[None] for name, values in draws.items()}
    cov = _mean_covariance(draws)
    at, _ = draw_parameters(mean, layout, 0)
    named = tuple(
        dict(zip(i.terms, np.asarray(b, dtype=float).tolist(), strict=True))
        for i, b in zip(layout.indicators, at.indicators, strict=True)
    )
    return Point(layout.terms, at.coef, cov, named, tuple(None if r is None else float(r) for r in at.rho))


def _mean_covariance(draws: dict[str, np.ndarray]) -> np.ndarray:
    sd = draws["sd"]
    corr = draws.get("corr", np.ones((1, 1)))
    return (corr * sd[..., :, None] * sd[..., None, :]).mean(axis=0)


def _theta(objective: Objective, point: Point) -> np.ndarray:
    """The point on the objective's line; terms that it does not know are 0."""
    terms = objective.layout.terms
    coef = np.zeros((len(point.coef), len(terms)))
    for j, term in enumerate(point.terms):
        coef[:, terms.index(term)] = point.coef[:, j]
    coef, cov = to_standard(coef, point.cov, terms, objective.scaling)
    each = zip(objective.layout.indicators, objective.indicators, point.indicators, strict=True)
    betas = [np.linalg.solve(o.own, np.array([known.get(t, 0.0) for t in i.terms])) for i, o, known in each]
    return objective.theta(Parameters(coef, cov, betas, point.rho, objective.amounts))


def standard_errors(fit: Fit, point: Point) -> dict[str, float]:
    """Standard errors from the observed information at the posterior mean, by `EMFit`'s names; empty where flat."""
    if sampled_rows(fit.spec, fit.data):
        return {}
    objective = Objective.of(fit.spec, fitted_table(fit.spec, fit.data))
    theta = _theta(objective, point)
    information = -objective.hessian(theta)
    inverse = _inverse(information)
    if inverse is None:
        return {}
    slopes = objective.own_slopes(theta)
    variance = np.einsum("ij,jk,ik->i", slopes, inverse, slopes)
    return {n: float(np.sqrt(v)) for n, v in zip(objective.names, variance, strict=True) if v > 0}


def _inverse(information: np.ndarray) -> np.ndarray | None:
    """The inverse, or None where it is not positive definite."""
    size = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if not values[0] > _FLAT * values[-1]:
        return None
    return (vectors / values) @ vectors.T / np.outer(size, size)


def shape_share(fit: Fit, point: Point, carrier: Carrier) -> float:
    """Share of the information on a parameter of the belief that is left when its exclusions are taken back.

    The model is widened so that both formulas have the same columns, and the information (the sum of products of the
    rows' scores) is compared with that of the model as declared, at the same point: 1 where shape alone tells
    the parameter, 0 where the exclusions do. NaN where the wider model cannot be laid out.
    """
    spec = freed_spec(fit.spec, carrier.position)
    data = fitted_table(fit.spec, fit.data)
    try:
        check(spec, data)
        objective = Objective.of(spec, data)
    except MnarkitError:
        return float("nan")
    narrow = Objective.of(fit.spec, data)
    scores = _scores(objective, _theta(objective, point), data, spec)
    kept, at = _kept(narrow, objective, carrier)
    information = scores.T @ scores
    wide, declared = _inverse(information), _inverse(information[np.ix_(kept, kept)])
    if declared is None:
        return float("nan")
    if wide is None:
        return 0.0
    return float(declared[kept.index(at), kept.index(at)] / wide[at, at])


def _scores(objective: Objective, theta: np.ndarray, data: IncompleteData, spec: Spec) -> np.ndarray:
    """∂/∂θ of the log likelihood of each row, (n, k), by central differences."""
    rows = kernel_data(objective.standard, keep_empty_rows=True, products=False, most=MOST_INTEGRATED)
    steps = _STEP * np.eye(len(theta))
    each = [(_by_row(objective, theta + e, rows) - _by_row(objective, theta - e, rows)) / (2 * _STEP) for e in steps]
    return np.stack(each, axis=1)


def _by_row(objective: Objective, theta: np.ndarray, rows: KernelData) -> np.ndarray:
    out = np.empty(len(objective.layout.y))
    arguments = kernel_parameters(objective.parameters(theta), objective.standard, rows)
    everything = (*arguments, *rows.arrays[1:], out)
    (unit_loglik_together if rows.together else unit_loglik)(*everything)
    return out


def _kept(narrow: Objective, wide: Objective, carrier: Carrier) -> tuple[list[int], int]:
    """Positions of the wide θ that the declared model has, and that of the carrier."""
    q = wide.shape[1]
    known = [term in narrow.layout.terms for term in wide.layout.terms]
    first = wide.size - sum(one.n_free for one in wide.indicators)
    kept = [i for i in range(first) if i >= _rows(wide) * q or known[i % q]]
    at, position = first, -1
    pairs = zip(wide.indicators, wide.layout.indicators, narrow.layout.indicators, strict=True)
    for k, (one, indicator, declared) in enumerate(pairs):
        free = [indicator.terms[int(np.argmax(column))] for column in np.abs(one.free_map.T)]
        kept += [at + i for i, term in enumerate(free) if term in declared.terms]
        if k == carrier.position:
            position = at + len(free) if one.has_rho else at + free.index(carrier.term)
        if one.n_free > len(free):
            kept.append(at + len(free))
        at += one.n_free
    return sorted(kept), position


def _rows(objective: Objective) -> int:
    """How many rows of coefficients stand first in θ."""
    structure = objective.layout.structure
    return objective.shape[0] if structure is None or structure.basis is None else structure.basis.shape[1]
