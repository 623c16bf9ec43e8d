"""Proper multiple imputations from a posterior, and completed tables from elsewhere."""

from mnarkit.impute.completed import Completed
from mnarkit.impute.draw import impute
from mnarkit.impute.imputations import Imputations
from mnarkit.impute.read import read_imputations

__all__ = ["Completed", "Imputations", "impute", "read_imputations"]
