"""Diagnosis, the noun: what was checked of a fit, with numbers and verdicts."""

from dataclasses import dataclass

import pandas as pd

from mnarkit.diagnose.finding import Finding, findings_frame
from mnarkit.diagnose.identification import Identified
from mnarkit.diagnose.predictive import Predictive
from mnarkit.diagnose.text import page
from mnarkit.fit import Fit
from mnarkit.impute import Imputations

__all__ = ["Diagnosis"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Diagnosis:
    """What was checked of a fit; printing it gives a page to read.

    Attributes
    ----------
    fit : Fit
        What was checked.
    findings : tuple of Finding
        Every check: `check`, `what`, `measure`, `number`, `verdict`, `alarm`.
    imputations : Imputations
        Those that were compared with the recorded values.
    predictive : Predictive or None
        Tables drawn from the model beside this one, statistic by statistic; None where an engine draws none.
    identification : Identified or None
        What told each parameter; None for models that are not of the extended normal.
    influence : DataFrame
        `parameter row index change draws`, the row that moves a parameter of the belief most first; empty under MAR.
    seed : int
        Of the imputations and of the replicated tables.
    """

    fit: Fit
    findings: tuple[Finding, ...]
    imputations: Imputations
    predictive: Predictive | None
    identification: Identified | None
    influence: pd.DataFrame
    seed: int

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings about which something must be done."""
        return tuple(one for one in self.findings if one.alarm)

    def to_frame(self) -> pd.DataFrame:
        """One row a check: `check what measure number verdict alarm`."""
        return findings_frame(self.findings)

    def __str__(self) -> str:
        return page(self.fit, self.findings)

    def __repr__(self) -> str:
        return page(self.fit, self.findings)
