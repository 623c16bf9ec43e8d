"""simulate: a table from a spec at given parameters, with the holes that its beliefs make."""

from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.fit import checked_seed
from mnarkit.formula import parse
from mnarkit.normal.layout import Designs, KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.simulate.factored import columns_with_levels, draw_factored
from mnarkit.simulate.limits import hide_inside
from mnarkit.simulate.mechanisms import World, holes, in_order
from mnarkit.simulate.truth import Truth, moments
from mnarkit.spec.check import named_columns
from mnarkit.spec.data_models import DataModel
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.engine import engine_of, regressions_of
from mnarkit.spec.growth import Growth
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec, require_spec

__all__ = ["draw_table", "simulate"]


def simulate(
    spec: Spec,
    truth: Mapping[str, Any],
    *,
    n: int | None = None,
    seed: int | None = None,
    data: object | None = None,
    complete: bool = False,
) -> Any:
    """Draw y | x and then r | y, x at given parameters: a table with holes.

    Parameters
    ----------
    spec : Spec
        Data model and beliefs.
    truth : mapping
        Parameters in the columns' own units, by the names of `Fit.draws["posterior"]`: `coef` (column, term), `sd`
        (column), `corr`, `missing_y` or `recorded_y` or `dropout` (term; an array, or numbers by term), `rho_y`,
        `shift_y` and others that have a prior. Names that the spec does not use are passed over, so that one posterior
        draw, `fit.draws["posterior"].isel(chain=0, draw=0)`, is a truth.
    n : int, optional
        Rows; by default those of `data`.
    seed : int, optional
        Without one, from the system.
    data : DataFrame, optional
        Its rows give the fully seen columns, in their order where there are `n` of them, else drawn with replacement.
        Without it, those columns are independent and standard normal. Holes that no mechanism of the spec makes
        (under MAR, pattern mixtures and references) are those of its rows.
    complete : bool
        Give the complete table too.

    Returns
    -------
    DataFrame, or (DataFrame, DataFrame)
        With holes, and complete: before late amounts and references, which are no part of what is recorded.

    Raises
    ------
    SpecError, DataError
        A parameter that is missing or has another shape, or a spec that needs `data`.

    References
    ----------
    Diggle & Kenward (1994), section 3, for dropout; Heckman (1979), eq. 4, for error correlations.

    Examples
    --------
    >>> import mnarkit as mk
    >>> spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y + z"))
    >>> truth = {"coef": [[1.0, 0.5]], "sd": [1.0], "missing_y": {"Intercept": -1.0, "z": 0.5, "y": 0.5}}
    >>> table = mk.simulate(spec, truth, n=200, seed=1)
    >>> list(table.columns), bool(table["y"].isna().any())
    (['y', 'x', 'z'], True)
    """
    require_spec(spec)
    if not isinstance(truth, Mapping):
        raise SpecError(f"truth= is a mapping of parameters by name, not {type(truth).__name__}")
    _can_be_drawn(spec)
    # a stream of its own: predictors drawn with the same seed must not come back as the noise
    rng = np.random.default_rng(np.random.SeedSequence(checked_seed(seed), spawn_key=(0,)))
    table = _rows(spec, n, data, rng)
    seen, frame = draw_table(spec.model, spec, Truth(truth), table, rng)
    seen, made = hide_inside(spec, seen, frame) if spec.limits else (seen, frame.copy())
    for j, column in enumerate(spec.model.columns):
        made[column] = frame[column].where(seen[:, j])
    return (made, frame) if complete else made


def _can_be_drawn(spec: Spec) -> None:
    if spec.restriction is not None:
        raise SpecError(f"{spec.restriction} has no distribution of its own to draw from; simulate the table under MAR")
    if any(isinstance(b, Dropout) and b.death for b in spec.missingness):
        raise SpecError("simulate does not draw deaths: give the Dropout without death=")


def _rows(spec: Spec, n: int | None, data: object | None, rng: np.random.Generator) -> pd.DataFrame:
    """The columns that the spec names; modelled ones hold 0 where they are recorded, or everywhere."""
    if n is not None and (isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1):
        raise SpecError(f"n= is a whole number of at least 1, not {n!r}")
    modelled, with_levels = spec.model.columns, columns_with_levels(spec)
    others = [c for c in dict.fromkeys(named_columns(spec)) if c not in modelled]
    if data is None:
        if n is None:
            raise SpecError("simulate takes n=, the number of rows, or data= with rows of its own")
        _needs_no_table(spec)
        blank = {c: np.zeros(n) for c in modelled}
        return pd.DataFrame(blank | {c: rng.normal(size=n) for c in others})
    given = IncompleteData.of(data)
    given.require(others, "the spec")
    mask = {c: given.seen(c) if c in given.columns else np.ones(given.n, dtype=bool) for c in modelled}
    named = [c for c in with_levels if c in given.columns]
    table = pd.DataFrame({c: np.where(m, 0.0, np.nan) for c, m in mask.items()}, index=given.frame.index)
    table = table.assign(**{c: given.frame[c] for c in named})  # their values name the levels
    table = pd.concat([table, given.frame[others]], axis=1)
    if n is None or n == given.n:
        return table
    return table.iloc[rng.integers(given.n, size=n)].reset_index(drop=True)


