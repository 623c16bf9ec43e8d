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

__all__ = [
    "MOST_INTEGRATED",
    "MOST_SAMPLING",
    "check_propensities",
    "orthants",
    "refuse_sampled",
    "sampled_rows",
    "too_many",
]

# Correlated propensities of a row: four are good to 4e-6 over 576 fixed points, five to a percent only. Three take 40
# points: to sample the unseen values of four costs a fraction of integrating them in every gradient.
MOST_INTEGRATED, MOST_SAMPLING = 4, 3


def too_many(together: np.ndarray, logit: np.ndarray, limited: np.ndarray, most: int) -> np.ndarray:
    """Say of each row or pattern (n, K) whether its unseen values are sampled: its propensities are too many.

    They are beyond `most`, or beyond two where one is a logit; not where a limit is among them, which leaves no freedom
    to a sampled value. `logit` and `limited` (K,) say what each is.
    """
    return _beyond(together, logit, most) & ~(together & limited).any(axis=1)


def _beyond(together: np.ndarray, logit: np.ndarray, most: int) -> np.ndarray:
    count = together.sum(axis=1)
    return (count > most) | ((count > 2) & (together & logit).any(axis=1))


def check_propensities(spec: Spec, data: IncompleteData) -> None:
    """Refuse limits among more correlated propensities in a row than can be integrated well."""
    reading, logit, limited = _reading(spec, data)
    among = _beyond(reading, logit, MOST_INTEGRATED) & (reading & limited).any(axis=1)
    if among.any():
        raise SpecError(
            f"{int(among.sum())} rows have unseen values in more than {MOST_INTEGRATED} models of indicators or limits "
            f"({_names(spec)}), or more than two with link='logit', a limit among them, whose joint probability is not "
            "supported; leave a column's holes as ignorable, or its limits out"
        )


def sampled_rows(spec: Spec, data: IncompleteData) -> int:
    """Count the rows whose unseen values are sampled beside the parameters."""
    return int(too_many(*_reading(spec, data), MOST_SAMPLING).sum())


def refuse_sampled(spec: Spec, data: IncompleteData, what: str, most: int) -> None:
    """Refuse rows whose joint probability `what` would need, where it cannot be integrated well."""
    count = int(too_many(*_reading(spec, data), most).sum())
    if count:
        raise SpecError(
            f"{count} rows have unseen values in more than {most} models of indicators ({_names(spec)}), or "
            f"more than two with link='logit': mk.sample samples those values, {what} would need their joint "
            "probability; leave a column's holes as ignorable there"
        )


def _reading(spec: Spec, data: IncompleteData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each propensity reads an unseen value of a row, (n, propensities), is a logit, and is a limit.

    Those that do are correlated given what is seen.
    """
    beliefs = [b for b in spec.selections if not isinstance(b, SharedParameter)]  # those are integrated otherwise
    if not beliefs and not spec.limits:
        none = np.zeros(0, dtype=bool)
        return np.zeros((data.n, 0), dtype=bool), none, none
    columns = spec.model.columns
    seen = np.column_stack([data.seen(c) for c in columns])
    cells = bounds_of(spec, data).cells
    each = [(r, b.link == "logit", False) for b in beliefs for r in _with_unseen(b, spec, data, seen, seen | cells)]
    each += [(rows, False, True) for rows in cells.T if rows.any()]
    reading = np.array([rows for rows, _, _ in each], dtype=bool).reshape(len(each), data.n).T
    return reading, np.array([logit for _, logit, _ in each]), np.array([limit for *_, limit in each])


def orthants(spec: Spec, data: IncompleteData, most: int = MOST_SAMPLING) -> tuple[str, ...]:
    """Say in a sentence how rows with correlated propensities are computed; nothing if there are none."""
    shared = next((b for b in spec.selections if isinstance(b, SharedParameter)), None)
    if shared is not None:
        return (over_random_terms(shared),)
    reading, logit, limited = _reading(spec, data)
    together, many = reading.sum(axis=1), too_many(reading, logit, limited, most)
    two, more = int((together == 2).sum()), int(((together > 2) & ~many).sum())
    ways = (
        [f"in {two} of {data.n} rows two, whose joint probability is a bivariate normal's in closed form"]
        if two
        else []
    )
    if more:
        ways.append(f"in {more} more than two, integrated over fixed points")
    if many.any():
        ways.append(f"in {int(many.sum())} too many for that, whose unseen values are sampled beside the parameters")
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
