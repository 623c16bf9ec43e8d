"""From estimates on other rows of a table to a variance: jackknife, and bootstrap followed by imputation."""

import numpy as np

__all__ = ["boot_impute", "jackknife"]


def jackknife(left: np.ndarray) -> np.ndarray:
    """(n - 1)/n Σ (θ̂₋ᵢ - mean)², by term, from the estimates without each row, (n, k).

    Efron & Tibshirani (1993). An Introduction to the Bootstrap, eq. 11.5.
    """
    n = len(left)
    return (n - 1) / n * np.square(left - left.mean(axis=0)).sum(axis=0)


def boot_impute(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, variance and degrees of freedom by term, from B bootstrap samples imputed M times, (B, M, k).

    With MSB and MSW the mean squares between and within samples, σ²_B = (MSB - MSW)/M and
    V = (1 + 1/B) σ²_B + MSW/(B M) (von Hippel & Bartlett 2021, the third of their formulas). Where MSB < MSW, σ²_B is 0
    and the squares are taken together, as the authors' program does.
    """
    b, m, _ = values.shape
    means = values.mean(axis=1)
    estimate = means.mean(axis=0)
    between = m * np.square(means - estimate).sum(axis=0)
    within = np.square(values - means[:, None]).sum(axis=(0, 1))
    msb, msw = between / (b - 1), within / (b * (m - 1))
    spread = np.maximum((msb - msw) / m, 0.0)
    residual = np.where(msb > msw, msw, (between + within) / (b * m - 1))
    variance = (1 + 1 / b) * spread + residual / (b * m)
    parts = ((b + 1) / (b * m)) ** 2 * msb**2 / (b - 1) + msw**2 / (b * m**2 * (m - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = np.maximum(variance**2 / parts, 3.0)  # below 3 it has no meaning, as the authors' program
    return estimate, variance, dof
