"""Links and default priors as rows of read-only tables.

Defaults are scale-free: they speak of standardised columns, per sd of a predictor and of the response.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mnarkit.priors import Prior

__all__ = ["DEFAULTS", "LINKS"]

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
    }
)
