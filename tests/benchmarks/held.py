"""A coefficient of a missingness model held at 21 values over 1 sd either side, against 21 fits, in one run.

`uv run python -m tests.benchmarks.held`; the wages: the curve that `mk.sensitivity` makes, the first fit it starts
from not counted, and a fit with imputations and analysis at each value. Nothing is compiled in either.
"""

import time
import warnings

import numpy as np

import mnarkit as mk

FORMULA = "lwage ~ educ + exper + expersq"
CHOSEN = "missing(lwage) ~ lwage + educ + exper + age + kidslt6 + nwifeinc"
M, DRAWS = 20, 1000


def drawn(spec: mk.Spec, table, seed: int) -> mk.Fit:
    """The same draws for the start of the curve and for each value."""
    return mk.sample(spec, table, draws=DRAWS, tune=DRAWS, chains=4, seed=seed, progress=False)


def main(points: int = 21) -> None:
    """One line: seconds of the curve and of the fits, their ratio, and the largest distance in Monte Carlo errors."""
    warnings.simplefilter("ignore")
    wages = mk.load_dataset("wages")
    spec = mk.Spec(mk.Regression(FORMULA), mk.Selection(CHOSEN))
    fit = drawn(spec, wages, 1)
    grid = mk.Grid(-1, 1, points=points, unit="sd")
    began = time.perf_counter()
    found = mk.sensitivity(fit, FORMULA, {"missing(lwage) ~ lwage": grid}, m=M, seed=2, progress=False)
    curve = time.perf_counter() - began
    sd, gaps = wages["lwage"].std(), []
    began = time.perf_counter()
    for g, value in enumerate(grid.values):
        held = spec.under(mk.Selection(CHOSEN, priors={"lwage": value / sd}))
        pooled = mk.pool(mk.analyze(mk.impute(drawn(held, wages, 7), M, seed=9), FORMULA, progress=False))
        error = np.hypot(pooled.mc_error, found.stack["mc_error"][g])
        gaps.append(np.max(np.abs(found.stack["estimate"][g] - pooled.estimate) / error))
    refits = time.perf_counter() - began
    made = sum(how.startswith("refitted") for how in found.reached)
    print(
        f"missing(lwage) ~ lwage held at {points} values, n = {len(wages)}, m = {M}: {curve:.1f} s with {made} fits; "
        f"{points} fits {refits:.1f} s; {curve / refits:.2f} of their time; largest distance {max(gaps):.1f} Monte "
        f"Carlo errors over {points} x {len(found.stack['estimate'][0])} estimates",
        flush=True,
    )


if __name__ == "__main__":
    main()
