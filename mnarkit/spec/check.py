"""Does a spec fit a table? Checked once, where both come in."""

from collections.abc import Iterable, Sequence

import numpy as np

from mnarkit.condition import condition
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.formula import design, parse
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.bounds import check_limits, measured_table, present_cells
from mnarkit.spec.check_amounts import check_amounts, check_model_amounts
from mnarkit.spec.check_arms import check_arms
from mnarkit.spec.check_dropout import check_dropout, dropout_identified
from mnarkit.spec.check_restriction import monotone_lengths
from mnarkit.spec.check_shared import check_shared, shared_identified
from mnarkit.spec.collinear import check_undetermined, full_rank
from mnarkit.spec.data_models import DataModel, MvNormal, formulas_of, regression_of
from mnarkit.spec.death import check_death, death_waves, still_there
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.engine import regressions_of
from mnarkit.spec.events import check_reference, events_of, fitted_table
from mnarkit.spec.exclusions import exclusions_of
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.propensities import check_propensities
from mnarkit.spec.reference import Reference
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter
from mnarkit.spec.slopes import bent, check_groups, slopes_of
from mnarkit.spec.spec import Spec

__all__ = [
    "check",
    "check_beliefs",
    "check_late",
    "check_rows",
    "identification",
    "named_columns",
]


def check(spec: Spec, data: IncompleteData) -> None:
    """Raise one clear line for whatever makes the spec unusable on the table.

    Raises
    ------
    SpecError
        A column, term or prior that is not there, or a belief that the holes do not fit.
    DataError
        A column that cannot be modelled as it is.
    """
    data.require(named_columns(spec), "the spec")
    check_reference(spec, data)
    _model(spec.model, fitted_table(spec, data))
    check_arms(spec, fitted_table(spec, data))
    _beliefs(spec, data)


def check_beliefs(spec: Spec, data: IncompleteData) -> None:
    """As `check`, without the data model: for tables on which others check that.

    Raises
    ------
    SpecError, DataError
        A column that is not there, or a belief that the holes do not fit.
    """
    if spec.is_mar and not spec.limits:
        return
    data.require(named_columns(spec), "the spec")
    check_reference(spec, data)
    _beliefs(spec, data)


def _beliefs(spec: Spec, data: IncompleteData) -> None:
    check_limits(spec, data)
    present = present_cells(spec, data)
    holes = dict(zip(spec.model.columns, (~present).sum(axis=0).tolist(), strict=True))
    there = still_there(spec, data, present)
    single = dict(zip(spec.model.columns, (~present & there).sum(axis=0).tolist(), strict=True))
    if not spec.is_mar and not any(holes.values()):
        raise SpecError(
            f"no hole in {', '.join(map(repr, spec.model.columns))} ({data.n} rows): there is nothing that "
            f"{spec.missingness[0]} could be about; analyze the table as it is"
        )
    for belief in spec.selections:
        if isinstance(belief, Dropout):
            check_death(belief, data)
            check_dropout(belief, spec.model.columns, data, present, death_waves(belief, data))
        elif isinstance(belief, SharedParameter):
            check_shared(belief, data)
        else:
            _selection(belief, spec.model, measured_table(spec, data), single)
    for belief in spec.pattern_mixtures:
        check_amounts(belief, spec.model.columns, data, present)
    check_model_amounts(spec)
    check_propensities(spec, data)


def check_rows(spec: Spec, data: IncompleteData) -> None:
    """Check that a fitted spec can read other rows."""
    data.require(named_columns(spec), "the spec")
    for column in spec.model.columns:
        if data.seen(column).any():
            data.number(column)
    check_reference(spec, data)
    if spec.restriction is not None:
        monotone_lengths(spec.model.columns, np.column_stack([data.seen(c) for c in spec.model.columns]))
    check_limits(spec, data, holes_needed=False)
    check_propensities(spec, data)


def check_late(
    spec: Spec, late: Sequence[PatternMixture | Reference], data: IncompleteData, *, holes_needed: bool = True
) -> None:
    """Check that amounts applied after the fit have columns, conditions and cells."""
    if not late:
        return
    whole = spec.under(*late)
    data.require(named_columns(whole), "the late belief")
    present = present_cells(whole, data)
    for belief in whole.pattern_mixtures:
        check_amounts(belief, spec.model.columns, data, present, holes_needed=holes_needed)
    check_reference(whole, data)
    if whole.reference is not None and holes_needed:
        _fitted_without(whole.reference, spec, data)


