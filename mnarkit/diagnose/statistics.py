"""Statistics of a table with holes: of what is recorded, and of what is missing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.diagnose.segments import Segments

__all__ = ["Statistics"]

_TAIL = 0.01
_PATTERNS = 8
_SMALLEST = 20


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Functions of a table (n, p), NaN where missing, evaluated together.

    Attributes
    ----------
    columns : tuple of str
        The modelled columns.
    x : (n, q) array
        Predictors; shapes are of residuals of least squares on them.
    modelled : (p,) bool array
        Columns whose holes are modelled.
    segments : Segments
        Rows by segment.
    patterns : (G, p) bool array
        Patterns of modelled holes whose rates are compared.
    """

    columns: tuple[str, ...]
    x: np.ndarray
    modelled: np.ndarray
    segments: Segments
    patterns: np.ndarray

    @classmethod
    def of(
        cls, columns: tuple[str, ...], x: np.ndarray, modelled: np.ndarray, segments: Segments, table: np.ndarray
    ) -> "Statistics":
        """Choose the patterns that are common in the table."""
        holes = np.isnan(table)
        unique, counts = np.unique(holes, axis=0, return_counts=True)
        common = unique[np.argsort(-counts, kind="stable")]
        kept = [row for row, n in zip(common, -np.sort(-counts, kind="stable"), strict=True) if n >= _SMALLEST]
        several = modelled.sum() > 1
        return cls(columns, x, modelled, segments, np.array(kept[:_PATTERNS]) if several else holes[:0])

    @property
    def names(self) -> pd.DataFrame:
        """One row a statistic: `about` ("recorded" or "missing"), `column`, `segment`, `statistic`."""
        rows: list[tuple[str, str, str, str]] = []
        for j, c in enumerate(self.columns):
            rows += [("recorded", c, "", s) for s in _SHAPES]
            rows += [("recorded", c, label, s) for s in ("mean", "sd") for label in self.segments.labels]
            if self.modelled[j]:
                rows += [("missing", c, "", "share missing")]
                rows += [("missing", c, label, "share missing") for label in self.segments.labels]
        rows += [("recorded", f"{self.columns[j]}, {self.columns[k]}", "", "correlation") for j, k in self._pairs]
        rows += [
            ("missing", self.columns[j], "", f"mean of {self.columns[k]}, missing minus recorded, in sd")
            for j, k in self._across
        ]
        rows += [("missing", _pattern(self.columns, g), "", "share of rows with this pattern") for g in self.patterns]
        return pd.DataFrame(rows, columns=["about", "column", "segment", "statistic"])

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        p = len(self.columns)
        return [(j, k) for j in range(p) for k in range(j + 1, p)]

    @property
    def _across(self) -> list[tuple[int, int]]:
        p = len(self.columns)
        return [(j, k) for j in range(p) if self.modelled[j] for k in range(p) if k != j]

    def __call__(self, table: np.ndarray) -> np.ndarray:
        """All statistics of one table, in the order of `names`."""
        seen = ~np.isnan(table)
        values = np.where(seen, table, 0.0)
        parts: list[np.ndarray] = []
        for j in range(len(self.columns)):
            parts += [_shapes(values[:, j], seen[:, j], self.x), *self._by_segment(values[:, j], seen[:, j])]
            if self.modelled[j]:
                parts.append(self._shares(seen[:, j]))
        parts.append(np.array([_correlation(values, seen, j, k) for j, k in self._pairs]))
        parts.append(np.array([_gap(values[:, k], seen[:, k], seen[:, j]) for j, k in self._across]))
        parts.append(np.array([(seen == ~g).all(axis=1).mean() for g in self.patterns]))
        return np.concatenate(parts)

    def _by_segment(self, values: np.ndarray, seen: np.ndarray) -> list[np.ndarray]:
        rows = self.segments.rows
        count = np.maximum(seen @ rows, 1.0)
        mean = (values @ rows) / count
        square = np.where(seen, values, 0.0) ** 2 @ rows / count
        return [mean, np.sqrt(np.maximum(square - mean**2, 0.0))]

    def _shares(self, seen: np.ndarray) -> np.ndarray:
        rows = self.segments.rows
        return np.concatenate([[1 - seen.mean()], 1 - (seen @ rows) / rows.sum(axis=0)])


_SHAPES = (
    "mean",
    "residual sd",
    "residual skewness",
    "log residual kurtosis",
    "1 % quantile of residuals, in sd",
    "99 % quantile of residuals, in sd",
)


def _shapes(values: np.ndarray, seen: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Mean, and the shape of least-squares residuals of what is recorded."""
    y, inside = values[seen], x[seen]
    if len(y) <= x.shape[1] + 2:
        return np.zeros(len(_SHAPES))
    products = inside.T @ inside
    beta = np.linalg.lstsq(products, inside.T @ y)[0]
    residual = y - inside @ beta
    sd = np.sqrt(np.mean(residual**2)) or 1.0
    unit = (residual - residual.mean()) / sd
    square = unit**2
    low, high = np.quantile(unit, [_TAIL, 1 - _TAIL])
    return np.array([y.mean(), sd, np.mean(square * unit), np.log(np.mean(square**2) + 1e-12), low, high])


def _correlation(values: np.ndarray, seen: np.ndarray, j: int, k: int) -> float:
    both = seen[:, j] & seen[:, k]
    a, b = values[both, j], values[both, k]
    if both.sum() < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.arctanh(np.clip(np.corrcoef(a, b)[0, 1], -0.999999, 0.999999)))


def _gap(values: np.ndarray, recorded: np.ndarray, other: np.ndarray) -> float:
    """How far values lie apart where another column is missing and where it is recorded, in sd."""
    here, there = recorded & ~other, recorded & other
    if not here.any() or not there.any():
        return 0.0
    return float((values[here].mean() - values[there].mean()) / (np.std(values[recorded]) or 1.0))


def _pattern(columns: tuple[str, ...], holes: np.ndarray) -> str:
    return ", ".join(c for c, hole in zip(columns, holes, strict=True) if hole) or "nothing missing"
