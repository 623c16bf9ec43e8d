"""Replicated tables beside the table: statistics of what is recorded and of what is missing, with a calibrated verdict.

For a statistic T, let ε = T(table completed at θ) - E[T | θ], θ a posterior draw, and D its mean over the posterior.
Under the model Var D = Var(T | θ) - Var(ε | table), by the law of total variance, since E[ε | θ] = 0. The usual
posterior predictive p-value takes Var(T | θ) + Var(E[T | θ] | table) instead and is conservative, the more so the more
the fit has used T up. Both terms are estimated from pairs of draws with common random numbers. Statistics of which the
fit has used up nearly everything test nothing and are left out. All others are judged together by the largest |z|,
against the largest over as many statistics of replicated tables.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.diagnose.replicate import Replicator, replicator_of
from mnarkit.diagnose.segments import segments_of
from mnarkit.diagnose.statistics import Statistics
from mnarkit.fit import Fit
from mnarkit.impute.draw import draw_order

__all__ = ["Predictive", "predictive_check"]

_USED_UP = 0.8  # Var(ε | table) / Var(T | θ) beyond which too little is left to test
_KEPT = 20  # replicated tables kept for the figure
_APART = 1.1  # R-hat beyond which chains are judged one by one
_LEVEL = 0.05  # of a false alarm over all statistics together


@dataclass(frozen=True, slots=True, eq=False)
class Predictive:
    """Replicated tables beside the table.

    Attributes
    ----------
    table : DataFrame
        One row a statistic: `about column segment by` (the segment's column) `statistic n` (its rows), `data` (mean
        over the draws where holes were filled), `replicated`, `low`, `high` (95 % of the replicates), `used_up` (share
        of its variance that the fit has used), `z`, `posterior_p` (the conservative p-value), `tested`, `alarm`.
    p_value, threshold : float, float
        Of the largest |z| over all that was tested; the |z| beyond which a statistic is an alarm.
    recorded : tuple of (n, p) arrays
        Some replicated tables, NaN where missing.
    columns : tuple of str
        Their names: the modelled columns, those of unordered levels as one of 0 and 1 for each level but the first.
    completed : (n, p) array
        The table as it was compared: NaN where the spec models the hole.
    pairs, left_out : int, int
        Pairs of posterior draws, and fully seen columns that were not looked at, being too many.
    deciding : tuple of str
        Columns that were not looked at because they say that a value is missing.
    chain : int or None
        Where chains disagree (R-hat above 1.1), each is judged by itself, and this is the one that looks most like the
        table: if one mode is the truth, its chain raises a false alarm as rarely as all chains would.
    """

    table: pd.DataFrame
    p_value: float
    threshold: float
    recorded: tuple[np.ndarray, ...]
    columns: tuple[str, ...]
    completed: np.ndarray
    pairs: int
    left_out: int
    deciding: tuple[str, ...]
    chain: int | None = None


def predictive_check(fit: Fit, *, pairs: int, seed: int) -> Predictive | None:
    """Draw four tables for every pair of posterior draws and compare; None where the engine has no replicates.

    References
    ----------
    Gelman, A., Meng, X.-L. & Stern, H. (1996). Posterior predictive assessment of model fitness via realized
    discrepancies. Statistica Sinica 6, 733-807, section 2.
    Robins, J., van der Vaart, A. & Ventura, V. (2000). Asymptotic distribution of P values in composite null models.
    JASA 95, 1143-1156, section 3: the variance that estimation uses up.
    """
    replicator = replicator_of(fit)
    if replicator is None:
        return None
    groups = _pairs(fit, pairs)
    segments = segments_of(fit.spec, fit.data)
    first = replicator.completed(int(groups[0][0, 0]), _stream(seed, 0, 0))
    statistics = Statistics.of(replicator.columns, replicator.x, replicator.modelled, segments, first)
    judged = []
    for numbers in groups:
        completed, replicated, kept = _evaluate(replicator, statistics, numbers, seed)
        judged.append((*_judge(completed, replicated, statistics.names), kept))
    best = int(np.argmax([np.inf if np.isnan(p) else p for _, p, _, _ in judged]))
    table, p_value, threshold, kept = judged[best]
    sizes = dict(zip(segments.labels, segments.rows.sum(axis=0).astype(int), strict=True))
    by = dict(zip(segments.labels, segments.columns, strict=True))
    table.insert(3, "by", [by.get(label, "") for label in table["segment"]])
    table.insert(5, "n", [sizes.get(label, len(first)) for label in table["segment"]])
    return Predictive(
        table,
        p_value,
        threshold,
        tuple(kept),
        replicator.columns,
        first,
        len(groups[best]),
        segments.left_out,
        segments.deciding,
        best if len(groups) > 1 else None,
    )


def _pairs(fit: Fit, pairs: int) -> list[np.ndarray]:
    """Numbers of the draws, (pairs, 2): of all chains together, or of each where they sit in modes of their own.

    The distance between two modes would pass for variance that the fit has used up.
    """
    sizes = fit.draws["posterior"].sizes
    apart = fit.draws.attrs.get("rhat_max", 1.0) > _APART
    chains, each = (sizes["chain"], sizes["draw"]) if apart else (1, fit.n_draws)
    made = []
    for chain in range(chains):
        order = np.array(draw_order(each, 2 * pairs)) + chain * each
        made.append(order[: 2 * (len(order) // 2)].reshape(-1, 2))
    return made


def _stream(seed: int, pair: int, which: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(pair, which)))


def _evaluate(
    replicator: Replicator, statistics: Statistics, numbers: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Statistics of the table, (pairs, 2, K), and of two replicates with the same noise in a pair, (pairs, 2, 2, K)."""
    completed, replicated, kept = [], [], []
    same = statistics(replicator.completed(int(numbers[0, 0]), _stream(seed, 0, 0))) if replicator.constant else None
    for i, pair in enumerate(numbers.tolist()):
        for j, number in enumerate(pair):
            filled = same if same is not None else statistics(replicator.completed(number, _stream(seed, i, j)))
            completed.append(filled)
            tables = [replicator.replicated(number, _stream(seed, i, 2 + k)) for k in (0, 1)]
            replicated += [statistics(t) for t in tables]
            kept += tables[:1] if len(kept) < _KEPT and j == 0 else []
    size = len(completed[0])
    return (
        np.array(completed).reshape(len(numbers), 2, size),
        np.array(replicated).reshape(len(numbers), 2, 2, size),
        kept,
    )


