"""Run folders: written whole or not at all, never over an older one unless asked."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd

from mnarkit.analyze import analyze
from mnarkit.errors import DataError
from mnarkit.fit import Fit
from mnarkit.impute import Imputations
from mnarkit.plots import recorded_imputed, save
from mnarkit.pool import Pooled, pool
from mnarkit.report.audit import audit, write_audit
from mnarkit.spec.data_models import Regression

__all__ = ["default_analyses", "imputed_as", "new_folder", "save_analysis", "save_fit", "save_imputations"]


_KINDS = {"fit.json": "a run folder", "explore.txt": "a folder of figures"}


@contextmanager
def new_folder(
    path: str | Path, *, overwrite: bool = False, holds: str = "fit.json", option: str = "--out"
) -> Iterator[Path]:
    """Open a folder to write into, which takes its name when the block ends without an error.

    Parameters
    ----------
    path : path
        Where the folder shall be.
    overwrite : bool
        Replace what is there; otherwise it is kept.
    holds : str
        The file by which a folder of this kind is known; a folder without it is kept in any case.
    option : str
        What names the folder on the command line, for errors.

    Raises
    ------
    DataError
        The folder exists.
    """
    path = Path(path).resolve()  # so that '.' and links are the folders they name
    refuse_existing(path, overwrite=overwrite, holds=holds, option=option)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    work.chmod(0o755)
    try:
        yield work
        old = Path(f"{work}.old")
        if path.exists():
            path.rename(old)
        work.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def refuse_existing(path: Path, *, overwrite: bool, holds: str = "fit.json", option: str = "--out") -> None:
    """One clear line before any work is done."""
    if path.exists() and not overwrite:
        raise DataError(f"{str(path)!r} exists and is kept; name another folder with {option}, or say --overwrite")
    if path.exists() and not path.is_dir():
        raise DataError(f"{str(path)!r} is a file; name a folder with {option}")
    if path.exists() and any(path.iterdir()) and not (path / holds).is_file():
        raise DataError(
            f"{str(path)!r} is not {_KINDS[holds]} (it has no {holds}), and is kept even with --overwrite; "
            f"name another folder with {option}"
        )
    above = next((p for p in path.resolve().parents if p.exists()), path)
    if not above.is_dir() or not os.access(above, os.W_OK):
        why = "may not be written to" if above.is_dir() else "is a file"
        raise DataError(f"{str(path)!r} cannot be made: {str(above)!r} {why}; name another folder with {option}")
    try:  # some file systems refuse what the permissions allow
        os.rmdir(mkdtemp(prefix=".mnarkit-", dir=above))
    except OSError as error:
        raise DataError(
            f"{str(path)!r} cannot be made in {str(above)!r}: {error.strerror}; name another folder with {option}"
        ) from error


def save_fit(fit: Fit, folder: Path) -> None:
    """`spec.yaml`, `posterior.nc`, `data.parquet`, `fit.json` and `audit.json`."""
    fit.save(folder)
    write_audit(audit(fit), folder)


def save_imputations(fit: Fit, imputations: Imputations, analyses: Sequence[str], folder: Path) -> Mapping[str, Pooled]:
    """`imputations/*.parquet`, `pooled.csv`, `figures/recorded_imputed_*.png`, and their part of `audit.json`."""
    pooled = {formula: pool(analyze(imputations, formula)) for formula in analyses}
    imputations.to_parquet(folder / "imputations")
    save_analysis(pooled, folder)
    (folder / "figures").mkdir(exist_ok=True)
    for column, cells in imputations.cells.items():
        if cells.shape[1]:
            save(recorded_imputed(imputations, column), folder / "figures" / f"recorded_imputed_{column}.png")
    drawn = {
        "m": imputations.m,
        "seed": imputations.seed,
        "analyses": list(analyses),
        "late": [str(b) for b in imputations.under],
    }
    write_audit(audit(fit, imputations=drawn), folder)
    return pooled


def save_analysis(pooled: Mapping[str, Pooled], folder: Path) -> None:
    """`pooled.csv`: every term of every analysis."""
    frames = [result.to_frame().assign(analysis=name) for name, result in pooled.items()]
    table = pd.concat(frames, ignore_index=True)
    table[["analysis", *table.columns.drop("analysis")]].to_csv(folder / "pooled.csv", index=False)


def default_analyses(fit: Fit) -> list[str]:
    """List the data model's own regression, if it is one, and the mean of every modelled column over all rows."""
    own = [fit.spec.model.formula] if isinstance(fit.spec.model, Regression) else []
    return [*own, *(f"{column} ~ 1" for column in fit.spec.model.columns)]


def imputed_as(folder: Path) -> dict[str, Any]:
    """The `m`, `seed` and `analyses` of the imputations that a run folder holds; nothing where it holds none."""
    if not (folder / "audit.json").is_file():
        return {}
    drawn = read_audit(folder).get("imputations") or {}
    return {name: drawn[name] for name in ("m", "seed", "analyses") if name in drawn}


def read_audit(folder: Path) -> dict:
    """Read what `audit.json` holds."""
    return json.loads((folder / "audit.json").read_text(encoding="utf-8"))
