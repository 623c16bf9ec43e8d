"""Ranks of true parameters among draws of their posterior, a row for each data set, kept in a file as they come."""

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.factored import layout as factored_layout
from mnarkit.factored.check import check_factored
from mnarkit.factored.coords import coords_of, dims_of
from mnarkit.factored.posterior import posterior_of as factored_posterior
from mnarkit.factored.posterior import prior_of_term
from mnarkit.factored.random_terms import RandomTerms
from mnarkit.families import FAMILIES
from mnarkit.priors import Prior, prior_table
from mnarkit.sample.direct import draw_directly
from mnarkit.sample.factored import draw_factored
from mnarkit.sample.own import posterior_of
from mnarkit.sample.scalars import BETA, HALF_NORMAL, HALF_STUDENT, NORMAL, STUDENT, unplaced
from mnarkit.sample.settings import Drawn, Settings
from mnarkit.sample.target import Target
from mnarkit.spec.check import check
from mnarkit.spec.engine import engine_of, regressions_of
from tests.calibration.scenarios import Scenario, predictors

__all__ = ["MOST", "one_set", "prior_of", "ranks_of", "resumed"]

MOST, TUNE = 99, 300  # ranks go from 0 to the first, the number of draws that are compared


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


def from_factored_prior(spec: mk.Spec, layout: factored_layout.Layout, rng: np.random.Generator) -> xr.Dataset:
    """One draw of all parameters of a factored spec; every prior is declared, in raw units."""
    declared = [prior_table(r.priors) for r in regressions_of(spec)] + [prior_table(b.priors) for b in spec.selections]
    dims, made = dims_of(layout), {}
    for factor, priors in zip(layout.factors, declared, strict=True):
        each = [_drawn(prior_of_term(factor, term, priors), rng) for term in factor.terms]
        made[factor.name] = (dims[factor.name], np.array(each))
        for name in () if factor.of_indicator else FAMILIES[factor.family].auxiliary:
            made[f"{name}_{layout.columns[factor.column]}"] = ((), _drawn(priors[name], rng))
        if factor.random is not None:
            made |= _random_terms(factor.random, priors, dims, rng)
    used = {d for names, _ in made.values() for d in names}
    return xr.Dataset(made, coords={k: v for k, v in coords_of(layout).items() if k in used})


