"""Tables drawn from a fit of the extended normal: y around B x, then every indicator from its propensity."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from mnarkit.data import IncompleteData
from mnarkit.fit import Fit, draw_parameters, stacked_draws
from mnarkit.formula import parse
from mnarkit.normal.conditional import draw_unseen
from mnarkit.normal.hazard import leaving_wave
from mnarkit.normal.layout import Indicator, KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import kernel_parameters
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.engine import engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.missingness import MAR, Heckman, Selection
from mnarkit.spec.pattern_mixture import PatternMixture, Scale, Shift
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec

__all__ = ["hidden_holes", "is_plain", "normal_replicator"]

_KNOWN = (MAR, Selection, Heckman, Dropout, PatternMixture, Reference)


def normal_replicator(fit: Fit) -> "_Normal | None":
    """Make the replicator of a fit of the extended normal; None for beliefs whose tables are not drawn here."""
    if fit.spec.dropout is not None and fit.spec.dropout.death is not None:
        return None  # who dies, and when, has no model
    if any(term.holes for belief in fit.spec.selections for term in parse(belief.formula).terms):
        return None  # indicators that read others are drawn one after the other, which is not written
    if not is_plain(fit):
        return None
    table = fitted_table(fit.spec, fit.data)
    layout = lay_out(fit.spec, table, designs_of(fit.spec, table))
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    return _Normal(stacked_draws(fit), layout, rows, _hidden(layout))


def is_plain(fit: Fit) -> bool:
    """Whether a fit is of the extended normal with beliefs that are replicated here.

    Not with random terms in an indicator, limits, deaths, indicators that depend on others, restrictions, odds ratios.
    """
    amounts = [c for b in fit.spec.pattern_mixtures for c in b.components]
    known = all(isinstance(b, _KNOWN) for b in fit.spec.missingness)
    if (
        engine_of(fit.spec, fit.data).name != "normal"
        or not known
        or not all(isinstance(c, (Shift, Scale)) for c in amounts)
    ):
        return False
    table = fitted_table(fit.spec, fit.data)
    layout = lay_out(fit.spec, table, designs_of(fit.spec, table))
    others = any(i.beside or any(t.startswith("missing(") for t in i.terms) for i in layout.indicators)
    return not layout.hidden and layout.bounds is None and layout.death is None and not others


def hidden_holes(spec: Spec, data: IncompleteData) -> np.ndarray:
    """Where the table has holes of modelled columns that the spec models, (n, p) bool; the others are ignorable."""
    return _hidden(lay_out(spec, data, designs_of(spec, data)))


def _hidden(layout: Layout) -> np.ndarray:
    """Where the table has holes that the spec models, (n, p) bool."""
    hidden = np.zeros(layout.y.shape, dtype=bool)
    for indicator in layout.indicators:
        if indicator.hazard is None:
            hidden[:, indicator.column] |= ~layout.present[:, indicator.column]
        else:
            order = list(indicator.hazard.order)
            left = leaving_wave(layout.present[:, order])
            hidden[:, order] |= np.arange(len(order))[None, :] >= left[:, None]
    return hidden


@dataclass(frozen=True, slots=True, eq=False)
class _Normal:
    """The extended normal: y ~ N(Bx, S), then every indicator from its propensity."""

    draws: dict[str, np.ndarray]
    layout: Layout
    rows: KernelData
    hidden: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    @property
    def x(self) -> np.ndarray:
        return self.layout.x

    @property
    def modelled(self) -> np.ndarray:
        columns = np.zeros(len(self.layout.columns), dtype=bool)
        for indicator in self.layout.indicators:
            columns[[indicator.column] if indicator.hazard is None else list(indicator.hazard.order[1:])] = True
        return columns

    @property
    def constant(self) -> bool:
        return bool((self.layout.seen | self.hidden).all())

    def _arguments(self, number: int) -> tuple[np.ndarray, ...]:
        return kernel_parameters(draw_parameters(self.draws, self.layout, number)[0], self.layout, self.rows)

    def completed(self, number: int, rng: np.random.Generator) -> np.ndarray:
        y = self.layout.y
        full = y if self.constant else draw_unseen(self._arguments(number), self.rows, y, rng)
        return np.where(self.hidden, np.nan, full)

    def replicated(self, number: int, rng: np.random.Generator) -> np.ndarray:
        coef, covs, on_y, on_x, own, var = self._arguments(number)
        _, _, group, start, _, x, _, w, w_start, _, _, sizes, _ = self.rows.arrays
        y, each = x @ coef.T, np.repeat(group, np.diff(start))
        noise = rng.standard_normal(y.shape)
        for g, cov in enumerate(covs):
            y[each == g] += noise[each == g] @ np.linalg.cholesky(cov).T
        error = rng.random((len(y), len(sizes)))
        z = y @ on_y.T + x @ on_x.T
        for k, size in enumerate(sizes):
            mine = slice(w_start[k], w_start[k + 1])
            z[:, k] += w[:, mine] @ own[mine] + _error(error[:, k], var[k], size)
        made = np.empty_like(y)
        made[self.rows.patterns.order] = self._masked(y, z)
        empty = self.hidden.all(axis=1)  # nothing is at risk in a row in which nothing was ever recorded
        return np.where(empty[:, None] & self._by_dropout, np.nan, made)

    @property
    def _by_dropout(self) -> np.ndarray:
        columns = [j for i in self.layout.indicators if i.hazard is not None for j in i.hazard.order]
        return np.isin(np.arange(len(self.layout.columns)), columns)

    def _masked(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        out, first = y.copy(), 0
        for indicator in self.layout.indicators:
            mine, groups = z[:, first : first + indicator.n_rows], indicator.groups
            first += indicator.n_rows
            _mask(out, indicator, mine if groups is None else groups.own(mine, groups.code[self.rows.patterns.order]))
        return out


def _error(uniform: np.ndarray, var: float, size: int) -> np.ndarray:
    """Errors of a propensity: logistic where the link is a mixture of probits, else normal."""
    if size > 1:
        return np.log(uniform / (1 - uniform))
    return np.sqrt(var) * ndtri(uniform)


def _mask(y: np.ndarray, indicator: Indicator, z: np.ndarray) -> None:
    if indicator.hazard is None:
        y[(z[:, 0] > 0) != indicator.recorded, indicator.column] = np.nan
        return
    order, at = list(indicator.hazard.order), np.array(indicator.hazard.at)
    left = np.where((z > 0).any(axis=1), at[np.argmax(z > 0, axis=1)], len(order))
    after = np.arange(len(order))[None, :] >= left[:, None]
    y[:, order] = np.where(after, np.nan, y[:, order])
