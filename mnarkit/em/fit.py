"""EMFit, the noun: maximum-likelihood estimates (or a posterior mode) with what made them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em import files
from mnarkit.em.analysis import Analyst
from mnarkit.em.information import Information, information_of
from mnarkit.em.names import IndicatorEstimate, coef_names, cov_names, pack_named
from mnarkit.em.notes import never_together
from mnarkit.em.penalty import CovariancePrior, Penalty
from mnarkit.em.units import Units
from mnarkit.errors import ConvergenceError, DataError
from mnarkit.normal.moments import Moments
from mnarkit.spec.spec import Spec

__all__ = ["Curvature", "EMFit"]


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """What standard errors under MAR are computed from when they are asked for."""

    moments: Moments
    penalty: Penalty
    left_out: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class EMFit:
    """Estimates at a maximum of the observed-data likelihood of a spec, or of likelihood times prior.

    Attributes
    ----------
    spec : Spec
        What was fitted.
    data : IncompleteData or None
        The table; None if it was read in chunks from a file or a cluster.
    columns, terms : tuple of str
        The modelled columns and the terms of their predictors.
    coef, cov : (p, q), (p, p) arrays
        Regression coefficients (a row per modelled column) and residual covariance (divisor n), in the columns' units;
        with `MvNormal(by=)` one for each level, (levels, p, p).
    indicators : tuple of IndicatorEstimate
        Coefficients of each modelled indicator and, in a Heckman model, ρ.
    loglik : float
        Observed-data log likelihood in the columns' units, the constant -½ log 2π per recorded value included (SAS
        PROC MI and norm2 leave it out).
    log_prior : float
        Log density of the prior at the estimates without its normalising constant; 0 without a prior.
    n, n_empty : int
        Rows used, and rows left out because no modelled column is seen in them (under MAR they say nothing).
    start : Series
        Where EM started, by parameter.
    history : DataFrame
        A row per iteration: `iteration`, `loglik`, `minus_2_loglik`, `log_prior` if there is one, every parameter.
    iterations, evaluations : int
        Iterations, and evaluations of the EM map (more when an extrapolation was rejected).
    converged, reason : bool, str
        Whether the parameters stood still, and why EM stopped.
    prior : Ridge, InverseWishart, Jeffreys or None
        The prior of the covariance.
    modes : DataFrame
        For a selection or Heckman model: every maximum that was found, with `loglik`, its start, and which is this one.
    notes : tuple of str
        What a reader must know: columns left out, a boundary, another mode, amounts held.
    curvature : Curvature, (k, k) array or None
        What standard errors are computed from; the array is the covariance of `params`.
    arms : tuple of str
        The levels that have a covariance each, in the order of `cov`.
    """

    spec: Spec
    data: IncompleteData | None
    columns: tuple[str, ...]
    terms: tuple[str, ...]
    coef: np.ndarray
    cov: np.ndarray
    indicators: tuple[IndicatorEstimate, ...]
    loglik: float
    log_prior: float
    n: int
    n_empty: int
    start: pd.Series
    history: pd.DataFrame
    iterations: int
    evaluations: int
    converged: bool
    reason: str
    prior: CovariancePrior | None
    modes: pd.DataFrame
    notes: tuple[str, ...]
    curvature: Curvature | np.ndarray | None
    arms: tuple[str, ...] = ()

    @property
    def params(self) -> pd.Series:
        """Every estimate by name: `lwage ~ educ`, `cov(y1, y2)`, `missing(y) ~ z`, `rho(y)`."""
        names = [*coef_names(self.columns, self.terms), *cov_names(self.columns, self.arms)]
        values, more = pack_named(self.coef, self.cov, self.indicators)
        return pd.Series(values, index=[*names, *more], name="estimate")

    @property
    def covariance(self) -> pd.DataFrame:
        """Covariance of `params`, the inverse of the observed information (with the prior's, if there is one).

        Raises
        ------
        ConvergenceError
            The likelihood is flat at its maximum.
        """
        names = self.params.index
        return pd.DataFrame(self._covariance(), index=names, columns=names)

    @property
    def std_errors(self) -> pd.Series:
        """Standard errors from the observed information."""
        return pd.Series(np.sqrt(np.diag(self._covariance())), index=self.params.index, name="std_error")

    @property
    def missing_information(self) -> pd.Series:
        """Fraction of missing information of each parameter, 1 - V_complete / V_observed, in [0, 1]; MAR alone."""
        made = self._information().fractions()
        if made is None:
            raise ConvergenceError(self._flat())
        return pd.Series(made, index=self.params.index, name="fraction")

    @property
    def worst_missing_information(self) -> tuple[float, pd.Series]:
        """The largest fraction over all linear functions of the parameters, the rate of EM, and that function.

        The function is given by its weights on the parameters in the columns' own units, the largest ±1 (Schafer 1997,
        section 3.3.4); MAR alone.
        """
        curvature = self._mar_curvature()
        fraction, direction = self._information().worst()
        weights = np.linalg.solve(Units.of(curvature.moments).jacobian.T, self._information().complete @ direction)
        return fraction, pd.Series(weights / weights[np.argmax(np.abs(weights))], index=self.params.index)

    def to_frame(self, shape: Literal["tidy", "cov"] = "tidy") -> pd.DataFrame:
        """Estimates as a table.

        Parameters
        ----------
        shape : {"tidy", "cov"}
            `tidy`: columns `term`, `estimate`, `std_error`. `cov`: the layout of SAS PROC MI's OUTEM=, a row `MEAN`
            (`COEF` per term if there are predictors) and a row `COV` per column.
        """
        if shape == "tidy":
            params = self.params
            return pd.DataFrame(
                {"term": params.index, "estimate": params.to_numpy(), "std_error": self.std_errors.to_numpy()}
            )
        if shape != "cov":
            raise DataError(f"to_frame gives 'tidy' or 'cov', not {shape!r}")
        plain = self.terms == ("Intercept",)
        kinds = [*(["MEAN"] if plain else ["COEF"] * len(self.terms)), *(["COV"] * len(self.columns))]
        named = [*([""] if plain else self.terms), *self.columns]
        if self.arms:
            kinds, named = kinds[: len(self.coef.T)], named[: len(self.coef.T)]
            kinds += ["COV"] * len(self.columns) * len(self.arms)
            named += [f"{column}[{arm}]" for arm in self.arms for column in self.columns]
        numbers = pd.DataFrame(
            np.vstack([self.coef.T, self.cov.reshape(-1, len(self.columns))]), columns=list(self.columns)
        )
        return pd.concat([pd.DataFrame({"_TYPE_": kinds, "_NAME_": named}), numbers], axis=1)

    def transform(self, function: Callable[[pd.Series], Mapping[str, float]]) -> pd.DataFrame:
        """Functions of the parameters, with delta-method standard errors.

        Parameters
        ----------
        function : callable
            Takes `params`, returns numbers by name.

        Returns
        -------
        DataFrame
            Columns `term`, `estimate`, `std_error`.

        Examples
        --------
        >>> import mnarkit as mk
        >>> fit = mk.em(mk.Spec(mk.Regression("lwage ~ educ")), mk.load_dataset("wages"))
        >>> fit.transform(lambda p: {"sd": p["var(lwage)"] ** 0.5}).round(3)
          term  estimate  std_error
        0   sd     0.678      0.023
        """
        params, covariance = self.params, self._covariance()
        steps = 1e-4 * np.sqrt(np.diag(covariance))  # second differences of smooth functions are then below 1e-7

        def values(at: np.ndarray) -> np.ndarray:
            return np.array(list(function(pd.Series(at, index=params.index)).values()), dtype=float)

        at = params.to_numpy(copy=True)
        slopes = [(values(at + e) - values(at - e)) / (2 * max(e.sum(), 1e-300)) for e in np.diag(steps)]
        jacobian = np.stack(slopes, axis=1)
        error = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
        return pd.DataFrame({"term": list(function(params)), "estimate": values(at), "std_error": error})

    def project(self, formula: str) -> pd.DataFrame:
        """(X'X)⁻¹ X' E[y | seen]: an analysis at the maximum of the likelihood, with delta-method standard errors.

        Parameters
        ----------
        formula : str
            `"y ~ x"`, y modelled and the predictors fully seen; `"y ~ 1"` is the mean over all rows.

        Returns
        -------
        DataFrame
            Columns `term`, `estimate`, `std_error`; for a population from which the rows are a sample.
        """
        return self._analyst().project(formula)

    def regress(self, formula: str) -> pd.DataFrame:
        """Regression of one modelled column on others, seen or not, from the joint fit: full-information ML.

        Parameters
        ----------
        formula : str
            `"y1 ~ y2 + x"`: modelled columns as they are, and all the fully seen predictors of the data model.

        Returns
        -------
        DataFrame
            Columns `term`, `estimate`, `std_error`, the last row `residual sd`.
        """
        return self._analyst().regress(formula)

    def expected(self) -> pd.DataFrame:
        """The table with E[y | seen] in its holes: *not* a proper imputation.

        Every hole gets the middle of what it could be, so spreads and correlations come out too small and standard
        errors take guesses for data; use `mnarkit.impute` for analyses.
        """
        return self._analyst().expected()

    def stochastic(self, seed: int) -> pd.DataFrame:
        """The table with one draw of y | seen at the estimates in its holes: *not* a proper imputation.

        The parameters are held at the maximum as if they were known, so analyses of several such tables understate the
        uncertainty; use `mnarkit.impute`, whose parameters are drawn too.

        Parameters
        ----------
        seed : int
            Of the draw.
        """
        return self._analyst().stochastic(seed)

    def save(self, folder: str | Path) -> Path:
        """Write spec, estimates, history and table into a folder, made if absent; `EMFit.load` reads them back."""
        return files.write(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "EMFit":
        """Read what `save` wrote.

        Raises
        ------
        MnarkitError
            A file is missing or damaged.
        """
        return cls(**files.read(Path(folder), Curvature))

    def _mar_curvature(self) -> Curvature:
        if not isinstance(self.curvature, Curvature):
            raise ConvergenceError("fractions of missing information compare with complete data; they are for MAR fits")
        return self.curvature

    def _information(self) -> Information:
        curvature = self._mar_curvature()
        if curvature.left_out.any():
            raise ConvergenceError(self._flat())
        coef, cov = Units.of(curvature.moments).standard(self.coef, self.cov)
        return information_of(coef, cov, curvature.moments, curvature.penalty, curvature.left_out)

    def _covariance(self) -> np.ndarray:
        if isinstance(self.curvature, np.ndarray):
            return self.curvature
        made = None if self.curvature is None else self._information().covariance()
        if made is None or self.curvature is None:
            raise ConvergenceError(self._flat())
        jacobian = Units.of(self.curvature.moments).jacobian
        return jacobian @ made @ jacobian.T

    def _flat(self) -> str:
        """Why there are no standard errors."""
        if not isinstance(self.curvature, Curvature):
            return next(
                (n for n in self.notes if n.startswith("no standard errors")), "no standard errors: flat maximum"
            )
        moments, left = self.curvature.moments, self.curvature.left_out
        if left.any():
            names = ", ".join(repr(c) for c, out in zip(self.columns, left.any(axis=0), strict=True) if out)
            return f"no standard errors: {names} is determined by other columns; leave it out, or use a prior"
        apart = never_together(moments)
        if apart:
            return (
                f"no standard errors: the likelihood is flat at its maximum, {apart[0][0]!r} and {apart[0][1]!r} are "
                "never seen together; leave one out, or use a prior"
            )
        share = self._information().flat()
        names = ", ".join(repr(n) for n, s in zip(self.params.index, share, strict=True) if s > 0.5 * share.max())
        return (
            f"no standard errors: the likelihood is flat at its maximum, the data do not tell {names}; leave a column "
            "out, or use a prior"
        )

    def _analyst(self) -> Analyst:
        if self.data is None:
            raise DataError(
                "this fit was made from a table read in chunks, which is not kept; fit a DataFrame for that"
            )
        return Analyst.of(self.spec, self.data, self.indicators, self.params.to_numpy(), self._covariance)

    def __str__(self) -> str:
        left = f", {self.n_empty} rows with nothing seen left out" if self.n_empty else ""
        what = "MAR" if self.spec.is_mar and not self.spec.limits else " + ".join(map(str, self.spec.missingness))
        went = f"{self.iterations} iterations ({self.evaluations} evaluations of the map), {self.reason}"
        mode = f", log prior {self.log_prior:.4f} ({self.prior!r}: a posterior mode)" if self.prior is not None else ""
        head = f"EM under {what}: n = {self.n}{left}, log likelihood {self.loglik:.4f}{mode}, {went}"
        notes = "".join(f"\nNote: {note}" for note in self.notes)
        try:
            table = self.to_frame().to_string(index=False, float_format=lambda v: f"{v:.6g}")
        except ConvergenceError as error:
            table = f"{self.params.to_string()}\n{error}"
        return f"{head}\n{table}{notes}"
