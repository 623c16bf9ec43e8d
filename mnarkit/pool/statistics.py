"""D1 to D4: what m tests of k conditions say together, as formulas of arrays."""

import numpy as np

__all__ = ["Statistic", "d1", "d2", "d3", "d4", "large_sample", "reiter"]

type Statistic = tuple[float, float, float]  # the statistic, its second degrees of freedom, the increase in variance


def d1(values: np.ndarray, covariances: np.ndarray, df_complete: float | None) -> Statistic:
    """Q̄'Ū⁻¹Q̄ / (k (1 + r)), r = (1 + 1/m) tr(B Ū⁻¹) / k (Li, Raghunathan and Rubin 1991).

    Parameters
    ----------
    values, covariances : ndarray, shapes (m, k) and (m, k, k)
        What is 0 under the null, by imputation.
    df_complete : float or None
        Degrees of freedom of the complete data, for Reiter's (2007) second degrees of freedom.
    """
    m, k = values.shape
    mean, within = values.mean(axis=0), covariances.mean(axis=0)
    around = values - mean
    between = around.T @ around / (m - 1)
    riv = float((1 + 1 / m) * np.trace(np.linalg.solve(within, between)) / k)
    statistic = float(mean @ np.linalg.solve(within, mean)) / (k * (1 + riv))
    if df_complete is None or np.isinf(df_complete):
        return statistic, large_sample(riv, k, m), riv
    return statistic, reiter(riv, k, m, df_complete), riv


def d2(tests: np.ndarray, k: int) -> Statistic:
    """(d̄/k - (m + 1)/(m - 1) r) / (1 + r), r = (1 + 1/m) Var(√d) (Li, Meng, Raghunathan and Rubin 1991).

    Parameters
    ----------
    tests : ndarray, shape (m,)
        χ² statistics of the imputations.
    k : int
        Their degrees of freedom.
    """
    m = len(tests)
    riv = float((1 + 1 / m) * np.sqrt(tests).var(ddof=1))
    statistic = float((tests.mean() / k - (m + 1) / (m - 1) * riv) / (1 + riv))
    return statistic, k ** (-3 / m) * _rubin(riv, m - 1), riv


def d3(ratios: np.ndarray, common: np.ndarray, k: int) -> Statistic:
    """d̃ / (k (1 + r)), r = (m + 1)/(k (m - 1)) (d̄ - d̃) (Meng and Rubin 1992).

    Parameters
    ----------
    ratios : ndarray, shape (m,)
        Likelihood-ratio statistics, each at its own estimates; their mean is d̄.
    common : ndarray, shape (m,)
        The same at estimates pooled over the imputations; their mean is d̃.
    k : int
        The number of conditions.
    """
    m = len(ratios)
    riv = max(0.0, float((m + 1) / (k * (m - 1)) * (ratios.mean() - common.mean())))
    return float(common.mean()) / (k * (1 + riv)), large_sample(riv, k, m), riv


def d4(stacked: float, excess: float, k: int, h: int, m: int) -> Statistic:
    """d̂ / (k (1 + r)), r = (m + 1)/(h (m - 1)) · excess, df h (m - 1)(1 + 1/r)² (Chan and Meng 2022).

    Parameters
    ----------
    stacked : float
        d̂, twice the log likelihood ratio of the stacked tables, over m.
    excess : float
        Twice what the mean of the separate maxima is above the stacked one: of the larger model (robust), or of the
        likelihood ratio.
    k, h, m : int
        The conditions, what the excess has degrees of freedom per imputation, and the imputations.
    """
    riv = max(0.0, (m + 1) / (h * (m - 1)) * excess)
    return stacked / (k * (1 + riv)), _rubin(riv, h * (m - 1)), riv


def _rubin(riv: float, df: float) -> float:
    return df * (1 + 1 / riv) ** 2 if riv > 0 else np.inf


def large_sample(riv: float, k: int, m: int) -> float:
    """4 + (t - 4)(1 + (1 - 2/t)/r)² with t = k (m - 1), where t > 4; else t (1 + 1/k)(1 + 1/r)² / 2."""
    t = k * (m - 1)
    if riv <= 0:
        return np.inf
    return 4 + (t - 4) * (1 + (1 - 2 / t) / riv) ** 2 if t > 4 else t * (1 + 1 / k) * (1 + 1 / riv) ** 2 / 2


def reiter(riv: float, k: int, m: int, df_complete: float) -> float:
    """Second degrees of freedom of D1 in small samples (Reiter 2007, eq. 1 and 2); min(t, 4) where it has none."""
    t = k * (m - 1)
    complete = df_complete * (df_complete + 1) / (df_complete + 3)
    if t <= 4:
        return float(t)
    a = riv * t / (t - 2)
    c0, c1, c2 = 1 / (t - 4), complete - 2 * (1 + a), complete - 4 * (1 + a)
    if c2 <= 0:
        return 4.0
    inverse = 1 / c2 + c0 * (
        a**2 * c1 / ((1 + a) ** 2 * c2)
        + 8 * a**2 * c1 / ((1 + a) * c2**2)
        + 4 * a**2 / ((1 + a) * c2)
        + 4 * a**2 / (c2 * c1)
        + 16 * a**2 * c1 / c2**3
        + 8 * a**2 / c2**2
    )
    return 4 + 1 / inverse
