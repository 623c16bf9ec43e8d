"""Whether a table can tell a covariance for each level of a column, and whether the beliefs go with that."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.levels import check_seen, code_levels
from mnarkit.spec.data_models import MvNormal
from mnarkit.spec.missingness import Heckman
from mnarkit.spec.spec import Spec

__all__ = ["check_arms"]

_MOST = 50  # levels: a number for every row, or an identifier, is no arm


def check_arms(spec: Spec, data: IncompleteData) -> None:
    """Check `by=` of a data model on a table.

    Raises
    ------
    SpecError
        A belief that reads one covariance, or a column without two levels.
    DataError
        A hole in the column, or a level with too few rows or values.
    """
    model = spec.model
    if not isinstance(model, MvNormal) or model.by is None:
        return
    _beliefs(spec, model.by)
    check_seen(model.by, data)
    levels = code_levels(model.by, data).levels
    if not 1 < len(levels) <= _MOST:
        raise SpecError(
            f"by={model.by!r} has {len(levels)} levels in {data.n} rows, and each has a covariance; it takes 2 to "
            f"{_MOST}; leave by= out, or name another column"
        )
    seen = np.column_stack([data.seen(c) for c in model.columns])
    least = len(model.columns) + 1
    for level in levels:
        rows = (data.frame[model.by] == level).to_numpy(dtype=bool)
        count = int(seen[rows].any(axis=1).sum())
        if count < least:
            raise DataError(
                f"{model.by!r} is {level!r} in {count} rows with a recorded value, and a covariance of "
                f"{len(model.columns)} columns needs at least {least}; join levels, or leave by= out"
            )
        for j, column in enumerate(model.columns):
            values = data.number(column)[rows & seen[:, j]]
            if len(values) < 2 or np.ptp(values) == 0:
                raise DataError(
                    f"{column!r} has {len(values)} recorded values where {model.by} is {level!r}"
                    f"{', all the same' if len(values) > 1 else ''}; a covariance of that level needs more; join "
                    "levels, or leave by= out"
                )


def _beliefs(spec: Spec, by: str) -> None:
    inside = [c for c in spec.amounts if c.of == "model"]
    heckman = [b for b in spec.selections if isinstance(b, Heckman)]
    if inside or heckman:
        other = "of='prediction'" if inside else "Selection"
        raise SpecError(
            f"{(*inside, *heckman)[0]} reads one residual covariance, and by={by!r} has one for each level; use "
            f"{other}, or leave by= out"
        )
