"""Pictures of imputations and of estimates under several assumptions, as matplotlib figures."""

from mnarkit.plots.canvas import Canvas, save
from mnarkit.plots.forest import forest
from mnarkit.plots.values import recorded_imputed

__all__ = ["Canvas", "forest", "recorded_imputed", "save"]
