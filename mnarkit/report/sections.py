"""The parts of a report: what is assumed, the holes, the sampler, estimates, beliefs side by side, how to rerun."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.compare import Comparison
from mnarkit.diagnose import Diagnosis
from mnarkit.fit import Fit
from mnarkit.impute import Imputations
from mnarkit.plots import Canvas, forest, recorded_imputed
from mnarkit.pool import Pooled
from mnarkit.report.html import (
    Raw,
    bold,
    code,
    details,
    facts,
    figure,
    items,
    paragraph,
    section,
    table,
)

__all__ = [
    "assumptions",
    "checks",
    "compared",
    "data_and_holes",
    "estimates",
    "imputed",
    "rerun",
    "sampler",
    "stressed",
    "summary",
]

_POOLED = ("term", "estimate", "std_error", "ci_low", "ci_high", "p_value", "dof", "fmi", "mc_error")


def _belief(belief: Any) -> Raw:
    because = paragraph("Because: ", belief.because) if belief.because else ""
    untestable = paragraph("Untestable assumption: ", bold(belief.assumption), kind="assumption")
    return Raw(f"{paragraph(str(belief))}{untestable}{because}")


def assumptions(fit: Fit, late: Sequence[Any] = ()) -> Raw:
    """Say the data model and each belief with its untestable assumption, in bold."""
    spec = fit.spec
    return section(
        "What is assumed",
        paragraph("Data model: ", str(spec.model)),
        *map(_belief, spec.missingness),
        *([Raw("<h3>Applied to the imputations</h3>"), *map(_belief, late)] if late else []),
        paragraph("Because: ", spec.because) if spec.because else "",
        paragraph("No data can tell whether these assumptions are true.", kind="quiet"),
        details("The spec as a file", code(spec.to_yaml())),
    )


def data_and_holes(fit: Fit, drawn: Mapping[str, Canvas]) -> Raw:
    """Rows, fingerprint, holes by column, patterns."""
    data = fit.data
    holes = {c: int((~data.seen(c)).sum()) for c in data.columns}
    named = [c for c in data.columns if holes[c]]
    frame = pd.DataFrame(
        {
            "column": named,
            "missing": [holes[c] for c in named],
            "of": data.n,
            "percent": [100 * holes[c] / data.n for c in named],
            "modelled": [c in fit.spec.model.columns for c in named],
        }
    )
    return section(
        "Data and holes",
        facts({"rows": data.n, "columns": len(data.columns), "fingerprint (SHA-256)": data.fingerprint()}),
        table(frame, digits=3) if len(frame) else paragraph("No value is missing."),
        *(figure(one, caption) for caption, one in drawn.items()),
    )


def sampler(fit: Fit, parameters: pd.DataFrame) -> Raw:
    """Say how the posterior was drawn, what was noted, and its parameters."""
    sizes, attrs = fit.draws["posterior"].sizes, fit.draws.attrs
    named = {"tune": "warm-up draws of each chain", "sampler": "sampler", "divergences": "divergences"}
    named |= {"rhat_max": "largest R-hat", "ess_min": "smallest effective sample size"}
    said = {label: attrs[name] for name, label in named.items() if name in attrs}
    priors = json.loads(attrs.get("default_priors", "{}"))
    return section(
        "Posterior",
        facts({"seed": fit.seed, "chains": sizes["chain"], "draws of each chain": sizes["draw"]} | said),
        items(fit.notes) if fit.notes else "",
        table(parameters),
        details("Default priors that were used", facts(priors)) if priors else "",
    )


def estimates(pooled: Mapping[str, Pooled], imputations: Imputations) -> Raw:
    """Pooled estimates of each analysis, with their intervals."""
    first = next(iter(pooled.values()))
    head = (
        f"Pooled over m = {imputations.m} imputations (seed {imputations.seed}) by Rubin's rules. ci_low and ci_high "
        f"are {100 * first.level:g}% confidence intervals, t. fmi is the fraction of missing information, mc_error the "
        "part of the standard error that more imputations would remove."
    )
    parts: list[Raw] = []
    for name, result in pooled.items():
        parts += [Raw(f"<h3>{paragraph(name)[3:-4]}</h3>"), table(result.to_frame()[list(_POOLED)])]
    return section("Estimates", paragraph(head), *parts)


def checks(found: Diagnosis) -> Raw:
    """What was checked: numbers and verdicts, alarms in colour."""
    frame = found.to_frame()
    said = f"{len(found.alarms)} of {len(frame)} checks need attention."
    parts = [paragraph(said)]
    for check, rows in frame.groupby("check", sort=False):
        parts += [
            Raw(f"<h3>{paragraph(str(check).capitalize())[3:-4]}</h3>"),
            table(rows[["what", "measure", "number", "verdict"]], digits=3, marked=rows["alarm"]),
        ]
    closing = (
        "These checks compare the model with what was recorded. None tests whether values are missing not at random."
    )
    return section("Checks, and what was identified", *parts, paragraph(closing, kind="quiet"))


def compared(made: Comparison) -> Raw:
    """Beliefs side by side: estimates, a forest, the unseen values that each implies."""
    frame = made.to_frame()
    shown = frame[["term", "assumption", "estimate", "std_error", "ci_low", "ci_high"]]
    order = list(dict.fromkeys(frame["term"]))
    shown = shown.sort_values("term", key=lambda t: t.map(order.index), kind="stable")
    kinds = (f"{', '.join(names)}: {kind}" for kind, names in made.kinds.items())
    parts: list[Any] = [paragraph(f"{made.estimand}; {100 * made.level:g}% intervals.")]
    parts += [
        table(shown),
        items(kinds),
        figure(forest(frame, level=made.level, interval="interval"), "Estimates by assumption"),
    ]
    if len(made.unseen):
        columns = ["column", "group", "assumption", "holes", "recorded_mean", "unseen_mean", "mar_mean", "shift_sd"]
        about = made.about_estimand(made.unseen)
        others = made.unseen.drop(about.index)
        parts += [
            Raw("<h3>The unseen values that each assumption implies</h3>"),
            table(about[columns].sort_values(["column", "group"], kind="stable")),
            paragraph(
                "shift_sd is the distance of unseen_mean from mar_mean, in residual standard deviations.", kind="quiet"
            ),
            details("Other columns", table(others[columns])) if len(others) else "",
        ]
    for name, (text, untestable) in made.beliefs.items():
        parts.append(paragraph(bold(name), f": {text}. Untestable: {'; '.join(untestable)}"))
    parts.append(paragraph("How well a model fits does not rank MAR against MNAR.", kind="quiet"))
    return section("Assumptions side by side", *parts)


def stressed(results: Sequence[Any], figures: Mapping[str, Canvas]) -> Raw:
    """How far the assumption must go: sensitivity curves and tipping points, as they print."""
    return section(
        "How far must the assumption go?",
        *(code(str(one), wrapped=True) for one in results),
        *(figure(one, caption) for caption, one in figures.items()),
    )


def imputed(imputations: Imputations) -> Raw:
    """Recorded beside imputed values, a figure a column."""
    columns = [c for c, cells in imputations.cells.items() if cells.shape[1]]
    drawn = (figure(recorded_imputed(imputations, c), f"{c}: recorded and imputed values") for c in columns)
    said = (
        "A difference is no fault: under MNAR the unseen values are meant to differ, and under MAR they differ where "
    )
    return section("Recorded and imputed values", *drawn, paragraph(said, "the predictors do.", kind="quiet"))


def rerun(fit: Fit, imputations: Imputations, analyses: Sequence[str], versions: Mapping[str, str]) -> Raw:
    """Seeds, versions, and the lines that give the same numbers again."""
    sizes, attrs = fit.draws["posterior"].sizes, fit.draws.attrs
    counts = f"--draws {sizes['draw']} --chains {sizes['chain']}"
    counts += f" --tune {int(attrs['tune'])}" if "tune" in attrs else ""
    counts += f" --target-accept {float(attrs['target_accept']):g}" if "target_accept" in attrs else ""
    asked = " ".join(f"--analysis {_quoted(formula)}" for formula in analyses)
    lines = [f"mnarkit fit spec.yaml data.csv --out run {counts} --seed {fit.seed}"]
    if not imputations.under:
        lines.append(f"mnarkit impute run -m {imputations.m} --seed {imputations.seed} {asked}".rstrip())
    lines.append("mnarkit report run")
    return section(
        "How to rerun",
        paragraph("With the spec above as spec.yaml and the table with the fingerprint above as data.csv:"),
        code("\n".join(lines)),
        details("Versions", facts(versions)),
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def summary(draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Mean, sd and the middle 95% of each parameter."""
    rows = []
    for name, values in draws.items():
        low, high = np.quantile(values, [0.025, 0.975])
        rows.append({"parameter": name, "mean": values.mean(), "sd": values.std(ddof=1), "2.5%": low, "97.5%": high})
    return pd.DataFrame(rows, columns=["parameter", "mean", "sd", "2.5%", "97.5%"])
