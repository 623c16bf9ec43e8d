"""Strategies of reference-based imputation: what the mean of a subject is after an event, by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from mnarkit.errors import SpecError

__all__ = ["BUILT_IN", "assumed_cov", "assumed_mean", "known_strategies", "register_strategy"]

type Strategy = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

_REGISTERED: dict[str, Strategy] = {}


def _mar(own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
    return own


def _jump_to_reference(own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
    return np.concatenate([own[:, :event], control[:, event:]], axis=1)


def _copy_reference(own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
    return control


def _copy_increments(own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
    kept = own[:, event - 1 : event] - control[:, event - 1 : event] if event else 0.0
    return np.concatenate([own[:, :event], control[:, event:] + kept], axis=1)


def _last_mean_carried_forward(own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
    if not event:
        return own
    return np.concatenate([own[:, :event], np.repeat(own[:, event - 1 : event], own.shape[1] - event, axis=1)], axis=1)


BUILT_IN: Mapping[str, tuple[Strategy, str]] = MappingProxyType(
    {
        "MAR": (_mar, "goes on as in the subject's own arm"),
        "J2R": (_jump_to_reference, "jumps at the event to the mean of the control arm"),
        "CR": (_copy_reference, "is that of the control arm from the first visit on"),
        "CIR": (_copy_increments, "keeps its distance to the control arm of the last visit before the event"),
        "LMCF": (_last_mean_carried_forward, "stays where it was at the last visit before the event"),
    }
)


def register_strategy(name: str, strategy: Strategy) -> None:
    """Give a strategy of one's own a name, under which specs and spec files know it.

    Parameters
    ----------
    name : str
        Not one of MAR, J2R, CR, CIR, LMCF and causal; a name given before is replaced.
    strategy : callable
        `strategy(own, control, event)`: the means of the visits under the subject's own arm and under the control arm,
        both (subjects, visits), and the number of the first visit after the event, from 0; returns the assumed means,
        (subjects, visits). With a covariance for each arm, that of the visits is as under J2R.

    Raises
    ------
    SpecError
        A name that is taken or no text, or something that cannot be called.

    Examples
    --------
    >>> import mnarkit as mk
    >>> def halfway(own, control, event):
    ...     mean = own.copy()
    ...     mean[:, event:] = (own[:, event:] + control[:, event:]) / 2
    ...     return mean
    >>> mk.register_strategy("halfway", halfway)
    >>> mk.Reference("halfway", arm="arm", control="placebo").strategy
    'halfway'
    """
    if not isinstance(name, str) or not name.strip() or name in (*BUILT_IN, "causal"):
        raise SpecError(f"a strategy has a name of its own, not {name!r}; {', '.join(BUILT_IN)} and causal are taken")
    if not callable(strategy):
        raise SpecError(f"the strategy {name!r} is a function of (own, control, event), not {strategy!r}")
    _REGISTERED[name] = strategy


def known_strategies() -> tuple[str, ...]:
    """All names: built in, causal, and registered."""
    return (*BUILT_IN, "causal", *_REGISTERED)


def assumed_mean(
    name: str, own: np.ndarray, control: np.ndarray, event: int, keep: np.ndarray | None = None
) -> np.ndarray:
    """Take the means that a strategy assumes, (subjects, visits).

    Parameters
    ----------
    own, control : (subjects, visits) arrays
        Means under the subject's own arm and under the control arm.
    event : int
        The first visit after the event, from 0.
    keep : (visits,) array, optional
        Of the causal strategy: the share of the distance to control at the last visit before the event that is kept at
        each visit.

    Raises
    ------
    SpecError
        A strategy of the user's that returns something else than finite means of that shape.
    """
    if name == "causal":
        if not event:
            return control
        kept = (own[:, event - 1 : event] - control[:, event - 1 : event]) * np.asarray(keep)[None, event:]
        return np.concatenate([own[:, :event], control[:, event:] + kept], axis=1)
    if name in BUILT_IN:
        return BUILT_IN[name][0](own, control, event)
    mean = np.asarray(_REGISTERED[name](own.copy(), control.copy(), event), dtype=float)
    if mean.shape != own.shape or not np.isfinite(mean).all():
        raise SpecError(
            f"the strategy {name!r} returned {'means that are not finite' if mean.shape == own.shape else mean.shape}; "
            f"it returns finite means of shape {own.shape} (subjects, visits)"
        )
    return mean


def assumed_cov(name: str, own: np.ndarray, control: np.ndarray, event: int) -> np.ndarray:
    """Take the covariance of the visits that goes with a strategy, (visits, visits), from those of the two arms.

    J2R, CIR, causal and strategies of one's own: S11 of the subject's arm before the event; S21 S11⁻¹ and S22.1 of
    control. CR: control's. LMCF and MAR: the subject's own.

    References
    ----------
    Carpenter, Roger & Kenward (2013), section 4.
    """
    if name in ("MAR", "LMCF"):
        return own
    if name == "CR" or not event:
        return control
    before, later = slice(None, event), slice(event, None)
    slope = np.linalg.solve(control[before, before], control[before, later]).T
    across = slope @ own[before, before]
    cov = np.empty(own.shape)
    cov[before, before], cov[later, before], cov[before, later] = own[before, before], across, across.T
    left = control[later, later] - slope @ control[before, later]
    cov[later, later] = left + across @ slope.T
    return cov
