"""Whether a dropout model fits a table, and what identifies it."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.formula import design
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.collinear import full_rank
from mnarkit.spec.data_models import DataModel
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.exclusions import exclusions_of
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.slopes import check_groups, slopes_of

__all__ = [
    "check_dropout",
    "check_order",
    "check_prior",
    "dropout_identified",
    "leaving_wave_of",
    "unseen_in_hazards",
]


def check_dropout(
    belief: Dropout, modelled: tuple[str, ...], data: IncompleteData, present: np.ndarray, death: np.ndarray | None
) -> None:
    """Check that people leave, in the order of the waves, and that the hazard can be read.

    Present are the modelled cells that were measured, (n, p): recorded, or known up to limits; death is the first wave
    after it, (n,).

    Raises
    ------
    SpecError, DataError
        What is wrong, with counts and the ways on.
    """
    for name in (CURRENT, PREVIOUS):
        if name in data.columns and name in {c for t in belief.parsed.terms for c in t.columns}:
            raise SpecError(
                f"{name!r} in {belief.formula!r} is the value at a wave, and a column too; rename the column"
            )
    for term in belief.parsed.terms:
        unseen = sorted(term.columns & set(modelled))
        if unseen:
            raise SpecError(
                f"{unseen[0]!r} in {belief.formula!r} is a modelled column; a hazard reads the waves as current and "
                "previous, and fully seen columns"
            )
    recorded = np.column_stack([data.seen(w) for w in belief.waves])
    seen = present[:, [modelled.index(w) for w in belief.waves]]
    left = leaving_wave_of(seen, death)
    check_order(belief, seen, data.n)
    if not np.any((left > 0) & (left < seen.shape[1])):
        raise SpecError(
            f"nobody leaves after the first wave: no row of {data.n} has a last run of holes in "
            f"{', '.join(belief.waves[1:])}; leave Dropout out"
        )
    _come_back(belief, recorded, seen, left if death is None else np.minimum(left, death), death)
    built = design(belief.parsed, data, leave_out=(CURRENT, PREVIOUS))
    full_rank(built.matrix, built, f"the predictors in {belief.formula!r}")
    slopes = slopes_of(belief.parsed, data, (PREVIOUS, CURRENT))
    check_groups(slopes, data)
    names = [*built.names, *slopes.names]
    for name in belief.by_wave:
        if name not in names:
            raise SpecError(f"by_wave= names {name!r}, no term of {belief.formula!r}; its terms are {', '.join(names)}")
    every = "Intercept" not in belief.by_wave
    at_waves = [w for t, w in enumerate(belief.waves) if t and (every or (left == t).any())]
    known = [x for n in names for x in ([f"{n}[{w}]" for w in at_waves] if n in belief.by_wave else [n])]
    for name, prior in prior_table(belief.priors).items():
        check_prior(belief, name, prior, known)


def leaving_wave_of(seen: np.ndarray, death: np.ndarray | None = None) -> np.ndarray:
    """Find the wave at which the last run of holes of each row begins; the number of waves where there is none.

    Who has every wave up to death, the first wave after it, (n,), does not leave.
    """
    if death is None:
        return np.where(seen.any(axis=1), seen.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    left = leaving_wave_of(seen & (np.arange(seen.shape[1])[None, :] < death[:, None]))
    return np.where(left == death, seen.shape[1], left)


def check_order(belief: Dropout | SharedParameter, seen: np.ndarray, n: int) -> None:
    """Refuse waves that people join instead of leaving.

    Raises
    ------
    SpecError
        How many rows join.
    """
    backwards = int(np.sum(~seen[:, 0] & seen[:, -1]))
    if backwards and not np.any(seen[:, 0] & ~seen[:, -1]):
        raise SpecError(
            f"{backwards} of {n} rows have {belief.waves[-1]!r} and lack {belief.waves[0]!r}, none the other way: "
            "waves= are in their order in time"
        )


def _come_back(
    belief: Dropout, recorded: np.ndarray, seen: np.ndarray, until: np.ndarray, death: np.ndarray | None
) -> None:
    n, gaps = len(seen), ~seen & (np.arange(seen.shape[1])[None, :] < until[:, None])
    many = (np.sum(unseen_in_hazards(belief, recorded, seen, death), axis=0) > 2) & gaps.any(axis=1)
    if many.any():
        raise DataError(
            f"{int(gaps.any(axis=1).sum())} of {n} rows come back after a hole ({int(gaps.sum())} holes before the "
            f"last recorded wave), and {int(many.sum())} of them have more than two hazards that read unseen values: "
            "dropout is not monotone; leave those rows' values after their first hole out, as if they had left there, "
            "or model the hazard without current and previous, which leaves intermittent holes MAR"
        )


def check_prior(belief: Dropout | SharedParameter, name: str, prior: Prior | float, known: list[str]) -> None:
    """Check the prior of a coefficient of an indicator by wave.

    Raises
    ------
    SpecError
        A term that is not there, a fixed intercept, or a family or unit that does not go with it.
    """
    if name not in known:
        raise SpecError(f"the prior of {name!r} has no term in {belief}; its parameters are {', '.join(known)}")
    intercept = name.startswith("Intercept")
    if not isinstance(prior, Prior):
        if intercept:
            raise SpecError(f"the intercept {name!r} of {belief} is estimated; slopes alone can be fixed")
        return
    if prior.family not in ("normal", "student_t", "uniform"):
        raise SpecError(f"the prior of {name!r} in {belief} is normal, student_t or uniform, not {prior.family}")
    if intercept and prior.unit == "raw":
        raise SpecError(f"the prior of {name!r} is at the centre of the predictors; unit='raw' is not for it")


def unseen_in_hazards(
    belief: Dropout, seen: np.ndarray, present: np.ndarray, death: np.ndarray | None
) -> list[np.ndarray]:
    """Find, by wave, the rows at risk whose hazard depends on an unseen value; seen and present are (n, waves)."""
    left = leaving_wave_of(present, death)
    previous, current = belief.reads
    found = []
    for t in range(1, seen.shape[1]):
        unseen = (previous & ~seen[:, t - 1]) | (current & ~seen[:, t])
        found.append(unseen & (left >= t) & (death is None or death > t))
    return found


def dropout_identified(belief: Dropout, model: DataModel) -> str:
    """Say what identifies the coefficient of the value that nobody sees."""
    shown = f"the dropout model {belief.formula!r}"
    if not belief.reads[1]:
        return f"{shown} does not contain current: leaving is ignorable under this belief"
    fixed = {n: v for n, v in prior_table(belief.priors).items() if n.startswith(CURRENT) and not isinstance(v, Prior)}
    if fixed and all(term.bare for term in belief.parsed.terms if CURRENT in term.columns):
        name, value = next(iter(fixed.items()))
        return f"{shown} has the coefficient of {name} fixed at {value:g}: it is declared, and the data cannot test it"
    left = exclusions_of(belief, model)
    excluded, shadow = left.excluded, left.shadow
    rests = [f"{', '.join(excluded)} moving leaving and not the values (exclusion)"] if excluded else []
    rests += [f"{', '.join(shadow)} moving the values and, given them, not leaving (shadow variable)"] if shadow else []
    if not belief.reads[0]:
        rests.append("the previous value moving the current one and, given it, not leaving (shadow variable)")
    if not rests:
        return (
            f"{shown} is identified by the normal shape of the values and the {belief.link} link alone, which the data "
            "can hardly check; treat it as a sensitivity analysis"
        )
    return f"{shown} is identified by {' and '.join(rests)}; the data cannot test that"
