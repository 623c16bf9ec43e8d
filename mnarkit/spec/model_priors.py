"""Priors that a data model takes, by name."""

from collections.abc import Mapping

from mnarkit.errors import SpecError
from mnarkit.priors import Prior, PriorItems, prior_items

__all__ = ["RANDOM_PRIORS", "Priors", "model_priors"]

RANDOM_PRIORS = ("random_sd", "random_corr")

type Priors = Mapping[str, Prior] | tuple[tuple[str, Prior], ...] | None

_PRIORS = {
    "coef": "a slope",
    "intercept": "an intercept",
    "sd": "a residual sd",
    "corr": "the residual correlations",
    "scale": "a residual scale",
    "df": "the degrees of freedom, less 1",
    "skew": "the skewness",
    "cv": "the coefficient of variation",
    "spread": "the sd as a share of its largest",
    "random_sd": "the sds of random terms",
    "random_corr": "the correlations of random terms",
}
_HALF = ("half_normal", "half_student_t")
_FAMILIES = {"sd": _HALF, "scale": _HALF, "cv": _HALF, "corr": ("lkj",), "df": ("gamma",), "spread": ("uniform",)}
_FAMILIES |= {"random_sd": _HALF, "random_corr": ("lkj",)}


def model_priors(
    priors: Priors, what: str, *, names: tuple[str, ...] = ("coef", "intercept", "sd", "corr")
) -> PriorItems:
    """Check the priors of a data model, as sorted items.

    Raises
    ------
    SpecError
        A name that the model lacks, or a family that does not go with it.
    """
    items = prior_items(priors, what)
    known = {name: _PRIORS[name] for name in names}
    for name, prior in items:
        if name not in known:
            raise SpecError(f"{what} has no prior {name!r}; it has {', '.join(known)}")
        if not isinstance(prior, Prior):
            raise SpecError(f"{what}: the prior of {known[name]} is a Prior, not {prior!r}")
        wanted = _FAMILIES.get(name, ("normal", "student_t"))
        if prior.family not in wanted:
            raise SpecError(f"{what}: the prior of {known[name]} is {' or '.join(wanted)}, not {prior.family!r}")
        if name == "intercept" and prior.unit == "raw":
            raise SpecError(
                f"{what}: the intercept's prior is at the centre of the predictors, in sd; unit='raw' is not for it"
            )
        if name == "spread" and not 0 <= prior.values[0] < prior.values[1] <= 1:
            raise SpecError(f"{what}: the prior of {known[name]} lies inside [0, 1], not {prior!r}")
    return items
