"""Tables of conditional models of any family: column after column, then the holes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.factored.columns import Coded, code
from mnarkit.factored.draw import draw_family
from mnarkit.factored.random_terms import group_labels, random_design
from mnarkit.families import FAMILIES
from mnarkit.formula import Formula, design, parse
from mnarkit.simulate.mechanisms import happens, in_order
from mnarkit.simulate.truth import Truth, correlations
from mnarkit.spec.engine import regressions_of
from mnarkit.spec.missingness import Selection
from mnarkit.spec.regressions import Regression
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["columns_with_levels", "draw_factored"]

_BOUNDS: Mapping[str, tuple[float, float]] = {
    "positive": (0.0, np.inf),
    "interval": (0.0, 1.0),
    "counts": (0.0, np.inf),
}


def columns_with_levels(spec: Spec) -> tuple[str, ...]:
    """Name the modelled columns whose values are levels, which a table given may name."""
    each = [(r.columns[0], FAMILIES[r.family].support) for r in regressions_of(spec)]
    return tuple(column for column, support in each if support in ("binary", "levels"))


def draw_factored(
    spec: Spec, truth: Truth, table: pd.DataFrame, rng: np.random.Generator
) -> tuple[np.ndarray, pd.DataFrame]:
    """What is left of the values, (n, p), and the complete table: every column given those by which it is explained."""
    given = IncompleteData.of(table)
    seen = np.column_stack([given.seen(c) for c in spec.model.columns])
    frame = table.copy()
    for regression in regressions_of(spec):
        frame[regression.columns[0]] = _column(regression, truth, given, frame, rng)
    for belief in in_order(spec):
        if isinstance(belief, Selection):
            j = spec.model.columns.index(belief.columns[0])
            eta = _of_holes(belief, spec, truth, frame, seen)
            eta = eta + _random_part(parse(belief.formula), f"missing_{belief.columns[0]}", truth, frame, rng)
            seen[:, j] = ~happens(eta, belief.link, rng)
        elif isinstance(belief, SharedParameter):
            raise SpecError(f"simulate does not draw {belief} in a long table; take the wide one, with Growth")
    return seen, frame


def _column(
    regression: Regression, truth: Truth, given: IncompleteData, frame: pd.DataFrame, rng: np.random.Generator
) -> Any:
    column, one = regression.columns[0], _coded(regression, truth, given)
    x, names = _design(regression.predictors, frame)
    family = one.family.name
    if family == "ordinal":
        kept = [i for i, name in enumerate(names) if name != "Intercept"]
        x, names = x[:, kept], [names[i] for i in kept]
    by_level = [[str(level) for level in (one.levels or ())[1:]]] if family == "categorical" else []
    eta = x @ truth.numbers(f"coef_{column}", *by_level, names).T
    eta = eta + _random_part(parse(regression.formula), column, truth, frame, rng)
    values = one.decode(draw_family(one, eta, _auxiliary(one, truth), rng))
    if one.levels is None or not isinstance(one.levels[0], str):
        return values
    return pd.Categorical(values, categories=list(one.levels), ordered=family == "ordinal")


def _random_part(
    formula: Formula, name: str, truth: Truth, frame: pd.DataFrame, rng: np.random.Generator
) -> np.ndarray | float:
    """What random terms add to a linear predictor, (n,): effects of every level drawn from the population."""
    made = random_design(formula, IncompleteData.of(frame))
    if made is None:
        return 0.0
    terms = made.built.names
    sd, corr = truth.numbers(f"random_sd_{name}", terms), np.ones((1, 1))
    if len(terms) > 1:
        corr = correlations(truth, f"random_corr_{name}", terms)
    level, labels = pd.factorize(np.array(group_labels(frame[made.bar.group].tolist())))
    effects = rng.standard_normal((len(labels), len(terms))) @ np.linalg.cholesky(corr * np.outer(sd, sd)).T
    return (made.built.matrix * effects[level]).sum(axis=1)


def _coded(regression: Regression, truth: Truth, given: IncompleteData) -> Coded:
    """Read the levels off the table given, or take 0, 1, …, as many as the truth has parameters for."""
    column, family = regression.columns[0], FAMILIES[regression.family]
    if family.support not in ("binary", "levels"):
        bounds = regression.bounds or _BOUNDS.get(family.support, (-np.inf, np.inf))
        return Coded(column, family, np.zeros(0), None, bounds)
    if given.seen(column).any() and given.frame[column].nunique() > 1:
        return code(regression, given)
    more = 1
    if family.name != "bernoulli":
        more = len(truth.raw(f"cutpoints_{column}" if family.name == "ordinal" else f"coef_{column}"))
    return Coded(column, family, np.zeros(0), tuple(float(k) for k in range(more + 1)), (0.0, float(more)))


def _auxiliary(one: Coded, truth: Truth) -> dict[str, Any]:
    made = {}
    for name in one.family.auxiliary:
        labels = [[str(k) for k in range(len(one.levels or ()) - 1)]] if name == "cutpoints" else []
        value = truth.numbers(f"{name}_{one.column}", *labels)
        made[name] = value if labels else float(value)
    return made


def _of_holes(belief: Selection, spec: Spec, truth: Truth, frame: pd.DataFrame, seen: np.ndarray) -> np.ndarray:
    """The linear predictor of a hole, earlier indicators as they came out."""
    formula, masked = parse(belief.formula), frame.copy()
    values = {c for term in formula.terms for c in term.columns}
    for term in formula.terms:
        for column in term.holes - values:
            if column in spec.model.columns:
                masked[column] = frame[column].where(seen[:, spec.model.columns.index(column)])
    x, names = _design(formula.fixed, masked)
    return x @ truth.numbers(f"missing_{belief.columns[0]}", names)


def _design(formula: Formula, frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    built = design(formula, IncompleteData.of(frame))
    return built.matrix, list(built.names)
