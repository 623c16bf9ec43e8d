"""What the formulas leave out: columns that move the holes and not the values, or the values and not the holes."""

from dataclasses import dataclass

from mnarkit.formula import Formula, parse
from mnarkit.spec.data_models import DataModel, regression_of
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.missingness import Heckman, Selection

__all__ = ["Exclusions", "exclusions_of"]


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Columns in one of two formulas alone.

    Attributes
    ----------
    excluded : tuple of str
        In the formula of the indicator and not in the data model: they move the holes and not the values.
    shadow : tuple of str
        In the data model and not in the formula of the indicator: given the value, they do not move its hole.
    """

    excluded: tuple[str, ...]
    shadow: tuple[str, ...]


def exclusions_of(belief: Selection | Heckman | Dropout, model: DataModel) -> Exclusions:
    """Compare the columns of the two formulas."""
    if isinstance(belief, Dropout):
        data_model = columns_of(model.predictors, model)
        hazard = {c for t in belief.parsed.terms for c in t.columns} - {CURRENT, PREVIOUS}
        return Exclusions(tuple(sorted(hazard - data_model)), tuple(sorted(data_model - hazard)))
    column, formula = belief.columns[0], parse(belief.formula)
    own = regression_of(model, column)
    data_model, indicator = columns_of(own.predictors, own), columns_of(formula, own)
    others = {c for c in own.columns if c != column}
    read = {c for t in formula.terms for c in t.columns}
    # given y, a Heckman propensity still moves with what predicts y, but not with the other modelled columns
    shadow = others if isinstance(belief, Heckman) else (data_model | others) - indicator - read
    return Exclusions(tuple(sorted(indicator - data_model)), tuple(sorted(shadow)))


def columns_of(formula: Formula, model: DataModel) -> set[str]:
    """The fully seen columns that a formula names."""
    return {c for t in formula.terms for c in t.columns} - set(model.columns)
