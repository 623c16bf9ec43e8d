"""Shared-parameter models of long tables: random terms of a regression in the model of its holes."""

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.formula import design, parse
from mnarkit.priors import prior_table
from mnarkit.spec.check_dropout import check_prior
from mnarkit.spec.collinear import full_rank
from mnarkit.spec.regressions import Regression, Regressions
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter

__all__ = ["check_long_shared", "long_shared_model"]


def long_shared_model(model: Regression | Regressions, belief: SharedParameter) -> SharedParameter:
    """Check a belief against regressions with random terms, and name the column whose holes it is about.

    Raises
    ------
    SpecError
        No random terms, another kind of missingness than every hole, waves, a random term that is not there.
    """
    regression = _regression(model, belief)
    column, random = regression.columns[0], parse(regression.formula).random
    names = [] if random is None else ["intercept" if t.name == "1" else "slope" for t in random.terms]
    if belief.of != "missing":
        raise SpecError(
            f"{belief} is about leaving, which needs waves in their order; for a long table take of='missing', every "
            f"hole of {column!r}, or Growth(..., times=...) of the wide table"
        )
    if belief.by_wave not in ((), ("Intercept",)):
        raise SpecError(f"by_wave= of {belief} needs waves, which a long table has not; put C(time) into the formula")
    if names.count("slope") > 1:
        raise SpecError(
            f"the random terms {regression.bar} have {names.count('slope')} slopes, and {belief} can name one 'slope' "
            "alone; take the others out of the random terms"
        )
    lacking = [name for name in belief.shared if name not in names]
    if lacking:
        raise SpecError(
            f"{belief.formula!r} names {lacking[0]!r}, which the random terms {regression.bar} have not; they are "
            f"{', '.join(names)}"
        )
    used = sorted({c for t in belief.parsed.terms for c in t.columns} & set(model.columns))
    if used:
        raise SpecError(
            f"{used[0]!r} in {belief.formula!r} is a modelled column; a shared-parameter model reads random terms and "
            "fully seen columns (Selection reads values)"
        )
    return SharedParameter(belief.formula, (column,), "missing", (), belief.link, belief.priors, because=belief.because)


def _regression(model: Regression | Regressions, belief: SharedParameter) -> Regression:
    """Find the regression whose random terms are shared: that of the column named, or the only one with some."""
    every = model.regressions if isinstance(model, Regressions) else (model,)
    named = [r for r in every if r.bar is not None and belief.waves in ((), r.columns)]
    if len(named) == 1:
        return named[0]
    if not any(r.bar is not None for r in every):
        raise SpecError(
            f"{belief} shares random terms, which {type(model).__name__} has not; write (1 + time | id) into its "
            "formula, or take Growth(..., times=...) of the wide table"
        )
    with_terms = ", ".join(repr(r.columns[0]) for r in every if r.bar is not None)
    raise SpecError(f"{belief} is about the holes of one column with random terms; waves= names it: {with_terms}")


def check_long_shared(belief: SharedParameter, data: IncompleteData) -> None:
    """Check that there are holes, and that the formula can be read.

    Raises
    ------
    SpecError, DataError
        What is wrong, with counts and the ways on.
    """
    for name in RANDOM_TERMS:
        if name in data.columns and name in belief.shared:
            raise SpecError(f"{name!r} in {belief.formula!r} is a random term, and a column too; rename the column")
    column = belief.columns[0]
    if data.seen(column).all():
        raise SpecError(
            f"{column!r} has no holes in {data.n} rows, so {belief.formula!r} has nothing to explain; leave it out"
        )
    built = design(belief.parsed, data, leave_out=RANDOM_TERMS)
    full_rank(built.matrix, built, f"the predictors in {belief.formula!r}")
    for name, prior in prior_table(belief.priors).items():
        check_prior(belief, name, prior, [*built.names, *belief.shared])
