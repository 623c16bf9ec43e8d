"""Estimates: what one analysis gave on each of m completed tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnarkit.errors import DataError
from mnarkit.likelihoods import Likelihoods

if TYPE_CHECKING:  # formulas need a library that pooling does without
    from mnarkit.formula import Design

__all__ = ["Estimates"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Estimates:
    """Q_1, …, Q_m and U_1, …, U_m: the estimates of one analysis on m completed tables, and their covariances.

    Attributes
    ----------
    terms : tuple of str
        The names of the k terms.
    estimates : ndarray, shape (m, k)
        The estimates, finite.
    covariances : ndarray, shape (m, k, k)
        Their covariance matrices; where only variances were given, the rest is NaN.
    df_complete : float or None
        The degrees of freedom of the analysis on complete data; infinite where it has none, None where not known.
    what : str
        The analysis: the formula, or the name of the function.
    likelihoods : Likelihoods or None
        The log likelihoods of the analysis, for D3 and D4 of `pool_test`; None where it gives none.
    design : Design or None
        How a formula makes the terms of rows, for `predict`; without its matrix. None for a function.
    notes : tuple of str
        What a reader must know.

    Raises
    ------
    DataError
        Shapes that do not fit, names used twice, a value that is not finite, or a negative variance.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Estimates.of([1.0, 2.0, 1.5], [0.5, 0.5, 0.5], terms=["mean"], df_complete=24)
    Estimates of numbers given: 3 imputations, 1 term, df_complete 24
    """

    terms: tuple[str, ...]
    estimates: np.ndarray
    covariances: np.ndarray
    df_complete: float | None
    what: str
    likelihoods: Likelihoods | None = None
    design: "Design | None" = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shapes(self.terms, self.estimates, self.covariances)
        df = self.df_complete
        if df is not None and not df > 0:
            raise DataError(f"df_complete is above 0, infinite, or None if it is not known, not {df!r}")
        self._refuse(~np.isfinite(self.estimates), "estimate", self.estimates, "a finite number")
        self._refuse(~np.isfinite(self.variances), "variance", self.variances, "a finite number")
        self._refuse(self.variances < 0, "variance", self.variances, "0 or more (the square of the standard error)")

    def _refuse(self, bad: np.ndarray, what: str, values: np.ndarray, allowed: str) -> None:
        if bad.any():
            i, j = np.argwhere(bad)[0]
            more = f" ({count(int(bad.sum()), 'such value')} in all)" if bad.sum() > 1 else ""
            raise DataError(
                f"{self.what}: the {what} of {self.terms[j]!r} is {values[i, j]:g} in {which(i, self.m)}{more}; "
                f"it must be {allowed}"
            )

    @classmethod
    def of(
        cls,
        estimates: Any,
        covariances: Any,
        *,
        terms: Sequence[str] | None = None,
        df_complete: float | None = None,
        what: str = "numbers given",
    ) -> "Estimates":
        """Estimates that were made elsewhere.

        Parameters
        ----------
        estimates : array-like, shape (m,) or (m, k)
            One row an imputation; a DataFrame names the terms by its columns.
        covariances : array-like, shape (m,), (m, k) or (m, k, k)
            Variances (squared standard errors), or covariance matrices.
        terms : sequence of str, optional
            The names of the k terms.
        df_complete : float, optional
            The degrees of freedom of the analysis on complete data.
        what : str
            What was estimated, in words.

        Returns
        -------
        Estimates
            The same numbers, checked.

        Raises
        ------
        DataError
            As for the class.

        Examples
        --------
        >>> import mnarkit as mk
        >>> mk.Estimates.of([[1.0, 9.0], [2.0, 8.0]], [[0.5, 0.1], [0.5, 0.2]], terms=["a", "b"]).estimates.shape
        (2, 2)
        """
        if terms is None and isinstance(estimates, pd.DataFrame):
            terms = [str(column) for column in estimates.columns]
        values = np.atleast_1d(floats(estimates, f"{what}: the estimates"))
        spread = np.atleast_1d(floats(covariances, f"{what}: the covariances"))
        if values.ndim == 1:
            values, spread = values[:, None], spread[:, None] if spread.ndim == 1 else spread
        if spread.ndim == 2:
            spread = diagonal(spread)
        if terms is None:
            terms = numbered(values.shape[-1])
        names = (terms,) if isinstance(terms, str) else tuple(map(str, terms))
        return cls(names, values, spread, degrees(df_complete), what)

    def combine(self, weights: Any, terms: Sequence[str] | None = None) -> "Estimates":
        """L Q_k with covariance L U_k L': differences, sums and means of the terms, for `pool`.

        Parameters
        ----------
        weights : array-like, shape (r, k), or DataFrame
            L; a DataFrame names the combinations by its index, and its columns are the terms, of which those not named
            have weight 0.
        terms : sequence of str, optional
            The names of the r combinations.

        Returns
        -------
        Estimates
            One term a combination.

        Raises
        ------
        DataError
            Weights of another shape, a term that does not exist, or covariances that are not known.

        Examples
        --------
        >>> import mnarkit as mk
        >>> estimates = mk.Estimates.of([[1.0, 3.0], [2.0, 3.0]], [[[1, 0], [0, 1]]] * 2, terms=["a", "b"])
        >>> estimates.combine([[-1, 1]], ["b - a"]).estimates.tolist()
        [[2.0], [1.0]]
        """
        if isinstance(weights, pd.DataFrame):
            terms = list(map(str, weights.index)) if terms is None else terms
            _check_known(map(str, weights.columns), self.terms)
            weights = weights.rename(columns=str).reindex(columns=list(self.terms), fill_value=0.0)
        matrix = np.atleast_2d(floats(weights, "the weights"))
        if matrix.ndim != 2 or matrix.shape[1] != len(self.terms) or not np.isfinite(matrix).all():
            raise DataError(
                f"weights of {count(len(self.terms), 'term')} are finite numbers (r, {len(self.terms)}), "
                f"not {matrix.shape}"
            )
        used = np.flatnonzero(matrix.any(axis=0))
        spread = self.covariances[:, used[:, None], used]
        if np.isnan(spread).any():
            raise DataError(
                f"the covariances of the estimates of {self.what!r} are not known, only their variances; "
                "give (m, k, k) covariances to combine terms"
            )
        values, part = self.estimates @ matrix.T, matrix[:, used]
        names = numbered(len(matrix)) if terms is None else tuple(map(str, terms))
        return Estimates(names, values, part @ spread @ part.T, self.df_complete, self.what, notes=self.notes)

    @property
    def m(self) -> int:
        """The number of imputations."""
        return len(self.estimates)

    @property
    def variances(self) -> np.ndarray:
        """The variances of the estimates, shape (m, k)."""
        return np.diagonal(self.covariances, axis1=1, axis2=2)

    def __repr__(self) -> str:
        df = "not known" if self.df_complete is None else f"{self.df_complete:g}"
        m, k = self.estimates.shape
        return f"Estimates of {self.what}: {count(m, 'imputation')}, {count(k, 'term')}, df_complete {df}"


def which(k: int, m: int) -> str:
    """Imputation k, counted from 0 in code and from 1 in words."""
    return f"imputation {k + 1} of {m}"


def count(number: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def floats(values: Any, what: str) -> np.ndarray:
    """Whatever holds numbers, as float64; DataError if it does not."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise DataError(f"{what} are not numbers: {first_line(cause)}") from cause


