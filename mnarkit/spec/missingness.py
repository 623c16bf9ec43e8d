"""Beliefs about why values are missing: one frozen class each, with its untestable assumption as a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mnarkit.bars import refuse_bar
from mnarkit.errors import FormulaError, SpecError
from mnarkit.formula import Formula, parse
from mnarkit.priors import Amount, Prior, PriorItems, prior_items
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.limits import Limits
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.shared import SharedParameter

__all__ = ["MAR", "Heckman", "Missingness", "Selection"]

type Priors = Mapping[str, Amount] | PriorItems | None


@dataclass(frozen=True, slots=True)
class MAR:
    """Ignorable holes: P(missing | all values) depends on the values seen alone.

    Parameters
    ----------
    because : str
        The reason, in words.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.MAR().columns
    ()
    """

    because: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that this belief names: none, it is about all of them."""
        return ()

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        return "whether a value is missing depends only on the values that are seen"

    def __str__(self) -> str:
        return "MAR"


@dataclass(frozen=True, slots=True)
class Selection:
    """P(y missing | values) = link⁻¹(c'z + b'y), y seen or not: a selection model.

    Parameters
    ----------
    formula : str
        `"missing(y) ~ y + x"`: modelled columns (seen or unseen) as they are or by group (`y:arm`: a slope for each
        level, `y * arm`: an intercept too), fully seen columns in any formula term, and earlier indicators:
        `"missing(y2) ~ missing(y1) + y1"`. With a `Regression` or `Regressions`, random terms:
        `"missing(y) ~ y + time + (1 | id)"`, independent of those of the data model.
    link : {"probit", "logit"}
        The link.
    priors : mapping of str to Prior or float, optional
        By term (`Intercept` included; `random_sd` and `random_corr`): a prior per sd of the term, or in raw units with
        `unit="raw"`; a number fixes
        the coefficient at that value in raw units. By default normal(0, 1.5) for slopes and normal(0, 3) for the
        intercept at the centre of the predictors (logit: 2.5 and 5).
    because : str
        The reason, in words.

    Raises
    ------
    FormulaError
        The formula cannot be read, or its left-hand side is not `missing(column)`.
    SpecError
        An unknown link, or a prior of a term that the formula lacks.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Selection("missing(y) ~ y + age").columns
    ('y',)
    """

    formula: str
    link: Literal["probit", "logit"] = "probit"
    priors: Priors = None
    because: str = ""

    def __post_init__(self) -> None:
        parsed = _indicator(self.formula, "missing", "Selection")
        if self.link not in ("probit", "logit"):
            raise SpecError(f"the link of a selection model is 'probit' or 'logit', not {self.link!r}")
        object.__setattr__(self, "formula", parsed.text)
        object.__setattr__(self, "priors", prior_items(self.priors, "Selection"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column whose holes are modelled."""
        return (str(parse(self.formula).response),)

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        column = self.columns[0]
        return (
            f"P({column} missing) follows {self.formula!r} with a {self.link} link, the unseen values of {column} "
            f"included, and the data model of {column} given its predictors holds also where it is unseen"
        )

    def __str__(self) -> str:
        return f"Selection {self.formula}, {self.link}"


@dataclass(frozen=True, slots=True)
class Heckman:
    """y recorded when c'z + u > 0, corr(u, ε) = ρ: a sample-selection model; its coefficients refer to being recorded.

    Parameters
    ----------
    formula : str
        `"recorded(y) ~ x1 + x2"`, fully seen columns alone.
    priors : mapping of str to Prior or float, optional
        By term as in `Selection`, and `rho`: a `uniform` prior on ρ itself, a `normal` or `student_t` prior on atanh ρ,
        or a number in (-1, 1) that fixes ρ. By default atanh ρ ~ normal(0, 1).
    because : str
        The reason, in words.

    Raises
    ------
    FormulaError
        The formula cannot be read, or its left-hand side is not `recorded(column)`.
    SpecError
        A prior of a term that the formula lacks.

    References
    ----------
    Heckman, J. (1979). Sample selection bias as a specification error. Econometrica 47, 153-161, eq. 4a-4b.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Heckman("recorded(wage) ~ educ + kids").columns
    ('wage',)
    """

    formula: str
    priors: Priors = None
    because: str = ""

    def __post_init__(self) -> None:
        parsed = _indicator(self.formula, "recorded", "Heckman")
        refuse_bar(parsed.bar, "Heckman")
        items = prior_items(self.priors, "Heckman")
        rho = dict(items).get("rho")
        if isinstance(rho, float) and not -1 < rho < 1:
            raise SpecError(f"Heckman: rho is a correlation inside (-1, 1), not {rho!r}")
        if isinstance(rho, Prior) and rho.family not in ("uniform", "normal", "student_t"):
            raise SpecError(
                f"Heckman: the prior of rho is uniform (on rho), normal or student_t (on atanh rho), not {rho!r}"
            )
        if isinstance(rho, Prior) and rho.family == "uniform" and max(map(abs, rho.values)) > 1:
            raise SpecError(f"Heckman: a uniform prior of rho lies inside [-1, 1], not {rho!r}")
        object.__setattr__(self, "formula", parsed.text)
        object.__setattr__(self, "priors", items)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column whose recording is modelled."""
        return (str(parse(self.formula).response),)

    @property
    def link(self) -> Literal["probit"]:
        """The link: probit, from the bivariate normal errors."""
        return "probit"

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        column = self.columns[0]
        return (
            f"the errors of {column} and of being recorded are bivariate normal, and what stands in {self.formula!r} "
            f"but not in the model of {column} moves recording alone"
        )

    def __str__(self) -> str:
        return f"Heckman {self.formula}"


type Missingness = MAR | Selection | Heckman | Dropout | SharedParameter | PatternMixture | Reference | Limits


def _indicator(text: object, kind: str, what: str) -> Formula:
    if not isinstance(text, str):
        raise FormulaError(f"{what} takes a formula as text, not {text!r}")
    parsed = parse(text)
    if parsed.kind == kind:
        return parsed
    if what == "Heckman":
        raise FormulaError(
            "the coefficients and rho of a Heckman model refer to being recorded, as Stata and sampleSelection print "
            f"them: write 'recorded(y) ~ ...', not {text!r}"
        )
    raise FormulaError(f"{what} takes '{kind}(y) ~ ...', not {text!r}")
