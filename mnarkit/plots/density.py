"""Smooth curves of how values are spread."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

__all__ = ["density", "enough", "grid"]

_POINTS = 512
_ENOUGH = 10  # values; fewer are drawn as points


def enough(values: np.ndarray) -> bool:
    """Say whether a curve tells more than a point for each value."""
    return len(values) >= _ENOUGH and np.ptp(values) > 0


def grid(values: np.ndarray) -> np.ndarray:
    """Lay 512 points over the values and a tenth more on each side."""
    margin = 0.1 * np.ptp(values) or 0.5
    return np.linspace(values.min() - margin, values.max() + margin, _POINTS)


def density(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Smooth counts on the grid with a normal kernel of Silverman's width (1986, eq. 3.31), by binning."""
    step = at[1] - at[0]
    counts = np.histogram(values, len(at), (at[0] - step / 2, at[-1] + step / 2))[0]
    quartiles = np.subtract(*np.percentile(values, [75, 25])) / 1.34
    sd = np.std(values, ddof=1)
    width = 0.9 * (min(sd, quartiles) if quartiles > 0 else sd) * len(values) ** -0.2
    return gaussian_filter1d(counts / (len(values) * step), width / step, mode="constant")
