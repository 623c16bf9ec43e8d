"""The summary of an exploration, for a reader who has not seen the tables."""

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnarkit.explore.mcar import NO_TEST, LittleTest

if TYPE_CHECKING:
    from mnarkit.explore.exploration import Exploration

__all__ = ["percent", "shortened", "summary"]

_WIDTH = 100
_LINES = 8
_SEGMENTED = 3  # columns shown by segment
_ALPHA = 0.05


_PREDICTORS = """Which recorded values go with the holes?
  AUC: how well a ridge logistic fit on the other columns tells holes in rows left out (0.5 not at all,
  1 perfectly). Difference: mean where missing minus mean where recorded, in sd. All with 95 % intervals,
  each for one comparison: some of many exclude 0 by chance. Influx: how well its holes connect to recorded
  cells of others; outflux: how well its recorded cells connect to holes of others (0 to 1)."""


def summary(found: "Exploration") -> str:
    """Write what a table says about its holes, the most important first."""
    parts = [_head(found)]
    if found.rates["missing"].any():
        parts += [_rates(found), _by(found), _patterns(found), _dropout(found), _predictors(found), _thresholds(found)]
    else:
        parts.append("There are no holes: every cell is recorded.")
    parts += [_heaping(found), _little(found.mcar) if found.rates["missing"].any() else "", _footnote(found)]
    return "\n\n".join(part for part in parts if part)


def percent(share: float) -> str:
    """Write a share with three digits: 24.2 %, 4.61 %, 0.023 %; never rounded to 0 or to 100."""
    value = 100 * share
    if value > 99.95 and value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %" if value >= 1 or value == 0 else f"{value:.2g} %"


def _head(found: "Exploration") -> str:
    n, p = found.data.n, len(found.data.columns)
    missing = int(found.rates["missing"].sum())
    complete = int(found.patterns.loc[found.patterns["n_missing"] == 0, "count"].sum())
    return (
        f"{_count(n, 'row')}, {_count(p, 'column')}: {missing:,} of {_count(n * p, 'cell')} "
        f"{'is' if missing == 1 or n * p == 1 else 'are'} missing ({percent(missing / (n * p))}); "
        f"{_count(complete, 'row')} ({percent(complete / n)}) {'is' if complete == 1 else 'are'} complete"
    )


def _rates(found: "Exploration") -> str:
    holed = found.rates[found.rates["missing"] > 0].sort_values("rate", ascending=False, kind="stable")
    rows = [
        (shortened(r.column), f"{r.missing:,}", f"of {r.n:,}", percent(r.rate), _range(r.low, r.high))
        for r in _first(holed, 2 * _LINES)
    ]
    full = len(found.rates) - len(holed)
    more = [f"and {_count(len(holed) - len(rows), 'column')} more, in .rates"] if len(holed) > len(rows) else []
    more += [f"{_count(full, 'column')} without holes"] if full else []
    empty = found.rates.loc[found.rates["missing"] == found.rates["n"], "column"]
    more += [f"nothing at all is recorded in {_names(empty)}: in no test or comparison"] if len(empty) else []
    return _section("How often is each column missing? (rates with 95 % Wilson intervals)", rows, more, "<>>><")


def _by(found: "Exploration") -> str:
    if found.by is None:
        return ""
    totals = found.by.groupby("column", sort=False)["missing"].sum().sort_values(ascending=False, kind="stable")
    empty = set(found.rates.loc[found.rates["missing"] == found.rates["n"], "column"])
    totals = totals[(totals > 0) & ~totals.index.isin(empty)]
    groups = _together(found, totals.index)
    rows = [
        (
            _names(groups[name], 3),
            shortened(r.segment),
            f"{r.missing:,} of {r.n:,}",
            percent(r.rate),
            _range(r.low, r.high),
        )
        for name in list(groups)[:_SEGMENTED]
        for r in _first(found.by[found.by["column"] == name], 30)
    ]
    left = len(totals) - sum(len(groups[name]) for name in list(groups)[:_SEGMENTED])
    more = [f"and {_count(left, 'column')} more, in .by"] if left > 0 else []
    more += [] if rows else ["no other column has holes"]
    return _section(f"By {found.segment!r} (95 % Wilson intervals)", rows, more, "<<>><")


def _patterns(found: "Exploration") -> str:
    rows = [
        (f"{r.rows:,}", percent(r.share), _missing(found, r.pattern))
        for r in _first(found.patterns.rename(columns={"count": "rows"}), _LINES)
    ]
    left = len(found.patterns) - len(rows)
    more = [f"and {_count(left, 'pattern')} more, in .patterns"] if left > 0 else []
    title = f"Which cells are missing together? {_count(len(found.patterns), 'pattern')}"
    return _section(title, rows, [*more, _order(found)], ">><")


