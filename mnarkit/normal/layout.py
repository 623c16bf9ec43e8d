"""A spec laid out on a table: the arrays that both engines, the imputer and the predictive code read."""

from dataclasses import dataclass, replace

import numpy as np

from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.families import LINKS
from mnarkit.formula import Design, design, parse
from mnarkit.normal.patterns import Patterns, cross_products, group_rows
from mnarkit.spec.missingness import Heckman, Scale, Selection, Shift
from mnarkit.spec.spec import Spec

__all__ = [
    "Amount",
    "Designs",
    "Indicator",
    "Layout",
    "Scaling",
    "amounts_of",
    "designs_of",
    "kernel_data",
    "lay_out",
    "own_units_map",
    "standardise",
]


@dataclass(frozen=True, slots=True, eq=False)
class Designs:
    """The predictors' columns, of the data model and of each indicator; they can be rebuilt for new rows."""

    model: Design
    indicators: tuple[Design, ...]
    recorded_sd: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Indicator:
    """A modelled indicator: `missing_y` (selection) or `recorded_y` (Heckman).

    Attributes
    ----------
    column : int
        Its modelled column.
    recorded : bool
        Whether the indicator is 1 where the value is recorded.
    slopes : tuple of int
        The modelled columns in its formula; they follow the columns of `w` in `terms`.
    w : (n, r) array
        Its fully seen predictors.
    """

    name: str
    column: int
    recorded: bool
    link: str
    terms: tuple[str, ...]
    slopes: tuple[int, ...]
    w: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Amount:
    """A shift or scale on this table: its name among the draws, its column, and the cells that it moves, (n,) bool."""

    name: str
    component: Shift | Scale
    column: int
    cells: np.ndarray
    sd_observed: float
    predictors: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Arrays of one spec on one table, in the columns' own units or standardised.

    Attributes
    ----------
    y, x : (n, p), (n, q) arrays
        Modelled columns (NaN where unseen) and the predictors of the data model.
    center, scale : (p,) arrays
        y is (value - center) / scale; 0 and 1 in the columns' own units.
    """

    columns: tuple[str, ...]
    terms: tuple[str, ...]
    y: np.ndarray
    x: np.ndarray
    indicators: tuple[Indicator, ...]
    amounts: tuple[Amount, ...]
    center: np.ndarray
    scale: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """Which modelled cells are recorded, (n, p)."""
        return ~np.isnan(self.y)

    @property
    def model_amounts(self) -> tuple[Amount, ...]:
        """The amounts that stand inside the likelihood."""
        return tuple(a for a in self.amounts if a.component.of == "model")


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How standardised columns were made: y = (value - center) / scale, x_z = x @ x_map, w_z = w @ w_maps[k]."""

    center: np.ndarray
    scale: np.ndarray
    x_map: np.ndarray
    w_maps: tuple[np.ndarray, ...]
    x_scale: np.ndarray
    w_scales: tuple[np.ndarray, ...]


def designs_of(spec: Spec, data: IncompleteData) -> Designs:
    """Build the design of the data model and of each indicator on the table of the fit."""
    modelled = spec.model.columns
    return Designs(
        design(spec.model.predictors, data),
        tuple(design(parse(b.formula), data, leave_out=modelled) for b in spec.selections),
        tuple(float(np.nanstd(data.number(c), ddof=1)) if data.seen(c).sum() > 1 else np.nan for c in modelled),
    )


def lay_out(spec: Spec, data: IncompleteData, designs: Designs) -> Layout:
    """Lay a spec out on a table, in the columns' own units; the table may hold other rows than the fit's."""
    columns = spec.model.columns
    y = np.column_stack([_values(data, c) for c in columns])
    p = len(columns)
    return Layout(
        columns=columns,
        terms=designs.model.names,
        y=y,
        x=designs.model.rebuild(data),
        indicators=tuple(
            _indicator(b, d, columns, data) for b, d in zip(spec.selections, designs.indicators, strict=True)
        ),
        amounts=amounts_of(spec, data, designs.recorded_sd),
        center=np.zeros(p),
        scale=np.ones(p),
    )


def _values(data: IncompleteData, column: str) -> np.ndarray:
    """Read a column as numbers; new rows may have nothing recorded in it."""
    return data.number(column) if data.seen(column).any() else np.full(data.n, np.nan)


