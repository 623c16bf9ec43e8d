"""em: maximum likelihood of a spec, by EM."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import lazy_loader
import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em.fit import Curvature, EMFit
from mnarkit.em.loop import Criterion
from mnarkit.em.names import coef_names, cov_names
from mnarkit.em.normal import MARPath, mar_path, unpack
from mnarkit.em.notes import boundary, dependent, never_together
from mnarkit.em.penalty import CovariancePrior, Penalty, penalty
from mnarkit.em.progress import Progress
from mnarkit.em.start import MARStart, Point, available, is_finite_number, named_point, start_point
from mnarkit.em.units import Units
from mnarkit.errors import ConvergenceWarning, IdentificationWarning, SpecError
from mnarkit.normal.moments import Moments
from mnarkit.normal.sources import is_table, moments_of, require_columns
from mnarkit.normal.structure import structure_of
from mnarkit.spec.bounds import limits_said
from mnarkit.spec.check import check, check_beliefs, identification, named_columns
from mnarkit.spec.data_models import MvNormal
from mnarkit.spec.death import death_said
from mnarkit.spec.engine import engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.propensities import MOST_INTEGRATED, orthants
from mnarkit.spec.spec import Spec, require_spec

__all__ = ["em"]

_SMALL = 100_000  # cells above which a second look at every column would cost more than the fit

_mnar: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.em", submod_attrs={"mnar": ["Settings", "mnar_fit", "two_step_fit"]}
)[0]

type Start = MARStart | EMFit


def em(
    spec: Spec,
    df: Any,
    *,
    start: Start = "available",
    tol: float = 1e-8,
    max_iter: int = 10_000,
    criterion: Criterion = "parameter",
    accelerate: bool = True,
    prior: CovariancePrior | None = None,
    method: Literal["ML", "two-step"] = "ML",
    progress: bool = True,
) -> EMFit:
    """Maximise the observed-data likelihood of a spec, log f(y_seen | θ) under MAR or log f(y_seen, r | θ), by EM.

    Parameters
    ----------
    spec : Spec
        A data model under MAR, or with a selection, Heckman or pattern-mixture belief. Amounts of a `PatternMixture`
        are held at their declared values (a prior at its centre): with `of="model"` inside the likelihood, with
        `of="prediction"` added to the expectations afterwards. Priors of selection coefficients are not used, numbers
        that fix them are.
    df : DataFrame, path, pyarrow.dataset.Dataset or Dask DataFrame
        The table. A Parquet file or folder is read chunk by chunk and may be larger than memory; so is a Dask table
        (`pip install 'mnarkit[dask]'`); both under MAR alone. Under MAR, rows in which no modelled column is seen are
        left out, and counted; they stay in the likelihood of an indicator.
    start : {"available", "complete", "available-correlated"}, tuple, EMFit or mapping
        `available`: regressions and residual variances (divisor n_seen - rank) of each column where it is seen,
        correlations 0, as SAS PROC MI; `complete`: the complete rows; `available-correlated`: available cases with one
        common correlation, the mean of the pairwise ones, or r in `("available-correlated", r)`; or a fit of the same
        model, or its parameters by name.
    tol : float
        Stop when an iteration changes no parameter of the standardised columns by more: absolute below 0.01, relative
        above, as SAS PROC MI, whose default is 1e-4. With `criterion="loglik"`, when the objective rises by less.
        Heckman, dropout and growth models, `MvNormal(by=)`, limits, amounts inside the likelihood and correlated
        propensities are maximised by quasi-Newton and Newton steps to a gradient of 0; `tol`, `criterion` and
        `accelerate` are not for them.
    max_iter : int
        At most so many iterations; reaching it gives `converged=False` and a warning, never an error.
    criterion : {"parameter", "loglik"}
        What is judged.
    accelerate : bool
        Extrapolate between EM steps (Anderson acceleration, monotone); `False` is EM as published.
    prior : Ridge, InverseWishart, Jeffreys or None
        A prior of the covariance, for the posterior mode instead of the maximum of the likelihood; MAR alone.
    method : {"ML", "two-step"}
        `two-step` is Heckman's estimator, for one Heckman belief alone.
    progress : bool
        Show a line on standard error when it takes more than two seconds.

    Returns
    -------
    EMFit

    Raises
    ------
    SpecError
        The spec does not fit the table, or an option does not fit the spec.
    DataError
        The table cannot be used.
    ConvergenceError
        The objective fell.

    Warns
    -----
    ConvergenceWarning
        `max_iter` was reached, columns determine each other, the maximum lies on a boundary or is one of several.

    References
    ----------
    Dempster, Laird & Rubin (1977). Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39, 1-38,
    section 4.1.3.
    Little & Rubin (2019). Statistical Analysis with Missing Data, 3rd ed., section 11.2.
    Walker & Ni (2011). Anderson acceleration for fixed-point iterations. SIAM J. Numer. Anal. 49, 1715-1735.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.em(mk.Spec(mk.Regression("lwage ~ educ + exper")), wages)
    >>> fit.n, fit.converged
    (428, True)
    """
    require_spec(spec)
    engine = engine_of(spec, IncompleteData.of(df) if is_table(df) else None)
    if engine.name == "factored":
        raise SpecError(
            f"mk.em maximises the likelihood of jointly normal columns, and {engine.because}; use mk.sample(spec, df)"
        )
    _check_settings(tol, max_iter, criterion, method, {"accelerate": accelerate, "progress": progress})
    if spec.restriction is not None:
        raise SpecError(
            f"{spec.restriction} has a regression of its own for each wave and no one likelihood to maximise; "
            "mk.sample(spec, df) draws from their posterior exactly"
        )
    if _is_mar(spec):
        if method != "ML":
            raise SpecError("method='two-step' is for one Regression with one Heckman belief")
        made = _mar(spec, df, start, tol, max_iter, criterion, accelerate, prior, progress)
    else:
        made = _belief(spec, df, start, prior, method, (tol, max_iter, criterion, accelerate, progress))
    rests = identification(spec)
    silent = _applied(spec)
    if made.data is not None:
        silent += [
            *limits_said(spec, made.data),
            *death_said(spec, made.data),
            *orthants(spec, made.data, MOST_INTEGRATED),
        ]
    for note in (n for n in made.notes if n not in silent):
        warnings.warn(note, IdentificationWarning if note in rests else ConvergenceWarning, stacklevel=2)
    return made


def _is_mar(spec: Spec) -> bool:
    """Whether the likelihood is that of MAR: amounts that are added afterwards do not touch it."""
    inside = any(c.of == "model" for c in spec.amounts)
    plain = structure_of(spec.model) is None and not (isinstance(spec.model, MvNormal) and spec.model.by)
    return not (spec.selections or spec.limits or inside) and plain


def _belief(
    spec: Spec,
    df: Any,
    start: Start,
    prior: CovariancePrior | None,
    method: str,
    settings: tuple[float, int, Criterion, bool, bool],
) -> EMFit:
    if prior is not None:
        raise SpecError("prior= is for fits under MAR; with this belief use mk.sample, where every parameter has one")
    if not is_table(df):
        raise SpecError("a table read in chunks is fitted under MAR alone, without limits; load it, or use spec.mar()")
    data = IncompleteData.of(df)
    if method == "two-step":
        return _mnar("two_step_fit")(spec, data)
    tol, max_iter, criterion, accelerate, progress = settings
    with Progress(progress, max_iter) as shown:
        return _mnar("mnar_fit")(
            spec, data, start, _mnar("Settings")(tol, max_iter, criterion, accelerate, shown.update)
        )


def _check_settings(tol: float, max_iter: int, criterion: str, method: str, switches: Mapping[str, bool]) -> None:
    if isinstance(max_iter, bool) or not isinstance(max_iter, (int, np.integer)) or max_iter < 1:
        raise SpecError(f"max_iter= is a whole number of at least 1, not {max_iter!r}")
    if not is_finite_number(tol) or tol < 0:
        raise SpecError(f"tol= is a finite number of at least 0, not {tol!r}")
    for name, value in switches.items():
        if not isinstance(value, (bool, np.bool_)):
            raise SpecError(f"{name}= is True or False, not {value!r}")
    if criterion not in ("parameter", "loglik"):
        raise SpecError(f"criterion= is 'parameter' or 'loglik', not {criterion!r}")
    if method not in ("ML", "two-step"):
        raise SpecError(f"method= is 'ML' or 'two-step', not {method!r}")


def _mar(
    spec: Spec,
    df: Any,
    start: Start,
    tol: float,
    max_iter: int,
    criterion: Criterion,
    accelerate: bool,
    prior: CovariancePrior | None,
    progress: bool,
) -> EMFit:
    data = IncompleteData.of(df) if is_table(df) else None
    if data is None:
        _check_chunked(spec, df)
    elif data.n * len(spec.model.columns) <= _SMALL:
        check(spec, data)  # its sentences on the data model know more; `moments_of` checks that on every table
    else:
        check_beliefs(spec, data)
    moments = moments_of(spec, df if data is None else fitted_table(spec, data))
    began = start_point(_named_start(start, moments), moments)
    held = penalty(prior, np.diag(available(moments)[1]) if prior is not None else moments.scale, moments.scale)
    with Progress(progress, max_iter) as shown:
        found = mar_path(
            moments,
            began,
            held,
            tol=tol,
            max_iter=max_iter,
            criterion=criterion,
            accelerate=accelerate,
            watch=shown.update,
        )
    return _mar_fit(spec, data, moments, held, prior, found)


def _check_chunked(spec: Spec, source: Any) -> None:
    """Check what can be told of beliefs without the rows."""
    if spec.reference is not None:
        raise SpecError("a reference-based belief reads the events of the whole table; load it, or use spec.mar()")
    require_columns(source, sorted({*named_columns(spec)} - {*named_columns(spec.mar())}))


def _named_start(start: Start, moments: Moments) -> MARStart | Point:
    """Turn a fit, or parameters by name, into (coef, cov) in the columns' own units."""
    if isinstance(start, EMFit):
        if (start.columns, start.terms) != (moments.columns, moments.terms):
            raise SpecError(
                f"start= is a fit of {', '.join(start.columns)} on {', '.join(start.terms)}, and this one is of "
                f"{', '.join(moments.columns)} on {', '.join(moments.terms)}"
            )
        return start.coef, start.cov
    if not isinstance(start, (Mapping, pd.Series)):
        return start
    return named_point(start, moments)


