"""Tables drawn from a fit: (y, r) at one posterior draw for the table's own predictors, and the table itself completed.

Holes that the spec models are drawn; holes that it takes as ignorable are filled, in the table by imputation. So a
statistic of a drawn table and the same statistic of the completed one have the same distribution if the model is true.
"""

from typing import Protocol

import numpy as np

from mnarkit.diagnose.replicate_factored import factored_replicator
from mnarkit.diagnose.replicate_normal import normal_replicator
from mnarkit.fit import Fit
from mnarkit.spec.engine import engine_of

__all__ = ["Replicator", "replicator_of"]


class Replicator(Protocol):
    """What a predictive check needs of an engine; tables are (n, p), NaN where a modelled hole is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a table."""
        ...

    @property
    def x(self) -> np.ndarray:
        """The predictors of the data model, (n, q)."""
        ...

    @property
    def modelled(self) -> np.ndarray:
        """The columns whose holes the spec models, (p,) bool."""
        ...

    @property
    def constant(self) -> bool:
        """Whether `completed` is the same for every draw."""
        ...

    def completed(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """The table, its ignorable holes filled at posterior draw `number`."""
        ...

    def replicated(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """A table drawn at posterior draw `number`; the same noise for the same state of `rng`."""
        ...


def replicator_of(fit: Fit) -> Replicator | None:
    """Make the replicator of a fit; None where its engine has none for its beliefs."""
    return factored_replicator(fit) if engine_of(fit.spec, fit.data).name == "factored" else normal_replicator(fit)