def _fitted_without(belief: Reference, spec: Spec, data: IncompleteData) -> None:
    """Refuse a late reference where the fit has used values that it leaves out."""
    visits = spec.model.columns
    aside = events_of(belief, visits, data).aside
    used = aside & ~events_of(spec.reference, visits, data).aside if spec.reference is not None else aside
    if used.any():
        raise SpecError(
            f"{int(used.sum())} values recorded after an event are in the fit, and {belief} leaves them out; fit it "
            "with mk.sample(spec.under(...), df)"
        )


def named_columns(spec: Spec) -> list[str]:
    """List the columns of the table that a spec names."""
    with_random = [parse(r.formula) for r in regressions_of(spec)]
    formulas = [*formulas_of(spec.model), *with_random, *(parse(b.formula) for b in spec.selections)]
    wheres = [c.where for c in (*spec.amounts, *spec.limits) if c.where is not None]
    waves = {CURRENT, PREVIOUS} if any(isinstance(b, Dropout) for b in spec.selections) else set()
    waves |= {name for b in spec.selections if isinstance(b, SharedParameter) for name in RANDOM_TERMS}
    used = [c for f in formulas for t in f.terms for c in sorted(t.columns | t.holes) if c not in waves]
    used += [c for f in formulas for c in sorted(f.columns - {*used, *waves})]
    named = [*spec.model.columns, *used, *(bound for b in spec.limits for bound in b.bounds)]
    groups = [c.by for c in spec.amounts if c.by is not None]
    groups += [spec.dropout.death] if spec.dropout is not None and spec.dropout.death is not None else []
    groups += [spec.model.by] if isinstance(spec.model, MvNormal) and spec.model.by is not None else []
    return [*named, *(c for w in wheres for c in sorted(condition(w).columns)), *groups]


def _model(model: DataModel, data: IncompleteData) -> None:
    built = design(model.predictors, data)
    what = f"the predictors of {', '.join(map(repr, model.columns))}"
    seen = np.column_stack([data.seen(c) for c in model.columns])
    for j, column in enumerate(model.columns):
        values = data.number(column)[seen[:, j]]
        if len(values) < built.matrix.shape[1] + 1:
            raise DataError(
                f"{column!r} has {len(values)} recorded values for {built.matrix.shape[1] + 1} parameters "
                f"({', '.join(built.names)}, sd); use fewer predictors, or more rows"
            )
        if np.ptp(values) == 0:
            raise DataError(
                f"{column!r} is constant: all {len(values)} recorded values are {values[0]:g}; "
                "leave it out of the model"
            )
    rows, needed = int(seen.any(axis=1).sum()), built.matrix.shape[1] + len(model.columns)
    if rows < needed:
        raise DataError(
            f"{rows} rows have a recorded value for {len(model.columns)} modelled columns on {built.matrix.shape[1]} "
            f"terms, which need at least {needed}; use fewer columns or predictors"
        )
    full_rank(built.matrix, built, what)
    full_rank(built.matrix[seen.any(axis=1)], built, what, " with a recorded value")
    for j, column in enumerate(model.columns):
        check_undetermined(column, data.number(column)[seen[:, j]], built.matrix[seen[:, j]], built.names)


