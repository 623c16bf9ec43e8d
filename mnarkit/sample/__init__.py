"""Draws from the posterior of a spec."""

from mnarkit.sample.sample import sample

__all__ = ["sample"]
