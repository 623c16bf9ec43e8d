"""The log density of a spec row by row, written a second time: SciPy, no patterns, no kernels, the table's units."""

import numpy as np
import pandas as pd
from scipy import stats

import mnarkit as mk

NODES = np.linspace(-10, 10, 4001)


def grid(dimension: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (dimension, size^dimension) and the standard normal's weights on them."""
    axis = np.linspace(-8.5, 8.5, size)
    points = np.stack(np.meshgrid(*[axis] * dimension, indexing="ij")).reshape(dimension, -1)
    return points, stats.norm.pdf(points).prod(axis=0) * (axis[1] - axis[0]) ** dimension


GRIDS = {2: grid(2, 341), 3: grid(3, 81)}


def residual_sd(cov: np.ndarray, j: int, given: list[int]) -> float:
    """√Var(y_j | y_given)."""
    precision = np.linalg.inv(cov[np.ix_([j, *given], [j, *given])])
    return float(1 / np.sqrt(precision[0, 0]))


def row_moments(
    spec: mk.Spec, row: pd.Series, mean: np.ndarray, cov: np.ndarray, amounts: dict[str, float], sds: dict[str, float]
):
    """Mean and covariance of the modelled columns of one row, amounts inside the model applied one at a time."""
    columns = list(spec.model.columns)
    active = [one for one in row_amounts(spec, row, amounts) if one[0].of == "model"]
    if not active:
        return mean, cov
    moved = sorted({columns.index(c) for comp, column, _ in active for c in (column, *comp.predictors)})
    others = [j for j in range(len(columns)) if j not in moved]
    new_mean, factor = mean[moved].copy(), np.ones(len(moved))
    for component, column, value in active:
        j = columns.index(column)
        at = moved.index(j)
        if isinstance(component, mk.Scale):
            new_mean[at], factor[at] = value * mean[j], value
        elif component.unit == "percent":
            new_mean[at] += value / 100 * mean[j]
        elif component.unit == "sd":
            new_mean[at] += value * residual_sd(cov, j, [columns.index(p) for p in component.predictors])
        else:
            new_mean[at] += value * (sds[column] if component.unit == "sd_observed" else 1.0)
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


def row_amounts(spec: mk.Spec, row: pd.Series, amounts: dict[str, float]) -> list[tuple]:
    """(component, column, value) of every amount that moves a hole of the row; cumulative ones summed over waves."""
    found = []
    for component in (c for b in spec.missingness if isinstance(b, mk.PatternMixture) for c in b.components):
        if component.where is not None and not (component.where == "arm == 'drug'" and row["arm"] == "drug"):
            continue
        waves = list(component.columns)
        kind = "shift" if isinstance(component, mk.Shift) else "scale"
        level = "" if component.by is None else f"_{row[component.by]}"
        declared = component.amount if component.by is None else dict(component.amount)[row[component.by]]
        if isinstance(declared, tuple):
            each = [amounts.get(f"{kind}_{w}{level}", value) for w, value in zip(waves, declared, strict=True)]
        else:
            span = waves[0] if len(waves) == 1 else f"{waves[0]}_to_{waves[-1]}"
            each = [amounts.get(f"{kind}_{span}{level}", declared)] * len(waves)
        left = len(waves)
        while left and np.isnan(row[waves[left - 1]]):
            left -= 1
        for t, wave in enumerate(waves):
            if np.isnan(row[wave]) and not component.cumulative:
                found.append((component, wave, each[t]))
            elif np.isnan(row[wave]) and t >= left:
                found.append((component, wave, sum(each[left : t + 1])))
    return found


def row_loglik(
    spec: mk.Spec, table: pd.DataFrame, point: dict[str, np.ndarray], x: np.ndarray, w: list[np.ndarray]
) -> np.ndarray:
    """log f(y_seen, r) of every row, the unseen part integrated on a grid of the linear predictor."""
    columns = list(spec.model.columns)
    cov = point["cov"]
    amounts = {n: float(v) for n, v in point.items() if n.startswith(("shift_", "scale_")) and np.ndim(v) == 0}
    sds = {c: float(table[c].std()) for c in columns}
    limits = limits_of(spec, table)
    out = np.zeros(len(table))
    for i, (_, row) in enumerate(table.iterrows()):
        known = {c: interval for c in columns if (interval := limits[c][i]) is not None and np.isnan(row[c])}
        if known:
            out[i] = over_limits(spec, table, row, i, point, x, w, known)
            continue
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
        each = [_propensity(b, columns, point, full, mean, m, w[k][i], cov, row) for k, b in enumerate(beliefs)]
        reading = [k for k, b in enumerate(beliefs) if reads_unseen(b, columns, m)]
        together = reading if len(reading) > 1 else []
        for k in set(range(len(beliefs))) - set(together):
            u, a, link = each[k]
            out[i] += np.log(sign_probability(u, np.sqrt(a[m] @ rest @ a[m]) if len(m) else 0.0, link))
        if together:
            u, a, links = zip(*(each[k] for k in together), strict=True)
            slopes = np.array(a)[:, m]
            out[i] += np.log(signs_probability(np.array(u), slopes @ rest @ slopes.T, links))
    return out


def limits_of(spec: mk.Spec, table: pd.DataFrame) -> dict[str, list]:
    """The interval of every cell that has one; else None."""
    found = {c: [None] * len(table) for c in spec.model.columns}
    for limits in (b for b in spec.missingness if isinstance(b, mk.Limits)):
        for i, (_, row) in enumerate(table.iterrows()):
            low, high = (row[b] if isinstance(b, str) else b for b in (limits.low, limits.high))
            low, high = (None if v is None or np.isnan(v) else v for v in (low, high))
            here = limits.where is None or row["arm"] == "drug"
            if here and (low is not None or high is not None):
                found[limits.column][i] = (low, high)
    return found


def over_limits(spec, table, row, i, point, x, w, known) -> float:
    """log of ∫ f(row with y put in) dy over the interval of its first limited cell, by Gauss-Legendre."""
    column, (low, high) = next(iter(known.items()))
    j = list(spec.model.columns).index(column)
    middle, sd = float(point["coef"][j] @ x[i]), float(np.sqrt(point["cov"][j, j]))
    low, high = middle - 9 * sd if low is None else low, middle + 9 * sd if high is None else high
    nodes, weights = np.polynomial.legendre.leggauss(8 if high - low < sd else 36)
    at = low + (high - low) * (1 + nodes) / 2
    rows = pd.DataFrame([row] * len(at)).assign(**{column: at}).astype(dict.fromkeys(spec.model.columns, float))
    values = row_loglik(spec, rows, point, np.tile(x[i], (len(at), 1)), [np.tile(one[i], (len(at), 1)) for one in w])
    return float(np.log(weights @ np.exp(values) * (high - low) / 2))


def sign_probability(u: float, sd: float, link) -> float:
    """E of the link at u + sd η, η standard normal, on a grid."""
    return float(link(u)) if sd == 0 else float(np.trapezoid(stats.norm.pdf(NODES) * link(u + sd * NODES), NODES))


def signs_probability(u: np.ndarray, cov: np.ndarray, links) -> float:
    """E of the product of two or three links at u + η, η ~ N(0, cov), on a grid of standard normals."""
    values, vectors = np.linalg.eigh(cov)
    points, weights = GRIDS[len(u)]
    at = (vectors * np.sqrt(np.maximum(values, 0.0))) @ points + u[:, None]
    return float(weights @ np.prod([link(one) for link, one in zip(links, at, strict=True)], axis=0))


def reads_unseen(belief, columns: list[str], m: np.ndarray) -> bool:
    """Whether a propensity depends on one of the unseen columns m."""
    text = belief.columns[0] if isinstance(belief, mk.Heckman) else belief.formula.split("~")[1]
    words = text.replace(":", " ").split()
    return any(columns[j] in words for j in m)


def _propensity(belief, columns, point, full, mean, m, w, cov, row):
    """Mean given the seen values, slopes on the columns, and P(indicator as it is | propensity u)."""
    target = columns.index(belief.columns[0])
    missing = target in m
    slopes = np.zeros(len(columns))
    if isinstance(belief, mk.Heckman):
        rho = float(point[f"rho_{belief.columns[0]}"])
        slopes[target] = rho / np.sqrt(cov[target, target])
        u = w @ point[f"recorded_{belief.columns[0]}"] + slopes[target] * (full[target] - mean[target])
        sd = np.sqrt(1 - rho**2)
        return u, slopes, lambda z: stats.norm.cdf((-z if missing else z) / sd)
    beta = point[f"missing_{belief.columns[0]}"]
    for (column, level), value in zip(_slopes(belief, columns), beta[len(w) :], strict=True):
        slopes[columns.index(column)] += value * (level is None or row["arm"] == level)
    link = stats.norm.cdf if belief.link == "probit" else stats.logistic.cdf
    return w @ beta[: len(w)] + slopes @ full, slopes, lambda z: link(z if missing else -z)


def _slopes(belief, columns: list[str]) -> list[tuple[str, str | None]]:
    """(column, level of arm) of every slope: those of all rows, then by level, against the first beside one of all."""
    terms = belief.formula.split("~")[1].replace(" ", "").split("+")
    bare = [c for c in columns if c in terms]
    grouped = [next(c for c in columns if c in t.split(":")) for t in terms if ":" in t and "arm" in t.split(":")]
    levels = ("drug", "placebo")
    return [*((c, None) for c in bare), *((c, a) for c in grouped for a in (levels[1:] if c in bare else levels))]