def _selection(belief: Selection | Heckman, model: DataModel, data: IncompleteData, holes: dict[str, int]) -> None:
    parsed, column = parse(belief.formula), belief.columns[0]
    if not holes[column]:
        raise SpecError(
            f"{column!r} has no holes in {data.n} rows, so {belief.formula!r} has nothing to explain; leave it out"
        )
    for term in parsed.terms:
        whole = sorted(c for c in term.holes if c in data.columns and data.seen(c).all())
        if whole:
            raise SpecError(
                f"{term.name!r} in {belief.formula!r} is always 0: {whole[0]!r} has no holes in {data.n} rows; "
                "leave it out"
            )
        unseen = term.columns & set(model.columns)
        if unseen and isinstance(belief, Heckman):
            raise SpecError(
                f"{sorted(unseen)[0]!r} is a modelled column in {belief.formula!r}; a Heckman model takes fully seen "
                "columns, and its rho carries the unseen value (or use Selection)"
            )
        if term in bent(parsed, model.columns):
            raise SpecError(
                f"{term.name!r} in {belief.formula!r} is not linear in {sorted(unseen)[0]!r}, which columns modelled "
                f"jointly cannot have; {_apart(model)}"
            )
    built, slopes = design(parsed, data, leave_out=model.columns), slopes_of(parsed, data, model.columns)
    check_groups(slopes, data, _apart(model))
    terms = [*built.names, *slopes.names]
    if data.n < len(terms):
        raise DataError(f"{belief.formula!r} has {len(terms)} coefficients for {data.n} rows; use fewer terms")
    full_rank(built.matrix, built, f"the predictors in {belief.formula!r}")
    if isinstance(belief, Heckman) and "rho" in terms:
        raise SpecError(f"'rho' in {belief.formula!r} is the name of the error correlation; rename that column")
    known = [*terms, "rho"] if isinstance(belief, Heckman) else terms
    for name, prior in prior_table(belief.priors).items():
        if name not in known:
            raise SpecError(
                f"the prior of {name!r} has no term in {belief.formula!r}; its parameters are {', '.join(known)}"
            )
        if name == "rho" or not isinstance(prior, Prior):
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


def _apart(model: DataModel) -> str:
    """Say which factored model has the same distribution as a joint one."""
    if not isinstance(model, MvNormal):
        return "let the column stand as it is alone"
    given = model.given if model.given != "1" else ""
    each = []
    for j, column in enumerate(model.columns[:3]):
        before = " + ".join(part for part in (*model.columns[:j], given) if part) or "1"
        each.append(f'Regression("{column} ~ {before}")')
    more = ", ..." if len(model.columns) > 3 else ""
    return f"write them one given the other, which is the same distribution: Regressions({', '.join(each)}{more})"


def identification(spec: Spec) -> tuple[str, ...]:
    """Say in a sentence per selection model which columns, if any, identify it."""
    return tuple(_identified_by(b, spec.model) for b in spec.selections)


def _identified_by(belief: Selection | Heckman | Dropout | SharedParameter, model: DataModel) -> str:
    if isinstance(belief, SharedParameter):
        return shared_identified(belief)
    return dropout_identified(belief, model) if isinstance(belief, Dropout) else _identified(belief, model)


def _identified(belief: Selection | Heckman, model: DataModel) -> str:
    column = belief.columns[0]
    own = regression_of(model, column)
    others = {c for c in own.columns if c != column}
    read = {c for t in parse(belief.formula).terms for c in t.columns}
    if not isinstance(belief, Heckman) and column not in read:
        tail = " (given the unseen values of the other columns that it reads)" if read & others else ""
        return f"{belief.formula!r} does not contain {column}: its holes are ignorable under this belief{tail}"
    known = "rho" if isinstance(belief, Heckman) else column
    by_group = any(column in t.factors and not t.bare for t in parse(belief.formula).terms)
    fixed = None if by_group else prior_table(belief.priors).get(known)
    if fixed is not None and not isinstance(fixed, Prior):
        what = "rho" if isinstance(belief, Heckman) else f"the coefficient of {column}"
        return f"{belief.formula!r} has {what} fixed at {fixed:g}: it is declared, and the data cannot test it"
    left = exclusions_of(belief, model)
    rests = [f"(i) {_list(left.excluded)} moving the indicator and not {column} (exclusion)"] if left.excluded else []
    if left.shadow:
        rests.append(
            f"(ii) {_list(left.shadow)} moving {column} and, given {column}, not the indicator (shadow variable)"
        )
    if not rests:
        what = (
            "the normal shape of the errors"
            if isinstance(belief, Heckman)
            else f"the {getattr(own, 'family', 'normal')} shape of {column} and the {belief.link} link"
        )
        return (
            f"{belief.formula!r} is identified by (iii) {what} alone, which the data can hardly check; "
            "treat it as a sensitivity analysis"
        )
    tested = "neither can be tested with the data" if len(rests) > 1 else "the data cannot test that"
    return f"{belief.formula!r} is identified by {' and '.join(rests)}; {tested}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
