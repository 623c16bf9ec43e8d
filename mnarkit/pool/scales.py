"""Scales on which estimates are pooled, as rows of a read-only table; there and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mnarkit.errors import DataError
from mnarkit.estimates import Estimates, which

__all__ = ["SCALES", "Scale", "backward", "on_scale"]

type Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Scale:
    """g, g', the inverse of g with its name, all increasing, and the open interval where g is finite."""

    there: Function
    slope: Function
    back: Function
    inverse: str
    low: float
    high: float


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "log": Scale(np.log, lambda q: 1 / q, np.exp, "exp", 0, np.inf),
        "logit": Scale(logit, lambda q: 1 / (q * (1 - q)), expit, "expit", 0, 1),
        "cloglog": Scale(
            lambda q: np.log(-np.log1p(-q)),
            lambda q: -1 / ((1 - q) * np.log1p(-q)),
            lambda g: -np.expm1(-np.exp(g)),
            "cloglog",
            0,
            1,
        ),
        "atanh": Scale(np.arctanh, lambda q: 1 / (1 - q**2), np.tanh, "tanh", -1, 1),
        "sqrt": Scale(np.sqrt, lambda q: 0.5 / np.sqrt(q), lambda g: np.maximum(g, 0) ** 2, "square", 0, np.inf),
        "r_squared": Scale(
            lambda q: np.arctanh(np.sqrt(q)),
            lambda q: 0.5 / (np.sqrt(q) * (1 - q)),
            lambda g: np.tanh(np.maximum(g, 0)) ** 2,
            "r_squared",
            0,
            1,
        ),
    }
)


def on_scale(
    estimates: Estimates, transform: str | Mapping[str, str] | None
) -> tuple[Estimates, tuple[str | None, ...]]:
    """g(Q) with covariance D U D, D = diag g'(Q); terms become 'log(term)'."""
    scales = _scales(estimates, transform)
    if not any(scales):
        return estimates, scales
    values, slopes = estimates.estimates.copy(), np.ones_like(estimates.estimates)
    for j, name in enumerate(scales):
        if name is not None:
            _check_inside(estimates, j, name)
            slopes[:, j] = SCALES[name].slope(values[:, j])
            values[:, j] = SCALES[name].there(values[:, j])
    moved = replace(
        estimates,
        terms=tuple(f"{g}({t})" if g else t for g, t in zip(scales, estimates.terms, strict=True)),
        estimates=values,
        covariances=slopes[:, :, None] * estimates.covariances * slopes[:, None, :],
        likelihoods=None,
    )
    return moved, scales


def backward(
    terms: tuple[str, ...], scales: tuple[str | None, ...], values: Mapping[str, np.ndarray], function: str | None
) -> pd.DataFrame:
    """Apply the inverse of each term's scale, or one function, to columns of numbers."""
    inverses = {scale.inverse: scale.back for scale in SCALES.values()}
    if function is not None:
        if function not in inverses:
            raise DataError(f"back() takes {', '.join(map(repr, inverses))}, not {function!r}")
        columns = {name: inverses[function](column) for name, column in values.items()}
        return pd.DataFrame({"term": list(terms)} | columns)
    if not any(scales):
        raise DataError(
            "the terms were pooled on their own scale, so there is nothing to invert; name a function: back('exp')"
        )
    names = [term if g is None else term[len(g) + 1 : -1] for g, term in zip(scales, terms, strict=True)]
    columns = {
        name: [float(v) if g is None else float(SCALES[g].back(v)) for g, v in zip(scales, column, strict=True)]
        for name, column in values.items()
    }
    return pd.DataFrame({"term": names} | columns)


def _scales(estimates: Estimates, transform: str | Mapping[str, str] | None) -> tuple[str | None, ...]:
    by_term = (
        dict.fromkeys(estimates.terms, transform) if transform is None or isinstance(transform, str) else transform
    )
    if not isinstance(by_term, Mapping):
        raise DataError(f"transform= is {_allowed()}, or a mapping from terms to such names, not {transform!r}")
    for term, name in by_term.items():
        if term not in estimates.terms:
            raise DataError(f"transform= names {term!r}; the terms are {', '.join(map(repr, estimates.terms))}")
        if name is not None and name not in SCALES:
            raise DataError(f"transform= is {_allowed()}, not {name!r}")
    return tuple(by_term.get(term) for term in estimates.terms)


def _allowed() -> str:
    return f"one of {', '.join(map(repr, SCALES))}"


def _check_inside(estimates: Estimates, j: int, name: str) -> None:
    scale, values = SCALES[name], estimates.estimates[:, j]
    outside = np.flatnonzero(~((values > scale.low) & (values < scale.high)))
    if outside.size:
        k = int(outside[0])
        allowed = f"above {scale.low}" if np.isinf(scale.high) else f"between {scale.low} and {scale.high}"
        raise DataError(
            f"transform={name!r} takes estimates {allowed}; that of {estimates.terms[j]!r} is {values[k]:g} in "
            f"{which(k, estimates.m)}; pool it on its own scale, or name the terms to transform"
        )
