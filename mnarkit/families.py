"""Links and default priors as rows of read-only tables.

Defaults are scale-free: they speak of standardised columns, per sd of a predictor and of the response.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mnarkit.priors import Prior

__all__ = ["DEFAULTS"]

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