def _indicator(belief: Selection | Heckman, built: Design, columns: tuple[str, ...], data: IncompleteData) -> Indicator:
    recorded = isinstance(belief, Heckman)
    in_formula = {c for term in parse(belief.formula).terms if term.bare for c in term.columns}
    slopes = tuple(j for j, c in enumerate(columns) if c in in_formula)
    return Indicator(
        name=f"{'recorded' if recorded else 'missing'}_{belief.columns[0]}",
        column=columns.index(belief.columns[0]),
        recorded=recorded,
        link=belief.link,
        terms=(*built.names, *(columns[j] for j in slopes)),
        slopes=slopes,
        w=built.rebuild(data),
    )


def amounts_of(spec: Spec, data: IncompleteData, recorded_sd: tuple[float, ...]) -> tuple[Amount, ...]:
    """Find the spec's amounts, and the cells that each moves in a table; the sds are those of the fit's table."""
    found: list[Amount] = []
    for component in (c for belief in spec.pattern_mixtures for c in belief.components):
        stem = f"{'shift' if isinstance(component, Shift) else 'scale'}_{component.column}"
        taken = [a.name for a in found]
        name = next(n for n in (stem, *(f"{stem}_{i}" for i in range(2, len(found) + 3))) if n not in taken)
        cells = ~data.seen(component.column)
        if component.where is not None:
            cells = cells & evaluate(condition(component.where), data)
        predictors = tuple(spec.model.columns.index(c) for c in component.predictors)
        column = spec.model.columns.index(component.column)
        found.append(Amount(name, component, column, cells, recorded_sd[column], predictors))
    return tuple(found)


def standardise(layout: Layout) -> tuple[Layout, Scaling]:
    """Center and scale columns by their recorded means and sds; none is centered if a formula has no intercept."""
    names = [layout.terms, *(i.terms for i in layout.indicators)]
    centered = all("Intercept" in terms for terms in names)
    scale = np.nanstd(layout.y, axis=0, ddof=1)
    scale = np.where(scale > 0, scale, 1.0)
    center = np.nanmean(layout.y, axis=0) if centered else np.zeros(len(scale))
    x_map, x_scale = _predictor_map(layout.x, layout.terms, centered)
    made = [_predictor_map(i.w, i.terms, centered) for i in layout.indicators]
    indicators = tuple(replace(i, w=i.w @ w_map) for i, (w_map, _) in zip(layout.indicators, made, strict=True))
    standard = replace(
        layout, y=(layout.y - center) / scale, x=layout.x @ x_map, indicators=indicators, center=center, scale=scale
    )
    return standard, Scaling(center, scale, x_map, tuple(m for m, _ in made), x_scale, tuple(s for _, s in made))


def own_units_map(indicator: Indicator, scaling: Scaling, k: int) -> np.ndarray:
    """Map standardised coefficients of an indicator to own units: β = map @ β_z, both in the order of its terms."""
    r = indicator.w.shape[1]
    made = np.zeros((len(indicator.terms), len(indicator.terms)))
    made[:r, :r] = scaling.w_maps[k]
    for i, j in enumerate(indicator.slopes):
        made[r + i, r + i] = 1 / scaling.scale[j]
        if "Intercept" in indicator.terms:
            made[indicator.terms.index("Intercept"), r + i] = -scaling.center[j] / scaling.scale[j]
    return made


def _predictor_map(x: np.ndarray, terms: tuple[str, ...], centered: bool) -> tuple[np.ndarray, np.ndarray]:
    constant = np.array([name == "Intercept" for name in terms[: x.shape[1]]], dtype=bool)
    sd = x.std(axis=0, ddof=1)
    sd = np.where(constant | ~(sd > 0), 1.0, sd)
    made = np.diag(1 / sd)
    if centered and constant.any():
        made[np.flatnonzero(constant)[0], ~constant] = -x.mean(axis=0)[~constant] / sd[~constant]
    return made, sd


def _model_rows(
    layout: Layout,
) -> tuple[list[tuple[frozenset[int], int, np.ndarray]], np.ndarray, list[tuple[frozenset[int], frozenset[int]]]]:
    """Rows of each (moved columns and their predictors, amount), the covariance group of each row, and the groups."""
    amounts = layout.model_amounts
    n = len(layout.y)
    group = np.zeros(n, dtype=np.int64)
    groups: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(), frozenset())]
    pieces: list[tuple[frozenset[int], int, np.ndarray]] = []
    if not amounts:
        return pieces, group, groups
    active = np.column_stack([a.cells for a in amounts])
    for key in np.unique(active, axis=0):
        on = frozenset(np.flatnonzero(key).tolist())
        if not on:
            continue
        rows = (active == key).all(axis=1)
        columns = frozenset(j for i in on for j in (amounts[i].column, *amounts[i].predictors))
        pieces += [(columns, i, rows) for i in sorted(on)]
        scales = frozenset(i for i in on if isinstance(amounts[i].component, Scale))
        if scales:
            group[rows] = len(groups)
            groups.append((columns, scales))
    return pieces, group, groups


