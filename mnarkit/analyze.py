"""Analyze: the same complete-data analysis on every completed table."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import CongenialityWarning, DataError, FormulaError
from mnarkit.estimates import Estimates, count, degrees, diagonal, first_line, floats, numbered, which
from mnarkit.formula import Formula, Term, design, parse

__all__ = ["Analysis", "Estimates", "analyze", "uncongenial"]

# statsmodels takes seconds to import: it comes in with the first regression
_regression: Callable[[str], Any] = lazy_loader.attach(
    "statsmodels.regression", submod_attrs={"linear_model": ["OLS"]}
)[0]

type Analysis = str | Callable[[pd.DataFrame], Any]


def analyze(imputations: Iterable[pd.DataFrame], what: Analysis, *, df_complete: float | None = None) -> Estimates:
    """θ̂_k = θ̂(completed table k) and its covariance, k = 1, …, m.

    Parameters
    ----------
    imputations : Imputations or iterable of DataFrame
        Completed tables of the same rows, at least one.
    what : str or callable
        A formula, `"y ~ x + z"`: least squares. Factor levels and the constants of `center`, `scale`, `poly`, `bs` and
        `cs` are those of all imputations together, so that a term means the same in each. Or a function of one
        completed DataFrame that returns (estimates, covariance), (estimates, covariance, df_complete) or a fitted
        statsmodels result; estimates are a Series, a dict, an array or a number, covariance is a matrix, a vector of
        variances or a number.
    df_complete : float, optional
        The degrees of freedom of the analysis on complete data (`numpy.inf` for none), in place of what the regression
        or the function says. Where the imputations differ in it, the smallest counts.

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
        for message in _uncongenial_with(imputations, formula):
            warnings.warn(message, CongenialityWarning, stacklevel=2)
        fits, label = _regressions(tables, formula), formula.text
    elif callable(what):
        label = str(getattr(what, "__name__", type(what).__name__))
        fits = [_call(what, label, table, which(k, len(tables))) for k, table in enumerate(tables)]
    else:
        raise DataError(f"an analysis is a formula such as 'y ~ x', or a function of a completed table, not {what!r}")
    return _together(fits, label, df_complete)


def _analysis_formula(text: str) -> Formula:
    formula = parse(text)
    if formula.kind != "value":
        raise FormulaError(f"an analysis is 'y ~ x', with a column on its left, not {text!r}")
    if not formula.terms:
        raise FormulaError(f"the analysis {text!r} has no term to estimate; 'y ~ 1' is the mean")
    if any(formula.response in term.columns for term in formula.terms):
        raise FormulaError(f"{formula.response!r} stands on both sides of {text!r}; leave it out on the right")
    return formula


def uncongenial(analysis: Formula, model: Any, incomplete: Iterable[str]) -> tuple[str, ...]:
    """Say what an analysis asks of the imputed cells and the data model lacks, one sentence each.

    Parameters
    ----------
    analysis : Formula
        The analysis.
    model : Regression or MvNormal
        The data model behind the imputations.
    incomplete : iterable of str
        The columns with holes.

    Returns
    -------
    tuple of str
        Empty if the analysis touches no imputed column, or asks for nothing more than the data model has.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.analyze import uncongenial
    >>> from mnarkit.formula import parse
    >>> [message.split(" is ")[0] for message in uncongenial(parse("y ~ x*z"), mk.Regression("y ~ x + z"), ["y"])]
    ["'x:z'"]
    """
    modelled, given = tuple(model.columns), tuple(model.predictors.terms)
    used = dict.fromkeys([str(analysis.response), *(c for term in analysis.terms for c in sorted(term.columns))])
    imputed = [column for column in used if column in modelled and column in set(incomplete)]
    if not imputed:
        return ()
    cells = f"for the imputed cells of {' and '.join(map(repr, imputed))}"
    place = f"in the analysis {analysis.text!r} and not in the data model ({model})"
    known = {*modelled, *(column for term in given for column in term.columns)}
    columns = [
        f"{column!r} is {place}: associations with it are biased towards zero {cells}; add it to the data model"
        for column in used
        if column not in known
    ]
    terms = [
        f"{term.name!r} is {place}: its association is biased towards zero {cells}; "
        "put the term into the data model, or leave it out of the analysis"
        for term in analysis.terms
        if _lacks(term, known, modelled, given)
    ]
    return tuple(columns + terms)


def _lacks(term: Term, known: set[str], modelled: tuple[str, ...], given: tuple[Term, ...]) -> bool:
    if not term.columns or (len(term.columns) == 1 and not term.columns <= known):
        return False  # the intercept; a column that is lacking altogether is named as a column
    if len(_factors(term)) == 1 and _factors(term) <= term.columns:  # the column itself, up to origin and scale
        return not (term.columns <= set(modelled) or any(have.columns == term.columns for have in given))
    return _factors(term) not in [_factors(have) for have in given]


