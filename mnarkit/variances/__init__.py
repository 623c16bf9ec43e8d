"""Variances of one estimate by several methods, side by side."""

from mnarkit.variances.result import Variances
from mnarkit.variances.variances import variances

__all__ = ["Variances", "variances"]
