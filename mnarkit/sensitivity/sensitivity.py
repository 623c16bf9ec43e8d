"""sensitivity: how a pooled analysis moves with an assumption that no data can tell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mnarkit.analyze import Analysis
from mnarkit.fit import Fit
from mnarkit.sensitivity.grid import Axes, lattice
from mnarkit.sensitivity.result import Sensitivity
from mnarkit.sensitivity.setup import amounts_curve, read_axes, settings_of
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

    Parameters
    ----------
    fit : Fit
        From `mk.sample`, usually under MAR or a `Reference`.
    what : str, Logistic or callable
        The analysis, as in `analyze`.
    grid : mapping of str or tuple of str to Grid
        By column, or tuple of columns that move alike; `Grid(..., by="arm")` gives each arm its own axis. One or two
        assumptions in all, two being crossed.
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
        table, draws, analysis, seed and point; a run that is started again reads it. Exact arithmetic is not kept.
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
    curve = amounts_curve(fit, what, axes, settings)
    points = lattice(axes)
    stack = curve.pooled(points, settings.level)
    return Sensitivity(
        what=str(getattr(what, "__name__", what)),
        axes=axes,
        points=points,
        terms=curve.terms,
        stack=stack,
        reached=(curve.how,) * len(points),
        checks=pd.DataFrame(index=range(len(points))),
        m=settings.m,
        seed=settings.seed,
        level=settings.level,
        n=fit.data.n,
        spec=fit.spec,
        under=settings.under,
        notes=(curve.how,),
    )