def _random_terms(
    random: RandomTerms, priors: dict[str, Prior | float], dims: dict[str, tuple[str, ...]], rng: np.random.Generator
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Standard deviations of a random intercept, or of it and a slope with their correlation: LKJ(eta) is a beta there.

    The priors are for the mean of the slope's term in the factor's rows, the same in every table; from there to 0.
    """
    assert random.terms[0] == "Intercept"
    assert random.k <= 2
    sds = np.array([_drawn(priors["random_sd"], rng) for _ in random.terms])
    if random.k == 1:
        return {random.sd: (dims[random.sd], sds)}
    eta = priors["random_corr"].values[0]  # type: ignore[union-attr]
    r = 2 * rng.beta(eta, eta) - 1
    to_zero = np.array([[1.0, -random.x[:, 1].mean()], [0.0, 1.0]])
    cov = to_zero @ (np.array([[1.0, r], [r, 1.0]]) * np.outer(sds, sds)) @ to_zero.T
    own = np.sqrt(np.diag(cov))
    return {random.sd: (dims[random.sd], own), random.corr: (dims[random.corr], cov / np.outer(own, own))}


def _drawn(prior: Prior | float, rng: np.random.Generator) -> float:
    assert isinstance(prior, Prior)
    assert prior.unit == "raw"
    if prior.family == "half_normal":
        return float(np.abs(prior.values[0] * rng.normal()))
    return float(prior.draw(rng))


def prior_of(scenario: Scenario) -> Callable[[np.random.Generator], xr.Dataset]:
    """Draw parameters from the prior of a scenario's spec."""
    spec = scenario.spec
    data = IncompleteData.of(mk.simulate(spec, scenario.nominal, data=predictors(scenario), seed=1))
    if engine_of(spec, data).name == "factored":
        layout = factored_layout.lay_out(spec, data, factored_layout.designs_of(spec, data))
        return partial(from_factored_prior, spec, layout)
    target = Target.of(spec, data)
    assert target is not None
    return partial(from_prior, target)


def draw(spec: mk.Spec, data: IncompleteData, settings: Settings) -> Drawn:
    """Draw as `mk.sample` does."""
    if engine_of(spec, data).name == "factored":
        layout = factored_layout.lay_out(spec, data, factored_layout.designs_of(spec, data))
        return draw_factored(factored_posterior(spec, layout), settings)
    target = Target.of(spec, data)
    assert target is not None
    return draw_directly(target, data, settings)


def usable(spec: mk.Spec, table: pd.DataFrame) -> bool:
    """Whether a table is one that anybody would fit: a rule on the data alone, which leaves the ranks uniform."""
    seen = table[list(spec.model.columns)].notna().mean()
    if not 0.15 <= seen.min() <= seen.max() or not 0.1 <= table.notna().all(axis=1).mean() <= 0.97:
        return False
    try:
        data = IncompleteData.of(table)
        (check_factored if engine_of(spec, data).name == "factored" else check)(spec, data)
    except mk.errors.MnarkitError:
        return False
    return True


def one_set(scenario: Scenario, prior: Callable[[np.random.Generator], xr.Dataset], number: int) -> dict[str, float]:
    """Ranks of every parameter in data set `number`, with divergences."""
    spec, rows = scenario.spec, predictors(scenario)
    for attempt in range(200):
        rng = np.random.default_rng([number, attempt])
        truth = prior(rng)
        table = mk.simulate(spec, truth, data=rows, seed=int(rng.integers(2**31)))
        if usable(spec, table):
            break
    else:
        raise AssertionError(f"no table of {scenario.spec} can be fitted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = draw(spec, IncompleteData.of(table), Settings(MOST * scenario.thin, TUNE, 1, 1, 0.9, number))
    pairs = _pairs(drawn.posterior.isel(chain=0, draw=slice(None, None, scenario.thin)), truth)
    ranks = {name: int((values < true).sum()) for name, values, true in pairs}
    return {"set": number, "attempts": attempt + 1, "divergences": int(drawn.statistics["diverging"].sum())} | ranks


def _pairs(posterior: xr.Dataset, truth: xr.Dataset) -> list[tuple[str, np.ndarray, float]]:
    """Name, thinned draws and true value of everything that moves."""
    found = []
    for name in truth.data_vars:
        values, true = posterior[name].values, truth[name].values
        for at in np.ndindex(true.shape):
            if "corr" in str(name) and len(at) >= 2 and at[-2] <= at[-1]:  # of an arm, where there are three dims
                continue
            labels = [str(posterior[name].coords[d].values[i]) for d, i in zip(truth[name].dims, at, strict=True)]
            found.append((f"{name}[{', '.join(labels)}]" if labels else str(name), values[:, *at], float(true[at])))
    return found


def ranks_of(scenario: Scenario, sets: int, file: Path) -> pd.DataFrame:
    """Ranks of data sets 0, 1, …, of a scenario."""
    return resumed(partial(one_set, scenario, prior_of(scenario)), sets, file)


def resumed(make: Callable[[int], dict[str, float]], count: int, file: Path) -> pd.DataFrame:
    """Run what the file does not hold yet, one line of JSON a number."""
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {row["set"] for row in done}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        for number in (k for k in range(count) if k not in known):
            row = make(number)
            out.write(json.dumps(row) + "\n")
            out.flush()
            done.append(row)
    # two runs on one folder write a set twice, alike: it depends on its number alone
    return pd.DataFrame(done).drop_duplicates("set", ignore_index=True) if done else pd.DataFrame()
