"""Analyze: the same complete-data analysis on every completed table."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.analyze.answers import Answer, listed
from mnarkit.analyze.attempts import answers
from mnarkit.analyze.congenial import uncongenial_with
from mnarkit.analyze.logistic import Logistic, logistic
from mnarkit.analyze.refitted import Refitted
from mnarkit.analyze.regression import regressions
from mnarkit.analyze.weighted import weighted, weights_said
from mnarkit.errors import CongenialityWarning, DataError, FormulaError
from mnarkit.estimates import Estimates, degrees, which
from mnarkit.formula import Formula, parse

__all__ = ["Analysis", "analyze"]

type Analysis = str | Callable[[pd.DataFrame], Any]


def analyze(
    imputations: Iterable[pd.DataFrame],
    what: Analysis,
    *,
    weights: str | None = None,
    df_complete: float | None = None,
    workers: int | None = 1,
    progress: bool = True,
) -> Estimates:
    """θ̂_k = θ̂(completed table k) and its covariance, k = 1, …, m.

    Parameters
    ----------
    imputations : Imputations or iterable of DataFrame
        Completed tables of the same rows, at least one.
    what : str, Logistic or callable
        A formula, `"y ~ x + z"`: least squares. Factor levels and the constants of `center`, `scale`, `poly`, `bs` and
        `cs` are those of all imputations together, so that a term means the same in each. Or `Logistic(...)`, the same
        for an event. Or a function of one completed DataFrame that returns (estimates, covariance), (estimates,
        covariance, df_complete), a fitted statsmodels or lifelines result, or a posterior (its means and covariances);
        estimates are a Series, a dict, an array or a number, covariance is a matrix, a vector of variances or a number.
    weights : str, optional
        A fully seen column of weights of a survey design, for a formula or `Logistic`: weighted estimates with sandwich
        standard errors (rows drawn independently; strata and clusters are not known). They are not in the model behind
        the imputations; the notes of the result say what follows.
    df_complete : float, optional
        The degrees of freedom of the analysis on complete data (`numpy.inf` for none), in place of what the regression
        or the function says. Where the imputations differ in it, the smallest counts.
    workers : int, optional
        In how many processes to run a function, None for one a core. The answers do not depend on it, as long as the
        function seeds what it draws at random. A formula is fitted in this process: it takes milliseconds.
    progress : bool
        Whether to show a line on a terminal if a function takes longer than two seconds.

    Returns
    -------
    Estimates
        For `pool`.

    Raises
    ------
    DataError
        No table, tables that do not fit together, values still missing, a design without full rank, a function that
        fails, or one whose terms change from imputation to imputation.
    FormulaError
        A formula that cannot be read, or one without a column on its left.

    Warns
    -----
    CongenialityWarning
        The formula has a column or a term that the data model behind the imputations lacks; one warning each. What a
        function does cannot be checked.

    References
    ----------
    Meng, X.-L. (1994). Multiple-imputation inferences with uncongenial sources of input. Statistical Science 9,
    538-558, section 2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import pandas as pd
    >>> completed = [pd.DataFrame({"y": [1.0, 2.0, 4.0, v], "x": [0.0, 1.0, 2.0, 3.0]}) for v in (4.5, 5.0, 6.0)]
    >>> mk.analyze(completed, "y ~ x")
    Estimates of y ~ x: 3 imputations, 2 terms, df_complete 2
    >>> mk.analyze(completed, lambda table: (table["y"].mean(), table["y"].var() / 4, 3), df_complete=3).terms
    ('estimate',)
    """
    tables = _tables(imputations)
    if isinstance(what, str):
        formula = _analysis_formula(what)
        _check_alive(imputations, formula)
        for message in uncongenial_with(imputations, formula):
            warnings.warn(message, CongenialityWarning, stacklevel=2)
        if weights is not None:
            return _weighted(imputations, tables, formula, weights, df_complete)
        return _by_formula(tables, formula, df_complete)
    if isinstance(what, Logistic):
        for message in _lacking(imputations, what):
            warnings.warn(message, CongenialityWarning, stacklevel=2)
        if weights is not None:
            return _weighted(imputations, tables, what, weights, df_complete)
        return logistic(tables, what, None if df_complete is None else degrees(df_complete))
    if not callable(what):
        raise DataError(f"an analysis is a formula such as 'y ~ x', or a function of a completed table, not {what!r}")
    if weights is not None:
        raise DataError(
            "weights= are for a formula or Logistic; a function of the completed table weights its rows itself"
        )
    return _by_function(tables, what, df_complete, _checked_workers(workers), progress)


def _weighted(
    imputations: Any, tables: Any, what: Formula | Logistic, weights: Any, df_complete: float | None
) -> Estimates:
    if not isinstance(weights, str):
        raise DataError(f"weights= names a column of the tables, not {type(weights).__name__}")
    made = weighted(tables, what, weights, None if df_complete is None else degrees(df_complete))
    return replace(made, notes=(weights_said(imputations, weights),))


def _check_alive(imputations: Any, formula: Formula) -> None:
    """Refuse a formula on columns that have no value after death."""
    dead: Mapping[str, int] = getattr(imputations, "after_death", {})
    used = {formula.response, *(c for term in formula.terms for c in term.columns)}
    for column in (c for c in dead if c in used):
        raise DataError(
            f"{column!r} has {dead[column]} cells after death, which have no value; analyze an earlier wave, or those "
            f"alive by a function of the completed table, which takes table.dropna(subset=[{column!r}])"
        )


def _lacking(imputations: Any, what: Logistic) -> tuple[str, ...]:
    """Say what the data model lacks, for every column that the outcome reads."""
    each = (uncongenial_with(imputations, replace(what.read, response=column)) for column in what.outcome)
    return tuple(dict.fromkeys(message for messages in each for message in messages))


def _by_formula(tables: Any, formula: Formula, df_complete: float | None) -> Estimates:
    design, fits = regressions(tables, formula)
    df = float(fits.rows - len(design.names)) if df_complete is None else degrees(df_complete)
    return Estimates(design.names, fits.estimates, fits.covariances, df, formula.text, fits, design)


def _by_function(
    tables: Any, function: Callable[[pd.DataFrame], Any], df_complete: float | None, workers: int, progress: bool
) -> Estimates:
    label = str(getattr(function, "__name__", type(function).__name__))
    found = answers(function, label, tables, workers=workers, progress=progress)
    return _together(found, label, df_complete, function, tables)


def _checked_workers(workers: Any) -> int:
    if workers is None:
        return os.cpu_count() or 1
    if isinstance(workers, (int, np.integer)) and not isinstance(workers, bool) and workers >= 1:
        return int(workers)
    raise DataError(f"workers= is a whole number of 1 or more, or None for one a core, not {workers!r}")


def _analysis_formula(text: str) -> Formula:
    formula = parse(text)
    if formula.kind != "value":
        raise FormulaError(f"an analysis is 'y ~ x', with a column on its left, not {text!r}")
    if formula.bar is not None:
        raise FormulaError(
            f"the analysis {text!r} has random terms, which least squares has not; give a function, such as "
            "lambda table: smf.mixedlm('y ~ x', table, groups=table['id']).fit()"
        )
    if not formula.terms:
        raise FormulaError(f"the analysis {text!r} has no term to estimate; 'y ~ 1' is the mean")
    if any(formula.response in term.columns for term in formula.terms):
        raise FormulaError(f"{formula.response!r} stands on both sides of {text!r}; leave it out on the right")
    return formula


def _tables(imputations: Any) -> Any:
    if isinstance(imputations, pd.DataFrame):
        raise DataError(
            "imputations are several completed tables, not one DataFrame; put one table into a list: [table]"
        )
    if not isinstance(imputations, Iterable) or isinstance(imputations, (str, Mapping)):
        raise DataError(f"imputations are Imputations or completed DataFrames, not {type(imputations).__name__}")
    tables = imputations if isinstance(imputations, Sized) else tuple(imputations)
    if not len(tables):
        raise DataError("there is no imputation to analyze; give at least one completed DataFrame")
    return tables


def _together(
    fits: list[Answer], label: str, df_complete: float | None, function: Callable[[pd.DataFrame], Any], tables: Any
) -> Estimates:
    names = fits[0].names
    orders = []
    for k, fit in enumerate(fits):
        if sorted(fit.names) != sorted(names):
            raise DataError(
                f"the analysis {label!r} has the terms {listed(fit.names)} in {which(k, len(fits))} "
                f"and {listed(names)} in the first; all must have the same"
            )
        orders.append([fit.names.index(name) for name in names])
    known = [fit.df for fit in fits if fit.df is not None]
    said = min(known) if len(known) == len(fits) else None
    sizes = [fit.size for fit in fits if fit.size is not None]
    return Estimates(
        names,
        np.stack([fit.estimates[order] for fit, order in zip(fits, orders, strict=True)]),
        np.stack([fit.covariance[np.ix_(order, order)] for fit, order in zip(fits, orders, strict=True)]),
        said if df_complete is None else degrees(df_complete),
        label,
        Refitted(function, label, tables, names, max(sizes)) if len(sizes) == len(fits) else None,
    )