def _judge(completed: np.ndarray, replicated: np.ndarray, names: pd.DataFrame) -> tuple[pd.DataFrame, float, float]:
    """Every statistic's z, the p-value of the largest, and the |z| that is an alarm."""
    gap = completed - replicated.mean(axis=2)  # (pairs, 2, K)
    distance = gap.mean(axis=(0, 1))
    within = 0.5 * ((replicated[:, :, 0] - replicated[:, :, 1]) ** 2).mean(axis=(0, 1))
    change = (completed[:, 0] - completed[:, 1])[:, None] - (replicated[:, 0] - replicated[:, 1])
    products = 0.5 * change[:, 0] * change[:, 1]
    used = products.mean(axis=0)
    noise = (products.std(axis=0) ** 2 + gap.mean(axis=1).var(axis=0) ** 2) ** 0.5 / len(completed) ** 0.5
    left = within - used + gap.mean(axis=1).var(axis=0) / len(completed) + noise
    flat = replicated.reshape(-1, replicated.shape[-1])
    spread = flat.std(axis=0)
    moves = spread > 1e-12 * np.maximum(np.abs(flat).max(axis=0), 1e-300)
    share = np.divide(used, within, out=np.ones_like(used), where=moves & (within > 0))
    tested = moves & (share < _USED_UP) & (left > 0)
    z = np.divide(distance, np.sqrt(np.maximum(left, 1e-300)), out=np.full_like(distance, np.nan), where=tested)
    largest = np.abs((flat - flat.mean(axis=0))[:, tested] / spread[tested]).max(axis=1, initial=0.0)
    threshold = float(np.quantile(largest, 1 - _LEVEL)) if tested.any() else np.nan
    top = np.nanmax(np.abs(z)) if tested.any() else np.nan
    p_value = float((1 + np.sum(largest >= top)) / (1 + len(largest))) if tested.any() else np.nan
    above, equal = replicated > completed[:, :, None], replicated == completed[:, :, None]
    beyond = (above + 0.5 * equal).mean(axis=(0, 1, 2))
    table = names.assign(
        data=completed.mean(axis=(0, 1)),
        replicated=flat.mean(axis=0),
        low=np.quantile(flat, 0.025, axis=0),
        high=np.quantile(flat, 0.975, axis=0),
        used_up=np.clip(share, 0.0, 1.0),
        z=z,
        posterior_p=2 * np.minimum(beyond, 1 - beyond),
        tested=tested,
        alarm=tested & (np.abs(z) > threshold),
    )
    return table, p_value, threshold
