"""Limits: what is known of a hole without its value, such as a laboratory value below detection."""

from dataclasses import dataclass
from math import isfinite

from mnarkit.condition import condition
from mnarkit.errors import SpecError

__all__ = ["Bound", "Limits"]

type Bound = float | str


@dataclass(frozen=True, slots=True)
class Limits:
    """low ≤ y ≤ high where y is not recorded: data on the holes of a column, not a belief about why they are there.

    Such a cell was measured, and its value is known up to the interval: for every belief of the spec it counts as
    recorded, and P(low ≤ y ≤ high | values seen) is its part of the likelihood. Recorded values stay as they are.

    Parameters
    ----------
    column : str
        A modelled column with holes.
    low, high : float or str, optional
        One of them or both: a number, or the name of a column of bounds; a row without a bound is an ordinary hole.
    where : str, optional
        Only rows for which this condition on fully seen columns holds, e.g. `"assay == 'old'"`; the other holes of the
        column are ordinary.
    because : str
        Where the limits come from, in words.

    Raises
    ------
    SpecError
        No bound, a bound that is neither a finite number nor a name, or low that is not below high.

    References
    ----------
    Tobin, J. (1958). Estimation of relationships for limited dependent variables. Econometrica 26, 24-36, eq. 6.
    Heitjan, D. & Rubin, D. (1991). Ignorability and coarse data. Annals of Statistics 19, 2244-2253, section 2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.Limits("crp", high=0.3, because="the assay detects 0.3 mg/l and more"))
    Limits crp below 0.3
    """

    column: str
    low: Bound | None = None
    high: Bound | None = None
    where: str | None = None
    because: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise SpecError(f"Limits names a column, not {self.column!r}")
        if not isinstance(self.because, str):
            raise SpecError(f"because= is a reason in words, not {self.because!r}")
        for name in ("low", "high"):
            object.__setattr__(self, name, _bound(getattr(self, name), name, self.column))
        if self.low is None and self.high is None:
            raise SpecError(f"Limits of {self.column!r} has no bound; say low=, high= or both")
        if isinstance(self.low, float) and isinstance(self.high, float) and not self.low < self.high:
            raise SpecError(f"Limits of {self.column!r}: low={self.low:g} is not below high={self.high:g}")
        if self.column in (self.low, self.high):
            raise SpecError(
                f"Limits of {self.column!r} has that column as its own bound; name the column of the bounds"
            )
        if self.where is not None:
            condition(self.where)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column whose holes have limits."""
        return (self.column,)

    @property
    def bounds(self) -> tuple[str, ...]:
        """The columns of the table that hold bounds."""
        return tuple(b for b in (self.low, self.high) if isinstance(b, str))

    @property
    def assumption(self) -> str:
        """What the limits are used with."""
        return (
            f"the limits are data; that the model of {self.column} holds beyond them too, where no value of it is "
            "recorded, is not"
        )

    def __str__(self) -> str:
        low, high = (_say(b) for b in (self.low, self.high))
        match low, high:
            case None, _:
                said = f"below {high}"
            case _, None:
                said = f"above {low}"
            case _:
                said = f"between {low} and {high}"
        return f"Limits {self.column} {said}{f', where {self.where}' if self.where else ''}"


def _bound(given: object, name: str, column: str) -> Bound | None:
    if given is None or (isinstance(given, str) and given):
        return given
    if isinstance(given, (int, float)) and not isinstance(given, bool) and isfinite(given):
        return float(given)
    raise SpecError(f"Limits of {column!r}: {name}= is a finite number or the name of a column, not {given!r}")


def _say(bound: Bound | None) -> str | None:
    return bound if bound is None or isinstance(bound, str) else f"{bound:g}"
