"""Pool: Rubin's rules, one term at a time."""

from collections.abc import Mapping

import numpy as np

from mnarkit.errors import DataError
from mnarkit.estimates import Estimates
from mnarkit.pool.pooled import Pooled
from mnarkit.pool.scales import on_scale

__all__ = ["pool"]


def pool(estimates: Estimates, *, level: float = 0.95, transform: str | Mapping[str, str] | None = None) -> Pooled:
    """Pool m estimates and variances by term: Q̄ = ΣQ/m, T = W + (1 + 1/m) B (Rubin 1987, eq. 3.1.2-3.1.5).

    Parameters
    ----------
    estimates : Estimates
        What `analyze` returned, or `Estimates.of(...)` for numbers from elsewhere; at least two imputations.
    level : float
        The level of the confidence intervals, in (0, 1).
    transform : {"log", "logit", "cloglog", "atanh", "sqrt", "r_squared"} or mapping of terms to them, optional
        The scale g on which estimates are pooled because they are closer to normal there: g(Q), with variance
        g'(Q)² U. log for hazard ratios and odds ratios, logit and cloglog, log(-log(1 - q)), for proportions, atanh
        (r to z) for correlations, r_squared, atanh √q, for R². Terms are renamed, "log(hr)", tests are against
        g(θ) = 0, and `Pooled.back` returns.

    Returns
    -------
    Pooled
        One estimate a term, with its variances, degrees of freedom, interval and fraction of missing information.

    Raises
    ------
    DataError
        Fewer than two imputations, a term with variance 0 throughout, a level outside (0, 1), or estimates that have no
        value on the scale asked for.

    References
    ----------
    Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys, section 3.1. Wiley.
    Barnard, J. and Rubin, D. B. (1999). Small-sample degrees of freedom with multiple imputation. Biometrika 86,
    948-955, eq. 3.

    Examples
    --------
    >>> import mnarkit as mk
    >>> estimates = mk.Estimates.of([-1.5457, -1.428], [0.9723**2, 1.041**2], terms=["age"], df_complete=23)
    >>> row = mk.pool(estimates).to_frame().loc[0]
    >>> print(f"{row.estimate:.5f} {row.total:.6f} {row.dof:.5f} {row.fmi:.8f}")
    -1.48685 1.024914 20.97025 0.09272831
    >>> r = mk.Estimates.of([0.6, 0.7], [0.02, 0.02], terms=["r"])
    >>> mk.pool(r, transform="atanh").back().round(3).to_dict("list")
    {'term': ['r'], 'estimate': [0.653], 'ci_low': [0.152], 'ci_high': [0.887]}
    """
    level = _checked_level(level)
    if not isinstance(estimates, Estimates):
        raise DataError(f"pool takes Estimates, from analyze(...) or Estimates.of(...), not {type(estimates).__name__}")
    if estimates.m < 2:
        raise DataError(
            "with 1 imputation the variance between imputations cannot be estimated, so nothing can be pooled; "
            "make at least 2, better 20: impute(fit, m=20)"
        )
    estimates, scales = on_scale(estimates, transform)
    values, within = estimates.estimates, estimates.variances.mean(axis=0)
    certain = np.flatnonzero(within <= 0)
    if certain.size:
        raise DataError(
            f"the variance of {estimates.terms[certain[0]]!r} is 0 in all {estimates.m} imputations; "
            "give its sampling variance, or leave it out of the analysis"
        )
    # around the first imputation: m equal estimates then vary by exactly 0, whatever their rounding
    around = values - values[0]
    return Pooled(
        terms=estimates.terms,
        estimate=values[0] + around.mean(axis=0),
        within=within,
        between=around.var(axis=0, ddof=1),
        m=estimates.m,
        level=level,
        df_complete=estimates.df_complete,
        what=estimates.what,
        scales=scales,
        notes=estimates.notes,
    )


def _checked_level(level: object) -> float:
    if isinstance(level, (int, float, np.integer, np.floating)) and not isinstance(level, bool) and 0 < level < 1:
        return float(level)
    raise DataError(f"level= is a probability between 0 and 1, such as 0.95, not {level!r}")
