"""Ranks of true parameters among draws of their posterior, a row for each data set, kept in a file as they come."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.sample.direct import draw_directly
from mnarkit.sample.own import posterior_of
from mnarkit.sample.scalars import BETA, HALF_NORMAL, HALF_STUDENT, NORMAL, STUDENT, unplaced
from mnarkit.sample.settings import Settings
from mnarkit.sample.target import Target
from mnarkit.spec.check import check
from tests.calibration.scenarios import Scenario, predictors

__all__ = ["MOST", "one_set", "ranks_of"]

DRAWS, THIN, TUNE = 495, 5, 300
MOST = DRAWS // THIN  # ranks go from 0 to this


def from_prior(target: Target, rng: np.random.Generator) -> xr.Dataset:
    """One draw of all parameters from their priors, in own units."""
    parts = []
    for block in target.blocks:
        a, b, df, kind = *block.numbers[:, :3].T, block.kind
        draws = {
            NORMAL: a + b * rng.normal(size=block.size),
            STUDENT: a + b * rng.standard_t(np.maximum(df, 1)),
            HALF_NORMAL: np.abs(b * rng.normal(size=block.size)),
            HALF_STUDENT: np.abs(b * rng.standard_t(np.maximum(df, 1))),
            BETA: rng.beta(np.maximum(a, 1e-9), np.maximum(b, 1e-9)),
        }
        values = np.select([kind == k for k in draws], list(draws.values()), a + (b - a) * rng.random(block.size))
        parts.append(unplaced(block, np.tanh(values) if block.squash else values))
    return posterior_of(target, np.concatenate(parts)[None, None]).isel(chain=0, draw=0)


def usable(spec: mk.Spec, table: pd.DataFrame) -> bool:
    """Whether a table is one that anybody would fit: a rule on the data alone, which leaves the ranks uniform."""
    seen = table[list(spec.model.columns)].notna().mean()
    if not 0.15 <= seen.min() <= seen.max() or not 0.1 <= table.notna().all(axis=1).mean() <= 0.97:
        return False
    try:
        check(spec, IncompleteData.of(table))
    except mk.errors.MnarkitError:
        return False
    return True


def one_set(scenario: Scenario, nominal: Target, number: int) -> dict[str, float]:
    """Ranks of every parameter in data set `number`, with divergences."""
    spec, rows = scenario.spec, predictors(scenario)
    for attempt in range(200):
        rng = np.random.default_rng([number, attempt])
        truth = from_prior(nominal, rng)
        table = mk.simulate(spec, truth, data=rows, seed=int(rng.integers(2**31)))
        if usable(spec, table):
            break
    data = IncompleteData.of(table)
    target = Target.of(spec, data)
    assert target is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = draw_directly(target, data, Settings(DRAWS, TUNE, 1, 1, 0.9, number))
    ranks = {name: int((values < true).sum()) for name, values, true in _pairs(drawn.posterior, truth)}
    return {"set": number, "attempts": attempt + 1, "divergences": int(drawn.statistics["diverging"].sum())} | ranks


def _pairs(posterior: xr.Dataset, truth: xr.Dataset) -> list[tuple[str, np.ndarray, float]]:
    """Name, thinned draws and true value of everything that moves."""
    found = []
    for name in posterior.data_vars:
        values, true = posterior[name].values[0, ::THIN], truth[name].values
        for at in np.ndindex(true.shape):
            if str(name).endswith("corr") and len(at) == 2 and at[0] <= at[1]:
                continue
            labels = [str(posterior[name].coords[d].values[i]) for d, i in zip(truth[name].dims, at, strict=True)]
            found.append((f"{name}[{', '.join(labels)}]" if labels else str(name), values[:, *at], float(true[at])))
    return found


def ranks_of(scenario: Scenario, sets: int, file: Path) -> pd.DataFrame:
    """Run what the file does not hold yet, one line of JSON a data set."""
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {row["set"] for row in done}
    first = mk.simulate(scenario.spec, scenario.nominal, data=predictors(scenario), seed=1)
    nominal = Target.of(scenario.spec, IncompleteData.of(first))
    assert nominal is not None
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        for number in (k for k in range(sets) if k not in known):
            row = one_set(scenario, nominal, number)
            out.write(json.dumps(row) + "\n")
            out.flush()
            done.append(row)
    # two runs on one folder write a set twice, alike: it depends on its number alone
    return pd.DataFrame(done).drop_duplicates("set", ignore_index=True)
