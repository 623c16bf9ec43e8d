"""Which cells are missing together: patterns, their order, dropout, and how columns connect."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.explore.columns import Column

__all__ = ["HolePatterns", "dropout", "find_patterns", "flux", "monotone_order", "pattern_means", "pattern_table"]

_WORD = 63  # bits of a key that is a whole number


@dataclass(frozen=True, slots=True, eq=False)
class HolePatterns:
    """The distinct rows of the mask of a table, the commonest first.

    Attributes
    ----------
    names : tuple of str
        The columns.
    seen : (G, p) bool array
        Which columns pattern g has.
    count : (G,) int array
        Rows of each pattern.
    which : (n,) int array
        The pattern of each row.
    """

    names: tuple[str, ...]
    seen: np.ndarray
    count: np.ndarray
    which: np.ndarray


def find_patterns(columns: Sequence[Column]) -> HolePatterns:
    """Group rows by their exact mask: by count, then fewest holes, then first columns seen."""
    which = np.zeros(len(columns[0].seen), dtype=np.int64)
    for start in range(0, len(columns), _WORD):
        key = np.zeros(len(which), dtype=np.int64)
        for bit, column in enumerate(columns[start : start + _WORD]):
            key |= column.seen.astype(np.int64) << bit
        codes = pd.factorize(key)[0]
        which = pd.factorize(which * (codes.max() + 1) + codes)[0]
    count = np.bincount(which)
    first = np.zeros(len(count), dtype=np.int64)
    first[which[::-1]] = np.arange(len(which))[::-1]
    seen = np.column_stack([column.seen[first] for column in columns])
    order = np.lexsort([*(~seen).T[::-1], (~seen).sum(axis=1), -count])
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return HolePatterns(tuple(c.name for c in columns), seen[order], count[order], place[which])


def pattern_table(patterns: HolePatterns) -> pd.DataFrame:
    """Columns `pattern` (from 1), `count`, `share`, `n_missing`, `missing` (the names)."""
    names = patterns.names
    holes = [", ".join(n for n, hole in zip(names, row, strict=True) if hole) for row in (~patterns.seen).tolist()]
    return pd.DataFrame(
        {
            "pattern": np.arange(1, len(holes) + 1),
            "count": patterns.count,
            "share": patterns.count / patterns.count.sum(),
            "n_missing": (~patterns.seen).sum(axis=1),
            "missing": holes,
        }
    )


def pattern_means(columns: Sequence[Column], patterns: HolePatterns) -> pd.DataFrame:
    """Means of the recorded numbers within each pattern, NaN where unseen, as PROC MI prints them."""
    means = {}
    for j, column in enumerate(columns):
        if column.is_number:
            sums = np.bincount(patterns.which, np.where(column.seen, column.values, 0.0), len(patterns.count))
            means[column.name] = np.where(patterns.seen[:, j], sums / patterns.count, np.nan)
    return pd.DataFrame(means, index=pd.RangeIndex(1, len(patterns.count) + 1, name="pattern"))


def monotone_order(patterns: HolePatterns) -> tuple[str, ...] | None:
    """Order the columns so that whoever misses one misses all later ones; None where there is no such order.

    There is one if and only if the sets of seen columns form a chain; equals keep the table's order.
    """
    seen = patterns.seen
    chain = seen[np.argsort(seen.sum(axis=1), kind="stable")]
    if (chain[:-1] & ~chain[1:]).any():
        return None
    order = np.argsort(-(patterns.count @ seen), kind="stable")
    return tuple(patterns.names[j] for j in order)


def dropout(patterns: HolePatterns) -> pd.DataFrame | None:
    """Who leaves at each wave: the columns with holes in the table's order, if the patterns are monotone in it.

    Columns that are always missing together are one wave, in the place of the first.

    Returns
    -------
    DataFrame or None
        Columns `wave` (names), `at_risk` (seen at every wave before), `left` (not seen from here on), `share` (of all
        rows), `hazard` (of those at risk); None where the holes are not those of dropout, or there are not two waves.
    """
    holed = np.flatnonzero((~patterns.seen).any(axis=0) & patterns.seen.any(axis=0))
    waves: dict[bytes, list[int]] = {}
    for j in holed:
        waves.setdefault(patterns.seen[:, j].tobytes(), []).append(int(j))
    seen = patterns.seen[:, [members[0] for members in waves.values()]]
    if len(waves) < 2 or (seen[:, 1:] & ~seen[:, :-1]).any():
        return None
    stayed = patterns.count @ seen
    total = int(patterns.count.sum())
    at_risk = np.concatenate([[total], stayed[:-1]])
    left = at_risk - stayed
    hazard = np.divide(left, at_risk, out=np.zeros(len(left)), where=at_risk > 0)
    names = [", ".join(patterns.names[j] for j in members) for members in waves.values()]
    return pd.DataFrame({"wave": names, "at_risk": at_risk, "left": left, "share": left / total, "hazard": hazard})


def flux(patterns: HolePatterns) -> pd.DataFrame:
    """Influx and outflux of each column (van Buuren 2018, section 4.1.3).

    With r_ij = 1 where row i has column j: I_j = Σ_ik (1 - r_ij) r_ik / Σ_ik r_ik, how well the holes of j connect to
    recorded cells, and O_j = Σ_ik r_ij (1 - r_ik) / Σ_ik (1 - r_ik), how well its recorded cells connect to holes.

    Returns
    -------
    DataFrame
        Columns `column`, `influx`, `outflux` (NaN in a table without holes, and without anything recorded).
    """
    seen, count = patterns.seen.astype(float), patterns.count
    per_row = seen.sum(axis=1)
    recorded, missing = count @ per_row, count @ (seen.shape[1] - per_row)
    influx = (count * per_row) @ (1 - seen)
    outflux = (count * (seen.shape[1] - per_row)) @ seen
    return pd.DataFrame(
        {
            "column": patterns.names,
            "influx": influx / recorded if recorded else np.nan,
            "outflux": outflux / missing if missing else np.nan,
        }
    )