def _mar_fit(
    spec: Spec,
    data: IncompleteData | None,
    moments: Moments,
    held: Penalty,
    prior: CovariancePrior | None,
    found: MARPath,
) -> EMFit:
    p, q = len(moments.columns), len(moments.terms)
    path, units = found.path, Units.of(moments)
    points = units.own(np.array(path.points))
    used = ((moments.seen & ~found.left_out) * moments.count[:, None]).sum(axis=0)
    log_prior = np.array([held.log_density(unpack(point, p, q)[1]) for point in path.points])
    names = [*coef_names(moments.columns, moments.terms), *cov_names(moments.columns)]
    history = pd.DataFrame(points, columns=names)
    loglik = np.array(path.objective) - log_prior - np.log(moments.scale) @ used
    log_prior = log_prior - held.weight * np.log(moments.scale).sum()
    front = {"iteration": np.arange(len(points)), "loglik": loglik, "minus_2_loglik": -2 * loglik}
    front |= {"log_prior": log_prior} if prior is not None else {}
    coef, cov = unpack(points[-1], p, q)
    return EMFit(
        spec=spec,
        data=data,
        columns=moments.columns,
        terms=moments.terms,
        coef=coef,
        cov=cov,
        indicators=(),
        loglik=float(loglik[-1]),
        log_prior=float(log_prior[-1]) if prior is not None else 0.0,
        n=moments.n,
        n_empty=moments.n_empty,
        start=pd.Series(points[0], index=names, name="start"),
        history=pd.concat([pd.DataFrame(front), history], axis=1),
        iterations=len(points) - 1,
        evaluations=path.evaluations,
        converged=path.converged,
        reason=path.reason,
        prior=prior,
        modes=pd.DataFrame(),
        notes=_notes(spec, moments, found, cov, prior),
        curvature=Curvature(moments, held, found.left_out),
    )


def _applied(spec: Spec) -> list[str]:
    """What is applied to the expectations alone: nothing to warn of."""
    said = [f"{spec.reference} is applied to the expectations, not to the likelihood"] if spec.reference else []
    components = [c for c in spec.amounts if c.of == "prediction"]
    return said + [f"{c} is added to the expectations, not to the likelihood" for c in components]


def _notes(
    spec: Spec, moments: Moments, found: MARPath, cov: np.ndarray, prior: CovariancePrior | None
) -> tuple[str, ...]:
    said = [] if found.path.converged else [found.path.reason]
    said += _applied(spec)
    said += dependent(moments, cov, found.left_out)
    edge = None if found.left_out.any() or prior is not None else boundary(moments, cov)
    said += [edge] if edge else []
    if prior is None:
        said += [
            f"{a!r} and {b!r} are never seen together: nothing in the data tells their covariance given the other "
            "columns, and the estimate of it is arbitrary: it depends on where EM started, and on how it went"
            for a, b in never_together(moments)
        ]
    return tuple(said)
