"""Maximum likelihood by EM."""

from mnarkit.em.fit import EMFit
from mnarkit.em.normal import em

__all__ = ["EMFit", "em"]
