"""Comparison, the noun: one estimand under several beliefs, and what each says of the unseen values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

import pandas as pd

from mnarkit.impute import Imputations

__all__ = ["Comparison"]

_CLOSING = (
    "No data can tell which of these assumptions is true. How well a model fits does not rank MAR against MNAR, and "
    "nothing here does: the rows say what each assumption would imply."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """One estimand under several beliefs, as `compare` returns it.

    Attributes
    ----------
    estimand : str
        The formula, or the name of the function.
    table : DataFrame
        A row per assumption and term; see `to_frame`.
    unseen : DataFrame
        `assumption column group holes recorded_mean unseen_mean mc_error mar_mean shift shift_sd`: the implied mean of
        the unseen values, and its distance from the MAR mean in the column's unit and in residual sd: the δ of the
        pattern-mixture model that a belief amounts to. The MAR mean is that at the maximum of the likelihood; where
        there is no EM, that of the MAR fit in the comparison, NaN without one.
    shares : DataFrame
        `assumption column group n missing predicted mc_error`: the observed share of holes and the one that a model
        of the indicators predicts from the predictors alone; NaN where the belief has no such model.
    distributions : DataFrame
        `assumption column values n mean sd q05 q25 q50 q75 q95` of recorded, imputed and completed values.
    stability : DataFrame
        `assumption term difference in_se excludes_0 same_verdict`: how far each estimate is from that of the
        first assumption, in its standard errors, and whether the interval speaks about 0 as that one does.
    beliefs : mapping of str to (text, untestable assumptions)
        What is believed under each name.
    imputations : mapping of str to Imputations
        Those that the estimates come from; an `EMFit` has none.
    rows, fingerprint : int, str
        The table that all fits share.
    level, m, seed : float, int, int
        Level of the intervals, imputations of each belief, and the seed that all share.
    """

    estimand: str
    table: pd.DataFrame
    unseen: pd.DataFrame
    shares: pd.DataFrame
    distributions: pd.DataFrame
    stability: pd.DataFrame
    beliefs: Mapping[str, tuple[str, tuple[str, ...]]]
    imputations: Mapping[str, Imputations]
    rows: int
    fingerprint: str
    level: float
    m: int
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """Give a row per assumption and term, ready for `mnarkit.plots.forest`.

        Returns
        -------
        DataFrame
            `assumption term estimate std_error ci_low ci_high dof p_value fmi mc_error interval level`.
        """
        made = self.table.copy()
        drawn = f", m = {self.m}" if self.imputations else ""
        made.attrs["caption"] = f"{self.estimand}; n = {self.rows:,}{drawn}"
        return made

    def __str__(self) -> str:
        head = (
            f"{self.estimand} under {len(self.beliefs)} assumptions: {self.rows} rows (data {self.fingerprint[:8]}), "
            f"{100 * self.level:g}% intervals, m = {self.m}, seed {self.seed}"
        )
        shown = self.table[["term", "assumption", "estimate", "std_error", "ci_low", "ci_high"]]
        order = list(dict.fromkeys(self.table["term"]))
        lines = [head, _text(shown.sort_values("term", key=lambda t: t.map(order.index), kind="stable"))]
        lines += [f"Intervals of {', '.join(map(repr, names))}: {kind}" for kind, names in self.kinds.items()]
        if len(self.unseen):
            lines += [
                "",
                "Unseen values: their implied mean, and its distance from the MAR mean (in residual sd: shift_sd)",
            ]
            columns = ["column", "group", "assumption", "holes", "recorded_mean", "unseen_mean", "mc_error"]
            about = self.about_estimand(self.unseen)
            lines.append(_text(about[[*columns, "shift", "shift_sd"]].sort_values(["column", "group"], kind="stable")))
            if len(about) < len(self.unseen):
                lines.append(f"({len(self.unseen) - len(about)} more rows, of other columns, in .unseen)")
        modelled = self.shares.dropna(subset=["predicted"]) if len(self.shares) else self.shares
        if len(modelled):
            lines += ["", "Share of missing values, observed and predicted"]
            about = self.about_estimand(modelled)
            lines.append(_text(about[["column", "group", "assumption", "n", "missing", "predicted"]]))
        lines.append("")
        for (text, assumptions), names in self._alike().items():
            lines.append(f"{', '.join(map(repr, names))}: {text}")
            lines += [fill(a, 116, initial_indent="  untestable  ", subsequent_indent=" " * 14) for a in assumptions]
        return "\n".join([*lines, fill(_CLOSING, 116)])

    def __repr__(self) -> str:
        return str(self)

    def about_estimand(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of `unseen`, `shares` or `distributions` whose column the formula names; all of them for a function."""
        named = table[table["column"].isin(re.findall(r"\w+", self.estimand))]
        return named if len(named) else table

    def _alike(self) -> dict[tuple[str, tuple[str, ...]], list[str]]:
        """Names by what is believed under them."""
        found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for name, belief in self.beliefs.items():
            found.setdefault(belief, []).append(name)
        return found

    @property
    def kinds(self) -> dict[str, list[str]]:
        """Names of the assumptions by the kind of their intervals."""
        found: dict[str, list[str]] = {}
        for name, kind in self.table.groupby("assumption", sort=False)["interval"].first().items():
            found.setdefault(str(kind), []).append(str(name))
        return found


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=lambda v: f"{v:.4g}")
