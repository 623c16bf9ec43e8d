"""A folder with the summary of an exploration and its figures."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mnarkit.explore import Exploration
from mnarkit.plots import Canvas, hole_patterns, hole_rates, save, seen_split
from mnarkit.report.folder import new_folder

__all__ = ["figures_of", "save_figures"]

_SPLITS = 6


def figures_of(found: Exploration) -> Mapping[str, Canvas]:
    """Patterns, rates, and for up to six columns with holes the recorded values that differ most, by file name.

    Columns that are missing in the same rows share a figure; without holes there is none.
    """
    if not found.rates["missing"].any():
        return {}
    figures = {"patterns.png": hole_patterns(found)}
    if found.by is None or found.by["missing"].any():
        figures["rates.png"] = hole_rates(found)
    for k, (hole, predictor) in enumerate(_splits(found), start=1):
        name = re.sub(r"[^\w.-]+", "_", f"{predictor}_by_{hole}")[:80]
        figures[f"seen_{k}_{name}.png"] = seen_split(found, predictor, hole)
    return figures


def save_figures(found: Exploration, folder: str | Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write `explore.txt` and the figures; return their names.

    Raises
    ------
    DataError
        The folder exists, and is not to be overwritten or holds other things.
    """
    figures = figures_of(found)
    with new_folder(folder, overwrite=overwrite, holds="explore.txt", option="--figures") as place:
        (place / "explore.txt").write_text(f"{found}\n", encoding="utf-8")
        for name, figure in figures.items():
            save(figure, place / name)
    return ("explore.txt", *figures)


def _splits(found: Exploration) -> list[tuple[str, str]]:
    """Hole and predictor of the largest differences that exceed their interval, the commonest holes first."""
    pairs, masks = [], set()
    for hole in found.auc.sort_values("n_missing", ascending=False, kind="stable")["column"]:
        mask = found.seen[hole].to_numpy().tobytes()
        rows = found.predictors[found.predictors["column"] == hole]
        rows = rows[np.isfinite(rows["smd"]) & ((rows["smd_low"] > 0) | (rows["smd_high"] < 0))]
        if len(rows) and mask not in masks:
            masks.add(mask)
            pairs.append((hole, str(rows.loc[rows["smd"].abs().idxmax(), "predictor"])))
    return pairs[:_SPLITS]
