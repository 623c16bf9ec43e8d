"""isni: how fast maximum-likelihood estimates leave MAR, from one fit under MAR."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em import EMFit
from mnarkit.em.analysis import Analyst
from mnarkit.em.ascent import climb
from mnarkit.em.modes import documented_start
from mnarkit.em.normal import mar_start
from mnarkit.em.objective import Objective
from mnarkit.errors import ConvergenceError, DataError, SpecError
from mnarkit.fit import Fit
from mnarkit.normal.sources import moments_of
from mnarkit.priors import Prior, prior_table
from mnarkit.sensitivity.grid import Grid, axes_of
from mnarkit.sensitivity.held import belief_of, spec_at
from mnarkit.spec.check import check
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import Selection
from mnarkit.spec.spec import Spec, require_spec

__all__ = ["LocalSensitivity", "isni"]

_STEP = 1e-4  # of one unit of the coefficient: central differences of a projection are then good to 1e-7


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LocalSensitivity:
    """dθ̂/dγ at γ = 0: how fast estimates leave MAR as a missingness coefficient does.

    Attributes
    ----------
    coefficient : str
        γ, by name.
    link : str
        Of the missingness model.
    what : str
        What is estimated.
    frame : DataFrame
        Columns `term`, `estimate` and `std_error` under MAR, `isni` (the derivative, per sd of the column), and `c`
        (std_error / |isni|: the γ per sd that moves the estimate by one standard error).
    n : int
        The rows of the table.
    """

    coefficient: str
    link: str
    what: str
    frame: pd.DataFrame
    n: int

    def to_frame(self) -> pd.DataFrame:
        """Give one row a term.

        Returns
        -------
        DataFrame
            As `frame`.
        """
        return self.frame.copy()

    def __str__(self) -> str:
        change = f", an odds ratio of {np.e:.2f}" if self.link == "logit" else ""
        return "\n".join(
            [
                f"Local sensitivity of {self.what}, {self.n} rows, maximum likelihood",
                f"Varied       {self.coefficient}, {self.link}, away from 0 (per sd of the column)",
                f"Untestable   the size of {self.coefficient}: no data can tell it",
                f"Reading      isni: change of the estimate per 1 of the coefficient, by sd of the value{change}; "
                "c: the coefficient that moves it by one standard error; below 1 look further before relying on MAR",
                self.frame.to_string(index=False, float_format=lambda v: f"{v:.4g}"),
            ]
        )

    def __repr__(self) -> str:
        return str(self)


def isni(
    spec: Spec | EMFit | Fit, df: Any = None, *, what: str | None = None, coefficient: str | None = None
) -> LocalSensitivity:
    """dθ̂/dγ = -(∂²ℓ/∂θ∂θ')⁻¹ ∂²ℓ/∂θ∂γ at γ = 0 and the MAR maximum: the index of local sensitivity to nonignorability.

    A quick screen: one fit under MAR, no fit under MNAR. It says what happens near MAR; how far one may go is for
    `sensitivity` and `tipping_point`.

    Parameters
    ----------
    spec : Spec, EMFit or Fit
        With a `Selection` in which the column itself stands: `Selection("missing(y) ~ y + x")`.
    df : DataFrame, optional
        The table; that of the fit, if one is given.
    what : str, optional
        A formula, `"y ~ x"`: its projection at the maximum (`EMFit.project`). Without it the parameters of the data
        model.
    coefficient : str, optional
        γ; `"missing(y) ~ y"` of the spec's only selection model if not said.

    Returns
    -------
    LocalSensitivity

    Raises
    ------
    SpecError
        No selection model, several and no coefficient, a coefficient that a number fixes, or free slopes of other
        groups.
    ConvergenceError
        The likelihood is flat at the MAR maximum.

    References
    ----------
    Troxel, A. B., Ma, G. and Heitjan, D. F. (2004). An index of local sensitivity to nonignorability. Statistica Sinica
    14, 1221-1237, sections 2 and 3.

    Examples
    --------
    >>> import mnarkit as mk
    >>> spec = mk.Spec(mk.Regression("lwage ~ educ"), mk.Selection("missing(lwage) ~ lwage + educ + kidslt6"))
    >>> found = mk.isni(spec, mk.load_dataset("wages"), what="lwage ~ educ")
    >>> found.to_frame().columns.tolist()
    ['term', 'estimate', 'std_error', 'isni', 'c']
    """
    spec, data = _given(spec, df)
    name = _name(spec) if coefficient is None else coefficient
    (axis,) = axes_of({name: Grid(values=[0.0], unit="raw")}, data)
    if axis.term is None:
        raise SpecError(f"a coefficient is named 'missing(y) ~ y', not {name!r}")
    belief = spec.missingness[belief_of(spec, axis)]
    if not isinstance(belief, Selection):
        raise SpecError(f"isni is for a coefficient of a Selection, not {name!r}")
    declared = prior_table(belief.priors).get(axis.term)
    if declared is not None and not isinstance(declared, Prior):
        raise SpecError(f"{name!r} is held at {declared:g} by the spec; leave it free for isni")
    check(spec, data)
    fitted = fitted_table(spec, data)
    held, free = Objective.of(spec_at(spec, axis, 0.0), fitted), Objective.of(spec, fitted)
    at = _position(free, spec, belief, axis.term)
    _one_slope(free, spec, belief, axis.term)
    theta = free.theta(held.parameters(_mar_maximum(spec, fitted, held)))
    slope, spread = _slope(free, theta, at)
    frame = (
        _parameters(free, theta, slope, spread)
        if what is None
        else _projection(free, spec, data, theta, slope, spread, what)
    )
    frame["c"] = frame["std_error"] / np.abs(frame["isni"])
    return LocalSensitivity(axis.name, belief.link, what or str(spec.model), frame, data.n)


def _given(spec: Spec | EMFit | Fit, df: Any) -> tuple[Spec, IncompleteData]:
    if isinstance(spec, (EMFit, Fit)):
        table = spec.data if df is None else df
        if table is None:
            raise DataError(
                "this fit was made from a table read in chunks, which is not kept; give the table: isni(fit, df)"
            )
        return spec.spec, IncompleteData.of(table)
    require_spec(spec)
    if df is None:
        raise DataError("isni needs a table: mk.isni(spec, df)")
    return spec, IncompleteData.of(df)


def _name(spec: Spec) -> str:
    found = [b for b in spec.missingness if isinstance(b, Selection)]
    if len(found) != 1:
        what = "no Selection" if not found else f"{len(found)} of them, say coefficient="
        column = spec.model.columns[0]
        raise SpecError(
            f"isni needs a model of the holes, Selection('missing({column}) ~ {column} + ...'); the spec has {what}"
        )
    return f"missing({found[0].columns[0]}) ~ {found[0].columns[0]}"


def _mar_maximum(spec: Spec, data: IncompleteData, held: Objective) -> np.ndarray:
    point = mar_start(moments_of(spec.mar(), data), held.scaling)
    if point is None:
        raise ConvergenceError("columns determine each other: there is no proper maximum under MAR")
    start = held.theta(documented_start(held, point))
    return climb(held, start, max_iter=1000, watch=lambda *_: None).points[-1]


def _position(free: Objective, spec: Spec, belief: Selection, term: str) -> int:
    """Where γ stands in θ."""
    k = next(i for i, b in enumerate(spec.selections) if b is belief)
    terms = free.layout.indicators[k].terms
    if term not in terms:
        raise SpecError(f"{belief} has no coefficient of {term!r}; its terms are {', '.join(map(repr, terms))}")
    within = int(np.flatnonzero(free.indicators[k].free_map[terms.index(term)])[0])
    return free.size - sum(one.n_free for one in free.indicators[k:]) + within


def _one_slope(free: Objective, spec: Spec, belief: Selection, term: str) -> None:
    """Refuse other slopes by group that are free: where γ is 0 and they are not is not MAR."""
    k = next(i for i, b in enumerate(spec.selections) if b is belief)
    indicator, one = free.layout.indicators[k], free.indicators[k]
    others = [indicator.terms[i] for i in indicator.on_unseen if one.free_map[i].any() and indicator.terms[i] != term]
    if indicator.groups is not None and others:
        raise SpecError(
            f"isni leaves MAR along {term!r} alone, and {belief.formula!r} has {others[0]!r} too; hold that with "
            f"priors={{{others[0]!r}: 0.0}}"
        )


def _slope(free: Objective, theta: np.ndarray, at: int) -> tuple[np.ndarray, np.ndarray]:
    """dθ/dγ, with γ itself, and the covariance of the estimates under MAR, γ held."""
    curvature = free.hessian(theta)
    rest = np.delete(np.arange(len(theta)), at)
    information = -curvature[np.ix_(rest, rest)]
    values = np.linalg.eigvalsh(information)
    if not values[0] > 1e-10 * values[-1]:
        raise ConvergenceError("the likelihood is flat at the MAR maximum: there is no slope away from it")
    slope, spread = np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
    slope[at] = 1.0
    slope[rest] = np.linalg.solve(information, curvature[rest, at])
    spread[np.ix_(rest, rest)] = np.linalg.inv(information)
    return slope, spread


def _parameters(free: Objective, theta: np.ndarray, slope: np.ndarray, spread: np.ndarray) -> pd.DataFrame:
    """The parameters of the data model, in the columns' own units."""
    (p, q), own = free.shape, free.own_slopes(theta)
    count = p * q + p * (p + 1) // 2
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", own, spread, own), 0.0))
    return pd.DataFrame(
        {
            "term": free.names[:count],
            "estimate": free.own(theta)[:count],
            "std_error": error[:count],
            "isni": (own @ slope)[:count],
        }
    )


def _projection(
    free: Objective,
    spec: Spec,
    data: IncompleteData,
    theta: np.ndarray,
    slope: np.ndarray,
    spread: np.ndarray,
    what: str,
) -> pd.DataFrame:
    own = free.own_slopes(theta)
    covariance = own @ spread @ own.T

    def project(at: np.ndarray) -> pd.DataFrame:
        indicators = free.estimates(at)[2]
        return Analyst.of(spec, data, indicators, free.own(at), lambda: covariance).project(what)

    made = project(theta)
    sides = [project(theta + step * slope)["estimate"].to_numpy() for step in (_STEP, -_STEP)]
    return made.assign(isni=(sides[0] - sides[1]) / (2 * _STEP))
