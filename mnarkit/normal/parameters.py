"""From named parameters to the kernel's arguments, once for NumPy and for PyTensor.

`xp` is `numpy` or `pytensor.tensor`: both have concatenate, stack, sqrt and linalg.inv.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.normal.declared import Amount
from mnarkit.normal.hazard import Lines
from mnarkit.normal.layout import KernelData, Layout
from mnarkit.spec.pattern_mixture import Scale

__all__ = ["Parameters", "kernel_parameters", "residual_sd"]


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """Named parameters in the units of a layout, arrays or symbolic.

    Attributes
    ----------
    coef, cov : (p, q), (p, p)
        Regression coefficients and residual covariance; (levels, p, p) where every level has its own.
    indicators : sequence of (r_k + number of slopes,)
        Coefficients of each indicator in the order of its terms.
    rho : sequence of scalars
        Error correlation of each indicator; None for selection models.
    amounts : sequence of scalars
        The amounts inside the likelihood, as declared.
    random : (g, g), optional
        Covariance of the random terms of a growth curve, on t⁰, t¹, t²; where indicators read them.
    """

    coef: Any
    cov: Any
    indicators: Sequence[Any]
    rho: Sequence[Any]
    amounts: Sequence[Any]
    random: Any = None


def kernel_parameters(par: Parameters, layout: Layout, data: KernelData, xp: Any = np) -> tuple[Any, ...]:
    """(B, S, A, D, c, t) of `likelihood.loglik_and_gradient`."""
    moves = {columns: _carry(par.cov, columns, xp) for columns in {c for c, _ in data.pieces}}
    extra = [_mean_column(par, layout, moves[columns], columns, i, xp) for columns, i in data.pieces]
    coef = xp.concatenate([par.coef, *extra], axis=1) if extra else par.coef
    if layout.arms is not None:
        cov = par.cov
    else:
        cov = xp.stack([_group_cov(par, layout, columns, scales, xp) for columns, scales in data.groups])
    p, q = len(layout.columns), len(layout.terms) + sum(_width(layout, i) for _, i in data.pieces)
    known = _limit_rows(layout, p, q)
    if not layout.indicators:
        return coef, cov, *known
    blocks = [_indicator_rows(par, layout, k, coef, q, xp) for k in range(len(layout.indicators))]
    blocks += [known] if layout.limited_columns else []
    on_y, on_x, own, var = (xp.concatenate(list(parts)) for parts in zip(*blocks, strict=True))
    if layout.hidden:
        coef, cov = _with_random_terms(coef, par, layout, xp)
    return coef, cov, on_y, on_x, own, var


def _limit_rows(layout: Layout, p: int, q: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give the rows of z = limit - y, without error; the second column of each w, a width, has no coefficient."""
    columns = list(layout.limited_columns)
    size = len(columns)
    return -np.eye(p)[columns], np.zeros((size, q)), np.tile([1.0, 0.0], size), np.zeros(size)


def _with_random_terms(coef: Any, par: Parameters, layout: Layout, xp: Any) -> tuple[Any, Any]:
    """Append the random terms u to the modelled columns: E u = 0, Cov(y, u) = V Ψ with V the powers of the times."""
    assert layout.structure is not None
    across = xp.dot(layout.structure.powers, par.random)
    above = xp.concatenate([par.cov, across], axis=1)
    below = xp.concatenate([across.T, par.random], axis=1)
    none = np.zeros((layout.hidden, len(layout.terms)))
    return xp.concatenate([coef, none]), xp.concatenate([above, below])[None, :, :]


