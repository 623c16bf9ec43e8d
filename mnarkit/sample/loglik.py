"""The log likelihood of every row at every draw."""

import numpy as np
import xarray as xr

from mnarkit.fit import Fit, draw_parameters, stacked_draws
from mnarkit.normal.layout import Layout, kernel_data
from mnarkit.normal.likelihood import unit_loglik
from mnarkit.normal.parameters import kernel_parameters
from mnarkit.normal.together import unit_loglik_together

__all__ = ["add_loglik"]

_MOST = 50_000_000  # values kept: 400 MB


def add_loglik(fit: Fit, layout: Layout) -> None:
    """Fill the group `log_likelihood`, unless it is too large for memory, or unseen values are sampled.

    Its rows (`obs`, positions in the table) are those that say something: without an indicator, a row of which nothing
    is known has log likelihood 0 whatever the parameters are, and leave-one-out has no meaning for it.
    """
    n = fit.data.n
    if n * fit.n_draws > _MOST:
        return
    rows = kernel_data(layout, keep_empty_rows=True, products=False)
    if rows.crowd is not None:
        return
    by_row = unit_loglik_together if rows.together else unit_loglik
    draws = stacked_draws(fit)
    values, row = np.empty((fit.n_draws, n)), np.empty(n)
    for number in range(fit.n_draws):
        parameters, _ = draw_parameters(draws, layout, number)
        arguments = (*kernel_parameters(parameters, layout, rows), *rows.arrays[1:], row)
        by_row(*arguments)
        values[number, rows.patterns.order] = row
    sizes = fit.draws["posterior"].sizes
    speaks = np.ones(n, dtype=bool) if layout.indicators else layout.present.any(axis=1)
    shaped = values[:, speaks].reshape(sizes["chain"], sizes["draw"], -1)
    coords = {name: fit.draws["posterior"][name].values for name in ("chain", "draw")} | {"obs": np.flatnonzero(speaks)}
    fit.draws["log_likelihood"] = xr.DataTree(xr.Dataset({"unit": (("chain", "draw", "obs"), shaped)}, coords=coords))
