"""Draws from the prior under the names of the posterior, and the log prior of posterior draws."""

import numpy as np
import xarray as xr

from mnarkit.fit import Fit
from mnarkit.normal.correlation import partial_correlations
from mnarkit.sample.own import posterior_of
from mnarkit.sample.scalars import BETA, HALF_NORMAL, HALF_STUDENT, NORMAL, STUDENT, Block
from mnarkit.sample.target import Target

__all__ = ["log_prior_of", "prior_of"]


def prior_of(target: Target, draws: int, seed: int) -> xr.Dataset:
    """Draw every parameter from its prior, in the columns' own units, with the posterior's names and dims."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    theta = np.concatenate([_line(block, draws, rng) for block in target.blocks], axis=1)
    return posterior_of(target, theta[None])


def _line(block: Block, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the scalars of a block, on the line: (draws, k)."""
    a, b, df = block.numbers[:, 0], block.numbers[:, 1], np.maximum(block.numbers[:, 2], 1e-9)
    shape = draws, block.size
    normal, student = rng.standard_normal(shape), rng.standard_t(np.where(block.kind % 2 == 1, df, 1e8), shape)
    half = np.where(block.kind == HALF_NORMAL, np.abs(normal), np.abs(student)) * b
    uniform = rng.random(shape)
    beta = rng.beta(np.where(block.kind == BETA, a, 1.0), np.where(block.kind == BETA, b, 1.0), shape)
    share = np.clip(np.where(block.kind == BETA, beta, uniform), 1e-12, 1 - 1e-12)
    return np.select(
        [block.kind == NORMAL, block.kind == STUDENT, (block.kind == HALF_NORMAL) | (block.kind == HALF_STUDENT)],
        [a + b * normal, a + b * student, np.log(np.maximum(half, 1e-300))],
        np.log(share / (1 - share)),
    )


def log_prior_of(fit: Fit) -> np.ndarray | None:
    """Log prior of every draw up to a constant, (chains, draws); None where the sampler did not keep what it needs.

    It is the sampler's log density less the log likelihood of the rows and the Jacobian of standard deviations
    and partial correlations, which are sampled as logarithms and log odds.
    """
    stats = fit.draws["sample_stats"].dataset
    if "lp" not in stats or "log_likelihood" not in fit.draws.children:
        return None
    posterior = fit.draws["posterior"].to_dataset()
    loglik = fit.draws["log_likelihood"].to_dataset()["unit"].transpose("chain", "draw", "obs").values.sum(axis=2)
    made = stats["lp"].transpose("chain", "draw").values - loglik
    if "growth" in posterior or "lag_corr" in posterior:
        return made
    made = made - np.log(posterior["sd"].transpose("chain", "draw", ...).values.reshape(*made.shape, -1)).sum(axis=2)
    if "corr" in posterior:
        flat = posterior["corr"].transpose("chain", "draw", ...).values
        p = flat.shape[-1]
        each = np.array([partial_correlations(c) for c in flat.reshape(-1, p, p)])
        made = made - np.log((1 - each**2) / 4).reshape(*made.shape, -1).sum(axis=2)
    return made
