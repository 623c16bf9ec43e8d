"""EMFit, the noun: maximum-likelihood estimates with what made them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em.loop import Path
from mnarkit.errors import ConvergenceError, DataError, FormulaError
from mnarkit.formula import design, parse
from mnarkit.normal.conditional import conditional_mean
from mnarkit.normal.layout import Layout, Scaling, kernel_data, standardise
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.spec.spec import Spec

__all__ = ["EMFit"]

# Numba takes a second to import; it is needed for standard errors alone
_kernel: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.normal", submod_attrs={"likelihood": ["loglik_and_gradient"]}
)[0]
_FLAT = 1e-9  # smallest over largest eigenvalue of the information; its differences are good to 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class EMFit:
    """Maximum-likelihood estimates of a data model under MAR.

    Attributes
    ----------
    spec, data : Spec, IncompleteData
        What was fitted to what.
    layout : Layout
        The spec laid out on the table, in the columns' units.
    coef, cov : (p, q), (p, p) arrays
        Regression coefficients (a row per modelled column) and residual covariance (divisor n), in the columns' units.
    loglik : float
        Observed-data log likelihood, the constant -½ log 2π per recorded value included, in the columns' units.
    n, n_empty : int
        Rows used, and rows left out because no modelled column is seen in them.
    iterations : int
        EM steps taken.
    history : DataFrame
        A row per iteration: `iteration`, `loglik`, and every parameter.
    converged, reason : bool, str
        Whether the parameters stood still, and why EM stopped.
    """

    spec: Spec
    data: IncompleteData
    layout: Layout
    coef: np.ndarray
    cov: np.ndarray
    loglik: float
    n: int
    n_empty: int
    iterations: int
    history: pd.DataFrame
    converged: bool
    reason: str

    @classmethod
    def of(cls, spec: Spec, data: IncompleteData, layout: Layout, scaling: Scaling, path: Path) -> "EMFit":
        """Carry a path on the standardised layout back to the columns' own units."""
        seen = layout.seen
        constant = -np.log(scaling.scale) @ seen.sum(axis=0)
        points = [(_coef_back(coef, layout, scaling), _cov_back(cov, scaling)) for coef, cov in path.points]
        names = [*_coef_names(layout), *_cov_names(layout)]
        lower = np.tril_indices(len(layout.columns))
        table = pd.DataFrame([np.concatenate([coef.ravel(), cov[lower]]) for coef, cov in points], columns=names)
        table.insert(0, "loglik", np.array(path.objective) + constant)
        table.insert(0, "iteration", np.arange(len(points)))
        n = int(seen.any(axis=1).sum())
        return cls(
            spec=spec,
            data=data,
            layout=layout,
            coef=points[-1][0],
            cov=points[-1][1],
            loglik=float(table["loglik"].iloc[-1]),
            n=n,
            n_empty=len(seen) - n,
            iterations=len(points) - 1,
            history=table,
            converged=path.converged,
            reason=path.reason,
        )

    @property
    def params(self) -> pd.Series:
        """Every estimate by name: `lwage ~ educ` for a coefficient, `cov(y1, y2)` for a covariance."""
        lower = np.tril_indices(len(self.layout.columns))
        values = np.concatenate([self.coef.ravel(), self.cov[lower]])
        return pd.Series(values, index=[*_coef_names(self.layout), *_cov_names(self.layout)], name="estimate")

    @property
    def std_errors(self) -> pd.Series:
        """Standard errors from the observed information."""
        variance = np.diag(
            _delta(self, lambda coef, cov: np.concatenate([coef.ravel(), cov[np.tril_indices(len(cov))]]))
        )
        return pd.Series(np.sqrt(variance), index=self.params.index, name="std_error")

    def to_frame(self) -> pd.DataFrame:
        """Columns `term`, `estimate`, `std_error`."""
        return pd.DataFrame(
            {"term": self.params.index, "estimate": self.params.to_numpy(), "std_error": self.std_errors.to_numpy()}
        )

    def project(self, formula: str) -> pd.DataFrame:
        """(X'X)⁻¹ X' E[y | seen]: an analysis at the maximum of the likelihood, with delta-method standard errors.

        Parameters
        ----------
        formula : str
            `"y ~ x"`, y modelled and the predictors fully seen; `"y ~ 1"` is the mean over all rows.

        Returns
        -------
        DataFrame
            Columns `term`, `estimate`, `std_error`; the errors are model-based (normal, constant variance), for a
            population from which the rows are a sample.
        """
        parsed = parse(formula)
        if parsed.kind != "value" or parsed.response not in self.layout.columns:
            raise FormulaError(
                f"a projection is 'y ~ x' with y one of {', '.join(self.layout.columns)}, not {formula!r}"
            )
        holes = [c for t in parsed.terms for c in t.columns if not self.data.seen(c).all()]
        if holes:
            raise DataError(
                f"{holes[0]!r} has {(~self.data.seen(holes[0])).sum()} holes; "
                "the predictors of a projection are fully seen"
            )
        built = design(parsed, self.data)
        given = np.array([any(c in t.columns for t in parsed.terms) for c in self.layout.columns])
        estimate, variance = _projection(self, built.matrix, self.layout.columns.index(parsed.response), given)
        return pd.DataFrame({"term": built.names, "estimate": estimate, "std_error": np.sqrt(np.diag(variance))})

    def __str__(self) -> str:
        left = f", {self.n_empty} rows with nothing seen left out" if self.n_empty else ""
        went = f"{self.iterations} steps, {self.reason}"
        head = f"EM under MAR: n = {self.n}{left}, log likelihood {self.loglik:.4f}, {went}"
        try:
            table = self.to_frame()
        except ConvergenceError as error:
            return f"{head}\n{self.params.to_string()}\n{error}"
        return f"{head}\n{table.to_string(index=False, float_format=lambda v: f'{v:.6g}')}"