def _missing(found: "Exploration", pattern: int) -> str:
    seen = found.seen.loc[pattern]
    holes = seen.index[~seen.to_numpy(dtype=bool)]
    return f"missing: {_names(holes)}" if len(holes) else "complete"


def _order(found: "Exploration") -> str:
    if found.monotone is None:
        return "not monotone: no order of the columns in which whoever misses one misses all later ones"
    holed = set(found.rates.loc[found.rates["missing"] > 0, "column"])
    order = [name for name in found.monotone if name in holed]
    if len(order) == 1:
        return f"monotone: {order[0]!r} alone has holes"
    if len(_together(found, order)) == 1:
        return f"monotone: {_names(order)} are always missing together"
    return f"monotone: whoever misses one of these misses all later ones: {_names(order)}"


def _dropout(found: "Exploration") -> str:
    if found.dropout is None:
        return ""
    rows = [
        (
            _clip(r.wave),
            f"{r.left:,} of {r.at_risk:,} left",
            percent(r.hazard),
            f"{percent(r.share)} of all rows",
        )
        for r in _first(found.dropout, 2 * _LINES)
    ]
    return _section("Dropout, if these columns are waves in this order (share of those still there)", rows, [], "<>>>")


def _predictors(found: "Exploration") -> str:
    if not len(found.auc):
        return ""
    shown = found.auc.sort_values("n_missing", ascending=False, kind="stable")
    groups = _together(found, shown["column"])
    lines = []
    for name, names in list(groups.items())[:_LINES]:
        fit = found.auc[found.auc["column"] == name].iloc[0]
        lines += [f"  {_names(names)}: {_auc(fit)}; {_flux(found, name)}", _indented(_differences(found, name), 6)]
    left = len(groups) - _LINES
    lines += [f"  and {left} more, in .predictors and .auc"] if left > 0 else []
    return "\n".join([_PREDICTORS, *lines])


def _together(found: "Exploration", names: Iterable[str]) -> dict[str, list[str]]:
    """Columns that are missing in the same rows, under the first."""
    first: dict[bytes, str] = {}
    out: dict[str, list[str]] = {}
    for name in names:
        lead = first.setdefault(found.seen[name].to_numpy().tobytes(), name)
        out.setdefault(lead, []).append(name)
    return out


def _flux(found: "Exploration", name: str) -> str:
    row = found.flux[found.flux["column"] == name].iloc[0]
    return f"influx {row['influx']:.2f}, outflux {row['outflux']:.2f}"


def _auc(fit: pd.Series) -> str:
    if np.isnan(fit["auc"]):
        return f"no fit ({fit['note']})"
    return f"AUC {fit['auc']:.2f} ({fit['auc_low']:.2f} to {fit['auc_high']:.2f})"


def _differences(found: "Exploration", name: str) -> str:
    rows = found.predictors[found.predictors["column"] == name]
    apart = rows[(rows["smd_low"] > 0) | (rows["smd_high"] < 0)]
    strongest = apart.iloc[np.argsort(-apart["smd"].abs().to_numpy(), kind="stable")[:3]]
    said = [_difference(r) for r in _first(strongest, 3)]
    if not said:
        return "no difference whose interval excludes 0"
    rest = f"; {len(apart) - len(said)} more" if len(apart) > len(said) else ""
    return f"differ most: {'; '.join(said)}{rest}"


def _difference(row: Any) -> str:
    if np.isinf(row.smd):
        missing, recorded = (round(v, 9) + 0.0 for v in (row.mean_missing, row.mean_recorded))  # no -0
        return f"{shortened(row.feature)} always {missing:g} where missing, {recorded:g} where recorded"
    return f"{shortened(row.feature)} {row.smd:+.2f} ({row.smd_low:+.2f} to {row.smd_high:+.2f})"


def _thresholds(found: "Exploration") -> str:
    table = found.thresholds
    if not len(table):
        return ""
    title = "Does a rate of missingness jump at a value of another column?"
    alone = table["column"].isin(_together(found, table["column"]))  # columns missing together once
    flagged = table[alone & (table["p_adjusted"] <= _ALPHA)]
    if not len(flagged):
        least = table["p_adjusted"].min()
        return f"{title}\n  none found in {_count(len(table), 'pair')} of columns (least adjusted p{_p(least)})"
    rows = [_jump(found, r) for r in _first(flagged, _LINES)]
    more = [f"and {len(flagged) - len(rows)} more, in .thresholds"] if len(flagged) > len(rows) else []
    more.append(
        f"p is exact, and adjusted for all {_count(len(table), 'pair')} (Holm): of tables missing completely at "
        "random, at most one in 20 gets a line here; a gradual rise gets one as well as a jump does"
    )
    return _section(title, rows, more, "<<<<")


