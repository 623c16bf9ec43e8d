"""Proper multiple imputations from a posterior."""

from mnarkit.impute.draw import impute
from mnarkit.impute.imputations import Imputations

__all__ = ["Imputations", "impute"]
