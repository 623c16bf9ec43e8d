"""Are ranks uniform? The ECDF with simultaneous bands, and χ² over twenty bins beside it."""

from functools import cache

import numpy as np
from scipy import stats

__all__ = ["band", "chi_square", "ecdf_p", "farthest"]

_SIMULATED, _BINS = 2000, 20


def farthest(ranks: np.ndarray, most: int) -> float:
    """The smallest two-sided tail probability of the ECDF over all points (Säilynoja, Bürkner & Vehtari 2022)."""
    n, points = len(ranks), np.arange(1, most + 1) / (most + 1)
    below = np.searchsorted(np.sort(ranks), np.arange(1, most + 1), side="left")
    under, over = stats.binom.cdf(below, n, points), stats.binom.sf(below - 1, n, points)
    return float(np.minimum(1, 2 * np.minimum(under, over)).min())


@cache
def _simulated(n: int, most: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.sort([farthest(rng.integers(0, most + 1, n), most) for _ in range(_SIMULATED)])


def ecdf_p(ranks: np.ndarray, most: int) -> float:
    """The share of uniform samples whose ECDF leaves as narrow a band; at least 1 / 2001."""
    return float((1 + np.searchsorted(_simulated(len(ranks), most), farthest(ranks, most))) / (_SIMULATED + 1))


def band(n: int, most: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, and the lower and upper limit of the ECDF there that hold together at the level."""
    gamma = float(np.quantile(_simulated(n, most), 1 - level))
    points = np.arange(1, most + 1) / (most + 1)
    return points, stats.binom.ppf(gamma / 2, n, points) / n, stats.binom.ppf(1 - gamma / 2, n, points) / n


def chi_square(ranks: np.ndarray, most: int) -> float:
    """P of χ² over twenty bins of as many ranks each."""
    counts = np.bincount(ranks * _BINS // (most + 1), minlength=_BINS)
    return float(stats.chisquare(counts).pvalue)
