"""Coefficients of unseen values in a formula: one for all rows, or by group."""

from dataclasses import dataclass

import numpy as np

from mnarkit.data import IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.formula import Design, Formula, Term, design

__all__ = ["MOST_GROUPS", "Slopes", "bent", "check_groups", "slopes_of"]

MOST_GROUPS = 24  # each is a row of the kernel, and splits every pattern of holes


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """The coefficients of unseen values: `y`, or `y:arm[drug]` where a level has its own.

    Attributes
    ----------
    names : tuple of str
        How they are called.
    reads : tuple of str
        The unseen column of each.
    built : Design or None
        The terms with an unseen column, where that column is 1 in every row; None where all stand as they are.
    at : tuple of int
        The column of `built` of each; -1 for one that stands as it is.
    formula : str
        In which they stand.
    """

    names: tuple[str, ...]
    reads: tuple[str, ...]
    built: Design | None = None
    at: tuple[int, ...] = ()
    formula: str = ""

    def times(self, data: IncompleteData, *, way_on: str = "take a column with fewer levels") -> np.ndarray | None:
        """What each multiplies its column by in every row, (n, slopes); None where it is 1 everywhere.

        Raises
        ------
        DataError
            More groups than there can be, and the way on.
        """
        times = self._times(data)
        groups = 1 if times is None else len(np.unique(times, axis=0))
        if groups > MOST_GROUPS:
            name = next(n for n, at in zip(self.names, self.at, strict=True) if at >= 0)
            raise DataError(
                f"{name!r} in {self.formula!r} has {groups} different slopes in {data.n} rows, and an unseen value of "
                f"columns modelled jointly has slopes of at most {MOST_GROUPS} groups; {way_on}"
            )
        return times

    def of_few(self, data: IncompleteData) -> bool:
        """Whether there are not more groups than columns modelled jointly can have."""
        times = self._times(data)
        return times is None or len(np.unique(times, axis=0)) <= MOST_GROUPS

    def _times(self, data: IncompleteData) -> np.ndarray | None:
        if self.built is None:
            return None
        made = self.built.rebuild(_ones(data, self.reads))
        return np.hstack([made, np.ones((data.n, 1))])[:, list(self.at)]


def bent(formula: Formula, unseen: tuple[str, ...]) -> list[Term]:
    """List the terms that are no slope of one unseen column, times fully seen ones."""
    found = [(term, term.columns & set(unseen)) for term in formula.terms if term.columns & set(unseen)]
    return [term for term, read in found if len(read) > 1 or not read <= term.factors or term.holes]


def slopes_of(formula: Formula, data: IncompleteData, unseen: tuple[str, ...]) -> Slopes:
    """List the slopes of unseen columns: those that stand as they are in the order given, then those by group.

    Raises
    ------
    SpecError
        A term that is no slope of one column.
    """
    wrong = bent(formula, unseen)
    if wrong:
        raise SpecError(f"{wrong[0].name!r} in {formula.text!r} is not linear in one unseen value")
    reading = [term for term in formula.terms if term.columns & set(unseen)]
    bare = tuple(c for c in unseen if any(term.bare and c in term.columns for term in reading))
    grouped = {c for term in reading if not term.bare for c in term.columns & set(unseen)}
    if not grouped:
        return Slopes(bare, bare)
    built = design(formula, _ones(data, tuple(grouped)), only=grouped)
    names, reads, at = list(bare), list(bare), [-1] * len(bare)
    for term, where in built.model_spec.term_slices.items():
        read = {factor.expr for factor in term.factors} & grouped
        if len(term.factors) > 1 and read:
            names += built.names[where]
            reads += [*read] * (where.stop - where.start)
            at += range(where.start, where.stop)
    return Slopes(tuple(names), tuple(reads), built, tuple(at), formula.text)


def _ones(data: IncompleteData, columns: tuple[str, ...]) -> IncompleteData:
    return IncompleteData.of(data.frame.assign(**dict.fromkeys(columns, 1.0)))


def check_groups(slopes: Slopes, data: IncompleteData, way_on: str = "take a column with fewer levels") -> None:
    """Check that slopes by group are of few groups, and that none is said twice.

    Raises
    ------
    DataError
        How many groups there are, or which slopes say the same; and the way on.
    """
    times = slopes.times(data, way_on=way_on)
    if times is None:
        return
    for column in dict.fromkeys(slopes.reads):
        mine = [i for i, read in enumerate(slopes.reads) if read == column]
        if np.linalg.matrix_rank(times[:, mine]) < len(mine):
            said = ", ".join(repr(slopes.names[i]) for i in mine)
            raise DataError(
                f"the slopes {said} in {slopes.formula!r} are linearly dependent in {data.n} rows; leave one out"
            )
