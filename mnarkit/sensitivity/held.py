"""A spec with one coefficient of its missingness model held at a value, or with a prior of another width."""

from dataclasses import replace

from mnarkit.errors import SpecError
from mnarkit.families import DEFAULTS
from mnarkit.priors import Prior, prior_table
from mnarkit.sample.target import Target
from mnarkit.sensitivity.grid import Axis
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.spec import Spec

__all__ = ["belief_of", "present", "raw_per_unit", "spec_at"]

type Indicating = Selection | Heckman | Dropout


def belief_of(spec: Spec, axis: Axis) -> int:
    """Find the belief that has the coefficient, by its number among those of the spec.

    Raises
    ------
    SpecError
        The spec has no model of these holes, or it lacks the term.
    """
    (column,) = axis.columns
    kinds = {"rho": Heckman}.get(str(axis.term), (Selection, Dropout))
    name = axis.name.removeprefix("prior sd of ")
    for k, belief in enumerate(spec.missingness):
        named = "dropout" if isinstance(belief, Dropout) else belief.columns[0] if belief.columns else ""
        if isinstance(belief, kinds) and named == column:
            return k
    model = f"mk.Selection('missing({column}) ~ {axis.term}')"
    raise SpecError(
        f"{name!r} is no coefficient of the fit's spec, which is {'; '.join(map(str, spec.missingness))}; fit "
        f"mk.sample(spec.under({'mk.Heckman(...)' if axis.term == 'rho' else model}), df)"
    )


def spec_at(spec: Spec, axis: Axis, raw: float) -> Spec:
    """Hold the coefficient at a value in raw units, or give its normal prior this sd."""
    k = belief_of(spec, axis)
    belief, name = spec.missingness[k], str(axis.term)
    assert isinstance(belief, (Selection, Heckman, Dropout))
    priors = prior_table(belief.priors)
    made: Prior | float = raw
    if axis.grid.unit == "prior_sd":
        given = _prior(belief, axis)
        made = Prior("normal", given.values[0], raw, unit=given.unit)
    changed = replace(belief, priors={**priors, name: made})
    beliefs = [changed if i == k else other for i, other in enumerate(spec.missingness)]
    return Spec(spec.model, *beliefs, because=spec.because)


def _prior(belief: Indicating, axis: Axis) -> Prior:
    name = str(axis.term)
    given = prior_table(belief.priors).get(name, DEFAULTS[belief.link, "intercept" if name == "Intercept" else "slope"])
    if not isinstance(given, Prior) or given.family != "normal":
        raise SpecError(f"the width of a normal prior is varied; that of {name!r} is {given!r}")
    return given


def present(spec: Spec, axis: Axis) -> float | None:
    """Where the spec itself stands on the axis, in raw units; None if it leaves the coefficient free."""
    belief = spec.missingness[belief_of(spec, axis)]
    assert isinstance(belief, (Selection, Heckman, Dropout))
    if axis.grid.unit == "prior_sd":
        return _prior(belief, axis).values[1]
    declared = prior_table(belief.priors).get(str(axis.term))
    return None if declared is None or isinstance(declared, Prior) else declared


def raw_per_unit(target: Target, axis: Axis) -> float:
    """How many raw units of the coefficient one unit of the axis is; for 'sd', 1 over the sd of the term's column.

    Raises
    ------
    SpecError
        The formula lacks the term.
    """
    if axis.term == "rho":
        return 1.0
    belief = target.spec.missingness[belief_of(target.spec, axis)]
    k = next(i for i, other in enumerate(target.spec.selections) if other is belief)
    indicator, scaling = target.layout.indicators[k], target.scaling
    if axis.term not in indicator.terms:
        known = ", ".join(map(repr, indicator.terms))
        raise SpecError(f"{belief} has no coefficient of {axis.term!r}; its terms are {known}")
    if axis.grid.unit != "sd":
        return 1.0
    units = [*scaling.w_scales[k], *(scaling.scale[j] for j in indicator.slopes)]
    return 1.0 / float(units[indicator.terms.index(str(axis.term))])
