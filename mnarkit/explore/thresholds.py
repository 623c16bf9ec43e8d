"""Does the rate of missingness of one column jump at some value of another? Exact, for every pair, ties and all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaln

from mnarkit.explore.columns import Column, said

__all__ = ["crossing_probability", "holm", "thresholds"]

_INNER = 0.1  # the share of rows that each side of a cut keeps
_CUTS = 40
_LEAST = 5  # holes, and recorded values
_SMALLEST = 1e-12  # what 1 - p still tells from nothing in double precision
_EXACT = 1500  # pairs with an exact probability; the others, with the least statistics, count as 1

_COLUMNS = [
    "column", "predictor", "cut", "cut_label", "n_low", "missing_low", "rate_low", "n_high", "missing_high",
    "rate_high", "statistic", "p", "p_adjusted",
]  # fmt: skip


def thresholds(columns: Sequence[Column], rows: np.ndarray) -> pd.DataFrame:
    """Maximally selected |z| of the hole of each column over the cuts of each ordered other, with exact p.

    Given how many cells are missing, and where, a table missing completely at random has the recorded values of the
    other column in any order: the number of holes below each cut is then a hypergeometric path, and the probability
    that its |z| ever reaches the largest one seen is computed exactly (`crossing_probability`). Holm's adjustment over
    all pairs then flags at most 5 % of such tables, whatever their ties.

    Parameters
    ----------
    columns : sequence of Column
        All columns of the table.
    rows : (m,) int array
        The rows used.

    Returns
    -------
    DataFrame
        A row per pair, the strongest first: `column` (with holes), `predictor`, `cut` (low is at most this value),
        `cut_label`, holes and rates on both sides, `statistic` |z|, `p`, `p_adjusted` (Holm).
    """
    holed = [c for c in columns if 0 < c.n_missing < len(c.seen)]
    found = [row for predictor in columns if predictor.ordered for row in _against(predictor, holed, rows)]
    pairs = sorted(found, key=lambda pair: -pair["statistic"])
    for k, pair in enumerate(pairs):
        below, total, missing = pair.pop("path")
        pair["p"] = crossing_probability(below, total, missing, pair["statistic"]) if k < _EXACT else 1.0
    table = pd.DataFrame(pairs, columns=_COLUMNS[:-1])
    table["p_adjusted"] = holm(table["p"].to_numpy(float))
    return table.sort_values(["p", "statistic"], ascending=[True, False], kind="stable", ignore_index=True)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p (1979): the chance that any true hypothesis is flagged at 5 % is at most 5 %."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1.0)
    return out


def _against(predictor: Column, holed: Sequence[Column], rows: np.ndarray) -> list[dict]:
    rows = rows[predictor.seen[rows]]
    values = predictor.values[rows]
    cuts, below = _cuts(values)
    others = [c for c in holed if c.name != predictor.name]
    if not len(cuts) or not others:
        return []
    # side="left": a value equal to a cut is below it
    which = np.searchsorted(cuts, values, side="left")
    out = []
    for column in others:
        hole = ~column.seen[rows]
        missing = int(hole.sum())
        if min(missing, len(rows) - missing) < _LEAST:
            continue
        path = np.cumsum(np.bincount(which, hole, len(cuts) + 1))[:-1]
        z = np.abs(_standardised(path, below, len(rows), missing))
        best = int(np.argmax(z))
        out.append(_row(column, predictor, cuts[best], below, path, best, len(rows), missing, float(z[best])))
    return out


def _row(
    column: Column,
    predictor: Column,
    cut: float,
    below: np.ndarray,
    path: np.ndarray,
    best: int,
    total: int,
    missing: int,
    statistic: float,
) -> dict:
    low, n_low = int(path[best]), int(below[best])
    return {
        "column": column.name,
        "predictor": predictor.name,
        "cut": cut,
        "cut_label": said(predictor, cut),
        "n_low": n_low,
        "missing_low": low,
        "rate_low": low / n_low,
        "n_high": total - n_low,
        "missing_high": missing - low,
        "rate_high": (missing - low) / (total - n_low),
        "statistic": statistic,
        "path": (below, total, missing),
    }


def _cuts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most 40 values of the predictor with a tenth of the rows on each side, and the rows at or below each."""
    if not len(values):
        return values, values
    distinct, count = np.unique(values, return_counts=True)
    below = np.cumsum(count)
    inside = np.flatnonzero((below >= _INNER * len(values)) & (below <= (1 - _INNER) * len(values)))
    if len(inside) > _CUTS:
        wanted = np.linspace(below[inside[0]], below[inside[-1]], _CUTS)
        inside = inside[np.unique(np.searchsorted(below[inside], wanted))]
    return distinct[inside], below[inside]


def _standardised(path: np.ndarray, below: np.ndarray, total: int, missing: int) -> np.ndarray:
    """Standardise a hypergeometric count at each cut."""
    share = missing / total
    sd = np.sqrt(share * (1 - share) * below * (total - below) / (total - 1))
    return (path - below * share) / sd


def crossing_probability(below: np.ndarray, total: int, missing: int, reach: float) -> float:
    """P(max over cuts |z| ≥ reach) when `missing` of `total` rows are drawn without replacement, exactly.

    A hypergeometric path is one of independent binomial increments given its sum: the probability of staying inside
    is carried from cut to cut, and divided by that of the sum (the recursion of Noé, with binomials).

    Parameters
    ----------
    below : (k,) int array
        Rows at or below each cut, increasing.
    total, missing : int
        Rows, and how many of them are missing.
    reach : float
        The largest |z|, above 0.
    """
    share = missing / total
    sd = np.sqrt(share * (1 - share) * below * (total - below) / (total - 1))
    width = reach * (1 - 1e-9) * sd  # the statistic itself counts as reached
    least = np.maximum(np.floor(below * share - width) + 1, 0).astype(int)
    most = np.minimum(np.ceil(below * share + width) - 1, np.minimum(missing, below)).astype(int)
    start, inside, before = 0, np.ones(1), 0
    for n, a, b in zip(below.tolist(), least.tolist(), most.tolist(), strict=True):
        if b < a:
            return 1.0
        start, inside = _step(inside, start, n - before, share, a, b)
        before = n
    _, end = _step(inside, start, total - before, share, missing, missing)
    stayed = end[0] / _binomial(np.array([missing]), total, share)[0]
    return float(np.clip(1.0 - stayed, _SMALLEST, 1.0))


def _step(inside: np.ndarray, start: int, n: int, share: float, a: int, b: int) -> tuple[int, np.ndarray]:
    """Add a Binomial(n, share) increment to a count with masses `inside` from `start` on; keep a..b."""
    gains = np.arange(max(a - start - len(inside) + 1, 0), b - start + 1)
    if not len(gains):
        return a, np.zeros(b - a + 1)
    masses = np.convolve(inside, _binomial(gains, n, share))
    first = start + int(gains[0])  # the count at masses[0]
    out = np.zeros(b - a + 1)
    shift = a - first
    kept = masses[max(shift, 0) : max(shift, 0) + len(out) - max(-shift, 0)]
    out[max(-shift, 0) : max(-shift, 0) + len(kept)] = kept
    return a, out


def _binomial(k: np.ndarray, n: int, share: float) -> np.ndarray:
    """P(Binomial(n, share) = k); scipy.stats spends ten times longer on checking its arguments."""
    rest = np.maximum(n - k, 0)
    log = gammaln(n + 1) - gammaln(k + 1) - gammaln(rest + 1) + k * np.log(share) + rest * np.log1p(-share)
    return np.where(k <= n, np.exp(log), 0.0)
