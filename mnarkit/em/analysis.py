"""What a fit at its maximum says about the table: expectations, draws, projections, regressions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em.names import IndicatorEstimate, unpack_cov
from mnarkit.errors import DataError, FormulaError
from mnarkit.formula import design, parse
from mnarkit.normal.amounts import move
from mnarkit.normal.conditional import conditional_mean, draw_unseen, expected_unseen
from mnarkit.normal.declared import amounts_of
from mnarkit.normal.layout import KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.reference import ReferenceRows, refer, reference_rows
from mnarkit.priors import centre
from mnarkit.spec.death import dead_cells
from mnarkit.spec.events import fitted_table
from mnarkit.spec.propensities import MOST_INTEGRATED
from mnarkit.spec.spec import Spec

__all__ = ["Analyst"]

# Numba takes a second to import; it is needed for scores under MNAR alone
_kernel: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.normal", submod_attrs={"likelihood": ["unit_loglik"], "together": ["unit_loglik_together"]}
)[0]
_STEP = 1e-4  # of a standard error: central differences of smooth functions are then good to 1e-7 of it


@dataclass(frozen=True, slots=True, eq=False)
class Analyst:
    """The estimates laid out on their table, in the columns' own units.

    Attributes
    ----------
    theta : (k,) array
        All parameters, in the order of `EMFit.params`.
    covariance : callable
        Gives their (k, k) covariance, or says why there is none.
    """

    spec: Spec
    data: IncompleteData
    layout: Layout
    rows: KernelData
    reference: ReferenceRows | None
    theta: np.ndarray
    with_rho: tuple[bool, ...]
    covariance: Callable[[], np.ndarray]

    @classmethod
    def of(
        cls,
        spec: Spec,
        data: IncompleteData,
        indicators: tuple[IndicatorEstimate, ...],
        theta: np.ndarray,
        covariance: Callable[[], np.ndarray],
    ) -> "Analyst":
        """Lay the spec out on the table."""
        fitted = fitted_table(spec, data)
        designs = designs_of(spec, fitted)
        layout = replace(lay_out(spec, fitted, designs), amounts=amounts_of(spec, data, designs.recorded_sd))
        rows = kernel_data(layout, keep_empty_rows=True, products=False, most=MOST_INTEGRATED)
        belief = spec.reference
        reference = None if belief is None else reference_rows(belief, layout.columns, data, designs)
        with_rho = tuple(i.rho is not None for i in indicators[: len(layout.indicators)])
        return cls(spec, data, layout, rows, reference, theta, with_rho, covariance)

    def parameters(self, theta: np.ndarray) -> Parameters:
        """Name the parts of a vector of parameters; amounts are those declared."""
        p, q = len(self.layout.columns), len(self.layout.terms)
        arms = 0 if self.layout.arms is None else len(self.layout.arms.labels)
        at = p * q + max(arms, 1) * (p * (p + 1) // 2)
        cov = unpack_cov(theta[p * q : at], p, arms)
        coefs, rho = [], []
        for one, has_rho in zip(self.layout.indicators, self.with_rho, strict=True):
            coefs.append(theta[at : at + len(one.terms)])
            at += len(one.terms)
            rho.append(theta[at] if has_rho else None)
            at += has_rho
        inside = tuple(centre(a.declared) for a in self.layout.model_amounts)
        structure = self.layout.structure
        random = None if structure is None else structure.random_of(theta[at:], q)
        return Parameters(theta[: p * q].reshape(p, q), cov, coefs, rho, inside, random)

    def predicted(self, theta: np.ndarray) -> np.ndarray:
        """E[y | seen, r] with late amounts added, (n, p)."""
        y = self.before_amounts(theta)
        return self._moved(y, self.parameters(theta), np.zeros(y.shape))

    def before_amounts(self, theta: np.ndarray) -> np.ndarray:
        """E[y | seen, r] of the likelihood alone, (n, p): under MAR where the beliefs are all applied afterwards."""
        arguments = kernel_parameters(self.parameters(theta), self.layout, self.rows)
        return expected_unseen(arguments, self.rows, self.layout.y)

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """One draw of y | seen, r at the estimates, late amounts added, (n, p)."""
        parameters = self.parameters(self.theta)
        y = draw_unseen(kernel_parameters(parameters, self.layout, self.rows), self.rows, self.layout.y, rng)
        return self._moved(y, parameters, rng.standard_normal(y.shape))

    def _moved(self, y: np.ndarray, parameters: Parameters, noise: np.ndarray) -> np.ndarray:
        if self.reference is not None:
            kept = {name: centre(declared) for name, declared in self.reference.belief.amounts}
            y = refer(y, self.reference, parameters, kept, noise)
        late = [(a, centre(a.declared)) for a in self.layout.amounts if a.component.of == "prediction"]
        seen = np.column_stack([self.data.seen(c) for c in self.layout.columns])
        move(y, late, parameters, self.layout, seen)
        return y

    def expected(self) -> pd.DataFrame:
        """Fill the holes of the modelled columns with their expectations."""
        return self.filled(self.predicted(self.theta))

    def stochastic(self, seed: int) -> pd.DataFrame:
        """Fill them with one draw each at the estimates."""
        return self.filled(self.drawn(np.random.default_rng(seed)))

    def filled(self, y: np.ndarray) -> pd.DataFrame:
        """Put values (n, p) into the holes of the table, none after death."""
        frame, y = self.data.frame.copy(), np.where(dead_cells(self.spec, self.data), np.nan, y)
        for j, column in enumerate(self.layout.columns):
            seen = self.data.seen(column)
            if not seen.all():
                values = pd.Series(np.where(seen, self.data.number(column), y[:, j]), index=frame.index)
                frame[column] = values.astype(frame[column].dtype) if frame[column].dtype.kind == "f" else values
        return frame

    def project(self, formula: str) -> pd.DataFrame:
        """(X'X)⁻¹ X' E[y | seen], with standard errors."""
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
        dead = int(dead_cells(self.spec, self.data)[:, self.layout.columns.index(parsed.response)].sum())
        if dead:
            raise DataError(
                f"{parsed.response!r} has {dead} cells after death, which have no value; project an earlier wave"
            )
        built = design(parsed, self.data)
        if not built.names or np.linalg.matrix_rank(built.matrix) < len(built.names):
            raise FormulaError(f"the terms of {formula!r} are {'collinear' if built.names else 'none'}; change them")
        j = self.layout.columns.index(parsed.response)
        given = np.array([any(c in t.columns for t in parsed.terms) for c in self.layout.columns])
        hat = np.linalg.solve(built.matrix.T @ built.matrix, built.matrix.T)
        estimate = hat @ self.predicted(self.theta)[:, j]
        plain = not (self.layout.indicators or self.layout.amounts or self.reference or self.spec.limits)
        variance = (self._by_model if plain else self._by_influence)(built.matrix, hat, estimate, j, given)
        return pd.DataFrame({"term": built.names, "estimate": estimate, "std_error": np.sqrt(np.diag(variance))})

    def _slopes(self, function: Callable[[np.ndarray], np.ndarray], covariance: np.ndarray) -> np.ndarray:
        """∂function/∂θ by central differences, (size of function, k)."""
        sizes = np.maximum(_STEP * np.sqrt(np.diag(covariance)), 1e-300)
        each = [
            (function(self.theta + e) - function(self.theta - e)) / (2 * h)
            for e, h in zip(np.diag(sizes), sizes, strict=True)
        ]
        return np.stack(each, axis=-1)

    def _by_model(self, x: np.ndarray, hat: np.ndarray, estimate: np.ndarray, j: int, given: np.ndarray) -> np.ndarray:
        """Under MAR, from the linearisation in (data, θ) with the model's variances.

        Var = Σ P_i P_i' (Var ŷ_i + misfit_i²) + M V J' + J V M' - J V J', P = (X'X)⁻¹X', J = ∂Pŷ/∂θ and
        M = ∂P Bx/∂θ; the cross terms follow from ∂E[ŷ]/∂θ = E[∂ŷ/∂θ] + E[ŷ score'].
        """
        known = np.where(given, self.layout.y, np.nan)
        arm = None if self.layout.arms is None else self.layout.arms.code

        def fitted(theta: np.ndarray) -> np.ndarray:
            at = self.parameters(theta)
            return conditional_mean(known, self.layout.x @ at.coef.T, at.cov, arm)[0][:, j]

        at = self.parameters(self.theta)
        mean = self.layout.x @ at.coef.T
        unseen = conditional_mean(self.layout.y, mean, at.cov, arm)[1][:, j]
        around = conditional_mean(known, mean, at.cov, arm)[1][:, j]
        spread = around - unseen + (fitted(self.theta) - x @ estimate) ** 2
        inverse = self.covariance()
        own = self._slopes(lambda theta: hat @ self.predicted(theta)[:, j], inverse)
        whole = self._slopes(lambda theta: hat @ fitted(theta), inverse)
        cross = whole @ inverse @ own.T
        return (hat * spread) @ hat.T + cross + cross.T - own @ inverse @ own.T

    def _by_influence(
        self, x: np.ndarray, hat: np.ndarray, estimate: np.ndarray, j: int, given: np.ndarray
    ) -> np.ndarray:
        """Under MNAR, Σ φ_i φ_i' of the influences φ_i = P_i (ŷ_i - x_i'β) + J V score_i."""
        inverse = self.covariance()
        own = self._slopes(lambda theta: hat @ self.predicted(theta)[:, j], inverse)
        scores = self._slopes(self._unit_loglik, inverse)
        influence = hat * (self.predicted(self.theta)[:, j] - x @ estimate) + own @ inverse @ scores.T
        return influence @ influence.T

    def _unit_loglik(self, theta: np.ndarray) -> np.ndarray:
        """Log f(y_seen, r) of each row, (n,), in the order of the table."""
        arguments = kernel_parameters(self.parameters(theta), self.layout, self.rows)
        sorted_rows, out = np.empty(len(self.layout.y)), np.empty(len(self.layout.y))
        name = "unit_loglik_together" if self.rows.together else "unit_loglik"
        _kernel(name)(*arguments, *self.rows.arrays[1:], sorted_rows)
        out[self.rows.patterns.order] = sorted_rows
        return out

    def regress(self, formula: str) -> pd.DataFrame:
        """Regression of one modelled column on others and on all predictors of the data model."""
        parsed, columns = parse(formula), self.layout.columns
        if parsed.kind != "value" or parsed.response not in columns:
            raise FormulaError(f"a regression is 'y ~ x' with y one of {', '.join(columns)}, not {formula!r}")
        modelled = [c for t in parsed.terms if t.bare for c in t.columns if c in columns and c != parsed.response]
        mixed = [t.name for t in parsed.terms if not t.bare and t.columns & set(columns)]
        if mixed or parsed.response in {c for t in parsed.terms for c in t.columns}:
            raise FormulaError(
                f"{formula!r}: modelled columns stand as they are on the right, the response not among them"
            )
        seen_terms = {t.name for t in parsed.terms if not t.columns & set(columns)}
        needed = {t.name for t in self.spec.model.predictors.terms}
        if seen_terms != needed:
            raise FormulaError(
                f"{formula!r}: besides modelled columns the joint fit gives the regression on all its predictors, "
                f"{' + '.join(sorted(needed))}; refit with mk.MvNormal(..., given=...) for others"
            )
        j, k = columns.index(parsed.response), [columns.index(c) for c in modelled]
        if self.layout.arms is not None and k:
            raise FormulaError(
                f"{formula!r}: with by={self.layout.arms.column!r} the slopes on modelled columns differ from level to "
                "level; fit without by=, or one level"
            )

        def values(theta: np.ndarray) -> np.ndarray:
            at = self.parameters(theta)
            slope = np.linalg.solve(at.cov[np.ix_(k, k)], at.cov[k, j]) if k else np.empty(0)
            left = at.cov[j, j] - (slope @ at.cov[k, j] if k else 0.0)
            return np.concatenate([at.coef[j] - slope @ at.coef[k], slope, [np.sqrt(left)]])

        inverse = self.covariance()
        jacobian = self._slopes(values, inverse)
        error = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, inverse, jacobian))
        terms = [*self.layout.terms, *modelled, "residual sd"]
        return pd.DataFrame({"term": terms, "estimate": values(self.theta), "std_error": error})
