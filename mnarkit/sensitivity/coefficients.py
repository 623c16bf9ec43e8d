"""Coefficients of a missingness model over a grid: few fits, the points between them reached by reweighting."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mnarkit.analyze import Analysis, analyze
from mnarkit.errors import ConvergenceWarning, IdentificationWarning, SpecError
from mnarkit.estimates import Estimates
from mnarkit.fit import Fit
from mnarkit.impute import impute
from mnarkit.progress import Line
from mnarkit.sample import sample
from mnarkit.sample.target import Target
from mnarkit.sensitivity.grid import Axis
from mnarkit.sensitivity.held import present, raw_per_unit, spec_at
from mnarkit.sensitivity.loop import as_arrays, as_estimates
from mnarkit.sensitivity.reweight import Anchor, anchor_of, carry, fit_from, on_line
from mnarkit.sensitivity.setup import Settings
from mnarkit.sensitivity.tasks import Arrays
from mnarkit.spec.spec import Spec

__all__ = ["Reached", "coefficient_points"]


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """One point: its estimates, how it was reached, and of a reweighted one k̂ and the effective sample size."""

    estimates: Estimates
    how: str
    k_hat: float
    ess: float


@dataclass(slots=True, eq=False)
class _Walk:
    """The state of a walk over the values: anchors so far."""

    fit: Fit
    what: Analysis
    axis: Axis
    settings: Settings
    per_unit: float
    anchors: list[Anchor] = field(default_factory=list)
    found: dict[int, Arrays] = field(default_factory=dict)

    def spec(self, i: int) -> Spec:
        """Hold the coefficient at one of the values."""
        return spec_at(self.fit.spec, self.axis, self.axis.grid.values[i] * self.per_unit)


def coefficient_points(fit: Fit, what: Analysis, axis: Axis, settings: Settings) -> list[Reached]:
    """Walk from the middle of the values to both ends.

    A point is taken from the nearest fit where the weights allow; where they do not, a fit is made as far beyond it as
    the last one reached, so that it serves both sides.
    """
    target = Target.of(fit.spec, fit.data)
    if target is None:
        raise SpecError(f"{axis.name!r}: coefficients are varied on specs that mk.sample draws from without compiling")
    walk = _Walk(fit, what, axis, settings, raw_per_unit(target, axis))
    values = np.array(axis.grid.values)
    order = np.argsort(values, kind="stable")
    _take_present(walk, target)
    with Line(settings.runner.progress) as line:
        for _ in _visits(walk, values, order):
            line.tell_share(len(walk.found), len(values), f"sensitivity ({axis.name}):")
    label = str(getattr(what, "__name__", what))
    return [_reached(walk.found[i], label) for i in range(len(values))]


def _take_present(walk: _Walk, target: Target) -> None:
    """The fit itself is an anchor where its spec stands on the axis."""
    stands = present(walk.fit.spec, walk.axis)
    theta = None if stands is None else on_line(target, walk.fit)
    if stands is None or theta is None:
        return
    made = anchor_of(stands, target, theta, _share(walk.fit))
    walk.anchors += [] if made is None else [made]


def _share(fit: Fit) -> float:
    """Effective draws over draws, of the slowest parameter."""
    return float(min(fit.draws.attrs.get("ess_min", fit.n_draws) / fit.n_draws, 1.0))


def _visits(walk: _Walk, values: np.ndarray, order: np.ndarray) -> Iterator[int]:
    """Every value once, each with its neighbours' fits in reach."""
    at = walk.anchors[0].value / walk.per_unit if walk.anchors else 0.0
    middle = int(np.argmin(np.abs(values[order] - at)))
    yield from _visit(walk, int(order[middle]))
    for side in (order[middle + 1 :], order[:middle][::-1]):
        yield from _outward(walk, side.tolist())


def _outward(walk: _Walk, side: list[int]) -> Iterator[int]:
    covered, k = 0, 0
    while k < len(side):
        if _from_nearest(walk, side[k]):
            yield side[k]
            covered, k = covered + 1, k + 1
            continue
        beyond = min(k + covered, len(side) - 1)
        _refit(walk, side[beyond])
        yield side[beyond]
        for i in side[k:beyond]:
            yield from _visit(walk, i)
        covered, k = 0, beyond + 1


