"""Pictures of holes, of imputations, and of estimates under several assumptions, as matplotlib figures."""

from mnarkit.plots.canvas import Canvas, save
from mnarkit.plots.diagnosis import prior_posterior, replicated_shares, replicated_values, sampler_energy
from mnarkit.plots.forest import forest
from mnarkit.plots.patterns import hole_patterns
from mnarkit.plots.rates import hole_rates
from mnarkit.plots.seen import seen_split
from mnarkit.plots.stress import sensitivity_curve, tipping_curve, tipping_map
from mnarkit.plots.values import recorded_imputed

__all__ = [
    "Canvas",
    "forest",
    "hole_patterns",
    "hole_rates",
    "prior_posterior",
    "recorded_imputed",
    "replicated_shares",
    "replicated_values",
    "sampler_energy",
    "save",
    "seen_split",
    "sensitivity_curve",
    "tipping_curve",
    "tipping_map",
]
