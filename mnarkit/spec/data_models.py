"""Data models: what the values, seen or not, are taken to follow."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.errors import FormulaError, SpecError
from mnarkit.formula import Formula, parse
from mnarkit.spec.growth import Growth
from mnarkit.spec.model_priors import Priors, model_priors

__all__ = ["DataModel", "Growth", "MvNormal", "Regression"]

type Covariance = Literal["UN", "CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH"]

COVARIANCES = ("UN", "CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH")


@dataclass(frozen=True, slots=True)
class Regression:
    """y_i = x_i' β + ε_i, ε_i ~ N(0, σ²): one incomplete response, fully seen predictors.

    Parameters
    ----------
    formula : str
        `"y ~ x1 + x2"`; the closed list of functions is in `mnarkit.formula`.
    family : {"normal"}
        The family of the response.
    priors : mapping of str to Prior, optional
        For `coef` (all slopes), `intercept` and `sd`; by default normal(0, 10), normal(0, 10) and
        half_student_t(3, 2.5) on the standardised columns.

    Raises
    ------
    FormulaError
        The formula cannot be read or has no response.
    SpecError
        An unknown family or prior.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Regression("lwage ~ educ + exper").columns
    ('lwage',)
    """

    formula: str
    family: Literal["normal"] = "normal"
    priors: Priors = None

    def __post_init__(self) -> None:
        parsed = _text_formula(self.formula, "Regression")
        if parsed.kind != "value":
            raise FormulaError(f"Regression takes 'y ~ x', a column on the left, not {self.formula!r}")
        used = {column for term in parsed.terms for column in term.columns}
        if parsed.response in used:
            raise FormulaError(
                f"{parsed.response!r} stands on both sides of {self.formula!r}; leave it out on the right"
            )
        if self.family != "normal":
            raise SpecError(f"the family {self.family!r} is not known; Regression has 'normal'")
        object.__setattr__(self, "formula", parsed.text)
        object.__setattr__(self, "priors", model_priors(self.priors, "Regression", without=("corr",)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns: the response alone."""
        return (str(parse(self.formula).response),)

    @property
    def predictors(self) -> Formula:
        """The right-hand side."""
        return parse(self.formula)

    def __str__(self) -> str:
        return f"{self.formula}, normal residuals"


@dataclass(frozen=True, slots=True, init=False)
class MvNormal:
    """y_i ~ N(B x_i, Σ): named columns, jointly normal around a regression on the fully seen `given`.

    Parameters
    ----------
    *columns : str
        The modelled columns, any of them with holes.
    given : str
        Right-hand side of a formula over fully seen columns; `"1"`, means alone, is the model of PROC MI.
    covariance : {"UN", "CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH"}
        Unstructured, compound symmetry, first-order autoregression or Toeplitz (columns in their order), as SAS names
        them: with H one residual sd a column, without it one for all.
    priors : mapping of str to Prior, optional
        For `coef` (all slopes), `intercept`, `sd` and `corr`; by default normal(0, 10), normal(0, 10),
        half_student_t(3, 2.5) and lkj(1), on the standardised columns.

    Raises
    ------
    SpecError
        No column, a column named twice, or a column also used in `given`.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.MvNormal("y1", "y2", given="arm + base").columns
    ('y1', 'y2')
    """

    columns: tuple[str, ...]
    given: str = "1"
    covariance: Covariance = "UN"
    priors: Priors = None

    def __init__(self, *columns: str, given: str = "1", covariance: Covariance = "UN", priors: Priors = None) -> None:
        if not columns or not all(isinstance(c, str) and c for c in columns):
            raise SpecError(f"MvNormal takes the names of one or more columns, not {columns!r}")
        twice = sorted({c for c in columns if columns.count(c) > 1})
        if twice:
            raise SpecError(f"MvNormal names {twice[0]!r} {columns.count(twice[0])} times; name each column once")
        parsed = _text_formula(given, "given")
        if parsed.kind is not None:
            raise FormulaError(f"given= takes a right-hand side such as 'arm + base', not {given!r}")
        both = sorted({c for term in parsed.terms for c in term.columns} & set(columns))
        if both:
            raise SpecError(f"{both[0]!r} is a modelled column and stands in given= too; it can be one of them")
        if covariance not in COVARIANCES:
            raise SpecError(f"covariance= is one of {', '.join(COVARIANCES)}, not {covariance!r}")
        if covariance != "UN" and len(columns) < 3:
            raise SpecError(f"covariance={covariance!r} needs at least 3 columns, not {len(columns)}; use 'UN'")
        object.__setattr__(self, "columns", tuple(columns))
        object.__setattr__(self, "given", parsed.text)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "priors", model_priors(priors, "MvNormal"))

    @property
    def predictors(self) -> Formula:
        """The right-hand side that all columns share."""
        return parse(self.given)

    def __str__(self) -> str:
        given = "" if self.given == "1" else f", given {self.given}"
        shape = "" if self.covariance == "UN" else f", covariance {self.covariance}"
        return f"({', '.join(self.columns)}) jointly normal{given}{shape}"


type DataModel = Regression | MvNormal | Growth


def _text_formula(text: object, what: str) -> Formula:
    if not isinstance(text, str):
        raise FormulaError(f"{what} takes a formula as text, not {text!r}")
    return parse(text)
