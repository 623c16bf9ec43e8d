"""How much of a selection equation the rest of it already says."""

import numpy as np
from scipy.special import log_ndtr

from mnarkit.diagnose.beliefs import Carrier
from mnarkit.fit import Fit, draw_parameters, stacked_draws
from mnarkit.normal.layout import designs_of, lay_out
from mnarkit.spec.events import fitted_table

__all__ = ["collinearity"]


def collinearity(fit: Fit, carrier: Carrier) -> float:
    """R² of what carries the belief on the other terms of its equation, at the posterior mean; 1 leaves shape alone.

    For a selection model: E[y | x] on the terms of the model of the indicator, all rows, or those of the group of a
    slope by group. For a Heckman model: the
    inverse Mills ratio on the terms of the data model, recorded rows. NaN for a
    dropout model, whose equations differ by wave.

    References
    ----------
    Leung, S. & Yu, S. (1996). On the choice between sample selection and two-part models. Journal of Econometrics 72,
    197-229, section 2.
    """
    data = fitted_table(fit.spec, fit.data)
    layout = lay_out(fit.spec, data, designs_of(fit.spec, data))
    indicator = layout.indicators[carrier.position]
    if indicator.hazard is not None:
        return float("nan")
    mean = {name: values.mean(axis=0)[None] for name, values in stacked_draws(fit).items()}
    at, _ = draw_parameters(mean, layout, 0)
    if not indicator.recorded:
        expected, rows = layout.x @ at.coef[layout.columns.index(carrier.column)], np.ones(len(layout.x), dtype=bool)
        if indicator.groups is not None:
            slope = indicator.terms.index(carrier.term) - indicator.w.shape[1]
            rows = indicator.groups.times[indicator.groups.code, slope] != 0
        return _r_squared(expected[rows], indicator.w[rows])
    seen = layout.seen[:, indicator.column]
    propensity = indicator.w[seen] @ np.asarray(at.indicators[carrier.position])
    mills = np.exp(-0.5 * propensity**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(propensity))
    return _r_squared(mills, layout.x[seen])


def _r_squared(y: np.ndarray, x: np.ndarray) -> float:
    total = np.sum((y - y.mean()) ** 2)
    if not total > 1e-12 * max(np.sum(y**2), 1e-300):
        return 1.0
    return float(1 - np.sum((y - x @ np.linalg.lstsq(x, y)[0]) ** 2) / total)
