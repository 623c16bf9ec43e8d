"""Odds ratios: how far the odds of unseen categories lie from what MAR says."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.spec.amounts import Declared, check_declaration, columns_of, elicited_unit, refuse_numbers, said, tail

__all__ = ["OddsRatio"]


@dataclass(frozen=True, slots=True)
class OddsRatio:
    """Odds of y unseen are `amount` times what MAR says; part of a `PatternMixture`, for binary and ordinal columns.

    Binary: the odds of the second level. Ordinal: the odds P(Y ≥ k) / P(Y < k) at every k. It is applied when
    imputing, to the probabilities from which the category is drawn.

    Parameters
    ----------
    column : str or tuple of str
        A modelled column with holes, or several: waves, in their order.
    amount : float, Prior, sequence or mapping
        A number is the odds ratio, above 0; a `Prior` is of its logarithm. By wave and by group as in `Shift`.
    where, by, corr
        As in `Shift`.
    cumulative : bool
        As in `Shift`, the ratios multiplied.

    Raises
    ------
    SpecError
        A ratio that is not above 0.

    References
    ----------
    White, I., Higgins, J. & Wood, A. (2008). Allowing for uncertainty due to missing data in meta-analysis, Part 1:
    Two-stage methods. Statistics in Medicine 27, 711-727 (the informative missingness odds ratio).

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.OddsRatio("relapse", 2.0))
    OddsRatio relapse by 2 (of the prediction, added last)
    """

    column: str | tuple[str, ...]
    amount: Declared
    where: str | None = None
    by: str | None = None
    cumulative: bool = False
    corr: float | None = None

    def __post_init__(self) -> None:
        elicited_unit((self.amount, ()), "log odds ratio", f"the odds ratio of {self.column!r}")
        check_declaration(self, "OddsRatio")
        message = f"the odds ratio of {self.column!r} is a number above 0, not {{:g}} (a Prior is of its logarithm)"
        refuse_numbers(self, lambda amount: amount <= 0, message)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it moves."""
        return columns_of(self)

    @property
    def of(self) -> Literal["prediction"]:
        """It multiplies the odds of the prediction."""
        return "prediction"

    @property
    def predictors(self) -> tuple[str, ...]:
        """It reads no other column."""
        return ()

    @property
    def unit(self) -> str:
        """A ratio of odds has no unit."""
        return "odds ratio"

    def __str__(self) -> str:
        return f"OddsRatio {', '.join(self.columns)} by {said(self)}{tail(self)}"
