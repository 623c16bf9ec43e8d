"""Whether holes are monotone, as an identifying restriction needs them."""

import numpy as np

from mnarkit.errors import SpecError

__all__ = ["monotone_lengths"]


def monotone_lengths(columns: tuple[str, ...], seen: np.ndarray) -> np.ndarray:
    """How many waves each row has, where they are monotone.

    Raises
    ------
    SpecError
        Rows with a hole before a recorded value: how many, and the ways on.
    """
    length = seen.sum(axis=1)
    gaps = seen != (np.arange(len(columns))[None, :] < length[:, None])
    broken = gaps.any(axis=1)
    if broken.any():
        raise SpecError(
            f"{int(broken.sum())} of {len(seen)} rows have a hole before a recorded value (the first is row "
            f"{int(np.flatnonzero(broken)[0])}), and a Restriction is for monotone holes in the order "
            f"{', '.join(columns)}; leave out what those rows have after their first hole, or fill the holes before "
            "dropout first (mk.impute under MAR)"
        )
    return length
