"""Which engine a spec takes: the extended normal, or factors of any family; and why, in words."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.data import IncompleteData
from mnarkit.formula import parse
from mnarkit.spec.data_models import Regression, Regressions
from mnarkit.spec.missingness import Selection
from mnarkit.spec.slopes import MOST_GROUPS, bent, slopes_of
from mnarkit.spec.spec import Spec

__all__ = ["Block", "Engine", "engine_of", "regressions_of"]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine and the reason for it."""

    name: Literal["normal", "factored"]
    because: str


@dataclass(frozen=True, slots=True)
class Block:
    """What becomes of some unseen values while sampling.

    Attributes
    ----------
    name : str
        Columns, an indicator, or random effects.
    kind : {"marginal", "latent"}
        Integrated or summed out of the likelihood, or sampled beside the parameters.
    because : str
        How and why, in words.
    cells : int
        How many unseen cells; 0 where it is not about cells.
    """

    name: str
    kind: Literal["marginal", "latent"]
    because: str
    cells: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.kind}, {self.because}{f' ({self.cells} cells)' if self.cells else ''}"


def engine_of(spec: Spec, data: IncompleteData | None) -> Engine:
    """Choose the extended normal where the unseen values can be integrated out in closed form, else factors.

    The table of the fit tells how many slopes `y:x` stands for; without one they are taken to be few.
    """
    model = spec.model
    if isinstance(model, Regressions):
        return Engine("factored", "a conditional model of each column")
    if not isinstance(model, Regression):
        return Engine("normal", "unseen values integrated out in closed form")
    if model.family != "normal":
        return Engine("factored", f"{model.columns[0]} is {model.family}")
    bars = [b for b in (model.bar, *(parse(s.formula).bar for s in spec.selections)) if b is not None]
    if bars:
        return Engine("factored", f"random terms {bars[0]}")
    formulas = [parse(b.formula) for b in spec.selections if isinstance(b, Selection)]
    curved = [t.name for f in formulas for t in bent(f, model.columns)]
    if curved:
        return Engine("factored", f"{curved[0]} is not linear in an unseen value alone")
    many = [f for f in formulas if data is not None and not slopes_of(f, data, model.columns).of_few(data)]
    if many:
        return Engine("factored", f"{many[0].text!r} has more than {MOST_GROUPS} slopes on an unseen value")
    return Engine("normal", "unseen values integrated out in closed form")


def regressions_of(spec: Spec) -> tuple[Regression, ...]:
    """List the regressions of a factored spec, every column after those by which it is explained."""
    model = spec.model
    if isinstance(model, Regressions):
        return model.ordered
    return (model,) if isinstance(model, Regression) else ()
