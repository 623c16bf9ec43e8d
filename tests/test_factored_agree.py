"""Both engines on one spec: the unseen values integrated out, and sampled."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest

import mnarkit as mk


def table(n: int = 200, seed: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = 10 + x + 2 * rng.normal(size=n)
    missing = 0.4 * (y - 10) + z + rng.normal(size=n) > 0.8
    return pd.DataFrame({"y": np.where(missing, np.nan, y), "x": x, "z": z})


@pytest.mark.slow
def test_a_normal_column_with_selection_has_the_same_posterior_from_both_engines():
    frame, belief = table(), mk.Selection("missing(y) ~ y + z")
    settings = {"draws": 1000, "tune": 1000, "chains": 2, "progress": False, "target_accept": 0.9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        marginal = mk.sample(mk.Spec(mk.Regression("y ~ x"), belief), frame, seed=1, **settings)
        latent = mk.sample(mk.Spec(mk.Regressions(mk.Regression("y ~ x")), belief), frame, seed=2, **settings)
    assert "latent" in latent.draws.children
    one, two = (f.draws["posterior"] for f in (marginal, latent))
    pairs = [(one["coef"].values[:, :, 0, k], two["coef_y"].values[:, :, k]) for k in range(2)]
    pairs += [(one["sd"].values[:, :, 0], two["sd_y"].values)]
    order = [list(one["missing_y_term"].values).index(t) for t in two["missing_y_term"].values]
    pairs += [(one["missing_y"].values[:, :, i], two["missing_y"].values[:, :, k]) for k, i in enumerate(order)]
    for a, b in pairs:
        assert min(float(az.ess(a)), float(az.ess(b))) > 100
        error = np.hypot(*(v.std() / np.sqrt(float(az.ess(v))) for v in (a, b)))
        assert abs(a.mean() - b.mean()) < 5 * error
