"""What told the parameters, in findings."""

import numpy as np
import pandas as pd

from mnarkit.diagnose.beliefs import carriers
from mnarkit.diagnose.collinear import collinearity
from mnarkit.diagnose.finding import Finding
from mnarkit.diagnose.identification import LABELS, Identified
from mnarkit.fit import Fit
from mnarkit.spec.check import identification
from mnarkit.spec.engine import engine_of

__all__ = ["identification_findings"]

_EXCLUSION, _SHAPE, _MIXED, _PRIOR, _RECORDED = LABELS
_ALONE = 0.98  # R² of a selection equation that leaves shape alone
_NOTABLE = 0.05  # power-scaling sensitivity (Kallioinen et al. 2024)


def identification_findings(found: Identified | None, fit: Fit) -> tuple[Finding, ...]:
    """A finding for each parameter of the belief, for its equation, and for each label of the others."""
    rests = [Finding("identification", "formulas", "", float("nan"), said) for said in identification(fit.spec)]
    if found is None:
        said = "priors and posterior are not compared for a model with these beliefs or terms"
        return (*rests, Finding("identification", "parameters", "", float("nan"), said))
    table = found.table
    own = table[table["from_shape"].notna()]
    factored = engine_of(fit.spec, fit.data).name == "factored"
    lines = [_own(row, found, factored) for _, row in own.iterrows()]
    if not factored:
        lines += [_equation(fit, c.name) for c in carriers(fit.spec, fit.data) if c.name in set(own["parameter"])]
    others = table[table["from_shape"].isna()]
    lines += [_group(label, others[others["label"] == label], fit) for label in LABELS if label in set(others["label"])]
    return (*rests, *lines, *(() if factored else _agreement(table)), *_sensitive(table))


def _own(row: pd.Series, found: Identified, factored: bool) -> Finding:
    name, label = str(row["parameter"]), str(row["label"])
    prior = 100 * (1 - row["from_exclusion"] - row["from_shape"])
    shares = f"prior {prior:.0f} %"
    shares += (
        "" if factored else f", exclusions {100 * row['from_exclusion']:.0f} %, shape {100 * row['from_shape']:.0f} %"
    )
    said = {
        _EXCLUSION: f"{row['columns']}; that it moves one thing and not the other cannot be tested",
        _SHAPE: f"{'the family' if factored else 'normality'} and the link alone tell it, which the data can hardly "
        "check",
        _MIXED: f"how much exclusions ({row['columns']}) tell and how much shape is not computed for this model"
        if factored
        else f"no one source tells most of it{'; exclusions: ' + row['columns'] if row['columns'] else ''}",
        _PRIOR: "the data do not tell it: the posterior is what was declared",
    }.get(label, "")
    weak = found.weak.get(name, ())
    said += f"; {', '.join(weak)} declared as an exclusion, but moves nothing: not counted" if weak else ""
    said += f" ({shares}; posterior {row['mean']:.3g} ± {row['sd']:.2g}"
    said += f", prior {row['prior_mean']:.3g} ± {row['prior_sd']:.2g})"
    return Finding("identification", name, "contraction", float(row["contraction"]), f"{label}: {said}")


def _equation(fit: Fit, name: str) -> Finding:
    carrier = next(c for c in carriers(fit.spec, fit.data) if c.name == name)
    r = collinearity(fit, carrier)
    what = f"equation of {name}"
    if not np.isfinite(r):
        return Finding("identification", what, "", r, "its collinearity differs by wave and is not shown")
    if fit.draws["posterior"].to_dataset().get(f"rho_{carrier.column}") is not None and carrier.term == "rho":
        said = "of the inverse Mills ratio is linear in the predictors of the data model"
    else:
        said = f"of E[{carrier.column} | x] is linear in the other terms"
    rest = ": nothing but shape separates them" if r > _ALONE else ""
    return Finding("identification", what, "R²", r, f"{100 * r:.1f} % {said}{rest}")


def _group(label: str, rows: pd.DataFrame, fit: Fit) -> Finding:
    names = rows["parameter"].tolist()
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    through = sorted(set(rows["through"]) - {""})
    tail = f", through {', '.join(through)}" if through and label != _RECORDED else ""
    if label == _RECORDED:
        tail = ", if the holes are ignorable" if not fit.spec.selections else ", given the belief"
    least = float(rows["contraction"].min())
    said = f"{label}{tail}: {shown}"
    return Finding(
        "identification", f"{len(names)} other parameter{'s' * (len(names) > 1)}", "least contraction", least, said
    )


def _agreement(table: pd.DataFrame) -> list[Finding]:
    """Posterior sd beside the standard errors of the likelihood's information."""
    ratio = (table["sd"] / table["ml_std_error"]).to_numpy(dtype=float)
    known = np.flatnonzero(np.isfinite(ratio))
    if not len(known):
        said = "the likelihood is flat, or not near its maximum, at the posterior mean: no standard errors to compare"
        return [Finding("identification", "likelihood's information", "", float("nan"), said)]
    worst = known[np.argmax(np.abs(np.log(ratio[known])))]
    name, value = str(table["parameter"].iloc[worst]), float(ratio[worst])
    said = f"posterior sd over the standard error of the likelihood, farthest from 1: {name}"
    if value < 0.8:
        said += "; the prior narrows it"
    elif value > 1.25:
        said += "; the likelihood is far from quadratic there: standard errors from its curvature are too small"
    return [Finding("identification", "likelihood's information", "ratio", value, said)]


def _sensitive(table: pd.DataFrame) -> list[Finding]:
    values = table["prior_sensitivity"].to_numpy(dtype=float)
    if not np.isfinite(values).any():
        return []
    at = int(np.nanargmax(values))
    notable = table.loc[values > _NOTABLE, "parameter"].tolist()
    said = (
        f"raising the priors' power moves {', '.join(notable[:5])}{' ...' if len(notable) > 5 else ''}: give those "
        "priors with reasons"
        if notable
        else f"raising the priors' power moves nothing notably (most: {table['parameter'].iloc[at]})"
    )
    return [Finding("identification", "priors", "largest power-scaling sensitivity", float(values[at]), said)]
