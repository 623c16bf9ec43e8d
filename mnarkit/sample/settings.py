"""How a sampler is to run, checked, and what every way of sampling gives back."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from mnarkit.errors import SpecError

__all__ = ["Drawn", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Draws kept and warm-up draws of each chain, chains, chains at a time, NUTS's target, seed, progress bar."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    target_accept: float = 0.9
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("draws", "tune", "chains"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise SpecError(f"{name}= is a whole number of at least 1, not {value!r}")
        if not 0 < self.target_accept < 1:
            raise SpecError(f"target_accept= lies inside (0, 1), not {self.target_accept!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Named draws and sampler statistics, dims `chain` and `draw` first, and who drew them."""

    posterior: xr.Dataset
    statistics: xr.Dataset
    sampler: str
