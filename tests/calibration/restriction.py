"""Ranks under a restriction, whose draws are exact: the prior 1/σ² matches, so ranks of a fixed truth are uniform.

A regression's coefficients and residual sd have under that prior the posterior intervals of least squares, which cover
as often as they say (t and χ²). So no prior is drawn from: the truth is one, the tables are many.
"""

import warnings
from functools import partial

import numpy as np
import pandas as pd

import mnarkit as mk

__all__ = ["RESTRICTIONS", "N", "one_set"]

N, DRAWS = 60, 99
WAVES = ("w0", "w1", "w2")
COEF = np.array([[1.0, 0.5], [0.5, -0.3], [0.0, 0.2]])  # on 1 and x; w1 and w2 given the waves before
ON_EARLIER = ((), (0.7,), (-0.2, 0.6))
SD = (1.0, 0.8, 1.2)


def table(rng: np.random.Generator) -> pd.DataFrame:
    """Monotone holes at random, so that every group of donors has the same regressions."""
    x, left = rng.normal(size=N), rng.choice([1, 2, 3], p=[0.25, 0.3, 0.45], size=N)
    y = np.zeros((N, 3))
    for t in range(3):
        mean = COEF[t, 0] + COEF[t, 1] * x + y[:, :t] @ np.array(ON_EARLIER[t], dtype=float)
        y[:, t] = mean + SD[t] * rng.normal(size=N)
    y[np.arange(3) >= left[:, None]] = np.nan
    return pd.DataFrame(y, columns=list(WAVES)).assign(x=x)


def one_set(kind: str, number: int) -> dict[str, float]:
    """Ranks of every regression's parameters among 99 draws, recovered from the normal that they make."""
    rng = np.random.default_rng([7, number])
    spec = mk.Spec(mk.MvNormal(*WAVES, given="x"), mk.PatternMixture(mk.Restriction(kind)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = mk.sample(spec, table(rng), draws=DRAWS, chains=1, seed=number, progress=False).draws["posterior"]
    coef, sd, corr = (draws[name].values[0] for name in ("coef", "sd", "corr"))
    cov = corr * sd[:, :, None] * sd[:, None, :]
    ranks: dict[str, float] = {}
    for t in range(3):
        inner, across = cov[:, :t, :t], cov[:, :t, t, None]
        slopes = np.linalg.solve(inner, across)[:, :, 0] if t else np.zeros((DRAWS, 0))
        residual = np.sqrt(cov[:, t, t] - (slopes * across[:, :, 0]).sum(axis=1))
        on_x = coef[:, t] - np.einsum("dk,dkq->dq", slopes, coef[:, :t])
        each = np.column_stack([on_x, slopes, residual])
        true = [*COEF[t], *ON_EARLIER[t], SD[t]]
        names = [*draws["term"].values, *WAVES[:t], "sd"]
        ranks |= {f"{WAVES[t]} ~ {n}": int((each[:, i] < true[i]).sum()) for i, n in enumerate(names)}
    return {"set": number, "attempts": 1, "divergences": 0} | ranks


RESTRICTIONS = {f"Restriction, {kind}": partial(one_set, kind) for kind in ("CCMV", "NCMV", "ACMV")}
