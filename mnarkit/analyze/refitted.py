"""Refitted: the log likelihoods of an analysis by function, which is run again where a test asks for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from mnarkit.analyze.answers import parameters
from mnarkit.errors import DataError
from mnarkit.estimates import first_line, which

__all__ = ["Refitted"]

_INTERCEPTS = ("Intercept", "const")


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """l_k(θ) = `model.loglike` of the statsmodels result that a function returns for completed table k.

    Attributes
    ----------
    function : callable
        From a completed table to a fitted statsmodels result.
    label : str
        Its name.
    tables : Imputations or sequence of DataFrame
        The completed tables.
    terms : tuple of str
        The order of the coefficients.
    size : int
        The free parameters of the likelihood.
    """

    function: Callable[[pd.DataFrame], Any]
    label: str
    tables: Any
    terms: tuple[str, ...]
    size: int

    def fitted(self) -> np.ndarray:
        """Log likelihoods at the estimates of each imputation."""
        return np.array([self._told(result, parameters(result)) for result in self._results()])

    def at(self, coefficients: np.ndarray) -> np.ndarray:
        """Log likelihoods at these slopes, each maximised over its intercept if there is one."""
        slopes = pd.Series(coefficients, index=self.terms)
        return np.array([self._profiled(result, slopes) for result in self._results()])

    def stacked(self) -> float:
        """One fit to the m tables under one another, its log likelihood over m."""
        result = self._run(pd.concat(list(self.tables), ignore_index=True), "on all tables under one another")
        return self._told(result, parameters(result)) / len(self.tables)

    def _results(self) -> Iterator[Any]:
        m = len(self.tables)
        return (
            self._run(table.copy(deep=False), f"in {which(k, m)}, run again") for k, table in enumerate(self.tables)
        )

    def _run(self, table: pd.DataFrame, where: str) -> Any:
        try:
            return self.function(table)
        except Exception as cause:
            raise DataError(
                f"the analysis {self.label!r} failed {where}: {first_line(cause)}; D1 and D2 do without"
            ) from cause

    def _profiled(self, result: Any, slopes: pd.Series) -> float:
        own = parameters(result)
        theta = slopes[list(map(str, own.index))] if isinstance(own, pd.Series) else slopes
        free = [j for j, name in enumerate(theta.index) if name in _INTERCEPTS]
        if not free:
            return self._told(result, theta)
        values = theta.to_numpy(copy=True)
        step = float(np.sqrt(np.asarray(result.cov_params())[free[0], free[0]]))

        def less(intercept: float) -> float:
            values[free[0]] = intercept
            return -self._told(result, values)

        start = float(values[free[0]])
        return -float(minimize_scalar(less, bracket=(start - step, start + step)).fun)

    def _told(self, result: Any, theta: Any) -> float:
        try:
            return float(result.model.loglike(np.asarray(theta)))
        except (NotImplementedError, TypeError, ValueError) as cause:
            raise DataError(
                f"the analysis {self.label!r} gives no log likelihood ({first_line(cause)}); "
                'method="D1" and "D2" need none'
            ) from cause
