"""impute: exact, independent draws of the unseen cells, one posterior draw an imputation."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import ConvergenceWarning, SpecError
from mnarkit.fit import Fit, checked_seed, draw_parameters, stacked_draws
from mnarkit.impute.factored import impute_factored
from mnarkit.impute.imputations import Imputations
from mnarkit.normal.amounts import move
from mnarkit.normal.conditional import draw_unseen
from mnarkit.normal.declared import Amount, amounts_of, draw_amounts
from mnarkit.normal.layout import KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.parameters import kernel_parameters
from mnarkit.normal.reference import ReferenceRows, refer, reference_rows
from mnarkit.priors import Prior
from mnarkit.spec.bounds import present_cells
from mnarkit.spec.check import check_late, check_rows
from mnarkit.spec.death import dead_cells
from mnarkit.spec.engine import engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.pattern_mixture import PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.spec import Spec

__all__ = ["draw_order", "impute"]

type Late = PatternMixture | Reference


def impute(
    fit: Fit,
    m: int = 20,
    *,
    seed: int | None = None,
    under: Late | Sequence[Late] | None = None,
    data: object | None = None,
) -> Imputations:
    """Draw y_unseen from p(y_unseen | y_seen, r, θ_k), k = 1 … m, with θ_k posterior draws: proper imputations.

    Given θ_k the cells are independent across rows and drawn exactly: the latent propensity from its truncated normal,
    then the cells given it. There is no chain over the cells and nothing to converge.

    Parameters
    ----------
    fit : Fit
        From `mk.sample`.
    m : int
        How many, at most the number of posterior draws; the k-th uses the k-th draw of a fixed order that does not
        depend on m, and a random stream of its own.
    seed : int, optional
        Without one, a seed is taken from the system and kept in `Imputations.seed`.
    under : PatternMixture, Reference or sequence of them, optional
        Late beliefs, applied without refitting: amounts with `of="prediction"` on top of the fit, a `Reference` in
        place of one that the fit has; amounts come after a reference.
    data : DataFrame, optional
        Other rows with the same columns; by default the rows of the fit.

    Returns
    -------
    Imputations

    Raises
    ------
    SpecError
        m below 1 or above the number of draws, or a late belief that needs a fit of its own.
    DataError
        New rows that the model cannot read.

    References
    ----------
    Rubin, D. (1987). Multiple Imputation for Nonresponse in Surveys, section 5.2.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> fit = mk.sample(mk.Spec(mk.Regression("lwage ~ educ")), wages, draws=200, chains=2, seed=1, progress=False)
    >>> imps = mk.impute(fit, m=5, seed=2, under=mk.PatternMixture(mk.Shift("lwage", -0.4, unit="sd")))
    >>> len(imps), int(imps[0]["lwage"].isna().sum())
    (5, 0)
    """
    _check_m(fit, m)
    late = _late(under)
    if engine_of(fit.spec, fit.data).name == "factored":
        rows, seed = fit.data if data is None else IncompleteData.of(data), checked_seed(seed)
        cells = impute_factored(fit, rows, late, seed, draw_order(fit.n_draws, m))
        return Imputations(rows, cells, fit.spec, late, seed, m)
    rows = fit.data if data is None else _other_rows(fit, data)
    check_late(fit.spec, late, rows, holes_needed=data is None)
    _warn_whole_numbers(fit.spec, rows)
    seed = checked_seed(seed)
    work = _work(fit, rows, late)
    completed = [_one(work, number, seed, k) for k, number in enumerate(draw_order(fit.n_draws, m))]
    holes = [~rows.seen(c) for c in work.layout.columns]
    cells = {c: np.stack([y[holes[j], j] for y in completed]) for j, c in enumerate(work.layout.columns)}
    return Imputations(rows, cells, fit.spec, late, seed, m)


def _other_rows(fit: Fit, data: object) -> IncompleteData:
    """Rows that were not in the fit; a modelled column without any value may have any dtype."""
    rows = IncompleteData.of(data)
    check_rows(fit.spec, rows)
    empty = [c for c in fit.spec.model.columns if not rows.seen(c).any()]
    return IncompleteData.of(rows.frame.assign(**dict.fromkeys(empty, np.nan))) if empty else rows


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    draws: dict[str, np.ndarray]
    layout: Layout
    rows: KernelData
    late: tuple[Amount, ...]
    recorded: np.ndarray
    dead: np.ndarray
    reference: ReferenceRows | None


def _work(fit: Fit, rows: IncompleteData, late: tuple[Late, ...]) -> _Work:
    designs = designs_of(fit.spec, fitted_table(fit.spec, fit.data))
    layout = lay_out(fit.spec, fitted_table(fit.spec, rows), designs)
    layout = replace(layout, amounts=amounts_of(fit.spec, rows, designs.recorded_sd))
    added = fit.spec.under(*late)
    reference = added.reference or fit.spec.reference
    return _Work(
        stacked_draws(fit),
        layout,
        kernel_data(layout, keep_empty_rows=True, products=False),
        amounts_of(added, rows, designs.recorded_sd),
        present_cells(fit.spec, rows),
        dead_cells(fit.spec, rows),
        None if reference is None else reference_rows(reference, layout.columns, rows, designs),
    )


def _one(work: _Work, number: int, seed: int, k: int) -> np.ndarray:
    """Complete the modelled columns, (n, p), for imputation k."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
    parameters, amounts = draw_parameters(work.draws, work.layout, number)
    arguments = kernel_parameters(parameters, work.layout, work.rows)
    y = draw_unseen(arguments, work.rows, work.layout.y, rng)
    if work.reference is not None:
        kept = {name: _number(declared, rng) for name, declared in work.reference.belief.amounts}
        y = refer(y, work.reference, parameters, kept, rng.standard_normal(y.shape))
    drawn = draw_amounts(work.late, rng)
    own = [a for a in work.layout.amounts if a.component.of == "prediction"]
    moves = [(a, amounts[a.name]) for a in own] + [(a, drawn[a.name]) for a in work.late]
    move(y, moves, parameters, work.layout, work.recorded)
    return np.where(work.dead, np.nan, y)


