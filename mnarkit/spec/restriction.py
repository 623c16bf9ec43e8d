"""Identifying restrictions: from which rows the distribution of unseen waves given seen ones is taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mnarkit.errors import SpecError

__all__ = ["Restriction"]

type Identification = Literal["CCMV", "NCMV", "ACMV"]

_DONORS: Mapping[str, str] = MappingProxyType(
    {
        "CCMV": "complete cases",
        "NCMV": "neighbouring cases, the rows that leave right after that wave",
        "ACMV": "available cases, all rows in which that wave is seen; on monotone patterns this is MAR",
    }
)


@dataclass(frozen=True, slots=True)
class Restriction:
    """f(y_s | y_1 … y_s-1, x) of rows that lack y_s is that of a donor group; part of a `PatternMixture`.

    The modelled columns of `MvNormal` are the waves in their order, and the holes are monotone: who lacks a wave lacks
    all later ones. Each conditional is a normal linear regression on the donor rows, with the prior 1/σ² on its
    coefficients and variance, so that its posterior is known exactly: `mk.sample` draws it independently, without a
    Markov chain. Amounts of `of="prediction"` may stand beside it: they are then relative to the restriction.

    Parameters
    ----------
    identification : {"CCMV", "NCMV", "ACMV"}
        Donors of wave s: the complete cases; the neighbouring cases, seen up to s and not beyond; the available cases,
        seen at s at least. ACMV mixes the patterns' densities with weights α_j f_j(y_1 … y_s-1), which is the
        conditional density of all available cases together: one regression stands for it, as under MAR.
    sparse : {"refuse", "nearest"}
        What to do with a donor group that is empty or too small for its regression: refuse it, or add the nearest
        groups that have the wave, one by one, until it is large enough; the notes of the fit say which.

    Raises
    ------
    SpecError
        An unknown restriction.

    References
    ----------
    Little, R. (1993). Pattern-mixture models for multivariate incomplete data. JASA 88, 125-134 (CCMV).
    Molenberghs, G., Michiels, B., Kenward, M. & Diggle, P. (1998). Monotone missing data and pattern-mixture models.
    Statistica Neerlandica 52, 153-161 (ACMV is MAR on monotone patterns).
    Thijs, H., Molenberghs, G., Michiels, B., Verbeke, G. & Curran, D. (2002). Strategies to fit pattern-mixture models.
    Biostatistics 3, 245-265 (identifying restrictions by multiple imputation).
    SAS Institute, SAS/STAT User's Guide, PROC MI, MNAR statement, MODELOBS= (CCMV, NCMV and pooled groups).

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.PatternMixture(mk.Restriction("NCMV")))
    PatternMixture(Restriction NCMV)
    """

    identification: Identification
    sparse: Literal["refuse", "nearest"] = "refuse"

    def __post_init__(self) -> None:
        if self.identification not in _DONORS:
            raise SpecError(f"a Restriction is one of {', '.join(map(repr, _DONORS))}, not {self.identification!r}")
        if self.sparse not in ("refuse", "nearest"):
            raise SpecError(f"Restriction: sparse= is 'refuse' or 'nearest', not {self.sparse!r}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names: none, it is about all waves of the data model."""
        return ()

    @property
    def assumption(self) -> str:
        """The untestable assumption."""
        return (
            "a wave that is not seen, given the earlier waves and the predictors, is distributed as among the "
            f"{_DONORS[self.identification]}"
        )

    def __str__(self) -> str:
        nearest = ", nearest groups added to small ones" if self.sparse == "nearest" else ""
        return f"Restriction {self.identification}{nearest}"
