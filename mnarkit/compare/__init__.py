"""One estimand under several beliefs, side by side."""

from mnarkit.compare.compare import compare
from mnarkit.compare.comparison import Comparison

__all__ = ["Comparison", "compare"]
