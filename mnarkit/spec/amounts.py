"""Amounts as they are declared: a number, a prior, one a wave, one a level of a group; checked and said in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mnarkit.condition import condition
from mnarkit.elicit import Elicited
from mnarkit.errors import SpecError
from mnarkit.priors import Amount, Prior, as_amount

__all__ = ["Declared", "Parameter", "carried", "check_declaration", "columns_of", "parameters_of", "said", "tail"]

type Level = str | float | bool
type EachWave = Amount | Elicited | tuple[Amount | Elicited, ...]
type Declared = EachWave | tuple[tuple[Level, EachWave], ...] | Mapping[Any, EachWave]

MEANINGS = ("prediction", "model")


class Component(Protocol):
    """What `Shift`, `Scale` and `OddsRatio` have in common."""

    @property
    def column(self) -> str | tuple[str, ...]: ...
    @property
    def amount(self) -> Declared: ...
    @property
    def of(self) -> str: ...
    @property
    def where(self) -> str | None: ...
    @property
    def by(self) -> str | None: ...
    @property
    def cumulative(self) -> bool: ...
    @property
    def corr(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number or prior of a declaration.

    Attributes
    ----------
    value : float or Prior
        The amount.
    level : str, float, bool or None
        The level of the group for which it is declared.
    wave : int or None
        The position of the column for which it is declared; None is all of them.
    """

    value: Amount
    level: Level | None
    wave: int | None


def columns_of(component: Component) -> tuple[str, ...]:
    """The columns that a declaration moves."""
    return (component.column,) if isinstance(component.column, str) else tuple(component.column)


def parameters_of(component: Component) -> tuple[Parameter, ...]:
    """Every number and prior of a checked declaration, in order."""
    declared: Any = component.amount
    groups = [(None, declared)] if component.by is None else declared
    found: list[Parameter] = []
    for level, each in groups:
        if isinstance(each, tuple):
            found += [Parameter(value, level, wave) for wave, value in enumerate(each)]
        else:
            found.append(Parameter(each, level, None))
    return tuple(found)


def check_declaration(component: Component, what: str) -> None:
    """Check the fields that every declaration has, and put them in the form in which they are kept.

    Raises
    ------
    SpecError
        What is wrong, and what is allowed.
    """
    columns = _columns(component, what)
    object.__setattr__(component, "column", columns[0] if len(columns) == 1 else columns)
    if component.of not in MEANINGS:
        raise SpecError(f"{what}: of= is 'prediction' or 'model', not {component.of!r}")
    if component.where is not None:
        condition(component.where)
    if component.by is not None and (not isinstance(component.by, str) or not component.by):
        raise SpecError(f"{what}: by= names a column of groups, not {component.by!r}")
    if not isinstance(component.cumulative, bool):
        raise SpecError(f"{what}: cumulative= is True or False, not {component.cumulative!r}")
    if component.cumulative and len(columns) == 1:
        raise SpecError(
            f"{what} of {columns[0]!r} is cumulative over waves, and names one; name the waves in their order"
        )
    object.__setattr__(component, "amount", _amounts(component, columns, what))
    if component.corr is not None:
        object.__setattr__(component, "corr", _correlation(component, what))


def _columns(component: Component, what: str) -> tuple[str, ...]:
    given: Any = component.column
    columns = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    wrong = [c for c in columns if not isinstance(c, str) or not c]
    if wrong or not columns:
        raise SpecError(f"{what} names a column, not {wrong[0] if wrong else given!r}")
    twice = [c for c in columns if columns.count(c) > 1]
    if twice:
        raise SpecError(f"{what} names {twice[0]!r} {columns.count(twice[0])} times; name each column once")
    return columns


def _amounts(component: Component, columns: tuple[str, ...], what: str) -> Declared:
    """Amounts as they are kept: a mapping becomes a tuple, so that a declaration can be hashed."""
    where = f"{what} of {', '.join(map(repr, columns))}"
    if component.by is None:
        return _each_wave(component.amount, columns, where)
    given: Any = component.amount
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, (list, tuple)) or not pairs or not all(_is_pair(pair) for pair in pairs):
        raise SpecError(
            f"{where} has by={component.by!r}, so amount= says one for each of its levels, such as "
            f"{{'drug': -0.3, 'control': 0}}, not {given!r}"
        )
    levels = [level for level, _ in pairs]
    for level in levels:
        if levels.count(level) > 1:
            raise SpecError(f"{where} has {levels.count(level)} amounts for {component.by} = {level!r}; give one")
    return tuple(
        (_level(level), _each_wave(each, columns, f"{where} for {component.by} = {level!r}")) for level, each in pairs
    )


