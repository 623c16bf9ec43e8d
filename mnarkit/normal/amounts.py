"""Amounts applied to filled cells after the fit: shifts and scales with `of="prediction"`."""

from typing import Any

import numpy as np

from mnarkit.errors import DataError
from mnarkit.normal.conditional import conditional_mean
from mnarkit.normal.layout import Amount, Layout
from mnarkit.normal.parameters import Parameters, residual_sd
from mnarkit.spec.pattern_mixture import Scale

__all__ = ["move"]


def move(y: np.ndarray, amount: Amount, value: float, parameters: Parameters, layout: Layout) -> None:
    """Apply one amount to its cells in place: added at the end, not carried over to the other cells of the row."""
    cells, j = amount.cells, amount.column
    if isinstance(amount.component, Scale):
        y[cells, j] *= value
        return
    match amount.component.unit:
        case "sd":
            distance: Any = value * residual_sd(parameters.cov, j, amount.predictors)
        case "sd_observed":
            distance = value * amount.sd_observed
        case "percent":
            mean = conditional_mean(layout.y, layout.x @ parameters.coef.T, parameters.cov)[0][cells, j]
            if np.any(mean <= 0):
                raise DataError(
                    f"{amount.component.column!r}: the conditional mean is not above 0 in {int(np.sum(mean <= 0))} of "
                    f"{len(mean)} rows, so percent has no meaning there; use unit='sd' or 'raw'"
                )
            distance = value / 100 * mean
        case _:
            distance = value
    y[cells, j] += distance
