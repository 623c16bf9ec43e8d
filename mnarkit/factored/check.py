"""Does a factored spec fit a table? One clear line for whatever makes it unusable."""

import ast
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mnarkit.calls import check_call
from mnarkit.condition import condition
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.factored.check_random import check_random, check_random_prior
from mnarkit.factored.columns import Coded, code
from mnarkit.factored.grid import STEPWISE, calls_in
from mnarkit.factored.layout import Designs, designs_of
from mnarkit.factored.terms import STATEFUL
from mnarkit.formula import Formula, Term, parse
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.amounts import carried
from mnarkit.spec.bounds import bounds_of, check_limits, present_cells
from mnarkit.spec.check_amounts import check_amounts
from mnarkit.spec.collinear import check_undetermined, full_rank
from mnarkit.spec.engine import engine_of, regressions_of
from mnarkit.spec.limits import Limits
from mnarkit.spec.long_shared import check_long_shared
from mnarkit.spec.missingness import MAR, Missingness, Selection
from mnarkit.spec.model_priors import RANDOM_PRIORS
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.regressions import Regression
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["check_factored", "check_late_factored", "named_in"]

_CURVED_NUMBERS = frozenset({"log", "log10", "log2", "sqrt"})


def check_factored(spec: Spec, data: IncompleteData) -> None:
    """Raise one clear line for whatever makes the spec unusable on the table.

    Raises
    ------
    SpecError
        A column, term, prior or belief that is not there, or that factors cannot do.
    DataError
        A column whose values its family cannot have, or a design without full rank.
    """
    regressions = regressions_of(spec)
    data.require(named_in(spec), "the spec")
    for belief in spec.missingness:
        _supported(belief, spec, data)
    coded = {r.columns[0]: code(r, data) for r in regressions}
    formulas = [parse(b.formula) for b in (*regressions, *spec.selections) if not isinstance(b, SharedParameter)]
    for formula in formulas:
        _modelled_where_unseen(formula, coded, data)
        both = {c for t in formula.terms for c in t.holes} & {c for t in formula.terms for c in t.columns}
        if both:
            raise SpecError(
                f"{formula.text!r} reads {min(both)!r} both as a value and as missing({min(both)}), which only jointly "
                "normal models can do; keep one of them"
            )
        for term in formula.terms:
            _evaluable(formula, term, coded)
    _limits(spec, coded, data)
    missing = (~present_cells(spec, data)).sum(axis=0)
    holes = dict(zip(spec.model.columns, missing.tolist(), strict=True))
    if not spec.is_mar and not any(holes.values()):
        raise SpecError(
            f"no hole in {', '.join(map(repr, coded))} ({data.n} rows): there is nothing that "
            f"{spec.missingness[0]} could be about; analyze the table as it is"
        )
    for formula in formulas:
        one = coded[str(formula.response)]
        seen = one.seen if formula.kind == "value" else np.ones(data.n, dtype=bool)
        check_random(formula, seen, f"a recorded {one.column!r}" if formula.kind == "value" else "a row", coded, data)
    designs = designs_of(spec, data)
    for k, regression in enumerate(regressions):
        _regression(regression, k, designs, data)
    for k, belief in enumerate(b for b in spec.selections if isinstance(b, Selection)):
        _selection(belief, len(regressions) + k, designs, holes, data)
    for belief in (b for b in spec.selections if isinstance(b, SharedParameter)):
        check_long_shared(belief, data)
    for belief in spec.pattern_mixtures:
        _amounts(belief, coded, data, spec.model.columns)


def check_late_factored(spec: Spec, late: Sequence[Missingness], data: IncompleteData) -> None:
    """Check that amounts applied after the fit have columns, conditions and cells."""
    data.require(named_in(Spec(spec.model, *late)) if late else [], "the late belief")
    coded = {r.columns[0]: code(r, data) for r in regressions_of(spec)} if late else {}
    for belief in late:
        if not isinstance(belief, PatternMixture):
            raise SpecError(f"{belief} needs jointly normal columns; under= takes PatternMixture(...) here")
        _amounts(belief, coded, data, spec.model.columns)


