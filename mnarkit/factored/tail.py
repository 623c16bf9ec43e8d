"""How much of a count's distribution lies above the largest value that was summed over."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from mnarkit.factored import arithmetic
from mnarkit.factored.layout import Layout
from mnarkit.factored.likelihood import linear_predictor

__all__ = ["neglected", "said_neglected"]

_MOST = 1e-3


def neglected(layout: Layout, draws: Sequence[tuple[Mapping[str, Any], Sequence[np.ndarray]]]) -> dict[str, float]:
    """P(y > largest count summed over), the mean over draws in the row where it is largest, by column."""
    found = {}
    for j, (one, factor) in enumerate(zip(layout.coded, layout.factors, strict=False)):
        rows = slice(factor.direct, None)
        if one.family.support != "counts" or not layout.roles.summed[:, j].any():
            continue
        above = [_above(layout, j, par, latent)[rows] for par, latent in draws]
        found[one.column] = float(np.max(np.mean(above, axis=0)))
    return found


def _above(layout: Layout, j: int, par: Mapping[str, Any], latent: Sequence[np.ndarray]) -> np.ndarray:
    one, factor = layout.coded[j], layout.factors[j]
    mean = np.exp(linear_predictor(factor, par, latent, layout.columns, arithmetic))
    if one.family.name == "poisson":
        return np.asarray(stats.poisson.sf(one.bounds[1], mean))
    size = par[f"cv_{one.column}"] ** -2.0
    return np.asarray(stats.nbinom.sf(one.bounds[1], size, size / (size + mean)))


def said_neglected(layout: Layout, found: Mapping[str, float]) -> tuple[str, ...]:
    """Say where too much was neglected, and the fix."""
    bounds = {one.column: one.bounds[1] for one in layout.coded}
    return tuple(
        f"unseen {column!r} above {bounds[column]:.0f} was neglected, which has probability {share:.2g} in a row: "
        "set a larger bounds=(0, ...)"
        for column, share in found.items()
        if share > _MOST
    )