def _indicator_rows(par: Parameters, layout: Layout, k: int, coef: Any, q: int, xp: Any) -> tuple[Any, Any, Any, Any]:
    """Give the rows (a, d, c, t) of z = a'y + d'x + c'w + e, Var e = t; a hazard has one a wave, by group one a group.

    Heckman's is c'w + ρ (y - Bx) / σ + e, t = 1 - ρ².
    """
    indicator, beta = layout.indicators[k], par.indicators[k]
    p, r = len(layout.columns) + layout.hidden, indicator.w.shape[1]
    one = np.eye(p)
    if indicator.lines is not None:
        return _several_rows(indicator.lines, beta, p, q, r, xp)
    if indicator.recorded:
        j, rho = indicator.column, par.rho[k]
        slope = rho / xp.sqrt(par.cov[j, j])
        return (one[j] * slope)[None, :], (-slope * coef[j])[None, :], beta, (1.0 - rho**2) * np.ones(1)
    on_y: Any = sum((one[j] * beta[r + i] for i, j in enumerate(indicator.slopes)), start=np.zeros(p) * beta[0])
    return on_y[None, :], (np.zeros(q) * beta[0])[None, :], beta[:r], np.ones(1) + 0.0 * beta[0]


def _several_rows(lines: Lines, beta: Any, p: int, q: int, r: int, xp: Any) -> tuple[Any, Any, Any, Any]:
    """All rows by two products: every coefficient is linear in beta, and many small ones take long to compile."""
    rows, size = len(lines.maps), len(lines.terms)
    on_y, on_w = np.zeros((rows, p, size)), np.zeros((rows, r, size))
    for t, (which, made) in enumerate(zip(lines.reading, lines.maps, strict=True)):
        on_w[t], on_y[t, list(which)] = made[:r], made[r:]
    none, free = np.zeros((rows, q)) * beta[0], np.ones(rows) + 0.0 * beta[0]
    return xp.dot(on_y, beta), none, xp.dot(on_w.reshape(rows * r, size), beta), free


def residual_sd(cov: Any, column: int, predictors: tuple[int, ...], xp: Any = np) -> Any:
    """√ of the variance of a column given the predictors of the data model and the other modelled columns named."""
    if not predictors:
        return xp.sqrt(cov[column, column])
    given = list(predictors)
    across = cov[given, column]
    return xp.sqrt(cov[column, column] - across @ xp.linalg.inv(cov[given, :][:, given]) @ across)


def _carry(cov: Any, columns: tuple[int, ...], xp: Any) -> Any:
    """Σ_·J Σ_JJ⁻¹: what one unit in the columns J does to every column, (p, |J|)."""
    across = cov[:, list(columns)]
    return across @ xp.linalg.inv(across[list(columns), :])


def _mean_column(par: Parameters, layout: Layout, carry: Any, columns: tuple[int, ...], i: int, xp: Any) -> Any:
    amount = layout.model_amounts[i]
    component, j = amount.component, amount.column
    direction = carry[:, columns.index(j)][:, None]
    if _width(layout, i) == 1:
        return direction * _distance(par.amounts[i], amount, par.cov, layout, xp)
    share = par.amounts[i] - 1.0 if isinstance(component, Scale) else par.amounts[i] / 100.0
    origin = np.where(np.array([t == "Intercept" for t in layout.terms]), layout.center[j] / layout.scale[j], 0.0)
    return direction * (share * (par.coef[j] + origin))[None, :]


def _distance(value: Any, amount: Amount, cov: Any, layout: Layout, xp: Any) -> Any:
    """Turn a shift into the units of the layout."""
    match amount.component.unit:
        case "sd":
            return value * residual_sd(cov, amount.column, amount.predictors, xp)
        case "sd_observed":
            return value * amount.sd_observed / layout.scale[amount.column]
    return value / layout.scale[amount.column]


def _group_cov(par: Parameters, layout: Layout, columns: tuple[int, ...], scales: tuple[int, ...], xp: Any) -> Any:
    if not scales:
        return par.cov
    carry = _carry(par.cov, columns, xp)
    inner = par.cov[list(columns), :][:, list(columns)]
    factors: Any = 0.0
    for column, one in zip(columns, np.eye(len(columns)), strict=True):
        on = [par.amounts[i] for i in scales if layout.model_amounts[i].column == column]
        factors = factors + one * (on[0] if on else 1.0)
    scaled = inner * factors[:, None] * factors[None, :]
    return par.cov + carry @ (scaled - inner) @ carry.T


def _width(layout: Layout, i: int) -> int:
    component = layout.model_amounts[i].component
    of_mean = isinstance(component, Scale) or component.unit == "percent"
    return len(layout.terms) if of_mean else 1
