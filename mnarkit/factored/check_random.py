"""Do random terms fit a table? One clear line for whatever makes them unusable."""

from collections.abc import Collection

import numpy as np

from mnarkit.bars import Bar
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.factored.random_terms import group_labels
from mnarkit.formula import Formula, design
from mnarkit.priors import Prior
from mnarkit.spec.collinear import full_rank
from mnarkit.spec.model_priors import RANDOM_PRIORS, model_priors

__all__ = ["check_random", "check_random_prior"]

_FEWEST_GROUPS, _MOST_TERMS = 3, 6


def check_random(
    formula: Formula, seen: np.ndarray, what: str, modelled: Collection[str], data: IncompleteData
) -> None:
    """Check the random terms of a formula whose response is recorded in the rows `seen`, (n,).

    Raises
    ------
    SpecError, DataError
        A column that is not there, has holes or is modelled, too few groups, one row a group, terms that do not vary.
    """
    if formula.bar is None or formula.random is None:
        return
    _columns(formula.bar, formula.random, modelled, data)
    labels = np.array(group_labels(data.frame[formula.bar.group].tolist()))[seen]
    groups, at, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    group = repr(formula.bar.group)
    if len(groups) < _FEWEST_GROUPS:
        raise DataError(
            f"{group} has {len(groups)} levels in the {len(labels)} rows with {what}; random terms {formula.bar} need "
            f"at least {_FEWEST_GROUPS}; put C({formula.bar.group}) into the formula instead"
        )
    if sizes.max() < 2:
        raise DataError(
            f"every one of the {len(groups)} levels of {group} has one row with {what}; random terms {formula.bar} "
            "need levels with several rows; leave them out"
        )
    built = design(formula.random, data)
    x = built.matrix[seen]
    if x.shape[1] > _MOST_TERMS:
        raise SpecError(
            f"the random terms {formula.bar} are {x.shape[1]} columns of at most {_MOST_TERMS} ("
            f"{', '.join(built.names)}); take fewer"
        )
    full_rank(x, built, f"the random terms {formula.bar}", f" with {what}")
    for j, name in enumerate(built.names):
        low, high = np.full(len(groups), np.inf), np.full(len(groups), -np.inf)
        np.minimum.at(low, at, x[:, j])
        np.maximum.at(high, at, x[:, j])
        if name != "Intercept" and not (high > low).any():
            raise DataError(
                f"{name!r} in {formula.bar} does not vary within any of the {len(groups)} levels of {group}, so that "
                "no slope of a level can be seen; take it out of the random terms"
            )


def _columns(bar: Bar, random: Formula, modelled: Collection[str], data: IncompleteData) -> None:
    if bar.group in modelled:
        raise SpecError(f"{bar.group!r} is a modelled column and the groups of {bar} too; it can be one of them")
    holes = int((~data.seen(bar.group)).sum())
    if holes:
        raise DataError(
            f"{bar.group!r} in {bar} has {holes} holes: of which level those rows are must be known; leave them out"
        )
    for column in sorted({c for t in random.terms for c in t.columns}):
        holes = int((~data.seen(column)).sum())
        if holes:
            raise SpecError(
                f"{column!r} in {bar} has {holes} holes; random slopes take fully seen columns: leave those rows out, "
                "or take it out of the random terms"
            )


def check_random_prior(name: str, prior: Prior | float, formula: Formula) -> None:
    """Check a prior of random terms in a selection model.

    Raises
    ------
    SpecError
        There are no random terms, a number, or a family that does not go with it.
    """
    if formula.bar is None:
        raise SpecError(f"the prior of {name!r} has no random terms in {formula.text!r}; add (1 | group)")
    model_priors({name: prior}, repr(formula.text), names=RANDOM_PRIORS)  # type: ignore[dict-item]
