"""Selection models as pattern mixtures, and back: one joint distribution of (y, missing) factored both ways."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from mnarkit.errors import SpecError
from mnarkit.families import LINKS

__all__ = ["Translation", "join_patterns", "selection_of_shift", "shift_of_selection", "split_by_missing"]


@dataclass(frozen=True, slots=True)
class Translation:
    """A selection model on a normal column, said as a pattern mixture.

    Attributes
    ----------
    share : float
        P(missing).
    mean_seen, mean_unseen, sd_seen, sd_unseen : float
        Of the column where it is seen and where it is not.
    shift : float
        mean_unseen - mean_seen, in the column's own unit: what a `Shift` of unit `raw` says.
    shift_sd : float
        The shift in units of the column's (residual) sd.
    """

    share: float
    mean_seen: float
    mean_unseen: float
    sd_seen: float
    sd_unseen: float
    shift: float
    shift_sd: float

    def __str__(self) -> str:
        return (
            f"missing {self.share:.1%}; mean {self.mean_seen:.4g} where seen and {self.mean_unseen:.4g} where not: "
            f"a shift of {self.shift:.3g} ({self.shift_sd:.2g} sd); sd {self.sd_seen:.3g} and {self.sd_unseen:.3g}"
        )


def shift_of_selection(mean: float, sd: float, intercept: float, slope: float, *, link: str = "probit") -> Translation:
    """E[y | missing] - E[y | seen] where y ~ N(mean, sd²) and P(missing | y) = link⁻¹(intercept + slope y).

    With covariates, take mean and intercept at given values of them: every row has a translation of its own.

    Parameters
    ----------
    mean, sd : float
        Of the column given its predictors, seen or not.
    intercept, slope : float
        Of the selection model.
    link : {"probit", "logit"}
        A logit is a mixture of eight probits, good to 3e-9.

    Returns
    -------
    Translation

    Raises
    ------
    SpecError
        An unknown link, or an sd that is not above 0.

    References
    ----------
    Little, R. & Rubin, D. (2019). Statistical Analysis with Missing Data, 3rd ed., section 15.2 (selection and
    pattern-mixture factorings).

    Examples
    --------
    >>> import mnarkit as mk
    >>> print(mk.shift_of_selection(0, 1, -0.5, 1.0))
    missing 36.2%; mean -0.4153 where seen and 0.7324 where not: a shift of 1.15 (1.1 sd); sd 0.851 and 0.804
    """
    if link not in LINKS:
        raise SpecError(f"the link of a selection model is 'probit' or 'logit', not {link!r}")
    if not sd > 0:
        raise SpecError(f"sd is a number above 0, not {sd!r}")
    share = first = second = 0.0
    for weight, factor in zip(*LINKS[link], strict=True):
        a, b = factor * intercept, factor * slope
        spread = np.sqrt(1.0 + (b * sd) ** 2)
        h, c = (a + b * mean) / spread, b * sd**2 / spread
        p, d = norm.cdf(h), norm.pdf(h)
        share += weight * p
        first += weight * c * d  # E[(y - mean) 1(missing)]
        second += weight * (sd**2 * p - c**2 * h * d)  # E[(y - mean)² 1(missing)]
    unseen, seen = first / share, -first / (1.0 - share)
    sds = np.sqrt(second / share - unseen**2), np.sqrt((sd**2 - second) / (1.0 - share) - seen**2)
    shift = unseen - seen
    numbers = (share, mean + seen, mean + unseen, sds[1], sds[0], shift, shift / sd)
    return Translation(*map(float, numbers))


def selection_of_shift(mean_seen: float, sd: float, shift: float, share: float) -> tuple[float, float]:
    """Intercept and slope of logit P(missing | y) where y is N(mean_seen, sd²) seen and N(mean_seen + shift, sd²) not.

    By Bayes' rule the log odds are linear in y if both have one sd: slope shift / sd², in sd of y the shift in sd. A
    probit cannot say the same exactly.

    Parameters
    ----------
    mean_seen, sd : float
        Of the column where it is seen (given its predictors), and the sd that both share.
    shift : float
        In the column's own unit.
    share : float
        P(missing), in (0, 1).

    Returns
    -------
    tuple of float
        Intercept and slope.

    Raises
    ------
    SpecError
        A share outside (0, 1), or an sd that is not above 0.

    Examples
    --------
    >>> import mnarkit as mk
    >>> intercept, slope = mk.selection_of_shift(0.0, 1.0, 0.5, 0.3)
    >>> round(intercept, 4), slope
    (-0.9723, 0.5)
    """
    if not 0 < share < 1:
        raise SpecError(f"share is P(missing), inside (0, 1), not {share!r}")
    if not sd > 0:
        raise SpecError(f"sd is a number above 0, not {sd!r}")
    slope = shift / sd**2
    return float(np.log(share / (1 - share)) - slope * (mean_seen + shift / 2)), float(slope)


def split_by_missing(probability: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """P(y | seen), P(y | missing) and P(missing) from P(y) and P(missing | y), over the values of a discrete y.

    References
    ----------
    van Buuren, S. (2018). Flexible Imputation of Missing Data, 2nd ed., Table 3.6.
    """
    probability, missing = np.asarray(probability, dtype=float), np.asarray(missing, dtype=float)
    unseen, seen = probability * missing, probability * (1 - missing)
    return seen / seen.sum(), unseen / unseen.sum(), float(unseen.sum() / probability.sum())


def join_patterns(seen: np.ndarray, unseen: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """P(y) and P(missing | y) from P(y | seen), P(y | missing) and P(missing): `split_by_missing` undone."""
    both = np.asarray(unseen, dtype=float) * share, np.asarray(seen, dtype=float) * (1 - share)
    total = both[0] + both[1]
    return total, both[0] / total
