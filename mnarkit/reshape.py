"""Long tables, a row a visit, to wide ones, a row a subject, and back."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError

__all__ = ["to_long", "to_wide"]


def to_wide(
    df: Any, *, subject: str, time: str, value: str | Sequence[str], times: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Turn a table with one row per subject and visit into one with one row per subject.

    Parameters
    ----------
    df : DataFrame
        The long table.
    subject, time : str
        The columns of subjects and of visits, without holes.
    value : str or sequence of str
        The columns that become one column a visit, `value_time`.
    times : sequence, optional
        The visits in their order; by default sorted, or in the order of a categorical column.

    Returns
    -------
    DataFrame
        Subjects in the order in which they come, their columns that do not change, then `value_time` by visit; a visit
        without a row is a hole.

    Raises
    ------
    DataError
        A subject listed twice at one visit, a hole in subject or time, a visit that `times=` lacks.

    Warns
    -----
    UserWarning
        Columns that change within subjects and are not in `value` are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> import mnarkit as mk
    >>> long = pd.DataFrame({"id": [1, 1, 2], "week": [0, 4, 0], "arm": ["a", "a", "b"], "score": [20.0, 17.0, 22.0]})
    >>> mk.to_wide(long, subject="id", time="week", value="score")
       id arm  score_0  score_4
    0   1   a     20.0     17.0
    1   2   b     22.0      NaN
    """
    data = IncompleteData.of(df)
    values = [value] if isinstance(value, str) else list(value)
    data.require([subject, time, *values], "to_wide")
    for column in (subject, time):
        holes = int((~data.seen(column)).sum())
        if holes:
            raise DataError(
                f"{column!r} has {holes} holes in {data.n} rows; every row belongs to a subject and a visit"
            )
    frame = data.frame
    visits = _visits(frame[time], time, times)
    _once(frame, subject, time)
    rest = [c for c in frame.columns if c not in (subject, time, *values)]
    changing = [c for c in rest if (frame.groupby(subject, sort=False)[c].nunique(dropna=False) > 1).any()]
    if changing:
        warnings.warn(
            f"{len(changing)} columns change within {subject!r} and are left out: {', '.join(changing)}; name them in "
            "value= to keep them by visit",
            UserWarning,
            stacklevel=2,
        )
    kept = [c for c in rest if c not in changing]
    subjects = frame.drop_duplicates(subject)[[subject, *kept]].reset_index(drop=True)
    parts = [subjects]
    for name in values:
        wide = frame.pivot(index=subject, columns=time, values=name).reindex(index=subjects[subject], columns=visits)
        taken = [f"{name}_{_said(t)}" for t in visits]
        clash = [c for c in taken if c in subjects.columns]
        if clash:
            raise DataError(f"{clash[0]!r} is a column already; rename it, or {name!r}")
        parts.append(wide.set_axis(taken, axis=1).reset_index(drop=True))
    return pd.concat(parts, axis=1)


def to_long(df: Any, *, subject: str, time: str, value: str | Sequence[str]) -> pd.DataFrame:
    """Turn a table that `to_wide` made back into one row per subject and visit.

    Parameters
    ----------
    df : DataFrame
        One row per subject, with columns `value_time`.
    subject, time : str
        The column of subjects, and the name that the column of visits gets; visits that all read as numbers are
        numbers.
    value : str or sequence of str
        The columns to make.

    Returns
    -------
    DataFrame
        Subjects in their order, visits in the order of the columns; a hole is a row with a hole.

    Raises
    ------
    DataError
        A subject listed twice, no column `value_...`, or values recorded at other visits than each other.

    Examples
    --------
    >>> import pandas as pd
    >>> import mnarkit as mk
    >>> wide = pd.DataFrame({"id": [1, 2], "arm": ["a", "b"], "score_0": [20.0, 22.0], "score_4": [17.0, None]})
    >>> mk.to_long(wide, subject="id", time="week", value="score")
       id arm  week  score
    0   1   a     0   20.0
    1   1   a     4   17.0
    2   2   b     0   22.0
    3   2   b     4    NaN
    """
    data = IncompleteData.of(df)
    values = [value] if isinstance(value, str) else list(value)
    data.require([subject], "to_long")
    twice = int(data.frame[subject].duplicated().sum())
    if twice:
        raise DataError(f"{subject!r} has {twice} subjects listed again; a wide table has one row a subject")
    columns = {name: [c for c in data.columns if c.startswith(f"{name}_")] for name in values}
    visits = {name: [c.removeprefix(f"{name}_") for c in found] for name, found in columns.items()}
    for name in values:
        if not columns[name] or visits[name] != visits[values[0]]:
            raise DataError(
                f"no column {name!r} followed by _ and a visit; the columns are {', '.join(data.columns[:12])}"
                if not columns[name]
                else f"{name!r} has the visits {', '.join(visits[name])}, {values[0]!r} {', '.join(visits[values[0]])}"
            )
    kept = [c for c in data.columns if all(c not in found for found in columns.values())]
    frame, count = data.frame, len(visits[values[0]])
    out = frame.loc[frame.index.repeat(count), kept].reset_index(drop=True)
    out[time] = np.tile(np.array(_numbers(visits[values[0]])), len(frame))
    for name in values:
        stacked = pd.concat([frame[c].reset_index(drop=True) for c in columns[name]], axis=1, keys=range(count))
        out[name] = stacked.stack(future_stack=True).to_numpy()
    return out


def _visits(column: pd.Series, name: str, times: Sequence[Any] | None) -> list[Any]:
    if times is None:
        if isinstance(column.dtype, pd.CategoricalDtype):
            return list(column.cat.remove_unused_categories().cat.categories)
        return sorted(column.unique().tolist())
    odd = column[~column.isin(list(times))]
    if len(odd):
        raise DataError(f"{name!r} has {len(odd)} rows at visits that times= lacks, such as {odd.tolist()[0]!r}")
    if len(set(times)) < len(times):
        raise DataError(f"times= names a visit twice: {list(times)!r}")
    absent = [t for t in times if not (column == t).any()]
    if absent:
        raise DataError(f"times= names {absent[0]!r}, at which {name!r} has no row; leave it out")
    return list(times)


def _once(frame: pd.DataFrame, subject: str, time: str) -> None:
    twice = frame.duplicated([subject, time])
    if twice.any():
        first = {c: frame.loc[twice, c].tolist()[0] for c in (subject, time)}
        raise DataError(
            f"{int(twice.sum())} rows repeat a subject at a visit, the first is {subject} {first[subject]!r} at {time} "
            f"{first[time]!r}; keep one row each"
        )


def _said(time: Any) -> str:
    return f"{time:g}" if isinstance(time, float) else str(time)


def _numbers(visits: list[str]) -> list[Any]:
    for kind in (int, float):
        try:
            return [kind(v) for v in visits]
        except ValueError:
            continue
    return visits
