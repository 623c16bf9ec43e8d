"""loo: leave-one-out comparison of data models within one belief about the holes; never between beliefs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

from mnarkit.errors import SpecError
from mnarkit.fit import Fit
from mnarkit.spec.engine import engine_of
from mnarkit.spec.missingness import PatternMixture
from mnarkit.spec.propensities import MOST_SAMPLING, refuse_sampled
from mnarkit.spec.spec import Spec

__all__ = ["loo"]

_WHY = "what is unseen leaves no trace in a fit to what is seen, so no information criterion can rank beliefs about it"


def loo(fits: Mapping[str, Fit]) -> pd.DataFrame:
    """Σ_i log p(row i | all other rows) of data models under *one* belief about the holes (PSIS-LOO).

    A row is (y seen) under MAR, and (y seen, r) where the belief models the indicators r. The two never stand in one
    table: they are densities of different data. Nor do two beliefs, since the data cannot tell them apart.

    Parameters
    ----------
    fits : mapping of str to Fit
        At least two fits of the same table under the same belief, by name.

    Returns
    -------
    DataFrame
        A row per model, the best first: `name`, `elpd`, `std_error`, `difference` (from the best),
        `std_error_difference`, `p_loo`, `pareto_k_max`, `rows`, `of` (what is predicted).

    Raises
    ------
    SpecError
        Fits under different beliefs, of different tables or columns, or without their log likelihoods.

    References
    ----------
    Vehtari, A., Gelman, A. & Gabry, J. (2017). Practical Bayesian model evaluation using leave-one-out cross-validation
    and WAIC. Statistics and Computing 27, 1413-1432, eq. 10 and 24.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> few = {"draws": 500, "tune": 300, "chains": 2, "seed": 1, "progress": False}
    >>> fits = {f: mk.sample(mk.Spec(mk.Regression(f)), wages, **few) for f in ("lwage ~ 1", "lwage ~ educ")}
    >>> mk.loo(fits)["name"].tolist()
    ['lwage ~ educ', 'lwage ~ 1']
    """
    _check(fits)
    each: dict[str, Any] = {name: az.loo(fit.draws, pointwise=True, var_name="unit") for name, fit in fits.items()}
    points = {name: np.asarray(one.elpd_i).ravel() for name, one in each.items()}
    best = max(points, key=lambda name: points[name].sum())
    rows = [_row(name, each[name], points[name], points[best], _what(fits[name].spec)) for name in fits]
    return pd.DataFrame(rows).sort_values("elpd", ascending=False, ignore_index=True)


def _row(name: str, made: Any, points: np.ndarray, best: np.ndarray, what: str) -> dict[str, object]:
    gap = points - best
    n = len(points)
    return {
        "name": name,
        "elpd": float(points.sum()),
        "std_error": float(np.sqrt(n * points.var(ddof=1))),
        "difference": float(gap.sum()),
        "std_error_difference": float(np.sqrt(n * gap.var(ddof=1))),
        "p_loo": float(made.p),
        "pareto_k_max": float(np.max(np.asarray(made.pareto_k))),
        "rows": n,
        "of": what,
    }


def _what(spec: Spec) -> str:
    return "(y seen, r)" if spec.selections else "(y seen)"


def _inside(spec: Spec) -> tuple[object, ...]:
    """The belief as far as the likelihood knows it, without its reasons and without amounts added later."""
    kept: list[object] = []
    for belief in spec.missingness:
        if isinstance(belief, PatternMixture):
            inside = tuple(c for c in belief.amounts if c.of == "model")
            kept += [inside] if inside else []
            kept += [belief.restriction] if belief.restriction is not None else []
        elif belief in spec.selections or belief is spec.reference:
            kept.append(replace(belief, because=""))
    return tuple(kept)


def _check(fits: Mapping[str, Fit]) -> None:
    if not isinstance(fits, Mapping) or len(fits) < 2 or not all(isinstance(f, Fit) for f in fits.values()):
        raise SpecError("loo takes a mapping of at least two fits by name: mk.loo({'small': fit1, 'large': fit2})")
    names, made = list(fits), list(fits.values())
    for name, fit in fits.items():
        _same_belief(names[0], made[0].spec, name, fit.spec)
        if fit.data.fingerprint() != made[0].data.fingerprint():
            raise SpecError(f"{names[0]!r} and {name!r} are fits of different tables; LOO compares fits of one table")
        if set(fit.spec.model.columns) != set(made[0].spec.model.columns):
            raise SpecError(
                f"{names[0]!r} models {', '.join(made[0].spec.model.columns)} and {name!r} models "
                f"{', '.join(fit.spec.model.columns)}: densities of different columns do not compare"
            )
        if engine_of(fit.spec, fit.data).name == "normal":
            refuse_sampled(fit.spec, fit.data, "mk.loo", MOST_SAMPLING)
        if "log_likelihood" not in fit.draws.children:
            raise SpecError(f"{name!r} has no log_likelihood (too many rows times draws to keep); take fewer draws")
    first = _rows(made[0])
    for name, fit in fits.items():
        if not np.array_equal(_rows(fit), first):
            raise SpecError(f"{names[0]!r} and {name!r} have log likelihoods of different rows; they do not compare")


def _rows(fit: Fit) -> np.ndarray:
    return fit.draws["log_likelihood"].to_dataset()["obs"].values


def _same_belief(name: str, first: Spec, other_name: str, other: Spec) -> None:
    said = {n: " + ".join(map(str, s.missingness)) for n, s in ((name, first), (other_name, other))}
    if bool(first.selections) != bool(other.selections):
        raise SpecError(
            f"{name!r} is under {said[name]} and {other_name!r} under {said[other_name]}: one log likelihood is of "
            f"{_what(first)}, the other of {_what(other)}, and they never stand in one table; {_WHY}"
        )
    if _inside(first) != _inside(other):
        raise SpecError(
            f"{name!r} is under {said[name]} and {other_name!r} under {said[other_name]}: LOO compares data models "
            f"within one belief; {_WHY}"
        )
