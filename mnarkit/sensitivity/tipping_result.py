"""TippingPoint, the noun: where a conclusion turns, as the untestable assumption moves."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.sensitivity.crossing import Crosses
from mnarkit.sensitivity.grid import Axis
from mnarkit.sensitivity.plausible import reading
from mnarkit.spec.spec import Spec

__all__ = ["TippingPoint"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TippingPoint:
    """Where a pooled result crosses a value.

    Attributes
    ----------
    what, term : str
        The analysis, and the term whose result crosses.
    crosses : {"estimate", "interval", "p"}
        What crosses.
    at, level : float
        The value, and the level of interval and test.
    axes : tuple of Axis
        What is varied, one or two assumptions.
    crossings : DataFrame
        One row a crossing, the nearest to the neutral point first: the assumptions, `mc_error` (of the crossing, due to
        the finite number of imputations; in a plane across the contour), and the pooled result there. In a plane the
        point found nearest to the neutral one alone.
    segments : ndarray, shape (S, 2, 2)
        In a plane, the contour: pieces whose ends lie on it. Empty on a line.
    scan : DataFrame
        The points that were looked at first, with the pooled result.
    neutral : dict
        The pooled result where nothing is assumed beyond the base.
    plausibility : DataFrame
        How large the nearest crossing is: see its columns. Empty if there is none.
    m, seed, n : int
        Imputations, their seed, rows of the table.
    spec, under : Spec, tuple
        Of the fit; late beliefs below.
    how : str
        How points are reached.
    """

    what: str
    term: str
    crosses: Crosses
    at: float
    level: float
    axes: tuple[Axis, ...]
    crossings: pd.DataFrame
    segments: np.ndarray
    scan: pd.DataFrame
    neutral: dict[str, float]
    plausibility: pd.DataFrame
    m: int
    seed: int
    n: int
    spec: Spec
    under: tuple[object, ...]
    how: str

    @property
    def value(self) -> float:
        """The crossing nearest to the neutral value, of one assumption; NaN if there is none in the range."""
        return (
            float(self.crossings[self.axes[0].name].iloc[0]) if len(self.axes) == 1 and len(self.crossings) else np.nan
        )

    @property
    def mc_error(self) -> float:
        """The Monte Carlo error of the nearest crossing; NaN if there is none."""
        return float(self.crossings["mc_error"].iloc[0]) if len(self.crossings) else np.nan

    @property
    def assumption(self) -> str:
        """The untestable assumption that is varied."""
        return "; ".join(axis.assumption for axis in self.axes)

    @property
    def question(self) -> str:
        """What crosses what, in words."""
        level = f"{100 * self.level:g}%"
        match self.crosses:
            case "estimate":
                return f"the estimate reaches {self.at:g}"
            case "interval":
                return f"an end of the {level} confidence interval reaches {self.at:g}"
        return f"p of the test of {self.at:g} reaches {1 - self.level:.3g}"

    def to_frame(self) -> pd.DataFrame:
        """Give the crossings, one row each.

        Returns
        -------
        DataFrame
            `crossings`; no row if there is none in the range.
        """
        return self.crossings.copy()

    def __str__(self) -> str:
        ranges = ", ".join(f"{a.name} from {a.grid.low:g} to {a.grid.high:g} ({a.unit})" for a in self.axes)
        lines = [
            f"Tipping point of {self.term!r} in {self.what}, {self.n} rows, m = {self.m}, seed {self.seed}",
            f"Question     where {self.question}",
            *(f"Base         {belief}" for belief in (*self.spec.missingness, *self.under)),
            f"Searched     {ranges}: {len(self.scan)} points, then roots; {self.how}",
            f"Untestable   {self.assumption}: no data can tell which value holds",
            f"Neutral      {_said(self.neutral)}",
            *(self._found() if len(self.crossings) else self._none()),
            *(f"How large    {reading(row)}" for _, row in self.plausibility.iterrows()),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _found(self) -> list[str]:
        said = []
        for _, row in self.crossings.iterrows():
            where = ", ".join(f"{a.name} = {row[a.name]:.4g}" for a in self.axes)
            what = "Crossing    " if len(self.axes) == 1 else "Nearest     "
            said.append(f"{what} {where} (Monte Carlo error {row['mc_error']:.2g}): {_said(row)}")
        if len(self.axes) == 2:
            said.append(f"Contour      {len(self.segments)} pieces in .segments")
        return said

    def _none(self) -> list[str]:
        ends = self.scan.iloc[[0, -1]] if len(self.axes) == 1 else self.scan.iloc[self._corners()]
        said = ["No crossing  in the range searched; search a wider one if it is plausible"]
        for _, row in ends.iterrows():
            where = ", ".join(f"{a.name} = {row[a.name]:g}" for a in self.axes)
            said.append(f"At its end   {where}: {_said(row)}")
        return said

    def _corners(self) -> list[int]:
        x, y = (self.scan[a.name].to_numpy() for a in self.axes)
        ends = [(a, b) for a in (x.min(), x.max()) for b in (y.min(), y.max())]
        return [int(np.argmin(np.abs(x - a) + np.abs(y - b))) for a, b in ends]


def _said(row: pd.Series | dict[str, float]) -> str:
    p = "< 0.001" if row["p_value"] < 0.001 else f"= {row['p_value']:.3f}"
    size = 1e-9 * row["std_error"]  # what a root leaves is nothing
    values = [v if abs(v) > size else 0.0 for v in (row["estimate"], row["ci_low"], row["ci_high"])]
    return "estimate {:.4g} [{:.4g}, {:.4g}], p {}".format(*values, p)
