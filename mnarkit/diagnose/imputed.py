"""Imputed values beside recorded ones, by column and by pattern of holes."""

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.diagnose.finding import Finding
from mnarkit.estimates import Estimates
from mnarkit.impute import Imputations
from mnarkit.pool import pool

__all__ = ["imputation_findings"]

_PATTERNS = 6  # patterns of a column that are shown, the commonest first
_OUTSIDE = 0.05  # a share of imputed values outside the recorded range that is worth an alarm
_IMPOSSIBLE = 0.01  # a share of values of a sign that was never recorded


def imputation_findings(imputations: Imputations) -> tuple[Finding, ...]:
    """Compare imputed with recorded values, by column and by pattern of holes of the modelled columns."""
    found: list[Finding] = []
    for column in imputations.cells:
        cells = imputations.cells[column]
        if cells.shape[1] and imputations.data.seen(column).any():
            numbers = pd.api.types.is_numeric_dtype(imputations.data.frame[column].dtype)
            found += (_column if numbers else _levels)(imputations, column, cells)
    return tuple(found)


def _column(imputations: Imputations, column: str, cells: np.ndarray) -> list[Finding]:
    values = imputations.data.number(column)
    seen = ~np.isnan(values)
    recorded, sd = values[seen], float(np.std(values[seen], ddof=1)) if seen.sum() > 1 else np.nan
    return [
        *_distances(imputations, column, cells, recorded, sd),
        _range(column, cells, recorded),
        *_signs(column, cells, recorded),
        _spread(column, cells, sd),
        _information(column, values, cells),
    ]


def _levels(imputations: Imputations, column: str, cells: np.ndarray) -> list[Finding]:
    """Share of each level among the imputed and the recorded values, and the FMI of its share of all rows."""
    recorded = imputations.data.frame[column].astype(object)
    seen = imputations.data.seen(column)
    names = recorded[seen].value_counts()
    made = []
    for level in names.index[:_PATTERNS]:
        inside = (cells == level).mean(axis=1)
        among = float((recorded[seen] == level).mean())
        said = f"{100 * inside.mean():.1f} % of the imputed, {100 * among:.1f} % of the recorded values"
        said += ": that is what predictors and belief say, not a fault"
        what = f"{column} = {level} (n = {cells.shape[1]:,})"
        gap = float(inside.mean()) - among
        made.append(Finding("imputations", what, "imputed minus recorded share", gap, said))
        values = np.where(seen, (recorded == level).to_numpy(dtype=float), np.nan)
        made.append(_information(f"{column} = {level}", values, (cells == level).astype(float)))
    return made


def _distances(
    imputations: Imputations, column: str, cells: np.ndarray, recorded: np.ndarray, sd: float
) -> list[Finding]:
    labels = patterns_of(imputations.data, tuple(imputations.cells))[~imputations.data.seen(column)]
    names, counts = np.unique(labels, return_counts=True)
    common = names[np.argsort(-counts, kind="stable")][:_PATTERNS]
    groups = [("", np.ones(len(labels), dtype=bool))]
    groups += [(f", rows without {name}", labels == name) for name in common] if len(names) > 1 else []
    made = []
    for said, rows in groups:
        inside = cells[:, rows]
        gap = float((inside.mean() - recorded.mean()) / sd)
        ratio = float(np.mean(inside.std(axis=1)) / sd) if rows.sum() > 1 else np.nan
        what = f"{column}{said} (n = {int(rows.sum()):,})"
        made.append(Finding("imputations", what, "imputed minus recorded mean, in recorded sd", gap, _gap(gap, ratio)))
    return made


def _gap(gap: float, ratio: float) -> str:
    size = "about where the recorded values lie" if abs(gap) < 0.1 else f"{'above' if gap > 0 else 'below'} them"
    wide = "" if not np.isfinite(ratio) else f"; sd {ratio:.2f} times theirs"
    return f"imputed values lie {size}{wide}: that is what predictors and belief say, not a fault"


def patterns_of(data: IncompleteData, columns: tuple[str, ...]) -> np.ndarray:
    """Name the holes of each row among these columns: `y1, y2`."""
    holes = np.column_stack([~data.seen(c) for c in columns])
    unique, inverse = np.unique(holes, axis=0, return_inverse=True)
    names = [", ".join(c for c, hole in zip(columns, row, strict=True) if hole) or "nothing missing" for row in unique]
    return np.array(names, dtype=object)[inverse.ravel()]


def _range(column: str, cells: np.ndarray, recorded: np.ndarray) -> Finding:
    low, high = float(recorded.min()), float(recorded.max())
    below, above = float((cells < low).mean()), float((cells > high).mean())
    bad = below + above > _OUTSIDE
    said = f"{100 * below:.1f} % lie below {low:.4g}, the smallest recorded"
    said += f", {100 * above:.1f} % above {high:.4g}, the largest"
    if bad:
        said += "; ask whether such values exist, else transform the column or give it bounds"
    return Finding(
        "imputations", f"{column}, out of the recorded range", "share of imputed values", below + above, said, bad
    )


def _signs(column: str, cells: np.ndarray, recorded: np.ndarray) -> list[Finding]:
    if recorded.min() < 0 or (np.array_equal(recorded, np.round(recorded)) and not (cells < 0).any()):
        return []  # counts and 0/1 are drawn as such
    share = float((cells < 0).mean())
    bad = share > _IMPOSSIBLE
    said = f"{100 * share:.1f} % of the imputed values are negative, no recorded one is"
    said += "; if it cannot be negative, model its logarithm or another family" if bad else ""
    return [Finding("imputations", f"{column}, negative values", "share of imputed values", share, said, bad)]


def _spread(column: str, cells: np.ndarray, sd: float) -> Finding:
    if len(cells) < 2:
        return Finding(
            "imputations", f"{column}, spread", "sd of the imputed mean", np.nan, "one imputation has none", True
        )
    spread = float(cells.mean(axis=1).std(ddof=1) / sd)
    bad = not spread > 0
    said = (
        "the imputations are all alike: they are not proper"
        if bad
        else (f"the mean of the imputed values varies by {spread:.3f} recorded sd between imputations")
    )
    return Finding("imputations", f"{column}, spread", "sd of the imputed mean, in recorded sd", spread, said, bad)


def _information(column: str, values: np.ndarray, cells: np.ndarray) -> Finding:
    """FMI of the column's mean over all rows, by Rubin's rules."""
    what, measure = f"{column}, mean over all rows", "fraction of missing information"
    if len(cells) < 2:
        return Finding("imputations", what, measure, np.nan, "one imputation does not tell it", True)
    n, holes = len(values), np.isnan(values)
    completed = np.broadcast_to(values, (len(cells), n)).copy()
    completed[:, holes] = cells
    estimates = Estimates.of(completed.mean(axis=1), completed.var(axis=1, ddof=1) / n, df_complete=n - 1)
    fmi = float(pool(estimates).fmi[0])
    share = float(holes.mean())
    said = f"{100 * share:.1f} % of the rows are missing"
    said += (
        f"; the holes cost more than their share: the unseen values are uncertain together; take m = "
        f"{max(int(np.ceil(100 * fmi)), 20)} or more"
        if fmi > share + 0.1
        else ""
    )
    return Finding("imputations", what, measure, fmi, said)
