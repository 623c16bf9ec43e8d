"""Which recorded values go with each hole: differences in means, and a penalised logistic fit judged out of sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mnarkit.explore.columns import Column
from mnarkit.explore.features import Feature, features_of, matrix
from mnarkit.explore.logistic import cross_validated_auc, fit_logistic
from mnarkit.explore.rates import LEVEL

__all__ = ["Predicted", "predict_holes"]

_CHUNK = 20_000
_SIDE = 2_500  # rows with a hole, and as many without, that a logistic fit takes at most
_WORK = 15_000_000  # rows on each side times the square of the number of features
_LEAST = 10  # holes, and recorded values, below which nothing is fitted
_FITS = 60  # masks that get a logistic fit
_FEATURES = 400  # that a logistic fit takes


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What goes with the holes of each column: `table` `auc` a row per column with holes."""

    table: pd.DataFrame
    auc: pd.DataFrame


def predict_holes(columns: Sequence[Column], seed: int) -> Predicted:
    """Compare the rows in which a column is missing with those in which it is recorded, by every other column.

    Differences use all rows; the fits use at most 2,500 rows with a hole and 2,500 without, drawn with `seed`.
    """
    holed = [c for c in columns if 0 < c.n_missing < len(c.seen)]
    features = features_of(columns)
    if not holed or not features:
        return Predicted(pd.DataFrame(columns=_COLUMNS), pd.DataFrame(columns=_FIT_COLUMNS))
    moments = _moments(holed, features)
    compared = [_compare(column, features, [m[:, j] for m in moments]) for j, column in enumerate(holed)]
    fits = _fits(holed, features, seed)
    tables = [
        table.assign(coef=table["feature"].map(slopes)) for table, (_, slopes) in zip(compared, fits, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    return Predicted(table[_COLUMNS], pd.DataFrame([row for row, _ in fits], columns=_FIT_COLUMNS))


_COLUMNS = [
    "column", "feature", "predictor", "level", "n_missing", "n_recorded", "mean_missing", "mean_recorded",
    "smd", "smd_low", "smd_high", "correlation", "coef",
]  # fmt: skip
_FIT_COLUMNS = ["column", "n_missing", "n_recorded", "features", "auc", "auc_low", "auc_high", "note"]


def _moments(holed: Sequence[Column], features: Sequence[Feature]) -> np.ndarray:
    """Count, sum and sum of squares of (feature - center) where missing, where recorded; center: (7, k, holed)."""
    n = len(holed[0].seen)
    center = _first_means(features)
    out = np.zeros((6, len(features), len(holed)))
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        x = np.array([f.at(rows) for f in features]) - center[:, None]
        seen = ~np.isnan(x)
        x = np.where(seen, x, 0.0)
        parts = np.concatenate([seen, x, x * x])
        missing = parts @ np.column_stack([~c.seen[rows] for c in holed]).astype(float)
        recorded = parts.sum(axis=1)[:, None] - missing
        out += np.concatenate([missing, recorded]).reshape(out.shape)
    return np.concatenate([out, np.broadcast_to(center[:, None], (1, *out.shape[1:]))])


def _first_means(features: Sequence[Feature]) -> np.ndarray:
    """A value near each feature's middle, against cancellation: the mean of its first thousand recorded values."""
    return np.array([f.at(np.flatnonzero(f.column.seen)[:1000]).mean() for f in features])


def _compare(column: Column, features: Sequence[Feature], moments: Sequence[np.ndarray]) -> pd.DataFrame:
    """Means where the column is missing and recorded, their standardised difference, the indicator's correlation."""
    n1, s1, q1, n0, s0, q0, center = moments
    mean1, var1 = _mean_and_variance(n1, s1, q1)
    mean0, var0 = _mean_and_variance(n0, s0, q0)
    low, smd, high = _difference(mean1 - mean0, (var1 + var0) / 2, n1, n0)
    table = pd.DataFrame(
        {
            "column": column.name,
            "feature": [f.name for f in features],
            "predictor": [f.column.name for f in features],
            "level": [f.level for f in features],
            "n_missing": n1.astype(int),
            "n_recorded": n0.astype(int),
            "mean_missing": center + mean1,
            "mean_recorded": center + mean0,
            "smd": smd,
            "smd_low": low,
            "smd_high": high,
            "correlation": _indicator_correlation(mean1 - mean0, n1, n0, s1 + s0, q1 + q0),
        }
    )
    return table[table["predictor"] != column.name]


def _mean_and_variance(n: np.ndarray, total: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    spread = square - n * np.nan_to_num(mean) ** 2
    spread = np.where(spread > 1e-12 * square, spread, 0.0)  # below is rounding
    return mean, np.divide(spread, n - 1, out=np.full(len(n), np.nan), where=n > 1)


def _difference(
    gap: np.ndarray, variance: np.ndarray, n1: np.ndarray, n0: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised mean difference and its large-sample interval (Hedges & Olkin 1985, section 5.E).

    It is infinite where the feature is one value if missing and another if recorded.
    """
    apart, known = variance == 0, variance > 0
    smd = np.divide(gap, np.sqrt(np.where(known, variance, 1.0)), out=np.full(len(gap), np.nan), where=known)
    smd = np.where(apart & (gap != 0), np.copysign(np.inf, gap), smd)
    n1, n0 = np.where(known, n1, 1.0), np.where(known, n0, 1.0)
    finite = np.where(known, smd, 0.0)
    half = ndtri(0.5 + LEVEL / 2) * np.sqrt(1 / n1 + 1 / n0 + finite**2 / (2 * (n1 + n0)))
    return smd - half, smd, smd + half


def _indicator_correlation(
    gap: np.ndarray, n1: np.ndarray, n0: np.ndarray, total: np.ndarray, square: np.ndarray
) -> np.ndarray:
    """Pearson's correlation of the indicator of a hole with the feature, where the feature is recorded."""
    n = n1 + n0
    share = np.divide(n1, n, out=np.zeros(len(n)), where=n > 0)
    mean = np.divide(total, n, out=np.zeros(len(n)), where=n > 0)
    sd = np.sqrt(np.maximum(np.divide(square, n, out=np.zeros(len(n)), where=n > 0) - mean**2, 0.0))
    known = (n1 > 0) & (n0 > 0) & (sd > 0)
    slope = np.sqrt(share * (1 - share))
    return np.divide(gap * slope, sd, out=np.full(len(n), np.nan), where=known)


def _fits(holed: Sequence[Column], features: Sequence[Feature], seed: int) -> list[tuple[list, dict[str, float]]]:
    """A row of the table of AUCs, and slopes by feature, per column; columns missing in the same rows share a fit."""
    made: dict[bytes, tuple[list, dict[str, float]]] = {}
    keys = [np.packbits(column.seen).tobytes() for column in holed]
    for j in sorted(range(len(holed)), key=lambda j: -holed[j].n_missing):  # the most holes first: not all get a fit
        if keys[j] not in made:
            rng = np.random.default_rng([seed, j])
            made[keys[j]] = _fit(holed[j], features, rng, full=len(made) >= _FITS)
    return [([column.name, *made[key][0]], made[key][1]) for column, key in zip(holed, keys, strict=True)]


def _fit(
    column: Column, features: Sequence[Feature], rng: np.random.Generator, *, full: bool
) -> tuple[list, dict[str, float]]:
    others = [f for f in features if f.column.name != column.name][:_FEATURES]
    side = min(_SIDE, max(_WORK // max(len(others), 1) ** 2, 200))
    rows = [_drawn(np.flatnonzero(mask), side, rng) for mask in (~column.seen, column.seen)]
    n1, n0 = map(len, rows)
    nothing = [n1, n0, 0, np.nan, np.nan, np.nan]
    if full:
        return [*nothing, f"only {_FITS} columns with holes of their own get a fit"], {}
    if min(n1, n0) < _LEAST:
        which = "holes" if n1 < n0 else "recorded values"
        return [*nothing, f"fewer than {_LEAST} {which}"], {}
    hole = np.concatenate([np.ones(n1), np.zeros(n0)])
    x, used = _standardised(others, np.concatenate(rows), hole)
    if not used:
        return [*nothing, "no other column is recorded both where it is missing and where it is not"], {}
    slopes = fit_logistic(x, hole)[1:]
    auc, low, high = cross_validated_auc(x, hole, rng, LEVEL)
    names = [f.name for f in used]
    return [n1, n0, len(used), auc, low, high, ""], dict(zip(names, slopes.tolist(), strict=True))


def _drawn(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _standardised(
    features: Sequence[Feature], rows: np.ndarray, hole: np.ndarray
) -> tuple[np.ndarray, tuple[Feature, ...]]:
    """Features in units of their sd, their holes at the mean 0 (so that no hole tells of another), and which vary."""
    if not features:
        return np.zeros((len(rows), 0)), ()
    x = matrix(features, rows)
    seen = ~np.isnan(x)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, x, 0.0).sum(axis=0) / n
    x = np.where(seen, x - mean, 0.0)
    sd = np.sqrt((x**2).sum(axis=0) / n)
    kept = (sd > 1e-12 * np.maximum(np.abs(mean), 1e-300)) & seen[hole == 1].any(axis=0) & seen[hole == 0].any(axis=0)
    return x[:, kept] / sd[kept], tuple(f for f, keep in zip(features, kept, strict=True) if keep)
