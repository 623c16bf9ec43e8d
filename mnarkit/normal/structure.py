"""Means and covariances with fewer parameters: growth curves, compound symmetry, autoregression, Toeplitz.

A structure says (coef, cov) from pieces, once for NumPy (real and complex) and for PyTensor, on columns that are all
standardised by one mean and one sd.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.spec.data_models import DataModel
from mnarkit.spec.growth import Growth

__all__ = ["Pieces", "Structure", "from_partial", "structure_of"]

_SMALLEST = 1e-3  # of a standardised sd at which a start is kept away from 0
_MOST = 0.99  # a start of a correlation is kept inside


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Parameters of a structure.

    Attributes
    ----------
    mean : (g, q) or (p, q)
        Coefficients of the curve's terms, or of the columns.
    shape : (g, g) or (k,)
        Covariance of the random terms; or ρ (CS, AR), or partial autocorrelations (Toeplitz).
    sd : (p,) or (1,)
        Residual standard deviations, or those of the columns.
    """

    mean: Any
    shape: Any
    sd: Any


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Which structure, of how many columns.

    Attributes
    ----------
    kind : {"growth", "CS", "CSH", "AR(1)", "ARH(1)", "TOEP", "TOEPH"}
        SAS's names; an H stands for one sd a column.
    p : int
        The number of columns.
    basis, back : (p, g), (g, g) arrays or None
        Orthogonal polynomials of the times, and the matrix that carries coefficients on them to those on 1, t, t².
    by_wave : bool
        One sd a column.
    """

    kind: str
    p: int
    basis: np.ndarray | None
    back: np.ndarray | None
    by_wave: bool
    curve: tuple[str, ...] = ()

    @property
    def powers(self) -> np.ndarray:
        """t⁰, t¹, t² at the times, (p, g)."""
        assert self.basis is not None
        assert self.back is not None
        return self.basis @ np.linalg.inv(self.back)

    def random(self, pieces: Pieces, xp: Any = np) -> Any:
        """Covariance of the random terms on t⁰, t¹, t²; None for a structure that has none."""
        if self.basis is None:
            return None
        back: Any = self.back
        return xp.dot(back, xp.dot(pieces.shape, back.T))

    def random_of(self, own: np.ndarray, q: int) -> np.ndarray | None:
        """Find the covariance of the random terms in what `own` gave."""
        if self.basis is None:
            return None
        g = self.basis.shape[1]
        spread = np.zeros((g, g), dtype=own.dtype)
        spread[np.tril_indices(g)] = own[g * q : g * q + g * (g + 1) // 2]
        return spread + np.tril(spread, -1).T

    @property
    def n_shape(self) -> int:
        """Free parameters of the shape."""
        if self.basis is not None:
            g = self.basis.shape[1]
            return g * (g + 1) // 2
        return self.p - 1 if self.kind.startswith("TOEP") else 1

    def sizes(self, q: int) -> tuple[int, int, int]:
        """Free parameters of mean, shape and sds."""
        rows = self.p if self.basis is None else self.basis.shape[1]
        return rows * q, self.n_shape, self.p if self.by_wave else 1

    def moments(self, pieces: Pieces, xp: Any = np) -> tuple[Any, Any]:
        """(coef, cov), (p, q) and (p, p)."""
        sd = pieces.sd if self.by_wave else pieces.sd[0] * np.ones(self.p)
        if self.basis is not None:
            cov = xp.dot(self.basis, xp.dot(pieces.shape, self.basis.T)) + np.eye(self.p) * (sd**2)[None, :]
            return xp.dot(self.basis, pieces.mean), cov
        return pieces.mean, self._correlations(pieces.shape, xp) * sd[:, None] * sd[None, :]

    def _correlations(self, shape: Any, xp: Any) -> Any:
        lag = np.abs(np.subtract.outer(np.arange(self.p), np.arange(self.p)))
        if self.kind.startswith("CS"):
            return np.eye(self.p) + (1.0 - np.eye(self.p)) * shape[0]
        if self.kind.startswith("AR"):
            by_lag = [1.0, shape[0]]
            for _ in range(2, self.p):
                by_lag.append(by_lag[-1] * shape[0])
        else:
            by_lag = from_partial(shape, self.p)
        return sum(((lag == k) * value for k, value in enumerate(by_lag)), start=np.zeros((self.p, self.p)))

    def from_free(self, theta: np.ndarray, q: int) -> Pieces:
        """Pieces from an unconstrained vector, real or complex."""
        n_mean, n_shape, _ = self.sizes(q)
        mean = theta[:n_mean].reshape(-1, q)
        free, sd = theta[n_mean : n_mean + n_shape], np.exp(theta[n_mean + n_shape :])
        if self.basis is not None:
            g = self.basis.shape[1]
            root = np.zeros((g, g), dtype=theta.dtype)
            root[np.tril_indices(g)] = free
            root[np.diag_indices(g)] = np.exp(np.diag(root))
            return Pieces(mean, root @ root.T, sd)
        if self.kind.startswith("CS"):
            low = self.lowest
            return Pieces(mean, low + (1 - low) / (1 + np.exp(-free)), sd)
        return Pieces(mean, np.tanh(free), sd)

    @property
    def lowest(self) -> float:
        """The smallest correlation that compound symmetry allows."""
        return -1 / (self.p - 1)

    def to_free(self, pieces: Pieces) -> np.ndarray:
        """Undo `from_free`."""
        if self.basis is not None:
            root = np.linalg.cholesky(pieces.shape)
            root[np.diag_indices(len(root))] = np.log(np.diag(root))
            free = root[np.tril_indices(len(root))]
        elif self.kind.startswith("CS"):
            share = (pieces.shape - self.lowest) / (1 - self.lowest)
            free = np.log(share / (1 - share))
        else:
            free = np.arctanh(pieces.shape)
        return np.concatenate([np.ravel(pieces.mean), free, np.log(pieces.sd)])

    def nearest(self, coef: np.ndarray, cov: np.ndarray) -> Pieces:
        """Pieces of which (coef, cov) is made, or, where it is not, near ones: least squares, kept inside the space."""
        if self.basis is not None:
            return self._nearest_curve(coef, cov)
        sd = np.sqrt(np.diag(cov))
        corr = cov / np.outer(sd, sd)
        by_lag = np.array([np.mean(np.diag(corr, k)) for k in range(self.p)])
        if self.kind.startswith("CS"):
            off = corr[np.tril_indices(self.p, -1)].mean()
            shape = np.clip([off], self.lowest * _MOST, _MOST)
        elif self.kind.startswith("AR"):
            shape = np.clip([by_lag[1]], -_MOST, _MOST)
        else:
            shape = np.clip(_to_partial(by_lag), -_MOST, _MOST)
        return Pieces(coef, shape, sd if self.by_wave else np.array([np.sqrt(np.mean(sd**2))]))

    def _nearest_curve(self, coef: np.ndarray, cov: np.ndarray) -> Pieces:
        assert self.basis is not None
        g = self.basis.shape[1]
        lower = np.tril_indices(self.p)
        pairs = list(zip(*np.tril_indices(g), strict=True))
        outer = [np.outer(self.basis[:, i], self.basis[:, j]) for i, j in pairs]
        units = [u if i == j else u + u.T for u, (i, j) in zip(outer, pairs, strict=True)]
        diagonal = [np.diag(row) for row in np.eye(self.p)] if self.by_wave else [np.eye(self.p)]
        design = np.column_stack([u[lower] for u in (*units, *diagonal)])
        found = np.linalg.lstsq(design, cov[lower])[0]
        psi = np.zeros((g, g))
        psi[np.tril_indices(g)] = found[: len(units)]
        psi = psi + np.tril(psi, -1).T
        values, vectors = np.linalg.eigh(psi)
        psi = (vectors * np.maximum(values, _SMALLEST**2)) @ vectors.T
        sd = np.sqrt(np.maximum(found[len(units) :], _SMALLEST**2))
        return Pieces(np.linalg.lstsq(self.basis, coef)[0], psi, sd)

    def names(self, columns: tuple[str, ...], terms: tuple[str, ...]) -> list[str]:
        """What `own` gives, by name."""
        sds = [f"sd({c})" for c in columns] if self.by_wave else ["sd"]
        if self.basis is None:
            count = range(1, self.n_shape + 1)
            return [*([f"corr(lag {k})" for k in count] if self.n_shape > 1 else ["corr"]), *sds]
        pairs = zip(*np.tril_indices(len(self.curve)), strict=True)
        spread = [f"cov({self.curve[j]}, {self.curve[i]})" if i != j else f"var({self.curve[i]})" for i, j in pairs]
        return [*(f"{c} ~ {t}" for c in self.curve for t in terms), *spread, *(f"residual {s}" for s in sds)]

    def own(self, pieces: Pieces, scale: float, center: float, x_map: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Parameters of the structure in the columns' own units, in the order of `names`; real or complex."""
        if self.basis is None:
            shape = pieces.shape
            if self.kind.startswith("TOEP"):
                shape = np.stack(from_partial(pieces.shape, self.p)[1:])
            return np.concatenate([shape, scale * pieces.sd])
        assert self.back is not None
        mean = scale * self.back @ pieces.mean @ x_map.T
        first = np.zeros(mean.shape)
        first[0] = np.where(intercept, center, 0.0)
        spread = scale**2 * self.back @ pieces.shape @ self.back.T
        return np.concatenate([(mean + first).ravel(), spread[np.tril_indices(len(spread))], scale * pieces.sd])


