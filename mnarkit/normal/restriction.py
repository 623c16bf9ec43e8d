"""Pattern-specific regressions of monotone waves: their donor rows, exact posterior draws, and the normal they make."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.formula import design
from mnarkit.spec.check_restriction import monotone_lengths
from mnarkit.spec.collinear import check_undetermined
from mnarkit.spec.restriction import Restriction
from mnarkit.spec.spec import Spec

__all__ = ["Donors", "compose", "donors_of", "draw_regression", "regressions_of"]

_SPARE = 3  # rows beyond the coefficients: the posterior of σ then has a mean, that of a coefficient a variance


@dataclass(frozen=True, slots=True, eq=False)
class Donors:
    """The rows from which each wave's regression is taken, (n,) bool a wave, and what is to be said of them."""

    rows: tuple[np.ndarray, ...]
    notes: tuple[str, ...]


def donors_of(belief: Restriction, columns: tuple[str, ...], seen: np.ndarray, n_terms: int) -> Donors:
    """Find the donor rows of each wave; waves without holes take all rows.

    Raises
    ------
    SpecError
        Holes that are not monotone, or a donor group that is empty or too small, with the counts.
    """
    length = monotone_lengths(columns, seen)
    rows, notes = [], []
    for s, column in enumerate(columns):
        needed = n_terms + s + _SPARE
        holes = int((length <= s).sum())
        groups = _groups(belief, s, len(columns)) if holes else list(range(s + 1, len(columns) + 1))
        counts = {g: int((length == g).sum()) for g in range(s + 1, len(columns) + 1)}
        added = _enough(belief, column, columns, groups, counts, needed)
        if added:
            names = ", ".join(f"{_group(g, columns)} ({counts[g]})" for g in added)
            notes.append(f"{column!r} has {sum(counts[g] for g in groups)} donors for {needed}: {names} added")
        taken = np.isin(length, [*groups, *added])
        rows.append(taken)
        if holes:
            notes.append(f"{belief}: {holes} holes of {column!r} from {int(taken.sum())} donor rows")
    return Donors(tuple(rows), tuple(notes))


def _groups(belief: Restriction, s: int, p: int) -> list[int]:
    """The donor groups of wave s, by how many waves they have."""
    return {"CCMV": [p], "NCMV": [s + 1], "ACMV": list(range(s + 1, p + 1))}[belief.identification]


def _enough(
    belief: Restriction,
    column: str,
    columns: tuple[str, ...],
    groups: list[int],
    counts: dict[int, int],
    needed: int,
) -> list[int]:
    """The groups to be added to donors that are too few, nearest first, those that stay longer before others."""
    have, added = sum(counts[g] for g in groups), []
    others = sorted((g for g in counts if g not in groups), key=lambda g: (min(abs(g - k) for k in groups), -g))
    while have < needed and belief.sparse == "nearest" and others:
        added.append(others.pop(0))
        have += counts[added[-1]]
    if have < needed:
        donors = ", ".join(_group(g, columns) for g in groups)
        tail = "" if belief.sparse == "nearest" or not others else ", or say sparse='nearest'"
        raise SpecError(
            f"{belief} takes {column!r} from the rows {donors}: there are {have}, and its regression needs {needed}; "
            f"use another restriction, fewer predictors{tail}"
        )
    return [g for g in added if counts[g]]


def _group(g: int, columns: tuple[str, ...]) -> str:
    return "seen at all waves" if g == len(columns) else f"seen up to {columns[g - 1]!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """Least squares of one wave on the predictors and the earlier waves, on its donors.

    Attributes
    ----------
    coef : (q + s,) array
        The estimate; also the posterior mean.
    root : (q + s, q + s) array
        R⁻¹ with RᵀR = ZᵀZ.
    rss, df : float, int
        Residual sum of squares, and rows less coefficients.
    """

    coef: np.ndarray
    root: np.ndarray
    rss: float
    df: int


def regressions_of(spec: Spec, data: IncompleteData) -> tuple[list[Regression], Donors]:
    """Fit every wave's regression on its donors.

    Raises
    ------
    SpecError, DataError
        Holes or donors that a restriction cannot use; donors among whom predictors are collinear.
    """
    columns = spec.model.columns
    seen = np.column_stack([data.seen(c) for c in columns])
    built = design(spec.model.predictors, data)
    belief = spec.restriction
    if belief is None:
        raise SpecError(f"{spec.missingness[0]} is no Restriction")
    donors = donors_of(belief, columns, seen, built.matrix.shape[1])
    y = np.column_stack([data.number(c) for c in columns])
    fits = []
    for s, rows in enumerate(donors.rows):
        z = np.hstack([built.matrix[rows], y[rows, :s]])
        names = (*built.names, *columns[:s])
        _full_rank(z, names, columns[s])
        check_undetermined(columns[s], y[rows, s], z, names)
        q, r = np.linalg.qr(z)
        coef = np.linalg.solve(r, q.T @ y[rows, s])
        residual = y[rows, s] - z @ coef
        fits.append(Regression(coef, np.linalg.inv(r), float(residual @ residual), len(z) - z.shape[1]))
    return fits, donors


def _full_rank(z: np.ndarray, names: tuple[str, ...], column: str) -> None:
    size = np.sqrt((z**2).sum(axis=0))
    if (size == 0).any() or np.linalg.matrix_rank(z / np.where(size > 0, size, 1.0)) < z.shape[1]:
        raise SpecError(
            f"among the {len(z)} donors of {column!r} the predictors {', '.join(names)} are collinear; use fewer "
            "predictors, another restriction, or sparse='nearest' with larger groups"
        )


def draw_regression(fit: Regression, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Independent draws of (β, σ²) under the prior 1/σ²: σ² = RSS / χ²_df, β | σ² ~ N(β̂, σ² (ZᵀZ)⁻¹).

    References
    ----------
    Gelman et al. (2013). Bayesian Data Analysis, 3rd ed., eq. 14.4-14.7.
    """
    variance = fit.rss / rng.chisquare(fit.df, size)
    noise = rng.standard_normal((size, len(fit.coef)))
    return fit.coef + np.sqrt(variance)[:, None] * (noise @ fit.root.T), variance


def compose(
    coefs: Sequence[np.ndarray], variances: Sequence[np.ndarray], n_terms: int
) -> tuple[np.ndarray, np.ndarray]:
    """The normal y = B x + e, Var e = Σ, whose conditionals of each wave given the earlier ones are the regressions.

    y_s = γ_s'x + λ_s'(y_1 … y_s-1) + e_s gives (I - Λ) y = Γ x + e.

    Parameters
    ----------
    coefs : sequence of (draws, n_terms + s) arrays
        Of the predictors, then of the earlier waves.
    variances : sequence of (draws,) arrays
        Residual variances.
    n_terms : int
        How many predictors.

    Returns
    -------
    (draws, p, n_terms), (draws, p, p) arrays
        B and Σ. A row seen up to wave t needs of them the conditionals of the waves after t alone, and those are the
        donors' own.
    """
    size, p = len(variances[0]), len(coefs)
    on_x, solved = np.zeros((size, p, n_terms)), np.zeros((size, p, p))
    for s, coef in enumerate(coefs):
        earlier = coef[:, n_terms:]
        on_x[:, s] = coef[:, :n_terms] + np.einsum("ds,dsq->dq", earlier, on_x[:, :s])
        solved[:, s, s] = 1.0
        solved[:, s, :s] = np.einsum("ds,dst->dt", earlier, solved[:, :s, :s])
    spread = np.stack(variances, axis=1)
    return on_x, np.einsum("dij,dj,dkj->dik", solved, spread, solved)
