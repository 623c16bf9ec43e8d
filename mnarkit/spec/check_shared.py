"""Whether a shared-parameter model fits a table, and what identifies it."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.formula import design
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.check_dropout import check_order, check_prior, leaving_wave_of
from mnarkit.spec.collinear import full_rank
from mnarkit.spec.data_models import DataModel, Regression, Regressions
from mnarkit.spec.growth import Growth
from mnarkit.spec.long_shared import long_shared_model
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter

__all__ = ["check_shared", "over_random_terms", "shared_identified", "shared_model", "shared_signs"]

_MOST_FACTORS = 2  # random terms whose coefficients differ by wave: each is one more dimension of an integral


def shared_model(model: DataModel, belief: SharedParameter) -> SharedParameter:
    """Check a belief against its growth model, and name the waves of one that takes all.

    Raises
    ------
    SpecError
        No growth model, a random term that it lacks, waves that it lacks or has in another order.
    """
    if isinstance(model, (Regression, Regressions)):
        return long_shared_model(model, belief)
    if not isinstance(model, Growth):
        raise SpecError(
            f"{belief} shares random terms, which {type(model).__name__} has not; take Growth(..., times=...), or "
            "Regression('y ~ time + (1 + time | id)') for a long table, as the data model"
        )
    if len(belief.waves) == 1:
        raise SpecError(f"waves= of {belief} names one wave of a growth model; leave waves= out for all of them")
    lacking = [name for name in belief.shared if name not in model.curve]
    if lacking:
        raise SpecError(
            f"{belief.formula!r} names {lacking[0]!r}, which a Growth of degree {model.degree} has not; its random "
            f"terms are {', '.join(model.curve)}"
        )
    used = {c for t in belief.parsed.terms for c in t.columns} & set(model.columns)
    if used:
        raise SpecError(
            f"{sorted(used)[0]!r} in {belief.formula!r} is a modelled column; a shared-parameter model reads random "
            "terms and fully seen columns (Dropout reads values)"
        )
    by_wave = [name for name in belief.shared if name in belief.by_wave]
    if by_wave and len(belief.shared) > _MOST_FACTORS:
        raise SpecError(
            f"{belief.formula!r} has {len(belief.shared)} random terms and {by_wave[0]!r} by wave; with coefficients "
            f"by wave at most {_MOST_FACTORS} random terms can be integrated out"
        )
    waves = belief.waves or model.columns
    unknown = [w for w in waves if w not in model.columns]
    if not unknown and [model.columns.index(w) for w in waves] != sorted(model.columns.index(w) for w in waves):
        raise SpecError(f"waves= of {belief} are not in the order of the growth model, {', '.join(model.columns)}")
    return SharedParameter(
        belief.formula, waves, belief.of, belief.by_wave, belief.link, belief.priors, because=belief.because
    )


def check_shared(belief: SharedParameter, data: IncompleteData) -> None:
    """Check that people leave, or holes are there, and that the formula can be read.

    Raises
    ------
    SpecError, DataError
        What is wrong, with counts and the ways on.
    """
    for name in RANDOM_TERMS:
        if name in data.columns and name in belief.shared:
            raise SpecError(
                f"{name!r} in {belief.formula!r} is a random term of the growth curve, and a column too; rename the "
                "column"
            )
    seen = np.column_stack([data.seen(w) for w in belief.waves])
    if belief.of == "dropout":
        check_order(belief, seen, data.n)
    if not (shared_signs(belief, seen) > 0).any():
        there = f"no row of {data.n} has a last run of holes in {', '.join(belief.waves[1:])}"
        holes = " (there are holes before the last recorded wave: of='missing' models those)" if not seen.all() else ""
        raise SpecError(f"nobody leaves after the first wave: {there}; leave SharedParameter out{holes}")
    built = design(belief.parsed, data, leave_out=RANDOM_TERMS)
    full_rank(built.matrix, built, f"the predictors in {belief.formula!r}")
    names = [*built.names, *belief.shared]
    for name in belief.by_wave:
        if name not in names:
            raise SpecError(f"by_wave= names {name!r}, no term of {belief.formula!r}; its terms are {', '.join(names)}")
    at_waves = _waves_with_a_model(belief, seen)
    known = [x for n in names for x in ([f"{n}[{w}]" for w in at_waves] if n in belief.by_wave else [n])]
    for name, prior in prior_table(belief.priors).items():
        check_prior(belief, name, prior, known)


def _waves_with_a_model(belief: SharedParameter, seen: np.ndarray) -> list[str]:
    """Name the waves with coefficients: with an intercept of their own, those where both answers occur."""
    signs = shared_signs(belief, seen)
    every = "Intercept" not in belief.by_wave
    both = (signs > 0).any(axis=0) & ((signs < 0).any(axis=0) | (belief.of == "dropout"))
    first = 1 if belief.of == "dropout" else 0
    return [w for t, w in enumerate(belief.waves) if t >= first and (every or both[t])]


def over_random_terms(belief: SharedParameter) -> str:
    """Say how the random terms are integrated out."""
    by_wave = any(name in belief.by_wave for name in belief.shared)
    size = len(belief.shared) if by_wave else 1
    what = "one number a row" if size == 1 else f"{size} numbers a row"
    return (
        f"the random {' and '.join(belief.shared)} in the model of {belief.of} are integrated out, over {what}, by a "
        "sum that is good to 1e-7"
    )


def shared_signs(belief: SharedParameter, seen: np.ndarray) -> np.ndarray:
    """+1 where the indicator of a wave is 1, -1 where it is 0, 0 where a row has none; seen and result (n, waves)."""
    if belief.of == "missing":
        return np.where(seen, -1, 1)
    left, at = leaving_wave_of(seen)[:, None], np.arange(seen.shape[1])[None, :]
    return np.where(at == 0, 0, np.where(left == at, 1, np.where(left > at, -1, 0)))


def shared_identified(belief: SharedParameter) -> str:
    """Say what identifies the coefficients of terms that nobody sees."""
    shown = f"the shared-parameter model {belief.formula!r}"
    fixed = {
        n: v
        for n, v in prior_table(belief.priors).items()
        if n.partition("[")[0] in belief.shared and not isinstance(v, Prior)
    }
    if fixed:
        name, value = next(iter(fixed.items()))
        return f"{shown} has the coefficient of {name} fixed at {value:g}: it is declared, and the data cannot test it"
    what = "leaving" if belief.of == "dropout" else "their holes"
    return (
        f"{shown} is identified by the subjects whose recorded values show their curve, and by {what}; that values and "
        "holes have nothing in common but the random terms, and that these are normal, the data cannot test"
    )