def _jump(found: "Exploration", row: Any) -> tuple[str, ...]:
    sign = "=" if row.cut_label == "False" else "≤"
    return (
        _names(_together(found, found.rates["column"])[row.column], 3),
        f"{percent(row.rate_low)} where {shortened(row.predictor)} {sign} {row.cut_label}",
        f"{percent(row.rate_high)} above" if sign == "≤" else f"{percent(row.rate_high)} elsewhere",
        f"adjusted p{_p(row.p_adjusted)}",
    )


def _heaping(found: "Exploration") -> str:
    rows = [(shortened(r.column), r.signs) for r in _first(found.heaping[found.heaping["signs"] != ""], 2 * _LINES)]
    if not rows:
        return ""
    return _section(
        "Are recorded values heaped, or cut off at a bound? (a sign of rounding or censoring)", rows, [], "<<"
    )


def _little(test: LittleTest) -> str:
    if np.isnan(test.statistic):
        lines = [f"Little's test of missing completely at random: none, {'; '.join(test.notes)}."]
    else:
        lines = [
            f"Little's test of missing completely at random: χ² = {test.statistic:.2f}, df {test.df}, p{_p(test.p)}",
            f"  {_count(test.n, 'row')}, {_count(test.n_patterns, 'pattern')} of holes, "
            + _count(len(test.columns), "numeric column"),
            *_contributions(test),
            *(f"  note: {note}" for note in test.notes),
        ]
    if test.left_out:
        why = "; ".join(f"{shortened(name)} ({reason})" for name, reason in test.left_out[:_LINES])
        rest = f" and {len(test.left_out) - _LINES} more" if len(test.left_out) > _LINES else ""
        lines.append(_indented(f"left out: {why}{rest}"))
    return "\n".join([*lines, fill(NO_TEST, _WIDTH, initial_indent="  ", subsequent_indent="  ")])


def _contributions(test: LittleTest) -> list[str]:
    table = test.contributions
    top = table.iloc[np.argsort(-table["contribution"].to_numpy(), kind="stable")[:3]]
    return [
        f"  {r.contribution:.2f} of it from {_count(r.rows, 'row')} "
        + (f"missing {_clip(r.missing)}" if r.n_missing else "with all of them")
        for r in _first(top.rename(columns={"count": "rows"}), 3)
    ]


def _footnote(found: "Exploration") -> str:
    said = []
    if found.rows < found.data.n:
        said.append(f"Thresholds and heaping are from {found.rows:,} rows drawn with seed {found.seed}.")
    if len(found.auc) and (
        (fits := found.auc["n_recorded"].max()) < found.rates["n"].max() - found.rates["missing"].max()
    ):
        said.append(f"Fits take at most {fits:,} rows with a hole and as many without, drawn with seed {found.seed}.")
    return " ".join(said)


def _section(title: str, rows: Sequence[tuple[str, ...]], more: Sequence[str], align: str = "") -> str:
    """A heading, rows in columns (`align` has < or > for each), and sentences."""
    wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))] if rows else []
    cells = [[f"{cell:{a}{w}}" for cell, a, w in zip(row, align, wide, strict=True)] for row in rows]
    body = ["  " + "  ".join(row).rstrip() for row in cells]
    notes = [_indented(line) for line in more]
    return "\n".join([title, *body, *notes])


def _indented(text: str, by: int = 2) -> str:
    return fill(text, _WIDTH, initial_indent=" " * by, subsequent_indent=" " * (by + 2))


def _first(table: pd.DataFrame, most: int) -> Iterable[Any]:
    return table.head(most).itertuples()


def _range(low: float, high: float) -> str:
    return f"({percent(low)} to {percent(high)})"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def shortened(name: str, most: int = 32) -> str:
    """Cut a long name in its middle, where the parts that tell columns apart seldom stand."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - half]}…{name[-half:]}"


def _clip(text: str, most: int = 70) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _names(names: Iterable[str], most: int = 6) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shortened, names[:most])) + rest


def _p(p: float) -> str:
    return " < 1e-10" if p < 1e-10 else f" = {p:.1e}" if p < 1e-3 else f" = {p:.2g}" if p < 0.1 else f" = {p:.2f}"
