"""Whether the sampler reached its target: R-hat, effective sample sizes, divergences, energy."""

import arviz as az
import numpy as np
import xarray as xr

from mnarkit.diagnose.finding import Finding
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.fit import Fit

__all__ = ["sampler_findings"]

_RHAT = 1.01  # Vehtari et al. (2021), section 4
_ESS_PER_CHAIN = 100
_BFMI = 0.3  # Betancourt (2018), section 6.1


def sampler_findings(fit: Fit) -> tuple[Finding, ...]:
    """R-hat, bulk and tail effective sample sizes, divergences and energy, each with what to do about it.

    References
    ----------
    Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. & Bürkner, P.-C. (2021). Rank-normalization, folding, and
    localization: an improved R-hat. Bayesian Analysis 16, 667-718, sections 3-4.
    Betancourt, M. (2018). A conceptual introduction to Hamiltonian Monte Carlo. arXiv:1701.02434, section 6.1.
    """
    if fit.spec.restriction is not None:
        said = "drawn exactly, one independent of the other: there are no chains that could disagree"
        return (Finding("sampler", "independent draws", "draws", fit.n_draws, said),)
    named = scalars_of(fit.draws["posterior"].to_dataset())
    draws = xr.Dataset({name: (("chain", "draw"), values) for name, values in named.items()})
    chains = draws.sizes["chain"]
    return (
        _rhat(draws, chains),
        _ess(draws, chains, "bulk", "means and medians are coarse"),
        _ess(draws, chains, "tail", "ends of intervals are coarse"),
        *_divergences(fit),
        *_energy(fit),
    )


def _extreme(values: xr.Dataset, largest: bool) -> tuple[str, float]:
    each = {str(name): float(v) for name, v in values.data_vars.items() if np.isfinite(v)}
    if not each:
        return "no parameter", np.nan
    name = (max if largest else min)(each, key=lambda k: each[k])
    return name, each[name]


def _rhat(draws: xr.Dataset, chains: int) -> Finding:
    if chains < 2:
        said = "one chain cannot disagree with itself: sample at least two"
        return Finding("sampler", "R-hat", "R-hat", np.nan, said, True)
    name, value = _extreme(az.rhat(draws), largest=True)
    if not np.isfinite(value):
        return Finding("sampler", "R-hat", "R-hat", value, "cannot be computed: take more draws", True)
    bad = value > _RHAT
    said = (
        f"the chains disagree about {name}: do not use these draws; tune longer, and look for two explanations of the "
        "data (two modes)"
        if bad
        else f"the chains agree (largest: {name})"
    )
    return Finding("sampler", "R-hat", "R-hat", value, said, bad)


def _ess(draws: xr.Dataset, chains: int, method: str, cost: str) -> Finding:
    name, value = _extreme(az.ess(draws, method=method), largest=False)
    least = _ESS_PER_CHAIN * chains
    bad = not value >= least
    said = (
        f"{cost} for {name}: below {least}, {_ESS_PER_CHAIN} a chain; take more draws"
        if bad
        else f"enough (least: {name}); draws of unseen values are independent given the parameters"
    )
    return Finding("sampler", f"effective draws, {method}", "draws", value, said, bad)


def _divergences(fit: Fit) -> tuple[Finding, ...]:
    stats = fit.draws["sample_stats"].dataset
    if "diverging" not in stats:
        return ()
    count = int(stats["diverging"].sum())
    said = (
        f"{count} of {fit.n_draws} draws diverged: parts of the posterior were not reached; raise target_accept, or "
        "give narrower priors"
        if count
        else "none"
    )
    return (Finding("sampler", "divergences", "draws", count, said, count > 0),)


def _energy(fit: Fit) -> tuple[Finding, ...]:
    stats = fit.draws["sample_stats"].dataset
    if "energy" not in stats:
        return ()
    energy = stats["energy"].transpose("chain", "draw").values
    spread = energy.var(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(spread > 0, (np.diff(energy, axis=1) ** 2).mean(axis=1) / spread, np.nan)
    least = float(np.nanmin(each)) if np.isfinite(each).any() else np.nan
    bad = not least >= _BFMI
    said = (
        f"below {_BFMI}: the sampler moves slowly between likely and unlikely values, tails may be cut; tune longer, "
        "or give narrower priors"
        if bad
        else f"above {_BFMI}: momentum explores the whole range of energies"
    )
    return (Finding("sampler", "energy", "BFMI, least of the chains", least, said, bad),)
