"""What becomes of every unseen cell: left out of the likelihood, summed over values or points, or sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnarkit.errors import SpecError
from mnarkit.factored.columns import Coded
from mnarkit.factored.grid import Grid

__all__ = ["Block", "Roles", "blocks_of", "roles_of", "support_of"]

_MOST_TOGETHER, _MOST_ROWS = 4096, 3_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """The role of each cell, (n, p) bool, and the factors that stand in the likelihood, (n, factors) bool.

    A `leaf` is read by no other factor of its row, so that its density integrates to 1; a discrete cell that is read,
    or of which limits are known, is `summed` over its values, a continuous one over points where it is `pointwise`,
    and is `latent` otherwise. `pointwise` cells are among the summed ones.
    """

    leaf: np.ndarray
    summed: np.ndarray
    latent: np.ndarray
    active: np.ndarray
    pointwise: np.ndarray


def roles_of(
    coded: tuple[Coded, ...], reads: tuple[frozenset[int], ...], stepwise: Sequence[bool], limited: np.ndarray
) -> Roles:
    """Work from the last column back: a leaf takes its own factor out, which may make its predictors leaves.

    Parameters
    ----------
    coded : tuple of Coded
        The modelled columns, each after those by which it is explained; factor j is column j's, the rest indicators'.
    reads : tuple of frozenset of int
        The modelled columns that each factor reads besides its own response.
    stepwise : sequence of bool
        The columns whose unseen values are summed over points.
    limited : (n, p) bool array
        Cells of which limits are known.
    """
    n, p = len(coded[0].values), len(coded)
    unseen = np.column_stack([~c.seen for c in coded])
    active = np.ones((n, len(reads)), dtype=bool)
    leaf = np.zeros((n, p), dtype=bool)
    for j in reversed(range(p)):
        readers = [k for k, columns in enumerate(reads) if j in columns]
        leaf[:, j] = unseen[:, j] & ~limited[:, j] & ~active[:, readers].any(axis=1)
        active[leaf[:, j], j] = False
    discrete = np.array([c.family.discrete for c in coded])
    needed = unseen & ~leaf
    pointwise = needed & ~discrete & (np.array(stepwise, dtype=bool) | limited)
    return Roles(leaf, needed & discrete | pointwise, needed & ~discrete & ~pointwise, active, pointwise)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of the table, (m,), each with K candidates for its summed cells: (m, K, p), NaN where nothing is summed.

    `digits` (m, K, p) numbers the candidate values within the support, or the points, of their column; `log_weights`
    (m, K, p) are 0 for values, those of points, and -inf where limits rule a value out.
    """

    rows: np.ndarray
    candidates: np.ndarray
    digits: np.ndarray
    log_weights: np.ndarray


def blocks_of(
    coded: tuple[Coded, ...],
    summed: np.ndarray,
    grids: tuple[Grid | None, ...],
    limits: tuple[np.ndarray, np.ndarray],
) -> tuple[Block, ...]:
    """List every combination of values of a row's summed cells; rows with equally many stand together."""
    parts: dict[int, list[Block]] = {}
    for pattern in np.unique(summed, axis=0):
        columns = np.flatnonzero(pattern)
        if not len(columns):
            continue
        rows = np.flatnonzero((summed == pattern).all(axis=1))
        each = [_choices(coded[j], grids[j], rows, [end[rows, j] for end in limits]) for j in columns]
        size = int(np.prod([values.shape[1] for values, _ in each]))
        _check_size(coded, columns, size, rows)
        digits = np.stack(np.meshgrid(*(np.arange(v.shape[1]) for v, _ in each), indexing="ij"), axis=-1)
        digits = digits.reshape(size, len(columns))
        shape = (len(rows), size, len(coded))
        every, weights, numbered = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape[1:], dtype=np.int64)
        for i, j in enumerate(columns):
            every[:, :, j], weights[:, :, j] = (one[:, digits[:, i]] for one in each[i])
            numbered[:, j] = digits[:, i]
        parts.setdefault(size, []).append(Block(rows, every, np.broadcast_to(numbered, shape), weights))
    total = sum(b.candidates.shape[0] * size for size, blocks in parts.items() for b in blocks)
    if total > _MOST_ROWS:
        raise SpecError(
            f"the unseen values that are summed over have {total:,} combinations in all rows together, of at most "
            f"{_MOST_ROWS:,}; set a smaller largest count with bounds=(0, ...), or use fewer rows"
        )
    return tuple(_joined(parts[size]) for size in sorted(parts))


def _joined(blocks: list[Block]) -> Block:
    names = ("rows", "candidates", "digits", "log_weights")
    return Block(*(np.concatenate([getattr(b, f) for b in blocks]) for f in names))


def _choices(
    one: Coded, grid: Grid | None, rows: np.ndarray, limits: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Values of one column's summed cells and their log weights, (rows, K) each."""
    if grid is not None:
        at = np.searchsorted(grid.rows, rows)
        return grid.values[at], grid.log_weights[at]
    values = np.broadcast_to(support_of(one), (len(rows), len(support_of(one))))
    low, high = (end[:, None] for end in limits)
    return values, np.where((values < low) | (values > high), -np.inf, 0.0)


def _check_size(coded: tuple[Coded, ...], columns: np.ndarray, size: int, rows: np.ndarray) -> None:
    if size > _MOST_TOGETHER:
        names = ", ".join(repr(coded[j].column) for j in columns)
        raise SpecError(
            f"{len(rows)} rows lack {names} together, whose values have {size:,} combinations of at most "
            f"{_MOST_TOGETHER:,}; {_fix(coded, columns)}"
        )


def _fix(coded: tuple[Coded, ...], columns: np.ndarray) -> str:
    if all(coded[j].family.discrete for j in columns):
        return "merge levels, set a smaller largest count with bounds=(0, ...), or take a continuous family"
    return "let thresholds, splines and limits read fewer of them, or leave those rows out"


def support_of(one: Coded) -> np.ndarray:
    """List the values that an unseen discrete cell can have; counts up to a bound far above the recorded ones."""
    return np.arange(one.bounds[1] + 1)
