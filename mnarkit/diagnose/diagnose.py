"""diagnose: from a fit to a page of checks."""

import warnings

import pandas as pd

from mnarkit.diagnose.beliefs import carriers, late_amounts
from mnarkit.diagnose.diagnosis import Diagnosis
from mnarkit.diagnose.identified import identification_findings
from mnarkit.diagnose.identify import identify
from mnarkit.diagnose.imputed import imputation_findings
from mnarkit.diagnose.influence import influence_findings, influence_of
from mnarkit.diagnose.outside import outside_findings
from mnarkit.diagnose.predicted import predictive_findings
from mnarkit.diagnose.predictive import predictive_check
from mnarkit.diagnose.replicate_normal import is_plain
from mnarkit.diagnose.sampler import sampler_findings
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.errors import MnarkitWarning, SpecError
from mnarkit.fit import Fit, checked_seed
from mnarkit.impute import impute

__all__ = ["diagnose"]

_FEWEST = 20


def diagnose(fit: Fit, *, m: int = 20, pairs: int = 100, seed: int | None = None) -> Diagnosis:
    """Check a fit: its sampler, imputations, predictions, what told its parameters, and which rows move its belief.

    Parameters
    ----------
    fit : Fit
        From `mk.sample`.
    m : int
        Imputations that are compared with the recorded values, at most the number of draws.
    pairs : int
        Pairs of posterior draws at which tables are replicated, four a pair; at most half the draws.
    seed : int, optional
        Without one, a seed is taken from the system and kept in `Diagnosis.seed`.

    Returns
    -------
    Diagnosis
        `print` gives a page, `.to_frame()` a table. It cannot test whether values are missing not at random.

    Raises
    ------
    SpecError
        Something else than a fit, or fewer than 20 pairs.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=300, chains=2, seed=1, progress=False)
    >>> mk.diagnose(fit, seed=2).to_frame()["check"].unique().tolist()
    ['sampler', 'imputations', 'predictive', 'identification']
    """
    if not isinstance(fit, Fit):
        raise SpecError(f"diagnose takes a Fit from mk.sample, not {type(fit).__name__}")
    if isinstance(pairs, bool) or not isinstance(pairs, int) or pairs < _FEWEST:
        raise SpecError(f"pairs= is a whole number of at least {_FEWEST}, not {pairs!r}")
    seed = checked_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MnarkitWarning)  # said among the findings
        imputations = impute(fit, m, seed=seed)
    predictive = predictive_check(fit, pairs=pairs, seed=seed)
    identified = identify(fit, seed=seed)
    names = _movable(fit)
    influence = influence_of(fit, names) if names and "log_likelihood" in fit.draws.children else pd.DataFrame()
    findings = (
        *sampler_findings(fit),
        *imputation_findings(imputations),
        *predictive_findings(predictive, fit.spec),
        *(outside_findings(fit, imputations) if is_plain(fit) else ()),
        *identification_findings(identified, fit),
        *(influence_findings(fit, names, influence) if len(influence) else ()),
    )
    return Diagnosis(fit, findings, imputations, predictive, identified, influence, seed)


def _movable(fit: Fit) -> list[str]:
    """Parameters that carry the belief and that the rows can move."""
    known = scalars_of(fit.draws["posterior"].to_dataset())
    inside = [name for name, likelihood in late_amounts(fit.spec, fit.data).items() if likelihood]
    return [name for name in (*(c.name for c in carriers(fit.spec, fit.data)), *inside) if name in known]
