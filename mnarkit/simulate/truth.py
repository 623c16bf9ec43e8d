"""Given parameters, by the names that the draws of a fit have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.errors import SpecError
from mnarkit.normal.layout import Layout
from mnarkit.normal.structure import Structure

__all__ = ["Truth", "correlations", "moments", "random_terms"]


@dataclass(frozen=True, slots=True)
class Truth:
    """Parameters by name, in the columns' own units."""

    given: Mapping[str, Any]

    def raw(self, name: str) -> Any:
        """Read a parameter as it was given.

        Raises
        ------
        SpecError
            It is not there.
        """
        if name not in self.given:
            raise SpecError(f"truth has no {name!r}")
        return self.given[name]

    def numbers(self, name: str, *labels: Sequence[str]) -> np.ndarray:
        """Read a parameter with a size for each list of labels.

        Raises
        ------
        SpecError
            It is not there, or has another shape.
        """
        shape = tuple(len(each) for each in labels)
        if name not in self.given:
            wanted = " x ".join(f"({', '.join(each)})" for each in labels) or "one number"
            raise SpecError(f"truth has no {name!r}; it takes {wanted}")
        value = self.given[name]
        if isinstance(value, Mapping) and len(labels) == 1:
            value = self._by_label(name, value, labels[0])
        try:
            made = np.asarray(getattr(value, "values", value), dtype=float)
        except (TypeError, ValueError):
            raise SpecError(f"truth: {name!r} is made of numbers, not {value!r}") from None
        if made.shape != shape and made.size == np.prod(shape, dtype=int) and made.ndim < len(shape):
            made = made.reshape(shape)  # one column may be left out, as in `coef=[1, 2]`
        if made.shape != shape:
            axes = "; ".join(", ".join(each) for each in labels)
            raise SpecError(f"truth: {name!r} has the shape {made.shape}; it takes {shape} ({axes or 'one number'})")
        if not np.isfinite(made).all():
            raise SpecError(f"truth: {name!r} has {int((~np.isfinite(made)).sum())} values that are not finite")
        return made

    def _by_label(self, name: str, value: Mapping[str, Any], labels: Sequence[str]) -> list[Any]:
        lacking, more = [t for t in labels if t not in value], [t for t in value if t not in labels]
        if lacking or more:
            wrong = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(map(str, more))}, which is no term"
            raise SpecError(f"truth: {name!r} {wrong}; its terms are {', '.join(labels)}")
        return [value[t] for t in labels]


def moments(
    truth: Truth,
    columns: tuple[str, ...],
    terms: tuple[str, ...],
    structure: Structure | None,
    times: Sequence[float],
    arms: tuple[str, ...] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (p, q) and residual covariance (p, p), from `coef`, `sd`, `corr`, or from those of a structure.

    With arms, `sd`, `corr` and `lag_corr` are given for each, and the covariance is (arms, p, p).
    """
    if arms:
        each = [_of_arm(truth, arms, a, len(columns)) for a in range(len(arms))]
        made = [moments(one, columns, terms, structure, times) for one in each]
        return made[0][0], np.stack([cov for _, cov in made])
    if structure is not None and structure.basis is not None and "coef" not in truth.given:
        return _curve(truth, columns, terms, structure, times)
    coef, sd = truth.numbers("coef", columns, terms), truth.numbers("sd", columns)
    if np.any(sd <= 0):
        raise SpecError(f"truth: 'sd' is above 0, not {sd.min():g}")
    if len(columns) == 1:
        return coef, np.array([[sd[0] ** 2]])
    if structure is not None and "corr" not in truth.given:
        corr = _by_lag(truth, structure)
    else:
        corr = truth.numbers("corr", columns, columns)
    return coef, _positive(corr, "corr") * np.outer(sd, sd)


def _of_arm(truth: Truth, arms: tuple[str, ...], arm: int, p: int) -> Truth:
    """The truth of one arm: its part of what is given for each."""
    sizes = {"sd": (p,), "corr": (p, p), "lag_corr": (None,)}
    made = dict(truth.given)
    for name, size in sizes.items():
        if name not in made:
            continue
        values = np.asarray(getattr(made[name], "values", made[name]), dtype=float)
        if values.ndim != len(size) + 1 or len(values) != len(arms):
            raise SpecError(
                f"truth: {name!r} has the shape {values.shape}; it takes one for each of {', '.join(arms)} first"
            )
        made[name] = values[arm]
    return Truth(made)


def _curve(
    truth: Truth, columns: tuple[str, ...], terms: tuple[str, ...], structure: Structure, times: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    curve = structure.curve
    powers = np.vander(np.asarray(times, dtype=float), len(curve), increasing=True)
    residual = truth.numbers("residual_sd", columns if structure.by_wave else ("all",)) * np.ones(len(columns))
    cov = powers @ _spread(truth, curve) @ powers.T + np.diag(residual**2)
    return powers @ truth.numbers("growth", curve, terms), cov


def _spread(truth: Truth, curve: tuple[str, ...]) -> np.ndarray:
    """Covariance of the random terms."""
    sd = truth.numbers("random_sd", curve)
    corr = correlations(truth, "random_corr", curve) if len(curve) > 1 else np.ones((1, 1))
    return corr * np.outer(sd, sd)


def correlations(truth: Truth, name: str, labels: Sequence[str]) -> np.ndarray:
    """Read a correlation matrix.

    Raises
    ------
    SpecError
        It is not there, or is none.
    """
    return _positive(truth.numbers(name, labels, labels), name)


def random_terms(
    truth: Truth, layout: Layout, residual: np.ndarray, cov: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw u | y, (n, g), of which complete values (n, p) lie `residual` off their mean: Cov(y, u) = V Ψ."""
    structure = layout.structure
    assert structure is not None
    spread = _spread(truth, structure.curve)
    gain = np.linalg.solve(cov, structure.powers @ spread)
    rest = spread - spread @ structure.powers.T @ gain
    values, vectors = np.linalg.eigh(rest)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return residual @ gain + rng.normal(size=(len(residual), len(spread))) @ root.T


def _by_lag(truth: Truth, structure: Structure) -> np.ndarray:
    lags = truth.numbers("lag_corr", tuple(str(k + 1) for k in range(structure.n_shape)))
    p = structure.p
    if structure.kind.startswith("CS"):
        by_lag = np.concatenate([[1.0], np.full(p - 1, lags[0])])
    elif structure.kind.startswith("AR"):
        by_lag = lags[0] ** np.arange(p)
    else:
        by_lag = np.concatenate([[1.0], lags])
    return by_lag[np.abs(np.subtract.outer(np.arange(p), np.arange(p)))]


def _positive(corr: np.ndarray, name: str) -> np.ndarray:
    symmetric = np.allclose(corr, corr.T) and np.allclose(np.diag(corr), 1)
    if not symmetric or np.linalg.eigvalsh(corr)[0] <= 0:
        raise SpecError(f"truth: {name!r} is a correlation matrix: symmetric, 1 on the diagonal, positive definite")
    return corr
