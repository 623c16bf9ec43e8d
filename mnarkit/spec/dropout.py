"""Dropout beliefs: the hazard of leaving depends on the value at the wave of leaving, which nobody sees."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.bars import refuse_bar
from mnarkit.errors import FormulaError, SpecError
from mnarkit.formula import Formula, parse
from mnarkit.priors import Amount, PriorItems, prior_items
from mnarkit.spec.slopes import bent

__all__ = ["CURRENT", "PREVIOUS", "Dropout"]

CURRENT, PREVIOUS = "current", "previous"


@dataclass(frozen=True, slots=True)
class Dropout:
    """P(leaves at wave t | still there, values) = link⁻¹(a_t + b y_t + c y_{t-1} + d'x): Diggle & Kenward's model.

    Parameters
    ----------
    formula : str
        Right-hand side: `current` is the value at the wave, `previous` the one before; fully seen columns in any term.
        `current:arm` gives every level of a fully seen column a slope of its own, `current * arm` an intercept too.
    waves : sequence of str
        Modelled columns in their order. Nobody leaves at the first; a row leaves where its last run of holes begins.
    by_wave : sequence of str
        Coefficients of their own at each wave, as printed (`current`, `current:arm[drug]`); others have one for all.
    link : {"probit", "logit"}
        The link.
    priors : mapping of str to Prior or float, optional
        By term (`current`, `current:arm[drug]`, `Intercept[wave]`, ...), as in `Selection`; a number fixes a slope in
        raw units.
    because : str
        The reason, in words.
    death : str, optional
        A column that names the first wave after death, or nothing: a subject that dies has not left, and its cells
        after death have no value and get none.

    Raises
    ------
    FormulaError
        The formula cannot be read, or has a left-hand side.
    SpecError
        Fewer than two waves, a wave named twice, an unknown link, a term in `by_wave` that the formula lacks.

    References
    ----------
    Diggle, P. & Kenward, M. (1994). Informative drop-out in longitudinal data analysis. Applied Statistics 43, 49-93,
    section 3.

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.Dropout("previous + current", waves=("w0", "w1", "w2")))
    Dropout ~ previous + current over w0, w1, w2 (probit; by wave: Intercept)
    >>> by_arm = mk.Dropout("previous + current:arm", waves=("w0", "w1", "w2"), because="side effects under drug alone")
    """

    formula: str
    waves: tuple[str, ...]
    by_wave: tuple[str, ...] = ("Intercept",)
    link: Literal["probit", "logit"] = "probit"
    priors: PriorItems | dict[str, Amount] | None = None
    because: str = ""
    death: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.formula, str):
            raise FormulaError(f"Dropout takes a formula as text, not {self.formula!r}")
        parsed = parse(self.formula)
        refuse_bar(parsed.bar, "Dropout")
        if parsed.kind is not None:
            raise FormulaError(f"Dropout takes a right-hand side such as 'previous + current', not {self.formula!r}")
        for term in parsed.terms:
            if term in bent(parsed, (PREVIOUS, CURRENT)):
                raise FormulaError(
                    f"{term.name!r} in {self.formula!r}: current and previous stand as they are, or by group as in "
                    "current:arm"
                )
        waves, by_wave = _names(self.waves, "waves"), _names(self.by_wave, "by_wave")
        if len(waves) < 2 or len(set(waves)) < len(waves):
            raise SpecError(f"Dropout: waves= names at least two columns in their order, each once, not {waves!r}")
        if self.link not in ("probit", "logit"):
            raise SpecError(f"the link of a dropout model is 'probit' or 'logit', not {self.link!r}")
        if self.death is not None and (not isinstance(self.death, str) or not self.death):
            raise SpecError(f"Dropout: death= names a column, not {self.death!r}")
        for name, value in {"formula": parsed.text, "waves": waves, "by_wave": by_wave}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "priors", prior_items(self.priors, "Dropout"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose holes after leaving are modelled."""
        return self.waves

    @property
    def parsed(self) -> Formula:
        """The right-hand side, read."""
        return parse(self.formula)

    @property
    def reads(self) -> tuple[bool, bool]:
        """Whether the hazard depends on the previous and on the current value."""
        used = {c for term in self.parsed.terms for c in term.columns}
        return PREVIOUS in used, CURRENT in used

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        return (
            f"the hazard of leaving follows {self.formula!r} with a {self.link} link, the value at the wave of leaving "
            "included, which nobody sees; after leaving the values go on as the data model says"
            f"{', and after death there are none' if self.death else ''}"
        )

    def __str__(self) -> str:
        by = f"; by wave: {', '.join(self.by_wave)}" if self.by_wave else ""
        death = f"; death in {self.death}" if self.death else ""
        return f"Dropout ~ {self.formula} over {', '.join(self.waves)} ({self.link}{by}{death})"


def _names(given: object, what: str) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, (tuple, list)) or not all(isinstance(n, str) for n in given):
        raise SpecError(f"Dropout: {what}= is a sequence of names, not {given!r}")
    return tuple(given)
