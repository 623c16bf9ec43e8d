"""What sums over unseen values leave out: counts above the largest, and what lies between points."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from mnarkit.factored import arithmetic
from mnarkit.factored.layout import Layout
from mnarkit.factored.likelihood import linear_predictor, unit_loglik

__all__ = ["neglected", "said_neglected", "said_unresolved"]

_MOST = 1e-3
_MOST_OFF = 0.01  # log likelihood of a row


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


def said_unresolved(
    layout: Layout, finer: Layout, draws: Sequence[tuple[Mapping[str, Any], Sequence[np.ndarray]]]
) -> tuple[str, ...]:
    """Say where sums over points differ from sums over twice as many, in the log likelihood of a row at some draws."""
    columns = [one.column for one, grid in zip(layout.coded, layout.grids, strict=True) if grid is not None]
    if not columns:
        return ()
    each = [np.abs(unit_loglik(finer, par, cells) - unit_loglik(layout, par, cells)) for par, cells in draws]
    off = np.median(each, axis=0)
    if off.max() <= _MOST_OFF:
        return ()
    return (
        f"the sums over unseen {', '.join(columns)} are off by {off.max():.2g} in the log likelihood of a row and by "
        f"{off.sum():.2g} in all: a coefficient is so large that the indicator jumps between two points; give "
        "it a tighter prior, or write the jump as above()",
    )
