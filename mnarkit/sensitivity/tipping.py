"""tipping_point: how far an untestable assumption must go before a conclusion turns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr

from mnarkit.analyze import Analysis
from mnarkit.em.start import is_finite_number
from mnarkit.errors import SpecError
from mnarkit.fit import Fit
from mnarkit.sensitivity.crossing import Crosses, Margin, contour, monte_carlo_error, nearer, roots
from mnarkit.sensitivity.curves import Curve, Stack
from mnarkit.sensitivity.grid import Axes, Axis
from mnarkit.sensitivity.least_squares import MovingDesign, MovingOutcome
from mnarkit.sensitivity.logistic import LogisticCurve
from mnarkit.sensitivity.plausible import plausibility
from mnarkit.sensitivity.result import checked_terms
from mnarkit.sensitivity.setup import amounts_curve, read_axes, settings_of
from mnarkit.sensitivity.source import Late
from mnarkit.sensitivity.tipping_result import TippingPoint

__all__ = ["tipping_point"]

# points of a first look on a line and along each side of a plane, the reach of a slope and the tolerance of a contour,
# as shares of the range: arithmetic can look closely; an event is a step function of the amounts
_LOOKS = {MovingOutcome: (401, 81, 1e-4, 1e-12), MovingDesign: (201, 41, 1e-4, 1e-12)}
_STEPPED, _RUN = (81, 21, 0.03, 1e-4), (21, 9, 0.03, 1e-2)
_SHOWN = ("estimate", "std_error", "ci_low", "ci_high", "p_value")


def tipping_point(
    fit: Fit,
    what: Analysis,
    *,
    term: str,
    shift: Axes,
    crosses: Crosses = "interval",
    at: float = 0.0,
    level: float = 0.95,
    m: int = 100,
    seed: int | None = None,
    under: Late | Sequence[Late] | None = None,
    scan: int | None = None,
    df_complete: float | None = None,
    workers: int | None = 1,
    client: Any = None,
    resume: str | Path | None = None,
    progress: bool = True,
) -> TippingPoint:
    """δ with g(δ) = 0, where g is the distance of a pooled estimate, interval or p-value from a given value.

    All points share one set of random numbers, so that g is one curve, smooth where the analysis is: its roots are
    found by Brent's method between the points of a first look, not read from a grid. With two assumptions the zero set
    is a curve in their plane; the ends of its pieces lie on it.

    Parameters
    ----------
    fit : Fit
        From `mk.sample`, usually under MAR or a `Reference`.
    what : str, Logistic or callable
        The analysis, as in `analyze`.
    term : str
        The term whose result crosses.
    shift : mapping of str or tuple of str to Grid
        What is varied and over which range, as `grid` in `sensitivity`; `unit="factor"` for a scale.
    crosses : {"estimate", "interval", "p"}
        `interval`: an end of the interval reaches `at`; `estimate`: the estimate does; `p`: the p-value of the test of
        `at` reaches 1 - level, which is where the interval does.
    at : float
        The value that is reached.
    level : float
        Of interval and test.
    m, seed : int
        Imputations and their seed.
    under : PatternMixture, Reference or sequence of them, optional
        Late beliefs on which the amounts are put.
    scan : int, optional
        Points of the first look, along each axis. Two crossings between neighbouring points are missed.
    df_complete, workers, client, resume, progress
        As in `sensitivity`.

    Returns
    -------
    TippingPoint
        With no crossing in the range, it says so, with the estimates at its ends.

    Raises
    ------
    SpecError
        Something that cannot be varied, or options that are none.
    DataError
        A term that does not exist (the terms are listed), or an analysis that fails, with the point.

    Notes
    -----
    The Monte Carlo error of a crossing is the jackknife error of g over the imputations, divided by the slope of g: by
    how much the crossing would move with other imputations from the same posterior draws' distribution.

    References
    ----------
    Yan, X., Lee, S. and Li, N. (2009). Missing data handling methods in medical device clinical trials. Journal of
    Biopharmaceutical Statistics 19, 1085-1098, section 4.
    Cro, S., Morris, T. P., Kenward, M. G. and Carpenter, J. R. (2020). Sensitivity analysis for clinical trials with
    missing continuous outcome data using controlled multiple imputation. Statistics in Medicine 39, 2815-2842,
    section 3.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> found = mk.tipping_point(
    ...     fit, "lwage ~ educ", term="educ", shift={"lwage": mk.Grid(-2, 5, unit="sd")}, m=20, seed=3
    ... )
    >>> 1 < found.value < 5
    True
    """
    settings = settings_of(
        fit,
        what,
        m=m,
        seed=seed,
        level=level,
        under=under,
        df_complete=df_complete,
        workers=workers,
        client=client,
        resume=resume,
        progress=progress,
    )
    _check(crosses, at, scan)
    axes = read_axes(fit, shift)
    if axes[0].term is not None:
        raise SpecError(f"tipping_point varies amounts; {axes[0].name!r} is a coefficient: take mk.sensitivity")
    curve = amounts_curve(fit, what, axes, settings)
    checked_terms([term], curve.terms, str(getattr(what, "__name__", what)))
    margin = Margin(curve, curve.terms.index(term), crosses, float(at), settings.level)
    lines, reach, tol = _lines(curve, axes, scan)
    points = np.stack([one.ravel() for one in np.meshgrid(*lines, indexing="ij")], axis=1)
    stack = curve.pooled(points, settings.level)
    g = margin.of(stack)
    if len(axes) == 1:
        segments = np.zeros((0, 2, 2))
        found = np.array(roots(margin, lines[0], g)).reshape(-1, 1)
    else:
        segments = contour(margin, lines[0], lines[1], g.reshape(len(lines[0]), -1), tol)
        found = segments.reshape(-1, 2)
    found = _nearest(found, axes)
    neutral = np.array([[axis.neutral for axis in axes]])
    if len(axes) == 2 and len(found) and type(curve) in _LOOKS:
        ranges = np.array([[axis.grid.low for axis in axes], [axis.grid.high for axis in axes]])
        found = nearer(margin, found[0], neutral[0], ranges)[None]
    return TippingPoint(
        what=str(getattr(what, "__name__", what)),
        term=term,
        crosses=crosses,
        at=float(at),
        level=settings.level,
        axes=axes,
        crossings=_crossings(margin, found, axes, reach),
        segments=segments,
        scan=_frame(points, stack, margin, axes),
        neutral=_one(_frame(neutral, curve.pooled(neutral, settings.level), margin, axes)),
        plausibility=plausibility(fit, curve.source, found[0].tolist()) if len(found) else pd.DataFrame(),
        m=settings.m,
        seed=settings.seed,
        n=fit.data.n,
        spec=fit.spec,
        under=settings.under,
        how=curve.how,
    )


def _check(crosses: object, at: object, scan: object) -> None:
    if crosses not in ("estimate", "interval", "p"):
        raise SpecError(f"crosses= is 'estimate', 'interval' or 'p', not {crosses!r}")
    if not is_finite_number(at):
        raise SpecError(f"at= is the number that is reached, not {at!r}")
    if scan is not None and (isinstance(scan, bool) or not isinstance(scan, (int, np.integer)) or scan < 3):
        raise SpecError(f"scan= is a whole number of at least 3, not {scan!r}")


def _lines(curve: Curve, axes: tuple[Axis, ...], scan: int | None) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Give the points of the first look along each axis, the reach of a slope, and the tolerance of a contour."""
    stepped = isinstance(curve, LogisticCurve)
    line, plane, reach, tol = _LOOKS.get(type(curve), _STEPPED if stepped else _RUN)
    many = scan or (line if len(axes) == 1 else plane)
    lines = [np.linspace(axis.grid.low, axis.grid.high, many) for axis in axes]
    return lines, reach * np.array([axis.grid.high - axis.grid.low for axis in axes]), tol


