"""From a spec to a PyMC model."""

from mnarkit.build.model import Built, build, build_parts

__all__ = ["Built", "build", "build_parts"]