def _factors(term: Term) -> frozenset[str]:
    """'center(x):z' -> {'x', 'z'}: what a term spans, whatever the order, the origin and the scale of its factors."""
    return frozenset(_unscaled(factor.replace(" ", "")) for factor in term.name.split(":"))


def _unscaled(factor: str) -> str:
    for call in ("center(", "scale(", "I("):
        if factor.startswith(call) and factor.endswith(")") and factor[len(call) : -1].isidentifier():
            return factor[len(call) : -1]
    return factor


def _uncongenial_with(imputations: Any, formula: Formula) -> tuple[str, ...]:
    if not hasattr(imputations, "spec"):
        return ()
    data: IncompleteData = imputations.data
    return uncongenial(formula, imputations.spec.model, [c for c in data.columns if not data.seen(c).all()])


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """One imputation's analysis: names (None: not named), estimates (k,), covariance (k, k), degrees of freedom."""

    terms: tuple[str, ...] | None
    estimates: np.ndarray
    covariance: np.ndarray
    df: float | None


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


def _regressions(tables: Any, formula: Formula) -> list[_Fit]:
    """Least squares on every table, on one design for all of them: the same terms, the same constants in each."""
    used = [str(formula.response), *dict.fromkeys(c for term in formula.terms for c in sorted(term.columns))]
    m = len(tables)
    parts = [_complete(table, list(dict.fromkeys(used)), formula.text, which(k, m)) for k, table in enumerate(tables)]
    _check_alike(parts)
    together = IncompleteData.of(pd.DataFrame({name: _stacked([part[name] for part in parts]) for name in parts[0]}))
    built = design(formula, together)
    outcome = together.number(str(formula.response)).reshape(m, -1)
    blocks = built.matrix.reshape(m, outcome.shape[1], -1)
    return [_least_squares(outcome[k], blocks[k], built.names, f"{formula.text!r} in {which(k, m)}") for k in range(m)]


def _complete(table: Any, columns: list[str], text: str, place: str) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{place} is not a DataFrame but {type(table).__name__}")
    if not set(columns) <= set(table.columns):
        IncompleteData.of(table).require(columns, what=f"the analysis {text!r}")
    part = table[columns]
    holes = part.isna().sum()
    if holes.any():
        column = str(holes.idxmax())
        raise DataError(
            f"{column!r} is not complete: {count(int(holes.max()), 'value')} still missing in {place}; "
            "impute it too (put it into the data model), or leave it out of the analysis"
        )
    return part


def _check_alike(parts: list[pd.DataFrame]) -> None:
    first = parts[0]
    for k, part in enumerate(parts):
        place = which(k, len(parts))
        if len(part) != len(first):
            raise DataError(
                f"{place} has {count(len(part), 'row')}, the first has {len(first)}; imputations have the same rows"
            )
        for column in first.columns:
            if _kind(part[column]) != _kind(first[column]):
                raise DataError(
                    f"{column!r} is {part[column].dtype} in {place} and {first[column].dtype} in the first; "
                    "give it one dtype in all"
                )


def _stacked(columns: list[pd.Series]) -> pd.Series:
    """One column of all tables; a categorical one with the levels that occur in any, in the order of the first."""
    together = pd.concat(
        [column.astype(object) if _categorical(column) else column for column in columns], ignore_index=True
    )
    if not any(map(_categorical, columns)):
        return together
    listed = (column.cat.categories if _categorical(column) else column.unique() for column in columns)
    levels = dict.fromkeys(level for some in listed for level in some)
    occurring = set(together)
    return together.astype(pd.CategoricalDtype([level for level in levels if level in occurring]))


def _categorical(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype)


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "bool"
    return "number" if pd.api.types.is_numeric_dtype(column) else "other"


def _least_squares(y: np.ndarray, x: np.ndarray, names: tuple[str, ...], where: str) -> _Fit:
    n, k = x.shape
    if n <= k:
        raise DataError(
            f"{where}: {count(n, 'row')} cannot determine {count(k, 'coefficient')} and a residual variance"
        )
    size = np.sqrt(np.square(x).sum(axis=0))  # columns of length 1: squares of large numbers must not look collinear
    size[size == 0] = 1
    pivots = np.abs(np.diag(np.linalg.qr(x / size, mode="r")))
    if pivots.min() < 1e-10:
        lost = names[int(np.flatnonzero(pivots < 1e-10)[0])]
        raise DataError(
            f"{where}: {lost!r} is a combination of the terms before it (or all 0); leave it out of the analysis"
        )
    fit = _regression("OLS")(y, x / size).fit()
    return _Fit(names, fit.params / size, fit.cov_params() / np.outer(size, size), float(fit.df_resid))


