"""Which parameters of a fit carry its belief: coefficients of unseen values, error correlations, amounts."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from mnarkit.data import IncompleteData
from mnarkit.formula import parse
from mnarkit.normal.layout import amounts_of
from mnarkit.priors import Prior
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.slopes import bent, slopes_of
from mnarkit.spec.spec import Spec

__all__ = ["Carrier", "carriers", "late_amounts"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """A parameter that carries a belief.

    Attributes
    ----------
    name : str
        As `scalars_of` names it: `missing_y[y]`, `rho_y`, `dropout[current]`.
    position : int
        Of its belief among `spec.selections`.
    column : str
        The modelled column that it is about.
    term : str
        Its term in the model of the indicator.
    """

    name: str
    position: int
    column: str
    term: str


def carriers(spec: Spec, data: IncompleteData) -> tuple[Carrier, ...]:
    """List the coefficients through which unseen values move an indicator."""
    holed = {c for c in spec.model.columns if not data.seen(c).all()}
    return tuple(
        Carrier(name, k, column, term)
        for k, belief in enumerate(spec.selections)
        for name, column, term in _of(belief, holed, data)
    )


@singledispatch
def _of(belief: Any, holed: set[str], data: IncompleteData) -> list[tuple[str, str, str]]:
    return []


@_of.register
def _(belief: Selection, holed: set[str], data: IncompleteData) -> list[tuple[str, str, str]]:
    column, parsed, unseen = belief.columns[0], parse(belief.formula), tuple(sorted(holed))
    if bent(parsed, unseen):  # of a factored model
        terms = [(t.name, sorted(t.columns & holed)) for t in parsed.terms if t.columns & holed]
        return [(f"missing_{column}[{name.strip('`')}]", read[0], name.strip("`")) for name, read in terms]
    slopes = slopes_of(parsed, data, unseen)
    return [(f"missing_{column}[{name}]", read, name) for name, read in zip(slopes.names, slopes.reads, strict=True)]


@_of.register
def _(belief: Heckman, holed: set[str], data: IncompleteData) -> list[tuple[str, str, str]]:
    return [(f"rho_{belief.columns[0]}", belief.columns[0], "rho")]


@_of.register
def _(belief: Dropout, holed: set[str], data: IncompleteData) -> list[tuple[str, str, str]]:
    slopes, made = slopes_of(belief.parsed, data, (PREVIOUS, CURRENT)), []
    for name in (n for n, read in zip(slopes.names, slopes.reads, strict=True) if read == CURRENT):
        waves = belief.waves[1:] if name in belief.by_wave else belief.waves[-1:]
        each = [(f"{name}[{w}]" if name in belief.by_wave else name, w) for w in waves]
        made += [(f"dropout[{label}]", w, label) for label, w in each]
    return made


def late_amounts(spec: Spec, data: IncompleteData) -> dict[str, bool]:
    """Names of the amounts with a prior among the draws; whether each stands inside the likelihood."""
    every = amounts_of(spec, data, tuple(1.0 for _ in spec.model.columns))
    return {a.name: a.component.of == "model" for a in every if isinstance(a.declared, Prior)}
