"""Random effects of a data model that a model of holes reads: a shared-parameter model in a long table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.factored.random_terms import RandomTerms
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.shared import SharedParameter

__all__ = ["Shared", "shared_terms"]


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """Terms of an indicator that are random effects of a column's model.

    Attributes
    ----------
    source : int
        The factor whose effects they are.
    effects : str
        The name of the effects.
    places, which : (s,) arrays
        The coefficients of the indicator, and the random terms that they belong to.
    per_sd : (s,) bool array
        Whether a coefficient of the standardised factor is per sd of its random term.
    at : (N,) array
        The group of each own row.
    """

    source: int
    effects: str
    places: np.ndarray
    which: np.ndarray
    per_sd: np.ndarray
    at: Any

    @property
    def scaled(self) -> str:
        """The name of the effects, (groups, s), per sd where coefficients are."""
        return f"{self.effects}_scaled"

    def predictor(self, coef: Any, par: Mapping[str, Any]) -> Any:
        """What the effects add to the linear predictor, (N,): scaled, or in own units of a layout in them."""
        held = par[self.scaled] if self.scaled in par else par[self.effects][:, self.which]
        return (held[self.at] * coef[self.places]).sum(axis=1)

    def sds(self, par: Mapping[str, Any], random: RandomTerms) -> np.ndarray:
        """By what coefficients of the standardised factor are divided, (s,), from sds in own units."""
        return np.where(self.per_sd, np.asarray(par[random.sd])[self.which], 1.0)


def shared_terms(belief: SharedParameter, source: int, random: RandomTerms, first: int, rows: np.ndarray) -> Shared:
    """Lay out the random terms that a belief names; their coefficients stand after `first` others."""
    slopes = [i for i, t in enumerate(random.terms) if t != "Intercept"]
    place = {"intercept": [i for i, t in enumerate(random.terms) if t == "Intercept"], "slope": slopes}
    declared = prior_table(belief.priors)
    given = [declared.get(name) for name in belief.shared]
    per_sd = [prior is None or (isinstance(prior, Prior) and prior.unit == "sd") for prior in given]
    return Shared(
        source,
        random.effects,
        np.arange(first, first + len(belief.shared)),
        np.array([place[name][0] for name in belief.shared]),
        np.array(per_sd),
        random.of_row[rows],
    )