def _nearest(found: np.ndarray, axes: tuple[Axis, ...]) -> np.ndarray:
    """Order points by their distance from the neutral one; of a contour the first alone."""
    away = found - np.array([axis.neutral for axis in axes])
    ordered = found[np.argsort(np.linalg.norm(away, axis=1), kind="stable")]
    return ordered if len(axes) == 1 else ordered[:1]


def _crossings(margin: Margin, found: np.ndarray, axes: tuple[Axis, ...], reach: np.ndarray) -> pd.DataFrame:
    names = [axis.name for axis in axes]
    if not len(found):
        return pd.DataFrame(columns=[*names, "mc_error", *_SHOWN])
    made = _frame(found, margin.curve.pooled(found, margin.level), margin, axes)
    made.insert(len(names), "mc_error", [monte_carlo_error(margin, point, reach) for point in found.tolist()])
    return made


def _one(frame: pd.DataFrame) -> dict[str, float]:
    return {str(name): float(value) for name, value in frame.iloc[0].items()}


def _frame(points: np.ndarray, stack: Stack, margin: Margin, axes: tuple[Axis, ...]) -> pd.DataFrame:
    shown = {name: stack[name][:, margin.term] for name in _SHOWN}
    gap = np.abs(shown["estimate"] - margin.at) / shown["std_error"]
    shown["p_value"] = 2 * stdtr(stack["dof"][:, margin.term], -gap)
    return pd.DataFrame({axis.name: points[:, a] for a, axis in enumerate(axes)} | shown)
