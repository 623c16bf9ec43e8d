"""Grid: the values over which an assumption is varied, with their unit; Axis: one such assumption on a table."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.em.start import is_finite_number
from mnarkit.errors import SpecError
from mnarkit.levels import check_seen, code_levels
from mnarkit.spec.pattern_mixture import PatternMixture, Scale, Shift

__all__ = ["Axis", "Grid", "axes_of", "belief_at", "lattice"]

_AMOUNTS = {
    "sd": "residual sd",
    "sd_observed": "sd of the recorded values",
    "raw": "own unit",
    "percent": "% of the MAR prediction",
    "factor": "times the MAR value",
}
_COEFFICIENTS = {"raw": "per own unit", "sd": "per sd of the column", "prior_sd": "sd of its normal prior, per sd"}
_NAMED = re.compile(r"(?:(?:missing\(`?(?P<missing>[^`)]+)`?\)|dropout)\s*~\s*(?P<term>.+)|rho\(`?(?P<rho>[^`)]+)`?\))")


@dataclass(frozen=True, slots=True, init=False)
class Grid:
    """Values of an assumption, low to high, with their unit.

    Parameters
    ----------
    low, high : float, optional
        The range; both ends are in it.
    points : int
        How many values, evenly spaced, at least 2. `tipping_point` searches the whole range and does not read it.
    values : sequence of float, optional
        Values of your own, in place of a range.
    unit : str
        Of an amount: `"sd"`, `"sd_observed"`, `"raw"`, `"percent"`, as in `Shift`, or `"factor"`, as in `Scale`. Of a
        coefficient in a missingness formula: `"raw"`, or `"sd"`, per sd of the recorded values; `"prior_sd"` varies
        the width of its normal prior instead.
    where : str, optional
        Only rows for which this condition on fully seen columns holds.
    by : str, optional
        A fully seen column: the assumption has an axis of its own in each of its levels, such as the arms of a trial.

    Attributes
    ----------
    values : tuple of float
        All values, ascending as given.

    Raises
    ------
    SpecError
        No unit, an unknown one, values that are not finite numbers, or fewer than one.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Grid(-1, 1, points=5, unit="sd").values
    (-1.0, -0.5, 0.0, 0.5, 1.0)
    >>> mk.Grid(values=[0, 10, 20], unit="percent")
    Grid(values=(0.0, 10.0, 20.0), unit='percent')
    """

    values: tuple[float, ...]
    unit: str
    where: str | None = None
    by: str | None = None

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        *,
        points: int = 21,
        values: Iterable[float] | None = None,
        unit: str | None = None,
        where: str | None = None,
        by: str | None = None,
    ) -> None:
        if unit not in {*_AMOUNTS, *_COEFFICIENTS}:
            given = "no unit" if unit is None else f"the unit {unit!r}"
            raise SpecError(f"a grid has {given}; say unit= one of {', '.join(map(repr, _AMOUNTS))}, 'prior_sd'")
        made = _range(low, high, points) if values is None else _listed(values, low, high)
        _check_allowed(made, unit)
        object.__setattr__(self, "values", made)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "where", where)
        object.__setattr__(self, "by", by)

    @property
    def low(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(self.values)

    def __repr__(self) -> str:
        more = "".join(f", {name}={v!r}" for name, v in (("where", self.where), ("by", self.by)) if v is not None)
        return f"Grid(values={self.values!r}, unit={self.unit!r}{more})"


def _range(low: Any, high: Any, points: Any) -> tuple[float, ...]:
    if not is_finite_number(low) or not is_finite_number(high) or not low < high:
        raise SpecError(f"a grid goes from a number to a larger one, Grid(-2, 2, ...), not {low!r} to {high!r}")
    if isinstance(points, bool) or not isinstance(points, (int, np.integer)) or points < 2:
        raise SpecError(f"points= is a whole number of at least 2, not {points!r}")
    return tuple(np.linspace(low, high, int(points)).tolist())


def _listed(values: Any, low: Any, high: Any) -> tuple[float, ...]:
    if low is not None or high is not None:
        raise SpecError("a grid has a range, Grid(-2, 2, ...), or values=, not both")
    made = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else []
    if not made or not all(is_finite_number(v) for v in made):
        raise SpecError(f"values= are one or more finite numbers, not {values!r}")
    if len(set(made)) < len(made):
        raise SpecError(f"values= name {next(v for v in made if made.count(v) > 1)!r} more than once")
    return tuple(map(float, made))


def _check_allowed(values: tuple[float, ...], unit: str) -> None:
    if unit in ("factor", "prior_sd") and min(values) <= 0:
        raise SpecError(f"the values of unit={unit!r} are above 0, not {min(values):g}")
    if unit == "percent" and min(values) <= -100:
        raise SpecError(f"a shift of {min(values):g} percent leaves nothing; it must be above -100")


@dataclass(frozen=True, slots=True)
class Axis:
    """One assumption that is varied: an amount added to the unseen values of columns, or a coefficient.

    Attributes
    ----------
    name : str
        As the results call it.
    columns : tuple of str
        The columns whose unseen values move; of a coefficient, the column whose holes it is about.
    term : str or None
        The term of the missingness formula; None for an amount.
    grid : Grid
        Values and unit.
    where : str or None
        The rows.
    """

    name: str
    columns: tuple[str, ...]
    term: str | None
    grid: Grid
    where: str | None

    @property
    def neutral(self) -> float:
        """The value that says MAR: 1 for a factor, 0 for anything else."""
        return 1.0 if self.grid.unit == "factor" else 0.0

    @property
    def unit(self) -> str:
        """The unit in words."""
        return (_AMOUNTS if self.term is None else _COEFFICIENTS)[self.grid.unit]

    @property
    def assumption(self) -> str:
        """What is varied, as a sentence about what no data can tell."""
        columns = " and ".join(self.columns)
        rows = f" where {self.where}" if self.where else ""
        if self.term is None:
            return f"how far the unseen values of {columns}{rows} lie from what MAR predicts ({self.unit})"
        what = "the prior width" if self.grid.unit == "prior_sd" else "the size"
        return f"{what} of the coefficient {self.name.removeprefix('prior sd of ')} ({self.unit})"


type Axes = Mapping[Any, Grid | Sequence[Grid]]


def axes_of(grids: Axes, data: IncompleteData) -> tuple[Axis, ...]:
    """Read what is varied, by column, tuple of columns, or coefficient, on a table.

    Raises
    ------
    SpecError
        Nothing, more than two, or something else than grids.
    """
    if not isinstance(grids, Mapping) or not grids:
        raise SpecError(f"what is varied is a mapping such as {{'y': mk.Grid(-2, 2, unit='sd')}}, not {grids!r}")
    made: list[Axis] = []
    for key, given in grids.items():
        for grid in given if isinstance(given, (list, tuple)) else [given]:
            if not isinstance(grid, Grid):
                raise SpecError(f"{key!r} is varied over a mk.Grid(low, high, unit=...), not {grid!r}")
            made += _axes(key, grid, data)
    if len(made) > 2:
        raise SpecError(f"{len(made)} assumptions are varied ({', '.join(a.name for a in made)}); at most two can be")
    if len({axis.name for axis in made}) < len(made):
        raise SpecError(f"{made[0].name!r} is varied twice; give the two grids different where=")
    return tuple(made)


def _axes(key: Any, grid: Grid, data: IncompleteData) -> list[Axis]:
    if isinstance(key, str) and ("~" in key or key.startswith("rho(")) and key not in data.columns:
        return [_coefficient(key, grid)]
    columns = (key,) if isinstance(key, str) else key if isinstance(key, tuple) else ()
    if not columns or not all(isinstance(c, str) for c in columns):
        raise SpecError(f"a column, a tuple of columns or 'missing(y) ~ y' is varied, not {key!r}")
    if grid.unit not in _AMOUNTS:
        raise SpecError(
            f"the unit {grid.unit!r} is for coefficients; that of {columns[0]!r} is one of {list(_AMOUNTS)}"
        )
    stem = f"{'scale' if grid.unit == 'factor' else 'shift'}_{'_'.join(columns)}"
    if grid.by is None:
        tail = "" if grid.where is None else f"[{grid.where}]"
        return [Axis(f"{stem}{tail}", columns, None, grid, grid.where)]
    data.require([grid.by], f"by= of {columns[0]!r}")
    check_seen(grid.by, data)
    both = [(level, _within(grid.by, level, grid.where)) for level in code_levels(grid.by, data).levels]
    return [Axis(f"{stem}[{level}]", columns, None, grid, where) for level, where in both]


def _within(by: str, level: Any, where: str | None) -> str:
    here = f"`{by}` == {level!r}" if not by.isidentifier() else f"{by} == {level!r}"
    return here if where is None else f"({where}) & {here}"


def _coefficient(key: str, grid: Grid) -> Axis:
    """Read 'missing(y) ~ term', 'dropout ~ term' or 'rho(y)', as `EMFit.params` names them."""
    match = _NAMED.fullmatch(key.strip())
    if match is None:
        raise SpecError(f"a coefficient is named 'missing(y) ~ y', 'dropout ~ current' or 'rho(y)', not {key!r}")
    if grid.unit not in _COEFFICIENTS:
        raise SpecError(f"the unit of a coefficient is one of {list(_COEFFICIENTS)}, not {grid.unit!r}")
    if grid.where is not None or grid.by is not None:
        raise SpecError(f"{key!r} is one number for all rows; leave where= and by= out")
    if match["rho"] and grid.unit != "raw":
        raise SpecError(f"{key!r} is a correlation: its unit is 'raw', not {grid.unit!r}")
    if match["rho"] and not -1 < grid.low <= grid.high < 1:
        raise SpecError(f"{key!r} is a correlation, inside (-1, 1), not {grid.low:g} to {grid.high:g}")
    column = match["rho"] or match["missing"] or "dropout"
    term = "rho" if match["rho"] else match["term"]
    name = f"rho({column})" if match["rho"] else f"{f'missing({column})' if match['missing'] else 'dropout'} ~ {term}"
    return Axis(f"prior sd of {name}" if grid.unit == "prior_sd" else name, (column,), term, grid, None)


def belief_at(axes: Sequence[Axis], values: Sequence[float]) -> PatternMixture:
    """The amounts of all axes at one point, as a late belief."""
    parts: list[Shift | Scale] = []
    for axis, value in zip(axes, values, strict=True):
        for column in axis.columns:
            if axis.grid.unit == "factor":
                parts.append(Scale(column, float(value), where=axis.where))
            else:
                parts.append(Shift(column, float(value), unit=axis.grid.unit, where=axis.where))  # type: ignore[arg-type]
    return PatternMixture(*parts)


def lattice(axes: Sequence[Axis]) -> np.ndarray:
    """Every combination of the values, (G, axes), the last axis fastest."""
    each = np.meshgrid(*(np.array(axis.grid.values) for axis in axes), indexing="ij")
    return np.stack([one.ravel() for one in each], axis=1)
