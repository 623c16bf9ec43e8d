"""Finding: one check, its number, and what it means in words."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

__all__ = ["Finding", "findings_frame"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the page.

    Attributes
    ----------
    check, what : str
        The part of the page, and what was looked at.
    measure, number : str, float
        What the number is, with its unit, and the number.
    verdict : str
        What it means, and what to do about it.
    alarm : bool
        Whether something must be done.
    """

    check: str
    what: str
    measure: str
    number: float
    verdict: str
    alarm: bool = False


def findings_frame(found: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table, a row each: `check what measure number verdict alarm`."""
    columns = ["check", "what", "measure", "number", "verdict", "alarm"]
    return pd.DataFrame([{name: getattr(one, name) for name in columns} for one in found], columns=columns)