def _visit(walk: _Walk, i: int) -> Iterator[int]:
    if not _from_nearest(walk, i):
        _refit(walk, i)
    yield i


def _point(walk: _Walk, i: int) -> tuple[float, ...]:
    return (walk.axis.grid.values[i],)


def _from_nearest(walk: _Walk, i: int) -> bool:
    """Reach a point by reweighting; False if a fit is needed.

    A point from the folder is taken once the fit that it came from is there again, so that a run that goes on takes
    the same way as one that was not stopped.
    """
    raw = walk.axis.grid.values[i] * walk.per_unit
    kept = walk.settings.runner.kept(_point(walk, i))
    if kept is not None:
        if float(kept["anchor"]) not in [anchor.value for anchor in walk.anchors]:
            return False
        walk.found[i] = kept
        return True
    if not walk.anchors:
        return False
    spec = walk.spec(i)
    anchor = min(walk.anchors, key=lambda a: abs(a.value - raw))
    carried = carry(anchor, spec, walk.fit.data)
    if carried is None or not carried.good(walk.settings.m):
        return False
    fit = fit_from(carried, spec, walk.fit.data, walk.settings.seed)
    how = f"reweighted from the fit at {anchor.value / walk.per_unit:g}"
    _keep(walk, i, _analyzed(walk, fit), how, (carried.k_hat, carried.ess), {"anchor": np.array(anchor.value)})
    return True


def _refit(walk: _Walk, i: int) -> None:
    kept = walk.settings.runner.kept(_point(walk, i))
    if kept is not None:
        walk.found[i] = kept
        if "theta" in kept:
            _plant(walk, i, kept["theta"], float(kept["share"]))
        return
    spec, attrs = walk.spec(i), walk.fit.draws.attrs
    sizes = walk.fit.draws["posterior"].sizes
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.simplefilter("ignore", IdentificationWarning)
        fit = sample(
            spec,
            walk.fit.data.frame,
            draws=int(sizes["draw"]),
            chains=int(sizes["chain"]),
            tune=int(attrs.get("tune", 1000)),
            target_accept=float(attrs.get("target_accept", 0.9)),
            seed=walk.settings.seed,
            progress=False,
        )
    troubles = [str(w.message) for w in said if issubclass(w.category, ConvergenceWarning)]
    how = "refitted" + (f" ({'; '.join(troubles)})" if troubles else "")
    target = Target.of(spec, walk.fit.data)
    theta = None if target is None else on_line(target, fit)
    more: Arrays = {"anchor": np.array(np.nan)}
    if theta is not None:
        more |= {"theta": theta, "share": np.array(_share(fit))}
        _plant(walk, i, theta, _share(fit))
    _keep(walk, i, _analyzed(walk, fit), how, (np.nan, np.nan), more)


def _plant(walk: _Walk, i: int, theta: np.ndarray, share: float) -> None:
    target = Target.of(walk.spec(i), walk.fit.data)
    raw = walk.axis.grid.values[i] * walk.per_unit
    made = None if target is None else anchor_of(raw, target, theta, share)
    walk.anchors += [] if made is None else [made]


def _analyzed(walk: _Walk, fit: Fit) -> Estimates:
    settings = walk.settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # m above the effective sample size is asked before; congeniality is said once
        imputations = impute(fit, settings.m, seed=settings.seed, under=settings.under or None)
        run = partial(analyze, df_complete=settings.df_complete, workers=settings.runner.workers, progress=False)
        return run(imputations, walk.what)


def _keep(walk: _Walk, i: int, made: Estimates, how: str, checks: tuple[float, float], more: Arrays) -> None:
    arrays = as_arrays(made) | {"how": np.array(how), "checks": np.array(checks)} | more
    walk.settings.runner.keep(_point(walk, i), arrays)
    walk.found[i] = arrays


def _reached(arrays: Arrays, label: str) -> Reached:
    k_hat, ess = arrays["checks"]
    return Reached(as_estimates(arrays, label), str(arrays["how"]), float(k_hat), float(ess))
