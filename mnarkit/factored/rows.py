"""The rows on which a factor is computed: once for every value of the summed cells that it reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnarkit.factored.cells import Block

__all__ = ["FactorRows", "rows_of"]


@dataclass(frozen=True, slots=True, eq=False)
class FactorRows:
    """Own rows of a factor: the row of the table, (N,), and what stands in its summed cells, (N, p), NaN elsewhere.

    `log_weights` (N, p) are those of the values, 0 elsewhere.

    The first `direct` read no summed cell. `maps` gives, by block, the place of each candidate among the others,
    (m, K), and their number where the factor has no part in it.
    """

    row: np.ndarray
    values: np.ndarray
    log_weights: np.ndarray
    direct: int
    maps: tuple[np.ndarray, ...]


def rows_of(active: np.ndarray, columns: Sequence[int], summed: np.ndarray, blocks: tuple[Block, ...]) -> FactorRows:
    """Find the own rows of a factor that reads `columns`, where it is `active`, (n,) bool."""
    direct = np.flatnonzero(active & ~summed[:, list(columns)].any(axis=1))
    nothing = np.full((len(direct), summed.shape[1]), np.nan)
    none = np.zeros(nothing.shape)
    if not blocks:
        return FactorRows(direct, nothing, none, len(direct), ())
    radix = np.max([b.digits.max(axis=(0, 1)) for b in blocks], axis=0) + 1
    keys, values, weights = zip(*(_keyed(b, active, list(columns), summed, radix) for b in blocks), strict=True)
    every = np.concatenate([k.ravel() for k in keys])
    found, first, place = np.unique(every[every >= 0], return_index=True, return_inverse=True)
    at = np.full(len(every), len(found), dtype=np.int64)
    at[every >= 0] = place
    edges = np.cumsum([k.size for k in keys])[:-1]
    maps = tuple(m.reshape(k.shape) for m, k in zip(np.split(at, edges), keys, strict=True))
    held, weighed = (
        np.concatenate([v.reshape(-1, v.shape[-1]) for v in each])[every >= 0][first] for each in (values, weights)
    )
    rows = np.concatenate([np.repeat(b.rows, b.candidates.shape[1]) for b in blocks])[every >= 0][first]
    row, held, weighed = (np.concatenate(pair) for pair in ((direct, rows), (nothing, held), (none, weighed)))
    return FactorRows(row, held, weighed, len(direct), maps)


def _keyed(
    block: Block, active: np.ndarray, columns: list[int], summed: np.ndarray, radix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number what a factor reads of each candidate, (m, K), -1 where nothing; its values and weights, (m, K, p)."""
    here = summed[block.rows]
    relevant = np.zeros_like(here)
    relevant[:, columns] = here[:, columns]
    key = np.repeat(block.rows[:, None], block.candidates.shape[1], axis=1).astype(np.int64)
    for j in columns:
        key = key * radix[j] + block.digits[:, :, j] * relevant[:, None, j]
    key[~(active[block.rows] & relevant.any(axis=1))] = -1
    weights = np.where(relevant[:, None, :], block.log_weights, 0.0)
    return key, np.where(relevant[:, None, :], block.candidates, np.nan), weights
