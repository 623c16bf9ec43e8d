"""pattern_average: regressions by pattern, averaged over the shares of the patterns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, FormulaError
from mnarkit.formula import design, parse

__all__ = ["PatternAverage", "average_patterns", "pattern_average"]


@dataclass(frozen=True, slots=True)
class PatternAverage:
    """A regression by pattern, averaged: `analyze(imputations, pattern_average(...))`, or of one table by calling it.

    Attributes
    ----------
    formula, pattern : str
        The regression, and the column whose levels are the patterns.
    """

    formula: str
    pattern: str

    def __call__(self, frame: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
        """Estimates and covariances, by term, on one table."""
        data = IncompleteData.of(frame)
        parsed = parse(self.formula)
        response = str(parsed.response)
        data.require([response, self.pattern], f"the average of {self.formula!r} by {self.pattern}")
        holes = int((~data.seen(response)).sum())
        if holes:
            raise DataError(f"{response!r} has {holes} holes; impute it first, or leave those rows out")
        built, y = design(parsed, data), data.number(response)
        groups = data.frame[self.pattern]
        levels = list(dict.fromkeys(groups.astype(object).tolist()))
        fits = [self._fit(level, built.matrix, y, (groups == level).to_numpy(dtype=bool)) for level in levels]
        counts = [int((groups == level).sum()) for level in levels]
        estimate, covariance = average_patterns([f[0] for f in fits], [f[1] for f in fits], counts)
        names = list(built.names)
        return pd.Series(estimate, index=names), pd.DataFrame(covariance, index=names, columns=names)

    def _fit(self, level: object, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least squares on the rows of one pattern."""
        x, y = x[rows], y[rows]
        n, k = x.shape
        if n <= k or np.linalg.matrix_rank(x / np.maximum(np.abs(x).max(axis=0), 1e-300)) < k:
            why = f"{n} rows for {k} coefficients" if n <= k else f"collinear predictors in its {n} rows"
            raise DataError(
                f"the pattern {self.pattern} = {level!r} has {why} of {self.formula!r}; join it with another pattern"
            )
        inverse = np.linalg.inv(x.T @ x)
        coef = inverse @ (x.T @ y)
        residual = y - x @ coef
        return coef, inverse * (residual @ residual) / (n - k)


def pattern_average(formula: str, pattern: str) -> PatternAverage:
    """Σ_k π_k β_k: a regression fitted in every pattern of dropout, averaged over the shares of the patterns.

    Parameters
    ----------
    formula : str
        `"y ~ x"`.
    pattern : str
        A fully seen column whose levels are the patterns, such as the last wave that a row has.

    Returns
    -------
    PatternAverage
        A function of a table that `mk.analyze` takes; it returns estimates and covariances, the shares being estimates.

    Raises
    ------
    FormulaError
        A formula without a response.
    DataError
        When called: a pattern with too few rows.

    References
    ----------
    Hedeker, D. & Gibbons, R. (1997). Application of random-effects pattern-mixture models for missing data in
    longitudinal studies. Psychological Methods 2, 64-78 (averaging over patterns, delta method).

    Examples
    --------
    >>> import mnarkit as mk
    >>> trial = mk.load_dataset("depression").dropna()
    >>> estimate, covariance = mk.pattern_average("bdi_8m ~ bdi_pre", "drug")(trial)
    >>> list(estimate.index)
    ['Intercept', 'bdi_pre']
    """
    parsed = parse(formula)
    if parsed.kind != "value":
        raise FormulaError(f"an average over patterns takes 'y ~ x', not {formula!r}")
    return PatternAverage(parsed.text, pattern)


def average_patterns(
    estimates: Sequence[np.ndarray], covariances: Sequence[np.ndarray], counts: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Average the estimates of K patterns over their shares n_k / n, with the delta method's covariance.

    Σ π_k² V_k + Σ_kl Cov(π_k, π_l) β_k β_lᵀ, the shares multinomial: Cov(π_k, π_l) = (π_k 1(k = l) - π_k π_l) / n.

    Parameters
    ----------
    estimates : K arrays (q,)
        Of any model fitted by pattern.
    covariances : K arrays (q, q)
        Theirs.
    counts : K ints
        Subjects a pattern.

    Returns
    -------
    (q,), (q, q) arrays
        The average and its covariance.
    """
    beta, within = np.stack(estimates), np.stack(covariances)
    n = np.asarray(counts, dtype=float)
    share = n / n.sum()
    of_shares = (np.diag(share) - np.outer(share, share)) / n.sum()
    covariance = np.einsum("k,kij->ij", share**2, within) + beta.T @ of_shares @ beta
    return share @ beta, covariance
