"""Utilities and costs of a trial, both with holes: beta and gamma, bad outcomes missing more often (simulated).

uv run python examples/utilities.py
"""

import numpy as np
import pandas as pd

import mnarkit as mk

rng = np.random.default_rng(3)
n = 200
arm, base = np.repeat(["control", "therapy"], n // 2), rng.beta(4, 2, n)
mean = 1 / (1 + np.exp(-(-0.5 + 2 * base + 0.4 * (arm == "therapy"))))
utility = -0.6 + 1.6 * rng.beta(8 * mean, 8 * (1 - mean))
cost = rng.gamma(2, np.exp(6 + 0.3 * (arm == "therapy") - utility) / 2)
unseen = rng.random(n) < 1 / (1 + np.exp(1 + 2 * (utility - 0.2)))
data = pd.DataFrame({"utility": utility, "cost": cost, "arm": arm, "base": base})
data.loc[unseen, ["utility", "cost"]] = np.nan  # who feels worse does not answer

model = mk.Regressions(
    mk.Regression("cost ~ utility + arm", family="gamma"),
    mk.Regression("utility ~ base + arm", family="beta", bounds=(-0.6, 1.0)),
)
spec = mk.Spec(
    model,
    mk.PatternMixture(mk.Shift("utility", -0.05, unit="raw"), because="who does not answer is a little worse off"),
    because="Questionnaires ask for utility and costs together; both are skewed and bounded.",
)
print(spec, end="\n\n")

fit = mk.sample(spec, data, draws=500, tune=500, chains=2, seed=1, progress=False)
print(fit.notes[0], end="\n\n")
imputed = mk.impute(fit, m=20, seed=2)
for outcome in ("utility", "cost"):
    print(mk.pool(mk.analyze(imputed, f"{outcome} ~ arm")), end="\n\n")
truth = [value[arm == "therapy"].mean() - value[arm == "control"].mean() for value in (utility, cost)]
print(f"differences of all values, seen or not: {truth[0]:.3f} and {truth[1]:.1f}")
