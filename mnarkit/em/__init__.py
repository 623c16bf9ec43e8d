"""Maximum likelihood by EM."""

from mnarkit.em.fit import EMFit
from mnarkit.em.penalty import InverseWishart, Jeffreys, Ridge
from mnarkit.em.run import em

__all__ = ["EMFit", "InverseWishart", "Jeffreys", "Ridge", "em"]
