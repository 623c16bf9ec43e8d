"""What becomes of every unseen cell: left out of the likelihood, summed over its values, or sampled."""

from dataclasses import dataclass

import numpy as np

from mnarkit.errors import SpecError
from mnarkit.factored.columns import Coded

__all__ = ["Block", "Roles", "blocks_of", "roles_of", "support_of"]

_MOST_TOGETHER, _MOST_ROWS = 4096, 3_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """The role of each cell, (n, p) bool, and the factors that stand in the likelihood, (n, factors) bool.

    A `leaf` is read by no other factor of its row, so that its density integrates to 1; a discrete cell that is read is
    `summed` over its values, a continuous one is `latent`.
    """

    leaf: np.ndarray
    summed: np.ndarray
    latent: np.ndarray
    active: np.ndarray


def roles_of(coded: tuple[Coded, ...], reads: tuple[frozenset[int], ...]) -> Roles:
    """Work from the last column back: a leaf takes its own factor out, which may make its predictors leaves.

    Parameters
    ----------
    coded : tuple of Coded
        The modelled columns, each after those by which it is explained; factor j is column j's, the rest indicators'.
    reads : tuple of frozenset of int
        The modelled columns that each factor reads besides its own response.
    """
    n, p = len(coded[0].values), len(coded)
    unseen = np.column_stack([~c.seen for c in coded])
    active = np.ones((n, len(reads)), dtype=bool)
    leaf = np.zeros((n, p), dtype=bool)
    for j in reversed(range(p)):
        readers = [k for k, columns in enumerate(reads) if j in columns]
        leaf[:, j] = unseen[:, j] & ~active[:, readers].any(axis=1)
        active[leaf[:, j], j] = False
    discrete = np.array([c.family.discrete for c in coded])
    needed = unseen & ~leaf
    return Roles(leaf, needed & discrete, needed & ~discrete, active)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of the table, (m,), each with K candidates for its summed cells: (m, K, p), NaN where nothing is summed.

    `digits` (m, K, p) numbers the candidate values within the support of their column.
    """

    rows: np.ndarray
    candidates: np.ndarray
    digits: np.ndarray


def blocks_of(coded: tuple[Coded, ...], summed: np.ndarray) -> tuple[Block, ...]:
    """List every combination of values of a row's summed cells; rows with equally many stand together."""
    parts: dict[int, list[Block]] = {}
    for pattern in np.unique(summed, axis=0):
        columns = np.flatnonzero(pattern)
        if not len(columns):
            continue
        rows = np.flatnonzero((summed == pattern).all(axis=1))
        supports = [support_of(coded[j]) for j in columns]
        size = int(np.prod([len(s) for s in supports]))
        _check_size(coded, columns, size, rows)
        digits = np.stack(np.meshgrid(*(np.arange(len(s)) for s in supports), indexing="ij"), axis=-1)
        digits = digits.reshape(size, len(columns))
        every = np.full((size, len(coded)), np.nan)
        numbered = np.zeros((size, len(coded)), dtype=np.int64)
        for i, j in enumerate(columns):
            every[:, j], numbered[:, j] = supports[i][digits[:, i]], digits[:, i]
        shape = (len(rows), size, len(coded))
        parts.setdefault(size, []).append(Block(rows, np.broadcast_to(every, shape), np.broadcast_to(numbered, shape)))
    total = sum(b.candidates.shape[0] * size for size, blocks in parts.items() for b in blocks)
    if total > _MOST_ROWS:
        raise SpecError(
            f"the unseen discrete values have {total:,} combinations in all rows together, of at most {_MOST_ROWS:,}; "
            "set a smaller largest count with bounds=(0, ...), or use fewer rows"
        )
    return tuple(_joined(parts[size]) for size in sorted(parts))


def _joined(blocks: list[Block]) -> Block:
    return Block(*(np.concatenate([getattr(b, f) for b in blocks]) for f in ("rows", "candidates", "digits")))


def _check_size(coded: tuple[Coded, ...], columns: np.ndarray, size: int, rows: np.ndarray) -> None:
    if size > _MOST_TOGETHER:
        names = ", ".join(repr(coded[j].column) for j in columns)
        raise SpecError(
            f"{len(rows)} rows lack {names} together, whose values have {size:,} combinations of at most "
            f"{_MOST_TOGETHER:,}; merge levels, set a smaller largest count with bounds=(0, ...), or take a "
            "continuous family"
        )


def support_of(one: Coded) -> np.ndarray:
    """List the values that an unseen discrete cell can have; counts up to a bound far above the recorded ones."""
    return np.arange(one.bounds[1] + 1)