def named_in(spec: Spec) -> list[str]:
    """List the columns of the table that a factored spec names."""
    formulas = [parse(b.formula) for b in (*regressions_of(spec), *spec.selections)]
    amounts = spec.amounts
    wheres = [c.where for c in amounts if c.where is not None]
    hidden = set(RANDOM_TERMS) if any(isinstance(b, SharedParameter) for b in spec.selections) else set()
    wheres += [b.where for b in spec.limits if b.where is not None]
    used = [
        c for f in formulas for c in (*(c for t in f.terms for c in sorted(t.columns | t.holes)), *sorted(f.columns))
    ]
    used = [c for c in used if c not in hidden]
    used += [bound for b in spec.limits for bound in b.bounds]
    by = [c.by for c in amounts if c.by is not None]
    return [*spec.model.columns, *used, *by, *(c for w in wheres for c in sorted(condition(w).columns))]


def _supported(belief: Missingness, spec: Spec, data: IncompleteData) -> None:
    reason = engine_of(spec, data).because
    if isinstance(belief, PatternMixture):
        inside = [c for c in belief.amounts if c.of == "model"]
        if belief.restriction is not None:
            raise SpecError(
                f"{belief.restriction} is about jointly normal waves (MvNormal), and {reason}; leave it out"
            )
        if inside:
            raise SpecError(
                f"{inside[0]} stands inside the likelihood, which needs a joint normal model, and {reason}; apply it "
                "late with of='prediction'"
            )
    elif not isinstance(belief, (MAR, Selection, SharedParameter, Limits)):
        raise SpecError(
            f"{type(belief).__name__} needs jointly normal columns (Regression with family='normal', MvNormal, "
            f"Growth), and {reason}; take Selection, PatternMixture or Limits here"
        )


def _modelled_where_unseen(formula: Formula, coded: dict[str, Coded], data: IncompleteData) -> None:
    for column in sorted({c for t in formula.terms for c in t.columns} - coded.keys()):
        holes = int((~data.seen(column)).sum())
        if holes:
            raise SpecError(
                f"{column!r} in {formula.text!r} has {holes} holes and no model; add Regression('{column} ~ ...') to "
                "Regressions(...), or leave those rows out"
            )


def _evaluable(formula: Formula, term: Term, coded: dict[str, Coded]) -> None:
    """Refuse terms that need the whole of a column whose values are not all seen, or values outside of their domain."""
    unseen = {c for c in term.columns & coded.keys() if not coded[c].seen.all()}
    calls = [check_call(f) for f in calls_in(term.name)] if unseen else []
    for call in calls:
        hit = sorted(call.columns & unseen)
        stateful = sorted((call.functions & STATEFUL) - STEPWISE)
        if hit and stateful:
            raise SpecError(
                f"{term.name!r} in {formula.text!r} uses {stateful[0]}(), which needs every value of {hit[0]!r}, and "
                f"{int((~coded[hit[0]].seen).sum())} are unseen; write it with numbers, such as I(({hit[0]} - 10) / 2)"
            )
        if hit and "bs" in call.functions and "extrapolation" not in term.name:
            raise SpecError(
                f"{term.name!r} in {formula.text!r} is a spline of {hit[0]!r}, whose unseen values can lie beyond the "
                "recorded ones; add extrapolation='clip' (constant there), or take cs(), which goes on as a line"
            )
        counted = [c for c in hit if "C" in call.functions and coded[c].family.support not in ("binary", "levels")]
        if counted:
            raise SpecError(
                f"{term.name!r} in {formula.text!r} takes the values of {counted[0]!r} as levels, and some are unseen; "
                "model it with family='ordinal' or 'categorical'"
            )
        for name, column in _domains(call_text(term.name, call.columns)):
            if column in unseen and coded[column].family.support == "real":
                raise SpecError(
                    f"{name}({column}) in {formula.text!r} has no value where an unseen {column!r} is below 0, which "
                    f"{coded[column].family.name} allows; give {column!r} the family lognormal or gamma"
                )


def _limits(spec: Spec, coded: Mapping[str, Coded], data: IncompleteData) -> None:
    """Refuse limits of levels, and intervals in which the family has no value."""
    for limits in spec.limits:
        one = coded[limits.column]
        if one.family.support in ("binary", "levels"):
            raise SpecError(f"{limits} is about a {one.family.name} column; limits are of numbers")
    check_limits(spec, data)
    bounds = bounds_of(spec, data)
    for j, column in enumerate(spec.model.columns):
        low, high = _support(coded[column])
        end, start = bounds.high[:, j], bounds.low[:, j]
        beyond = (end < low) | (start > high) if coded[column].family.discrete else (end <= low) | (start >= high)
        if coded[column].family.discrete:
            beyond |= np.floor(np.minimum(end, high)) < np.ceil(np.maximum(start, low))
        if beyond.any():
            raise DataError(
                f"{column!r} has {int(beyond.sum())} holes with limits between which {coded[column].family.name} has "
                f"no value; its values lie between {low:g} and {high:g}: correct the limits"
            )


