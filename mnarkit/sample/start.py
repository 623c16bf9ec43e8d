"""Where the chains start: the data model's parameters at the MAR maximum, on standardised columns."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.em.normal import mar_start
from mnarkit.errors import ConvergenceError
from mnarkit.normal.correlation import partial_correlations
from mnarkit.normal.layout import Layout
from mnarkit.normal.scaling import Scaling
from mnarkit.normal.sources import moments_of
from mnarkit.normal.structure import Structure
from mnarkit.spec.events import fitted_table
from mnarkit.spec.spec import Spec

__all__ = ["start_of"]


def start_of(spec: Spec, data: IncompleteData, scaling: Scaling, standard: Layout) -> dict[str, np.ndarray]:
    """Free variables of the data model by name; none where EM does not get to the maximum.

    Covariances of several arms all start at the common one.
    """
    start = _common(spec, data, scaling, standard.structure)
    if standard.arms is None:
        return start
    arms = len(standard.arms.labels)
    return {name: v if name == "coef_z" else np.tile(v, (arms, 1)) for name, v in start.items()}


def _common(spec: Spec, data: IncompleteData, scaling: Scaling, structure: Structure | None) -> dict[str, np.ndarray]:
    try:
        point = mar_start(moments_of(spec.mar(), fitted_table(spec, data)), scaling)
    except ConvergenceError:
        return {}
    if point is None:
        return {}
    coef, cov = point
    if structure is not None:
        return _structured(structure, coef, cov)
    sd = np.sqrt(np.diag(cov))
    start = {"coef_z": coef, "sd_z": sd}
    if len(sd) > 1:
        start["partial_corr_z"] = (1 + np.clip(partial_correlations(cov), -0.99, 0.99)) / 2
    return start


def _structured(structure: Structure, coef: np.ndarray, cov: np.ndarray) -> dict[str, np.ndarray]:
    """Place the parameters of a structure near the unstructured maximum."""
    near = structure.nearest(coef, cov)
    if structure.basis is None:
        return {"coef_z": near.mean, "shape_z": near.shape, "sd_z": near.sd}
    spread = np.sqrt(np.diag(near.shape))
    start = {"growth_z": near.mean, "random_sd_z": spread, "residual_sd_z": near.sd}
    if len(spread) > 1:
        start["random_corr_z"] = (1 + np.clip(partial_correlations(near.shape), -0.9, 0.9)) / 2
    return start
