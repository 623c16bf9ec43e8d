"""Data models: what the values, seen or not, are taken to follow."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.bars import refuse_bar
from mnarkit.errors import FormulaError, SpecError
from mnarkit.formula import Formula, parse
from mnarkit.spec.growth import Growth
from mnarkit.spec.model_priors import Priors, model_priors
from mnarkit.spec.regressions import Regression, Regressions, read_formula

__all__ = ["DataModel", "Growth", "MvNormal", "Regression", "Regressions", "formulas_of", "regression_of"]

type Covariance = Literal["UN", "CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH"]

COVARIANCES = ("UN", "CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH")


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
    by : str, optional
        A fully seen column: each of its levels, such as the arms of a trial, has a covariance of its own. The mean is
        what `given` says.
    priors : mapping of str to Prior, optional
        For `coef` (all slopes), `intercept`, `sd` and `corr`; by default normal(0, 10), normal(0, 10),
        half_student_t(3, 2.5) and lkj(1), on the standardised columns.

    Raises
    ------
    SpecError
        No column, a column named twice, or a column also used in `given` or `by`.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.MvNormal("y1", "y2", given="arm + base").columns
    ('y1', 'y2')
    """

    columns: tuple[str, ...]
    given: str = "1"
    covariance: Covariance = "UN"
    by: str | None = None
    priors: Priors = None

    def __init__(
        self,
        *columns: str,
        given: str = "1",
        covariance: Covariance = "UN",
        by: str | None = None,
        priors: Priors = None,
    ) -> None:
        if not columns or not all(isinstance(c, str) and c for c in columns):
            raise SpecError(f"MvNormal takes the names of one or more columns, not {columns!r}")
        twice = sorted({c for c in columns if columns.count(c) > 1})
        if twice:
            raise SpecError(f"MvNormal names {twice[0]!r} {columns.count(twice[0])} times; name each column once")
        parsed = read_formula(given, "given")
        refuse_bar(parsed.bar, "MvNormal")
        if parsed.kind is not None:
            raise FormulaError(f"given= takes a right-hand side such as 'arm + base', not {given!r}")
        both = sorted({c for term in parsed.terms for c in term.columns} & set(columns))
        if both:
            raise SpecError(f"{both[0]!r} is a modelled column and stands in given= too; it can be one of them")
        if covariance not in COVARIANCES:
            raise SpecError(f"covariance= is one of {', '.join(COVARIANCES)}, not {covariance!r}")
        if covariance != "UN" and len(columns) < 3:
            raise SpecError(f"covariance={covariance!r} needs at least 3 columns, not {len(columns)}; use 'UN'")
        if not (by is None or (isinstance(by, str) and by)):
            raise SpecError(f"by= names the column whose levels have a covariance each, not {by!r}")
        if by in columns:
            raise SpecError(f"by={by!r} is a modelled column; the levels of a fully seen one have a covariance each")
        object.__setattr__(self, "columns", tuple(columns))
        object.__setattr__(self, "given", parsed.text)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "priors", model_priors(priors, "MvNormal"))

    @property
    def predictors(self) -> Formula:
        """The right-hand side that all columns share."""
        return parse(self.given)

    def __str__(self) -> str:
        given = "" if self.given == "1" else f", given {self.given}"
        shape = "" if self.covariance == "UN" else f", covariance {self.covariance}"
        each = "" if self.by is None else f", a covariance for each {self.by}"
        return f"({', '.join(self.columns)}) jointly normal{given}{shape}{each}"


type DataModel = Regression | Regressions | MvNormal | Growth


def formulas_of(model: DataModel) -> tuple[Formula, ...]:
    """List the right-hand sides of a data model, one for each regression."""
    return tuple(r.predictors for r in model.regressions) if isinstance(model, Regressions) else (model.predictors,)


def regression_of(model: DataModel, column: str) -> DataModel:
    """Give the regression of a modelled column, or the joint model that it stands in."""
    if not isinstance(model, Regressions):
        return model
    return next(r for r in model.regressions if r.columns[0] == column)
