"""One belief of a comparison: a fit, late beliefs on top, and what they say about the estimand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from mnarkit.analyze import Analysis, analyze
from mnarkit.data import IncompleteData
from mnarkit.em import EMFit
from mnarkit.errors import DataError, SpecError
from mnarkit.fit import Fit
from mnarkit.impute import Imputations, impute
from mnarkit.pool import pool
from mnarkit.spec.missingness import MAR, Missingness
from mnarkit.spec.spec import Spec

__all__ = ["Entry", "entry", "estimates_of"]

BAYES = "posterior draws, Rubin's rules, t"
ML = "maximum likelihood, delta method, normal"


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A belief under its name.

    Attributes
    ----------
    fit : Fit or EMFit
        What was fitted.
    under : tuple of beliefs
        Late ones, applied when imputing.
    data : IncompleteData
        The table.
    """

    name: str
    fit: Fit | EMFit
    under: tuple[Any, ...]
    data: IncompleteData

    @property
    def spec(self) -> Spec:
        """The spec of the fit."""
        return self.fit.spec

    @property
    def beliefs(self) -> tuple[Missingness, ...]:
        """What is believed in the end; MAR is not said where a late belief departs from it."""
        kept = tuple(b for b in self.spec.missingness if not (self.under and isinstance(b, MAR)))
        return (*kept, *self.under)

    @property
    def interval(self) -> str:
        """The kind of its intervals."""
        return BAYES if isinstance(self.fit, Fit) else ML

    def imputations(self, m: int, seed: int) -> Imputations | None:
        """Draw m imputations; an `EMFit` has none."""
        if not isinstance(self.fit, Fit):
            return None
        return impute(self.fit, m, seed=seed, under=self.under or None)


def entry(name: Any, given: Any) -> Entry:
    """Read one belief of a comparison.

    Raises
    ------
    SpecError
        Something else than a fit, or a fit with late beliefs.
    DataError
        A fit without its table.
    """
    if not isinstance(name, str) or not name.strip():
        raise SpecError(f"every belief of a comparison has a name in words, not {name!r}")
    fit, under = given if isinstance(given, tuple) and len(given) == 2 else (given, ())
    if not isinstance(fit, (Fit, EMFit)):
        raise SpecError(f"{name!r} is a fit from mk.sample or mk.em, or (fit, late beliefs), not {type(fit).__name__}")
    late = tuple(under) if isinstance(under, Sequence) else (under,)
    if late and isinstance(fit, EMFit):
        raise SpecError(
            f"{name!r}: late beliefs are applied to imputations; put them into the spec of an EMFit, "
            "mk.em(spec.under(...), df)"
        )
    if fit.data is None:
        raise DataError(f"{name!r} was fitted to a table read in chunks, which is not kept; fit a DataFrame")
    return Entry(name, fit, late, fit.data)


def estimates_of(
    one: Entry,
    imputations: Imputations | None,
    estimand: Analysis,
    *,
    level: float,
    workers: int | None,
    progress: bool,
) -> pd.DataFrame:
    """Estimates with intervals, a row a term, and how they were made."""
    if imputations is not None:
        made = analyze(imputations, estimand, workers=workers, progress=progress)
        pooled = pool(made, level=level).to_frame()
        columns = ["term", "estimate", "std_error", "ci_low", "ci_high", "dof", "p_value", "fmi", "mc_error"]
        return _named(one, pooled[columns])
    assert isinstance(one.fit, EMFit)
    if not isinstance(estimand, str):
        raise SpecError(
            f"{one.name!r} is an EMFit, which has no imputations for a function to be run on; give a formula 'y ~ x', "
            "or a fit from mk.sample"
        )
    found = one.fit.project(estimand)
    half = float(ndtri((1 + level) / 2)) * found["std_error"]
    found = found.assign(ci_low=found["estimate"] - half, ci_high=found["estimate"] + half, dof=np.inf)
    tail = 2 * ndtr(-np.abs(found["estimate"] / found["std_error"]))
    return _named(one, found.assign(p_value=tail, fmi=np.nan, mc_error=0.0))


def _named(one: Entry, table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(interval=one.interval)
    table.insert(0, "assumption", one.name)
    return table