def structure_of(model: DataModel) -> Structure | None:
    """Find the structure of a data model; None where coefficients and covariance are free."""
    p = len(model.columns)
    if isinstance(model, Growth):
        powers = np.vander(np.array(model.times), model.degree + 1, increasing=True)
        q, r = np.linalg.qr(powers)
        sign = np.where(np.diag(r) < 0, -1.0, 1.0)
        basis, carry = q * sign * np.sqrt(p), (r.T * sign).T / np.sqrt(p)
        return Structure("growth", p, basis, np.linalg.inv(carry), model.residual == "by wave", model.curve)
    kind = getattr(model, "covariance", "UN")
    return None if kind == "UN" else Structure(kind, p, None, None, "H" in kind.partition("(")[0])


def from_partial(partial: Any, p: int) -> list[Any]:
    """Autocorrelations of lags 0 to p - 1 from partial ones (Durbin 1960; Levinson's recursion)."""
    rho: list[Any] = [1.0, partial[0]]
    phi: list[Any] = [partial[0]]
    for k in range(1, p - 1):
        rest = 1.0 - sum(f * r for f, r in zip(phi, rho[1 : k + 1], strict=True))
        rho.append(sum(f * r for f, r in zip(phi, rho[k:0:-1], strict=True)) + partial[k] * rest)
        phi = [f - partial[k] * g for f, g in zip(phi, phi[::-1], strict=True)] + [partial[k]]
    return rho[:p]


def _to_partial(rho: np.ndarray) -> np.ndarray:
    """Undo `from_partial`."""
    partial, phi = [rho[1]], [rho[1]]
    for k in range(1, len(rho) - 1):
        rest = 1.0 - np.dot(phi, rho[1 : k + 1])
        last = (rho[k + 1] - np.dot(phi, rho[k:0:-1])) / max(rest, 1e-8)
        partial.append(last)
        phi = [f - last * g for f, g in zip(phi, phi[::-1], strict=True)] + [last]
    return np.array(partial)
