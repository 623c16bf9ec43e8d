"""Indicators by wave and by group as rows of the kernel: which coefficients each row reads, and in which units."""

from dataclasses import dataclass

import numpy as np

from mnarkit.spec.check_dropout import leaving_wave_of
from mnarkit.spec.dropout import CURRENT, PREVIOUS, Dropout
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.slopes import Slopes

__all__ = [
    "Groups",
    "Hazard",
    "Lines",
    "groups_of",
    "hazard_of",
    "leaving_wave",
    "lines_of",
    "sharing_of",
    "standard_maps",
]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Rows of a table by what they multiply slopes of unseen values by.

    Attributes
    ----------
    code : (n,) int array
        The group of each row.
    times : (groups, slopes) array
        What a group multiplies each slope by: 1 for `y:arm[drug]` under drug, 0 under placebo.
    """

    code: np.ndarray
    times: np.ndarray

    def own(self, values: np.ndarray, code: np.ndarray | None = None) -> np.ndarray:
        """Take each row's own group from (n, waves * groups): (n, waves)."""
        code = self.code if code is None else code
        return values.reshape(len(values), -1, len(self.times))[np.arange(len(values)), :, code]


def groups_of(times: np.ndarray | None) -> Groups | None:
    """Group rows by their multipliers, (n, slopes)."""
    if times is None:
        return None
    kinds, code = np.unique(times, axis=0, return_inverse=True)
    return Groups(code.ravel().astype(np.int64), kinds)


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Several rows of the kernel that are linear in one set of coefficients.

    Attributes
    ----------
    terms : tuple of str
        All coefficients, those by wave carrying its name.
    reading : tuple of tuple of int
        For each row, the columns of the kernel that it may depend on.
    maps : tuple of (r + s, k) arrays
        For each row, its coefficients on its r fully seen columns and on those s columns, from all.
    """

    terms: tuple[str, ...]
    reading: tuple[tuple[int, ...], ...]
    maps: tuple[np.ndarray, ...]

    @property
    def reads(self) -> list[tuple[int, ...]]:
        """The columns that each row depends on: those with a coefficient."""
        used = [made[-len(which) :].any(axis=1) for made, which in zip(self.maps, self.reading, strict=True)]
        return [tuple(j for j, on in zip(w, u, strict=True) if on) for w, u in zip(self.reading, used, strict=True)]

    def slopes_on(self, last: int) -> list[int]:
        """Find the coefficients on the `last` ones of the columns that rows read."""
        return np.flatnonzero(np.any([made[-last:].any(axis=0) for made in self.maps], axis=0)).tolist()


@dataclass(frozen=True, slots=True, eq=False)
class Hazard(Lines):
    """The waves of a dropout model, or of one of every hole; each is a row of the kernel, or one for each group.

    They read the previous and the current value, or the random terms, which stand after the modelled columns.

    Attributes
    ----------
    order : tuple of int
        All waves as columns of the data model, in their order.
    at : tuple of int
        Positions in `order` of the waves with a hazard.
    of : {"dropout", "missing"}
        Leaving, or every hole.
    hidden : int
        The number of random terms, columns that nobody sees; 0 for a hazard that reads values.
    """

    order: tuple[int, ...]
    at: tuple[int, ...]
    of: str = "dropout"
    hidden: int = 0

    def signs(self, seen: np.ndarray, death: np.ndarray | None = None) -> np.ndarray:
        """+1 where a pattern leaves at the wave, -1 where it stays, 0 where it has left or died before: (G, K).

        Of every hole: +1 where it is one, -1 where the value is seen.
        """
        if self.of == "missing":
            return np.where(seen[:, [self.order[t] for t in self.at]], -1.0, 1.0)
        left = leaving_wave(seen[:, list(self.order)], death)
        at = np.array(self.at)[None, :]
        made = np.where(left[:, None] == at, 1.0, np.where(left[:, None] > at, -1.0, 0.0))
        return made if death is None else np.where(at < death[:, None], made, 0.0)


def leaving_wave(seen: np.ndarray, death: np.ndarray | None = None) -> np.ndarray:
    """Find the wave at which the last run of holes of each row begins; the number of waves where there is none."""
    return leaving_wave_of(seen, death)


def hazard_of(
    belief: Dropout,
    columns: tuple[str, ...],
    names: tuple[str, ...],
    slopes: Slopes,
    groups: Groups | None,
    at: tuple[int, ...],
) -> Hazard:
    """Lay the coefficients of a dropout model out: those of its fully seen columns `names`, and its slopes."""
    order = tuple(columns.index(w) for w in belief.waves)
    times = np.ones((1, len(slopes.names))) if groups is None else groups.times
    terms, maps = _coefficients(belief, names, slopes, (PREVIOUS, CURRENT), times, at)
    reading = tuple((order[t - 1], order[t]) for t in at for _ in times)
    return Hazard(terms, reading, maps, order, at)


def sharing_of(
    belief: SharedParameter,
    columns: tuple[str, ...],
    curve: tuple[str, ...],
    names: tuple[str, ...],
    at: tuple[int, ...],
) -> Hazard:
    """Lay the coefficients of a shared-parameter model out: of its fully seen columns `names`, and of random terms."""
    order, slopes = tuple(columns.index(w) for w in belief.waves), Slopes(belief.shared, belief.shared)
    terms, maps = _coefficients(belief, names, slopes, curve, np.ones((1, len(belief.shared))), at)
    hidden = tuple(range(len(columns), len(columns) + len(curve)))
    return Hazard(terms, (hidden,) * len(at), maps, order, at, belief.of, len(curve))


def lines_of(columns: tuple[str, ...], names: tuple[str, ...], slopes: Slopes, groups: Groups) -> Lines:
    """Lay the coefficients of one indicator with slopes by group out, a row of the kernel for each group."""
    used = tuple(c for c in columns if c in slopes.reads)
    maps = tuple(_map(names, slopes, used, row, (*names, *slopes.names), "", ()) for row in groups.times)
    return Lines((*names, *slopes.names), (tuple(columns.index(c) for c in used),) * len(maps), maps)


def _coefficients(
    belief: Dropout | SharedParameter,
    names: tuple[str, ...],
    slopes: Slopes,
    unseen: tuple[str, ...],
    times: np.ndarray,
    at: tuple[int, ...],
) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    """Name all coefficients, those by wave carrying its name, and map them to each wave's rows, one for each group."""
    waves = [belief.waves[t] for t in at]
    terms = tuple(
        label
        for name in (*names, *slopes.names)
        for label in ([f"{name}[{w}]" for w in waves] if name in belief.by_wave else [name])
    )
    return terms, tuple(
        _map(names, slopes, unseen, row, terms, wave, belief.by_wave) for wave in waves for row in times
    )


