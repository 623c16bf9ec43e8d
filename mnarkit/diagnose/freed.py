"""A spec with its exclusions taken back: the same columns in the data model and in the model of the indicator."""

from functools import singledispatch
from typing import Any

from mnarkit.formula import parse
from mnarkit.spec.data_models import DataModel, Growth, MvNormal, Regression
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.exclusions import exclusions_of
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.spec import Spec

__all__ = ["freed_spec"]


def freed_spec(spec: Spec, position: int) -> Spec:
    """Put what belief `position` leaves out of one formula into it, so that shape alone identifies it."""
    belief = spec.selections[position]
    beliefs = tuple(_freed_belief(b, spec.model) if b is belief else b for b in spec.missingness)
    unseen = {*spec.model.columns, CURRENT, PREVIOUS}
    left = set(exclusions_of(belief, spec.model).excluded)  # type: ignore[arg-type]
    terms = [t for t in parse(belief.formula).terms if t.columns & left]
    seen = [t for t in terms if not t.columns & unseen]
    by_group = left - {c for t in seen for c in t.columns}  # they move slopes on unseen values alone
    added = [*(_text(t.name, t.bare) for t in seen), *(_text(c, True) for c in sorted(by_group))]
    return Spec(_with_terms(spec.model, added), *beliefs)


def _text(name: str, bare: bool) -> str:
    return f"`{name}`" if bare and not name.isidentifier() and not name.startswith("`") else name


@singledispatch
def _freed_belief(belief: Any, model: DataModel) -> Any:
    return belief


@_freed_belief.register
def _(belief: Selection, model: DataModel) -> Selection:
    terms = [_text(t.name, t.bare) for t in _missing_terms(belief, model)]
    others = [_text(c, True) for c in model.columns if c in exclusions_of(belief, model).shadow]
    return Selection(_joined(belief.formula, [*terms, *others]), link=belief.link, priors=belief.priors)


@_freed_belief.register
def _(belief: Heckman, model: DataModel) -> Heckman:
    terms = [_text(t.name, t.bare) for t in model.predictors.terms if not t.columns <= _read(belief.formula)]
    return Heckman(_joined(belief.formula, terms), priors=belief.priors)


@_freed_belief.register
def _(belief: Dropout, model: DataModel) -> Dropout:
    terms = [_text(t.name, t.bare) for t in _missing_terms(belief, model)]
    terms += [] if belief.reads[0] or not belief.reads[1] else [PREVIOUS]
    formula = _joined(belief.formula, terms)
    return Dropout(formula, belief.waves, belief.by_wave, link=belief.link, priors=dict(belief.priors or ()))


def _missing_terms(belief: Selection | Dropout, model: DataModel) -> list[Any]:
    left = set(exclusions_of(belief, model).shadow)
    return [t for t in model.predictors.terms if t.columns & left]


def _read(formula: str) -> set[str]:
    return {c for t in parse(formula).terms for c in t.columns} - {CURRENT}


def _joined(formula: str, added: list[str]) -> str:
    return " + ".join([formula, *added])


@singledispatch
def _with_terms(model: Any, added: list[str]) -> Any:
    return model


@_with_terms.register
def _(model: Regression, added: list[str]) -> Regression:
    return Regression(_joined(model.formula, added), family=model.family, priors=model.priors)


@_with_terms.register
def _(model: MvNormal, added: list[str]) -> MvNormal:
    given = _joined(model.given, added)
    return MvNormal(*model.columns, given=given, covariance=model.covariance, by=model.by, priors=model.priors)


@_with_terms.register
def _(model: Growth, added: list[str]) -> Growth:
    return Growth(
        *model.columns,
        times=model.times,
        given=_joined(model.given, added),
        degree=model.degree,
        residual=model.residual,
        priors=model.priors,
    )
