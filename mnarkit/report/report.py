"""report: one HTML file about a fit, for a reader who has nothing else."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnarkit.analyze import analyze
from mnarkit.compare import Comparison, compare
from mnarkit.diagnose import Diagnosis, diagnose
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.em import em
from mnarkit.errors import DataError, MnarkitError, MnarkitWarning, SpecError
from mnarkit.explore import explore
from mnarkit.fit import Fit
from mnarkit.impute import Imputations, impute
from mnarkit.plots import Canvas, hole_patterns
from mnarkit.pool import pool
from mnarkit.report import sections
from mnarkit.report.audit import audit
from mnarkit.report.folder import default_analyses
from mnarkit.report.html import Raw, document, paragraph

__all__ = ["report"]


def report(
    fit: Fit,
    path: str | Path = "report.html",
    *,
    analyses: str | Sequence[str] | None = None,
    imputations: Imputations | None = None,
    m: int = 20,
    seed: int = 2,
    comparison: Comparison | None = None,
    diagnosis: Diagnosis | None = None,
    stress: Sequence[Any] = (),
    figures: Mapping[str, Canvas] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one HTML file about a fit: no links, no scripts, figures inside, every assumption in bold.

    Parameters
    ----------
    fit : Fit
        From `mk.sample` or `mk.load_fit`.
    path : path
        The file.
    analyses : str or sequence of str, optional
        Formulas to analyze and pool; by default the regression of the data model, if it is one, and the means.
    imputations : Imputations, optional
        Of this fit, late beliefs included; drawn if absent.
    m, seed : int
        Of the imputations that are drawn.
    comparison : Comparison, optional
        From `mk.compare`; by default the first analysis under this fit and under MAR by EM.
    diagnosis : Diagnosis, optional
        From `mk.diagnose`; made if absent.
    stress : sequence
        Results of `mk.sensitivity` and the like, which are printed.
    figures : mapping of str to Figure, optional
        More figures, by caption.
    title : str, optional
        The title of the page.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    SpecError
        Something else than a fit, or analyses that are no formulas.
    DataError
        The file exists, or cannot be written; imputations of another table.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.report("wages")
    Traceback (most recent call last):
    mnarkit.errors.SpecError: report takes a Fit from mk.sample, not str
    """
    if not isinstance(fit, Fit):
        raise SpecError(f"report takes a Fit from mk.sample, not {type(fit).__name__}")
    path = _checked_path(path, overwrite)
    if imputations is not None and imputations.data.fingerprint() != fit.data.fingerprint():
        raise DataError("imputations= are of another table than the fit; impute this fit")
    asked = _asked(fit, analyses)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MnarkitWarning)  # what they say stands in the notes and among the checks
        drawn = impute(fit, m, seed=seed) if imputations is None else imputations
        pooled = {formula: pool(analyze(drawn, formula)) for formula in asked}
        checked = diagnose(fit, m=min(drawn.m, fit.n_draws), seed=drawn.seed) if diagnosis is None else diagnosis
        beside = _beside(fit, drawn, asked[0]) if comparison is None else sections.compared(comparison)
    parameters = sections.summary(scalars_of(fit.draws["posterior"].to_dataset()))
    parts = [
        *_head(fit, title),
        sections.assumptions(fit, drawn.under),
        sections.data_and_holes(fit, _patterns(fit)),
        sections.estimates(pooled, drawn),
        beside,
        *([sections.stressed(stress, figures or {})] if stress or figures else []),
        sections.checks(checked),
        sections.imputed(drawn),
        sections.sampler(fit, parameters),
        sections.rerun(fit, drawn, asked, audit(fit)["versions"]),
    ]
    path.write_text(document(title or "Missing-data report", [p for p in parts if p]), encoding="utf-8")
    return path


def _head(fit: Fit, title: str | None) -> list[Raw]:
    holes = sum(int((~fit.data.seen(c)).sum()) for c in fit.spec.model.columns)
    columns = len(fit.spec.model.columns)
    said = f"{fit.data.n:,} rows; {holes:,} values missing in {columns} modelled column{'' if columns == 1 else 's'}"
    heading = paragraph(title or f"Missing-data report: {fit.spec.model}")
    return [Raw(f"<h1>{heading[3:-4]}</h1>"), paragraph(f"{said}.", kind="quiet")]


def _patterns(fit: Fit) -> dict[str, Canvas]:
    found = explore(fit.data.frame)
    return {"Patterns of holes": hole_patterns(found)} if found.rates["missing"].any() else {}


def _beside(fit: Fit, drawn: Imputations, formula: str) -> Raw:
    """The first analysis under MAR by EM and under this fit, where there is something to lay side by side."""
    if fit.spec.is_mar and not drawn.under:
        return Raw("")
    name = "; ".join(type(b).__name__ for b in (*fit.spec.missingness, *drawn.under))
    try:
        mar = em(fit.spec.mar(), fit.data, progress=False)
        given = (fit, drawn.under) if drawn.under else fit
        made = compare({"MAR, by EM": mar, name: given}, formula, m=drawn.m, seed=drawn.seed, progress=False)
    except MnarkitError as error:
        return Raw(paragraph(f"No comparison with MAR was made: {error}", kind="quiet"))
    return sections.compared(made)


def _asked(fit: Fit, analyses: Any) -> tuple[str, ...]:
    given: tuple[Any, ...] = (
        (analyses,) if isinstance(analyses, str) or callable(analyses) else tuple(analyses or default_analyses(fit))
    )
    other = next((one for one in given if not isinstance(one, str)), None)
    if other is not None:
        raise SpecError(
            f"analyses= are formulas, 'y ~ x', not {type(other).__name__}; give what a function finds as comparison= "
            "from mk.compare"
        )
    return given


def _checked_path(path: str | Path, overwrite: bool) -> Path:
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; name a file, such as {str(path / 'report.html')!r}")
    if path.exists() and not overwrite:
        raise DataError(f"{str(path)!r} exists and is kept; name another file, or say overwrite=True")
    if not path.resolve().parent.is_dir():
        raise DataError(f"{str(path)!r} cannot be written: there is no folder {str(path.resolve().parent)!r}")
    return path
