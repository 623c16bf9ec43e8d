"""A hazard over waves as rows of the kernel: which coefficients each wave reads, and in which units."""

from dataclasses import dataclass

import numpy as np

from mnarkit.spec.dropout import Dropout

__all__ = ["Hazard", "hazard_of", "leaving_wave", "standard_maps"]


@dataclass(frozen=True, slots=True, eq=False)
class Hazard:
    """The waves of a dropout model.

    Attributes
    ----------
    order : tuple of int
        All waves as columns of the data model, in their order.
    at : tuple of int
        Positions in `order` of the waves with a hazard.
    terms : tuple of str
        All coefficients, those by wave carrying its name.
    maps : tuple of (r + 2, k) arrays
        For each wave, its coefficients on its r fully seen columns, on the previous and on the current value, from all.
    """

    order: tuple[int, ...]
    at: tuple[int, ...]
    terms: tuple[str, ...]
    maps: tuple[np.ndarray, ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Columns of the previous and of the current value of each hazard."""
        return tuple((self.order[t - 1], self.order[t]) for t in self.at)

    @property
    def reads(self) -> list[tuple[int, ...]]:
        """Of those, the ones with a coefficient."""
        used = [made[-2:].any(axis=1) for made in self.maps]
        return [tuple(j for j, on in zip(pair, u, strict=True) if on) for pair, u in zip(self.pairs, used, strict=True)]

    def signs(self, seen: np.ndarray) -> np.ndarray:
        """+1 where a pattern leaves at the wave, -1 where it stays, 0 where it has left before: (G, K)."""
        left = leaving_wave(seen[:, list(self.order)])
        at = np.array(self.at)[None, :]
        return np.where(left[:, None] == at, 1.0, np.where(left[:, None] > at, -1.0, 0.0))


def leaving_wave(seen: np.ndarray) -> np.ndarray:
    """Find the wave at which the last run of holes of each row begins; the number of waves where there is none."""
    return np.where(seen.any(axis=1), seen.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)


def hazard_of(belief: Dropout, columns: tuple[str, ...], names: tuple[str, ...], at: tuple[int, ...]) -> Hazard:
    """Lay the coefficients of a dropout model out: those of its fully seen columns `names`, previous and current."""
    reads = [n for n, used in zip(("previous", "current"), belief.reads, strict=True) if used]
    waves = [belief.waves[t] for t in at]
    terms = tuple(
        label
        for name in (*names, *reads)
        for label in ([f"{name}[{w}]" for w in waves] if name in belief.by_wave else [name])
    )
    maps = []
    for wave in waves:
        made = np.zeros((len(names) + 2, len(terms)))
        rows = [*names, "previous", "current"]
        for i, name in enumerate(rows):
            label = f"{name}[{wave}]" if name in belief.by_wave else name
            if label in terms:
                made[i, terms.index(label)] = 1.0
        maps.append(made)
    return Hazard(tuple(columns.index(w) for w in belief.waves), at, terms, tuple(maps))


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
    center, scale : (p,) arrays
        Of the modelled columns.

    Returns
    -------
    maps : tuple of (r + 2, k) arrays
        Each wave's coefficients on standardised columns, from standardised coefficients φ.
    own : (k, k) array
        φ to the columns' own units. A slope is per sd of its column (for all waves: their mean sd); an intercept stands
        at the centre of what it is added to.
    unit : (k,) array
        Those sds.
    """
    r, k = len(names), len(hazard.terms)
    to_standard = []
    for (before, now), made in zip(hazard.pairs, hazard.maps, strict=True):
        shifted = np.eye(r + 2)
        if "Intercept" in names:
            shifted[names.index("Intercept"), r:] = center[[before, now]]
        carried = np.zeros((r + 2, r + 2))
        carried[:r, :r] = np.linalg.inv(w_map)
        carried[[r, r + 1], [r, r + 1]] = scale[[before, now]]
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
