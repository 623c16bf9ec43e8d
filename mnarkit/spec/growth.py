"""Growth models: each unit has a curve of its own over the waves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from mnarkit.bars import refuse_bar
from mnarkit.errors import FormulaError, SpecError
from mnarkit.formula import Formula, parse
from mnarkit.spec.model_priors import Priors, model_priors

__all__ = ["Growth"]


@dataclass(frozen=True, slots=True, init=False)
class Growth:
    """y_it = Σ_k (x_i'γ_k + u_ik) t^k + e_it, u_i ~ N(0, Ψ), e_it ~ N(0, σ_t²): random intercept and slope over waves.

    Parameters
    ----------
    *columns : str
        The waves, modelled columns, any of them with holes.
    times : sequence of float
        When they are, increasing.
    given : str
        Right-hand side of a formula over fully seen columns; it moves the intercept, the slope, ... of the mean.
    degree : int
        1: random intercept and slope; 0: random intercept alone; 2: a quadratic curve.
    residual : {"by wave", "constant"}
        One residual sd a wave, or one for all.
    priors : mapping of str to Prior, optional
        For `coef`, `intercept`, `sd` (of residuals and of random terms) and `corr` (of random terms), on columns
        standardised by one mean and sd for all waves.

    Raises
    ------
    SpecError
        Times that do not go with the columns or do not increase, too few waves for the degree.

    References
    ----------
    Laird, N. & Ware, J. (1982). Random-effects models for longitudinal data. Biometrics 38, 963-974, section 2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.Growth("w0", "w1", "w2", times=(0, 1, 2), given="arm"))
    (w0, w1, w2) growing at times 0, 1, 2: random intercept, slope, given arm; residual sd by wave
    """

    columns: tuple[str, ...]
    times: tuple[float, ...]
    given: str = "1"
    degree: int = 1
    residual: Literal["by wave", "constant"] = "by wave"
    priors: Priors = None

    def __init__(
        self,
        *columns: str,
        times: Sequence[float],
        given: str = "1",
        degree: int = 1,
        residual: Literal["by wave", "constant"] = "by wave",
        priors: Priors = None,
    ) -> None:
        if not all(isinstance(c, str) and c for c in columns) or len(set(columns)) < len(columns):
            raise SpecError(f"Growth takes the names of the waves, each once, not {columns!r}")
        if not isinstance(degree, int) or isinstance(degree, bool) or degree not in (0, 1, 2):
            raise SpecError(f"Growth: degree= is 0, 1 or 2, not {degree!r}")
        if len(columns) < degree + 2:
            raise SpecError(f"Growth of degree {degree} takes at least {degree + 2} waves, not {len(columns)}")
        if isinstance(times, str) or not all(isinstance(t, (int, float)) for t in times) or len(times) != len(columns):
            raise SpecError(f"Growth: times= has one number for each of the {len(columns)} waves, not {times!r}")
        numbers = tuple(float(t) for t in times)
        if any(b <= a for a, b in pairwise(numbers)):
            raise SpecError(f"Growth: times= increase from wave to wave, not {numbers!r}")
        if residual not in ("by wave", "constant"):
            raise SpecError(f"Growth: residual= is 'by wave' or 'constant', not {residual!r}")
        if not isinstance(given, str) or parse(given).kind is not None:
            raise FormulaError(f"given= takes a right-hand side such as 'arm + base', not {given!r}")
        parsed = parse(given)
        refuse_bar(parsed.bar, "Growth")
        both = sorted({c for term in parsed.terms for c in term.columns} & set(columns))
        if both:
            raise SpecError(f"{both[0]!r} is a modelled column and stands in given= too; it can be one of them")
        if not any(t.name == "1" for t in parsed.terms):
            raise SpecError(f"Growth: given={given!r} has no intercept; leave 0 or -1 out")
        values = {
            "columns": tuple(columns),
            "times": numbers,
            "given": parsed.text,
            "degree": degree,
            "residual": residual,
            "priors": model_priors(priors, "Growth"),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def predictors(self) -> Formula:
        """The right-hand side that all terms of the curve share."""
        return parse(self.given)

    @property
    def curve(self) -> tuple[str, ...]:
        """The terms of the curve."""
        return ("intercept", "slope", "curvature")[: self.degree + 1]

    def __str__(self) -> str:
        given = "" if self.given == "1" else f", given {self.given}"
        times = ", ".join(f"{t:g}" for t in self.times)
        sd = "residual sd by wave" if self.residual == "by wave" else "one residual sd"
        return f"({', '.join(self.columns)}) growing at times {times}: random {', '.join(self.curve)}{given}; {sd}"
