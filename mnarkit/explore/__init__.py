"""Look at the holes of a table before anything is fitted to it."""

from mnarkit.explore.exploration import Exploration
from mnarkit.explore.explore import explore
from mnarkit.explore.mcar import NO_TEST, LittleTest

__all__ = ["NO_TEST", "Exploration", "LittleTest", "explore"]
