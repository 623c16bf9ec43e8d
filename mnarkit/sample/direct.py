"""Sampling without compiling: nutpie's NUTS on the extended normal's log posterior, whose kernels are compiled once."""

from collections.abc import Callable
from functools import partial

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.sample.nuts import NUTS, function_model, run_nuts
from mnarkit.sample.own import posterior_of
from mnarkit.sample.scalars import STUDENT
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.sample.start import start_of
from mnarkit.sample.target import Target
from mnarkit.sample.tidy import statistics_of

__all__ = ["draw_directly"]


def draw_directly(target: Target, data: IncompleteData, settings: Settings) -> Drawn:
    """Draw from a target; the kernels let go of the interpreter, so that chains run on as many cores as there are."""
    start = target.theta(start_of(target.spec, data, target.scaling, target.standard))
    model = function_model(target.size, target.function, _starting(target, start))
    tree = run_nuts(model, settings)
    stats = tree["sample_stats"].to_dataset()
    drawn = posterior_of(target, stats["unconstrained_draw"].values)
    return Drawn(drawn, statistics_of(tree), NUTS)


def _starting(target: Target, start: np.ndarray) -> Callable[[int], np.ndarray]:
    """Start the data model at its maximum under MAR, the rest near the middle of its prior, by the chain's seed."""
    kind, numbers, _ = target.scalars
    middle = np.where(kind <= STUDENT, numbers[:, 0], 0.0)
    return partial(_point, start, middle)


def _point(start: np.ndarray, middle: np.ndarray, seed: int) -> np.ndarray:
    jitter = np.random.default_rng(seed).uniform(-1, 1, len(start))
    return np.where(np.isnan(start), middle + jitter, start)
