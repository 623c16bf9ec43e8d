"""log f(y_seen, r | θ) of any spec as a smooth function of one unconstrained vector, with its exact gradient.

θ = (coef, Cholesky factor of cov with the logarithm of its diagonal, free coefficients of each indicator, atanh ρ), on
standardised columns. The kernel gives the gradient in (B, S, A, D, c, t); from there to θ it is a small map whose
derivatives are taken by complex steps, exact and at no cost that grows with n.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lazy_loader
import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.em.names import IndicatorEstimate, coef_names, cov_names, pack_cov, unpack_cov
from mnarkit.normal.arms import each_cov
from mnarkit.normal.layout import Indicator, KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.scaling import Scaling, own_units_map, standardise
from mnarkit.priors import Prior, centre, prior_table
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.propensities import MOST_INTEGRATED, refuse_sampled
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec

__all__ = ["Coefficients", "Objective", "shown_indicator"]

# Numba takes seconds to import; describing and MAR do without it
_kernel: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.normal",
    submod_attrs={"likelihood": ["loglik_and_gradient"], "together": ["loglik_and_gradient_together"]},
)[0]
_TINY = 1e-30  # a complex step: no difference is taken, so it can be as small as numbers go


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """β = free_map @ φ + fixed: all coefficients of an indicator from its free ones φ, standardised.

    Attributes
    ----------
    own : (t, t) array
        Carries β to the columns' own units.
    rho : float or None
        A declared ρ.
    has_rho : bool
        Whether the indicator has an error correlation.
    """

    free_map: np.ndarray
    fixed: np.ndarray
    own: np.ndarray
    rho: float | None
    has_rho: bool

    @property
    def n_free(self) -> int:
        """Free coefficients and a free ρ."""
        return self.free_map.shape[1] + (self.has_rho and self.rho is None)

    @classmethod
    def of(
        cls, belief: Selection | Heckman | Dropout | SharedParameter, layout: Layout, scaling: Scaling, k: int
    ) -> "Coefficients":
        """Read the numbers that fix coefficients, in raw units."""
        indicator, own = layout.indicators[k], own_units_map(layout.indicators[k], scaling, k)
        declared = {n: v for n, v in prior_table(belief.priors).items() if not isinstance(v, Prior)}
        terms = indicator.terms
        free = [i for i, t in enumerate(terms) if t not in declared]
        free_map, fixed = np.eye(len(terms))[:, free], np.zeros(len(terms))
        for i, term in enumerate(terms):
            if term in declared and term != "Intercept":
                fixed[i] = declared[term] / own[i, i]
        if "Intercept" in declared:  # fixed in raw units: what the slopes carry there is taken off
            at = terms.index("Intercept")
            free_map[at] = -np.delete(own[at], at) @ np.delete(free_map, at, axis=0)
            fixed[at] = declared["Intercept"] - np.delete(own[at], at) @ np.delete(fixed, at)
        return cls(free_map, fixed, own, declared.get("rho"), isinstance(belief, Heckman))


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The likelihood of a spec on a table.

    Attributes
    ----------
    layout, standard, scaling : Layout, Layout, Scaling
        The table in own units, standardised, and how.
    rows : KernelData
        What the kernel reads.
    indicators : tuple of Coefficients
        One for each modelled indicator.
    amounts : tuple of float
        Those inside the likelihood, held.
    """

    layout: Layout
    standard: Layout
    scaling: Scaling
    rows: KernelData
    indicators: tuple[Coefficients, ...]
    amounts: tuple[float, ...]

    @classmethod
    def of(cls, spec: Spec, data: IncompleteData) -> "Objective":
        """Lay a spec out on a table that it fits."""
        refuse_sampled(spec, data, "maximum likelihood", MOST_INTEGRATED)
        layout = lay_out(spec, data, designs_of(spec, data))
        standard, scaling = standardise(layout)
        coefficients = tuple(Coefficients.of(b, standard, scaling, k) for k, b in enumerate(spec.selections))
        held = tuple(centre(a.declared) for a in standard.model_amounts)
        return cls(layout, standard, scaling, kernel_data(standard, most=MOST_INTEGRATED), coefficients, held)

    @property
    def shape(self) -> tuple[int, int]:
        """Modelled columns and terms of their predictors."""
        return len(self.layout.columns), len(self.layout.terms)

    @property
    def n_rows(self) -> int:
        """Rows in the likelihood."""
        return int(self.rows.patterns.count.sum())

    @property
    def size(self) -> int:
        """Free parameters."""
        return self._n_moments + sum(one.n_free for one in self.indicators)

    @property
    def _n_moments(self) -> int:
        """Free parameters of coefficients and covariance."""
        mean, spread = self._sizes
        return mean + spread * max(len(self.arms), 1)

    @property
    def arms(self) -> tuple[str, ...]:
        """The levels that have a covariance each."""
        return () if self.layout.arms is None else self.layout.arms.labels

    @property
    def _sizes(self) -> tuple[int, int]:
        """Free parameters of the mean, and of one covariance."""
        p, q = self.shape
        structure = self.layout.structure
        if structure is None:
            return p * q, p * (p + 1) // 2
        mean, shape, sd = structure.sizes(q)
        return mean, shape + sd

    def _each_arm(self, theta: np.ndarray) -> list[np.ndarray]:
        """Free parameters of the mean and one covariance, for every covariance."""
        mean, spread = self._sizes
        starts = range(mean, self._n_moments, spread)
        return [np.concatenate([theta[:mean], theta[at : at + spread]]) for at in starts]

    def _moments(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        made = [self._one_moments(one) for one in self._each_arm(theta)]
        return made[0][0], np.stack([cov for _, cov in made]) if self.arms else made[0][1]

    def _one_moments(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, q = self.shape
        if self.layout.structure is not None:
            return self.layout.structure.moments(self.layout.structure.from_free(theta, q))
        root = np.zeros((p, p), dtype=theta.dtype)
        root[np.tril_indices(p)] = theta[p * q :]
        root[np.diag_indices(p)] = np.exp(np.diag(root))
        return theta[: p * q].reshape(p, q), root @ root.T

    def parameters(self, theta: np.ndarray) -> Parameters:
        """Name the parts of θ, real or complex."""
        at = self._n_moments
        coef, cov = self._moments(theta[:at])
        betas, rhos = [], []
        for one in self.indicators:
            free = one.free_map.shape[1]
            betas.append(one.free_map @ theta[at : at + free] + one.fixed)
            at += free
            rhos.append(one.rho if one.rho is not None else np.tanh(theta[at]) if one.has_rho else None)
            at += one.has_rho and one.rho is None
        return Parameters(coef, cov, betas, rhos, self.amounts, self._random(theta))

    def _random(self, theta: np.ndarray) -> np.ndarray | None:
        """Covariance of the random terms that indicators read."""
        structure = self.layout.structure
        if structure is None or not self.standard.hidden:
            return None
        return structure.random(structure.from_free(theta[: self._n_moments], self.shape[1]))

    def theta(self, parameters: Parameters) -> np.ndarray:
        """Undo `parameters`; coefficients that are fixed are left out."""
        parts = [self._free_moments(np.asarray(parameters.coef), parameters.cov)]
        for one, beta, rho in zip(self.indicators, parameters.indicators, parameters.rho, strict=True):
            parts.append(np.linalg.lstsq(one.free_map, beta - one.fixed)[0])
            if one.has_rho and one.rho is None:
                parts.append(np.array([np.arctanh(rho)]))
        return np.concatenate(parts)

    def _free_moments(self, coef: np.ndarray, cov: np.ndarray) -> np.ndarray:
        """Free parameters of coefficients and covariances; of the nearest ones that a structure has."""
        (mean, _), each = self._sizes, [self._one_free_moments(coef, one) for one in each_cov(cov)]
        return np.concatenate([each[0][:mean], *(one[mean:] for one in each)])

    def _one_free_moments(self, coef: np.ndarray, cov: np.ndarray) -> np.ndarray:
        structure = self.layout.structure
        if structure is not None:
            return structure.to_free(structure.nearest(coef, cov))
        p, _ = self.shape
        root = np.linalg.cholesky(cov)
        root[np.diag_indices(p)] = np.log(np.diag(root))
        return np.concatenate([coef.ravel(), root[np.tril_indices(p)]])

    def loglik_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Take the log likelihood of the standardised columns, constant included, and ∂/∂θ, (k,)."""
        value, *slopes = self._kernel(theta)
        gradient = np.zeros(len(theta))
        if not np.isfinite(value):
            return -np.inf, gradient
        for k, step in enumerate(np.eye(len(theta)) * _TINY * 1j):
            moved = self._arguments(theta + step)
            gradient[k] = sum(np.sum(s * np.imag(m)) for s, m in zip(slopes, moved, strict=True)) / _TINY
        return float(value), gradient

    def loglik(self, theta: np.ndarray) -> float:
        """Take the log likelihood of the standardised columns."""
        return float(self._kernel(theta)[0])

    def _kernel(self, theta: np.ndarray) -> tuple[Any, ...]:
        """Value and gradient in the kernel's arguments; -inf alone where numbers can no longer say them."""
        arguments = self._arguments(theta)
        if not all(np.isfinite(a).all() for a in arguments):
            return (-np.inf,)
        name = "loglik_and_gradient_together" if self.rows.together else "loglik_and_gradient"
        return _kernel(name)(*arguments, *self.rows.arrays)

    def _arguments(self, theta: np.ndarray) -> tuple[np.ndarray, ...]:
        with np.errstate(over="ignore", invalid="ignore"):  # a line search may look beyond numbers: no likelihood there
            return kernel_parameters(self.parameters(theta), self.standard, self.rows)

    def hessian(self, theta: np.ndarray, step: float = 1e-5) -> np.ndarray:
        """∂²/∂θ∂θ' by central differences of the exact gradient, (k, k): good to step² times fourth derivatives."""
        each = [
            (self.loglik_and_gradient(theta + e)[1] - self.loglik_and_gradient(theta - e)[1]) / (2 * step)
            for e in step * np.eye(len(theta))
        ]
        made = np.stack(each)
        return (made + made.T) / 2

    @property
    def constant(self) -> float:
        """What the log likelihood of the columns' own units has besides that of the standardised ones."""
        return float(-np.log(self.scaling.scale) @ self.layout.seen.sum(axis=0))

    @property
    def names(self) -> list[str]:
        """Every parameter in the columns' own units, fixed ones included."""
        more = []
        for one, indicator in zip(self.indicators, self.layout.indicators, strict=True):
            name = shown_indicator(indicator, self.layout.columns)
            more += [f"{name} ~ {term}" for term in indicator.terms]
            more += [f"rho({self.layout.columns[indicator.column]})"] if one.has_rho else []
        more += [f"{self._of_structure[0]}: {name}" for name in self._of_structure[1]]
        covs = cov_names(self.layout.columns, self.arms)
        return [*coef_names(self.layout.columns, self.layout.terms), *covs, *more]

    @property
    def _of_structure(self) -> tuple[str, list[str]]:
        structure = self.layout.structure
        if structure is None:
            return "", []
        names = structure.names(self.layout.columns, self.layout.terms)
        return structure.kind, [f"{n}[{arm}]" for arm in self.arms for n in names] if self.arms else names

    def own(self, theta: np.ndarray) -> np.ndarray:
        """All parameters in the columns' own units, in the order of `names`; θ real or complex."""
        par, scale = self.parameters(theta), self.scaling.scale
        intercept = np.array([t == "Intercept" for t in self.layout.terms])
        coef = scale[:, None] * par.coef @ self.scaling.x_map.T + np.where(intercept, self.scaling.center[:, None], 0.0)
        parts = [coef.ravel(), pack_cov(par.cov * np.outer(scale, scale))]
        for one, beta, rho in zip(self.indicators, par.indicators, par.rho, strict=True):
            parts.append(one.own @ beta)
            parts += [np.array([rho])] if one.has_rho else []
        structure = self.layout.structure
        if structure is not None:
            for one in self._each_arm(theta):
                pieces = structure.from_free(one, self.shape[1])
                parts.append(structure.own(pieces, scale[0], self.scaling.center[0], self.scaling.x_map, intercept))
        return np.concatenate(parts)

    def own_slopes(self, theta: np.ndarray) -> np.ndarray:
        """∂own/∂θ by complex steps, (names, k)."""
        steps = np.eye(len(theta)) * _TINY * 1j
        return np.stack([np.imag(self.own(theta + step)) / _TINY for step in steps], axis=1)

    def estimates(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[IndicatorEstimate, ...]]:
        """Coefficients, covariance and indicators in the columns' own units."""
        (p, q), values = self.shape, self.own(theta)
        at = p * q + max(len(self.arms), 1) * (p * (p + 1) // 2)
        cov = unpack_cov(values[p * q : at], p, len(self.arms))
        made = []
        for one, indicator in zip(self.indicators, self.layout.indicators, strict=True):
            name, end = shown_indicator(indicator, self.layout.columns), at + len(indicator.terms)
            made.append(
                IndicatorEstimate(name, indicator.terms, values[at:end], float(values[end]) if one.has_rho else None)
            )
            at = end + one.has_rho
        if self.layout.structure is not None:
            made.append(IndicatorEstimate(self._of_structure[0], tuple(self._of_structure[1]), values[at:], None, ": "))
        return values[: p * q].reshape(p, q), cov, tuple(made)


def shown_indicator(indicator: Indicator, columns: tuple[str, ...]) -> str:
    """Call an indicator by the name that estimates have."""
    if indicator.hazard is not None:
        return indicator.name
    return f"{'recorded' if indicator.recorded else 'missing'}({columns[indicator.column]})"
