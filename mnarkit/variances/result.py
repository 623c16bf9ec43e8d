"""Variances, the noun: one estimate, its standard error and interval by several methods."""

from dataclasses import dataclass

import pandas as pd

from mnarkit.spec.spec import Spec

__all__ = ["METHODS", "Variances", "targets"]

METHODS = {
    "rubin": "proper imputations from posterior draws, Rubin's rules",
    "jackknife": "conditional means in the holes, refitted without each row",
    "bootstrap": "conditional means in the holes, refitted on rows drawn with replacement",
    "bootstrap-impute": "rows drawn with replacement, each sample fitted and imputed (von Hippel & Bartlett 2021)",
    "information-anchored": "conditional means under MAR moved by the amounts that give the same estimate, held fixed; "
    "refitted without each row (Lu 2021)",
}
_SAMPLING = "repeated sampling: how far the estimate moves from sample to sample if the belief is true"
_ANCHORED = "information-anchored: the share of information lost is that under MAR (Cro, Carpenter & Kenward 2019)"


def targets(method: str, spec: Spec) -> str:
    """What a variance is an estimate of."""
    if method == "information-anchored" or (method == "rubin" and spec.reference is not None):
        return f"{_ANCHORED}{', approximately' if method == 'rubin' else ''}"
    return _SAMPLING


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Variances:
    """One estimate with its standard error by several methods, as `variances` returns it.

    Attributes
    ----------
    spec : Spec
        The belief.
    what : str
        The analysis.
    table : DataFrame
        A row per term and method; see `to_frame`.
    level : float
        The level of the intervals.
    seed : int
        Of everything that is drawn at random.
    notes : tuple of str
        How the refits were made, and what the numbers rest on.
    """

    spec: Spec
    what: str
    table: pd.DataFrame
    level: float
    seed: int
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Give a row per term and method.

        Returns
        -------
        DataFrame
            The columns `term method estimate std_error dof ci_low ci_high level interval targets made_of`; `dof` is
            infinite for a normal interval and NaN for one of percentiles.
        """
        return self.table.copy()

    def __str__(self) -> str:
        shown = self.table[["term", "method", "estimate", "std_error", "ci_low", "ci_high", "interval"]]
        lines = [
            f"{self.what}, by method; {100 * self.level:g}% intervals, seed {self.seed}",
            shown.to_string(index=False, float_format=lambda v: f"{v:.4g}"),
        ]
        for method, rows in self.table.groupby("method", sort=False):
            row = rows.iloc[0]
            lines += [f"{method}: {row['made_of']}", f"  estimates {row['targets']}"]
        for belief in self.spec.missingness:
            lines += [f"Under {belief}", f"  untestable  {belief.assumption}"]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return str(self)
