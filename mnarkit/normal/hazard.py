"""A model of indicators by wave as rows of the kernel: which coefficients each wave reads, and in which units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnarkit.spec.check_dropout import leaving_wave_of
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.shared import SharedParameter

__all__ = ["Hazard", "hazard_of", "leaving_wave", "sharing_of", "standard_maps"]


@dataclass(frozen=True, slots=True, eq=False)
class Hazard:
    """The waves of a dropout model, or of one of every hole.

    Attributes
    ----------
    order : tuple of int
        All waves as columns of the data model, in their order.
    at : tuple of int
        Positions in `order` of the waves with a hazard.
    terms : tuple of str
        All coefficients, those by wave carrying its name.
    reading : tuple of tuple of int
        For each wave, the columns of the kernel that it may depend on: the previous and the current value, or the
        random terms, which stand after the modelled columns.
    maps : tuple of (r + s, k) arrays
        For each wave, its coefficients on its r fully seen columns and on those s columns, from all.
    of : {"dropout", "missing"}
        Leaving, or every hole.
    hidden : int
        The number of random terms, columns that nobody sees; 0 for a hazard that reads values.
    """

    order: tuple[int, ...]
    at: tuple[int, ...]
    terms: tuple[str, ...]
    reading: tuple[tuple[int, ...], ...]
    maps: tuple[np.ndarray, ...]
    of: str = "dropout"
    hidden: int = 0

    @property
    def reads(self) -> list[tuple[int, ...]]:
        """The columns that each wave depends on: those with a coefficient."""
        used = [made[-len(which) :].any(axis=1) for made, which in zip(self.maps, self.reading, strict=True)]
        return [tuple(j for j, on in zip(w, u, strict=True) if on) for w, u in zip(self.reading, used, strict=True)]

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


def hazard_of(belief: Dropout, columns: tuple[str, ...], names: tuple[str, ...], at: tuple[int, ...]) -> Hazard:
    """Lay the coefficients of a dropout model out: those of its fully seen columns `names`, previous and current."""
    reads = [n for n, used in zip(("previous", "current"), belief.reads, strict=True) if used]
    order = tuple(columns.index(w) for w in belief.waves)
    terms, maps = _coefficients(belief, names, reads, ("previous", "current"), at)
    return Hazard(order, at, terms, tuple((order[t - 1], order[t]) for t in at), maps)


def sharing_of(
    belief: SharedParameter,
    columns: tuple[str, ...],
    curve: tuple[str, ...],
    names: tuple[str, ...],
    at: tuple[int, ...],
) -> Hazard:
    """Lay the coefficients of a shared-parameter model out: of its fully seen columns `names`, and of random terms."""
    order = tuple(columns.index(w) for w in belief.waves)
    terms, maps = _coefficients(belief, names, belief.shared, curve, at)
    hidden = tuple(range(len(columns), len(columns) + len(curve)))
    return Hazard(order, at, terms, (hidden,) * len(at), maps, belief.of, len(curve))


def _coefficients(
    belief: Dropout | SharedParameter,
    names: tuple[str, ...],
    reads: Sequence[str],
    unseen: tuple[str, ...],
    at: tuple[int, ...],
) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    """Name all coefficients, those by wave carrying its name, and map them to each wave's rows (names, unseen)."""
    waves = [belief.waves[t] for t in at]
    terms = tuple(
        label
        for name in (*names, *reads)
        for label in ([f"{name}[{w}]" for w in waves] if name in belief.by_wave else [name])
    )
    maps = []
    for wave in waves:
        made = np.zeros((len(names) + len(unseen), len(terms)))
        for i, name in enumerate((*names, *unseen)):
            label = f"{name}[{wave}]" if name in belief.by_wave else name
            if label in terms:
                made[i, terms.index(label)] = 1.0
        maps.append(made)
    return terms, tuple(maps)


def standard_maps(
    hazard: Hazard, names: tuple[str, ...], w_map: np.ndarray, center: np.ndarray, scale: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Carry a hazard to standardised columns.

    Parameters
    ----------
    hazard : Hazard
        In the columns' own units.
    names, w_map : tuple of str, (r, r) array
        The fully seen columns, and their standardising.
    center, scale : (p + g,) arrays
        Of the columns of the kernel: the modelled ones, then random terms if it reads any.

    Returns
    -------
    maps : tuple of (r + s, k) arrays
        Each wave's coefficients on standardised columns, from standardised coefficients φ.
    own : (k, k) array
        φ to the columns' own units. A slope is per sd of its column (for all waves: their mean sd); an intercept stands
        at the centre of what it is added to.
    unit : (k,) array
        Those sds.
    """
    r, k = len(names), len(hazard.terms)
    to_standard = []
    for which, made in zip(hazard.reading, hazard.maps, strict=True):
        shifted = np.eye(r + len(which))
        if "Intercept" in names:
            shifted[names.index("Intercept"), r:] = center[list(which)]
        carried = np.diag(np.concatenate([np.zeros(r), scale[list(which)]]))
        carried[:r, :r] = np.linalg.inv(w_map)
        to_standard.append(carried @ shifted @ made)
    slopes = np.array([not t.startswith("Intercept") for t in hazard.terms])
    unit = np.ones(k)
    for j in np.flatnonzero(slopes):
        both = zip(hazard.maps, to_standard, strict=True)
        unit[j] = np.mean([s[m[:, j] != 0, j] for m, s in both if m[:, j].any()])
    own = np.diag(1 / unit)
    if "Intercept" in names:
        at = names.index("Intercept")
        for i in np.flatnonzero(~slopes):
            waves = [m for m, made in zip(to_standard, hazard.maps, strict=True) if made[at, i]]
            own[i, slopes] = -np.mean([m[at, slopes] for m in waves], axis=0) / unit[slopes]
    return tuple(m @ own for m in to_standard), own, unit