@dataclass(frozen=True, slots=True, eq=False)
class KernelData:
    """What `likelihood.loglik_and_gradient` reads besides the parameters, in its order, and how those are made."""

    arrays: tuple[np.ndarray, ...]
    patterns: Patterns
    pieces: tuple[tuple[tuple[int, ...], int], ...]
    groups: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    @property
    def together(self) -> bool:
        """Whether propensities of a row are correlated given what is seen, which needs the kernels of `together`."""
        return bool(self.arrays[-1].any())


def kernel_data(layout: Layout, *, keep_empty_rows: bool = False, products: bool = True) -> KernelData:
    """Sort rows by pattern, append the columns of amounts inside the likelihood, and take the cross-products.

    Rows with nothing seen say nothing without an indicator; they are left out then unless `keep_empty_rows`.
    """
    pieces, group, groups = _model_rows(layout)
    x = np.hstack([layout.x, *(_amount_columns(layout, i, rows) for _, i, rows in pieces)])
    indicators = layout.indicators
    rows = np.arange(len(x)) if indicators or keep_empty_rows else np.flatnonzero(layout.seen.any(axis=1))
    seen = layout.seen[rows]
    patterns = group_rows(seen, group[rows])
    patterns = replace(patterns, order=rows[patterns.order])
    everything = cross_products(x, layout.y, patterns) if products else np.zeros((len(patterns.group), 0, 0))
    per_row = slice(None) if indicators or keep_empty_rows else slice(0)
    order = patterns.order[per_row]
    w = np.hstack([np.zeros((len(layout.y), 0)), *(i.w for i in indicators)])
    arrays = (
        everything,
        patterns.seen.astype(np.int64),
        patterns.group,
        patterns.start,
        _signs(indicators, patterns.seen),
        np.ascontiguousarray(x[order]),
        np.nan_to_num(layout.y[order]),
        np.ascontiguousarray(w[order]),
        np.concatenate([[0], np.cumsum([i.w.shape[1] for i in indicators])]).astype(np.int64),
        *_links(indicators),
        joint_propensities(indicators, patterns.seen),
    )
    return KernelData(
        arrays,
        patterns,
        tuple((tuple(sorted(c)), i) for c, i, _ in pieces),
        tuple((tuple(sorted(c)), tuple(sorted(s))) for c, s in groups),
    )


def _amount_columns(layout: Layout, i: int, rows: np.ndarray) -> np.ndarray:
    component = layout.model_amounts[i].component
    of_mean = isinstance(component, Scale) or component.unit == "percent"
    return np.where(rows[:, None], layout.x if of_mean else 1.0, 0.0)


def _signs(indicators: tuple[Indicator, ...], seen: np.ndarray) -> np.ndarray:
    one = [seen[:, i.column] if i.recorded else ~seen[:, i.column] for i in indicators]
    return np.where(np.array(one, dtype=bool).reshape(len(indicators), len(seen)).T, 1.0, -1.0)


def joint_propensities(indicators: tuple[Indicator, ...], seen: np.ndarray) -> np.ndarray:
    """Say which propensities are correlated given what is seen, for each row of a (G, p) mask: (G, K) of 0 and 1.

    They are those that read an unseen column, where several do: the unseen columns are correlated.
    """
    reads = np.zeros((len(indicators), seen.shape[1]), dtype=bool)
    for k, indicator in enumerate(indicators):
        reads[k, [indicator.column] if indicator.recorded else list(indicator.slopes)] = True
    unseen = (~seen[:, None, :] & reads).any(axis=2)
    return (unseen & (unseen.sum(axis=1, keepdims=True) > 1)).astype(np.int64)


def _links(indicators: tuple[Indicator, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    width = max((len(LINKS[i.link][0]) for i in indicators), default=1)
    weights, slopes = np.zeros((len(indicators), width)), np.ones((len(indicators), width))
    for k, indicator in enumerate(indicators):
        p, s = LINKS[indicator.link]
        weights[k, : len(p)], slopes[k, : len(s)] = p, s
    return weights, slopes, np.array([len(LINKS[i.link][0]) for i in indicators], dtype=np.int64)
