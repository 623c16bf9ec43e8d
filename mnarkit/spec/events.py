"""Events of a reference-based belief on a table: from which visit on, which strategy, what the fit leaves out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.formula import design
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec
from mnarkit.strategies import known_strategies

__all__ = ["Events", "check_reference", "events_of", "fitted_table", "under_control"]


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What a belief says of every row.

    Attributes
    ----------
    first : (n,) int array
        The first visit after the event, from 0; the number of visits where there is no event.
    strategy : (n,) object array
        The name of the row's strategy; "MAR" where there is no event.
    aside : (n, p) bool array
        Recorded values after an event under another strategy than MAR: not in the fit, kept in the table.
    """

    first: np.ndarray
    strategy: np.ndarray
    aside: np.ndarray


def events_of(belief: Reference, visits: tuple[str, ...], data: IncompleteData) -> Events:
    """Read the events of a table.

    Raises
    ------
    DataError
        A visit or a strategy that does not exist, with the count.
    """
    seen = np.column_stack([data.seen(c) for c in visits])
    first = _dropout(seen) if belief.event is None else _declared(belief.event, visits, data)
    strategy = np.full(data.n, belief.strategy, dtype=object)
    if belief.by_subject is not None:
        given = data.frame[belief.by_subject]
        told = given.notna().to_numpy() & (given.astype(str).str.strip() != "").to_numpy()
        strategy[told] = given[told].astype(str).str.strip().to_numpy(dtype=object)
        _known(strategy, known_strategies(), f"{belief.by_subject!r} names the strategy")
        if belief.k0 is None and (strategy == "causal").any():
            raise SpecError(
                f"{belief.by_subject!r} has {int((strategy == 'causal').sum())} subjects under 'causal': it needs k0="
            )
    strategy[first == len(visits)] = "MAR"
    after = np.arange(len(visits))[None, :] >= first[:, None]
    return Events(first, strategy, seen & after & (strategy != "MAR")[:, None])


def fitted_table(spec: Spec, data: IncompleteData) -> IncompleteData:
    """Take the values that a reference-based belief leaves out of the fit away; other specs get the table as it is."""
    belief = spec.reference
    if belief is None:
        return data
    check_reference(spec, data)
    aside = events_of(belief, spec.model.columns, data).aside
    if not aside.any():
        return data
    frame = data.frame.copy(deep=False)
    for j, column in enumerate(spec.model.columns):
        if aside[:, j].any():
            frame[column] = frame[column].where(~pd.Series(aside[:, j], index=frame.index))
    return IncompleteData.of(frame)


def under_control(belief: Reference, data: IncompleteData) -> IncompleteData:
    """Make the table in which everybody is in the control arm."""
    arm = data.frame[belief.arm]
    control = pd.Series([_level(belief, data)] * data.n, index=arm.index).astype(arm.dtype)
    return IncompleteData.of(data.frame.assign(**{belief.arm: control}))


def check_reference(spec: Spec, data: IncompleteData) -> None:
    """Check that arm, control, events and strategies of a reference-based belief are in the table and the data model.

    Raises
    ------
    SpecError, DataError
        What is not, with what is allowed.
    """
    belief = spec.reference
    if belief is None:
        return
    data.require([c for c in (belief.arm, belief.event, belief.by_subject) if c is not None], str(belief))
    used = {c for term in spec.model.predictors.terms for c in term.columns}
    if belief.arm not in used:
        raise SpecError(
            f"{belief} refers to {belief.arm!r}, which the data model does not read, so that both arms have one mean; "
            f"write MvNormal(..., given='{belief.arm} + ...')"
        )
    holes = int((~data.seen(belief.arm)).sum())
    if holes:
        raise DataError(f"{belief.arm!r} has {holes} holes in {data.n} rows; every subject has an arm")
    _level(belief, data)
    visits = spec.model.columns
    if belief.times and len(belief.times) != len(visits):
        raise SpecError(f"times= has {len(belief.times)} numbers for {len(visits)} visits ({', '.join(visits)})")
    events_of(belief, visits, data)
    design(spec.model.predictors, data).rebuild(under_control(belief, data))


def _level(belief: Reference, data: IncompleteData) -> object:
    """Find the level of the arms that equals control=, in the column's own type."""
    levels = list(pd.unique(data.frame[belief.arm].dropna()))
    same = [level for level in levels if level == belief.control]
    if not same:
        raise DataError(
            f"control={belief.control!r} is no level of {belief.arm!r}; its levels are "
            f"{', '.join(map(repr, (getattr(v, 'item', lambda v=v: v)() for v in levels[:12])))}"
        )
    return same[0]


def _dropout(seen: np.ndarray) -> np.ndarray:
    """The beginning of each row's last run of holes."""
    p = seen.shape[1]
    return np.where(seen.any(axis=1), p - np.argmax(seen[:, ::-1], axis=1), 0)


def _declared(column: str, visits: tuple[str, ...], data: IncompleteData) -> np.ndarray:
    given = data.frame[column]
    told = given.notna().to_numpy() & (given.astype(str).str.strip() != "").to_numpy()
    names = given[told].astype(str).str.strip().to_numpy(dtype=object)
    _known(names, visits, f"{column!r} names the first visit after the event")
    first = np.full(data.n, len(visits))
    first[told] = [visits.index(name) for name in names]
    return first


def _known(names: np.ndarray, allowed: tuple[str, ...], what: str) -> None:
    wrong = [name for name in names if name not in allowed]
    if wrong:
        raise DataError(
            f"{what}, and {len(wrong)} rows have another value, such as {wrong[0]!r}; allowed: "
            f"{', '.join(allowed)}, or nothing"
        )
