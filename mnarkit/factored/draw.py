"""Unseen cells given one draw of the parameters: those summed by their weights, leaves by their predictive."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from mnarkit.factored import arithmetic
from mnarkit.factored.columns import Coded
from mnarkit.factored.density import log_density
from mnarkit.factored.layout import Layout
from mnarkit.factored.likelihood import candidate_densities
from mnarkit.factored.points import auxiliary, draw_block, predictor_at

__all__ = ["draw_family", "draw_unseen", "level_probabilities", "mean_and_sd"]


def draw_unseen(
    layout: Layout, par: Mapping[str, Any], latent: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Complete the modelled columns, (n, p), as numbers and codes; and the weights of the candidates of each block.

    Sampled cells come from the draw; the summed cells of a row jointly, from their probabilities given all that is
    seen, between the points of their sums too; leaves one column after another, from their family given the row as
    completed so far.
    """
    like = zip(layout.coded, layout.designs.coded, strict=True)
    numbers = np.column_stack([np.where(c.seen, c.values, _inside(fitted)) for c, fitted in like])
    for j, rows in enumerate(layout.latent):
        numbers[rows, j] = latent[j]
    joint = candidate_densities(layout, par, latent)
    every = [np.exp(j - arithmetic.log_sum_exp(j)[:, None]) for j in joint]
    for block, logs, weights in zip(layout.blocks, joint, every, strict=True):
        draw_block(layout, par, numbers, block, logs, weights, rng)
    for j, one in enumerate(layout.coded):
        rows = np.flatnonzero(layout.roles.leaf[:, j])
        if len(rows):
            numbers[rows, j] = draw_family(one, predictor_at(layout, j, rows, numbers, par), auxiliary(one, par), rng)
    return numbers, every


def level_probabilities(
    layout: Layout,
    j: int,
    rows: np.ndarray,
    numbers: np.ndarray,
    par: Mapping[str, Any],
    weights: Sequence[np.ndarray],
) -> np.ndarray:
    """Give the probabilities of the levels of column j from which its cells in `rows` were drawn: (rows, K)."""
    one = layout.coded[j]
    made = np.zeros((layout.data.n, len(one.levels or ())))
    for block, w in zip(layout.blocks, weights, strict=True):
        for level in range(made.shape[1]):
            made[block.rows, level] = (w * (block.candidates[:, :, j] == level)).sum(axis=1)
    leaf = np.intersect1d(rows, np.flatnonzero(layout.roles.leaf[:, j]))
    if len(leaf):
        eta, aux = predictor_at(layout, j, leaf, numbers, par), auxiliary(one, par)
        codes = np.arange(made.shape[1], dtype=np.float64)
        each = [log_density(one.family.name, np.full(len(leaf), c), eta, aux, one.bounds, arithmetic) for c in codes]
        made[leaf] = np.exp(np.column_stack(each))
    return made[rows]


def draw_family(one: Coded, eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Draw from the family of a column given its linear predictor, as numbers or codes, (N,)."""
    if one.family.name == "beta":
        low, high = one.bounds
        return low + (high - low) * _beta(eta, aux, rng)
    return _DRAWS[one.family.name](eta, aux, rng)


def _student_t(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    return eta + aux["scale"] * rng.standard_t(aux["df"], len(eta))


def _skew_normal(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    delta = aux["skew"] / np.sqrt(1 + aux["skew"] ** 2)
    omega = aux["sd"] / np.sqrt(1 - 2 / np.pi * delta**2)
    half, free = np.abs(rng.standard_normal(len(eta))), rng.standard_normal(len(eta))
    return eta + omega * (delta * (half - np.sqrt(2 / np.pi)) + np.sqrt(1 - delta**2) * free)


def _ordinal(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    latent = eta + rng.logistic(size=len(eta))
    return (latent[:, None] > aux["cutpoints"]).sum(axis=1).astype(np.float64)


def _categorical(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    every = np.column_stack([np.zeros(len(eta)), eta])
    return np.argmax(every + rng.gumbel(size=every.shape), axis=1).astype(np.float64)


def _negative_binomial(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    shape = aux["cv"] ** -2.0
    return rng.poisson(np.exp(eta) * rng.gamma(shape, 1 / shape, len(eta))).astype(np.float64)


def _gamma(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    shape = aux["cv"] ** -2.0
    return np.maximum(np.exp(eta) * rng.gamma(shape, 1 / shape, len(eta)), np.finfo(float).tiny)


def _beta(eta: np.ndarray, aux: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    precision = aux["spread"] ** -2.0 - 1
    drawn = rng.beta(precision * special.expit(eta), precision * special.expit(-eta))
    return np.clip(drawn, 1e-12, 1 - 1e-12)


_DRAWS: Mapping[str, Callable[[np.ndarray, Mapping[str, Any], np.random.Generator], np.ndarray]] = {
    "normal": lambda eta, aux, rng: eta + aux["sd"] * rng.standard_normal(len(eta)),
    "lognormal": lambda eta, aux, rng: np.exp(eta + aux["sd"] * rng.standard_normal(len(eta))),
    "student_t": _student_t,
    "skew_normal": _skew_normal,
    "bernoulli": lambda eta, aux, rng: (rng.random(len(eta)) < special.expit(eta)).astype(np.float64),
    "ordinal": _ordinal,
    "categorical": _categorical,
    "poisson": lambda eta, aux, rng: rng.poisson(np.exp(eta)).astype(np.float64),
    "negative_binomial": _negative_binomial,
    "gamma": _gamma,
}


def mean_and_sd(one: Coded, eta: np.ndarray, aux: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of a continuous column given its predictors; an infinite sd is given as such."""
    match one.family.name:
        case "lognormal":
            mean = np.exp(eta + aux["sd"] ** 2 / 2)
            return mean, mean * np.sqrt(np.expm1(aux["sd"] ** 2))
        case "gamma":
            return np.exp(eta), aux["cv"] * np.exp(eta)
        case "beta":
            low, high = one.bounds
            mean = special.expit(eta)
            return low + (high - low) * mean, (high - low) * aux["spread"] * np.sqrt(mean * (1 - mean))
        case "student_t":
            df = aux["df"]
            return eta, np.full(len(eta), aux["scale"] * np.sqrt(df / (df - 2)) if df > 2 else np.inf)
    return eta, np.full(len(eta), aux["sd"])


def _inside(one: Coded) -> float:
    return float(np.nanmedian(one.values)) if not one.family.discrete else float(one.values[one.seen][0])
