"""What the replicated tables say, in findings."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mnarkit.diagnose.finding import Finding
from mnarkit.diagnose.predictive import Predictive
from mnarkit.formula import Term, parse
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.engine import regressions_of
from mnarkit.spec.spec import Spec

__all__ = ["predictive_findings"]

_SHOWN = 8  # alarms that are written out, the strongest first


def predictive_findings(found: Predictive | None, spec: Spec) -> tuple[Finding, ...]:
    """One finding over all statistics, then those that stand out, and what was not looked at."""
    if found is None:
        said = "no tables are drawn from a model with these beliefs: what it predicts was not compared with the data"
        return (Finding("predictive", "replicated tables", "", float("nan"), said),)
    table = found.table
    tested, alarms = table[table["tested"]], table[table["alarm"]]
    lines = [_together(found, tested), *_scope(found, spec)]
    strongest = np.argsort(-alarms["z"].abs().to_numpy(), kind="stable")[:_SHOWN]
    lines += [_alarm(alarms.iloc[i], spec) for i in strongest]
    if len(alarms) > _SHOWN:
        more = f"and {len(alarms) - _SHOWN} more beyond |z| = {found.threshold:.2f}, in .predictive.table"
        lines.append(Finding("predictive", "other statistics", "", float("nan"), more, True))
    if len(alarms):
        return tuple(lines)
    for about, title in (("recorded", "what is recorded"), ("missing", "what is missing")):
        part = tested[tested["about"] == about]
        if len(part):
            row = part.iloc[int(np.argmax(part["z"].abs()))]
            said = f"the largest of {len(part)} statistics, {_name(row)}, within what chance makes of the largest"
            lines.append(Finding("predictive", title, "z", float(row["z"]), said))
    return tuple(lines)


def _together(found: Predictive, tested: pd.DataFrame) -> Finding:
    bad = bool(found.p_value < 0.05)
    what, measure = f"{len(tested)} statistics together", "p of the largest |z|"
    if not len(tested):
        said = "the fit has used up every statistic that was looked at: it tests nothing here"
        return Finding("predictive", what, measure, float("nan"), said)
    said = (
        f"tables drawn from the model do not look like this one (|z| beyond {found.threshold:.2f} are listed)"
        if bad
        else "tables drawn from the model look like this one, as far as these statistics see"
    )
    left = len(found.table) - len(tested)
    said += f"; {left} more are reproduced by fitting and test nothing" if left else ""
    return Finding("predictive", what, measure, found.p_value, said, bad)


def _scope(found: Predictive, spec: Spec) -> list[Finding]:
    said, own = [], []
    if found.chain is not None:
        text = (
            "the chains disagree, so each was judged by itself; shown is that which looks most like this table, "
            f"chain {found.chain}"
        )
        own.append(Finding("predictive", "chains", "", float("nan"), text))
    modelled = {c for b in spec.selections for c in (b.waves[1:] if isinstance(b, Dropout) else b.columns)}
    ignorable = [c for c in spec.model.columns if c not in modelled]
    if ignorable:
        said.append(
            f"whether {', '.join(ignorable[:6])}{' ...' if len(ignorable) > 6 else ''} is missing is not modelled: "
            "complete tables were drawn, and compared with this one, its holes filled by the same model"
        )
    if found.deciding:
        said.append(
            f"{', '.join(found.deciding)}: in some segment everything is missing, so it says that a value is missing "
            "rather than why; not compared"
        )
    if found.left_out:
        said.append(f"{found.left_out} more fully seen columns were not cut into segments")
    return [*own, *(Finding("predictive", "not looked at", "", float("nan"), text) for text in said)]


def _name(row: pd.Series) -> str:
    where = f", {row['segment']}" if row["segment"] else ""
    return f"{row['column']}{where}: {row['statistic']}"


def _alarm(row: pd.Series, spec: Spec) -> Finding:
    said = (
        f"{row['data']:.3g} here, {row['replicated']:.3g} in tables drawn from the model (95 %: {row['low']:.3g} to "
        f"{row['high']:.3g}, n = {row['n']:,}); {_advice(row, spec)}"
    )
    return Finding("predictive", _name(row), "z", float(row["z"]), said, True)


def _advice(row: pd.Series, spec: Spec) -> str:
    if row["about"] == "missing":
        read = {c for b in spec.selections for c in _columns(b)}
        by = row["by"]
        if by and by not in read:
            return f"{by} is not in the model of what is missing: add it"
        if by:
            return f"{by} moves what is missing in another way than the formula says: a curve, or an interaction"
        return "the holes of several columns go together in another way than the model says"
    if "residual" in row["statistic"]:
        return _shape(row, spec)
    if row["statistic"] == "correlation":
        return "the columns go together in another way than the model says"
    known = row["by"] in {c for t in _predictors(spec) for c in t.columns}
    if row["statistic"] == "sd":
        return f"the spread differs with {row['by']} in another way than the model says"
    return f"{row['by']} moves the values {'in a curve' if known else 'and is not in the data model: add it'}"


def _shape(row: pd.Series, spec: Spec) -> str:
    family = next((r.family for r in regressions_of(spec) if r.columns[0] == row["column"]), "normal")
    said = "the residuals are not normal" if family == "normal" else f"what is left is not as {family} values are"
    return f"{said}: transform the column, or take another family; a belief that rests on the shape falls with it"


def _predictors(spec: Spec) -> Iterator[Term]:
    regressions = regressions_of(spec)
    for formula in [r.predictors for r in regressions] or [spec.model.predictors]:
        yield from formula.terms


def _columns(belief: object) -> set[str]:
    formula = getattr(belief, "formula", "")
    return {c for t in parse(formula).terms for c in t.columns} if formula else set()
