"""From a spec to a PyMC model."""

from mnarkit.build.factored import BuiltFactored, build_factored
from mnarkit.build.model import Built, build, build_parts

__all__ = ["Built", "BuiltFactored", "build", "build_factored", "build_parts"]