def _number(declared: Prior | float, rng: np.random.Generator) -> float:
    return float(declared.draw(rng)) if isinstance(declared, Prior) else declared


def draw_order(n_draws: int, m: int) -> list[int]:
    """Take the first m of a fixed order of the draws, spread over the chains end to end (van der Corput, base 2)."""
    bits = max(int(np.ceil(np.log2(n_draws))), 0)
    numbers = [int(format(k, f"0{bits}b")[::-1], 2) if bits else 0 for k in range(2**bits)]
    return [v for v in numbers if v < n_draws][:m]


def _check_m(fit: Fit, m: int) -> None:
    if not isinstance(m, (int, np.integer)) or isinstance(m, bool) or m < 1:
        raise SpecError(f"m is the number of imputations, a whole number of at least 1, not {m!r}")
    if m > fit.n_draws:
        raise SpecError(f"m={m} is more than the {fit.n_draws} posterior draws; sample more draws, or take a smaller m")
    least = fit.draws.attrs.get("ess_min", np.inf)
    if m > least:
        warnings.warn(
            f"m={m} is above the effective sample size ({least:.0f}): the imputations repeat each other",
            ConvergenceWarning,
            stacklevel=3,
        )


def _late(under: Late | Sequence[Late] | None) -> tuple[Late, ...]:
    late: tuple[Any, ...] = () if under is None else (under,) if not isinstance(under, (list, tuple)) else tuple(under)
    for belief in late:
        if not isinstance(belief, (PatternMixture, Reference)):
            raise SpecError(
                f"under= takes PatternMixture(...) or Reference(...), which need no refit; {belief!r} is fitted with "
                "mk.sample(spec.under(...), df)"
            )
        amounts = belief.amounts if isinstance(belief, PatternMixture) else ()
        inside = [c for c in amounts if c.of == "model"]
        if inside:
            raise SpecError(f"{inside[0]} stands inside the likelihood; fit it with mk.sample(spec.under(...), df)")
        restriction = belief.restriction if isinstance(belief, PatternMixture) else None
        if restriction is not None:
            raise SpecError(f"{restriction} is a fit of its own; make it with mk.sample(spec.under(...), df)")
    return late


def _warn_whole_numbers(spec: Spec, rows: IncompleteData) -> None:
    for column in spec.model.columns:
        dtype = rows.frame[column].dtype
        kind = getattr(getattr(dtype, "numpy_dtype", dtype), "kind", "f")
        if kind in "iub" and not rows.seen(column).all():
            warnings.warn(
                f"{column!r} holds whole numbers ({dtype}); its imputed values are not rounded, "
                "so the column comes back as floating point",
                UserWarning,
                stacklevel=3,
            )
