"""What told each parameter of a fit, by its engine."""

from mnarkit.diagnose.identification import Identified, identify_normal
from mnarkit.diagnose.identify_factored import identify_factored
from mnarkit.fit import Fit
from mnarkit.spec.engine import engine_of

__all__ = ["identify"]


def identify(fit: Fit, *, seed: int) -> Identified | None:
    """Label every parameter: what told it, the prior, an exclusion, or the shape of a distribution."""
    return (identify_factored if engine_of(fit.spec, fit.data).name == "factored" else identify_normal)(fit, seed=seed)