def _map(
    names: tuple[str, ...],
    slopes: Slopes,
    unseen: tuple[str, ...],
    times: np.ndarray,
    terms: tuple[str, ...],
    wave: str,
    by_wave: tuple[str, ...],
) -> np.ndarray:
    """Map all coefficients to those of a row: on the seen columns `names`, and on the `unseen`, (r + s, k)."""
    rows = [*range(len(names)), *(len(names) + unseen.index(c) for c in slopes.reads)]
    factors = np.concatenate([np.ones(len(names)), times])
    made = np.zeros((len(names) + len(unseen), len(terms)))
    for i, name, factor in zip(rows, (*names, *slopes.names), factors, strict=True):
        label = f"{name}[{wave}]" if name in by_wave else name
        made[i, terms.index(label)] = factor
    return made


def standard_maps(
    lines: Lines, names: tuple[str, ...], w_map: np.ndarray, center: np.ndarray, scale: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Carry rows of the kernel to standardised columns.

    Parameters
    ----------
    lines : Lines
        In the columns' own units.
    names, w_map : tuple of str, (r, r) array
        The fully seen columns, and their standardising.
    center, scale : (p + g,) arrays
        Of the columns of the kernel: the modelled ones, then random terms if it reads any.

    Returns
    -------
    maps : tuple of (r + s, k) arrays
        Each row's coefficients on standardised columns, from standardised coefficients φ.
    own : (k, k) array
        φ to the columns' own units. A slope is per sd of its column, of the value too where it is one of a group's (for
        all waves: their mean sd); an intercept stands at the centre of what it is added to.
    unit : (k,) array
        Those sds.
    """
    r, k = len(names), len(lines.terms)
    to_standard = []
    for which, made in zip(lines.reading, lines.maps, strict=True):
        shifted = np.eye(r + len(which))
        if "Intercept" in names:
            shifted[names.index("Intercept"), r:] = center[list(which)]
        carried = np.diag(np.concatenate([np.zeros(r), scale[list(which)]]))
        carried[:r, :r] = np.linalg.inv(w_map)
        to_standard.append(carried @ shifted @ made)
    slopes = np.array([not t.startswith("Intercept") for t in lines.terms])
    unit = np.ones(k)
    for j in np.flatnonzero(slopes):
        both = zip(lines.maps, to_standard, strict=True)
        unit[j] = np.mean([np.abs(s[m[:, j] != 0, j]) for m, s in both if m[:, j].any()])
    own = np.diag(1 / unit)
    if "Intercept" in names:
        at = names.index("Intercept")
        for i in np.flatnonzero(~slopes):
            waves = [m for m, made in zip(to_standard, lines.maps, strict=True) if made[at, i]]
            own[i, slopes] = -np.mean([m[at, slopes] for m in waves], axis=0) / unit[slopes]
    return tuple(m @ own for m in to_standard), own, unit
