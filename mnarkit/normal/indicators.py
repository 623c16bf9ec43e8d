"""Modelled indicators on a table: what each reads, and of which rows of the kernel it is made."""

from dataclasses import dataclass, replace

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.formula import Design
from mnarkit.normal.hazard import Groups, Hazard, Lines, groups_of, hazard_of, leaving_wave, lines_of, sharing_of
from mnarkit.spec.data_models import DataModel, Growth
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.slopes import Slopes
from mnarkit.spec.spec import Spec

__all__ = ["Indicator", "beside", "indicator_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Indicator:
    """A modelled indicator: `missing_y` (selection), `recorded_y` (Heckman), or `dropout` or `missing`, one a wave.

    Attributes
    ----------
    column : int
        Its modelled column.
    recorded : bool
        Whether the indicator is 1 where the value is recorded.
    slopes : tuple of int
        The modelled columns in its formula, where it is one row of the kernel; they follow the columns of `w` in
        `terms`.
    w : (n, r) array
        Its fully seen predictors.
    lines : Lines or None
        Its rows of the kernel, where these are several: a `Hazard` of the waves of a dropout or shared-parameter model.
    beside : tuple of int
        The waves of a dropout model, of which the column is one: there is an indicator until a row has left or died.
    groups : Groups or None
        Of the rows of the table, where they differ in slopes on unseen values; each is a row of the kernel.
    """

    name: str
    column: int
    recorded: bool
    link: str
    terms: tuple[str, ...]
    slopes: tuple[int, ...]
    w: np.ndarray
    w_terms: tuple[str, ...] = ()
    lines: Lines | None = None
    beside: tuple[int, ...] = ()
    groups: Groups | None = None

    @property
    def hazard(self) -> Hazard | None:
        """The waves of a dropout or shared-parameter model."""
        return self.lines if isinstance(self.lines, Hazard) else None

    @property
    def n_rows(self) -> int:
        """How many indicators of the kernel it stands for."""
        return len(self.lines.maps) if self.lines is not None else 1

    @property
    def reads(self) -> list[tuple[int, ...]]:
        """The modelled columns that each indicator of the kernel depends on."""
        if self.lines is not None:
            return self.lines.reads
        return [(self.column,) if self.recorded else self.slopes]

    @property
    def random(self) -> bool:
        """Whether it reads random terms."""
        return self.hazard is not None and self.hazard.hidden > 0

    @property
    def on_unseen(self) -> list[int]:
        """The coefficients that make it MNAR: on modelled columns, on the current value, on random terms."""
        if self.lines is None:
            return [len(self.w_terms) + i for i in range(len(self.slopes))]
        last = len(self.lines.reading[0]) if self.hazard is None else self.hazard.hidden or 1
        return self.lines.slopes_on(last) if self.lines.maps else []

    def signs(self, seen: np.ndarray, death: np.ndarray | None = None, group: np.ndarray | None = None) -> np.ndarray:
        """+1 where the indicator is 1 in a pattern, -1 where it is 0, 0 where there is none: (G, n_rows).

        A pattern has the indicators of its group, (G,), alone.
        """
        made = self._signs(seen, death)
        if self.groups is None or group is None:
            return made
        mine = np.arange(len(self.groups.times))[None, :] == group[:, None]
        return (made[:, :, None] * mine[:, None, :]).reshape(len(made), -1)

    def _signs(self, seen: np.ndarray, death: np.ndarray | None) -> np.ndarray:
        if self.hazard is not None:
            return self.hazard.signs(seen, death)
        one = seen[:, self.column] if self.recorded else ~seen[:, self.column]
        made = np.where(one, 1.0, -1.0)[:, None]
        if not self.beside:
            return made
        until = leaving_wave(seen[:, list(self.beside)], death)
        until = until if death is None else np.minimum(until, death)
        return np.where(self.beside.index(self.column) < until[:, None], made, 0.0)


def indicator_of(
    belief: Selection | Heckman | Dropout | SharedParameter,
    built: Design,
    slopes: Slopes,
    model: DataModel,
    data: IncompleteData,
    leaving: tuple[int, ...],
) -> Indicator:
    """Lay the indicator of a belief out on a table; `leaving` are the waves with a hazard."""
    columns, w, groups = model.columns, built.rebuild(data), groups_of(slopes.times(data))
    if isinstance(belief, (Dropout, SharedParameter)):
        curve = model.curve if isinstance(model, Growth) else ()
        if isinstance(belief, Dropout):
            hazard = hazard_of(belief, columns, built.names, slopes, groups, leaving)
        else:
            hazard = sharing_of(belief, columns, curve, built.names, leaving)
        of, last = hazard.of, hazard.order[-1]
        return Indicator(of, last, False, belief.link, hazard.terms, (), w, built.names, hazard, groups=groups)
    recorded = isinstance(belief, Heckman)
    return Indicator(
        name=f"{'recorded' if recorded else 'missing'}_{belief.columns[0]}",
        column=columns.index(belief.columns[0]),
        recorded=recorded,
        link=belief.link,
        terms=(*built.names, *slopes.names),
        slopes=tuple(columns.index(c) for c in slopes.reads) if groups is None else (),
        w=w,
        w_terms=built.names,
        lines=None if groups is None else lines_of(columns, built.names, slopes, groups),
        groups=groups,
    )


def beside(spec: Spec, indicator: Indicator) -> Indicator:
    """Say beside which waves an indicator of single holes stands."""
    waves = () if spec.dropout is None else tuple(spec.model.columns.index(w) for w in spec.dropout.waves)
    return replace(indicator, beside=waves) if indicator.hazard is None and indicator.column in waves else indicator
