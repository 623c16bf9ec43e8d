"""Reference-based beliefs: after an event, subjects follow another arm."""

import itertools
from dataclasses import dataclass

from mnarkit.errors import SpecError
from mnarkit.priors import Amount, as_amount
from mnarkit.strategies import BUILT_IN, known_strategies

__all__ = ["Reference"]


@dataclass(frozen=True, slots=True)
class Reference:
    """After an event (dropout, or a stop of treatment) the mean follows a strategy that refers to the control arm.

    The modelled columns are the visits, in their order. The data model is fitted under MAR; values recorded after an
    event are left out of that fit and kept in every completed table. Holes before the event are MAR. A hole after it is
    drawn given all other values of its row, with the mean that the strategy assumes.

    Parameters
    ----------
    strategy : str
        `"J2R"` (jump to reference), `"CR"` (copy reference), `"CIR"` (copy increments in reference), `"LMCF"` (last
        mean carried forward), `"MAR"`, `"causal"` (a share k0 · k1^t of the distance to control at the last visit
        before the event is kept t after it), or a name given by `mk.register_strategy`.
    arm : str
        The column of treatment arms, fully seen and in the formula of the data model.
    control : str, int, float or bool
        Its level whose mean is referred to.
    event : str, optional
        A column with the name of the first visit after the event, empty where there is none. Without it, the event is
        where the last run of holes of the row begins: dropout.
    by_subject : str, optional
        A column with each subject's strategy; where empty, `strategy`.
    k0, k1 : float or Prior, optional
        Of the causal strategy alone: shares, without a unit; k1 is 1 if not given. (1, 1) is CIR, k0 = 0 is J2R.
    times : tuple of float
        When the visits are, in the unit of t; by default 0, 1, 2, ...
    because : str
        The reason, in words.

    Raises
    ------
    SpecError
        An unknown strategy; k0, k1 or times that do not go with it.

    References
    ----------
    Carpenter, J., Roger, J. & Kenward, M. (2013). Analysis of longitudinal trials with protocol deviation. Journal of
    Biopharmaceutical Statistics 23, 1352-1371, section 4.
    White, I., Royes, J. & Best, N. (2020). A causal modelling framework for reference-based imputation and
    tipping point analysis in clinical trials. Journal of Biopharmaceutical Statistics 30, 334-350, section 3.

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.Reference("J2R", arm="therapy", control="placebo"))
    Reference J2R to therapy = 'placebo', after dropout
    """

    strategy: str
    arm: str
    control: str | float | bool
    event: str | None = None
    by_subject: str | None = None
    k0: Amount | None = None
    k1: Amount | None = None
    times: tuple[float, ...] = ()
    because: str = ""

    def __post_init__(self) -> None:
        check_strategy(self.strategy)
        for name in ("arm", "event", "by_subject"):
            value = getattr(self, name)
            if not (isinstance(value, str) and value) and not (value is None and name != "arm"):
                raise SpecError(f"Reference: {name}= names a column, not {value!r}")
        if not isinstance(self.control, (str, int, float)):
            raise SpecError(f"Reference: control= is a level of {self.arm!r}, not {self.control!r}")
        if not isinstance(self.because, str):
            raise SpecError(f"because= is a reason in words, not {self.because!r}")
        causal = self.strategy == "causal" or self.by_subject is not None
        if not causal and (self.k0 is not None or self.k1 is not None or self.times):
            raise SpecError(f"k0=, k1= and times= are for the causal strategy, not for {self.strategy!r}")
        if self.strategy == "causal" and self.k0 is None:
            raise SpecError("the causal strategy needs k0=, the share of the effect that is kept (1 is CIR, 0 is J2R)")
        for name in ("k0", "k1"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, as_amount(given, f"{name} of the causal strategy"))
        object.__setattr__(self, "times", _times(self.times))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that this belief names: none, it is about all visits of the data model."""
        return ()

    @property
    def amounts(self) -> tuple[tuple[str, Amount], ...]:
        """Names and values of k0 and k1 where they are declared."""
        return tuple((name, given) for name, given in (("k0", self.k0), ("k1", self.k1)) if given is not None)

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        told = {name: text for name, (_, text) in BUILT_IN.items()}
        told["causal"] = (
            f"keeps the share {_say(self.k0)}{'' if self.k1 is None else f' * {_say(self.k1)}^t'} of its distance to "
            "the control arm at the last visit before the event"
        )
        mean = told.get(self.strategy, f"follows the strategy {self.strategy!r} that the analyst wrote")
        each = f" (or as {self.by_subject} says, subject by subject)" if self.by_subject else ""
        return (
            f"after {self.event or 'dropout'} the mean {mean}{each}, residuals keep their correlations with earlier "
            "visits, and every other hole is ignorable"
        )

    def __str__(self) -> str:
        after = f"the visit in {self.event}" if self.event else "dropout"
        amounts = "".join(f", {name} = {_say(given)}" for name, given in self.amounts)
        each = f", by subject as in {self.by_subject}" if self.by_subject else ""
        said = f"{'from' if self.event else 'after'} {after}"
        return f"Reference {self.strategy} to {self.arm} = {self.control!r}, {said}{amounts}{each}"


def check_strategy(name: object) -> None:
    """Refuse a name that no strategy has."""
    if name not in known_strategies():
        raise SpecError(
            f"the strategy {name!r} is not known; it is one of {', '.join(known_strategies())}, or a function that "
            "mk.register_strategy has given that name"
        )


def _times(times: object) -> tuple[float, ...]:
    if not isinstance(times, (tuple, list)) or not all(
        isinstance(t, (int, float)) and not isinstance(t, bool) for t in times
    ):
        raise SpecError(f"times= are the times of the visits, as numbers, not {times!r}")
    numbers = tuple(float(t) for t in times)
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        raise SpecError(f"times= increase from visit to visit, not {numbers!r}")
    return numbers


def _say(amount: Amount | None) -> str:
    return f"{amount:g}" if isinstance(amount, (int, float)) else repr(amount)
