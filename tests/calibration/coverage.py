"""Coverage of Rubin's intervals under reference-based imputation: what it says on trials whose truth is known.

A trial has two arms and four visits; who leaves is decided by the last value seen (a probit), more often in the drug
arm. After leaving, patients do what the strategy says. Then the value at the last visit is the one that they would have
had on their arm, moved by a number that depends on the strategy and on the visit of leaving alone, so that the truth is
the arms' difference at that visit, plus those numbers weighted with the probabilities of leaving.
"""

import warnings
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

import mnarkit as mk

__all__ = ["STRATEGIES", "coverage", "one_trial", "trial", "truth"]

STRATEGIES = ("MAR", "J2R", "CR", "CIR")
VISITS = ("w1", "w2", "w3", "w4")
PER_ARM, M, DRAWS, TUNE = 75, 30, 300, 300
EFFECT = np.array([-0.3, -0.6, -0.9, -1.2])  # of the drug, by visit
COV = 0.7 ** np.abs(np.subtract.outer(range(4), range(4))) * np.outer([1.0, 1.1, 1.2, 1.3], [1.0, 1.1, 1.2, 1.3])
ON_BASE = 0.5  # the slope of every visit on the baseline
HAZARD = {"control": (-1.65, 0.3), "drug": (-1.1, 0.3)}  # probit of leaving: at 0, and by the previous value
NAME = "Reference"


def trial(seed: int, per_arm: int = PER_ARM) -> pd.DataFrame:
    """One trial; nobody leaves before the first visit."""
    rng = np.random.default_rng([20261125, seed])
    drug, base = np.repeat([0, 1], per_arm), rng.normal(size=2 * per_arm)
    y = ON_BASE * base[:, None] + drug[:, None] * EFFECT + rng.multivariate_normal(np.zeros(4), COV, len(drug))
    at, by = np.array([HAZARD["control"], HAZARD["drug"]])[drug].T
    gone = np.zeros(len(drug), dtype=bool)
    for t in range(1, 4):
        gone |= at + by * y[:, t - 1] + rng.normal(size=len(drug)) > 0
        y[gone, t] = np.nan
    return pd.DataFrame(y, columns=list(VISITS)).assign(arm=np.where(drug, "drug", "control"), base=base)


@cache
def leaving(arm: str) -> np.ndarray:
    """P(the first hole is at visit 2, 3, 4), (3,): orthants of the propensities, which are jointly normal."""
    at, by = HAZARD[arm]
    mean = at + by * (EFFECT if arm == "drug" else 0 * EFFECT)[:3]
    cov = by**2 * (COV + ON_BASE**2)[:3, :3] + np.eye(3)
    each = [stats.multivariate_normal(mean[:t], cov[:t, :t], maxpts=10**6, abseps=1e-7) for t in (1, 2, 3)]
    stay = [1.0, *(float(one.cdf(np.zeros(t))) for t, one in enumerate(each, start=1))]
    return -np.diff(stay)


@cache
def truth(strategy: str) -> float:
    """Difference of the arms at the last visit; in the control arm every strategy is MAR."""
    moved = np.zeros(3)
    for k, t in enumerate((1, 2, 3)):
        if strategy == "J2R":
            moved[k] = -EFFECT[3]
        elif strategy == "CR":
            moved[k] = -EFFECT[3] + COV[3, :t] @ np.linalg.solve(COV[:t, :t], EFFECT[:t])
        elif strategy == "CIR":
            moved[k] = -EFFECT[3] + EFFECT[t - 1]
    return float(EFFECT[3] + leaving("drug") @ moved)


def one_trial(number: int) -> dict[str, float]:
    """Estimate, standard error and interval under every strategy: one fit, and imputations of it."""
    table = trial(number)
    made: dict[str, float] = {"set": number}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mk.sample(
            mk.Spec(mk.MvNormal(*VISITS, given="arm + base")),
            table,
            draws=DRAWS,
            tune=TUNE,
            chains=1,
            seed=number,
            progress=False,
        )
        for strategy in STRATEGIES:
            under = None if strategy == "MAR" else mk.Reference(strategy, arm="arm", control="control")
            completed = mk.impute(fit, m=M, seed=number, under=under)
            found = mk.pool(mk.analyze(completed, "w4 ~ arm + base")).to_frame().set_index("term").loc["arm[T.drug]"]
            made |= {f"{strategy} {c}": float(found[c]) for c in ("estimate", "std_error", "ci_low", "ci_high")}
    return made


def coverage(found: pd.DataFrame) -> pd.DataFrame:
    """By strategy: truth, bias with its Monte Carlo error, coverage with its own, and mean SE over empirical SD."""
    rows = []
    for strategy in STRATEGIES:
        estimate, error, low, high = (found[f"{strategy} {c}"] for c in ("estimate", "std_error", "ci_low", "ci_high"))
        true, n = truth(strategy), len(found)
        inside = float(((low <= true) & (true <= high)).mean())
        rows.append(
            {
                "strategy": strategy,
                "trials": n,
                "truth": true,
                "bias": float(estimate.mean() - true),
                "bias_error": float(estimate.std() / np.sqrt(n)),
                "covered": inside,
                "covered_error": float(np.sqrt(inside * (1 - inside) / n)),
                "mean_se": float(error.mean()),
                "sd": float(estimate.std()),
            }
        )
    return pd.DataFrame(rows)
