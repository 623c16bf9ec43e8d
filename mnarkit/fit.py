"""Fit, the noun: posterior draws with the spec, the data and the seed that made them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from mnarkit.data import IncompleteData
from mnarkit.errors import MnarkitError, SpecError
from mnarkit.normal.layout import Layout
from mnarkit.normal.parameters import Parameters
from mnarkit.priors import Prior
from mnarkit.spec.files import from_json, read_spec
from mnarkit.spec.spec import Spec
from mnarkit.tables import dtypes_of, read_file, restored, write_table

__all__ = ["Fit", "checked_seed", "draw_parameters", "effects_draw", "latent_draw", "load_fit", "stacked_draws"]

_AGAIN = "run mnarkit fit again"
_FILES = ("spec.yaml", "posterior.nc", "data.parquet", "fit.json")


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Posterior draws of a spec on a table.

    Attributes
    ----------
    spec, data, seed : Spec, IncompleteData, int
        What was fitted to what, and the seed of the sampler.
    draws : xarray.DataTree
        Groups `posterior`, `sample_stats`, `log_likelihood` (log p(y_seen, r | θ) of every row that says something)
        and, where unseen cells are sampled or there are random effects, `latent`; ready for ArviZ.
    notes : tuple of str
        What the result rests on and how the sampler did, in sentences.
    """

    spec: Spec
    data: IncompleteData
    draws: xr.DataTree
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""
        sizes = self.draws["posterior"].sizes
        return int(sizes["chain"] * sizes["draw"])

    def save(self, folder: str | Path) -> Path:
        """Write `spec.yaml`, `posterior.nc`, `data.parquet` and `fit.json` into a folder, made if absent."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spec.yaml").write_text(self.spec.to_yaml(), encoding="utf-8")
        self.draws.to_netcdf(folder / "posterior.nc")
        write_table(self.data.frame, folder / "data.parquet")
        about = {"seed": self.seed, "notes": list(self.notes), "fingerprint": self.data.fingerprint()}
        about["dtypes"] = dtypes_of(self.data.frame)
        (folder / "fit.json").write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
        return folder

    def __str__(self) -> str:
        sizes = self.draws["posterior"].sizes
        head = f"Fit of {self.data.n} rows: {sizes['chain']} chains of {sizes['draw']} draws, seed {self.seed}"
        return "\n".join([head, str(self.spec), *(f"Note          {note}" for note in self.notes)])


def load_fit(folder: str | Path) -> Fit:
    """Read what `Fit.save` wrote.

    Parameters
    ----------
    folder : path
        A folder with `spec.yaml`, `posterior.nc`, `data.parquet` and `fit.json`.

    Returns
    -------
    Fit

    Raises
    ------
    MnarkitError
        A file is missing, or the table is not the one that was fitted.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.load_fit("no such folder")
    Traceback (most recent call last):
    mnarkit.errors.MnarkitError: 'no such folder' is not a run folder: spec.yaml, ..., fit.json missing
    """
    folder = Path(folder)
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise MnarkitError(f"{str(folder)!r} is not a run folder: {', '.join(missing)} missing")
    spec = read_spec(folder / "spec.yaml")
    about = read_file(folder / "fit.json", lambda path: json.loads(path.read_text(encoding="utf-8")), _AGAIN)
    draws = read_file(folder / "posterior.nc", _tree, _AGAIN)
    frame = read_file(folder / "data.parquet", pd.read_parquet, _AGAIN)
    data = IncompleteData.of(restored(frame, about.get("dtypes", {})))
    if data.fingerprint() != about["fingerprint"] or spec != from_json(draws.attrs["spec"]):
        raise MnarkitError(f"{str(folder)!r} holds a table or a spec that is not the one fitted; run mnarkit fit again")
    return Fit(spec, data, draws, int(about["seed"]), tuple(about["notes"]))


def _tree(path: Path) -> xr.DataTree:
    with xr.open_datatree(path) as stored:
        return stored.load()


def checked_seed(seed: int | None) -> int:
    """A whole number of at least 0; without one, a number from the system."""
    if seed is None:
        return int(np.random.default_rng().integers(2**32))
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SpecError(f"seed= is a whole number of at least 0, not {seed!r}")
    return int(seed)


def stacked_draws(fit: Fit) -> dict[str, np.ndarray]:
    """Every posterior variable with its chains laid end to end: (draws, ...)."""
    posterior = fit.draws["posterior"].to_dataset()
    arrays = {str(name): variable.values for name, variable in posterior.data_vars.items()}
    return {name: values.reshape(fit.n_draws, *values.shape[2:]) for name, values in arrays.items()}


def latent_draw(fit: Fit, columns: Sequence[str], number: int) -> list[np.ndarray]:
    """Sampled cells of each column in one draw of `stacked_draws`, in own units; empty where none is sampled."""
    chain, draw = divmod(number, int(fit.draws["posterior"].sizes["draw"]))
    held = dict(fit.draws["latent"].data_vars) if "latent" in fit.draws.children else {}
    return [held[name].values[chain, draw] if (name := f"{c}_missing") in held else np.zeros(0) for c in columns]


def effects_draw(fit: Fit, name: str, number: int) -> dict[str, np.ndarray]:
    """Random effects by group in one draw of `stacked_draws`, in own units."""
    chain, draw = divmod(number, int(fit.draws["posterior"].sizes["draw"]))
    held = fit.draws["latent"].to_dataset()[name]
    labels = held[f"{name}_group"].values.tolist()
    return dict(zip(labels, held.values[chain, draw], strict=True))


def draw_parameters(draws: dict[str, np.ndarray], layout: Layout, number: int) -> tuple[Parameters, dict[str, float]]:
    """Draw `number` of `stacked_draws` in the columns' own units, and every amount by name."""
    at = {name: values[number] for name, values in draws.items()}
    sd = at["sd"]
    corr = at.get("corr", np.ones((1, 1)))
    declared = {a.name: a.declared for a in layout.amounts}
    amounts = {name: float(at[name]) if isinstance(amount, Prior) else amount for name, amount in declared.items()}
    parameters = Parameters(
        coef=at["coef"],
        cov=corr * sd[..., :, None] * sd[..., None, :],
        indicators=[at[i.name] for i in layout.indicators],
        rho=[at.get(f"rho_{layout.columns[i.column]}") for i in layout.indicators],
        amounts=[amounts[a.name] for a in layout.model_amounts],
        random=_random_terms(at) if layout.hidden else None,
    )
    return parameters, amounts


def _random_terms(at: dict[str, np.ndarray]) -> np.ndarray:
    """Covariance of the random terms of a growth curve."""
    sd = at["random_sd"]
    return at.get("random_corr", np.ones((1, 1))) * np.outer(sd, sd)
