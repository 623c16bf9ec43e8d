"""Families, links and default priors as rows of read-only tables.

Defaults are scale-free: they speak of standardised columns, per sd of a predictor and of the response.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mnarkit.priors import Prior

__all__ = ["DEFAULTS", "FAMILIES", "LINKS", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of a response given its predictors.

    Attributes
    ----------
    name, link : str
        The family, and the one link that it has.
    support : {"real", "positive", "interval", "binary", "levels", "counts"}
        Where its values lie; `interval` is (0, 1), or the declared bounds.
    auxiliary : tuple of str
        Its parameters besides the coefficients.
    says : str
        The family in words.
    """

    name: str
    link: str
    support: str
    auxiliary: tuple[str, ...]
    says: str

    @property
    def discrete(self) -> bool:
        """Whether its values can be summed over."""
        return self.support in ("binary", "levels", "counts")

    @property
    def standard(self) -> bool:
        """Whether coefficients and auxiliary parameters are per sd of the response."""
        return self.link == "identity"


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        f.name: f
        for f in (
            Family("normal", "identity", "real", ("sd",), "normal residuals"),
            Family("student_t", "identity", "real", ("scale", "df"), "Student t residuals"),
            Family("skew_normal", "identity", "real", ("sd", "skew"), "skew normal residuals"),
            Family("lognormal", "identity", "positive", ("sd",), "normal residuals of the logarithm"),
            Family("bernoulli", "logit", "binary", (), "Bernoulli, logit link"),
            Family("ordinal", "cumulative logit", "levels", ("cutpoints",), "ordinal, cumulative logit link"),
            Family("categorical", "softmax", "levels", (), "categorical, softmax of one predictor a level"),
            Family("poisson", "log", "counts", (), "Poisson, log link"),
            Family("negative_binomial", "log", "counts", ("cv",), "negative binomial, log link"),
            Family("gamma", "log", "positive", ("cv",), "gamma, log link"),
            Family("beta", "logit", "interval", ("spread",), "beta, logit link"),
        )
    }
)

# Monahan & Stefanski (1992), Table 2.1, k = 8: expit(x) = Σ p_j Φ(s_j x), absolute error below 3e-9;
# the relative error grows for x < -15
LINKS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "probit": ((1.0,), (1.0,)),
    "logit": (
        (
            0.003246343272134,
            0.051517477033972,
            0.195077912673858,
            0.315569823632818,
            0.274149576158423,
            0.131076880695470,
            0.027912418727972,
            0.001449567805354,
        ),
        (
            1.365340806296348,
            1.059523971016916,
            0.830791313765644,
            0.650732166639391,
            0.508135425366489,
            0.396313345166341,
            0.308904252267995,
            0.238212616409306,
        ),
    ),
}

DEFAULTS: Mapping[Any, Prior] = MappingProxyType(
    {
        "coef": Prior("normal", 0, 10),
        "intercept": Prior("normal", 0, 10),
        "sd": Prior("half_student_t", 3, 2.5),
        "corr": Prior("lkj", 1),
        ("probit", "slope"): Prior("normal", 0, 1.5),
        ("probit", "intercept"): Prior("normal", 0, 3),
        ("logit", "slope"): Prior("normal", 0, 2.5),
        ("logit", "intercept"): Prior("normal", 0, 5),
        "rho": Prior("normal", 0, 1),  # of atanh ρ
        ("log", "slope"): Prior("normal", 0, 2.5),
        ("log", "intercept"): Prior("normal", 0, 5),  # around the log of the mean
        ("softmax", "slope"): Prior("normal", 0, 2.5),
        ("softmax", "intercept"): Prior("normal", 0, 5),
        ("cumulative logit", "slope"): Prior("normal", 0, 2.5),
        "scale": Prior("half_student_t", 3, 2.5),
        "df": Prior("gamma", 2, 0.1),  # of df - 1
        "skew": Prior("normal", 0, 3),
        "cv": Prior("half_student_t", 3, 1),
        "spread": Prior("uniform", 0, 1),
        "random_sd": Prior("half_student_t", 3, 2.5),
        ("probit", "random_sd"): Prior("half_student_t", 3, 1.5),
    }
)
