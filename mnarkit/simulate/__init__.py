"""Tables drawn from a spec at given parameters."""

from mnarkit.simulate.mechanisms import World, holes
from mnarkit.simulate.simulate import simulate

__all__ = ["World", "holes", "simulate"]