def _needs_no_table(spec: Spec) -> None:
    """Refuse what takes rows from a table: a belief without a model of the holes, groups of random terms."""
    blind = [b for b in spec.missingness if b in spec.pattern_mixtures or b == spec.reference]
    if blind:
        raise SpecError(f"{blind[0]} has no model of the holes: give data=, a table whose rows have them")
    formulas = [parse(each.formula) for each in (*regressions_of(spec), *spec.selections)]
    bar = next((f.bar for f in formulas if f.bar is not None), None)
    if bar is not None:
        raise SpecError(f"{bar} is about groups of rows: give data=, a table with the column {bar.group!r}")
    unseen = {*spec.model.columns, PREVIOUS, CURRENT}
    terms = [t for b in spec.selections for t in parse(b.formula).terms if t.columns & unseen and not t.bare]
    if terms and not regressions_of(spec):
        raise SpecError(f"{terms[0].name!r} is a slope by group: give data=, a table with the groups")


@singledispatch
def draw_table(
    model: DataModel, spec: Spec, truth: Truth, table: pd.DataFrame, rng: np.random.Generator
) -> tuple[np.ndarray, pd.DataFrame]:
    """What is left of the values, (n, p), before limits hide some, and the complete table."""
    if engine_of(spec, IncompleteData.of(table)).name == "factored":
        return draw_factored(spec, truth, table, rng)
    full = table.assign(**dict.fromkeys(spec.model.columns, 0.0))
    given = IncompleteData.of(table)
    seen = np.column_stack([given.seen(c) for c in spec.model.columns])
    own = [c for b in spec.selections for c in b.columns]
    seen[:, [spec.model.columns.index(c) for c in own]] = True  # their holes are made, not given
    blank = IncompleteData.of(full)
    designs = replace(designs_of(spec, blank), leaving=_leaving(spec, truth))
    layout = lay_out(spec, blank, designs)
    times = spec.model.times if isinstance(spec.model, Growth) else ()
    arms = () if layout.arms is None else layout.arms.labels
    coef, cov = moments(truth, layout.columns, layout.terms, layout.structure, times, arms)
    y = _values(spec, truth, _with_holes(spec, table, seen, designs), coef, cov, rng)
    full = full.assign(**{c: y[:, j] for j, c in enumerate(spec.model.columns)})
    world = World(replace(layout, y=y), coef, cov, truth, IncompleteData.of(full), designs)
    for belief in in_order(spec):
        k = spec.selections.index(belief) if belief in spec.selections else -1
        seen = holes(belief, k, world, seen, rng)
    return seen, full


def _with_holes(spec: Spec, table: pd.DataFrame, seen: np.ndarray, designs: Designs) -> Layout:
    """The layout with the holes that are given: amounts inside the model move their cells."""
    masked = table.assign(**{c: np.where(seen[:, j], 0.0, np.nan) for j, c in enumerate(spec.model.columns)})
    return lay_out(spec, IncompleteData.of(masked), designs)


def _values(
    spec: Spec, truth: Truth, layout: Layout, coef: np.ndarray, cov: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw y of every row: around B x, moved where an amount inside the model says so."""
    n, p = layout.y.shape
    noise = rng.normal(size=(n, p))
    if layout.arms is not None:
        return layout.x @ coef.T + np.einsum("nij,nj->ni", np.linalg.cholesky(cov)[layout.arms.code], noise)
    if not layout.model_amounts:
        return layout.x @ coef.T + noise @ np.linalg.cholesky(cov).T
    without = replace(layout, indicators=())
    rows: KernelData = kernel_data(without, keep_empty_rows=True, products=False)
    amounts = [_amount(truth, a) for a in layout.model_amounts]
    B, S, *_ = kernel_parameters(Parameters(coef, cov, [], [], amounts), without, rows)
    x, y = rows.arrays[5], np.empty((n, p))
    for g, start in enumerate(rows.patterns.start[:-1]):
        here = slice(start, rows.patterns.start[g + 1])
        at = rows.patterns.order[here]
        y[at] = x[here] @ B.T + noise[at] @ np.linalg.cholesky(S[rows.patterns.group[g]]).T
    return y


def _amount(truth: Truth, amount: Any) -> float:
    declared = amount.declared
    return float(declared) if isinstance(declared, (int, float)) else float(truth.numbers(amount.name))


def _leaving(spec: Spec, truth: Truth) -> tuple[int, ...]:
    """The waves with an indicator: all (one leaves after the first), or those of which the truth has an intercept."""
    belief = next((b for b in spec.selections if isinstance(b, (Dropout, SharedParameter))), None)
    if belief is None:
        return ()
    name = belief.of if isinstance(belief, SharedParameter) else "dropout"
    waves = tuple(range(0 if name == "missing" else 1, len(belief.waves)))
    given = truth.given.get(name)
    labels = list(given) if isinstance(given, dict) else list(getattr(given, f"{name}_term", []))
    named = [str(getattr(label, "values", label)) for label in labels]
    if "Intercept" not in belief.by_wave or not named:
        return waves
    return tuple(t for t in waves if f"Intercept[{belief.waves[t]}]" in named)