def _support(one: Coded) -> tuple[float, float]:
    return (0.0, np.inf) if one.family.support == "positive" else one.bounds


def call_text(name: str, columns: frozenset[str]) -> list[str]:
    """List the calls of a term that read one of the columns."""
    return [c for c in calls_in(name) if check_call(c).columns & columns]


def _domains(calls: Iterable[str]) -> list[tuple[str, str]]:
    """Find functions with a bounded domain that are applied to a bare column: (function, column)."""
    nodes = [n for c in calls for n in ast.walk(ast.parse(c, mode="eval")) if isinstance(n, ast.Call)]
    return [
        (n.func.id, n.args[0].id)
        for n in nodes
        if isinstance(n.func, ast.Name) and n.func.id in _CURVED_NUMBERS and isinstance(n.args[0], ast.Name)
    ]


def _regression(regression: Regression, k: int, designs: Designs, data: IncompleteData) -> None:
    one, built = designs.coded[k], designs.built[k]
    column = regression.columns[0]
    others = [c for c in designs.coded if c.column in built.columns]
    known = np.all([one.seen, *(c.seen for c in others)], axis=0)
    values, x = one.values[known], built.matrix[known]
    if len(values) < x.shape[1] + 1:
        raise DataError(
            f"{column!r} is recorded together with all its predictors in {len(values)} rows, for {x.shape[1] + 1} "
            f"parameters ({', '.join(built.names)}); use fewer predictors, or more rows"
        )
    if np.ptp(values) == 0:
        shown = one.decode(values[:1])[0]
        raise DataError(
            f"{column!r} is constant: all {len(values)} values recorded with its predictors are {shown}; leave it out"
        )
    full_rank(x, built, f"the predictors of {column!r}", " in which all is recorded")
    if one.family.link == "identity":
        held = np.log(values) if one.family.name == "lognormal" else values
        check_undetermined(column, held, x, built.names)


def _selection(belief: Selection, k: int, designs: Designs, holes: dict[str, int], data: IncompleteData) -> None:
    column, built = belief.columns[0], designs.built[k]
    if not holes[column]:
        raise SpecError(
            f"{column!r} has no holes in {data.n} rows, so {belief.formula!r} has nothing to explain; leave it out"
        )
    known = np.all([np.ones(data.n, dtype=bool), *(c.seen for c in designs.coded if c.column in built.columns)], axis=0)
    if known.sum() < built.matrix.shape[1]:
        raise DataError(
            f"{belief.formula!r} has {built.matrix.shape[1]} coefficients for {int(known.sum())} rows in which its "
            "predictors are recorded; use fewer terms"
        )
    full_rank(built.matrix[known], built, f"the predictors in {belief.formula!r}", " in which all is recorded")
    for name, prior in prior_table(belief.priors).items():
        if name in RANDOM_PRIORS:
            check_random_prior(name, prior, parse(belief.formula))
            continue
        if name not in built.names:
            raise SpecError(
                f"the prior of {name!r} has no term in {belief.formula!r}; its parameters are {', '.join(built.names)}"
            )
        if not isinstance(prior, Prior):
            continue
        if prior.family not in ("normal", "student_t", "uniform"):
            raise SpecError(
                f"the prior of {name!r} in {belief.formula!r} is normal, student_t or uniform, not {prior.family}"
            )
        if name == "Intercept" and prior.unit == "raw":
            raise SpecError(
                f"the intercept's prior in {belief.formula!r} is at the centre of the predictors; "
                "unit='raw' is not for it"
            )


def _amounts(belief: PatternMixture, coded: dict[str, Coded], data: IncompleteData, modelled: tuple[str, ...]) -> None:
    with_odds = tuple(c for c, one in coded.items() if one.family.name in ("bernoulli", "ordinal"))
    for component in belief.amounts:
        for column in component.columns:
            family = coded[column].family
            if family.discrete and column not in with_odds:
                raise SpecError(
                    f"{component} moves a {family.name} column, which has neither amounts nor odds; drop it"
                )
        if component.predictors or carried(component):
            raise SpecError(
                f"{component} is carried to other cells or given others, which the joint normal model alone can do; "
                "leave predictors= and carry= out"
            )
    present = np.column_stack([data.seen(c) for c in modelled])
    check_amounts(belief, modelled, data, present, with_odds=with_odds)
