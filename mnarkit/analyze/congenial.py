"""Congenial or not: what an analysis asks of the imputed cells and their data model lacks."""

from collections.abc import Iterable
from typing import Any

from mnarkit.data import IncompleteData
from mnarkit.formula import Formula, Term
from mnarkit.spec.data_models import formulas_of

__all__ = ["uncongenial", "uncongenial_with"]


def uncongenial(analysis: Formula, model: Any, incomplete: Iterable[str]) -> tuple[str, ...]:
    """Say what an analysis asks of the imputed cells and the data model lacks, one sentence each.

    Parameters
    ----------
    analysis : Formula
        The analysis.
    model : data model
        The data model behind the imputations.
    incomplete : iterable of str
        The columns with holes.

    Returns
    -------
    tuple of str
        Empty if the analysis touches no imputed column, or asks for nothing more than the data model has.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.analyze import uncongenial
    >>> from mnarkit.formula import parse
    >>> [message.split(" is ")[0] for message in uncongenial(parse("y ~ x*z"), mk.Regression("y ~ x + z"), ["y"])]
    ["'x:z'"]
    """
    modelled, given = tuple(model.columns), tuple(term for f in formulas_of(model) for term in f.terms)
    used = dict.fromkeys([str(analysis.response), *(c for term in analysis.terms for c in sorted(term.columns))])
    imputed = [column for column in used if column in modelled and column in set(incomplete)]
    if not imputed:
        return ()
    cells = f"for the imputed cells of {' and '.join(map(repr, imputed))}"
    place = f"in the analysis {analysis.text!r} and not in the data model ({model})"
    known = {*modelled, *(column for term in given for column in term.columns)}
    columns = [
        f"{column!r} is {place}: associations with it are biased towards zero {cells}; add it to the data model"
        for column in used
        if column not in known
    ]
    terms = [
        f"{term.name!r} is {place}: its association is biased towards zero {cells}; "
        "put the term into the data model, or leave it out of the analysis"
        for term in analysis.terms
        if _lacks(term, known, modelled, given)
    ]
    return tuple(columns + terms)


def _lacks(term: Term, known: set[str], modelled: tuple[str, ...], given: tuple[Term, ...]) -> bool:
    if not term.columns or (len(term.columns) == 1 and not term.columns <= known):
        return False  # the intercept; a column that is lacking altogether is named as a column
    if len(_factors(term)) == 1 and _factors(term) <= term.columns:  # the column itself, up to origin and scale
        return not (term.columns <= set(modelled) or any(have.columns == term.columns for have in given))
    return _factors(term) not in [_factors(have) for have in given]


def _factors(term: Term) -> frozenset[str]:
    """'center(x):z' -> {'x', 'z'}: what a term spans, whatever the order, the origin and the scale of its factors."""
    return frozenset(_unscaled(factor.replace(" ", "")) for factor in term.name.split(":"))


def _unscaled(factor: str) -> str:
    for call in ("center(", "scale(", "I("):
        if factor.startswith(call) and factor.endswith(")") and factor[len(call) : -1].isidentifier():
            return factor[len(call) : -1]
    return factor


def uncongenial_with(imputations: Any, formula: Formula) -> tuple[str, ...]:
    """Say it of the data model behind these imputations; nothing where it is not known."""
    if not hasattr(imputations, "spec"):
        return ()
    data: IncompleteData = imputations.data
    return uncongenial(formula, imputations.spec.model, [c for c in data.columns if not data.seen(c).all()])
