"""Where the completed tables of every point come from: one set of random numbers for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mnarkit.fit import Fit
from mnarkit.impute import Imputations, impute
from mnarkit.sensitivity.grid import Axis, belief_at
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference

__all__ = ["Late", "Moved", "Redrawn", "Source", "source_of"]

type Late = PatternMixture | Reference

_SAME = 1e-9  # of a column's largest value: what is affine differs by rounding alone
_ASIDE = (0.37, 0.71)  # a point in the middle of the ranges, where nothing is simple by accident


class Source(Protocol):
    """Imputations at any point."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What is varied."""
        ...

    def at(self, values: Sequence[float]) -> Imputations:
        """Complete the tables at one point."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """y(δ) = y₀ + Σ δ_a d_a: the unseen cells are affine in the amounts, so they are drawn once.

    Attributes
    ----------
    base : Imputations
        At the neutral point.
    axes : tuple of Axis
        What is varied.
    slopes : tuple of mapping of str to (m, holes) array
        By axis and column, what one unit does to each hole.
    """

    base: Imputations
    axes: tuple[Axis, ...]
    slopes: tuple[Mapping[str, np.ndarray], ...]

    @property
    def moves(self) -> frozenset[str]:
        """The columns that move."""
        return frozenset(c for slopes in self.slopes for c, d in slopes.items() if d.any())

    def steps(self, values: Sequence[float]) -> np.ndarray:
        """How far a point is from the neutral one, by axis."""
        return np.array([value - axis.neutral for axis, value in zip(self.axes, values, strict=True)])

    def at(self, values: Sequence[float]) -> Imputations:
        """Move the cells of every imputation to one point."""
        steps = self.steps(values)
        cells = {
            column: base + sum(step * slopes[column] for step, slopes in zip(steps, self.slopes, strict=True))
            for column, base in self.base.cells.items()
        }
        return replace(self.base, cells=cells, under=(*self.base.under, belief_at(self.axes, values)))


@dataclass(frozen=True, slots=True, eq=False)
class Redrawn:
    """Cells that are not affine in the amounts: imputed again at each point, with the same random numbers."""

    fit: Fit
    axes: tuple[Axis, ...]
    m: int
    seed: int
    under: tuple[Late, ...]

    def at(self, values: Sequence[float]) -> Imputations:
        """Impute at one point."""
        return impute(self.fit, self.m, seed=self.seed, under=(*self.under, belief_at(self.axes, values)))


def source_of(fit: Fit, axes: tuple[Axis, ...], m: int, seed: int, under: Sequence[Late]) -> Source:
    """Impute at the neutral point and at one end of each axis, and once more aside to see whether cells are affine."""
    redrawn = Redrawn(fit, axes, m, seed, tuple(under))
    neutral = [axis.neutral for axis in axes]
    base = replace(redrawn.at(neutral), under=tuple(under))
    ends = [_end(axis) for axis in axes]
    slopes = []
    for a, (axis, end) in enumerate(zip(axes, ends, strict=True)):
        there = redrawn.at([end if b == a else value for b, value in enumerate(neutral)])
        slopes.append({c: (there.cells[c] - base.cells[c]) / (end - axis.neutral) for c in base.cells})
    moved = Moved(base, axes, tuple(slopes))
    aside = [n + share * (e - n) for n, e, share in zip(neutral, ends, _ASIDE, strict=False)]
    return moved if _alike(moved.at(aside), redrawn.at(aside)) else redrawn


def _end(axis: Axis) -> float:
    """The end of the range that is farthest from neutral: slopes are then rounded least."""
    end = max((axis.grid.low, axis.grid.high), key=lambda value: abs(value - axis.neutral))
    return end if end != axis.neutral else axis.neutral + 1.0


def _alike(one: Imputations, other: Imputations) -> bool:
    pairs: Iterable[tuple[np.ndarray, np.ndarray]] = ((one.cells[c], other.cells[c]) for c in one.cells)
    return all(np.allclose(a, b, rtol=0, atol=_SAME * max(np.abs(a).max(initial=0), 1e-300)) for a, b in pairs)