def _coef_back(coef: np.ndarray, layout: Layout, scaling: Scaling) -> np.ndarray:
    raw = scaling.scale[:, None] * coef @ scaling.x_map.T
    return raw + np.where(np.array(layout.terms) == "Intercept", scaling.center[:, None], 0.0)


def _cov_back(cov: np.ndarray, scaling: Scaling) -> np.ndarray:
    return cov * np.outer(scaling.scale, scaling.scale)


def _coef_names(layout: Layout) -> list[str]:
    return [f"{column} ~ {term}" for column in layout.columns for term in layout.terms]


def _cov_names(layout: Layout) -> list[str]:
    pairs = zip(*np.tril_indices(len(layout.columns)), strict=True)
    return [
        f"cov({layout.columns[j]}, {layout.columns[i]})" if i != j else f"var({layout.columns[i]})" for i, j in pairs
    ]


def _pack(coef: np.ndarray, cov: np.ndarray) -> np.ndarray:
    return np.concatenate([coef.ravel(), cov[np.tril_indices(len(cov))]])


def _unpack(theta: np.ndarray, p: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    cov = np.zeros((p, p))
    cov[np.tril_indices(p)] = theta[p * q :]
    return theta[: p * q].reshape(p, q), cov + np.tril(cov, -1).T


def _standard_point(fit: EMFit) -> tuple[Layout, Scaling, np.ndarray]:
    standard, scaling = standardise(fit.layout)
    back = np.linalg.inv(scaling.x_map.T)
    shifted = fit.coef - np.where(np.array(fit.layout.terms) == "Intercept", scaling.center[:, None], 0.0)
    coef = (shifted / scaling.scale[:, None]) @ back
    return standard, scaling, _pack(coef, fit.cov / np.outer(scaling.scale, scaling.scale))


def _slopes(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """∂function/∂θ by central differences, (size of function, size of θ); on standardised columns one step serves."""
    each = [(function(at + e) - function(at - e)) / (2 * step) for e in step * np.eye(len(at))]
    return np.stack(each, axis=-1)


def _information(standard: Layout, theta: np.ndarray) -> np.ndarray:
    """Observed information of the packed parameters, differenced from the exact gradient."""
    data = kernel_data(standard)
    p, q = len(standard.columns), len(standard.terms)

    def gradient(at: np.ndarray) -> np.ndarray:
        coef, cov = _unpack(at, p, q)
        arguments = kernel_parameters(Parameters(coef, cov, (), (), ()), standard, data)
        _, d_coef, d_cov, *_ = _kernel("loglik_and_gradient")(*arguments, *data.arrays)
        both = d_cov[0] + d_cov[0].T - np.diag(np.diag(d_cov[0]))
        return _pack(d_coef, both)

    hessian = _slopes(gradient, theta)
    return -(hessian + hessian.T) / 2


def _delta(fit: EMFit, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Covariance of function(coef, cov in own units) at the maximum."""
    standard, scaling, theta = _standard_point(fit)
    p, q = fit.coef.shape

    def own_units(at: np.ndarray) -> np.ndarray:
        coef, cov = _unpack(at, p, q)
        return function(_coef_back(coef, fit.layout, scaling), _cov_back(cov, scaling))

    jacobian = _slopes(own_units, theta)
    return jacobian @ _inverse_information(standard, theta) @ jacobian.T


def _inverse_information(standard: Layout, theta: np.ndarray) -> np.ndarray:
    """The covariance of the packed parameters, refused where the likelihood is flat."""
    information = _information(standard, theta)
    values = np.linalg.eigvalsh(information)
    if values[0] > _FLAT * values[-1]:
        return np.linalg.inv(information)
    seen = standard.seen.astype(float)
    apart = np.argwhere(np.triu(seen.T @ seen == 0))
    names = (
        " and ".join(repr(standard.columns[j]) for j in apart[0])
        if len(apart)
        else ", ".join(map(repr, standard.columns))
    )
    why = f"{names} are never seen together" if len(apart) else f"the data do not tell all parameters of {names}"
    raise ConvergenceError(
        f"no standard errors: the likelihood is flat at its maximum, {why}; leave one out, or use a prior"
    )


def _projection(fit: EMFit, x: np.ndarray, j: int, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate and variance of P ŷ, P = (X'X)⁻¹X', ŷ = E[y_j | seen], from the linearisation in (data, θ).

    Var = Σ P_i P_i' (Var ŷ_i + misfit_i²) + M I⁻¹ J' + J I⁻¹ M' - J I⁻¹ J', with J = ∂Pŷ/∂θ and M = ∂P Bx/∂θ; the cross
    terms follow from ∂E[ŷ]/∂θ = E[∂ŷ/∂θ] + E[ŷ score'].
    """
    standard, scaling, theta = _standard_point(fit)
    p, q = fit.coef.shape
    hat = np.linalg.solve(x.T @ x, x.T)
    known = np.where(given, standard.y, np.nan)
    scale, center = scaling.scale[j], scaling.center[j]

    def predicted(at: np.ndarray) -> np.ndarray:
        coef, cov = _unpack(at, p, q)
        return center + scale * conditional_mean(standard.y, standard.x @ coef.T, cov)[0][:, j]

    def fitted(at: np.ndarray) -> np.ndarray:
        coef, cov = _unpack(at, p, q)
        return center + scale * conditional_mean(known, standard.x @ coef.T, cov)[0][:, j]

    estimate = hat @ predicted(theta)
    coef, cov = _unpack(theta, p, q)
    unseen = conditional_mean(standard.y, standard.x @ coef.T, cov)[1][:, j]
    around = conditional_mean(known, standard.x @ coef.T, cov)[1][:, j]
    spread = scale**2 * (around - unseen) + (fitted(theta) - x @ estimate) ** 2
    own, whole = _slopes(lambda at: hat @ predicted(at), theta), _slopes(lambda at: hat @ fitted(at), theta)
    inverse = _inverse_information(standard, theta)
    cross = whole @ inverse @ own.T
    return estimate, (hat * spread) @ hat.T + cross + cross.T - own @ inverse @ own.T