def _call(function: Callable[[pd.DataFrame], Any], label: str, table: Any, place: str) -> _Fit:
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{place} is not a DataFrame but {type(table).__name__}")
    try:
        answer = function(table.copy(deep=False))
    except Exception as cause:
        raise DataError(f"the analysis {label!r} failed in {place}: {first_line(cause)}") from cause
    where = f"the analysis {label!r} in {place}"
    if hasattr(answer, "params") and callable(getattr(answer, "cov_params", None)):
        return _of_result(answer, where)
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        return _of_numbers(*answer, where=where)
    raise DataError(
        f"{where} returned {type(answer).__name__}; it must return (estimates, covariance), "
        "(estimates, covariance, df_complete) or a fitted statsmodels result"
    )


def _of_result(result: Any, where: str) -> _Fit:
    """Read a fitted statsmodels result; on the normal distribution it has infinite degrees of freedom."""
    params = result.params
    names = getattr(getattr(result, "model", None), "exog_names", None)
    if not isinstance(params, pd.Series) and names is not None and np.shape(params) == (len(names),):
        params = pd.Series(params, index=names)
    df = getattr(result, "df_resid", None) if getattr(result, "use_t", True) else np.inf
    return _of_numbers(params, np.asarray(result.cov_params()), df, where=where)


def _of_numbers(estimates: Any, covariance: Any, df: Any = None, *, where: str) -> _Fit:
    names, values = _labelled(estimates, f"{where}: the estimates")
    spread = floats(_in_order(covariance, names, where), f"{where}: the covariances")
    values = np.atleast_1d(values)
    k = len(values)
    if spread.ndim == 2 and not np.isfinite(spread).all():
        bad = count(int((~np.isfinite(spread)).sum()), "value")
        raise DataError(f"{where}: the covariance matrix has {bad} that are not finite numbers")
    if values.ndim == 1 and spread.size == k and spread.ndim < 2:
        spread = diagonal(spread.reshape(k))
    if values.ndim != 1 or not k or spread.shape != (k, k):
        raise DataError(
            f"{where}: estimates of shape {values.shape} with covariances of shape {spread.shape}; "
            "for k estimates give (k, k) covariances or k variances"
        )
    if not np.allclose(spread, spread.T, rtol=1e-6, atol=0, equal_nan=True):
        raise DataError(f"{where}: the covariance matrix is not symmetric")
    return _Fit(names, values, spread, degrees(df))


def _labelled(values: Any, what: str) -> tuple[tuple[str, ...] | None, np.ndarray]:
    if isinstance(values, Mapping):
        values = pd.Series(dict(values))
    names = tuple(map(str, values.index)) if isinstance(values, pd.Series) else None
    return names, floats(values, what)


def _in_order(covariance: Any, names: tuple[str, ...] | None, where: str) -> Any:
    """Labelled covariances or variances in the order of the labelled estimates."""
    if isinstance(covariance, Mapping):
        covariance = pd.Series(dict(covariance))
    if names is None or not isinstance(covariance, (pd.Series, pd.DataFrame)):
        return covariance
    axes = [list(map(str, axis)) for axis in covariance.axes]
    if any(sorted(axis) != sorted(names) for axis in axes):
        raise DataError(
            f"{where}: the estimates are of {_list(names)}, the covariances of {_list(axes[-1])}; name them alike"
        )
    values = covariance.to_numpy()
    for axis, labels in enumerate(axes):
        values = np.take(values, [labels.index(name) for name in names], axis=axis)
    return values


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _together(fits: list[_Fit], label: str, df_complete: float | None) -> Estimates:
    first = fits[0]
    names = numbered(len(first.estimates)) if first.terms is None else first.terms
    orders = []
    for k, fit in enumerate(fits):
        here = numbered(len(fit.estimates)) if fit.terms is None else fit.terms
        if sorted(here) != sorted(names):
            raise DataError(
                f"the analysis {label!r} has the terms {_list(here)} in {which(k, len(fits))} "
                f"and {_list(names)} in the first; all must have the same"
            )
        orders.append([here.index(name) for name in names])
    known = [fit.df for fit in fits if fit.df is not None]
    said = min(known) if len(known) == len(fits) else None
    return Estimates(
        names,
        np.stack([fit.estimates[order] for fit, order in zip(fits, orders, strict=True)]),
        np.stack([fit.covariance[np.ix_(order, order)] for fit, order in zip(fits, orders, strict=True)]),
        said if df_complete is None else degrees(df_complete),
        label,
    )
