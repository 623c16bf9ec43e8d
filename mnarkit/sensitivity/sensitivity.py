"""sensitivity: how a pooled analysis moves with an assumption that no data can tell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mnarkit.analyze import Analysis
from mnarkit.errors import SpecError
from mnarkit.fit import Fit
from mnarkit.pool import pool
from mnarkit.sensitivity.coefficients import coefficient_points
from mnarkit.sensitivity.curves import Stack, stacked
from mnarkit.sensitivity.grid import Axes, Axis, lattice
from mnarkit.sensitivity.result import Sensitivity
from mnarkit.sensitivity.setup import (
    Settings,
    amounts_curve,
    read_axes,
    settings_of,
    warn_uncongenial,
    with_axes,
)
from mnarkit.sensitivity.source import Late

__all__ = ["sensitivity"]


def sensitivity(
    fit: Fit,
    what: Analysis,
    grid: Axes,
    *,
    m: int = 100,
    seed: int | None = None,
    level: float = 0.95,
    under: Late | Sequence[Late] | None = None,
    df_complete: float | None = None,
    workers: int | None = 1,
    client: Any = None,
    resume: str | Path | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Q̄(δ), T(δ) over a grid of δ: the pooled analysis as the untestable assumption moves.

    Amounts are applied to imputations that are drawn once, with one set of random numbers, and nothing is refitted. The
    unseen cells are then affine in δ: for least squares on such an outcome the estimates are affine and the variances
    quadratic in δ, and all points follow from a few numbers, exactly.

    A coefficient of a missingness model is held at each value. Few values are fitted; draws are carried to the others
    by the affine map between the two posterior modes and curvatures, with importance weights of the joint density. A
    value is reached so where k̂ < min(1 - 1/log₁₀ S, 0.7) and the effective sample size is at least 20 m; it is fitted
    otherwise.

    Parameters
    ----------
    fit : Fit
        From `mk.sample`, usually under MAR or a `Reference`.
    what : str, Logistic or callable
        The analysis, as in `analyze`.
    grid : mapping of str or tuple of str to Grid
        By column, or tuple of columns that move alike; `Grid(..., by="arm")` gives each arm its own axis. One or two
        assumptions in all, two being crossed. Or one coefficient of the fit's spec, as `EMFit.params` names it:
        `"missing(y) ~ y"`, `"dropout ~ current"`, `"rho(y)"`.
    m, seed : int
        Imputations at each point, and their seed.
    level : float
        Of the intervals.
    under : PatternMixture, Reference or sequence of them, optional
        Late beliefs on which the amounts are put, such as `Reference("J2R", ...)`.
    df_complete : float, optional
        As in `analyze`.
    workers : int, optional
        Processes for analyses that are run at each point, None for one a core; the numbers do not depend on it.
    client : object, optional
        A Dask client (`pip install 'mnarkit[dask]'`), or anything with `submit`; points are run there.
    resume : path, optional
        A folder in which each point that was run is kept, written whole or not at all, under a name made of spec,
        table, draws, analysis, seed and point; a run that is started again reads it. What is arithmetic, and `Logistic`
        on prepared designs, is quick and not kept.
    progress : bool
        Whether to show a line on a terminal when it takes longer than two seconds.

    Returns
    -------
    Sensitivity

    Raises
    ------
    SpecError
        Something that cannot be varied, or more than two assumptions.
    DataError
        An analysis that fails, with the point.

    Warns
    -----
    CongenialityWarning
        As `analyze`.

    References
    ----------
    Carpenter, J. R. and Kenward, M. G. (2013). Multiple Imputation and its Application, section 10.2.
    Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys, section 6.2.
    Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed importance sampling. JMLR 25,
    section 3.2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> found = mk.sensitivity(fit, "lwage ~ educ", {"lwage": mk.Grid(values=[0, -0.5], unit="sd")}, m=20, seed=2)
    >>> found.curve("educ")["shift_lwage"].tolist()
    [0.0, -0.5]
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
    axes = read_axes(fit, grid)
    if axes[0].term is not None:
        return _over_coefficient(fit, what, axes, settings)
    curve = amounts_curve(fit, what, axes, settings)
    points = lattice(axes)
    stack = curve.pooled(points, settings.level)
    checks = pd.DataFrame(index=range(len(points)))
    how = (curve.how,) * len(points)
    return _result(fit, what, axes, settings, curve.terms, stack, how, checks, (curve.how,))


def _over_coefficient(fit: Fit, what: Analysis, axes: tuple[Axis, ...], settings: Settings) -> Sensitivity:
    if len(axes) != 1:
        raise SpecError(f"one coefficient is varied at a time, not {' and '.join(repr(axis.name) for axis in axes)}")
    warn_uncongenial(fit, what)
    (axis,) = axes
    found = coefficient_points(fit, what, axis, with_axes(settings, axes))
    stack = stacked([Stack.of(pool(one.estimates, level=settings.level)) for one in found])
    checks = pd.DataFrame({"k_hat": [one.k_hat for one in found], "ess": [one.ess for one in found]})
    fits = sum(one.how.startswith("refitted") for one in found)
    worst = checks["k_hat"].max()
    notes = [f"{len(found)} values from {fits} fit{'s' * (fits != 1)} made for them; the rest by reweighting"]
    notes += [f"largest k-hat of a reweighted point {worst:.2f}"] if fits < len(found) else []
    terms = found[0].estimates.terms
    return _result(fit, what, axes, settings, terms, stack, tuple(o.how for o in found), checks, tuple(notes))


def _result(
    fit: Fit,
    what: Analysis,
    axes: tuple[Axis, ...],
    settings: Settings,
    terms: tuple[str, ...],
    stack: Stack,
    reached: tuple[str, ...],
    checks: pd.DataFrame,
    notes: tuple[str, ...],
) -> Sensitivity:
    return Sensitivity(
        what=str(getattr(what, "__name__", what)),
        axes=axes,
        points=lattice(axes),
        terms=terms,
        stack=stack,
        reached=reached,
        checks=checks,
        m=settings.m,
        seed=settings.seed,
        level=settings.level,
        n=fit.data.n,
        spec=fit.spec,
        under=settings.under,
        notes=notes,
    )
