"""elicit: from what somebody believes in words to a prior with a unit and a sentence."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import optimize, stats

from mnarkit.errors import SpecError
from mnarkit.priors import Prior

__all__ = ["ELICITED_UNITS", "Elicited", "elicit"]

ELICITED_UNITS = ("sd", "sd_observed", "raw", "percent", "factor", "log odds ratio")
_EVEN = 0.01  # of the interval's width: how far its middle may lie from the best guess and still be called even


@dataclass(frozen=True, slots=True)
class Elicited:
    """A prior of an amount, with the unit in which it was asked and what it says in words.

    Attributes
    ----------
    prior : Prior
        What `Shift`, `Scale` and `OddsRatio` take.
    unit : str
        The unit of the amount.
    sentence : str
        The statement and the prior that it became; it can go into `because=`.
    mismatch : str
        Where the prior cannot say what was said; empty if it can.
    """

    prior: Prior
    unit: str
    sentence: str
    mismatch: str = ""

    def __str__(self) -> str:
        return f"{self.sentence}; {self.mismatch}" if self.mismatch else self.sentence


def elicit(
    best: float,
    *,
    unit: str,
    bound: float | None = None,
    interval: tuple[float, float] | None = None,
    sure: float = 0.95,
    family: Literal["normal", "student_t"] = "normal",
    df: float = 4.0,
    uneven: Literal["refuse", "match"] = "refuse",
) -> Elicited:
    """Match a symmetric prior to a best guess (its median) and one bound or an interval with its probability.

    "About 20 % lower, surely not more than 40 % lower" is `elicit(-20, bound=-40, unit="percent")`.

    Parameters
    ----------
    best : float
        The best guess.
    unit : {"sd", "sd_observed", "raw", "percent", "factor", "log odds ratio"}
        Of all numbers here: the first four for `Shift`, `factor` for `Scale`, the last for `OddsRatio`.
    bound : float, optional
        P(not beyond it) is `sure`; it lies above or below the best guess.
    interval : (float, float), optional
        P(inside) is `sure`, half of the rest on either side. Give a bound or an interval.
    sure : float
        A probability in (0.5, 1).
    family : {"normal", "student_t"}
        Student's t has longer tails: it leaves more room for a surprise beyond the bound.
    df : float
        Degrees of freedom of `student_t`.
    uneven : {"refuse", "match"}
        What to do with an interval of which the best guess is not the middle: refuse it, or keep the best guess and the
        probability inside, and say how the rest then divides.

    Returns
    -------
    Elicited
        Goes straight into an amount: `Shift("y", elicit(...))` takes its unit too.

    Raises
    ------
    SpecError
        Numbers that contradict each other, with the way on.

    References
    ----------
    O'Hagan, A. et al. (2006). Uncertain Judgements: Eliciting Experts' Probabilities. Wiley, chapter 6.
    Mason, A. et al. (2017). Development of a practical approach to expert elicitation for randomised controlled trials
    with missing health outcomes: Application to the IMPROVE trial. Clinical Trials 14, 357-367.

    Examples
    --------
    >>> import mnarkit as mk
    >>> belief = mk.elicit(-20, bound=-40, unit="percent")
    >>> print(belief)
    about -20 percent, with probability 0.95 not below -40: normal(-20, 12.2) percent
    >>> mk.Shift("cost", belief).unit
    'percent'
    """
    if unit not in ELICITED_UNITS:
        raise SpecError(f"elicit: unit= is one of {', '.join(map(repr, ELICITED_UNITS))}, not {unit!r}")
    best = _number("best", best)
    if not isinstance(sure, (int, float)) or isinstance(sure, bool) or not 0.5 < sure < 1:
        raise SpecError(f"elicit: sure= is a probability between 0.5 and 1, not {sure!r}")
    if (bound is None) == (interval is None):
        raise SpecError("elicit: give bound= (one side) or interval= (both sides), one of the two")
    shape = _shape(family, df)
    if bound is not None:
        scale, said, mismatch = _of_bound(best, _number("bound", bound), sure, shape, unit)
    else:
        scale, said, mismatch = _of_interval(best, interval, sure, shape, uneven)
    made = Prior("normal", best, scale) if family == "normal" else Prior("student_t", df, best, scale)
    shown = f"normal({best:.3g}, {scale:.3g})" if family == "normal" else f"student_t({df:g}, {best:.3g}, {scale:.3g})"
    impossible = _impossible(unit, (best - (-100 if unit == "percent" else 0)) / scale, shape)
    notes = "; ".join(n for n in (mismatch, impossible) if n)
    return Elicited(made, unit, f"about {best:g} {unit}, {said}: {shown} {unit}", notes)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not np.isfinite(value):
        raise SpecError(f"elicit: {name}= is a finite number, not {value!r}")
    return float(value)


def _shape(family: str, df: float) -> Any:
    """The distribution with centre 0 and scale 1."""
    if family == "normal":
        return stats.norm
    if family != "student_t":
        raise SpecError(f"elicit: family= is 'normal' or 'student_t', not {family!r}")
    if not _number("df", df) > 0:
        raise SpecError(f"elicit: df= is a number above 0, not {df!r}")
    return stats.t(df)


def _of_bound(best: float, bound: float, sure: float, shape: Any, unit: str) -> tuple[float, str, str]:
    if bound == best:
        raise SpecError(
            f"elicit: the bound {bound:g} is the best guess itself; say how far beyond it the truth could be"
        )
    side = "below" if bound < best else "above"
    return abs(bound - best) / shape.ppf(sure), f"with probability {sure:g} not {side} {bound:g}", ""


def _of_interval(best: float, interval: Any, sure: float, shape: Any, uneven: str) -> tuple[float, str, str]:
    if not isinstance(interval, (tuple, list)) or len(interval) != 2:
        raise SpecError(f"elicit: interval= is (low, high), not {interval!r}")
    low, high = _number("interval", interval[0]), _number("interval", interval[1])
    if not low < best < high:
        raise SpecError(f"elicit: the best guess {best:g} does not lie inside ({low:g}, {high:g})")
    said = f"with probability {sure:g} between {low:g} and {high:g}"
    if abs((low + high) / 2 - best) <= _EVEN * (high - low):
        return (high - low) / 2 / shape.ppf((1 + sure) / 2), said, ""
    if uneven != "match":
        raise SpecError(
            f"elicit: {best:g} is not the middle of ({low:g}, {high:g}), which is {(low + high) / 2:g}, and a "
            "symmetric prior cannot say so; ask again, work on another scale (logarithms), or say uneven='match'"
        )
    nearest = min(best - low, high - best)

    def inside(log_scale: float) -> float:
        scale = np.exp(log_scale)
        return shape.cdf((high - best) / scale) - shape.cdf((low - best) / scale) - sure

    middle = np.log(nearest / shape.ppf((1 + sure) / 2))
    scale = float(np.exp(optimize.brentq(inside, middle - 5, middle + 10, xtol=1e-13)))
    beyond = shape.cdf((low - best) / scale), shape.sf((high - best) / scale)
    mismatch = (
        f"asked were {(1 - sure) / 2:.3g} below {low:g} and above {high:g} each, the prior has {beyond[0]:.3g} below "
        f"and {beyond[1]:.3g} above"
    )
    return scale, said, mismatch


def _impossible(unit: str, room: float, shape: Any) -> str:
    """Say how much probability lies where the unit has no meaning."""
    if unit not in ("percent", "factor"):
        return ""
    where = "-100 percent" if unit == "percent" else "a factor of 0"
    share = float(shape.sf(room))
    if share > 0.01:
        raise SpecError(
            f"elicit: the prior has probability {share:.3g} beyond {where}, where nothing is left; say a narrower "
            "bound, or another unit (raw, on the logarithms of the column)"
        )
    return f"probability {share:.2g} lies beyond {where}" if share > 1e-6 else ""
