"""plan: what becomes of the unseen values of a spec on a table, marginal or latent, and why."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.factored.check import check_factored
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.factored.words import blocks_of
from mnarkit.spec.bounds import present_cells
from mnarkit.spec.check import check
from mnarkit.spec.death import dead_cells
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.engine import Block, engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import Heckman
from mnarkit.spec.propensities import orthants, sampled_rows
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec, require_spec

__all__ = ["Plan", "normal_blocks", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the unseen values, block by block.

    Attributes
    ----------
    engine, because : str
        `normal` (jointly normal columns) or `factored` (a product of regressions of any family), and why.
    blocks : tuple of Block
        Each with `name`, `kind` ("marginal" or "latent"), `because` and `cells`.
    """

    engine: str
    because: str
    blocks: tuple[Block, ...]

    def to_frame(self) -> pd.DataFrame:
        """Give a row per block: `name kind cells because`."""
        rows = [(b.name, b.kind, b.cells, b.because) for b in self.blocks]
        return pd.DataFrame(rows, columns=["name", "kind", "cells", "because"])

    @property
    def sentence(self) -> str:
        """The plan in one line, as it stands first in `Fit.notes`."""
        return f"{self.engine} ({self.because}): {'; '.join(map(str, self.blocks)) or 'nothing is unseen'}"

    def __str__(self) -> str:
        head = f"Engine    {self.engine}: {self.because}"
        lines = [f"{b.kind:9} {b.name}{f' ({b.cells} cells)' if b.cells else ''}: {b.because}" for b in self.blocks]
        return "\n".join([head, *(lines or ["nothing is unseen"])])


def plan(spec: Spec, df: object) -> Plan:
    """Say what becomes of the unseen values when a spec is sampled or built: marginal or latent, and why.

    Parameters
    ----------
    spec : Spec
        Data model and beliefs.
    df : DataFrame
        The table.

    Returns
    -------
    Plan
        `print` gives a line per block; the same stands in the notes of a fit, `print(mk.sample(...))`.

    Raises
    ------
    SpecError, DataError
        The spec does not fit the table.

    Examples
    --------
    >>> import mnarkit as mk
    >>> spec = mk.Spec(mk.Regression("lwage ~ educ"), mk.Selection("missing(lwage) ~ lwage + age"))
    >>> print(mk.plan(spec, mk.load_dataset("wages")))
    Engine    normal: unseen values integrated out in closed form
    marginal  lwage (325 cells): normal given what is seen of the row, drawn exactly when imputing
    marginal  missing(lwage): its probability given what is seen, in closed form
    """
    require_spec(spec)
    data = IncompleteData.of(df)
    engine = engine_of(spec, data)
    if engine.name == "factored":
        check_factored(spec, data)
        return Plan(engine.name, engine.because, blocks_of(lay_out(spec, data, designs_of(spec, data))))
    check(spec, data)
    return Plan(engine.name, engine.because, normal_blocks(spec, data))


def normal_blocks(spec: Spec, data: IncompleteData) -> tuple[Block, ...]:
    """Blocks of jointly normal columns, marginal but for rows with too many correlated indicators."""
    columns = spec.model.columns
    holes = ~present_cells(spec, fitted_table(spec, data)) & ~dead_cells(spec, data)
    names = ", ".join(c for c, some in zip(columns, holes.any(axis=0), strict=True) if some)
    how = "normal given what is seen of the row, drawn exactly when imputing"
    if spec.restriction is not None:
        how = "from the donors' regressions, whose posterior is known: drawn exactly, without a sampler"
    found = [Block(names, "marginal", how, int(np.sum(holes)))] if names else []
    found += [Block(_indicator(b), "marginal", _probability(b)) for b in spec.selections]
    found += [Block(f"limits of {b.column}", "marginal", "the probability of an interval") for b in spec.limits]
    if not any(isinstance(b, SharedParameter) for b in spec.selections):
        found += [Block("several at once", "marginal", sentence) for sentence in orthants(spec, data)]
        sampled = sampled_rows(spec, data)
        how = "unseen values that too many indicators read, sampled beside the parameters and drawn anew when imputing"
        found += [Block(f"{sampled} rows", "latent", how)] if sampled else []
    return tuple(found)


def _indicator(belief: object) -> str:
    if isinstance(belief, Dropout):
        return "leaving"
    if isinstance(belief, SharedParameter):
        return "random terms"
    assert hasattr(belief, "columns")
    return f"{'recorded' if isinstance(belief, Heckman) else 'missing'}({belief.columns[0]})"  # type: ignore[attr-defined]


def _probability(belief: object) -> str:
    if isinstance(belief, SharedParameter):
        return "normal given the values, integrated out of all indicators of a row by a sum over equally spaced points"
    if isinstance(belief, Dropout):
        return "the probability of leaving at each wave given what is seen, in closed form"
    return "its probability given what is seen, in closed form"
