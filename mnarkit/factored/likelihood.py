"""The log likelihood of a factored spec, once for NumPy and for PyTensor: unseen discrete values summed out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnarkit.factored import arithmetic
from mnarkit.factored.arithmetic import Arithmetic
from mnarkit.factored.density import indicator, log_density
from mnarkit.factored.layout import Factor, Layout
from mnarkit.families import FAMILIES

__all__ = ["candidate_densities", "fixed_predictor", "linear_predictor", "loglik", "row_densities", "unit_loglik"]

type Parameters = Mapping[str, Any]


def linear_predictor(
    factor: Factor, par: Parameters, latent: Sequence[Any], columns: Sequence[str], a: Arithmetic
) -> Any:
    """η = origin + unit · (x coef + z b), on the own rows of a factor, b the effects of the row's group.

    An indicator may read those of another factor.
    """
    eta = fixed_predictor(factor, par[factor.name], latent, columns, a)
    if factor.shared is not None:
        eta = eta + factor.shared.predictor(par[factor.name], par)
    if factor.random is None:
        return eta
    return eta + factor.unit * (factor.random.x * par[factor.random.effects][factor.random.at]).sum(axis=1)


def fixed_predictor(factor: Factor, coef: Any, latent: Sequence[Any], columns: Sequence[str], a: Arithmetic) -> Any:
    """η without random terms, on the own rows of a factor: (N,), or (N, K - 1) for a coefficient matrix.

    `latent` holds the values of the sampled cells of each column, in its own units.
    """
    eta = a.xp.dot(factor.x, coef.T)
    if factor.inputs:
        values = {i.column: _value(i.base, i.at, i.cells, i.column, latent, columns, a) for i in factor.inputs}
        at = [c.column for c in factor.curves]
        each = [factor.rest[:, k] * c.value(values, a.xp) for k, c in enumerate(factor.curves)]
        made = (a.xp.stack(each, axis=1) - factor.center[at]) / factor.scale[at]
        eta = a.add(eta, factor.curve_at, a.xp.dot(made, coef.T[at]))
    return factor.origin + factor.unit * eta


def _value(
    base: Any, at: Any, cells: Any, column: str, latent: Sequence[Any], columns: Sequence[str], a: Arithmetic
) -> Any:
    if column not in columns or not _any(latent[columns.index(column)]):
        return base
    return a.put(base, at, latent[columns.index(column)][cells])


def _any(cells: Any) -> bool:
    return not isinstance(cells, np.ndarray) or len(cells) > 0


def row_densities(
    factor: Factor, par: Parameters, latent: Sequence[Any], columns: Sequence[str], a: Arithmetic, added: Any = 0.0
) -> Any:
    """Log density of a factor on its own rows, (N,); `added` goes to the linear predictor."""
    eta = linear_predictor(factor, par, latent, columns, a) + added
    if factor.of_indicator:
        return indicator(factor.link, factor.y, eta, a)
    y = factor.y
    if _any(latent[factor.column]):
        y = a.put(y, factor.response_at, latent[factor.column][factor.response_cells])
    aux = {name: par[f"{name}_{columns[factor.column]}"] for name in FAMILIES[factor.family].auxiliary}
    return log_density(factor.family, y, eta, aux, factor.bounds, a) + factor.constant


def loglik(
    factors: Sequence[Factor], par: Parameters, latent: Sequence[Any], columns: Sequence[str], a: Arithmetic
) -> Any:
    """Log f(y_seen, r | θ, sampled cells) + log f(sampled cells | θ), a scalar."""
    each = [row_densities(f, par, latent, columns, a) for f in factors]
    total = sum(one[: f.direct].sum() for one, f in zip(each, factors, strict=True))
    for k in range(len(factors[0].maps)):
        total = total + a.log_sum_exp(_joint(factors, each, k, a)).sum()
    return total


def _joint(factors: Sequence[Factor], each: Sequence[Any], k: int, a: Arithmetic) -> Any:
    """Log density of every candidate of block k, (m, K)."""
    parts = []
    for one, factor in zip(each, factors, strict=True):
        rest = a.xp.concatenate([one[factor.direct :], np.zeros(1)])
        parts.append(rest[factor.maps[k]])
    return sum(parts[1:], start=parts[0])


def unit_loglik(layout: Layout, par: Parameters, latent: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Log f(y_seen, r | θ) of every row of the table, (n,), that of sampled cells included where there are any."""
    held = [np.zeros(0)] * len(layout.coded) if latent is None else latent
    each = [row_densities(f, par, held, layout.columns, arithmetic) for f in layout.factors]
    out = np.zeros(layout.data.n)
    for one, factor in zip(each, layout.factors, strict=True):
        np.add.at(out, factor.row[: factor.direct], one[: factor.direct])
    for k, block in enumerate(layout.blocks):
        out[block.rows] += arithmetic.log_sum_exp(_joint(layout.factors, each, k, arithmetic))
    return out


def candidate_densities(layout: Layout, par: Parameters, latent: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log f(candidate, what is seen, sampled cells | θ) + its log weight, for each block: (m, K)."""
    each = [row_densities(f, par, latent, layout.columns, arithmetic) for f in layout.factors]
    return [_joint(layout.factors, each, k, arithmetic) for k in range(len(layout.blocks))]
