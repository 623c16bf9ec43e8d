"""Nested models over imputations: D1, D2, D3 and D4."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import chdtrc, fdtrc

from mnarkit.errors import DataError
from mnarkit.estimates import Estimates
from mnarkit.likelihoods import LeastSquares, Likelihoods
from mnarkit.pool.hypothesis import Hypothesis, hypothesis
from mnarkit.pool.statistics import Statistic, d1, d2, d3, d4

__all__ = ["PooledTest", "pool_test"]

type Method = Literal["D1", "D2", "D3", "D4"]
type Increase = Literal["robust", "positive"]

_CONVENTIONS = {
    "D1": "Wald, Li, Raghunathan and Rubin (1991)",
    "D2": "mean of the Wald tests, Li, Meng, Raghunathan and Rubin (1991)",
    "D3": "likelihood ratio, Meng and Rubin (1992); as mice: intercept and residual variance by imputation",
    "D4": "likelihood ratio of the stacked tables, Chan and Meng (2022)",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PooledTest:
    """F with df1 and df2 degrees of freedom: one test of nested models over m imputations, as `pool_test` returns it.

    Attributes
    ----------
    method : str
        D1, D2, D3 or D4.
    statistic : float
        The statistic; it can be below 0 (D2, D3), which speaks for the smaller model.
    df1, df2 : float
        The number of conditions, and the degrees of freedom of the denominator (infinite: χ²/df1).
    riv : float
        r, the relative increase in variance due to the holes, as the method estimates it.
    m : int
        The number of imputations.
    df_complete : float or None
        The degrees of freedom of the larger analysis on complete data; D1 alone uses them.
    what, null : str
        The larger analysis, and what the null holds.
    convention : str
        Which definition the numbers follow.

    Examples
    --------
    >>> import mnarkit as mk
    >>> test = mk.pool_test(mk.Estimates.of([1.0, 2.0, 1.5, 1.2], [0.2, 0.2, 0.2, 0.2], terms=["x"]))
    >>> print(f"{test.statistic:.3f} {test.df1:g} {test.p_value:.3f}")
    4.653 1 0.056
    """

    method: str
    statistic: float
    df1: float
    df2: float
    riv: float
    m: int
    df_complete: float | None
    what: str
    null: str
    convention: str

    @property
    def p_value(self) -> float:
        """P(F > statistic)."""
        above = max(self.statistic, 0.0)
        tail = chdtrc(self.df1, self.df1 * above) if np.isinf(self.df2) else fdtrc(self.df1, self.df2, above)
        return float(tail)

    def to_frame(self) -> pd.DataFrame:
        """One row: `method statistic df1 df2 p_value riv m`.

        Returns
        -------
        DataFrame
            For putting several tests under one another with `pandas.concat`.

        Examples
        --------
        >>> import mnarkit as mk
        >>> test = mk.pool_test(mk.Estimates.of([1.0, 2.0, 1.5], [0.2, 0.2, 0.2]))
        >>> list(test.to_frame().columns)
        ['method', 'statistic', 'df1', 'df2', 'p_value', 'riv', 'm']
        """
        names = ("method", "statistic", "df1", "df2", "p_value", "riv", "m")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.method} over m = {self.m} imputations of {self.what}: {self.null}",
                f"F({self.df1:g}, {self.df2:.4g}) = {self.statistic:.4g}, p = {self.p_value:.4g}, "
                f"relative increase in variance {self.riv:.3g}",
                f"({self.convention})",
            ]
        )

    def __repr__(self) -> str:
        return str(self)


def pool_test(
    estimates: Estimates,
    null: Any = None,
    *,
    method: Method = "D1",
    increase: Increase = "robust",
) -> PooledTest:
    """Test Rθ = r, or a smaller model against a larger one, over m imputations.

    Parameters
    ----------
    estimates : Estimates
        The larger analysis; at least two imputations.
    null : Estimates, str, list of str, matrix or (matrix, values), optional
        The smaller analysis, on the same imputations; or linear conditions, `"educ = 0, exper = 2*expersq"`; or R
        with the terms as columns, with r if it is not 0. Without it every term but the intercept is 0.
    method : {"D1", "D2", "D3", "D4"}
        D1, a Wald test of the pooled estimates, for covariances; its second degrees of freedom are Reiter's where the
        complete-data degrees of freedom are known. D2, the mean of the m Wald tests, the least powerful. D3, the
        likelihood ratio at pooled estimates, in mice's form: the slopes are pooled, intercept and residual variance
        are fitted again in each imputation. D4, the likelihood ratio of the m tables under one another, which
        does not depend on the parameterisation.
    increase : {"robust", "positive"}
        How D4 estimates the relative increase in variance r: from all parameters of the larger model, so that it holds
        under the alternative too, or from the likelihood ratio, set to 0 where that is negative.

    Returns
    -------
    PooledTest
        The statistic, its degrees of freedom, p-value and r.

    Raises
    ------
    DataError
        Fewer than two imputations, models that are not nested, a term that does not exist, covariances that are not
        known (D1, D2), or an analysis that gives no log likelihood (D3, D4).

    Notes
    -----
    D3 and D4 need an analysis by formula, or by a function that returns a statsmodels result with `loglike`; such a
    function is run again. Conditions in text or as a matrix serve D3 and D4 for formulas alone; for a function give the
    smaller analysis. With k (m - 1) of 4 or less D1 has k (m - 1) second degrees of freedom in small samples, as mice:
    make more imputations.

    References
    ----------
    Li, K.-H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance levels from multiply imputed data
    using moment-based statistics and an F reference distribution. JASA 86, 1065-1073.
    Li, K.-H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance levels from repeated p-values with
    multiply-imputed data. Statistica Sinica 1, 65-92.
    Meng, X.-L. and Rubin, D. B. (1992). Performing likelihood ratio tests with multiply-imputed data sets. Biometrika
    79, 103-111.
    Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component significance tests with multiple
    imputation for missing data. Biometrika 94, 502-508.
    Chan, K. W. and Meng, X.-L. (2022). Multiple improvements of multiple imputation likelihood ratio tests. Statistica
    Sinica 32, 1489-1514.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import pandas as pd
    >>> completed = [pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, v], "x": [0.0, 1.0, 2.0, 3.0, 5.0]}) for v in (4.5, 5, 7)]
    >>> larger, smaller = mk.analyze(completed, "y ~ x"), mk.analyze(completed, "y ~ 1")
    >>> print(mk.pool_test(larger, smaller, method="D4"))
    D4 over m = 3 imputations of y ~ x: x = 0
    F(1, 20.8) = 3.476, p = 0.07645, relative increase in variance 1.16
    (likelihood ratio of the stacked tables, Chan and Meng (2022); r from all parameters)
    >>> mk.pool_test(larger, "x = 1", method="D1").df2
    2.0
    """
    _check(estimates, null, method, increase)
    tested = hypothesis(null, estimates.terms)
    convention = _CONVENTIONS[method]
    if method == "D4":
        convention += "; r from all parameters" if increase == "robust" else "; r from the likelihood ratio"
    found = _METHODS[method](estimates, null, tested, increase)
    if not np.isfinite(found[0]):
        raise DataError(
            f"the {method} statistic of {estimates.what!r} is {found[0]}: a model fits the data without residuals; "
            'method="D1" may still serve'
        )
    k, df = float(len(tested.matrix)), estimates.df_complete
    return PooledTest(method, found[0], k, found[1], found[2], estimates.m, df, estimates.what, tested.text, convention)


def _check(estimates: Any, null: Any, method: Any, increase: Any) -> None:
    if not isinstance(estimates, Estimates):
        raise DataError(
            f"pool_test takes Estimates, from analyze(...) or Estimates.of(...), not {type(estimates).__name__}"
        )
    for name, value, allowed in (("method", method, Method), ("increase", increase, Increase)):
        if value not in get_args(allowed.__value__):
            raise DataError(f"{name}= is one of {', '.join(map(repr, get_args(allowed.__value__)))}, not {value!r}")
    if estimates.m < 2:
        raise DataError(
            f"with 1 imputation {method} has no variance between imputations; make at least 2, better 20: "
            "impute(fit, m=20)"
        )
    if isinstance(null, Estimates) and null.m != estimates.m:
        raise DataError(
            f"the larger model has {estimates.m} imputations and the smaller {null.m}; "
            "analyze the same imputations with both"
        )


def _contrasts(estimates: Estimates, tested: Hypothesis) -> tuple[np.ndarray, np.ndarray]:
    """Rθ̂ - r and its covariance, by imputation."""
    used = np.flatnonzero(tested.matrix.any(axis=0))
    matrix, covariances = tested.matrix[:, used], estimates.covariances[:, used[:, None], used]
    if np.isnan(covariances).any():
        raise DataError(
            f"the covariances of the estimates of {estimates.what!r} are not known, only their variances, and "
            f"{tested.text!r} takes {len(used)} of them together; give (m, k, k) covariances"
        )
    spread = matrix @ covariances @ matrix.T
    if min(np.linalg.matrix_rank(part, hermitian=True) for part in spread) < len(matrix):
        raise DataError(
            f"the covariance matrix of {tested.text!r} is singular in some imputation; leave out the terms that "
            "others determine"
        )
    return estimates.estimates[:, used] @ matrix.T - tested.values, spread


def _wald(estimates: Estimates, null: Any, tested: Hypothesis, increase: str) -> Statistic:
    return d1(*_contrasts(estimates, tested), estimates.df_complete)


def _wald_mean(estimates: Estimates, null: Any, tested: Hypothesis, increase: str) -> Statistic:
    values, spread = _contrasts(estimates, tested)
    tests = (values * np.linalg.solve(spread, values[..., None])[..., 0]).sum(axis=1)
    return d2(tests, values.shape[1])


def _at_pooled(estimates: Estimates, null: Any, tested: Hypothesis, increase: str) -> Statistic:
    large, small, pooled = _pair(estimates, null, tested, "D3")
    common = 2 * (large.at(estimates.estimates.mean(axis=0)) - small.at(pooled))
    return d3(2 * (large.fitted() - small.fitted()), common, len(tested.matrix))


def _stacked(estimates: Estimates, null: Any, tested: Hypothesis, increase: str) -> Statistic:
    large, small, _ = _pair(estimates, null, tested, "D4")
    k, separate, together = len(tested.matrix), large.fitted(), large.stacked()
    ratio = 2 * (together - small.stacked())
    if increase == "robust":
        return d4(ratio, 2 * (float(separate.mean()) - together), k, large.size, estimates.m)
    return d4(ratio, 2 * float((separate - small.fitted()).mean()) - ratio, k, k, estimates.m)


_METHODS: dict[str, Callable[[Estimates, Any, Hypothesis, str], Statistic]] = {
    "D1": _wald,
    "D2": _wald_mean,
    "D3": _at_pooled,
    "D4": _stacked,
}


def _pair(
    estimates: Estimates, null: Any, tested: Hypothesis, method: str
) -> tuple[Likelihoods, Likelihoods, np.ndarray]:
    """The likelihoods of both models, and the pooled estimates of the smaller."""
    large = _likelihoods(estimates, method)
    if isinstance(null, Estimates):
        small = _likelihoods(null, method)
        if isinstance(large, LeastSquares) and isinstance(small, LeastSquares) and large.rows != small.rows:
            raise DataError(
                f"the larger model has {large.rows} rows and the smaller {small.rows}; analyze the same imputations"
            )
        return large, small, null.estimates.mean(axis=0)
    if not isinstance(large, LeastSquares):
        raise DataError(
            f"{method} of an analysis by function takes the smaller model as Estimates, not {tested.text!r}: "
            "pool_test(larger, analyze(imputations, smaller))"
        )
    restricted = large.under(tested.matrix, tested.values)
    return large, restricted, restricted.estimates.mean(axis=0)


def _likelihoods(estimates: Estimates, method: str) -> Likelihoods:
    if estimates.likelihoods is None:
        raise DataError(
            f"{method} needs log likelihoods, and {estimates.what!r} gives none: analyze with a formula, or with a "
            'function that returns a statsmodels result; method="D1" and "D2" need none'
        )
    return estimates.likelihoods