def _is_pair(pair: object) -> bool:
    return isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], (str, int, float, np.generic))


def _level(level: Any) -> Level:
    return level.item() if isinstance(level, np.generic) else level


def _each_wave(given: Any, columns: tuple[str, ...], where: str) -> EachWave:
    """One amount for all columns, or one for each: a sequence in their order, or a mapping by their names."""
    if isinstance(given, Mapping):
        if set(given) != set(columns):
            raise SpecError(
                f"{where} has amounts for {', '.join(map(repr, given))}; give one for each of "
                f"{', '.join(map(repr, columns))} (or say by=, the column of groups)"
            )
        given = tuple(given[c] for c in columns)
    if not isinstance(given, (tuple, list)):
        return as_amount(_prior_of(given), where)
    if len(given) != len(columns) or len(columns) == 1:
        raise SpecError(
            f"{where} has {len(given)} amounts for {len(columns)} columns; give one number, or one for each"
        )
    return tuple(as_amount(_prior_of(value), f"{where} at {c!r}") for c, value in zip(columns, given, strict=True))


def _prior_of(value: Any) -> Any:
    return value.prior if isinstance(value, Elicited) else value


def elicited_unit(amount: Any, unit: str | None, what: str) -> str | None:
    """The unit in which amounts were elicited; the one given where none was.

    Raises
    ------
    SpecError
        Two units.
    """
    units = {one.unit for one in _leaves(amount) if isinstance(one, Elicited)} | ({unit} if unit is not None else set())
    if len(units) > 1:
        raise SpecError(f"{what} has amounts in {' and in '.join(sorted(units))}; say all in one unit")
    return units.pop() if units else None


def _leaves(amount: Any) -> list[Any]:
    if isinstance(amount, Mapping):
        amount = list(amount.values())
    return [leaf for one in amount for leaf in _leaves(one)] if isinstance(amount, (tuple, list)) else [amount]


def _correlation(component: Component, what: str) -> float:
    priors = [p.value for p in parameters_of(component) if isinstance(p.value, Prior)]
    if len(priors) < 2 or any(p.family != "normal" for p in priors):
        raise SpecError(
            f"{what}: corr= is the correlation between the normal priors of two or more amounts (by= or by wave); "
            f"here are {len(priors)} priors{_families(priors)}"
        )
    corr: Any = component.corr
    least = -1 / (len(priors) - 1)
    number = isinstance(corr, (int, float, np.number)) and not isinstance(corr, bool)
    if not number or not least < corr < 1:
        raise SpecError(f"{what}: corr= between {len(priors)} amounts lies inside ({least:.3g}, 1), not {corr!r}")
    return float(corr)


def _families(priors: list[Prior]) -> str:
    return f" ({', '.join(sorted({p.family for p in priors}))})" if priors else ""


def refuse_numbers(component: Component, wrong: Any, message: str) -> None:
    """Raise the message, with the number in it, for the first number for which `wrong` holds."""
    for parameter in parameters_of(component):
        if isinstance(parameter.value, float) and wrong(parameter.value):
            raise SpecError(message.format(parameter.value))


def carried(component: Any) -> bool:
    """Whether a moved value is the one on which later cells of its row are conditioned."""
    return bool(getattr(component, "carry", False))


def said(component: Component) -> str:
    """The amounts in words, without their unit."""
    columns = columns_of(component)
    declared: Any = component.amount
    if component.by is None:
        return _waves_said(declared, columns)
    parts = [f"{_waves_said(each, columns)} for {component.by} = {level!r}" for level, each in declared]
    return " and ".join(parts)


def _waves_said(each: EachWave, columns: tuple[str, ...]) -> str:
    if not isinstance(each, tuple):
        return _say(each)
    return ", ".join(f"{_say(value)} at {c}" for c, value in zip(columns, each, strict=True))


def _say(amount: Amount | Elicited) -> str:
    return f"{amount:g}" if isinstance(amount, float) else repr(amount)


def tail(component: Any) -> str:
    """What follows the amount, in brackets: its meaning, and whom it concerns."""
    inside, last = component.of == "model", "carried to later cells of the row" if carried(component) else "added last"
    parts = ["inside the model" if inside else f"of the prediction, {last}"]
    parts += ["cumulative over the waves since dropout, holes before it as they are"] if component.cumulative else []
    parts += [f"priors correlated {component.corr:g}"] if component.corr is not None else []
    predictors = getattr(component, "predictors", ())
    parts += [f"given {', '.join(predictors)}"] if predictors else []
    parts += [f"where {component.where}"] if component.where else []
    return f" ({', '.join(parts)})"
