"""Pattern mixtures: how far unseen values lie from what MAR says, as declared amounts."""

from dataclasses import dataclass
from typing import Any, Literal

from mnarkit.errors import SpecError
from mnarkit.spec.amounts import Declared, check_declaration, columns_of, elicited_unit, refuse_numbers, said, tail
from mnarkit.spec.odds_ratio import OddsRatio
from mnarkit.spec.restriction import Restriction

__all__ = ["PatternMixture", "Scale", "Shift"]

type Meaning = Literal["prediction", "model"]
type Unit = Literal["sd", "sd_observed", "raw", "percent"]

UNITS = ("sd", "sd_observed", "raw", "percent")


@dataclass(frozen=True, slots=True)
class Shift:
    """y unseen lies `amount` away from what MAR says; part of a `PatternMixture`.

    Parameters
    ----------
    column : str or tuple of str
        A modelled column with holes, or several: waves, in their order.
    amount : float, Prior, Elicited, sequence or mapping
        How far, in `unit`; negative is lower. For several columns one for all of them, or one for each (a sequence in
        their order, or a mapping by their names). With `by`, a mapping from level to any of these.
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
    by : str, optional
        A fully seen column of groups; every level with holes has its own amount.
    cumulative : bool
        At each wave after dropout (the row's last run of holes), the sum of the amounts of all waves since dropout:
        an amount for all waves times the number of them, or the sum of those declared by wave. rbmi calls it `delta`
        with `dlag = 1` at all visits. Holes before dropout are not moved.
    carry : bool
        Whether a moved value is the one on which later cells of its row (later columns of the data model) are
        conditioned, as in SAS PROC MI and NARFCS: they move with it by their regression on it given what is seen.
        Otherwise amounts are added at the end, as rbmi does.
    corr : float, optional
        The correlation between the normal priors of the amounts, the same for each two of them.

    Raises
    ------
    SpecError
        No unit, an unknown unit or meaning, an amount that is not a number or a prior.

    References
    ----------
    White, I., Carpenter, J., Evans, S. & Schroter, S. (2007). Eliciting and using expert opinions about dropout bias in
    randomized controlled trials. Clinical Trials 4, 125-139 (priors by arm, correlated).
    Gower-Page, C., Noci, A. & Wolbers, M. (2022). rbmi: A R package for standard and reference-based multiple
    imputation methods. Journal of Open Source Software 7, 4251 (`delta_template`).

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.Shift("lwage", -0.4, unit="sd"))
    Shift lwage by -0.4 sd (of the prediction, added last)
    >>> print(mk.Shift(("w1", "w2"), {"drug": -0.3, "control": 0}, unit="sd", by="arm", cumulative=True))
    ... # doctest: +NORMALIZE_WHITESPACE
    Shift w1, w2 by -0.3 for arm = 'drug' and 0 for arm = 'control' sd (of the prediction, added last, cumulative over
    the waves since dropout, holes before it as they are)
    """

    column: str | tuple[str, ...]
    amount: Declared
    unit: Unit | None = None
    of: Meaning = "prediction"
    where: str | None = None
    predictors: tuple[str, ...] = ()
    by: str | None = None
    cumulative: bool = False
    carry: bool = False
    corr: float | None = None

    def __post_init__(self) -> None:
        unit: Any = elicited_unit(self.amount, self.unit, f"the shift of {self.column!r}")
        object.__setattr__(self, "unit", unit)
        if self.unit not in UNITS:
            given = "no unit" if self.unit is None else f"the unit {self.unit!r}"
            raise SpecError(f"the shift of {self.column!r} has {given}; say unit= one of {', '.join(map(repr, UNITS))}")
        check_declaration(self, "Shift")
        _check_model(self, "Shift")
        if self.unit == "percent":
            which = f"the shift of {self.column!r} by {{:g}} percent leaves nothing; it must be above -100"
            refuse_numbers(self, lambda amount: amount <= -100, which)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it moves."""
        return columns_of(self)

    def __str__(self) -> str:
        return f"Shift {', '.join(self.columns)} by {said(self)} {self.unit}{tail(self)}"


@dataclass(frozen=True, slots=True)
class Scale:
    """y unseen is `amount` times what MAR says; part of a `PatternMixture`.

    Parameters
    ----------
    column : str or tuple of str
        A modelled column with holes, or several: waves, in their order.
    amount : float, Prior, sequence or mapping
        The factor, above 0 and without a unit; 0.9 is ten percent lower. By wave and by group as in `Shift`.
    of : {"prediction", "model"}
        `prediction`: the completed value is multiplied. `model`: mean and residual of y given its predictors are
        multiplied inside the likelihood.
    where, predictors, by, carry, corr
        As in `Shift`.
    cumulative : bool
        As in `Shift`, the factors multiplied; not inside the model.

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

    column: str | tuple[str, ...]
    amount: Declared
    of: Meaning = "prediction"
    where: str | None = None
    predictors: tuple[str, ...] = ()
    by: str | None = None
    cumulative: bool = False
    carry: bool = False
    corr: float | None = None

    def __post_init__(self) -> None:
        elicited_unit(self.amount, self.unit, f"the scale of {self.column!r}")
        check_declaration(self, "Scale")
        _check_model(self, "Scale")
        if self.cumulative and self.of == "model":
            raise SpecError(
                f"Scale of {self.column!r}: cumulative factors do not stand inside the model; use of='prediction'"
            )
        refuse_numbers(
            self, lambda amount: amount <= 0, f"the scale of {self.column!r} is a factor above 0, not {{:g}}"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it moves."""
        return columns_of(self)

    @property
    def unit(self) -> str:
        """A factor has no unit."""
        return "factor"

    def __str__(self) -> str:
        return f"Scale {', '.join(self.columns)} by a factor {said(self)}{tail(self)}"


type Component = Shift | Scale | OddsRatio


@dataclass(frozen=True, slots=True, init=False)
class PatternMixture:
    """f(y | seen) and f(y | unseen) differ by declared amounts, which the data cannot correct.

    Parameters
    ----------
    *components : Shift, Scale, OddsRatio or Restriction
        The amounts, one or several, and at most one restriction, to which amounts beside it are then relative.
    because : str
        The reason, in words.

    Raises
    ------
    SpecError
        No component, something else than `Shift`, `Scale`, `OddsRatio` and `Restriction`, or two restrictions.

    References
    ----------
    Little, R. (1993). Pattern-mixture models for multivariate incomplete data. JASA 88, 125-134, section 2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.PatternMixture(mk.Shift("lwage", -0.2, unit="sd")).columns
    ('lwage',)
    """

    components: tuple[Component | Restriction, ...]
    because: str = ""

    def __init__(self, *components: Component | Restriction, because: str = "") -> None:
        wrong = [c for c in components if not isinstance(c, (Shift, Scale, OddsRatio, Restriction))]
        if wrong or not components:
            given = repr(wrong[0]) if wrong else "'nothing'"
            raise SpecError(f"PatternMixture takes one or more of Shift, Scale, OddsRatio and Restriction, not {given}")
        restrictions = [c for c in components if isinstance(c, Restriction)]
        if len(restrictions) > 1:
            raise SpecError(f"PatternMixture has {len(restrictions)} restrictions; keep one")
        if not isinstance(because, str):
            raise SpecError(f"because= is a reason in words, not {because!r}")
        object.__setattr__(self, "components", tuple(components))
        object.__setattr__(self, "because", because)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose unseen values are moved."""
        return tuple(dict.fromkeys(column for c in self.components for column in c.columns))

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        said = [self.restriction.assumption] if self.restriction is not None else []
        from_what = "the restriction" if self.restriction is not None else "MAR"
        moved = "; ".join(map(_relative, self.amounts))
        said += [f"unseen values differ from what {from_what} predicts by exactly: {moved}"] if moved else []
        return "; ".join(said)

    @property
    def amounts(self) -> tuple[Component, ...]:
        """The components that move values."""
        return tuple(c for c in self.components if not isinstance(c, Restriction))

    @property
    def restriction(self) -> Restriction | None:
        """The identifying restriction, if there is one."""
        return next((c for c in self.components if isinstance(c, Restriction)), None)

    def __str__(self) -> str:
        return "PatternMixture(" + "; ".join(map(str, self.components)) + ")"


def _relative(component: Component) -> str:
    """Say what an amount is relative to."""
    if component.of == "model":
        return f"{component}, relative to the regression on its predictors where it is recorded"
    return f"{component}, relative to what is drawn given all that is seen of the row"


def _check_model(component: Shift | Scale, what: str) -> None:
    predictors = component.predictors
    if isinstance(predictors, str) or not all(isinstance(p, str) for p in predictors):
        raise SpecError(f"{what}: predictors= is a tuple of column names, not {predictors!r}")
    object.__setattr__(component, "predictors", tuple(predictors))
    if not isinstance(component.carry, bool):
        raise SpecError(f"{what}: carry= is True or False, not {component.carry!r}")
    if component.carry and component.of == "model":
        raise SpecError(
            f"{what} of {component.column!r}: carry= is about of='prediction'; inside the model a moved value reaches "
            "the columns modelled with it anyway"
        )
