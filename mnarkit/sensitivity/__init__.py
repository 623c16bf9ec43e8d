"""How conclusions move with assumptions that no data can tell, and how far these must go to overturn them."""

from mnarkit.sensitivity.grid import Grid
from mnarkit.sensitivity.isni import LocalSensitivity, isni
from mnarkit.sensitivity.result import Sensitivity
from mnarkit.sensitivity.sensitivity import sensitivity
from mnarkit.sensitivity.tipping import tipping_point
from mnarkit.sensitivity.tipping_result import TippingPoint

__all__ = ["Grid", "LocalSensitivity", "Sensitivity", "TippingPoint", "isni", "sensitivity", "tipping_point"]
