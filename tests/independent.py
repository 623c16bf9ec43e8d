"""The log density of a spec row by row, written a second time: SciPy, no patterns, no kernels, the table's units."""

import numpy as np
import pandas as pd
from scipy import stats

import mnarkit as mk

NODES = np.linspace(-10, 10, 4001)


def residual_sd(cov: np.ndarray, j: int, given: list[int]) -> float:
    """√Var(y_j | y_given)."""
    precision = np.linalg.inv(cov[np.ix_([j, *given], [j, *given])])
    return float(1 / np.sqrt(precision[0, 0]))


def row_moments(
    spec: mk.Spec, row: pd.Series, mean: np.ndarray, cov: np.ndarray, amounts: dict[str, float], sds: dict[str, float]
):
    """Mean and covariance of the modelled columns of one row, amounts inside the model applied one at a time."""
    columns = list(spec.model.columns)
    active = []
    for name, component in amounts_by_name(spec).items():
        here = component.where is None or (component.where == "arm == 'drug'" and row["arm"] == "drug")
        if component.of == "model" and np.isnan(row[component.column]) and here:
            active.append((name, component))
    if not active:
        return mean, cov
    moved = sorted({columns.index(c) for _, comp in active for c in (comp.column, *comp.predictors)})
    others = [j for j in range(len(columns)) if j not in moved]
    new_mean, factor = mean[moved].copy(), np.ones(len(moved))
    for name, component in active:
        j = columns.index(component.column)
        at, value = moved.index(j), amounts[name]
        if isinstance(component, mk.Scale):
            new_mean[at], factor[at] = value * mean[j], value
        elif component.unit == "percent":
            new_mean[at] += value / 100 * mean[j]
        elif component.unit == "sd":
            new_mean[at] += value * residual_sd(cov, j, [columns.index(p) for p in component.predictors])
        else:
            new_mean[at] += value * (sds[component.column] if component.unit == "sd_observed" else 1.0)
    inner = cov[np.ix_(moved, moved)] * np.outer(factor, factor)
    slope = cov[np.ix_(others, moved)] @ np.linalg.inv(cov[np.ix_(moved, moved)])
    rest = cov[np.ix_(others, others)] - slope @ cov[np.ix_(moved, others)]
    out_mean, out = mean.copy(), cov.copy()
    out_mean[moved] = new_mean
    out_mean[others] = mean[others] + slope @ (new_mean - mean[moved])
    out[np.ix_(moved, moved)] = inner
    out[np.ix_(others, moved)] = slope @ inner
    out[np.ix_(moved, others)] = (slope @ inner).T
    out[np.ix_(others, others)] = rest + slope @ inner @ slope.T
    return out_mean, out


def amounts_by_name(spec: mk.Spec) -> dict[str, mk.Shift | mk.Scale]:
    """`shift_y1` … as the draws name them; the catalogue has one amount a column."""
    components = [c for b in spec.missingness if isinstance(b, mk.PatternMixture) for c in b.components]
    return {f"{'shift' if isinstance(c, mk.Shift) else 'scale'}_{c.column}": c for c in components}


def row_loglik(
    spec: mk.Spec, table: pd.DataFrame, point: dict[str, np.ndarray], x: np.ndarray, w: list[np.ndarray]
) -> np.ndarray:
    """log f(y_seen, r) of every row, the unseen part integrated on a grid of the linear predictor."""
    columns = list(spec.model.columns)
    cov = point["cov"]
    amounts = {
        n: float(point.get(n, c.amount if isinstance(c.amount, float) else np.nan))
        for n, c in amounts_by_name(spec).items()
    }
    sds = {c: float(table[c].std()) for c in columns}
    out = np.zeros(len(table))
    for i, (_, row) in enumerate(table.iterrows()):
        y = row[columns].to_numpy(float)
        mean, var = row_moments(spec, row, point["coef"] @ x[i], cov, amounts, sds)
        o, m = np.flatnonzero(~np.isnan(y)), np.flatnonzero(np.isnan(y))
        if len(o):
            out[i] += stats.multivariate_normal(mean[o], var[np.ix_(o, o)]).logpdf(y[o])
        gain = var[np.ix_(m, o)] @ np.linalg.inv(var[np.ix_(o, o)])
        full = y.copy()
        full[m] = mean[m] + gain @ (y[o] - mean[o])
        rest = var[np.ix_(m, m)] - gain @ var[np.ix_(o, m)]
        beliefs = [b for b in spec.missingness if isinstance(b, (mk.Selection, mk.Heckman))]
        for k, belief in enumerate(beliefs):
            out[i] += np.log(_probability(belief, columns, point, full, mean, rest, m, w[k][i], cov))
    return out


def _probability(belief, columns, point, full, mean, rest, m, w, cov) -> float:
    target = columns.index(belief.columns[0])
    missing = target in m
    if isinstance(belief, mk.Heckman):
        rho = float(point[f"rho_{belief.columns[0]}"])
        u = w @ point[f"recorded_{belief.columns[0]}"]
        slope = rho / np.sqrt(cov[target, target])
        center = u + slope * (full[target] - mean[target])
        if not missing:
            return stats.norm.cdf(center / np.sqrt(1 - rho**2))
        sd = abs(slope) * np.sqrt(rest[list(m).index(target), list(m).index(target)])
        return float(
            np.trapezoid(stats.norm.pdf(NODES) * stats.norm.cdf(-(center + sd * NODES) / np.sqrt(1 - rho**2)), NODES)
        )
    beta = point[f"missing_{belief.columns[0]}"]
    slopes = np.zeros(len(columns))
    text = belief.formula.split("~")[1]
    reads = [c for c in columns if c in text.split()]
    slopes[[columns.index(c) for c in reads]] = beta[len(w) :]
    u = w @ beta[: len(w)] + slopes @ full
    sd = np.sqrt(slopes[m] @ rest @ slopes[m]) if len(m) else 0.0
    link = stats.norm.cdf if belief.link == "probit" else stats.logistic.cdf
    sign = 1.0 if missing else -1.0
    if sd == 0:
        return float(link(sign * u))
    return float(np.trapezoid(stats.norm.pdf(NODES) * link(sign * (u + sd * NODES)), NODES))
