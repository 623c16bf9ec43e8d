"""Death as a reason of its own: from which wave on a subject has no values, and who is still there at a wave."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError
from mnarkit.spec.check_dropout import leaving_wave_of
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.spec import Spec

__all__ = ["check_death", "dead_cells", "death_said", "death_waves", "still_there"]


def death_waves(belief: Dropout, data: IncompleteData) -> np.ndarray | None:
    """The first wave after each row's death, from 0, the number of waves where there is none; None without deaths.

    Raises
    ------
    DataError
        A name that is no wave, with the count.
    """
    if belief.death is None:
        return None
    given = data.frame[belief.death]
    told = given.notna().to_numpy() & (given.astype(str).str.strip() != "").to_numpy()
    names = given[told].astype(str).str.strip().tolist()
    wrong = [name for name in names if name not in belief.waves]
    if wrong:
        raise DataError(
            f"{belief.death!r} names the first wave after death, and {len(wrong)} rows have another value, such as "
            f"{wrong[0]!r}; allowed: {', '.join(belief.waves)}, or nothing"
        )
    first = np.full(data.n, len(belief.waves))
    first[told] = [belief.waves.index(name) for name in names]
    return first


def dead_cells(spec: Spec, data: IncompleteData) -> np.ndarray:
    """The cells of the modelled columns after death, (n, p): they have no value, and get none."""
    dead = np.zeros((data.n, len(spec.model.columns)), dtype=bool)
    belief = spec.dropout
    waves = None if belief is None else death_waves(belief, data)
    if belief is not None and waves is not None:
        order = [spec.model.columns.index(w) for w in belief.waves]
        dead[:, order] = np.arange(len(order))[None, :] >= waves[:, None]
    return dead


def still_there(spec: Spec, data: IncompleteData, present: np.ndarray) -> np.ndarray:
    """Whether a row has neither left nor died at each modelled column, (n, p); columns that are no waves: always."""
    there = np.ones(present.shape, dtype=bool)
    belief = spec.dropout
    if belief is None:
        return there
    order = [spec.model.columns.index(w) for w in belief.waves]
    death = death_waves(belief, data)
    until = leaving_wave_of(present[:, order], death)
    until = until if death is None else np.minimum(until, death)
    there[:, order] = np.arange(len(order))[None, :] < until[:, None]
    return there


def check_death(belief: Dropout, data: IncompleteData) -> None:
    """Check that the deaths of a dropout model can be true.

    Raises
    ------
    DataError
        Values recorded after death, with the count.
    """
    waves = death_waves(belief, data)
    if waves is None:
        return
    recorded = np.column_stack([data.seen(w) for w in belief.waves])
    after = recorded & (np.arange(len(belief.waves))[None, :] >= waves[:, None])
    if after.any():
        raise DataError(
            f"{int(after.sum())} values of {int(after.any(axis=1).sum())} rows are recorded at or after the wave that "
            f"{belief.death!r} names as the first after death; correct one of the two"
        )


def death_said(spec: Spec, data: IncompleteData) -> tuple[str, ...]:
    """Say how many cells are left without a value."""
    dead = dead_cells(spec, data)
    if not dead.any():
        return ()
    return (
        f"{int(dead.any(axis=1).sum())} of {data.n} subjects die: their {int(dead.sum())} cells after death are not "
        "imputed and stay missing in completed tables, and death is no reason of leaving",
    )
