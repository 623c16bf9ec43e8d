"""Priors as values: a family, its numbers, and the unit in which they are meant."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from mnarkit.errors import SpecError

__all__ = [
    "AMOUNT_FAMILIES",
    "PRIOR_FAMILIES",
    "Prior",
    "PriorUnit",
    "as_amount",
    "centre",
    "is_finite_number",
    "prior_items",
    "prior_table",
]

type PriorUnit = Literal["sd", "raw"]
type Amount = float | Prior
type PriorItems = tuple[tuple[str, Amount], ...]

# family -> the names of its values; those in `positive` must be above 0
PRIOR_FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "normal": ("mean", "sd"),
        "student_t": ("df", "mean", "scale"),
        "uniform": ("low", "high"),
        "half_normal": ("sd",),
        "half_student_t": ("df", "scale"),
        "lkj": ("eta",),
        "gamma": ("shape", "rate"),
    }
)
AMOUNT_FAMILIES = ("normal", "student_t", "uniform")
_POSITIVE = frozenset({"sd", "scale", "df", "eta", "shape", "rate"})


@dataclass(frozen=True, slots=True, init=False)
class Prior:
    """A prior distribution: `Prior("normal", mean, sd)`.

    Parameters
    ----------
    family : str
        `normal` (mean, sd), `student_t` (df, mean, scale), `uniform` (low, high), `half_normal` (sd),
        `half_student_t` (df, scale), `lkj` (eta, for a correlation matrix alone) or `gamma` (shape, rate, for degrees
        of freedom alone).
    *values : float
        The numbers of the family, in that order.
    unit : {"sd", "raw"}
        For coefficients and standard deviations: `sd` per standard deviation of the predictor and of the response
        (scale-free), `raw` in the columns' own units. An amount (`Shift`, `Scale`) has its own unit instead.

    Raises
    ------
    SpecError
        An unknown family or unit, a wrong number of values, or a scale that is not positive.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Prior("normal", 0, 0.5)
    Prior('normal', 0.0, 0.5)
    """

    family: str
    values: tuple[float, ...]
    unit: PriorUnit = "sd"

    def __init__(self, family: str, *values: float, unit: PriorUnit = "sd") -> None:
        names = PRIOR_FAMILIES.get(family)
        if names is None:
            raise SpecError(f"the prior family {family!r} is not known; use one of {', '.join(PRIOR_FAMILIES)}")
        if unit not in ("sd", "raw"):
            raise SpecError(f"the unit of a prior is 'sd' or 'raw', not {unit!r}")
        if len(values) != len(names) or not all(is_finite_number(v) for v in values):
            raise SpecError(f"a {family} prior takes {len(names)} finite numbers ({', '.join(names)}), not {values!r}")
        bad = [n for n, v in zip(names, values, strict=True) if n in _POSITIVE and not v > 0]
        if bad:
            raise SpecError(f"the {bad[0]} of a {family} prior must be above 0, not {values[names.index(bad[0])]!r}")
        if family == "uniform" and not values[0] < values[1]:
            raise SpecError(f"a uniform prior needs low < high, not {values[0]!r} and {values[1]!r}")
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "values", tuple(float(v) for v in values))
        object.__setattr__(self, "unit", unit)

    def __repr__(self) -> str:
        unit = "" if self.unit == "sd" else f", unit={self.unit!r}"
        return f"Prior({self.family!r}, {', '.join(map(repr, self.values))}{unit})"

    def draw(self, rng: np.random.Generator, size: int | None = None) -> np.ndarray | float:
        """Independent draws of an amount; only for `normal`, `student_t` and `uniform`."""
        match self.family:
            case "normal":
                mean, sd = self.values
                return rng.normal(mean, sd, size=size)
            case "uniform":
                low, high = self.values
                return rng.uniform(low, high, size=size)
            case "student_t":
                df, mean, scale = self.values
                return mean + scale * rng.standard_t(df, size=size)
        raise SpecError(f"a {self.family} prior cannot be the prior of an amount; use one of {AMOUNT_FAMILIES}")


def centre(value: Amount) -> float:
    """Take a number as it is, a prior of an amount at its mean (its median, if it has no mean)."""
    if not isinstance(value, Prior):
        return float(value)
    match value.family:
        case "normal":
            return value.values[0]
        case "student_t":
            return value.values[1]
    return sum(value.values) / 2


def as_amount(value: Amount, what: str) -> Amount:
    """Check a finite number, returned as float, or a prior that an amount may have."""
    if isinstance(value, Prior):
        if value.family not in AMOUNT_FAMILIES:
            raise SpecError(f"{what} takes a number or a prior of {', '.join(AMOUNT_FAMILIES)}, not {value!r}")
        return value
    if not is_finite_number(value):
        raise SpecError(f"{what} takes a finite number or a Prior, not {value!r}")
    return float(value)


def prior_items(priors: Mapping[str, Amount] | PriorItems | None, what: str) -> PriorItems:
    """Priors and fixed values by parameter name, as a sorted tuple, so that a spec can be hashed.

    Raises
    ------
    SpecError
        A name that is not text or that stands twice, or a value that is neither a prior nor a number.
    """
    items = [] if priors is None else list(priors.items() if isinstance(priors, Mapping) else priors)
    names = [name for name, _ in items]
    checked = []
    for name, value in items:
        if not isinstance(name, str):
            raise SpecError(f"{what}: the priors are named by parameter, not by {name!r}")
        if names.count(name) > 1:
            raise SpecError(f"{what} has {names.count(name)} priors of {name!r}; give each parameter one")
        if not isinstance(value, Prior) and not is_finite_number(value):
            raise SpecError(f"{what}: the prior of {name!r} is a Prior or a number that fixes it, not {value!r}")
        checked.append((name, value if isinstance(value, Prior) else float(value)))
    return tuple(sorted(checked, key=lambda item: item[0]))


def prior_table[P](priors: Mapping[str, P] | tuple[tuple[str, P], ...] | None) -> dict[str, P]:
    """Look up by name what a `priors` field holds: pairs once the spec is made, a mapping or None as it was given."""
    return dict(priors or ())


def is_finite_number(value: object) -> bool:
    """Tell whether a value is a finite number, and not a truth value."""
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )
