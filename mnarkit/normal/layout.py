"""A spec laid out on a table: the arrays that both engines, the imputer and the predictive code read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.families import LINKS
from mnarkit.formula import Design, design, parse
from mnarkit.levels import Coding
from mnarkit.normal.arms import Arms, arms_of, coding_of
from mnarkit.normal.declared import Amount, amounts_of
from mnarkit.normal.hazard import leaving_wave
from mnarkit.normal.indicators import Indicator, beside, indicator_of
from mnarkit.normal.joint import crowded_rows, joint_propensities
from mnarkit.normal.limits import group_with_limits, limit_rows
from mnarkit.normal.patterns import Patterns, cross_products
from mnarkit.normal.structure import Structure, structure_of
from mnarkit.spec.bounds import Bounds, bounds_of, measured_table, present_cells
from mnarkit.spec.death import death_waves
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.pattern_mixture import Scale
from mnarkit.spec.propensities import MOST_SAMPLING
from mnarkit.spec.shared import RANDOM_TERMS, SharedParameter
from mnarkit.spec.slopes import Slopes, slopes_of
from mnarkit.spec.spec import Spec

__all__ = [
    "Amount",
    "Designs",
    "Indicator",
    "Layout",
    "amounts_of",
    "designs_of",
    "kernel_data",
    "lay_out",
]


@dataclass(frozen=True, slots=True, eq=False)
class Designs:
    """The predictors' columns, of the data model and of each indicator; they can be rebuilt for new rows.

    Attributes
    ----------
    slopes : tuple of Slopes
        Of each indicator, on unseen values.
    leaving : tuple of int
        The waves, by position, at which a dropout model has a hazard.
    """

    model: Design
    indicators: tuple[Design, ...]
    slopes: tuple[Slopes, ...]
    recorded_sd: tuple[float, ...]
    leaving: tuple[int, ...] = ()
    arms: Coding | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Arrays of one spec on one table, in the columns' own units or standardised.

    Attributes
    ----------
    y, x : (n, p), (n, q) arrays
        Modelled columns (NaN where unseen) and the predictors of the data model.
    center, scale : (p,) arrays
        y is (value - center) / scale; 0 and 1 in the columns' own units.
    structure : Structure or None
        Of coefficients and covariance; all columns are then standardised alike.
    bounds : Bounds or None
        Of cells known up to limits.
    death : (n,) array or None
        The first wave of the dropout model after death.
    arms : Arms or None
        The level of each row, where every level has a covariance of its own.
    """

    columns: tuple[str, ...]
    terms: tuple[str, ...]
    y: np.ndarray
    x: np.ndarray
    indicators: tuple[Indicator, ...]
    amounts: tuple[Amount, ...]
    center: np.ndarray
    scale: np.ndarray
    structure: Structure | None = None
    bounds: Bounds | None = None
    death: np.ndarray | None = None
    arms: Arms | None = None

    @property
    def hidden(self) -> int:
        """How many random terms the kernel has as columns, after the modelled ones; nobody sees them."""
        return max((i.hazard.hidden for i in self.indicators if i.hazard is not None), default=0)

    @property
    def seen(self) -> np.ndarray:
        """Which modelled cells are recorded, (n, p)."""
        return ~np.isnan(self.y)

    @property
    def present(self) -> np.ndarray:
        """Which modelled cells were measured, (n, p): recorded, or known up to limits."""
        return self.seen if self.bounds is None else self.seen | self.bounds.cells

    @property
    def limited_columns(self) -> tuple[int, ...]:
        """The modelled columns with a cell that is known up to limits; each is a row of the kernel after indicators."""
        return limit_rows(self.bounds, 0).columns

    @property
    def model_amounts(self) -> tuple[Amount, ...]:
        """The amounts that stand inside the likelihood."""
        return tuple(a for a in self.amounts if a.component.of == "model")


def designs_of(spec: Spec, data: IncompleteData) -> Designs:
    """Build the design of the data model and of each indicator on the table of the fit."""
    modelled, measured = spec.model.columns, measured_table(spec, data)
    waves = next((b for b in spec.selections if isinstance(b, (Dropout, SharedParameter))), None)
    return Designs(
        design(spec.model.predictors, data),
        tuple(design(parse(b.formula), measured, leave_out=_unseen_names(b, modelled)) for b in spec.selections),
        tuple(slopes_of(parse(b.formula), measured, _unseen_names(b, modelled)) for b in spec.selections),
        tuple(float(np.nanstd(data.number(c), ddof=1)) if data.seen(c).sum() > 1 else np.nan for c in modelled),
        () if waves is None else leaving_waves(waves, modelled, present_cells(spec, data), _deaths(spec, data)),
        coding_of(spec.model, data),
    )


def _unseen_names(
    belief: Selection | Heckman | Dropout | SharedParameter, modelled: tuple[str, ...]
) -> tuple[str, ...]:
    if isinstance(belief, SharedParameter):
        return RANDOM_TERMS
    return (PREVIOUS, CURRENT) if isinstance(belief, Dropout) else modelled


def _deaths(spec: Spec, data: IncompleteData) -> np.ndarray | None:
    return None if spec.dropout is None else death_waves(spec.dropout, data)


def leaving_waves(
    belief: Dropout | SharedParameter, modelled: tuple[str, ...], present: np.ndarray, death: np.ndarray | None
) -> tuple[int, ...]:
    """Find the waves with a hazard: all but the first; with own intercepts, those at which somebody leaves.

    Of every hole: all waves; with own intercepts, those that some rows have and some lack.
    """
    seen = present[:, [modelled.index(c) for c in belief.waves]]
    every_hole = isinstance(belief, SharedParameter) and belief.of == "missing"
    waves = range(0 if every_hole else 1, len(belief.waves))
    if "Intercept" not in belief.by_wave:
        return tuple(waves)
    if every_hole:
        return tuple(t for t in waves if 0 < seen[:, t].sum() < len(seen))
    left = leaving_wave(seen, death)
    return tuple(t for t in waves if (left == t).any())


def lay_out(spec: Spec, data: IncompleteData, designs: Designs) -> Layout:
    """Lay a spec out on a table, in the columns' own units; the table may hold other rows than the fit's."""
    columns = spec.model.columns
    y = np.column_stack([_values(data, c) for c in columns])
    p, measured = len(columns), measured_table(spec, data)
    return Layout(
        columns=columns,
        terms=designs.model.names,
        y=y,
        x=designs.model.rebuild(data),
        indicators=tuple(
            beside(spec, indicator_of(b, d, s, spec.model, measured, designs.leaving))
            for b, d, s in zip(spec.selections, designs.indicators, designs.slopes, strict=True)
        ),
        amounts=amounts_of(spec, data, designs.recorded_sd),
        center=np.zeros(p),
        scale=np.ones(p),
        structure=structure_of(spec.model),
        bounds=bounds_of(spec, data) if spec.limits else None,
        death=_deaths(spec, data),
        arms=arms_of(designs.arms, data),
    )


def _values(data: IncompleteData, column: str) -> np.ndarray:
    """Read a column as numbers; new rows may have nothing recorded in it."""
    return data.number(column) if data.seen(column).any() else np.full(data.n, np.nan)


def _model_rows(
    layout: Layout,
) -> tuple[list[tuple[frozenset[int], int, np.ndarray]], np.ndarray, list[tuple[frozenset[int], frozenset[int]]]]:
    """Rows of each (moved columns and their predictors, amount), the covariance group of each row, and the groups."""
    amounts = layout.model_amounts
    n = len(layout.y)
    group = np.zeros(n, dtype=np.int64) if layout.arms is None else layout.arms.code
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
    """What `likelihood.loglik_and_gradient` reads besides the parameters, in its order, and how those are made.

    The last rows of the kernel are those of the `limited` columns; `crowd` are those of the table whose unseen values
    are sampled, as `joint.crowded_rows` takes them.
    """

    arrays: tuple[np.ndarray, ...]
    patterns: Patterns
    pieces: tuple[tuple[tuple[int, ...], int], ...]
    groups: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    limited: tuple[int, ...] = ()
    crowd: tuple[np.ndarray, ...] | None = None

    @property
    def together(self) -> bool:
        """Whether propensities of a row are correlated given what is seen, which needs the kernels of `together`."""
        return bool(self.arrays[-1].any())


