"""Shared-parameter beliefs: the random terms of a growth curve move both the values and the missingness."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.bars import refuse_bar
from mnarkit.errors import FormulaError, SpecError
from mnarkit.formula import Formula, parse
from mnarkit.priors import Amount, PriorItems, prior_items

__all__ = ["RANDOM_TERMS", "SharedParameter"]

RANDOM_TERMS = ("intercept", "slope", "curvature")


@dataclass(frozen=True, slots=True)
class SharedParameter:
    """P(r_it = 1 | u_i) = link⁻¹(a_t + γ'u_i + d'x_i): the random terms u_i that move the values move their holes.

    u_i are the random terms of `Growth`, the deviations of a subject's intercept, slope and curvature (on t⁰, t¹, t²)
    from those that the model expects for its predictors, or those of `Regression("y ~ ... + (1 + time | id)")`,
    `intercept` and `slope`, in a long table. r_it is leaving at wave t of those still there (`of="dropout"`), or a hole
    at wave t (`of="missing"`, the one of long tables). Given u_i, indicators and values are independent.

    Parameters
    ----------
    formula : str
        Right-hand side: `intercept`, `slope` and `curvature` are the subject's random terms; fully seen columns in any
        term.
    waves : sequence of str, optional
        Waves of the growth model in their order; by default all of them. Nobody leaves at the first.
    of : {"dropout", "missing"}
        Whether leaving is modelled, or every hole.
    by_wave : sequence of str
        Terms with a coefficient of their own at each wave; the others have one for all.
    link : {"probit", "logit"}
        The link.
    priors : mapping of str to Prior or float, optional
        By term (`slope`, `Intercept[wave]`, ...), as in `Selection`; those of random terms are per model sd of the
        term, by default normal(0, 1.5) with a probit link and normal(0, 2.5) with a logit one. A number fixes a slope
        in raw units.
    because : str
        The reason, in words.

    Raises
    ------
    FormulaError
        The formula cannot be read, has a left-hand side, or no random term.
    SpecError
        Fewer than two waves, a wave named twice, an unknown link or kind of missingness.

    References
    ----------
    Wu, M. & Carroll, R. (1988). Estimation and comparison of changes in the presence of informative right censoring by
    modeling the censoring process. Biometrics 44, 175-188, section 2 (a probit of the random terms).
    Follmann, D. & Wu, M. (1995). An approximate generalized linear model with random effects for informative missing
    data. Biometrics 51, 151-168, section 2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.SharedParameter("slope + arm"))
    SharedParameter dropout ~ slope + arm over all waves (probit; by wave: Intercept)
    """

    formula: str
    waves: tuple[str, ...] = ()
    of: Literal["dropout", "missing"] = "dropout"
    by_wave: tuple[str, ...] = ("Intercept",)
    link: Literal["probit", "logit"] = "probit"
    priors: PriorItems | dict[str, Amount] | None = None
    because: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.formula, str):
            raise FormulaError(f"SharedParameter takes a formula as text, not {self.formula!r}")
        parsed = parse(self.formula)
        refuse_bar(parsed.bar, "SharedParameter")
        if parsed.kind is not None:
            raise FormulaError(
                f"SharedParameter takes a right-hand side such as 'intercept + slope', not {self.formula!r}"
            )
        for term in parsed.terms:
            if term.columns & set(RANDOM_TERMS) and not term.bare:
                raise FormulaError(f"{term.name!r} in {self.formula!r}: random terms stand as they are")
        waves, by_wave = _names(self.waves, "waves"), _names(self.by_wave, "by_wave")
        long = self.of == "missing" and not by_wave  # one column of a long table
        if (len(waves) == 1 and not long) or len(set(waves)) < len(waves):
            raise SpecError(f"SharedParameter: waves= names two columns or more in order, each once, not {waves!r}")
        if self.link not in ("probit", "logit"):
            raise SpecError(f"the link of a shared-parameter model is 'probit' or 'logit', not {self.link!r}")
        if self.of not in ("dropout", "missing"):
            raise SpecError(f"SharedParameter: of= is 'dropout' or 'missing', not {self.of!r}")
        for name, value in {"formula": parsed.text, "waves": waves, "by_wave": by_wave}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "priors", prior_items(self.priors, "SharedParameter"))
        if not self.shared:
            raise FormulaError(
                f"{self.formula!r} shares no random term; name intercept or slope in it, or leave SharedParameter out: "
                "holes are then ignorable"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose holes are modelled; none before the belief stands in a spec, if it takes all waves."""
        return self.waves

    @property
    def parsed(self) -> Formula:
        """The right-hand side, read."""
        return parse(self.formula)

    @property
    def shared(self) -> tuple[str, ...]:
        """The random terms in the formula."""
        used = {c for term in self.parsed.terms for c in term.columns}
        return tuple(name for name in RANDOM_TERMS if name in used)

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        what = "leaving" if self.of == "dropout" else "a hole"
        return (
            f"given a subject's random {' and '.join(self.shared)}, {what} does not depend on its values, seen or not; "
            "random terms and residuals are normal, and the curve goes on unchanged where nothing is seen"
        )

    def __str__(self) -> str:
        by = f"; by wave: {', '.join(self.by_wave)}" if self.by_wave else ""
        waves = ", ".join(self.waves) or "all waves"
        return f"SharedParameter {self.of} ~ {self.formula} over {waves} ({self.link}{by})"


def _names(given: object, what: str) -> tuple[str, ...]:
    if given is None and what == "waves":
        return ()
    if isinstance(given, str) or not isinstance(given, (tuple, list)) or not all(isinstance(n, str) for n in given):
        raise SpecError(f"SharedParameter: {what}= is a sequence of names, not {given!r}")
    return tuple(given)
