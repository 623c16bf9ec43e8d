"""variances: one estimate under one belief, its standard error by several methods, side by side."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lazy_loader
import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from mnarkit.analyze import Analysis, analyze
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.fit import Fit, checked_seed
from mnarkit.formula import parse
from mnarkit.impute import Imputations, impute
from mnarkit.pool import pool
from mnarkit.priors import Prior
from mnarkit.spec.amounts import parameters_of
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec, require_spec
from mnarkit.variances.formulas import boot_impute, jackknife
from mnarkit.variances.refits import Refits
from mnarkit.variances.replicates import Estimand, Job, estimates_on, run
from mnarkit.variances.result import METHODS, Variances, targets

__all__ = ["variances"]

# the sampler takes seconds to import; every process that refits does without
_sampler: Callable[[str], Any] = lazy_loader.attach("mnarkit", submod_attrs={"sample": ["sample"]})[0]

type Method = Literal["rubin", "jackknife", "bootstrap", "bootstrap-impute", "information-anchored"]

_REFITTED = ("jackknife", "bootstrap", "bootstrap-impute", "information-anchored")
_OF_MEANS = ("jackknife", "bootstrap", "information-anchored")


def variances(
    spec: Spec,
    df: Any,
    what: Analysis,
    *,
    methods: Sequence[Method] = ("rubin", "jackknife", "information-anchored"),
    fit: Fit | None = None,
    m: int = 100,
    resamples: int = 500,
    per_resample: int = 2,
    strata: str | None = None,
    level: float = 0.95,
    seed: int | None = None,
    workers: int | None = 1,
    progress: bool = True,
) -> Variances:
    """V̂(θ̂) by method, side by side: Rubin's rules, jackknife, bootstrap, bootstrap then impute, information-anchored.

    Parameters
    ----------
    spec : Spec
        The belief; `em` fits it.
    df : DataFrame
        The table, a row a subject: rows are what is left out or drawn.
    what : str or callable
        As in `analyze`. For all methods but `rubin` and `bootstrap-impute` conditional means stand in the holes, so the
        estimate must be linear in the incomplete columns: a mean, a difference, least squares of an incomplete column
        on fully seen ones. A formula is checked; of a function it is taken for granted.
    methods : sequence of str
        `"rubin"`: m proper imputations. `"jackknife"`: every row left out once. `"bootstrap"`: percentiles over
        `resamples` samples. `"bootstrap-impute"`: `resamples` samples, each imputed `per_resample` times at its own
        estimates. `"information-anchored"`: for a `Reference` or late amounts; conditional means under MAR moved, cell
        by cell, to those under the belief, the moves held fixed while rows are left out.
    fit : Fit, optional
        For `rubin`: posterior draws of the spec or of `spec.mar()` on this table; sampled with the defaults if absent.
    m : int
        Imputations of `rubin`.
    resamples, per_resample : int
        Bootstrap samples, at least 50, and imputations of each, at least 2.
    strata : str, optional
        A fully seen column whose groups keep their sizes in a bootstrap sample; by default the arm of a `Reference`.
    level : float
        The level of the intervals, in (0, 1).
    seed : int, optional
        Of everything that is drawn at random.
    workers : int, optional
        In how many processes to refit, None for one a core; the numbers do not depend on it.
    progress : bool
        Show a line on a terminal when it takes more than two seconds.

    Returns
    -------
    Variances
        A row per term and method. No method is chosen: which variance is right depends on what it shall tell.

    Raises
    ------
    SpecError
        An unknown method, or one that is not for this belief.
    DataError
        An analysis that conditional means would bias, a refit that fails, a fit of another table.

    Notes
    -----
    Repeated-sampling variances shrink with the number of holes under a reference-based belief, because imputed values
    are tied to the control arm; Rubin's rules then estimate more, close to the information-anchored variance. Both are
    in use, for different questions.

    References
    ----------
    Bartlett, J. (2023). Reference-based multiple imputation: what is the right variance and how to estimate it.
    Statistics in Biopharmaceutical Research 15, 178-186.
    Cro, S., Carpenter, J. and Kenward, M. (2019). Information-anchored sensitivity analysis: theory and application.
    JRSS A 182, 623-645.
    Lu, K. (2021). An alternative implementation of reference-based controlled imputation procedures. Statistics in
    Biopharmaceutical Research 13, 483-491.
    von Hippel, P. and Bartlett, J. (2021). Maximum likelihood multiple imputation: faster imputations and consistent
    standard errors without posterior draws. Statistical Science 36, 400-420.
    Wolbers, M., Noci, A., Delmar, P., Gower-Page, C., Yiu, S. and Bartlett, J. (2022). Standard and reference-based
    conditional mean imputation. Pharmaceutical Statistics 21, 1246-1257.

    Examples
    --------
    >>> import mnarkit as mk
    >>> trial = mk.load_dataset("depression")
    >>> model = mk.MvNormal("bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m", given="treatment + bdi_pre")
    >>> spec = mk.Spec(model, mk.Reference("J2R", arm="treatment", control="TAU"))
    >>> both = ("jackknife", "information-anchored")
    >>> made = mk.variances(spec, trial, "bdi_8m ~ treatment + bdi_pre", methods=both, progress=False)
    >>> effect = made.to_frame().query("term == 'treatment[T.TAU]'")
    >>> effect[["method", "estimate", "std_error"]].round(2).to_dict("list")
    {'method': ['jackknife', 'information-anchored'], 'estimate': [0.8, 0.8], 'std_error': [1.12, 2.15]}
    """
    require_spec(spec)
    chosen = _checked(methods, spec, what, m, resamples, per_resample, level)
    data, seed = IncompleteData.of(df), checked_seed(seed)
    groups = _groups(strata, spec, data)
    if fit is not None:
        _check_fit(fit, spec, data)
    _check_linear(chosen, what, spec, data)
    plan = _Plan(spec, data, what, chosen, seed, level, resamples, per_resample, groups, _workers(workers), progress)
    found = _resampled(plan)
    if "rubin" in chosen:
        drawn = _sampler("sample")(spec, data.frame, seed=seed, progress=progress) if fit is None else fit
        found["rubin"] = _by_rubin(plan, _imputed(drawn, spec, m, seed), m)
    table = pd.concat([found[name] for name in chosen], ignore_index=True)
    order = list(dict.fromkeys(table["term"]))
    table = table.sort_values("term", key=lambda t: t.map(order.index), kind="stable", ignore_index=True)
    label = what if isinstance(what, str) else str(getattr(what, "__name__", type(what).__name__))
    return Variances(spec, label, table, level, seed, _notes(plan))


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    spec: Spec
    data: IncompleteData
    what: Analysis
    methods: tuple[str, ...]
    seed: int
    level: float
    resamples: int
    per_resample: int
    groups: tuple[np.ndarray, ...]
    workers: int
    progress: bool


def _resampled(plan: _Plan) -> dict[str, pd.DataFrame]:
    """Do the methods that refit: the same refits serve the jackknife and the information-anchored variance."""
    wanted = [name for name in plan.methods if name in _REFITTED]
    if not wanted:
        return {}
    refits, every, found = Refits.of(plan.spec, plan.data), np.arange(plan.data.n), {}
    estimand = Estimand.of(plan.what, plan.data)
    terms, whole = estimates_on(refits.analyst, estimand, Job("on all rows", every, expected=True), None)

    def done(jobs: list[Job], distance: np.ndarray | None, label: str) -> np.ndarray:
        quiet = {"workers": plan.workers, "progress": plan.progress}
        return run(refits, estimand, jobs, distance, terms, label=f"{label}:", **quiet)

    left_out = [name for name in ("jackknife", "information-anchored") if name in wanted]
    if left_out:
        means, moved = "jackknife" in left_out, "information-anchored" in left_out
        jobs = [Job(f"without row {i + 1}", np.delete(every, i), means, moved) for i in range(plan.data.n)]
        values = done(jobs, refits.distance, "jackknife")
        for k, name in enumerate(left_out):
            error = np.sqrt(jackknife(values[:, k]))
            found[name] = _rows(plan, name, terms, whole[0], error, f"{plan.data.n} refits", dof=np.inf)
    if "bootstrap" in wanted:
        jobs = [Job(f"bootstrap sample {b + 1}", _rows_of(plan, 1, b), expected=True) for b in range(plan.resamples)]
        values = done(jobs, None, "bootstrap")[:, 0]
        found["bootstrap"] = _by_percentiles(plan, terms, whole[0], values)
    if "bootstrap-impute" in wanted:
        jobs = [_imputed_sample(plan, b) for b in range(plan.resamples)]
        estimate, variance, dof = boot_impute(done(jobs, None, "bootstrap, imputed"))
        told = f"{plan.resamples} samples, {plan.per_resample} imputations each"
        found["bootstrap-impute"] = _rows(plan, "bootstrap-impute", terms, estimate, np.sqrt(variance), told, dof=dof)
    return found


def _stream(plan: _Plan, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(plan.seed, spawn_key=key)


def _rows_of(plan: _Plan, kind: int, b: int) -> np.ndarray:
    rng = np.random.default_rng(_stream(plan, kind, b, 0))
    return np.concatenate([rng.choice(group, len(group)) for group in plan.groups])


def _imputed_sample(plan: _Plan, b: int) -> Job:
    seeds = tuple(_stream(plan, 2, b, 1 + j) for j in range(plan.per_resample))
    return Job(f"bootstrap sample {b + 1}", _rows_of(plan, 2, b), seeds=seeds)


def _rows(
    plan: _Plan, method: str, terms: tuple[str, ...], estimate: np.ndarray, error: np.ndarray, told: str, *, dof: Any
) -> pd.DataFrame:
    """One row a term; the interval is normal or t."""
    at = (1 + plan.level) / 2
    half = error * (stdtrit(dof, at) if np.isfinite(dof).all() else ndtri(at))
    numbers = {"estimate": estimate, "std_error": error, "dof": dof, "ci_low": estimate - half}
    numbers |= {"ci_high": estimate + half, "level": plan.level}
    words = {"interval": "t" if np.isfinite(dof).all() else "normal", "targets": targets(method, plan.spec)}
    words["made_of"] = f"{METHODS[method]}; {told}"
    return pd.DataFrame({"term": list(terms), "method": method} | numbers | words)


def _by_percentiles(plan: _Plan, terms: tuple[str, ...], estimate: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    low, high = np.quantile(values, [(1 - plan.level) / 2, (1 + plan.level) / 2], axis=0)
    told = f"{plan.resamples} samples"
    made = _rows(plan, "bootstrap", terms, estimate, values.std(axis=0, ddof=1), told, dof=np.inf)
    return made.assign(ci_low=low, ci_high=high, dof=np.nan, interval="percentile")


def _by_rubin(plan: _Plan, imputations: Imputations, m: int) -> pd.DataFrame:
    pooled = pool(analyze(imputations, plan.what, workers=plan.workers, progress=plan.progress), level=plan.level)
    made = _rows(plan, "rubin", pooled.terms, pooled.estimate, pooled.std_error, f"m = {m}", dof=pooled.dof)
    return made.assign(ci_low=pooled.ci_low, ci_high=pooled.ci_high)


def _imputed(fit: Fit, spec: Spec, m: int, seed: int) -> Imputations:
    late = [b for b in spec.missingness if isinstance(b, (PatternMixture, Reference))]
    return impute(fit, m, seed=seed, under=None if fit.spec == spec else late)


def _checked(
    methods: Any, spec: Spec, what: Any, m: Any, resamples: Any, per_resample: Any, level: Any
) -> tuple[str, ...]:
    chosen = (methods,) if isinstance(methods, str) else tuple(dict.fromkeys(methods))
    unknown = [name for name in chosen if name not in METHODS]
    if unknown or not chosen:
        raise SpecError(f"methods= are some of {', '.join(map(repr, METHODS))}, not {unknown[0] if unknown else ()!r}")
    for name, value, least in (("m", m, 2), ("resamples", resamples, 50), ("per_resample", per_resample, 2)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise SpecError(f"{name}= is a whole number of at least {least}, not {value!r}")
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise SpecError(f"level= is a probability between 0 and 1, such as 0.95, not {level!r}")
    inside = spec.selections or [c for c in spec.amounts if c.of == "model"]
    if "information-anchored" in chosen and (inside or spec.is_mar):
        raise SpecError(
            f"'information-anchored' is for beliefs applied after a fit under MAR, a Reference or amounts with "
            f"of='prediction', not for {'MAR' if spec.is_mar else inside[0]}; leave it out of methods="
        )
    if not (isinstance(what, str) or callable(what)):
        raise DataError(f"an analysis is a formula such as 'y ~ x', or a function of a completed table, not {what!r}")
    return chosen


def _check_linear(methods: tuple[str, ...], what: Analysis, spec: Spec, data: IncompleteData) -> None:
    """Refuse a formula in which conditional means would stand for values on the right."""
    by_means = [name for name in methods if name in _OF_MEANS]
    if not by_means or not isinstance(what, str):
        return
    parsed = parse(what)
    data.require([c for t in parsed.terms for c in t.columns], f"the analysis {what!r}")
    holes = [c for t in parsed.terms for c in sorted(t.columns) if not data.seen(c).all()]
    if holes:
        raise DataError(
            f"{holes[0]!r} has {int((~data.seen(holes[0])).sum())} holes and stands on the right of {what!r}: "
            f"conditional means there would bias the estimate, so {by_means[0]!r} is not for it; use methods='rubin' "
            "or 'bootstrap-impute'"
        )


def _groups(strata: str | None, spec: Spec, data: IncompleteData) -> tuple[np.ndarray, ...]:
    """Row numbers that are drawn together: all, or a level of a column each."""
    column = spec.reference.arm if strata is None and spec.reference is not None else strata
    if column is None:
        return (np.arange(data.n),)
    data.require([column], "strata=")
    holes = int((~data.seen(column)).sum())
    if holes:
        raise DataError(f"strata= names {column!r}, which has {holes} holes; name a fully seen column")
    found = data.frame.groupby(column, sort=True, observed=True).indices.values()
    return tuple(np.asarray(rows) for rows in found)


def _check_fit(fit: Any, spec: Spec, data: IncompleteData) -> None:
    if not isinstance(fit, Fit):
        raise SpecError(f"fit= are posterior draws, from mk.sample(spec, df), not {type(fit).__name__}")
    if fit.spec not in (spec, spec.mar()) or (fit.spec != spec and spec.selections):
        raise SpecError("fit= is a fit of another spec; give one of this spec, or of spec.mar() for late beliefs")
    if fit.data.fingerprint() != data.fingerprint():
        raise DataError(
            f"fit= is a fit of another table ({fit.data.n} rows, fingerprint {fit.data.fingerprint()[:8]}) than df "
            f"({data.n} rows, {data.fingerprint()[:8]}); fit this one"
        )


def _workers(workers: Any) -> int:
    if workers is None:
        return os.cpu_count() or 1
    if isinstance(workers, (int, np.integer)) and not isinstance(workers, bool) and workers >= 1:
        return int(workers)
    raise DataError(f"workers= is a whole number of 1 or more, or None for one a core, not {workers!r}")


def _notes(plan: _Plan) -> tuple[str, ...]:
    said = []
    if any(name in _OF_MEANS for name in plan.methods) and not isinstance(plan.what, str):
        said.append(
            "with conditional means in the holes the analysis must be linear in the incomplete columns, which cannot "
            "be checked of a function"
        )
    if len(plan.groups) > 1 and any("bootstrap" in name for name in plan.methods):
        said.append(f"bootstrap samples keep the sizes of {len(plan.groups)} groups")
    declared = [p.value for c in plan.spec.amounts for p in parameters_of(c)]
    declared += [amount for _, amount in (plan.spec.reference.amounts if plan.spec.reference else ())]
    if any(isinstance(amount, Prior) for amount in declared):
        said.append("amounts with a prior are held at its centre, by all methods but 'rubin', which draws them")
    return tuple(said)
