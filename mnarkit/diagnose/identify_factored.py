"""What told each parameter of a factored fit: prior, exclusions, or the shape of families and links."""

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from mnarkit.diagnose.beliefs import Carrier
from mnarkit.diagnose.identification import RELEVANT, Identified, Judged, labelled, reads, relevance, widths
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.factored.posterior import Posterior, posterior_of
from mnarkit.fit import Fit
from mnarkit.sample.factored import draw_factored
from mnarkit.sample.settings import Settings
from mnarkit.spec.missingness import MAR, Selection
from mnarkit.spec.pattern_mixture import PatternMixture

__all__ = ["identify_factored"]

_KNOWN = (MAR, Selection, PatternMixture)
_NOT_COMPUTED = ("prior_sensitivity", "likelihood_sensitivity", "ml_std_error")


class _Prior(Posterior):
    """The log prior alone."""

    __slots__ = ()

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        par, logp, kept = self.values(theta)
        each = [piece.backward(kept[name], np.zeros(np.shape(par[name]))) for name, piece in self.pieces.items()]
        return logp, np.concatenate(each)


def identify_factored(fit: Fit, *, seed: int) -> Identified | None:
    """Label every parameter of a factored fit; None with random terms, and under other beliefs.

    How much exclusions and shape tell of a coefficient is not taken apart: with an exclusion that moves what it is said
    to move, each is given half, and the label is `mixed`.
    """
    layout = lay_out(fit.spec, fit.data, designs_of(fit.spec, fit.data))
    known = all(isinstance(b, _KNOWN) for b in fit.spec.missingness)
    if not known or any(f.random is not None for f in layout.factors):
        return None
    whole = posterior_of(fit.spec, layout)
    cells = {f"{c}_missing" for c in layout.columns}
    alone = _Prior(whole.layout, {name: piece for name, piece in whole.pieces.items() if name not in cells})
    prior = _drawn(alone, seed)
    posterior, before = scalars_of(fit.draws["posterior"].to_dataset()), scalars_of(prior)
    table = pd.DataFrame([widths(name, draws, before[name]) for name, draws in posterior.items() if name in before])
    table = table.assign(**dict.fromkeys(_NOT_COMPUTED, np.nan))
    judged = Judged({}, {}, {})
    for carrier in _carriers(fit, list(posterior)):
        moved = relevance(fit, carrier)
        strong = tuple(c for c, p in moved.items() if p < RELEVANT)
        known_share = float(table.loc[table["parameter"] == carrier.name, "contraction"].iloc[0])
        judged.weak[carrier.name] = tuple(c for c in moved if c not in strong)
        from_shape = known_share * (0.5 if strong else 1.0)
        judged.shares[carrier.name] = known_share - from_shape, from_shape
        judged.columns[carrier.name] = strong
    return Identified(labelled(table, posterior, judged), prior, judged.weak)


def _drawn(prior: Posterior, seed: int) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return draw_factored(prior, Settings(1000, 500, chains=2, cores=1, seed=seed)).posterior


def _carriers(fit: Fit, names: list[str]) -> list[Carrier]:
    """The coefficients of terms that read an incomplete column."""
    holed = [c for c in fit.spec.model.columns if not fit.data.seen(c).all()]
    made = []
    for k, belief in enumerate(fit.spec.selections):
        column = belief.columns[0]
        stem = f"missing_{column}["
        for name in (n for n in names if n.startswith(stem)):
            term = name.removeprefix(stem).removesuffix("]")
            read = [c for c in holed if reads(term, c)]
            if read:
                made.append(Carrier(name, k, read[0], term))
    return made