def first_line(cause: BaseException) -> str:
    """Shorten an exception to one line."""
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__


def diagonal(variances: np.ndarray) -> np.ndarray:
    """(..., k) variances as (..., k, k) matrices whose other entries are not known: NaN."""
    k = variances.shape[-1]
    return np.where(np.eye(k, dtype=bool), variances[..., None], np.nan)


def numbered(k: int) -> tuple[str, ...]:
    """Names for k terms that have none."""
    return ("estimate",) if k == 1 else tuple(f"estimate[{j}]" for j in range(k))


def degrees(value: Any) -> float | None:
    """Degrees of freedom as float, or None; DataError if it is no number."""
    if value is None:
        return None
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        return float(value)
    raise DataError(f"df_complete is a number above 0, infinite, or None if it is not known, not {value!r}")


def _check_known(names: Iterable[str], terms: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in terms]
    if unknown:
        raise DataError(f"the weights name {unknown[0]!r}; the terms are {', '.join(map(repr, terms))}")


def _check_shapes(terms: tuple[str, ...], estimates: np.ndarray, covariances: np.ndarray) -> None:
    k = len(terms)
    m = len(estimates) if estimates.ndim else 0
    if not m or not k or estimates.shape != (m, k) or covariances.shape != (m, k, k):
        raise DataError(
            f"estimates of m imputations and {count(k, 'term')} are (m, {k}) with variances (m, {k}) or covariances "
            f"(m, {k}, {k}), not {estimates.shape} with {covariances.shape}"
        )
    twice = [term for term in terms if terms.count(term) > 1]
    if twice:
        raise DataError(f"the term {twice[0]!r} is named {terms.count(twice[0])} times; give every term its own name")
