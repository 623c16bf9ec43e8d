"""Differences between groups beside slopes by group stand where the value is 0, and so do their default priors."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.formula import Formula, Term, parse
from mnarkit.priors import prior_table
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.missingness import Selection
from mnarkit.spec.spec import Spec

__all__ = ["far_origins"]

_FAR = 3.0  # sds from the mean of a value to 0: a default prior there would hold the difference where the data are


def far_origins(spec: Spec, data: IncompleteData) -> tuple[str, ...]:
    """Say which default priors stand where a value is 0, if that is far from the recorded values."""
    found = []
    for belief in spec.selections:
        if not isinstance(belief, (Selection, Dropout)):
            continue
        given, formula = prior_table(belief.priors), parse(belief.formula)
        for value, beside in _beside_slopes(formula, spec.model.columns):
            sds = _sds_from_zero(value, belief, data)
            if sds > _FAR and not any(name.partition("[")[0] == beside.name for name in given):
                found.append(
                    f"{beside.name!r} in {belief.formula!r} is a difference where {value} is 0, {sds:.0f} sds from its "
                    f"mean, and its default prior holds it there: take a typical value off {value} first, or give "
                    f"{beside.name!r} a prior of its own"
                )
    return tuple(dict.fromkeys(found))


def _beside_slopes(formula: Formula, modelled: tuple[str, ...]) -> list[tuple[str, Term]]:
    """Pair every unseen value that has slopes by group with the term of those groups, where there is one."""
    unseen = {*modelled, CURRENT, PREVIOUS}
    pairs = []
    for term in formula.terms:
        values, groups = term.columns & unseen, term.columns - unseen
        if len(values) == 1 and groups and values <= term.factors:
            pairs += [(*values, other) for other in formula.terms if other.columns == groups]
    return pairs


def _sds_from_zero(value: str, belief: Selection | Dropout, data: IncompleteData) -> float:
    names = belief.waves if isinstance(belief, Dropout) and value in (CURRENT, PREVIOUS) else (value,)
    values = data.frame[list(names)].select_dtypes("number").to_numpy(dtype=float, na_value=np.nan)
    recorded = values[np.isfinite(values)]
    sd = float(recorded.std()) if len(recorded) else 0.0
    return abs(float(recorded.mean())) / sd if sd > 0 else 0.0
