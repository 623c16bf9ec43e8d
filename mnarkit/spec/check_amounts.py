"""Whether declared amounts fit a table: columns with holes, groups, waves, units."""

import numpy as np

from mnarkit.condition import condition, evaluate
from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.levels import check_seen, listed_levels
from mnarkit.spec.odds_ratio import OddsRatio
from mnarkit.spec.pattern_mixture import Component, PatternMixture, Shift
from mnarkit.spec.spec import Spec

__all__ = ["check_amounts", "check_model_amounts"]


def check_amounts(
    belief: PatternMixture,
    modelled: tuple[str, ...],
    data: IncompleteData,
    present: np.ndarray,
    *,
    holes_needed: bool = True,
    with_odds: tuple[str, ...] = (),
) -> None:
    """Check every amount of a belief on a table; `with_odds` are the columns that have odds, binary and ordinal ones.

    Present are the modelled cells that were measured, (n, p): recorded, or known up to limits.

    Raises
    ------
    SpecError, DataError
        Nothing to move, a level without an amount or the other way round, waves out of order, a unit that has no
        meaning for the column.
    """
    for component in belief.amounts:
        holes = ~present[:, [modelled.index(c) for c in component.columns]]
        rows = np.ones(data.n, dtype=bool) if component.where is None else evaluate(condition(component.where), data)
        if component.cumulative:
            _waves_in_order(component, modelled)
        if component.by is not None:
            _levels(component, component.by, rows & holes.T, data, holes_needed=holes_needed)
        for column, missing in zip(component.columns, holes.T, strict=True):
            _odds(component, column, with_odds)
            if holes_needed:
                _holes(component, column, rows, missing)
            if isinstance(component, Shift) and component.unit == "percent" and data.seen(column).any():
                _above_zero(column, data)


def _odds(component: Component, column: str, with_odds: tuple[str, ...]) -> None:
    if isinstance(component, OddsRatio) and column not in with_odds:
        raise SpecError(
            f"{component} is about odds, and {column!r} is not modelled as binary or ordinal; use Shift, or "
            f"Regression({f'{column} ~ ...'!r}, family='bernoulli' or 'ordinal')"
        )
    if not isinstance(component, OddsRatio) and column in with_odds:
        raise SpecError(f"{component} is about numbers, and {column!r} has categories; use OddsRatio")


def _holes(component: Component, column: str, rows: np.ndarray, holes: np.ndarray) -> None:
    if not holes.any():
        raise SpecError(
            f"{column!r} has no holes in {len(rows)} rows, so there is nothing for {component} to move; leave it out"
        )
    if component.where is not None and not np.any(rows & holes):
        raise SpecError(
            f"none of the {int(holes.sum())} holes of {column!r} is where {component.where} ({int(rows.sum())} of "
            f"{len(rows)} rows); change where=, or leave the amount out"
        )


def _levels(component: Component, by: str, holes: np.ndarray, data: IncompleteData, *, holes_needed: bool) -> None:
    """Every level with holes (waves, n) has an amount, and every amount a level."""
    check_seen(by, data)
    groups = data.frame[by]
    levels = list(dict.fromkeys(groups.astype(object).tolist()))
    declared: list[object] = [level for level, _ in component.amount]  # type: ignore[misc]
    unknown = [level for level in declared if level not in levels]
    if unknown and holes_needed:
        raise SpecError(
            f"{unknown[0]!r} is no level of {by!r}, for which {component} has an amount; its levels are "
            f"{listed_levels(tuple(levels))}"
        )
    for level in levels:
        count = int(holes[:, (groups == level).to_numpy(dtype=bool, na_value=False)].sum())
        if count and level not in declared:
            raise SpecError(
                f"{count} holes of {', '.join(component.columns)} are where {by} is {level!r}, for which {component} "
                "has no amount; give every level with holes one (0 leaves it as it is)"
            )


def _waves_in_order(component: Component, modelled: tuple[str, ...]) -> None:
    """A cumulative amount counts waves: they stand in the data model's order, none left out between."""
    at = [modelled.index(c) for c in component.columns]
    run = modelled[min(at) : max(at) + 1]
    if component.columns != run:
        raise SpecError(
            f"{component} counts waves in the order {', '.join(component.columns)}, and the data model has "
            f"{', '.join(run)}; name the waves in that order, none left out between"
        )


def _above_zero(column: str, data: IncompleteData) -> None:
    values = data.number(column)
    wrong = int(np.sum(values[data.seen(column)] <= 0))
    if wrong:
        raise DataError(
            f"{column!r} has {wrong} recorded values that are not above 0, so percent has no meaning for it; "
            "use unit='sd' or 'raw' (on a logged column a percent p is the raw shift log(1 + p/100))"
        )


def check_model_amounts(spec: Spec) -> None:
    """Refuse amounts inside the model that contradict each other or a selection model.

    Raises
    ------
    SpecError
        Which, and the ways on.
    """
    inside = [c for c in spec.amounts if c.of == "model"]
    moved = [(column, c) for c in inside for column in c.columns]
    selected = {c for b in spec.selections for c in b.columns}
    for column, component in moved:
        if len({type(c) for other, c in moved if other == column}) > 1:
            raise SpecError(f"{column!r} has both a Shift and a Scale inside the model; declare one of them there")
        if column in selected:
            raise SpecError(
                f"{column!r} has a selection model and {component} inside the model: two reasons for the "
                "same holes; keep one, or apply the amount late with of='prediction'"
            )
