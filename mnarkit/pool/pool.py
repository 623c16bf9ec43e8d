"""Pool: Rubin's rules, one term at a time."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from mnarkit.errors import DataError
from mnarkit.estimates import Estimates

__all__ = ["Pooled", "pool"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pooled:
    """T = W + (1 + 1/m) B by term: what m analyses say together, as `pool` returns it.

    Attributes
    ----------
    terms : tuple of str
        The names of the k terms.
    estimate, within, between : ndarray, shape (k,)
        The mean of the m estimates, the mean of their variances (above 0) and the variance among the estimates.
    m : int
        The number of imputations.
    level : float
        The level of the intervals, in (0, 1).
    df_complete : float or None
        The degrees of freedom of the complete-data analysis; None if not known.
    what : str
        The analysis.

    Notes
    -----
    Every other quantity is a property that follows from these: `total`, `std_error`, `riv`, `lambda_`, `dof`, `fmi`,
    `fmi_rubin`, `mc_error`, `statistic`, `p_value`, `ci_low`, `ci_high`.

    Examples
    --------
    >>> import mnarkit as mk
    >>> pooled = mk.pool(mk.Estimates.of([1.0, 2.0, 1.5], [0.5, 0.5, 0.5]))
    >>> pooled.between
    array([0.25])
    """

    terms: tuple[str, ...]
    estimate: np.ndarray
    within: np.ndarray
    between: np.ndarray
    m: int
    level: float
    df_complete: float | None
    what: str

    @property
    def total(self) -> np.ndarray:
        """T = W + (1 + 1/m) B."""
        return self.within + (1 + 1 / self.m) * self.between

    @property
    def std_error(self) -> np.ndarray:
        """√T."""
        return np.sqrt(self.total)

    @property
    def riv(self) -> np.ndarray:
        """(1 + 1/m) B / W, the relative increase in variance due to the holes."""
        return (1 + 1 / self.m) * self.between / self.within

    @property
    def lambda_(self) -> np.ndarray:
        """λ = (1 + 1/m) B / T, the share of the variance that is due to the holes."""
        return (1 + 1 / self.m) * self.between / self.total

    @property
    def dof_rubin(self) -> np.ndarray:
        """ν = (m - 1) / λ² = (m - 1)(1 + 1/r)², infinite where B = 0 (Rubin 1987, eq. 3.1.6)."""
        with np.errstate(divide="ignore", over="ignore"):
            return (self.m - 1) / self.lambda_ / self.lambda_

    @property
    def dof(self) -> np.ndarray:
        """1 / (1/ν + 1/ν_obs), ν_obs = (1 - λ) ν_com (ν_com + 1) / (ν_com + 3); ν where ν_com is not known."""
        if self.df_complete is None:
            return self.dof_rubin
        complete = self.df_complete * (1 - 2 / (self.df_complete + 3))
        observed = self.within / self.total * complete
        with np.errstate(divide="ignore"):
            return 1 / (1 / self.dof_rubin + 1 / observed)

    @property
    def fmi(self) -> np.ndarray:
        """(r + 2/(ν + 3)) / (r + 1), the fraction of missing information, with the ν of `dof`, as mice."""
        return _missing_information(self.lambda_, self.dof)

    @property
    def fmi_rubin(self) -> np.ndarray:
        """(r + 2/(ν + 3)) / (r + 1) with Rubin's ν, as SAS PROC MIANALYZE."""
        return _missing_information(self.lambda_, self.dof_rubin)

    @property
    def mc_error(self) -> np.ndarray:
        """√(B/m), the standard error of the estimate that more imputations would remove."""
        return np.sqrt(self.between / self.m)

    @property
    def statistic(self) -> np.ndarray:
        """The estimate over its standard error."""
        return self.estimate / self.std_error

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided, against 0, t with `dof`."""
        return 2 * stdtr(self.dof, -np.abs(self.statistic))

    @property
    def ci_low(self) -> np.ndarray:
        """The lower end of the interval."""
        return self.estimate - self._half_width

    @property
    def ci_high(self) -> np.ndarray:
        """The upper end of the interval."""
        return self.estimate + self._half_width

    @property
    def _half_width(self) -> np.ndarray:
        return stdtrit(self.dof, (1 + self.level) / 2) * self.std_error

    def to_frame(self) -> pd.DataFrame:
        """One row a term, in the order of the analysis.

        Returns
        -------
        DataFrame
            The columns `term estimate std_error dof statistic p_value ci_low ci_high within between total riv lambda_
            fmi fmi_rubin mc_error`.

        Examples
        --------
        >>> import mnarkit as mk
        >>> pooled = mk.pool(mk.Estimates.of([1.0, 2.0, 1.5], [0.5, 0.5, 0.5], terms=["mean"]))
        >>> pooled.to_frame()[["term", "estimate", "total"]].round(3).to_dict("list")
        {'term': ['mean'], 'estimate': [1.5], 'total': [0.833]}
        """
        return pd.DataFrame({"term": list(self.terms)} | {name: getattr(self, name) for name in _COLUMNS})

    def __str__(self) -> str:
        return "\n".join([f"Pooled over m = {self.m} imputations: {self.what}", self._interval, _table(self)])

    def __repr__(self) -> str:
        return str(self)

    @property
    def _interval(self) -> str:
        interval = f"{100 * self.level:g}% confidence interval, t with"
        if self.df_complete is None:
            return (
                f"{interval} Rubin's degrees of freedom: those of the complete data are not known; "
                "with df_complete= they would be Barnard-Rubin's"
            )
        return f"{interval} Barnard-Rubin degrees of freedom (complete data: {self.df_complete:g})"


_TESTED = ("estimate", "std_error", "dof", "statistic", "p_value", "ci_low", "ci_high")
_COLUMNS = (*_TESTED, "within", "between", "total", "riv", "lambda_", "fmi", "fmi_rubin", "mc_error")
_PRINTED = ("estimate", "std_error", "ci_low", "ci_high", "statistic", "dof", "p_value", "riv", "fmi", "mc_error")


def pool(estimates: Estimates, *, level: float = 0.95) -> Pooled:
    """Pool m estimates and variances by term: Q̄ = ΣQ/m, T = W + (1 + 1/m) B (Rubin 1987, eq. 3.1.2-3.1.5).

    Parameters
    ----------
    estimates : Estimates
        What `analyze` returned, or `Estimates.of(...)` for numbers from elsewhere; at least two imputations.
    level : float
        The level of the confidence intervals, in (0, 1).

    Returns
    -------
    Pooled
        One estimate a term, with its variances, degrees of freedom, interval and fraction of missing information.

    Raises
    ------
    DataError
        Fewer than two imputations, a term with variance 0 throughout, or a level outside (0, 1).

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
    """
    level = _checked_level(level)
    if not isinstance(estimates, Estimates):
        raise DataError(f"pool takes Estimates, from analyze(...) or Estimates.of(...), not {type(estimates).__name__}")
    if estimates.m < 2:
        raise DataError(
            "with 1 imputation the variance between imputations cannot be estimated, so nothing can be pooled; "
            "make at least 2, better 20: impute(fit, m=20)"
        )
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
    )


def _checked_level(level: object) -> float:
    if isinstance(level, (int, float, np.integer, np.floating)) and not isinstance(level, bool) and 0 < level < 1:
        return float(level)
    raise DataError(f"level= is a probability between 0 and 1, such as 0.95, not {level!r}")


def _missing_information(share: np.ndarray, dof: np.ndarray) -> np.ndarray:
    return share + (1 - share) * 2 / (dof + 3)


def _table(pooled: Pooled) -> str:
    columns = {name: [f"{value:.4g}" for value in getattr(pooled, name)] for name in _PRINTED}
    return pd.DataFrame(columns, index=list(pooled.terms)).to_string()
