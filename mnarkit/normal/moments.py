"""A table under MAR reduced to what the normal likelihood reads: a few pseudo-rows per pattern of holes.

Cross-products Σ z z' of a pattern's rows equal R'R of at most as many pseudo-rows R as z has entries, so n rows become
min(n, entries) pseudo-rows a pattern, and nothing after this pass depends on n. Patterns are told apart by their bits.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import lazy_loader
import numpy as np

from mnarkit.normal.patterns import group_rows

__all__ = ["Moments", "Origin", "Raw", "add", "gather", "moments", "raw_of"]

# Numba takes seconds to import; small tables do without it
_kernel: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.normal", submod_attrs={"reduction": ["compress", "reduce_rows"]}
)[0]
_SMALL = 100_000  # cells of a table below which NumPy is quicker than loading Numba
_HEAD = 4096  # rows that the provisional origin is taken from
_THREADS = min(4, os.cpu_count() or 1)
_MERGE = 200_000  # pseudo-rows that are kept apart before partial results are merged

type Block = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Standardised columns of the rows in which something is seen, reduced to pseudo-rows.

    Attributes
    ----------
    columns, terms : tuple of str
        The modelled columns y, and the predictors x of the data model.
    seen : (G, p) bool array
        Patterns, in a fixed order.
    count : (G,) int array
        Rows of each.
    rows, start : (R, q + p), (G + 1,) arrays
        Pseudo-rows of z = (x @ x_map, (y - center) / scale), unseen entries 0;
        pattern g has rows[start[g]:start[g + 1]].
    center, scale : (p,) arrays
        Recorded mean (0 if the predictors have no intercept) and standard deviation of each column.
    x_map : (q, q) array
        Turns predictors into standardised ones.
    n_empty : int
        Rows in which no modelled column is seen: left out, counted.
    """

    columns: tuple[str, ...]
    terms: tuple[str, ...]
    seen: np.ndarray
    count: np.ndarray
    rows: np.ndarray
    start: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    x_map: np.ndarray
    n_empty: int

    @property
    def n(self) -> int:
        """Rows used."""
        return int(self.count.sum())

    @property
    def pattern_of_row(self) -> np.ndarray:
        """The pattern of each pseudo-row, (R,)."""
        return np.repeat(np.arange(len(self.count)), np.diff(self.start))

    def products(self, which: np.ndarray | None = None) -> np.ndarray:
        """Σ z z' over all rows of the patterns chosen, (q + p, q + p)."""
        rows = self.rows if which is None else self.rows[which[self.pattern_of_row]]
        return rows.T @ rows


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where partial sums are centered, and how they are scaled, (q' + p,): near the mean, against cancellation."""

    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def near(cls, x: np.ndarray, y: np.ndarray) -> "Origin":
        """Take the first rows' means and standard deviations."""
        head = np.hstack([x[:_HEAD], y[:_HEAD]])
        known = np.isfinite(head)
        n = np.maximum(known.sum(axis=0), 1)
        head = np.where(known, head, 0.0)
        center = (head / n).sum(axis=0)
        gap = np.where(known, head - center, 0.0)
        most = np.abs(gap).max(axis=0, initial=0.0)
        most = np.where(most > 0, most, 1.0)  # squares of what is extreme would be infinite, or nothing
        sd = most * np.sqrt(np.square(gap / most).sum(axis=0) / n)
        return cls(center, np.where(sd > 0, sd, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """A partial result: pseudo-rows of (1, x, y) about a common origin, every pattern, the empty one included.

    Attributes
    ----------
    infinite, holes : (p,), (q',) int arrays
        Infinite values of the modelled columns, and unseen or infinite values of the predictors.
    """

    seen: np.ndarray
    count: np.ndarray
    rows: np.ndarray
    start: np.ndarray
    infinite: np.ndarray
    holes: np.ndarray


def raw_of(x: np.ndarray, y: np.ndarray, origin: Origin) -> Raw:
    """Reduce a block of rows: predictors without the intercept (n, q'), modelled columns (n, p) with NaN."""
    if y.size > _SMALL:
        return Raw(*_kernel("reduce_rows")(x, y, origin.center, origin.scale))
    q, known = x.shape[1], ~np.isnan(y)
    infinite, holes = np.isinf(y).sum(axis=0), (~np.isfinite(x)).sum(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        z = (np.hstack([x, y]) - origin.center) / origin.scale
    z = np.hstack([np.ones((len(y), 1)), np.where(np.isfinite(z), z, 0.0)])
    patterns = group_rows(known)
    found = [z[patterns.rows(g)] for g in range(len(patterns.seen))]
    found = [rows if len(rows) <= 1 + q + y.shape[1] else np.linalg.qr(rows, mode="r") for rows in found]
    start = np.concatenate([[0], np.cumsum([len(rows) for rows in found])])
    return Raw(patterns.seen, patterns.count, np.concatenate(found), start, infinite, holes)


def add(parts: list[Raw]) -> Raw:
    """Merge partial results about the same origin: a sum, in any grouping of the rows."""
    if len(parts) == 1:
        return parts[0]
    seen = np.concatenate([part.seen for part in parts])
    patterns = group_rows(seen)
    of_part = np.empty(len(seen), dtype=np.int64)
    of_part[patterns.order] = np.repeat(np.arange(len(patterns.seen)), patterns.count)
    count = np.bincount(of_part, np.concatenate([part.count for part in parts])).astype(np.int64)
    sizes = np.concatenate([np.diff(part.start) for part in parts])
    of_row = np.repeat(of_part, sizes)
    order = np.argsort(of_row, kind="stable")
    rows = np.concatenate([part.rows for part in parts])[order]
    start = np.concatenate([[0], np.cumsum(np.bincount(of_row, minlength=len(count)))])
    rows, start = _kernel("compress")(rows, start)
    infinite, holes = sum(part.infinite for part in parts), sum(part.holes for part in parts)
    return Raw(patterns.seen, count, rows, start, np.asarray(infinite), np.asarray(holes))


def gather(blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[Raw, Origin]:
    """Reduce blocks (x without intercept, y) one by one; the origin is the first block's."""
    blocks = iter(blocks)
    first = next(blocks)
    origin, waiting = Origin.near(*first), []
    for part in _ahead(lambda block: raw_of(*block, origin), chain([first], blocks)):
        waiting.append(part)
        if len(waiting) > 2 and sum(len(part.rows) for part in waiting[1:]) > max(_MERGE, len(waiting[0].rows)):
            waiting = [add(waiting)]
    return add(waiting), origin


def _ahead(work: Callable[[Block], Raw], blocks: Iterable[Block]) -> Iterator[Raw]:
    """Work on a few blocks at a time; the order, and so every sum, is the same for any number of cores."""
    with ThreadPoolExecutor(_THREADS) as pool:
        running: deque[Future[Raw]] = deque()
        for block in blocks:
            running.append(pool.submit(work, block))
            if len(running) >= _THREADS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def moments(raw: Raw, origin: Origin, columns: tuple[str, ...], terms: tuple[str, ...]) -> Moments:
    """Standardise by the exact recorded means and standard deviations, and drop the rows with nothing seen."""
    p, constant = len(columns), np.array([t == "Intercept" for t in terms])
    q = len(terms)
    of_row = np.repeat(np.arange(len(raw.count)), np.diff(raw.start))
    total = raw.rows.T @ raw.rows
    recorded = raw.seen.T @ raw.count
    mean, sd = _mean_sd(total, np.concatenate([np.full(q - constant.sum(), raw.count.sum()), recorded]))
    sd = np.where(sd > 0, sd, 1.0)
    centered = bool(constant.any())
    raw_mean, raw_sd = origin.center + origin.scale * mean, origin.scale * sd
    if not centered:
        raw_mean = np.zeros_like(raw_mean)
    shift = (origin.center - raw_mean) / raw_sd  # z = a (scale / sd) + shift
    back = np.zeros((q + p, 1 + len(sd)))
    back[np.flatnonzero(constant), 0] = 1.0
    moved = np.concatenate([np.flatnonzero(~constant), q + np.arange(p)])
    back[moved, 0] = shift
    back[moved, 1 + np.arange(len(sd))] = origin.scale / raw_sd
    keep = raw.seen.any(axis=1)
    of_kept = of_row[keep[of_row]]
    rows = raw.rows[keep[of_row]] @ back.T
    rows[:, q:] *= raw.seen[of_kept]
    sizes = np.diff(raw.start)[keep]
    q_sd = raw_sd[: q - constant.sum()]
    return Moments(
        columns=columns,
        terms=terms,
        seen=raw.seen[keep],
        count=raw.count[keep],
        rows=rows,
        start=np.concatenate([[0], np.cumsum(sizes)]),
        center=raw_mean[len(q_sd) :],
        scale=raw_sd[len(q_sd) :],
        x_map=_x_map(raw_mean[: len(q_sd)], q_sd, constant),
        n_empty=int(raw.count[~keep].sum()),
    )


def _mean_sd(total: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations (divisor n - 1) from Σ a a', a = (1, ...)."""
    mean = total[0, 1:] / np.maximum(n, 1)
    variance = (np.diag(total)[1:] - n * mean**2) / np.maximum(n - 1, 1)
    noise = 1e-14 * np.diag(total)[1:] / np.maximum(n, 1)  # a constant column's variance is rounding
    return mean, np.sqrt(np.where(variance > noise, variance, 0.0))


def _x_map(mean: np.ndarray, sd: np.ndarray, constant: np.ndarray) -> np.ndarray:
    made = np.eye(len(constant))
    made[~constant, ~constant] = 1 / sd
    if constant.any():
        made[np.flatnonzero(constant)[0], ~constant] = -mean / sd
    return made
