"""What `sensitivity` and `tipping_point` have in common: from a fit and an analysis to its curve."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnarkit.analyze import Analysis, Logistic
from mnarkit.analyze.congenial import uncongenial_with
from mnarkit.errors import CongenialityWarning, DataError, SpecError
from mnarkit.fit import Fit, checked_seed, stacked_draws
from mnarkit.formula import parse
from mnarkit.sensitivity.curves import Curve
from mnarkit.sensitivity.grid import Axes, Axis, axes_of
from mnarkit.sensitivity.least_squares import least_squares
from mnarkit.sensitivity.logistic import logistic_curve
from mnarkit.sensitivity.loop import LoopCurve
from mnarkit.sensitivity.source import Late, Moved, Source, source_of
from mnarkit.sensitivity.tasks import Runner, checked_workers, identity

__all__ = ["Settings", "amounts_curve", "fingerprint", "read_axes", "settings_of", "warn_uncongenial", "with_axes"]


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """How a run is made: checked options."""

    m: int
    seed: int
    level: float
    under: tuple[Late, ...]
    df_complete: float | None
    runner: Runner


def settings_of(
    fit: Fit,
    what: Analysis,
    *,
    m: int,
    seed: int | None,
    level: float,
    under: Late | Sequence[Late] | None,
    df_complete: float | None,
    workers: int | None,
    client: Any,
    resume: str | Path | None,
    progress: bool,
) -> Settings:
    """Check the options, and say what decides the numbers."""
    if not isinstance(fit, Fit):
        raise SpecError(f"a Fit is needed, from mk.sample(spec, df), not {type(fit).__name__}")
    if not callable(what) and not isinstance(what, str):
        raise SpecError(f"an analysis is a formula, mk.Logistic(...) or a function of a completed table, not {what!r}")
    if isinstance(m, bool) or not isinstance(m, (int, np.integer)) or m < 2:
        raise SpecError(f"m is the number of imputations, a whole number of at least 2, not {m!r}")
    if isinstance(level, bool) or not isinstance(level, (int, float, np.floating)) or not 0 < level < 1:
        raise DataError(f"level= is a probability between 0 and 1, such as 0.95, not {level!r}")
    seed = checked_seed(seed)
    late: tuple[Any, ...] = () if under is None else tuple(under) if isinstance(under, (list, tuple)) else (under,)
    about = {
        "fit": fingerprint(fit),
        "what": identity(what),
        "under": [repr(belief) for belief in late],
        "m": int(m),
        "seed": seed,
        "df_complete": repr(df_complete),
    }
    runner = Runner(
        checked_workers(workers, client), client, None if resume is None else Path(resume), about, bool(progress)
    )
    return Settings(int(m), seed, float(level), late, df_complete, runner)


def fingerprint(fit: Fit) -> str:
    """Of spec, table and draws: what a stored point belongs to."""
    made = hashlib.sha256(f"{fit.spec.to_json()}\n{fit.data.fingerprint()}".encode())
    for name, values in sorted(stacked_draws(fit).items()):
        made.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return made.hexdigest()[:40]


def read_axes(fit: Fit, grids: Axes) -> tuple[Axis, ...]:
    """Read what is varied; amounts and coefficients are not varied together."""
    axes = axes_of(grids, fit.data)
    if len({axis.term is None for axis in axes}) > 1:
        raise SpecError(
            "an amount and a coefficient are varied together; they are two beliefs: vary one, and hold the other in "
            "the spec or in under="
        )
    return axes


def amounts_curve(fit: Fit, what: Analysis, axes: tuple[Axis, ...], settings: Settings) -> Curve:
    """Draw the imputations once, and choose how the analysis is carried over the points."""
    source = source_of(fit, axes, settings.m, settings.seed, settings.under)
    warn_uncongenial(fit, what)
    curve = _prepared(source, what, settings)
    if curve is not None:
        return curve
    return LoopCurve(source, what, settings.df_complete, with_axes(settings, axes).runner, {})


def with_axes(settings: Settings, axes: tuple[Axis, ...]) -> Settings:
    """Add what is varied to what decides the numbers."""
    about = settings.runner.about | {"axes": [f"{a.name}, {a.grid.unit}, {a.where}" for a in axes]}
    return replace(settings, runner=replace(settings.runner, about=about))


def _prepared(source: Source, what: Analysis, settings: Settings) -> Curve | None:
    if not isinstance(source, Moved):
        return None
    if isinstance(what, Logistic):
        return logistic_curve(source, what, settings.df_complete)
    made = least_squares(source, _value_formula(what)) if isinstance(what, str) else None
    if made is None or settings.df_complete is None:
        return made
    return replace(made, df=float(settings.df_complete))


def _value_formula(what: str) -> Any:
    formula = parse(what)
    if formula.kind != "value" or not formula.terms:
        raise SpecError(f"an analysis is 'y ~ x', with a column on its left and a term on its right, not {what!r}")
    if any(formula.response in term.columns for term in formula.terms):
        raise SpecError(f"{formula.response!r} stands on both sides of {what!r}; leave it out on the right")
    return formula


def warn_uncongenial(fit: Fit, what: Analysis) -> None:
    """Say once what the analysis asks for and the data model lacks."""
    if isinstance(what, str):
        formulas = [parse(what)]
    elif isinstance(what, Logistic):
        formulas = [replace(what.read, response=column) for column in what.outcome]
    else:
        return
    for message in dict.fromkeys(m for formula in formulas for m in uncongenial_with(fit, formula)):
        warnings.warn(message, CongenialityWarning, stacklevel=4)
