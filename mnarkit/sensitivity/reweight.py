"""Posterior draws carried from one held coefficient to another: an affine map between modes, importance weights."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from arviz_stats.base.array import array_stats
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from mnarkit.data import IncompleteData
from mnarkit.fit import Fit, draw_parameters, stacked_draws
from mnarkit.normal.arms import each_cov
from mnarkit.normal.correlation import partial_correlations
from mnarkit.sample.own import posterior_of
from mnarkit.sample.target import Target
from mnarkit.spec.spec import Spec

__all__ = ["Anchor", "Carried", "anchor_of", "carry", "fit_from"]

_ALIKE = 1e-6  # of log weights: rounding of the densities
_STEP = 1e-4  # of a difference of exact gradients: its error is the square of it times fourth derivatives


@dataclass(frozen=True, slots=True, eq=False)
class Hill:
    """A log posterior with its mode and the Cholesky factor of its inverse curvature there."""

    target: Target
    mode: np.ndarray
    root: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """Draws of a fit on the line, (S, k), with their log posterior density.

    Attributes
    ----------
    value : float
        Of the coefficient, raw.
    share : float
        Effective draws over draws.
    """

    value: float
    hill: Hill
    theta: np.ndarray
    density: np.ndarray
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Draws carried to another value, their weights, and whether to believe them."""

    target: Target
    theta: np.ndarray
    weights: np.ndarray
    k_hat: float
    ess: float

    def good(self, m: int) -> bool:
        """k̂ < min(1 - 1/log₁₀ S, 0.7) (Vehtari et al. 2024, section 3.2.4) and ESS of 20 draws an imputation."""
        least = min(1 - 1 / np.log10(len(self.theta)), 0.7)
        return bool(self.k_hat < least and self.ess >= 20 * m)


def anchor_of(value: float, target: Target, theta: np.ndarray, share: float) -> Anchor | None:
    """Make an anchor of draws; None where the density has no proper mode."""
    hill = _hill(target, theta.mean(axis=0))
    if hill is None:
        return None
    return Anchor(value, hill, theta, _densities(target, theta), share)


def carry(anchor: Anchor, spec: Spec, data: IncompleteData) -> Carried | None:
    """Carry draws by θ' = mode' + R' R⁻¹ (θ - mode), with weights p'(θ') |R'| / (p(θ) |R|), Pareto smoothed.

    p is prior times likelihood on the line, Jacobian of the constraints included, and R the Cholesky factor of the
    inverse curvature at the mode. None where that cannot be done.
    """
    target = Target.of(spec, data)
    if target is None or target.size != anchor.hill.target.size:
        return None
    hill = _hill(target, anchor.hill.mode)
    if hill is None:
        return None
    scaled = solve_triangular(anchor.hill.root, (anchor.theta - anchor.hill.mode).T, lower=True)
    theta = hill.mode + (hill.root @ scaled).T
    ratio = _densities(target, theta) - anchor.density
    weights, k_hat = _smoothed(np.where(np.isfinite(ratio), ratio, -1e300), anchor.share)
    return Carried(target, theta, weights, k_hat, float(anchor.share / np.sum(weights**2)))


def _smoothed(ratio: np.ndarray, share: float) -> tuple[np.ndarray, float]:
    """Pareto smoothed weights that sum to 1, and k̂; weights that are all alike need no smoothing, and have no tail."""
    ratio = ratio - ratio.max()
    k_hat = -np.inf
    if ratio.min() < -_ALIKE:
        with np.errstate(all="ignore"):
            # it takes the negative of log weights, as log likelihoods are to leave-one-out
            ratio, k_hat = array_stats.psislw(-ratio, r_eff=share)  # type: ignore[arg-type]
        ratio = ratio - ratio.max()
    weights = np.exp(ratio)
    return weights / weights.sum(), float(k_hat)


