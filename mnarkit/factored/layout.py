"""A factored spec laid out on a table: one array block a factor, the cells that are summed, those that are sampled."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.factored.cells import Block, Roles, blocks_of, roles_of
from mnarkit.factored.columns import Coded, code, filled
from mnarkit.factored.density import constants
from mnarkit.factored.grid import ORDER, Axis, Grid, axis_of, breaks_of, grid_of, reads_stepwise
from mnarkit.factored.random_terms import RandomDesign, RandomTerms, random_design, random_terms
from mnarkit.factored.rows import FactorRows, rows_of
from mnarkit.factored.shared import Shared, shared_terms
from mnarkit.factored.terms import Curve, curves_of
from mnarkit.formula import Design, Formula, design, parse
from mnarkit.spec.bounds import bounds_of, measured_table
from mnarkit.spec.engine import regressions_of
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["Designs", "Factor", "Inputs", "Layout", "designs_of", "lay_out"]


@dataclass(frozen=True, slots=True, eq=False)
class Designs:
    """The modelled columns of the fit's table, the designs of each factor and of its random terms.

    `stepwise` columns are summed over points wherever they are unseen and read; `axes` say where points lie.
    """

    coded: tuple[Coded, ...]
    built: tuple[Design, ...]
    random: tuple[RandomDesign | None, ...]
    stepwise: tuple[bool, ...]
    axes: tuple[Axis | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Values of one column where a curve reads it: `base` (L,), latent cells `cells` put in the places `at`."""

    column: str
    base: Any
    at: Any
    cells: Any


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One conditional density on its own rows: a column's, or that of an indicator of a hole.

    Its first `direct` rows enter the log likelihood by themselves, the others through the sums over unseen cells.

    Attributes
    ----------
    name : str
        `coef_y` or `missing_y`: how its coefficients are named.
    column : int
        Of which column it is the density, or whose holes it explains.
    family : str
        A family, or `missing`.
    link : str
        The link.
    x, y, constant : (N, q), (N,), (N,) arrays
        Design (0 where `curves` say more), response (a sign for indicators) and the constants of its log density.
    row : (N,) array
        The row of the table.
    maps : tuple of (m, K) arrays
        By block of summed cells, the own row less `direct` of each candidate; the last number plus 1 for none.
    curves, curve_at, rest, inputs
        Design columns that read latent cells, the own rows where they do (L,), the rest of the product (L, curves), and
        the values of what they read.
    response_at, response_cells
        Own rows whose response is latent, and its number.
    center, scale : (q,) arrays
        The design is (x - center) / scale.
    origin, unit : float
        η = origin + unit · (x coef + random terms).
    random : RandomTerms or None
        The random terms.
    shared : Shared or None
        Random effects of another factor that an indicator reads.
    """

    name: str
    column: int
    family: str
    link: str
    terms: tuple[str, ...]
    bounds: tuple[float, float]
    x: Any
    y: Any
    constant: Any
    row: np.ndarray
    direct: Any
    maps: tuple[Any, ...]
    curves: tuple[Curve, ...]
    curve_at: Any
    rest: Any
    inputs: tuple[Inputs, ...]
    response_at: Any
    response_cells: Any
    center: Any
    scale: Any
    origin: Any = 0.0
    unit: Any = 1.0
    random: RandomTerms | None = None
    shared: Shared | None = None

    @property
    def of_indicator(self) -> bool:
        """Whether it explains where values are missing."""
        return self.family == "missing"


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A factored spec on a table.

    Attributes
    ----------
    coded : tuple of Coded
        The modelled columns, each after those by which it is explained.
    factors : tuple of Factor
        Those of the columns, in that order, then those of indicators.
    roles, blocks : Roles, tuple of Block
        What becomes of every unseen cell, and the candidates of those that are summed.
    latent : tuple of (cells,) arrays
        By column, the rows of the table whose cell is sampled.
    grids : tuple of Grid or None
        By column, the points over which cells are summed.
    limited : (n, p) bool array
        Cells of which limits are known: they count as recorded in `data`.
    """

    data: IncompleteData
    designs: Designs
    coded: tuple[Coded, ...]
    factors: tuple[Factor, ...]
    roles: Roles
    blocks: tuple[Block, ...]
    latent: tuple[np.ndarray, ...]
    grids: tuple[Grid | None, ...]
    limited: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns."""
        return tuple(c.column for c in self.coded)


def designs_of(spec: Spec, data: IncompleteData) -> Designs:
    """Read the modelled columns and build every design; unseen values stand at a placeholder there."""
    regressions = regressions_of(spec)
    coded = tuple(code(r, data) for r in regressions)
    formulas = [parse(b.formula) for b in (*regressions, *spec.selections)]
    frame = measured_table(spec, data).frame
    built = tuple(_design(f, frame, coded) for f in formulas)
    stepwise = _over_points(coded, formulas, formulas[len(regressions) :])
    known_up_to = {limits.column for limits in spec.limits}
    axes = (
        _axis(j, coded, built) if step or (c.column in known_up_to and not c.family.discrete) else None
        for j, (c, step) in enumerate(zip(coded, stepwise, strict=True))
    )
    return Designs(coded, built, tuple(random_design(f, data) for f in formulas), stepwise, tuple(axes))


def _over_points(coded: tuple[Coded, ...], formulas: list[Formula], selections: list[Formula]) -> tuple[bool, ...]:
    """Find the columns that are summed over points: those read through steps, and one alone that bends an indicator."""
    steps = [not c.family.discrete and _read_stepwise(c, formulas) for c in coded]
    bent = {column for f in selections for t in f.terms if not t.bare for column in t.columns}
    either = [
        s or (c.column in bent and not c.family.discrete and not c.seen.all())
        for s, c in zip(steps, coded, strict=True)
    ]
    return tuple(either if sum(either) == 1 else steps)


def _read_stepwise(one: Coded, formulas: list[Formula]) -> bool:
    return not one.seen.all() and any(reads_stepwise(one.column, [t.name for t in f.terms]) for f in formulas)


def _design(formula: Formula, frame: pd.DataFrame, coded: tuple[Coded, ...]) -> Design:
    """Build a design; knots of splines are set by the rows in which what they read is recorded."""
    numbers = {c.column: _placed(c, _placeholders(c)[0]) for c in coded}
    table = filled(frame, coded, numbers, _asked(formula))
    hidden = () if formula.response else RANDOM_TERMS  # random terms that a model of holes shares
    known = np.ones(len(frame), dtype=bool)
    for one in coded:
        known &= one.seen | (not _read_stepwise(one, [formula]))
    if known.all():
        return design(formula.fixed, table, leave_out=hidden)
    built = design(formula.fixed, IncompleteData.of(table.frame[known]), leave_out=hidden)
    return replace(built, matrix=built.rebuild(table))


def _axis(j: int, coded: tuple[Coded, ...], built: tuple[Design, ...]) -> Axis:
    one = coded[j]
    known = np.all([one.seen, *(c.seen for c in coded if c.column in built[j].columns)], axis=0)
    return axis_of(one, built[j].matrix, known, breaks_of(one.column, built))


def _asked(formula: Formula) -> frozenset[str]:
    """Find the columns of which a formula reads whether they are missing, and nothing else."""
    return frozenset[str]().union(*(t.holes for t in formula.terms)) - {c for t in formula.terms for c in t.columns}


def lay_out(spec: Spec, data: IncompleteData, designs: Designs, *, order: int = ORDER) -> Layout:
    """Arrays of a spec on a table, which may be another than that of the designs; `order` points stand in a panel."""
    regressions = regressions_of(spec)
    coded = tuple(code(r, data, like) for r, like in zip(regressions, designs.coded, strict=True))
    columns = tuple(c.column for c in coded)
    reads = tuple(frozenset(columns.index(c) for c in d.columns if c in columns) for d in designs.built)
    bounds, place = bounds_of(spec, data), [spec.model.columns.index(c) for c in columns]
    limits = bounds.low[:, place], bounds.high[:, place]
    limited, measured = bounds.cells[:, place], measured_table(spec, data)
    roles = roles_of(coded, reads, designs.stepwise, limited)
    latent = tuple(np.flatnonzero(roles.latent[:, j]) for j in range(len(coded)))
    bare = Layout(measured, designs, coded, (), roles, (), latent, (), limited)
    grids = tuple(_grid(bare, j, reads[j], limits, order) for j in range(len(coded)))
    blocks = blocks_of(coded, roles.summed, grids, limits)
    bare = replace(bare, grids=grids, blocks=blocks)
    own = [frozenset({j}) for j in range(len(coded))] + [frozenset[int]()] * len(spec.selections)
    factors = []
    for k, built in enumerate(designs.built):
        where = rows_of(roles.active[:, k], sorted(reads[k] | own[k]), roles.summed, blocks)
        made = _factor(bare, k, spec, built, where)
        belief = spec.selections[k - len(coded)] if k >= len(coded) else None
        factors.append(_with_shared(made, belief, bare, factors) if isinstance(belief, SharedParameter) else made)
    return replace(bare, factors=tuple(factors))


def _grid(
    layout: Layout, j: int, reads: frozenset[int], limits: tuple[np.ndarray, np.ndarray], order: int
) -> Grid | None:
    """Points of the cells of column j that are summed over points."""
    rows, axis = np.flatnonzero(layout.roles.pointwise[:, j]), layout.designs.axes[j]
    if axis is None or not len(rows):
        return None
    held = {c.column: _placed(c, _placeholders(like)[0])[rows] for c, like in _pairs(layout)}
    table = filled(layout.data.frame.iloc[rows], layout.coded, held)
    predicted = np.all([np.ones(len(rows), dtype=bool), *(layout.coded[i].seen[rows] for i in reads)], axis=0)
    x = layout.designs.built[j].rebuild(table)
    return grid_of(layout.coded[j], axis, rows, x, predicted, (limits[0][rows, j], limits[1][rows, j]), order)


def _factor(layout: Layout, k: int, spec: Spec, built: Design, where: FactorRows) -> Factor:
    """Lay out factor k on its own rows."""
    coded, p = layout.coded, len(layout.coded)
    belief = spec.selections[k - p] if k >= p else None
    j = k if belief is None else layout.columns.index(belief.columns[0])
    base = np.column_stack([_placed(c, _placeholders(d)[0]) for c, d in _pairs(layout)])
    numbers = np.where(np.isnan(where.values), base[where.row], where.values)
    frame = layout.data.frame.iloc[where.row]
    x = built.rebuild(_table(frame, coded, numbers, built.holes)) if len(frame) else np.zeros((0, len(built.names)))
    curves = curves_of(built, [c.column for c, rows in zip(coded, layout.latent, strict=True) if len(rows)])
    x, at, rest, inputs = _curved(layout, built, where, numbers, x, curves)
    terms = built.names
    if belief is None and coded[j].family.name == "ordinal":
        kept = [i for i, t in enumerate(terms) if t != "Intercept"]
        x, terms = x[:, kept], tuple(terms[i] for i in kept)
        curves = tuple(replace(c, column=kept.index(c.column)) for c in curves)
    unseen = ~(coded[j].seen | layout.limited[:, j])[where.row]
    y = numbers[:, j] if belief is None else np.where(unseen, 1.0, -1.0)
    sampled = layout.roles.latent[where.row, j] & (belief is None)
    return Factor(
        name=f"coef_{coded[j].column}" if belief is None else f"missing_{coded[j].column}",
        column=j,
        family=coded[j].family.name if belief is None else "missing",
        link=coded[j].family.link if belief is None else belief.link,
        terms=terms,
        bounds=coded[j].bounds,
        x=np.ascontiguousarray(x),
        y=y,
        constant=constants(coded[j].family.name, y) + where.log_weights[:, j] if belief is None else np.zeros(len(y)),
        row=where.row,
        direct=where.direct,
        maps=where.maps,
        curves=curves,
        curve_at=at,
        rest=rest,
        inputs=inputs,
        response_at=np.flatnonzero(sampled),
        response_cells=_cells(layout, j)[where.row[sampled]],
        center=np.zeros(x.shape[1]),
        scale=np.ones(x.shape[1]),
        random=_random(layout, k, where, coded[j].column if belief is None else f"missing_{coded[j].column}", spec),
    )


def _random(layout: Layout, k: int, where: FactorRows, name: str, spec: Spec) -> RandomTerms | None:
    made = layout.designs.random[k]
    if made is None:
        return None
    family = layout.coded[k].family.name if k < len(layout.coded) else "missing"
    summed = where.direct < len(where.row)
    shared = any(isinstance(b, SharedParameter) and b.columns == (name,) for b in spec.selections)
    return random_terms(made, name, layout.data, where.row, family, summed=summed, shared=shared)


def _with_shared(factor: Factor, belief: SharedParameter, layout: Layout, factors: list[Factor]) -> Factor:
    """Give an indicator the random effects that it reads: columns of 0 in its design, that stand for them."""
    source, names = factors[factor.column], belief.shared
    if source.random is None:
        raise SpecError(f"the regression of {layout.columns[factor.column]!r} has no random terms to share")
    first, more = len(factor.terms), np.zeros((len(factor.x), len(names)))
    return replace(
        factor,
        terms=(*factor.terms, *names),
        x=np.ascontiguousarray(np.hstack([factor.x, more])),
        center=np.zeros(first + len(names)),
        scale=np.ones(first + len(names)),
        shared=shared_terms(belief, factor.column, source.random, first, factor.row),
    )


def _curved(
    layout: Layout, built: Design, where: FactorRows, numbers: np.ndarray, x: np.ndarray, curves: tuple[Curve, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Inputs, ...]]:
    """Take the columns that read latent cells out of the design: where, the rest of each product, and what is read.

    The rest is the column over the value of its factors at a placeholder; where that value is 0 at two placeholders, it
    is 0 whatever stands there.
    """
    columns = layout.columns
    read = sorted({c for curve in curves for c in curve.reads})
    sampled = [columns.index(c) for c in read if c in columns and len(layout.latent[columns.index(c)])]
    at = np.flatnonzero(layout.roles.latent[where.row][:, sampled].any(axis=1)) if sampled else np.zeros(0, np.int64)
    rest = np.ones((len(at), len(curves)))
    if not len(at):
        return x, at, rest, ()
    done = np.zeros(rest.shape, dtype=bool)
    frame = layout.data.frame.iloc[where.row[at]]
    for number in range(2):
        tried = numbers[at].copy()
        for j in sampled:
            tried[:, j] = _placeholders(layout.designs.coded[j])[number]
        table = _table(frame, layout.coded, tried, built.holes)
        values = {c: table.number(c) for c in read}
        made = built.rebuild(table)
        for i, curve in enumerate(curves):
            g = curve.value(values, np)
            usable = ~done[:, i] & (g != 0) & np.isfinite(g)
            rest[usable, i] = made[usable, curve.column] / g[usable]
            done[:, i] |= usable
    x = x.copy()
    x[np.ix_(at, [c.column for c in curves])] = 0.0
    now = _table(frame, layout.coded, numbers[at], built.holes)
    return x, at, rest, tuple(_inputs(layout, c, now, where.row[at]) for c in read)


def _inputs(layout: Layout, column: str, table: IncompleteData, rows: np.ndarray) -> Inputs:
    none = np.zeros(0, dtype=np.int64)
    if column not in layout.columns:
        return Inputs(column, table.number(column), none, none)
    j = layout.columns.index(column)
    places = np.flatnonzero(layout.roles.latent[rows, j])
    return Inputs(column, table.number(column), places, _cells(layout, j)[rows[places]])


def _cells(layout: Layout, j: int) -> np.ndarray:
    """Number the latent cells of column j by the row of the table; -1 where there is none."""
    numbers = np.full(layout.data.n, -1, dtype=np.int64)
    numbers[layout.latent[j]] = np.arange(len(layout.latent[j]))
    return numbers


def _pairs(layout: Layout) -> list[tuple[Coded, Coded]]:
    return list(zip(layout.coded, layout.designs.coded, strict=True))


def _table(frame: Any, coded: tuple[Coded, ...], numbers: np.ndarray, keep: tuple[str, ...]) -> IncompleteData:
    return filled(frame, coded, {c.column: numbers[:, j] for j, c in enumerate(coded)}, keep)


def _placed(one: Coded, placeholder: float) -> np.ndarray:
    return np.where(one.seen, one.values, placeholder)


def _placeholders(one: Coded) -> tuple[float, float]:
    """Two values inside the support and in general position: powers and differences of them are not 0."""
    recorded = one.values[one.seen]
    if one.family.discrete:
        return float(recorded[0]), float(recorded[0])
    middle, high = np.quantile(recorded, [0.5, 0.75])
    return float(middle + 0.0137 * (high - middle)), float(middle + 0.3719 * (high - middle))
