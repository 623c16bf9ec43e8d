"""sample: draws from the posterior of a spec, with the sentences that a reader needs beside them."""

import warnings
from collections.abc import Callable
from typing import Any

import lazy_loader

from mnarkit.data import IncompleteData
from mnarkit.errors import ConvergenceWarning, IdentificationWarning, SpecError
from mnarkit.factored.check import check_factored
from mnarkit.fit import Fit, checked_seed
from mnarkit.normal.layout import designs_of, lay_out
from mnarkit.plan import Plan, normal_blocks
from mnarkit.sample.convergence import troubles
from mnarkit.sample.direct import draw_directly
from mnarkit.sample.factored import sample_factored
from mnarkit.sample.loglik import add_loglik
from mnarkit.sample.restricted import draw_restricted
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.sample.target import Target
from mnarkit.sample.tidy import tree_of
from mnarkit.spec.bounds import limits_said
from mnarkit.spec.check import check, identification
from mnarkit.spec.death import death_said
from mnarkit.spec.engine import engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.origin import far_origins
from mnarkit.spec.propensities import orthants
from mnarkit.spec.spec import Spec, require_spec

__all__ = ["sample"]

# PyMC takes seconds to import; what is sampled directly does without it
_compiled: Callable[[str], Any] = lazy_loader.attach(
    "mnarkit.sample", submod_attrs={"compiled": ["draw_from_model", "draw_through_pymc"]}
)[0]


def sample(
    spec: Spec,
    df: object,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float = 0.9,
    seed: int | None = None,
    progress: bool = True,
    model: Any = None,
) -> Fit:
    """Draw from p(θ | y_seen, r), NUTS by nutpie, started at the MAR maximum of the likelihood.

    Parameters
    ----------
    spec : Spec
        Data model and beliefs; `print(spec)` says what cannot be tested.
    df : DataFrame
        The table.
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain, and the number of chains.
    cores : int, optional
        Chains at a time; the draws do not depend on it.
    target_accept : float
        Of NUTS, in (0, 1).
    seed : int, optional
        Without one, a seed is taken from the system and recorded in `Fit.seed`.
    progress : bool
        Show a progress bar.
    model : pymc.Model, optional
        `mk.build(spec, df)` as you extended it.

    Returns
    -------
    Fit

    Raises
    ------
    SpecError, DataError
        The spec does not fit the table.

    Warns
    -----
    IdentificationWarning
        What a selection model is identified by, and default priors that hold a difference far from the data.
    ConvergenceWarning
        Divergences, R-hat above 1.01, effective sample size below 100 a chain.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> dict(fit.draws["posterior"].sizes)["term"]
    2
    """
    require_spec(spec)
    settings = Settings(draws, tune, chains, cores, target_accept, checked_seed(seed), progress)
    data = IncompleteData.of(df)
    factored = engine_of(spec, data).name == "factored"
    (check_factored if factored else check)(spec, data)
    rests = (*identification(spec), *far_origins(spec, data))
    for sentence in rests:
        warnings.warn(sentence, IdentificationWarning, stacklevel=2)
    if factored:
        drawn = None if model is None else _compiled("draw_from_model")(model, {}, settings)
        return sample_factored(spec, data, settings, rests, drawn)
    if spec.restriction is not None:
        return _restricted(spec, data, settings, model)
    drawn = _draw(spec, data, settings, model)
    notes = (_said(spec, data), *rests, *limits_said(spec, data), *death_said(spec, data), *orthants(spec, data))
    fit = Fit(spec, data, tree_of(drawn, spec, settings), settings.seed, notes)
    fitted = fitted_table(spec, data)
    add_loglik(fit, lay_out(spec, fitted, designs_of(spec, fitted)))
    found = troubles(fit)
    for sentence in found:
        warnings.warn(sentence, ConvergenceWarning, stacklevel=2)
    return Fit(spec, data, fit.draws, settings.seed, (*notes, *found))


def _said(spec: Spec, data: IncompleteData) -> str:
    """What becomes of the unseen values, in a line."""
    engine = engine_of(spec, data)
    return Plan(engine.name, engine.because, normal_blocks(spec, data)).sentence


def _restricted(spec: Spec, data: IncompleteData, settings: Settings, model: Any) -> Fit:
    """Exact draws; there is no likelihood of a row that would have a meaning beyond its own pattern."""
    if model is not None:
        raise SpecError(f"model= is for specs that mk.build makes; {spec.restriction} is drawn exactly without one")
    drawn, notes = draw_restricted(spec, data, settings)
    notes = (_said(spec, data), *notes)
    return Fit(spec, data, tree_of(drawn, spec, settings), settings.seed, notes)


def _draw(spec: Spec, data: IncompleteData, settings: Settings, model: Any) -> Drawn:
    """Draw without compiling where the log posterior is written out; else through PyMC."""
    target = Target.of(spec, data) if model is None else None
    if target is not None:
        return draw_directly(target, data, settings)
    return _compiled("draw_through_pymc")(spec, data, settings, model)
