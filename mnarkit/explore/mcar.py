"""Little's test of missing completely at random, with what each pattern adds to it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from mnarkit.data import IncompleteData
from mnarkit.em import em
from mnarkit.errors import MnarkitError
from mnarkit.explore.columns import Column
from mnarkit.explore.patterns import find_patterns
from mnarkit.spec.data_models import MvNormal
from mnarkit.spec.spec import Spec

__all__ = ["NO_TEST", "LittleTest", "little_test"]

NO_TEST = (
    "No test can tell MAR from MNAR: whether a value is missing because of what it would have been is not in the data. "
    "Little's test can only speak against MCAR; a large p is no evidence for MAR."
)
_PATTERNS = 500  # the commonest, and fewer of many columns: an EM step costs patterns times columns cubed
_WORK = 50_000_000
_SINGULAR = 1e-8
_GLANCE = 1_000
_STEPS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class LittleTest:
    """Little's test (1988) of whether the means of the recorded values differ between the patterns of holes.

    Attributes
    ----------
    statistic, df, p : float, int, float
        d² = Σ_g n_g (ȳ_g - μ_g)' Σ_gg⁻¹ (ȳ_g - μ_g), chi-square with Σ_g p_g - p degrees of freedom under MCAR as n
        grows; μ and Σ (divisor n) are the maximum-likelihood estimates by EM. NaN where there is no test.
    n, n_patterns : int
        Rows and patterns of holes in the columns used (one with nothing recorded counts, and adds nothing).
    columns : tuple of str
        The columns used.
    left_out : tuple of (str, str)
        Columns left out, and why.
    contributions : DataFrame
        Columns `count`, `n_missing`, `missing`, `contribution` (a term of d²), `df` (recorded columns), `share`.
    notes : tuple of str
        What else to know, in sentences; without a test, why there is none.
    """

    statistic: float
    df: int
    p: float
    n: int
    n_patterns: int
    columns: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    contributions: pd.DataFrame
    notes: tuple[str, ...]


def little_test(columns: Sequence[Column], rows: np.ndarray) -> LittleTest:
    """Test the numbers and truth values among the columns, in these rows; never an error, but a note.

    Columns that do not vary where the others are recorded are left out only if there is no test with them.
    """
    test = _attempt(columns, rows, flat=False)
    return test if np.isfinite(test.statistic) else _attempt(columns, rows, flat=True)


def _attempt(columns: Sequence[Column], rows: np.ndarray, *, flat: bool) -> LittleTest:
    left_out, kept = [], []
    for column in columns:
        why = _unusable(column, kept, rows, flat)
        (left_out if why else kept).append((column.name, why) if why else column)
    used, told = _commonest(kept, rows)
    still = [c for c in kept if _varies(c.values[used[c.seen[used]]])]
    left_out += [(c.name, "constant in the commonest patterns") for c in kept if c not in still]
    if len(still) < 2 or all(c.seen[used].all() for c in still):
        return _no_test(still, left_out, len(used), _too_few(still), *told)
    y = np.column_stack([c.values[used] for c in still])
    try:
        mean, cov, notes = _estimates(y)
    except MnarkitError as error:
        return _no_test(still, left_out, len(used), f"EM has no estimate: {_named(str(error), still)}", *told)
    return _test(still, left_out, used, y, mean, cov, (*told, *notes))


def _too_few(kept: Sequence[Column]) -> str:
    if len(kept) == 1:
        return f"{kept[0].name!r} is the only numeric column that can be used"
    return "no holes among the numeric columns" if kept else "no numeric column that varies"


def _varies(values: np.ndarray) -> bool:
    return len(values) > 0 and values.min() < values.max()


def _unusable(column: Column, kept: Sequence[Column], rows: np.ndarray, flat: bool) -> str:
    """Why a column cannot stand beside those already kept, or an empty text."""
    values = column.values[rows[column.seen[rows]]]
    if not column.seen[rows].any():
        return "nothing recorded"
    if not column.is_number:
        return "not a number" if column.kind == "other" else f"a {column.kind}"
    if not _varies(values):
        return "constant"
    return "a linear function of columns before it" if _determined(column, kept, rows, flat) else ""


def _determined(column: Column, kept: Sequence[Column], rows: np.ndarray, flat: bool) -> bool:
    """Say whether it is linear in the kept columns, or in one of them, where they are recorded together."""
    some = rows[:_GLANCE]  # what is not linear in these rows is not in all
    sets = [[other] for other in kept] + ([list(kept)] if len(kept) > 1 else [])
    return any(_linear(column, others, some, flat) and _linear(column, others, rows, flat) for others in sets)


def _linear(column: Column, others: Sequence[Column], rows: np.ndarray, flat: bool) -> bool:
    together = rows[np.logical_and.reduce([c.seen[rows] for c in (column, *others)])]
    if len(together) < len(others) + 3:
        return len(rows) == _GLANCE
    y = _centered(column.values[together])
    if not y.any():
        return flat or len(rows) == _GLANCE
    x = np.column_stack([_centered(c.values[together]) for c in others])
    fitted = x @ np.linalg.lstsq(x, y, rcond=1e-10)[0]
    return bool(((y - fitted) ** 2).sum() <= 1e-9 * (y**2).sum())


def _centered(values: np.ndarray) -> np.ndarray:
    if not _varies(values):
        return np.zeros(len(values))
    centered = values - values.mean()
    return centered / centered.std()


def _commonest(kept: Sequence[Column], rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows of the commonest patterns: which patterns are taken depends on the holes alone, so the test stays one."""
    if not kept:
        return rows, ()
    patterns = find_patterns([_at(c, rows) for c in kept])
    total, most = len(patterns.count), max(min(_PATTERNS, _WORK // len(kept) ** 3), 2)
    if total <= most:
        return rows, ()
    used = rows[patterns.which < most]
    return used, (f"the {most} commonest of {total:,} patterns ({len(used):,} of {len(rows):,} rows)",)


def _at(column: Column, rows: np.ndarray) -> Column:
    return Column(column.name, column.kind, column.seen[rows], column.values[rows])


def _estimates(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Maximum-likelihood mean and covariance, and what EM warned of; columns are standardised on the way in and out."""
    center, scale = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    names = [f"c{j}" for j in range(y.shape[1])]
    frame = pd.DataFrame((y - center) / scale, columns=names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = em(Spec(MvNormal(*names)), IncompleteData(frame), max_iter=_STEPS)
    notes = () if fit.converged else (f"EM {fit.reason}",)
    mean = center + scale * fit.coef[:, 0]
    return mean, fit.cov * np.outer(scale, scale), (*notes, *(str(w.message).splitlines()[0] for w in caught))


def _named(text: str, kept: Sequence[Column]) -> str:
    """Give the columns their own names back."""
    for j in reversed(range(len(kept))):
        text = text.replace(f"'c{j}'", repr(kept[j].name))
    return text


def _test(
    kept: Sequence[Column],
    left_out: Sequence[tuple[str, str]],
    used: np.ndarray,
    y: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    notes: tuple[str, ...],
) -> LittleTest:
    patterns = find_patterns([_at(c, used) for c in kept])
    means = np.column_stack(
        [np.bincount(patterns.which, np.nan_to_num(y[:, j])) / patterns.count for j in range(y.shape[1])]
    )
    terms = []
    for seen, n, average in zip(patterns.seen, patterns.count, means, strict=True):
        term = n * _distance((average - mean)[seen], cov[np.ix_(seen, seen)])
        if not np.isfinite(term):
            return _no_test(
                kept, left_out, len(used), "the fitted covariance is singular: some columns determine others"
            )
        terms.append(term)
    names = np.array(patterns.names)
    statistic, df = float(np.sum(terms)), int(patterns.seen.sum()) - len(kept)
    contributions = pd.DataFrame(
        {
            "count": patterns.count,
            "n_missing": (~patterns.seen).sum(axis=1),
            "missing": [", ".join(names[~seen]) for seen in patterns.seen],
            "contribution": terms,
            "df": patterns.seen.sum(axis=1),
            "share": np.divide(terms, statistic) if statistic > 0 else np.zeros(len(terms)),
        }
    )
    p = float(chdtrc(df, statistic)) if df > 0 else np.nan
    if abs(statistic - len(used)) < 1e-6 * len(used):  # the squared multiple correlation of pattern and columns is 1
        notes = (*notes, "χ² is the number of rows: some column tells the patterns apart completely")
    return LittleTest(
        statistic, df, p, len(used), len(patterns.count), patterns.names, tuple(left_out), contributions,
        tuple(_named(note, kept) for note in notes),
    )  # fmt: skip


def _distance(gap: np.ndarray, cov: np.ndarray) -> float:
    """Gap' cov⁻¹ gap, NaN where cov is singular as a correlation; 0 where nothing is seen."""
    if not len(gap):
        return 0.0
    sd = np.sqrt(np.diag(cov))
    if not (sd > 0).all():
        return np.nan
    values, vectors = np.linalg.eigh(cov / np.outer(sd, sd))
    return float(((vectors.T @ (gap / sd)) ** 2 / values).sum()) if values[0] > _SINGULAR else np.nan


def _no_test(kept: Sequence[Column], left_out: Sequence[tuple[str, str]], n: int, *why: str) -> LittleTest:
    empty = pd.DataFrame(columns=["count", "n_missing", "missing", "contribution", "df", "share"])
    names = tuple(c.name for c in kept)
    return LittleTest(np.nan, 0, np.nan, n, 0, names, tuple(left_out), empty, why)
