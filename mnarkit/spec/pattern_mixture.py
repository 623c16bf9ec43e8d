"""Pattern mixtures: how far unseen values lie from what MAR says, as declared amounts."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.condition import condition
from mnarkit.errors import SpecError
from mnarkit.priors import Amount, as_amount

__all__ = ["PatternMixture", "Scale", "Shift"]

type Meaning = Literal["prediction", "model"]
type Unit = Literal["sd", "sd_observed", "raw", "percent"]

UNITS = ("sd", "sd_observed", "raw", "percent")
MEANINGS = ("prediction", "model")


@dataclass(frozen=True, slots=True)
class Shift:
    """y unseen lies `amount` away from what MAR says; part of a `PatternMixture`.

    Parameters
    ----------
    column : str
        A modelled column with holes.
    amount : float or Prior
        How far, in `unit`; negative is lower.
    unit : {"sd", "sd_observed", "raw", "percent"}
        `sd`: the conditional (residual) sd of the column in the data model, by posterior draw; `sd_observed`: the sd of
        the recorded values; `raw`: the column's own unit; `percent`: of the row's conditional mean (columns above 0).
    of : {"prediction", "model"}
        `prediction`: added to E[y unseen | all seen] when imputing. `model`: in the regression of y on its predictors,
        inside the likelihood, so that columns modelled jointly with y feel it.
    where : str, optional
        Only rows for which this condition on fully seen columns holds, e.g. `"arm == 'drug'"`.
    predictors : tuple of str
        Other modelled columns that stand in the regression of y (their own means stay as they are); `sd` is then
        residual to them too.

    Raises
    ------
    SpecError
        No unit, an unknown unit or meaning, an amount that is not a number or a prior.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Shift("lwage", -0.4, unit="sd")
    Shift(column='lwage', amount=-0.4, unit='sd', of='prediction', where=None, predictors=())
    """

    column: str
    amount: Amount
    unit: Unit | None = None
    of: Meaning = "prediction"
    where: str | None = None
    predictors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            given = "no unit" if self.unit is None else f"the unit {self.unit!r}"
            raise SpecError(f"the shift of {self.column!r} has {given}; say unit= one of {', '.join(map(repr, UNITS))}")
        _amount_fields(self, "Shift")
        if self.unit == "percent" and isinstance(self.amount, float) and self.amount <= -100:
            raise SpecError(
                f"the shift of {self.column!r} by {self.amount:g} percent leaves nothing; it must be above -100"
            )

    def __str__(self) -> str:
        return f"Shift {self.column} by {_say(self.amount)} {self.unit}{_tail(self)}"


@dataclass(frozen=True, slots=True)
class Scale:
    """y unseen is `amount` times what MAR says; part of a `PatternMixture`.

    Parameters
    ----------
    column : str
        A modelled column with holes.
    amount : float or Prior
        The factor, above 0 and without a unit; 0.9 is ten percent lower.
    of : {"prediction", "model"}
        `prediction`: the completed value is multiplied. `model`: mean and residual of y given its predictors are
        multiplied inside the likelihood.
    where, predictors
        As in `Shift`.

    Raises
    ------
    SpecError
        A factor that is not above 0.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Scale("cost", 1.2, where="arm == 'drug'").amount
    1.2
    """

    column: str
    amount: Amount
    of: Meaning = "prediction"
    where: str | None = None
    predictors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _amount_fields(self, "Scale")
        if isinstance(self.amount, float) and self.amount <= 0:
            raise SpecError(f"the scale of {self.column!r} is a factor above 0, not {self.amount:g}")

    @property
    def unit(self) -> str:
        """A factor has no unit."""
        return "factor"

    def __str__(self) -> str:
        return f"Scale {self.column} by a factor {_say(self.amount)}{_tail(self)}"


type Component = Shift | Scale


@dataclass(frozen=True, slots=True, init=False)
class PatternMixture:
    """f(y | seen) and f(y | unseen) differ by declared amounts, which the data cannot correct.

    Parameters
    ----------
    *components : Shift or Scale
        The amounts, one or several.
    because : str
        The reason, in words.

    Raises
    ------
    SpecError
        No component, or something else than `Shift` and `Scale`.

    References
    ----------
    Little, R. (1993). Pattern-mixture models for multivariate incomplete data. JASA 88, 125-134, section 2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.PatternMixture(mk.Shift("lwage", -0.2, unit="sd")).columns
    ('lwage',)
    """

    components: tuple[Component, ...]
    because: str = ""

    def __init__(self, *components: Component, because: str = "") -> None:
        wrong = [c for c in components if not isinstance(c, (Shift, Scale))]
        if wrong or not components:
            raise SpecError(
                f"PatternMixture takes one or more of Shift and Scale, not {wrong[0] if wrong else 'nothing'!r}"
            )
        if not isinstance(because, str):
            raise SpecError(f"because= is a reason in words, not {because!r}")
        object.__setattr__(self, "components", tuple(components))
        object.__setattr__(self, "because", because)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose unseen values are moved."""
        return tuple(dict.fromkeys(c.column for c in self.components))

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        return "unseen values differ from what MAR predicts by exactly: " + "; ".join(map(str, self.components))

    def __str__(self) -> str:
        return "PatternMixture(" + "; ".join(map(str, self.components)) + ")"


def _amount_fields(component: Component, what: str) -> None:
    if not isinstance(component.column, str) or not component.column:
        raise SpecError(f"{what} names a column, not {component.column!r}")
    if component.of not in MEANINGS:
        raise SpecError(f"{what}: of= is 'prediction' or 'model', not {component.of!r}")
    if component.where is not None:
        condition(component.where)
    predictors = component.predictors
    if isinstance(predictors, str) or not all(isinstance(p, str) for p in predictors):
        raise SpecError(f"{what}: predictors= is a tuple of column names, not {predictors!r}")
    object.__setattr__(component, "predictors", tuple(predictors))
    object.__setattr__(component, "amount", as_amount(component.amount, f"{what} of {component.column!r}"))


def _say(amount: Amount) -> str:
    return f"{amount:g}" if isinstance(amount, float) else repr(amount)


def _tail(component: Component) -> str:
    meaning = "of the prediction" if component.of == "prediction" else "inside the model"
    where = f", where {component.where}" if component.where else ""
    given = f", given {', '.join(component.predictors)}" if component.predictors else ""
    return f" ({meaning}{given}{where})"