def kernel_data(
    layout: Layout, *, keep_empty_rows: bool = False, products: bool = True, most: int = MOST_SAMPLING
) -> KernelData:
    """Sort rows by pattern, append the columns of amounts inside the likelihood, and take the cross-products.

    Rows with nothing seen say nothing without an indicator; they are left out then unless `keep_empty_rows`.
    Of rows with more than `most` correlated propensities the unseen values are sampled.
    """
    pieces, group, groups = _model_rows(layout)
    x = np.hstack([layout.x, *(_amount_columns(layout, i, rows) for _, i, rows in pieces)])
    indicators, known = layout.indicators, limit_rows(layout.bounds, len(x))
    every = keep_empty_rows or bool(indicators) or bool(known.columns)
    rows = np.arange(len(x)) if every else np.flatnonzero(layout.seen.any(axis=1))
    y = np.hstack([layout.y, np.full((len(x), layout.hidden), np.nan)])
    coded = [i.groups.code for i in indicators if i.groups is not None]
    keys = np.column_stack([known.sign, *([] if layout.death is None else [layout.death]), *coded])
    patterns, key = group_with_limits(~np.isnan(y[rows]), group[rows], keys[rows])
    limit_sign, codes = key[:, : len(known.columns)], iter(key.T[keys.shape[1] - len(coded) :])
    death = None if layout.death is None else key[:, len(known.columns)]
    patterns = replace(patterns, order=rows[patterns.order])
    everything = cross_products(x, y, patterns) if products else np.zeros((len(patterns.group), 0, 0))
    order = patterns.order[slice(None) if every else slice(0)]
    each = [*(i.w for i in indicators for _ in range(i.n_rows)), *known.w]
    w = np.hstack([np.zeros((len(layout.y), 0)), *each])
    present = patterns.seen.copy()
    present[:, list(known.columns)] |= limit_sign != 0
    own = [None if i.groups is None else next(codes) for i in indicators]
    sign = np.hstack([*(i.signs(present, death, g) for i, g in zip(indicators, own, strict=True)), limit_sign])
    reading = _reading(indicators, known.columns, y.shape[1])
    links = [*(i.link for i in indicators for _ in range(i.n_rows)), *("probit" for _ in known.columns)]
    hidden = np.array(
        [i.random for i in indicators for _ in range(i.n_rows)] + [False] * len(known.columns), dtype=bool
    )
    logit, limit = np.array(links) == "logit", np.arange(len(links)) >= len(links) - len(known.columns)
    arrays = (
        everything,
        patterns.seen.astype(np.int64),
        patterns.group,
        patterns.start,
        sign,
        np.ascontiguousarray(x[order]),
        np.nan_to_num(y[order]),
        np.ascontiguousarray(w[order]),
        np.concatenate([[0], np.cumsum([one.shape[1] for one in each])]).astype(np.int64),
        *_links(links),
        joint_propensities(reading, sign, patterns.seen, (hidden, logit, limit), most),
    )
    return KernelData(
        arrays,
        patterns,
        tuple((tuple(sorted(c)), i) for c, i, _ in pieces),
        tuple((tuple(sorted(c)), tuple(sorted(s))) for c, s in groups),
        known.columns,
        crowded_rows(arrays, reading),
    )


def _amount_columns(layout: Layout, i: int, rows: np.ndarray) -> np.ndarray:
    amount = layout.model_amounts[i]
    of_mean = isinstance(amount.component, Scale) or amount.component.unit == "percent"
    return np.where(rows, amount.times, 0.0)[:, None] * (layout.x if of_mean else 1.0)


def _reading(indicators: tuple[Indicator, ...], limited: tuple[int, ...], p: int) -> np.ndarray:
    """Say which columns each row of the kernel depends on, (K, p)."""
    reads = [*(columns for i in indicators for columns in i.reads), *((j,) for j in limited)]
    return np.array([[j in columns for j in range(p)] for columns in reads], dtype=bool).reshape(len(reads), p)


def _links(links: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mixtures = [LINKS[link] for link in links]
    width = max((len(p) for p, _ in mixtures), default=1)
    weights, slopes = np.zeros((len(mixtures), width)), np.ones((len(mixtures), width))
    for k, (p, s) in enumerate(mixtures):
        weights[k, : len(p)], slopes[k, : len(s)] = p, s
    return weights, slopes, np.array([len(p) for p, _ in mixtures], dtype=np.int64)
