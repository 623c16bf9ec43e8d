"""An EMFit on disk: spec, numbers, history and the table, in one folder."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mnarkit.data import IncompleteData
from mnarkit.em.names import IndicatorEstimate
from mnarkit.em.penalty import InverseWishart, Jeffreys, Penalty, Ridge
from mnarkit.errors import MnarkitError
from mnarkit.normal.moments import Moments
from mnarkit.spec.files import read_spec
from mnarkit.tables import dtypes_of, read_file, restored, write_table

__all__ = ["read", "write"]

_FILES = ("spec.yaml", "em.json", "em.npz", "history.parquet", "modes.parquet")
_AGAIN = "run mk.em again"
_PRIORS = {cls.__name__: cls for cls in (Ridge, InverseWishart, Jeffreys)}
_SCALARS = ("loglik", "log_prior", "n", "n_empty", "iterations", "evaluations", "converged", "reason", "notes")


def write(fit: Any, folder: Path) -> Path:
    """Write a fit into a folder, made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.yaml").write_text(fit.spec.to_yaml(), encoding="utf-8")
    about = {name: getattr(fit, name) for name in ("columns", "terms", "arms", *_SCALARS)}
    about["start"] = {str(k): float(v) for k, v in fit.start.items()}
    about["indicators"] = [
        {"name": i.name, "terms": i.terms, "rho": i.rho, "between": i.between} for i in fit.indicators
    ]
    if fit.prior is not None:
        about["prior"] = {"kind": type(fit.prior).__name__, **asdict(fit.prior)}
    if fit.data is not None:
        write_table(fit.data.frame, folder / "data.parquet")
        about["dtypes"], about["fingerprint"] = dtypes_of(fit.data.frame), fit.data.fingerprint()
    (folder / "em.json").write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
    arrays = {"coef": fit.coef, "cov": fit.cov, **{f"indicator_{k}": i.coef for k, i in enumerate(fit.indicators)}}
    every: dict[str, Any] = {**arrays, **_curvature_arrays(fit.curvature)}
    np.savez_compressed(folder / "em.npz", **every)
    fit.history.to_parquet(folder / "history.parquet")
    fit.modes.to_parquet(folder / "modes.parquet")
    return folder


def _curvature_arrays(curvature: Any) -> dict[str, np.ndarray]:
    if curvature is None or isinstance(curvature, np.ndarray):
        return {} if curvature is None else {"covariance": curvature}
    moments = curvature.moments
    names = ("seen", "count", "rows", "start", "center", "scale", "x_map")
    return {
        **{name: getattr(moments, name) for name in names},
        "n_empty": np.array(moments.n_empty),
        "penalty": np.array(curvature.penalty.weight),
        "penalty_scatter": curvature.penalty.scatter,
        "left_out": curvature.left_out,
    }


def read(folder: Path, curvature: Callable[[Moments, Penalty, np.ndarray], Any]) -> dict[str, Any]:
    """Read the fields of a fit back."""
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise MnarkitError(f"{str(folder)!r} is not the folder of an EM fit: {', '.join(missing)} missing")
    about = read_file(folder / "em.json", lambda path: json.loads(path.read_text(encoding="utf-8")), _AGAIN)
    arrays = read_file(folder / "em.npz", lambda path: dict(np.load(path, allow_pickle=False)), _AGAIN)
    columns, terms = tuple(about["columns"]), tuple(about["terms"])
    prior = about.get("prior")
    made = {name: about[name] for name in _SCALARS}
    indicators = tuple(
        IndicatorEstimate(
            one["name"], tuple(one["terms"]), arrays[f"indicator_{k}"], one["rho"], one.get("between", " ~ ")
        )
        for k, one in enumerate(about["indicators"])
    )
    return {
        **made,
        "notes": tuple(made["notes"]),
        "arms": tuple(about.get("arms", ())),
        "spec": read_spec(folder / "spec.yaml"),
        "data": _table(folder, about) if "fingerprint" in about else None,
        "columns": columns,
        "terms": terms,
        "coef": arrays["coef"],
        "cov": arrays["cov"],
        "indicators": indicators,
        "start": pd.Series(about["start"], name="start"),
        "history": read_file(folder / "history.parquet", pd.read_parquet, _AGAIN),
        "modes": read_file(folder / "modes.parquet", pd.read_parquet, _AGAIN),
        "prior": None if prior is None else _PRIORS[prior.pop("kind")](**prior),
        "curvature": _curvature(arrays, columns, terms, curvature),
    }


def _table(folder: Path, about: dict[str, Any]) -> IncompleteData:
    data = IncompleteData.of(restored(read_file(folder / "data.parquet", pd.read_parquet, _AGAIN), about["dtypes"]))
    if data.fingerprint() != about["fingerprint"]:
        raise MnarkitError(f"{str(folder)!r} holds a table that is not the one fitted; {_AGAIN}")
    return data


def _curvature(
    arrays: dict[str, np.ndarray],
    columns: tuple[str, ...],
    terms: tuple[str, ...],
    make: Callable[[Moments, Penalty, np.ndarray], Any],
) -> Any:
    if "rows" not in arrays:
        return arrays.get("covariance")
    parts = {name: arrays[name] for name in ("seen", "count", "rows", "start", "center", "scale", "x_map")}
    moments = Moments(columns=columns, terms=terms, **parts, n_empty=int(arrays["n_empty"]))
    return make(moments, Penalty(float(arrays["penalty"]), arrays["penalty_scatter"]), arrays["left_out"])
