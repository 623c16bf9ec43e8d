"""Posteriors of one analysis on every imputation, mixed; convergence is judged within imputations alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd
import xarray as xr

from mnarkit.analyze.answers import scalars
from mnarkit.errors import DataError
from mnarkit.estimates import which

__all__ = ["Mixed", "mix_posteriors"]

az: Any = lazy_loader.load("arviz")  # R-hat and effective sample sizes

_RHAT = 1.01
_ESS = 100  # a chain
_MANY = 100


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mixed:
    """(1/m) Σ p(θ | completed table k): a posterior mixed over imputations, as `mix_posteriors` returns it.

    Attributes
    ----------
    draws : xarray.DataTree
        Group `posterior`: the chains of all imputations side by side, with a coordinate `imputation` by chain.
    health : DataFrame
        `imputation rhat rhat_of ess ess_of divergences`: the worst R-hat and bulk effective sample size within each
        imputation, and the parameters that have them.
    m : int
        The number of imputations.
    level : float
        The level of the intervals.
    notes : tuple of str
        What a reader must know.
    """

    draws: xr.DataTree
    health: pd.DataFrame
    m: int
    level: float
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Give a row a parameter.

        Returns
        -------
        DataFrame
            `term estimate std_error median ci_low ci_high level within between lambda_`: mean and sd of the mixture,
            the ends of its middle part, the mean variance within imputations, the variance between their means, and
            the share (1 + 1/m) B / T that is due to the holes.
        """
        rows = []
        for term, values in scalars(self.draws["posterior"].to_dataset()).items():
            each = values.reshape(self.m, -1)
            low, median, high = np.quantile(values, [(1 - self.level) / 2, 0.5, (1 + self.level) / 2])
            within, between = each.var(axis=1, ddof=1).mean(), each.mean(axis=1).var(ddof=1)
            rows.append(
                {
                    "term": term,
                    "estimate": values.mean(),
                    "std_error": values.std(ddof=1),
                    "median": median,
                    "ci_low": low,
                    "ci_high": high,
                    "level": self.level,
                    "within": within,
                    "between": between,
                    "lambda_": (1 + 1 / self.m) * between / (within + (1 + 1 / self.m) * between),
                }
            )
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        shown = self.to_frame()[["term", "estimate", "std_error", "ci_low", "ci_high", "lambda_"]]
        worst, least = self.health["rhat"].max(), self.health["ess"].min()
        return "\n".join(
            [
                f"Posterior mixed over m = {self.m} imputations; {100 * self.level:g}% equal-tailed credible intervals",
                shown.to_string(index=False, float_format=lambda v: f"{v:.4g}"),
                f"Within imputations: largest R-hat {worst:.4g}, smallest effective sample size {least:.0f}. An R-hat "
                "over all chains would take the differences between imputations for a failure.",
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def __repr__(self) -> str:
        return str(self)


def mix_posteriors(posteriors: Iterable[Any], *, level: float = 0.95) -> Mixed:
    """(1/m) Σ p(θ | completed table k), by laying the draws of m posteriors side by side, each with the same weight.

    Parameters
    ----------
    posteriors : iterable of xarray.DataTree or Dataset
        What `pm.sample`, Bambi's `Model.fit` or `mk.sample(...).draws` gave for each of m completed tables: a group
        `posterior`, or its Dataset, with dims `chain` and `draw` and the same variables in each. Where the numbers of
        draws differ, evenly spaced ones of the longer are taken.
    level : float
        The level of the intervals, in (0, 1).

    Returns
    -------
    Mixed
        Draws, a table, and the convergence within each imputation.

    Raises
    ------
    DataError
        Fewer than two posteriors, something else, or posteriors whose variables, shapes or labels differ.

    References
    ----------
    Zhou, X. and Reiter, J. (2010). A note on Bayesian inference after multiple imputation. The American Statistician
    64, 159-163.

    Examples
    --------
    >>> import mnarkit as mk
    >>> import numpy as np
    >>> import xarray as xr
    >>> rng = np.random.default_rng(1)
    >>> fits = [xr.Dataset({"b": (("chain", "draw"), rng.normal(k, 1, (2, 500)))}) for k in (0.0, 0.1, 0.2)]
    >>> mixed = mk.mix_posteriors(fits)
    >>> mixed.draws["posterior"].sizes["chain"], round(float(mixed.to_frame()["estimate"][0]), 1)
    (6, 0.1)
    """
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise DataError(f"level= is a probability between 0 and 1, such as 0.95, not {level!r}")
    if isinstance(posteriors, (xr.DataTree, xr.Dataset, Mapping, str)) or not isinstance(posteriors, Iterable):
        raise DataError(f"mix_posteriors takes a list of posteriors, not {type(posteriors).__name__}")
    given = list(posteriors)
    m = len(given)
    if m < 2:
        raise DataError(f"a mixture has the posteriors of two imputations or more, not {m}")
    parts = [posterior_of(one, which(k, m)) for k, one in enumerate(given)]
    for k, part in enumerate(parts[1:], start=1):
        _check_alike(parts[0], part, which(k, m))
    health = pd.DataFrame([_health(k, part, one) for k, (part, one) in enumerate(zip(parts, given, strict=True))])
    same, notes = _same_length(parts)
    together = xr.concat(same, dim="chain").assign_coords(
        chain=np.arange(sum(part.sizes["chain"] for part in same)),
        imputation=("chain", np.repeat(np.arange(m), [part.sizes["chain"] for part in same])),
    )
    draws = xr.DataTree.from_dict({"posterior": together})
    return Mixed(draws, health, m, float(level), (*notes, *_notes(health, parts[0].sizes["chain"], m)))


def posterior_of(given: Any, place: str) -> xr.Dataset:
    """The posterior of what a sampler returned.

    Raises
    ------
    DataError
        Something without draws.
    """
    if isinstance(given, xr.DataTree) and "posterior" in given.children:
        given = given["posterior"].to_dataset()
    elif not isinstance(given, xr.Dataset) and isinstance(getattr(given, "posterior", None), xr.Dataset):
        given = given.posterior
    if not isinstance(given, xr.Dataset) or not {"chain", "draw"} <= set(given.sizes):
        raise DataError(
            f"the posterior of {place} is {type(given).__name__}; it must be a DataTree with a group 'posterior', or a "
            "Dataset, with dims chain and draw"
        )
    kept = [name for name, v in given.data_vars.items() if {"chain", "draw"} <= set(v.dims)]
    return given[kept].transpose("chain", "draw", ...)


def _check_alike(first: xr.Dataset, other: xr.Dataset, place: str) -> None:
    a, b = sorted(map(str, first.data_vars)), sorted(map(str, other.data_vars))
    if a != b:
        raise DataError(f"the posterior of {place} has {', '.join(b)}, the first has {', '.join(a)}; fit one model")
    for name in a:
        shapes = [v.shape[2:] for v in (first[name], other[name])]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{name!r} has the shape {shapes[1]} in {place} and {shapes[0]} in the first; fit one model"
            )
        for dim in first[name].dims[2:]:
            labels = [list(d[name].coords[dim].values) if dim in d[name].coords else [] for d in (first, other)]
            if labels[0] != labels[1]:
                raise DataError(
                    f"{name!r} has other labels along {dim!r} in {place} than in the first; give every table the same "
                    "levels"
                )


def _same_length(parts: list[xr.Dataset]) -> tuple[list[xr.Dataset], tuple[str, ...]]:
    """Give every imputation the same number of chains and draws, so that they have the same weight."""
    chains, draws = (min(part.sizes[d] for part in parts) for d in ("chain", "draw"))
    if all((part.sizes["chain"], part.sizes["draw"]) == (chains, draws) for part in parts):
        return [p.drop_vars(["chain", "draw"], errors="ignore") for p in parts], ()
    same = []
    for part in parts:
        at = np.linspace(0, part.sizes["draw"] - 1, draws).round().astype(int)
        same.append(part.isel(chain=slice(chains), draw=at).drop_vars(["chain", "draw"], errors="ignore"))
    return same, (f"the posteriors differ in length; {chains} chains of {draws} draws are taken of each",)


def _health(k: int, part: xr.Dataset, given: Any) -> dict[str, Any]:
    rhat = _worst(az.rhat(part), largest=True) if part.sizes["chain"] > 1 else ("", np.nan)
    ess = _worst(az.ess(part), largest=False)
    stats: Any = given["sample_stats"] if isinstance(given, xr.DataTree) and "sample_stats" in given.children else {}
    diverged = int(stats["diverging"].sum()) if "diverging" in stats else 0
    said = {"imputation": k + 1, "rhat": rhat[1], "rhat_of": rhat[0], "ess": ess[1], "ess_of": ess[0]}
    return said | {"divergences": diverged}


def _worst(values: xr.Dataset, *, largest: bool) -> tuple[str, float]:
    """The worst parameter; those that do not move have no value."""
    best = ("", np.nan)
    for name, variable in values.data_vars.items():
        flat = variable.values.ravel()
        flat = flat[np.isfinite(flat)]
        if not len(flat):
            continue
        value = float(flat.max() if largest else flat.min())
        if not np.isfinite(best[1]) or (value > best[1] if largest else value < best[1]):
            best = (str(name), value)
    return best


def _notes(health: pd.DataFrame, chains: int, m: int) -> list[str]:
    said = []
    bad = health[health["rhat"] > _RHAT]
    if len(bad):
        worst = int(bad["imputation"].to_numpy()[bad["rhat"].to_numpy().argmax()])
        said.append(f"R-hat is above {_RHAT} within {len(bad)} of {m} imputations, most in {worst}")
    few = health[health["ess"] < _ESS * chains]
    if len(few):
        said.append(f"fewer than {_ESS * chains} effective draws in {len(few)} of {m} imputations; draw more")
    if health["divergences"].sum():
        said.append(f"{health['divergences'].sum()} divergences, in {(health['divergences'] > 0).sum()} imputations")
    if chains == 1:
        said.append("one chain an imputation: R-hat within imputations needs two or more")
    if m < _MANY:
        said.append(f"a mixture of m = {m} is rough in its tails; Zhou and Reiter (2010) advise many, 100 or more")
    return said
