"""Are recorded numbers heaped on round values, or cut off at a bound? Both hide values without leaving a hole."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import bdtrc, pdtrc

from mnarkit.explore.columns import Column

__all__ = ["heaping"]

_DISTINCT = 20  # fewer different values are a scale of marks, where piles are no sign
_LEAST = 30  # recorded values
_ALPHA = 1e-4
_NEAR = 5  # neighbours that a pile is measured against
_FACTOR = 3.0
_NONE = (np.nan, np.nan, np.nan)
_COLUMNS = [
    "column", "n", "distinct", "minimum", "share_minimum", "maximum", "share_maximum", "commonest", "share_commonest",
    "unit", "share_of_5", "share_of_10", "signs",
]  # fmt: skip


def heaping(columns: Sequence[Column], rows: np.ndarray) -> pd.DataFrame:
    """Look for piles among the recorded values of each number with at least 20 different ones.

    A sign is given where a value is at least three times as common as its five nearest neighbours on average (Poisson,
    p < 1e-4): at the least or greatest value it is a bound, elsewhere a heap; and where multiples of 5 or 10 of the
    last digit, of numbers with at most two decimals, are at least twice as common as in even spread (binomial,
    p < 1e-4).

    Returns
    -------
    DataFrame
        A row per column: `n` recorded, `distinct` values, `minimum`, `maximum` and `commonest` with their shares,
        `unit` (the last digit; NaN where there is none), `share_of_5` and `share_of_10` (0.2 and 0.1 if even),
        `signs` in words.
    """
    found = [_look(c.name, c.values[rows[c.seen[rows]]]) for c in columns if c.kind == "number"]
    return pd.DataFrame([row for row in found if row], columns=_COLUMNS)


def _look(name: str, values: np.ndarray) -> dict | None:
    distinct, count = np.unique(values, return_counts=True)
    if len(values) < _LEAST or len(distinct) < _DISTINCT:
        return None
    commonest = int(np.argmax(count))
    unit, fives, tens = _round_shares(values, distinct)
    signs = [*_piles(distinct, count, commonest), *_rounding(len(values), unit, fives, tens)]
    return {
        "column": name,
        "n": len(values),
        "distinct": len(distinct),
        "minimum": distinct[0],
        "share_minimum": count[0] / len(values),
        "maximum": distinct[-1],
        "share_maximum": count[-1] / len(values),
        "commonest": distinct[commonest],
        "share_commonest": count[commonest] / len(values),
        "unit": unit,
        "share_of_5": fives,
        "share_of_10": tens,
        "signs": "; ".join(signs),
    }


def _piles(distinct: np.ndarray, count: np.ndarray, commonest: int) -> list[str]:
    """Values far more common than those next to them."""
    n, last = count.sum(), len(count) - 1
    named = {0: "at the least value", last: "at the greatest value"}
    said = []
    for k in dict.fromkeys((0, last, commonest)):
        near = np.argsort(np.abs(np.arange(len(count)) - k), kind="stable")[1 : _NEAR + 1]
        usual = count[near].mean()
        if count[k] >= _FACTOR * usual and pdtrc(count[k] - 1, usual) < _ALPHA:
            share, times = 100 * count[k] / n, count[k] / usual
            said.append(f"{share:.1f} % {named.get(k, 'at')} {distinct[k]:g}, {times:.0f} x its neighbours")
    return said


def _round_shares(values: np.ndarray, distinct: np.ndarray) -> tuple[float, float, float]:
    """Give the unit of the last digit, and the shares of multiples of 5 and 10 of it."""
    for digits in range(-3, 3):  # more decimals are how a number was printed, not how it was asked for
        scaled = distinct * 10.0**digits
        if np.abs(scaled).max() < 2**52 and np.allclose(scaled, np.round(scaled), rtol=0, atol=1e-6):
            whole = np.round(values * 10.0**digits)
            enough = np.ptp(whole) >= _DISTINCT
            return (10.0**-digits, float(np.mean(whole % 5 == 0)), float(np.mean(whole % 10 == 0))) if enough else _NONE
    return _NONE


def _rounding(n: int, unit: float, fives: float, tens: float) -> list[str]:
    for step, share, even in ((10, tens, 0.1), (5, fives, 0.2)):
        if share >= 2 * even and bdtrc(round(share * n) - 1, n, even) < _ALPHA:
            return [f"{100 * share:.0f} % are multiples of {step * unit:g}, {100 * even:.0f} % if spread evenly"]
    return []
