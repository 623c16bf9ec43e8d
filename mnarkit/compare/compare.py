"""compare: one estimand under several beliefs."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.analyze import Analysis
from mnarkit.compare.comparison import Comparison
from mnarkit.compare.entry import Entry, entry, estimates_of
from mnarkit.compare.shares import shares_of
from mnarkit.compare.unseen import Groups, MARMeans, distributions_of, mar_means, means_of_draws, unseen_of
from mnarkit.data import IncompleteData
from mnarkit.em import EMFit
from mnarkit.errors import CongenialityWarning, DataError, SpecError
from mnarkit.explore.columns import read_columns
from mnarkit.explore.rates import segments_of
from mnarkit.fit import Fit, checked_seed
from mnarkit.impute import Imputations
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec

__all__ = ["compare"]

type Late = PatternMixture | Reference | Sequence[PatternMixture | Reference]


def compare(
    beliefs: Mapping[str, Fit | EMFit | tuple[Fit, Late]],
    estimand: Analysis,
    *,
    m: int = 50,
    seed: int | None = None,
    by: str | None = None,
    level: float = 0.95,
    workers: int | None = 1,
    progress: bool = True,
) -> Comparison:
    """Lay one estimand out under several beliefs; this is not `az.compare`, and it ranks nothing by fit.

    Parameters
    ----------
    beliefs : mapping of str to Fit, EMFit or (Fit, late beliefs)
        Two or more fits of one table, by name. Late beliefs are applied to the imputations, as `impute(under=)` does.
    estimand : str or callable
        As in `analyze`: a formula, or a function of a completed table, such as one that returns error rates or
        feature importances with their variances. An `EMFit` takes a formula, which it projects (`EMFit.project`).
    m : int
        Imputations of each posterior fit.
    seed : int, optional
        Of the imputations, the same for all, so that differences between beliefs are not noise of the draws.
    by : str, optional
        A column: the unseen values and the share of missing ones are also told by its levels, or by five bins.
    level : float
        The level of the intervals, in (0, 1).
    workers : int, optional
        As in `analyze`.
    progress : bool
        As in `analyze`.

    Returns
    -------
    Comparison
        `print` gives a page; `.to_frame()` the estimates, `.unseen`, `.shares`, `.distributions` and `.stability` the
        rest; `mnarkit.plots.forest(comparison.to_frame())` a figure.

    Raises
    ------
    SpecError
        Fewer than two beliefs, something that is no fit, a function with an `EMFit`.
    DataError
        Fits of different tables (by fingerprint), or analyses whose terms differ.

    Notes
    -----
    `unseen` translates each belief to the shift δ of a pattern-mixture model: E[y unseen | belief] - E[y unseen | MAR],
    in residual sd. Back: a shift of δ residual sd with an equal spread is a logit selection model in which the log
    odds of a hole rise by δ for each residual sd of the value: the log ratio of two normal densities is linear.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> spec = mk.Spec(mk.Regression("lwage ~ educ"))
    >>> lower = spec.under(mk.PatternMixture(mk.Shift("lwage", -0.5, unit="sd")))
    >>> made = mk.compare({"MAR": mk.em(spec, wages), "lower": mk.em(lower, wages)}, "lwage ~ educ", seed=1)
    >>> made.unseen["shift_sd"].round(3).tolist()
    [0.0, -0.5]
    """
    _check_level(level)
    entries = _entries(beliefs)
    data, seed = entries[0].data, checked_seed(seed)
    groups = [Groups(("all",), np.zeros(data.n, dtype=int)), *([_groups(by, data)] if by is not None else [])]
    baseline: dict[Spec, MARMeans | None] = {}
    parts: dict[str, list[pd.DataFrame]] = {"table": [], "unseen": [], "shares": [], "distributions": []}
    imputations = {one.name: one.imputations(m, seed) for one in entries}
    for one in entries:
        drawn = imputations[one.name]
        with warnings.catch_warnings():
            if parts["table"]:  # said once
                warnings.simplefilter("ignore", CongenialityWarning)
            made = estimates_of(one, drawn, estimand, level=level, workers=workers, progress=progress)
        parts["table"].append(made.assign(level=level))
        if one.spec not in baseline:
            baseline[one.spec] = mar_means(one) or _mar_among(entries, one, imputations)
        parts["unseen"] += [unseen_of(one, drawn, by_group, baseline[one.spec]) for by_group in groups]
        parts["shares"] += [shares_of(one, by_group, m, seed) for by_group in groups]
        parts["distributions"].append(distributions_of(one, drawn))
    tables = {name: _together(found) for name, found in parts.items()}
    _check_terms(tables["table"])
    return Comparison(
        estimand=estimand if isinstance(estimand, str) else str(getattr(estimand, "__name__", type(estimand).__name__)),
        **tables,
        stability=_stability(tables["table"]),
        beliefs={e.name: ("; ".join(map(str, e.beliefs)), tuple(b.assumption for b in e.beliefs)) for e in entries},
        imputations={name: drawn for name, drawn in imputations.items() if drawn is not None},
        rows=data.n,
        fingerprint=data.fingerprint(),
        level=level,
        m=m,
        seed=seed,
    )


def _mar_among(entries: tuple[Entry, ...], one: Entry, drawn: Mapping[str, Imputations | None]) -> MARMeans | None:
    """Take the MAR means from a belief of the comparison that is the MAR counterpart, where there is no EM."""
    for other in entries:
        imputations = drawn[other.name]
        if imputations is not None and not other.under and other.spec == one.spec.mar():
            return means_of_draws(other, imputations)
    return None


def _together(found: list[pd.DataFrame]) -> pd.DataFrame:
    some = [table for table in found if len(table)]
    return pd.concat(some, ignore_index=True) if some else pd.DataFrame()


def _entries(beliefs: Any) -> tuple[Entry, ...]:
    if not isinstance(beliefs, Mapping) or len(beliefs) < 2:
        raise SpecError(
            "compare takes two or more fits by name, {'MAR': fit, 'selection': other}, not "
            f"{len(beliefs) if isinstance(beliefs, Mapping) else type(beliefs).__name__}"
        )
    entries = tuple(entry(name, given) for name, given in beliefs.items())
    prints = {one.name: one.data.fingerprint() for one in entries}
    first = entries[0]
    other = next((one for one in entries if prints[one.name] != prints[first.name]), None)
    if other is not None:
        raise DataError(
            f"{first.name!r} was fitted to a table of {first.data.n} rows (fingerprint {prints[first.name][:8]}) and "
            f"{other.name!r} to another of {other.data.n} ({prints[other.name][:8]}); compare fits of one table"
        )
    return entries


def _groups(by: str, data: IncompleteData) -> Groups:
    if not isinstance(by, str):
        raise DataError(f"by={by!r} is of type {type(by).__name__}; give the name of one column")
    data.require([by], "by=")
    labels, which = segments_of(next(c for c in read_columns(data) if c.name == by))
    return Groups(tuple(f"{by} = {label}" for label in labels), which)


def _check_level(level: Any) -> None:
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise DataError(f"level= is a probability between 0 and 1, such as 0.95, not {level!r}")


def _check_terms(table: pd.DataFrame) -> None:
    by_name = {str(name): list(rows["term"]) for name, rows in table.groupby("assumption", sort=False)}
    first = next(iter(by_name))
    for name, terms in by_name.items():
        if sorted(terms) != sorted(by_name[first]):
            raise DataError(
                f"the estimand has the terms {', '.join(map(repr, terms))} under {name!r} and "
                f"{', '.join(map(repr, by_name[first]))} under {first!r}; it must have the same"
            )


def _stability(table: pd.DataFrame) -> pd.DataFrame:
    """How far each estimate is from the first assumption's, and whether its interval says the same about 0."""
    first = table[table["assumption"] == table["assumption"].iloc[0]].set_index("term")
    at = first.loc[table["term"]]
    difference = table["estimate"].to_numpy() - at["estimate"].to_numpy()
    verdict, verdict_first = _side(table), _side(at)
    return pd.DataFrame(
        {
            "assumption": table["assumption"],
            "term": table["term"],
            "difference": difference,
            "in_se": difference / at["std_error"].to_numpy(),
            "excludes_0": verdict != 0,
            "same_verdict": verdict == verdict_first,
        }
    )


def _side(table: pd.DataFrame) -> np.ndarray:
    """1 or -1 for an interval above or below 0, 0 for one that holds it."""
    return (table["ci_low"].to_numpy() > 0).astype(int) - (table["ci_high"].to_numpy() < 0).astype(int)
