"""Pooled: what m analyses say together, term by term."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri, stdtr, stdtrit

from mnarkit.errors import DataError
from mnarkit.pool.export import great_table, latex
from mnarkit.pool.scales import backward

__all__ = ["Pooled"]


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
    scales : tuple of str or None
        The scale on which each term was pooled; None for its own.
    notes : tuple of str
        What a reader must know of the analysis.

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
    scales: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()

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

    def back(self, function: str | None = None) -> pd.DataFrame:
        """Estimates and ends of the intervals on their own scale.

        Parameters
        ----------
        function : {"exp", "expit", "cloglog", "tanh", "square", "r_squared"}, optional
            What to apply to every term; without it, the inverse of the `transform` that `pool` was given. "exp" makes
            odds ratios of a logistic regression's coefficients.

        Returns
        -------
        DataFrame
            `term estimate ci_low ci_high`; standard errors do not carry over.

        Raises
        ------
        DataError
            No function, and no transform to invert; or an unknown function.

        Examples
        --------
        >>> import mnarkit as mk
        >>> pooled = mk.pool(mk.Estimates.of([0.9, 1.1, 1.0], [0.2, 0.2, 0.2], terms=["drug"]))
        >>> pooled.back("exp").round(2).to_dict("list")
        {'term': ['drug'], 'estimate': [2.72], 'ci_low': [1.1], 'ci_high': [6.74]}
        """
        return backward(
            self.terms, self.scales, {n: getattr(self, n) for n in ("estimate", "ci_low", "ci_high")}, function
        )

    def imputations_needed(
        self, cv: float = 0.05, *, confidence: float = 0.95, mc_error: float | None = None
    ) -> pd.Series:
        """1 + ½ (γ/cv)² imputations, γ the upper confidence limit of the FMI (von Hippel 2020, two-stage rule).

        Parameters
        ----------
        cv : float
            By which share the standard error may vary if the imputations were drawn again, above 0.
        confidence : float
            The confidence of the interval of the FMI, logit γ̂ ± z √(2/m), in (0, 1).
        mc_error : float, optional
            Instead: the Monte Carlo error of the estimate that is wanted, B / mc_error² imputations.

        Returns
        -------
        Series
            Whole numbers by term, at least 2. The largest serves all terms.

        Raises
        ------
        DataError
            A target that is not above 0, or a confidence outside (0, 1).

        References
        ----------
        von Hippel, P. T. (2020). How many imputations do you need? A two-stage calculation using a quadratic rule.
        Sociological Methods & Research 49, 699-718.

        Examples
        --------
        >>> import mnarkit as mk
        >>> pilot = mk.pool(mk.Estimates.of([1.0, 2.0, 1.5, 1.2, 1.4], [0.5] * 5, terms=["x"]))
        >>> print(pilot.imputations_needed().to_dict(), pilot.imputations_needed(mc_error=0.05).to_dict())
        {'x': 66} {'x': 57}
        """
        for name, value in (("cv", cv), ("mc_error", mc_error)):
            if value is not None and not 0 < value < np.inf:
                raise DataError(f"{name}= is a finite number above 0, not {value!r}")
        if not 0 < confidence < 1:
            raise DataError(f"confidence= is a probability between 0 and 1, such as 0.95, not {confidence!r}")
        if mc_error is None:
            with np.errstate(divide="ignore"):
                upper = expit(logit(self.fmi) + ndtri((1 + confidence) / 2) * np.sqrt(2 / self.m))
            needed = 1 + np.square(upper / cv) / 2
        else:
            needed = self.between / mc_error**2
        # a whole number that rounding put a hair above itself is that number
        whole = np.maximum(np.ceil(needed * (1 - 1e-12)), 2).astype(np.int64)
        return pd.Series(whole, index=list(self.terms), name="imputations")

    def to_great_tables(self, columns: Sequence[str] | None = None, *, digits: int = 3) -> Any:
        """Give the table as a `great_tables.GT`, to be styled further or saved as HTML.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns of `to_frame`, after the term; estimate, standard error, interval, p-value and FMI if not
            said.
        digits : int
            Digits after the point; small numbers keep two digits, small p-values are written < 0.001.

        Returns
        -------
        great_tables.GT
            With analysis, number of imputations and level in the source note.

        Raises
        ------
        DataError
            A column that does not exist, or great_tables is not installed (`pip install 'mnarkit[tables]'`).

        Examples
        --------
        >>> import mnarkit as mk
        >>> pooled = mk.pool(mk.Estimates.of([1.0, 2.0, 1.5], [0.5, 0.5, 0.5], terms=["x"]))
        >>> "1.500" in pooled.to_great_tables().as_raw_html()
        True
        """
        return great_table(self.to_frame(), columns, digits=digits, notes=(self._head, self._interval, *self.notes))

    def to_latex(self, columns: Sequence[str] | None = None, *, digits: int = 3) -> str:
        r"""Give the table as LaTeX, a `tabular` with the rules of booktabs.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns of `to_frame`, after the term; estimate, standard error, interval, p-value and FMI if not
            said.
        digits : int
            Digits after the point; small numbers keep two digits, small p-values are written < 0.001.

        Returns
        -------
        str
            The tabular, and below it a comment with analysis, number of imputations and level.

        Raises
        ------
        DataError
            A column that does not exist.

        Examples
        --------
        >>> import mnarkit as mk
        >>> pooled = mk.pool(mk.Estimates.of([1.0, 2.0, 1.5], [0.5, 0.5, 0.5], terms=["a_b"]))
        >>> print(pooled.to_latex(["estimate", "fmi"]).splitlines()[4])
        a\_b & 1.500 & 0.477 \\
        """
        return latex(self.to_frame(), columns, digits=digits, notes=(self._head, self._interval, *self.notes))

    def __str__(self) -> str:
        return "\n".join([self._head, self._interval, _table(self), *(f"Note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return str(self)

    @property
    def _head(self) -> str:
        return f"Pooled over m = {self.m} imputations: {self.what}"

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


def _missing_information(share: np.ndarray, dof: np.ndarray) -> np.ndarray:
    return share + (1 - share) * 2 / (dof + 3)


def _table(pooled: Pooled) -> str:
    columns = {name: [f"{value:.4g}" for value in getattr(pooled, name)] for name in _PRINTED}
    return pd.DataFrame(columns, index=list(pooled.terms)).to_string()
