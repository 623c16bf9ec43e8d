"""The log posterior of a factored spec and its gradient, as a function of one unconstrained vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnarkit.factored import arithmetic
from mnarkit.factored.columns import Coded
from mnarkit.factored.layout import Factor, Layout
from mnarkit.factored.likelihood import fixed_predictor
from mnarkit.factored.pieces import Cells, Coefficients, Cutpoints, Inside, Piece, Positive
from mnarkit.factored.random_part import RandomPart, draw_own_effects, effects_in_own_units, root_at
from mnarkit.factored.random_pieces import random_pieces
from mnarkit.factored.scaling import back_of, standardise, unconstrained_scale
from mnarkit.factored.slopes import indicator_slopes, slope_in_value, slopes
from mnarkit.families import DEFAULTS, FAMILIES
from mnarkit.priors import Prior, prior_table
from mnarkit.spec.engine import regressions_of
from mnarkit.spec.spec import Spec

__all__ = ["Posterior", "loglik_and_gradient", "posterior_of", "prior_of_term"]

_STEP = 1e-30
_NOTHING = -70.0  # log of a share that no sum in double precision can see
_COMPLEX = SimpleNamespace(
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log10", "log1p", "log2", "sqrt")},
    abs=lambda v: np.where(np.real(v) < 0, -v, v),
)


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Pieces of the vector by name, in its order, and the standardised layout that they are the parameters of."""

    layout: Layout
    pieces: Mapping[str, Piece]

    @property
    def size(self) -> int:
        """The length of the vector."""
        return sum(piece.size for piece in self.pieces.values())

    def values(self, theta: np.ndarray) -> tuple[dict[str, Any], float, dict[str, Any]]:
        """Parameters by name (coefficients on standardised columns), the log prior, and what `backward` needs."""
        made, logp, kept, start = {}, 0.0, {}, 0
        for name, piece in self.pieces.items():
            made[name], one, kept[name] = piece.forward(theta[start : start + piece.size])
            logp, start = logp + one, start + piece.size
        return made, logp, kept

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log posterior and gradient; -inf where numbers can no longer say it, as in a sampler's search of its step."""
        try:
            with np.errstate(all="ignore"):
                par, logp, kept = self.values(theta)
                value, gradient = loglik_and_gradient(self.layout, par)
                each = [piece.backward(kept[name], gradient[name]) for name, piece in self.pieces.items()]
        except ArithmeticError:  # a scale of 0, or a power beyond 1e308, among Python's own numbers
            return -np.inf, np.zeros(self.size)
        found = logp + value
        return (found, np.concatenate(each)) if np.isfinite(found) else (-np.inf, np.zeros(self.size))

    def own(self, theta: np.ndarray) -> dict[str, Any]:
        """Parameters and sampled cells in the columns' own units."""
        par, _, _ = self.values(theta)
        for factor in self.layout.factors:
            back = back_of(factor)
            par[factor.name] = par[factor.name] @ back.map.T + back.origin
            source = None if factor.shared is None else self.layout.factors[factor.shared.source].random
            if factor.shared is not None and source is not None:
                par[factor.name][factor.shared.places] /= factor.shared.sds(par, source)
            if factor.random is not None:
                effects_in_own_units(factor.random, factor.unit, par)
            cuts = f"cutpoints_{self.layout.columns[factor.column]}"
            if factor.family == "ordinal":
                par[cuts] = par[cuts] + par[factor.name] @ back.moved
        return par

    def effects(self, theta: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the random effects that were integrated out given all else, in own units, by name."""
        par, made = self.values(theta)[0], {}
        latent = [par.get(f"{c}_missing", np.zeros(0)) for c in self.layout.columns]
        for factor in (f for f in self.layout.factors if f.random is not None and f.random.marginal):
            random: Any = factor.random
            part = _Part(factor, self.layout, par, latent)
            y = np.log(part.y) if factor.family == "lognormal" else part.y
            sd = par[f"sd_{self.layout.columns[factor.column]}"]
            root = root_at(random, par)
            made[random.effects] = draw_own_effects(random, factor.unit, y - part.eta, sd, root, rng)
        return made


def posterior_of(spec: Spec, layout: Layout) -> Posterior:
    """Collect the free parameters of a spec that is laid out in own units."""
    standard = standardise(layout)
    declared = [r.priors for r in regressions_of(spec)] + [b.priors for b in spec.selections]
    pieces: dict[str, Piece] = {}
    for one, rows in zip(layout.coded, layout.latent, strict=True):
        if len(rows):
            pieces[f"{one.column}_missing"] = Cells(len(rows), *unconstrained_scale(one), one.bounds)
    for factor, items in zip(standard.factors, declared, strict=True):
        pieces |= _pieces(factor, layout.coded[factor.column], prior_table(items))
    return Posterior(standard, pieces)


def _pieces(factor: Factor, one: Coded, declared: dict[str, Any]) -> dict[str, Piece]:
    rows = len(one.levels or ()) - 1 if factor.family == "categorical" else 0
    each = [prior_of_term(factor, term, declared) for term in factor.terms]
    found: dict[str, Piece] = {factor.name: _coefficients(factor, each, rows)}
    for name in () if factor.of_indicator else FAMILIES[factor.family].auxiliary:
        found[f"{name}_{one.column}"] = _auxiliary(name, factor, one, declared.get(name, DEFAULTS.get(name)))
    if factor.random is not None:
        found |= random_pieces(factor.random, factor.unit, factor.link, declared)
    return found


def prior_of_term(factor: Factor, term: str, declared: dict[str, Any]) -> Prior | float:
    """Give the prior of a coefficient: by term for indicators, by kind for regressions; a number fixes it."""
    kind = "intercept" if term == "Intercept" else "coef"
    if factor.of_indicator:
        return declared.get(term, DEFAULTS[factor.link, "slope" if kind == "coef" else kind])
    default = kind if factor.link == "identity" else (factor.link, "slope" if kind == "coef" else kind)
    return declared.get(kind, DEFAULTS[default])


def _coefficients(factor: Factor, priors: list[Prior | float], rows: int) -> Coefficients:
    q = len(priors)
    held = {name: np.full(q, np.nan) for name in ("mean", "scale", "df", "low", "high", "fixed")}
    units = factor.scale / factor.unit
    for i, prior in enumerate(priors):
        if not isinstance(prior, Prior):
            held["fixed"][i] = prior * units[i]
            continue
        unit = units[i] if prior.unit == "raw" else 1.0
        first, second = (v * unit for v in prior.values[-2:])
        if prior.family == "uniform":
            held["low"][i], held["high"][i] = first, second
            continue
        held["mean"][i], held["scale"][i] = first, second
        held["df"][i] = prior.values[0] if prior.family == "student_t" else np.inf
    plain = bool(np.isnan(held["fixed"]).all() and np.isinf(held["df"]).all())
    whole: dict[str, Any] = {name: np.tile(v, max(rows, 1)) for name, v in held.items()}
    at = factor.terms.index("Intercept") if "Intercept" in factor.terms else None
    if at is None or np.isnan(held["fixed"][at]):
        return Coefficients((rows, q) if rows else (q,), **whole, plain=plain)
    return Coefficients((q,), **whole, intercept=at, carried=np.delete(back_of(factor).map[at], at))


def _auxiliary(name: str, factor: Factor, one: Coded, prior: Any) -> Piece:
    match name:
        case "cutpoints":
            return Cutpoints(len(one.levels or ()) - 1)
        case "spread":
            return Inside(*prior.values)
        case "skew":
            heavy, nan = prior.values[0] if prior.family == "student_t" else np.inf, np.full(1, np.nan)
            mean, scale = (np.full(1, v) for v in prior.values[-2:])
            return _Scalar((1,), mean, scale, np.full(1, heavy), nan, nan, nan)
        case "df":
            return Positive("gamma", *prior.values, offset=1.0)
    unit = factor.unit if name in ("sd", "scale") else 1.0
    raw = 1 / unit if prior.unit == "raw" else 1.0
    if prior.family == "half_normal":
        return Positive("half_normal", prior.values[0] * raw, 0.0, unit)
    return Positive("half_student_t", prior.values[0], prior.values[1] * raw, unit)


class _Scalar(Coefficients):
    """One coefficient, as a number."""

    def forward(self, u: np.ndarray) -> tuple[Any, float, Any]:
        """See `Piece`."""
        value, logp, kept = Coefficients.forward(self, u)
        return float(value[0]), logp, kept


def loglik_and_gradient(layout: Layout, par: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Log likelihood of a standardised layout, and its gradient in every parameter and sampled cell by name."""
    columns = layout.columns
    latent = [par.get(f"{c}_missing", np.zeros(0)) for c in columns]
    parts: list[_Part] = []
    for f in layout.factors:
        parts.append(_Part(f, layout, par, latent, None if f.shared is None else parts[f.shared.source].random))
    value = float(sum(p.value[: f.direct].sum() for p, f in zip(parts, layout.factors, strict=True)))
    weights = [np.concatenate([np.ones(f.direct), np.zeros(len(f.row) - f.direct)]) for f in layout.factors]
    padded = [np.append(p.value[f.direct :], 0.0) for p, f in zip(parts, layout.factors, strict=True)]
    for k in range(len(layout.blocks)):
        places = [f.maps[k].T for f in layout.factors]  # candidates first: sums over the short axis are slow
        joint = np.take(padded[0], places[0])
        for v, at in zip(padded[1:], places[1:], strict=True):
            joint += np.take(v, at)
        most = joint.max(axis=0)
        joint -= most
        share = np.where(joint < _NOTHING, 0.0, np.exp(joint))  # arithmetic on subnormal numbers is slow
        total = share.sum(axis=0)
        value += float(np.log(total).sum() + most.sum())
        share = (share / total).ravel()
        for w, f, at in zip(weights, layout.factors, places, strict=True):
            w[f.direct :] += np.bincount(at.ravel(), share, len(f.row) - f.direct + 1)[:-1]
    gradient: dict[str, Any] = {f"{c}_missing": np.zeros(len(v)) for c, v in zip(columns, latent, strict=True)}
    for part, w in zip(parts, weights, strict=True):
        part.add_to(gradient, w, par, latent)
    return value, gradient


class _Part:
    """One factor at a point: values on its own rows and what its gradient needs."""

    __slots__ = ("aux", "clusters", "d_aux", "d_eta", "eta", "factor", "layout", "random", "source", "value", "y")

    def __init__(
        self,
        factor: Factor,
        layout: Layout,
        par: Mapping[str, Any],
        latent: list[np.ndarray],
        source: RandomPart | None = None,
    ) -> None:
        self.factor, self.layout, self.y, self.aux, self.d_aux = factor, layout, factor.y, {}, {}
        self.eta = fixed_predictor(factor, par[factor.name], latent, layout.columns, arithmetic)
        self.clusters, self.random, self.source = None, None, source
        if factor.shared is not None and source is not None:
            self.eta = self.eta + factor.shared.predictor(par[factor.name], source.scaled(factor.shared, par))
        if factor.random is not None:
            self.random = RandomPart(factor.random, factor.unit, par)
            self.eta = self.eta + self.random.predictor()
        if factor.of_indicator:
            self.value, self.d_eta = indicator_slopes(factor.link, factor.y, self.eta)
            return
        column = layout.columns[factor.column]
        if len(factor.response_at):
            self.y = arithmetic.put(factor.y, factor.response_at, latent[factor.column][factor.response_cells])
        self.aux = {name: par[f"{name}_{column}"] for name in FAMILIES[factor.family].auxiliary}
        if self.random is not None and self.random.random.marginal:
            self._integrated(self.random)
            return
        value, self.d_eta, self.d_aux = slopes(factor.family, self.y, self.eta, self.aux, factor.bounds)
        self.value = value + factor.constant

    def _integrated(self, random: RandomPart) -> None:
        """Integrate the random effects out; the rows of a group share its density."""
        made = random.density(self.factor.family, self.y, self.eta, self.aux["sd"])
        self.clusters, self.d_eta, self.d_aux = made, made.d_eta, {"sd": made.d_sd}
        self.value = made.value - (np.log(self.y) if self.factor.family == "lognormal" else 0.0)

    def add_to(self, gradient: dict[str, Any], w: np.ndarray, par: Mapping[str, Any], latent: list[np.ndarray]) -> None:
        """Add this factor's share, its rows weighted by w."""
        factor, column = self.factor, self.layout.columns[self.factor.column]
        g = factor.unit * (self.d_eta * (w if self.d_eta.ndim == 1 else w[:, None]))
        # not by BLAS, whose threads cost more than they bring beside chains in parallel
        gradient[factor.name] = np.einsum("i,ij->j", g, factor.x) if g.ndim == 1 else g.T @ factor.x
        for name, each in self.d_aux.items():
            gradient[f"{name}_{column}"] = np.einsum("i,i...->...", w, each)
        if len(factor.response_at):
            at = factor.response_at
            slope = w[at] * self._slope_in_value(at)
            gradient[f"{column}_missing"] += np.bincount(
                factor.response_cells, slope, len(gradient[f"{column}_missing"])
            )
        if factor.inputs:
            self._through_curves(gradient, g[factor.curve_at], par, latent)
        if self.random is not None:
            self.random.add_to(gradient, g, par, self.clusters)
        if factor.shared is not None and self.source is not None:
            self.source.add_shared(gradient, g, par, factor.name, factor.shared)

    def _slope_in_value(self, at: np.ndarray) -> np.ndarray:
        """Derivative of the log density in sampled responses."""
        family, y = self.factor.family, self.y[at]
        if self.clusters is None:
            return slope_in_value(family, y, self.eta[at], self.aux, self.factor.bounds)
        return (-self.d_eta[at] - 1) / y if family == "lognormal" else -self.d_eta[at]

    def _through_curves(
        self, gradient: dict[str, Any], g: np.ndarray, par: Mapping[str, Any], latent: list[np.ndarray]
    ) -> None:
        """Chain through the columns of the design that read sampled cells; a complex step is exact for each."""
        factor, columns = self.factor, self.layout.columns
        held = {c: v for c, v in zip(columns, latent, strict=True) if len(v)}
        values = {
            i.column: arithmetic.put(i.base, i.at, held[i.column][i.cells]) if i.column in held else i.base
            for i in factor.inputs
        }
        at = [c.column for c in factor.curves]
        made = np.column_stack([factor.rest[:, k] * c.value(values, np) for k, c in enumerate(factor.curves)])
        gradient[factor.name][..., at] += g.T @ ((made - factor.center[at]) / factor.scale[at])
        on_made = (g @ par[factor.name][..., at] if g.ndim == 2 else np.outer(g, par[factor.name][at])) / factor.scale[
            at
        ]
        for one in (i for i in factor.inputs if len(i.at)):
            stepped = values | {one.column: values[one.column] + _STEP * 1j}
            slope = np.zeros(len(g))
            for k, curve in enumerate(factor.curves):
                if one.column in curve.reads:
                    slope += on_made[:, k] * factor.rest[:, k] * np.imag(curve.value(stepped, _COMPLEX)) / _STEP
            into = gradient[f"{one.column}_missing"]
            into += np.bincount(one.cells, slope[one.at], len(into))
