"""The E-step of the normal model: expected cross-products given what is seen, and the log likelihood.

With the unseen entries of a row at their conditional means, e = y - Bx satisfies e' Σ⁻¹ e = e_o' Σ_oo⁻¹ e_o, so one
product of the filled pseudo-rows gives every moment and the quadratic form of the likelihood too.
"""

from collections.abc import Callable
from typing import Any

import lazy_loader
import numpy as np

from mnarkit.normal.moments import Moments

__all__ = ["expected_products"]

# Numba takes seconds to import; few patterns do without it
_kernel: Callable[[str], Any] = lazy_loader.attach("mnarkit.normal", submod_attrs={"filling": ["fill_rows"]})[0]
_FEW = 300  # patterns below which NumPy is quicker than loading Numba
_PIVOT = 1e-9  # a column whose variance given others is below this share of its own is determined by them
_REGULAR = 1e-7  # smallest eigenvalue of the correlations above which no pivot can be that small
_LOG_2PI = np.log(2 * np.pi)


def expected_products(
    coef: np.ndarray, cov: np.ndarray, moments: Moments, *, compiled: bool | None = None
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Σ E[y x'], Σ E[y y'] given what is seen, and the log likelihood (Little & Rubin 2019, section 11.2.1).

    Parameters
    ----------
    coef, cov : (p, q), (p, p) arrays
        On standardised columns.
    moments : Moments
        The table.
    compiled : bool, optional
        Use the Numba kernel; by default for many patterns.

    Returns
    -------
    tuple
        (p, q) and (p, p) arrays; the log likelihood of the standardised columns with its constant; and the (G, p) mask
        of seen columns that others seen in the same pattern determine, which are left out of it (the sweep of SAS PROC
        MI does the same).
    """
    q, left_out = coef.shape[1], np.zeros(moments.seen.shape, dtype=bool)
    sd = np.sqrt(np.diag(cov))
    if not np.linalg.eigvalsh(cov / np.outer(sd, sd))[0] > _REGULAR:
        return _singular(coef, cov, moments)
    compiled = len(moments.seen) > _FEW if compiled is None else compiled
    fill = _kernel("fill_rows") if compiled else _fill_rows
    precision = np.linalg.inv(cov)
    filled, spread, log_det = fill(
        coef, cov, precision, np.linalg.slogdet(cov)[1], moments.seen, moments.count, moments.rows, moments.start
    )
    total = filled.T @ filled
    residual = np.hstack([-coef, np.eye(len(cov))])
    quadratic = np.sum(precision * (residual @ total @ residual.T))
    values = float(moments.seen.sum(axis=1) @ moments.count)
    return total[q:, :q], total[q:, q:] + spread, -0.5 * (values * _LOG_2PI + log_det + quadratic), left_out


def _fill_rows(
    coef: np.ndarray,
    cov: np.ndarray,
    precision: np.ndarray,
    log_det: float,
    seen: np.ndarray,
    count: np.ndarray,
    rows: np.ndarray,
    start: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float]:
    """As `filling.fill_rows`: filled pseudo-rows, Σ n Var(y | y_o), Σ n log |Σ_oo|."""
    q, filled, spread, total = coef.shape[1], rows.copy(), np.zeros(cov.shape), 0.0
    for g, mask in enumerate(seen):
        o, m = np.flatnonzero(mask), np.flatnonzero(~mask)
        if not len(m):
            total += count[g] * log_det
            continue
        here, unseen = slice(start[g], start[g + 1]), np.ix_(m, m)
        variance = np.linalg.inv(precision[unseen])
        slope = -variance @ precision[np.ix_(m, o)]
        x = rows[here, :q]
        filled[here, q + m] = x @ coef[m].T + (rows[here, q + o] - x @ coef[o].T) @ slope.T
        spread[unseen] += count[g] * variance
        total += count[g] * (log_det - np.linalg.slogdet(variance)[1])
    return filled, spread, total


def _singular(coef: np.ndarray, cov: np.ndarray, moments: Moments) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Do the same where some columns determine others: these are left out, pattern by pattern."""
    q, filled, spread = coef.shape[1], moments.rows.copy(), np.zeros(cov.shape)
    left_out, value = np.zeros(moments.seen.shape, dtype=bool), 0.0
    for g, mask in enumerate(moments.seen):
        m, here = np.flatnonzero(~mask), slice(moments.start[g], moments.start[g + 1])
        o, root = _independent(cov, np.flatnonzero(mask))
        left_out[g, mask] = True
        left_out[g, o] = False
        across = np.linalg.solve(root, cov[np.ix_(o, m)])
        x, n = moments.rows[here, :q], moments.count[g]
        scaled = np.linalg.solve(root, (moments.rows[here, q + o] - x @ coef[o].T).T)
        filled[here, q + m] = x @ coef[m].T + scaled.T @ across
        spread[np.ix_(m, m)] += n * (cov[np.ix_(m, m)] - across.T @ across)
        value -= 0.5 * (n * (len(o) * _LOG_2PI + 2 * np.log(np.diag(root)).sum()) + np.sum(scaled**2))
    total = filled.T @ filled
    return total[q:, :q], total[q:, q:] + spread, value, left_out


def _independent(cov: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the columns that those before them do not determine, and the Cholesky factor of their covariance."""
    kept: list[int] = []
    root = np.zeros((len(columns), len(columns)))
    for j in columns:
        k = len(kept)
        across = np.linalg.solve(root[:k, :k], cov[kept, j]) if k else np.empty(0)
        left = cov[j, j] - across @ across
        if left > _PIVOT * cov[j, j]:
            root[k, :k], root[k, k] = across, np.sqrt(left)
            kept.append(int(j))
    return np.array(kept, dtype=int), root[: len(kept), : len(kept)]
