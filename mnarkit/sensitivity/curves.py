"""Curve: what an analysis pools to at any point of the assumptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mnarkit.estimates import Estimates
from mnarkit.pool import Pooled
from mnarkit.sensitivity.source import Source

__all__ = ["COLUMNS", "Curve", "Stack", "stacked"]

COLUMNS = ("estimate", "std_error", "dof", "statistic", "p_value", "ci_low", "ci_high")
COLUMNS += ("within", "between", "total", "riv", "lambda_", "fmi", "fmi_rubin", "mc_error")


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Pooled numbers of G points by name, (G, k) each, and how the points were reached."""

    columns: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @classmethod
    def of(cls, pooled: Pooled) -> "Stack":
        """Of a `Pooled` whose arrays have a first axis for the points."""
        return cls({name: np.atleast_2d(getattr(pooled, name)) for name in COLUMNS})


def stacked(parts: Sequence[Stack]) -> Stack:
    """Put points under one another."""
    return Stack({name: np.concatenate([part[name] for part in parts]) for name in COLUMNS})


class Curve(Protocol):
    """An analysis over the points of a `Source`."""

    @property
    def source(self) -> Source:
        """The imputations."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the k terms."""
        ...

    @property
    def how(self) -> str:
        """How points are reached, in a few words."""
        ...

    def pooled(self, points: np.ndarray, level: float) -> Stack:
        """Pool at every point, (G, axes)."""
        ...

    def estimates(self, point: Sequence[float]) -> Estimates:
        """The m estimates at one point."""
        ...
