"""Cells after an event drawn given all others of their row, around the mean that a strategy assumes."""

from dataclasses import dataclass

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.normal.arms import arms_of, each_cov
from mnarkit.normal.layout import Designs
from mnarkit.normal.parameters import Parameters
from mnarkit.normal.patterns import group_rows
from mnarkit.spec.events import Events, events_of, under_control
from mnarkit.spec.reference import Reference
from mnarkit.strategies import assumed_cov, assumed_mean

__all__ = ["ReferenceRows", "refer", "reference_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRows:
    """A reference-based belief on a table.

    Attributes
    ----------
    y : (n, p) array
        All recorded values, those after an event too; NaN where there is none.
    x, x_control : (n, q) arrays
        Predictors of the data model as they are, and with everybody in the control arm.
    arm, arm_control : (n,) arrays
        Which covariance each row has, as it is and in the control arm; 0 where there is one.
    times : (p,) array
        When the visits are.
    """

    belief: Reference
    events: Events
    y: np.ndarray
    x: np.ndarray
    x_control: np.ndarray
    arm: np.ndarray
    arm_control: np.ndarray
    times: np.ndarray


def reference_rows(
    belief: Reference, columns: tuple[str, ...], data: IncompleteData, designs: Designs
) -> ReferenceRows:
    """Lay a reference-based belief out on a table."""
    control = under_control(belief, data)
    own, other = arms_of(designs.arms, data), arms_of(designs.arms, control)
    none = np.zeros(data.n, dtype=np.int64)
    return ReferenceRows(
        belief,
        events_of(belief, columns, data),
        np.column_stack([data.number(c) if data.seen(c).any() else np.full(data.n, np.nan) for c in columns]),
        designs.model.rebuild(data),
        designs.model.rebuild(control),
        none if own is None else own.code,
        none if other is None else other.code,
        np.array(belief.times or range(len(columns)), dtype=float),
    )


def refer(
    y: np.ndarray, rows: ReferenceRows, parameters: Parameters, amounts: dict[str, float], noise: np.ndarray
) -> np.ndarray:
    """Complete a table under a reference-based belief.

    With a covariance for each arm, visits before the event have the covariance of the subject's own arm, and later ones
    their regression on those, and what it leaves, from the control arm (Carpenter, Roger & Kenward 2013, section 4);
    under CR all is the control arm's, under LMCF and MAR all is the subject's own.

    Parameters
    ----------
    y : (n, p) array
        Completed under MAR; of it, the cells before each row's event are kept.
    rows : ReferenceRows
        The belief on the same rows.
    parameters : Parameters
        Coefficients and residual covariance in the columns' own units.
    amounts : dict
        k0 and k1, where the causal strategy is used.
    noise : (n, p) array
        Standard normal draws; zeros give the conditional mean.

    Returns
    -------
    (n, p) array
        Recorded cells as they were recorded.
    """
    events = rows.events
    recorded = ~np.isnan(rows.y)
    out = np.where(recorded, rows.y, y)
    own, control = rows.x @ parameters.coef.T, rows.x_control @ parameters.coef.T
    covs = each_cov(np.asarray(parameters.cov))
    hole = ~recorded & (np.arange(y.shape[1])[None, :] >= events.first[:, None])
    touched = np.flatnonzero(hole.any(axis=1) & (events.strategy != "MAR"))
    for strategy in dict.fromkeys(events.strategy[touched]):
        those = touched[events.strategy[touched] == strategy]
        kinds, kind = np.unique(
            np.column_stack([events.first, rows.arm, rows.arm_control])[those], axis=0, return_inverse=True
        )
        patterns = group_rows(~hole[those], kind.ravel())
        for g, seen in enumerate(patterns.seen):
            at = those[patterns.rows(g)]
            event, arm, arm_control = kinds[patterns.group[g]]
            mean = assumed_mean(strategy, own[at], control[at], int(event), _kept(rows.times, int(event), amounts))
            cov = assumed_cov(strategy, covs[arm], covs[arm_control], int(event))
            out[at] = _given(out[at], mean, cov, seen.astype(bool), noise[at])
    return out


def _kept(times: np.ndarray, event: int, amounts: dict[str, float]) -> np.ndarray | None:
    if "k0" not in amounts or not event:
        return None
    return amounts["k0"] * amounts.get("k1", 1.0) ** np.maximum(times - times[event - 1], 0.0)


def _given(y: np.ndarray, mean: np.ndarray, cov: np.ndarray, seen: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Fill the unseen columns of rows of one pattern given the others."""
    o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
    slope = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)])
    rest = cov[np.ix_(m, m)] - cov[np.ix_(m, o)] @ slope
    out = y.copy()
    out[:, m] = mean[:, m] + (y[:, o] - mean[:, o]) @ slope + noise[:, m] @ np.linalg.cholesky(rest).T
    return out
