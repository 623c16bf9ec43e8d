"""EM for the multivariate normal, and normal regression, under MAR."""

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.em.fit import EMFit
from mnarkit.em.loop import Path, Point, iterate
from mnarkit.errors import ConvergenceError, SpecError
from mnarkit.normal.layout import KernelData, Layout, designs_of, kernel_data, lay_out, standardise
from mnarkit.normal.patterns import Patterns
from mnarkit.spec.check import check
from mnarkit.spec.spec import Spec

__all__ = ["em", "em_path", "start_values"]

_SINGULAR = 1e-10  # the smallest eigenvalue of a correlation matrix that double precision still tells from 0


def em(spec: Spec, df: object, *, tol: float = 1e-8, max_iter: int = 10_000) -> EMFit:
    """Maximise log f(y_seen | B, Σ), the observed-data likelihood under MAR, by EM.

    It starts at available-case means and variances (divisor n_seen - rank) with zero correlations, as SAS PROC MI.

    Parameters
    ----------
    spec : Spec
        A data model under MAR; for another belief take `spec.mar()`.
    df : DataFrame
        The table; rows in which no modelled column is seen are left out, and counted.
    tol : float
        Stop when no parameter of the standardised columns changed by more: absolute below 0.01, relative above, as SAS
        PROC MI, whose default is 1e-4.
    max_iter : int
        At most so many steps; reaching it gives `converged=False`, never an error.

    Returns
    -------
    EMFit

    Raises
    ------
    SpecError
        The spec departs from MAR, or does not fit the table.
    DataError
        The table cannot be used.
    ConvergenceError
        A covariance became singular: columns that determine each other.

    References
    ----------
    Dempster, Laird & Rubin (1977). Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39, 1-38,
    section 4.1.3.
    Little & Rubin (2019). Statistical Analysis with Missing Data, 3rd ed., section 11.2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.em(mk.Spec(mk.Regression("lwage ~ educ + exper")), wages)
    >>> fit.n, fit.converged
    (428, True)
    """
    data = IncompleteData.of(df)
    if not spec.is_mar:
        raise SpecError(
            f"em fits the MAR baseline, and this spec says {spec.missingness[0]}; use mk.em(spec.mar(), df)"
        )
    check(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    standard, scaling = standardise(layout)
    rows = kernel_data(standard)
    path = em_path(standard, rows, tol=tol, max_iter=max_iter)
    return EMFit.of(spec, data, layout, scaling, path)


def em_path(layout: Layout, data: KernelData, *, tol: float, max_iter: int) -> Path:
    """Run the loop on a standardised layout, where the change of the parameters is judged too."""
    cross, n = data.arrays[0], float(data.patterns.count.sum())
    p, q = len(layout.columns), len(layout.terms)
    moments = cross[:, :q, :q].sum(axis=0)

    def parameters(point: Point) -> np.ndarray:
        coef, cov = point
        return np.concatenate([coef.ravel(), cov[np.tril_indices(p)]])

    def step(point: Point) -> tuple[Point, float]:
        coef, cov = point
        yx, yy, value = expected_products(coef, cov, cross, data.patterns)
        coef = np.linalg.solve(moments, yx.T).T
        _refuse_singular(point[1])
        return (coef, (yy - coef @ yx.T) / n), value

    try:
        return iterate(step, start_values(layout), tol=tol, max_iter=max_iter, scale=parameters)
    except np.linalg.LinAlgError as error:
        raise ConvergenceError(
            f"EM met a singular covariance among {', '.join(map(repr, layout.columns))}: some of them determine each "
            "other where they are seen together; leave one out"
        ) from error


def _refuse_singular(cov: np.ndarray) -> None:
    """The likelihood has no maximum where the columns come to determine each other: it rises for ever."""
    sd = np.sqrt(np.diag(cov))
    if not np.linalg.eigvalsh(cov / np.outer(sd, sd))[0] > _SINGULAR:
        raise np.linalg.LinAlgError("singular correlation")


def start_values(layout: Layout) -> Point:
    """Available-case regressions of each column on the predictors, residual variances, zero correlations."""
    coef = np.zeros((len(layout.columns), len(layout.terms)))
    variance = np.ones(len(layout.columns))
    for j, seen in enumerate(layout.seen.T):
        x, y = layout.x[seen], layout.y[seen, j]
        coef[j], _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
        variance[j] = np.sum((y - x @ coef[j]) ** 2) / max(len(y) - rank, 1)
    return coef, np.diag(variance)


def expected_products(
    coef: np.ndarray, cov: np.ndarray, cross: np.ndarray, patterns: Patterns
) -> tuple[np.ndarray, np.ndarray, float]:
    """Σ E[y x'], Σ E[y y'] given what is seen, and log likelihood with its constant (Little & Rubin 2019, 11.2.1)."""
    p, q = coef.shape
    yx, yy, value = np.zeros((p, q)), np.zeros((p, p)), 0.0
    for seen, products, n in zip(patterns.seen, cross, patterns.count, strict=True):
        if not seen.any():
            continue
        o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
        keep = np.concatenate([np.arange(q), q + o])
        t = products[np.ix_(keep, keep)]
        root = np.linalg.cholesky(cov[np.ix_(o, o)])
        slope = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)]).T
        whole = np.zeros((p, q + len(o)))  # E[y | x, y_o] = whole @ (x, y_o)
        whole[o, q + np.arange(len(o))] = 1.0
        whole[np.ix_(m, np.arange(q))] = coef[m] - slope @ coef[o]
        whole[np.ix_(m, q + np.arange(len(o)))] = slope
        yx += whole @ t[:, :q]
        yy += whole @ t @ whole.T
        yy[np.ix_(m, m)] += n * (cov[np.ix_(m, m)] - slope @ cov[np.ix_(o, m)])
        residual = np.hstack([-coef[o], np.eye(len(o))])
        scatter = residual @ t @ residual.T
        half = np.linalg.solve(root, np.linalg.solve(root, scatter).T)
        value -= 0.5 * (n * (len(o) * np.log(2 * np.pi) + 2 * np.log(np.diag(root)).sum()) + np.trace(half))
    return yx, yy, value
