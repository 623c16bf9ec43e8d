"""How many propensities of a row are correlated given what is seen, and whether that can be integrated."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.formula import parse
from mnarkit.spec.bounds import bounds_of
from mnarkit.spec.check_dropout import unseen_in_hazards
from mnarkit.spec.check_shared import over_random_terms
from mnarkit.spec.death import death_waves, still_there
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["check_propensities", "orthants"]

_MOST_TOGETHER = 4  # correlated propensities of a row: beyond it fixed points are good to a percent only


def check_propensities(spec: Spec, data: IncompleteData) -> None:
    """Refuse more correlated propensities in a row than can be integrated well: four, or two where one is a logit."""
    reading, logit = _reading(spec, data)
    together = reading.sum(axis=1)
    names = _names(spec)
    among = (together > 2) & (reading & logit).any(axis=1)
    if among.any():
        raise SpecError(
            f"{int(among.sum())} rows have unseen values in more than two models of indicators or limits ({names}), "
            "link='logit' among them, whose joint probability is not supported; take link='probit' for all, or leave a "
            "column's holes as ignorable"
        )
    many = together > _MOST_TOGETHER
    if many.any():
        raise SpecError(
            f"{int(many.sum())} rows have unseen values in more than {_MOST_TOGETHER} models of indicators or limits "
            f"({names}), whose joint probability is not integrated well enough; leave a column's holes as "
            "ignorable, or its limits out"
        )


def _reading(spec: Spec, data: IncompleteData) -> tuple[np.ndarray, np.ndarray]:
    """Whether each propensity reads an unseen value of a row, (n, propensities), and whether its link is a logit.

    Those that do are correlated given what is seen.
    """
    beliefs = [b for b in spec.selections if not isinstance(b, SharedParameter)]  # those are integrated otherwise
    if not beliefs and not spec.limits:
        return np.zeros((data.n, 0), dtype=bool), np.zeros(0, dtype=bool)
    columns = spec.model.columns
    seen = np.column_stack([data.seen(c) for c in columns])
    limited = bounds_of(spec, data).cells
    each = [(rows, b.link == "logit") for b in beliefs for rows in _with_unseen(b, spec, data, seen, seen | limited)]
    each += [(rows, False) for rows in limited.T if rows.any()]
    reading = np.array([rows for rows, _ in each], dtype=bool).reshape(len(each), data.n).T
    return reading, np.array([logit for _, logit in each], dtype=bool)


def orthants(spec: Spec, data: IncompleteData) -> tuple[str, ...]:
    """Say in a sentence how rows with correlated propensities are computed; nothing if there are none."""
    shared = next((b for b in spec.selections if isinstance(b, SharedParameter)), None)
    if shared is not None:
        return (over_random_terms(shared),)
    together = _reading(spec, data)[0].sum(axis=1)
    two, more = int((together == 2).sum()), int((together > 2).sum())
    ways = (
        [f"in {two} of {data.n} rows two, whose joint probability is a bivariate normal's in closed form"]
        if two
        else []
    )
    if more:
        ways.append(f"in {more} more than two, integrated over fixed points")
    if not ways:
        return ()
    what = "limits" if not spec.selections else "propensities and limits" if spec.limits else "propensities"
    return (f"{what} of {_names(spec)} are correlated given what is seen: {'; '.join(ways)}",)


def _names(spec: Spec) -> str:
    return ", ".join(dict.fromkeys(b.columns[0] for b in (*spec.selections, *spec.limits)))


def _with_unseen(
    belief: Selection | Heckman | Dropout, spec: Spec, data: IncompleteData, seen: np.ndarray, present: np.ndarray
) -> list[np.ndarray]:
    """Find the rows of each propensity of a belief that depend on an unseen value."""
    columns = spec.model.columns
    if not isinstance(belief, Dropout):
        there = still_there(spec, data, present)[:, columns.index(belief.columns[0])]
        return [(~seen[:, _reads(belief, columns)]).any(axis=1) & there]
    waves = [columns.index(w) for w in belief.waves]
    return unseen_in_hazards(belief, seen[:, waves], present[:, waves], death_waves(belief, data))


def _reads(belief: Selection | Heckman, columns: tuple[str, ...]) -> list[int]:
    """Find the modelled columns that a propensity depends on."""
    if isinstance(belief, Heckman):
        return [columns.index(belief.columns[0])]
    in_formula = {c for t in parse(belief.formula).terms for c in t.columns}
    return [j for j, c in enumerate(columns) if c in in_formula]