def fit_from(carried: Carried, spec: Spec, data: IncompleteData, seed: int) -> Fit:
    """Resample draws by their weights, systematically: the order is kept, and with it the common random numbers."""
    draws = len(carried.theta)
    start = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).random()
    edges = np.cumsum(carried.weights)
    chosen = np.minimum(np.searchsorted(edges / edges[-1], (np.arange(draws) + start) / draws), draws - 1)
    posterior = posterior_of(carried.target, carried.theta[None, chosen])
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"spec": spec.to_json(), "seed": seed, "ess_min": carried.ess}
    return Fit(spec, data, tree, seed, ("draws of another fit, reweighted",))


def on_line(target: Target, fit: Fit) -> np.ndarray | None:
    """Undo the naming of a fit's draws: (S, k) on the line; None for structured covariances."""
    if target.layout.structure is not None:
        return None
    draws = stacked_draws(fit)
    made = np.stack([_one(target, draws, number) for number in range(fit.n_draws)])
    return made if np.isfinite(made).all() else None


def _one(target: Target, draws: dict[str, np.ndarray], number: int) -> np.ndarray:
    parameters, amounts = draw_parameters(draws, target.layout, number)
    scaling = target.scaling
    intercept = np.array([t == "Intercept" for t in target.layout.terms])
    own = (np.asarray(parameters.coef) - np.where(intercept, scaling.center[:, None], 0.0)) / scaling.scale[:, None]
    covs = np.asarray(parameters.cov)
    sd = np.sqrt(np.diagonal(covs, axis1=-2, axis2=-1)) / scaling.scale
    named: dict[str, np.ndarray] = {"coef_z": np.linalg.solve(scaling.x_map, own.T).T, "sd_z": sd}
    if sd.shape[-1] > 1:
        named["partial_corr_z"] = (1 + np.stack([partial_correlations(c) for c in each_cov(covs)])) / 2
    for name, value in amounts.items():
        named[name] = np.asarray(value)
    pieces = zip(target.spec.selections, target.layout.indicators, target.equations, strict=True)
    for k, (belief, indicator, equation) in enumerate(pieces):
        beta = np.linalg.solve(equation.own, np.asarray(parameters.indicators[k]))
        free = np.linalg.lstsq(equation.free_map, beta - equation.fixed)[0]
        named |= _coefficients(target, indicator.name, free)
        if equation.rho is not None:
            rho = np.asarray(parameters.rho[k])
            named |= {f"rho_{belief.columns[0]}": rho, f"rho_{belief.columns[0]}_z": rho}
    return target.theta(named)


def _coefficients(target: Target, name: str, free: np.ndarray) -> dict[str, np.ndarray]:
    """The free coefficients of an indicator under the names of its blocks, one for all or one each."""
    mine = [b for b in target.blocks if b.name.startswith(f"{name}_") and b.name.endswith("_z")]
    mine = [b for b in mine if b.name == f"{name}_z"] or mine
    edges = np.cumsum([b.size for b in mine])[:-1]
    return {b.name: part for b, part in zip(mine, np.split(free, edges), strict=True)}


def _densities(target: Target, theta: np.ndarray) -> np.ndarray:
    density = target.function()
    return np.array([density(np.ascontiguousarray(point))[0] for point in theta])


def _hill(target: Target, start: np.ndarray) -> Hill | None:
    density = target.function()

    def down(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(theta)
        return (-value, -gradient) if np.isfinite(value) else (1e300, np.zeros_like(theta))

    found = minimize(down, start, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500})
    steps = _STEP * np.eye(len(start))
    curvature = np.stack([(down(found.x + e)[1] - down(found.x - e)[1]) / (2 * _STEP) for e in steps])
    try:
        spread = np.linalg.inv((curvature + curvature.T) / 2)
        return Hill(target, found.x, np.linalg.cholesky((spread + spread.T) / 2))
    except np.linalg.LinAlgError:
        return None
