"""Simulation-based calibration: ranks of the truth are uniform, for every mechanism; `pytest -m slow`."""

from pathlib import Path

import numpy as np
import pytest

from tests.calibration import coverage
from tests.calibration.__main__ import file_of, summary
from tests.calibration.ranks import band, chi_square, ecdf_p
from tests.calibration.restriction import RESTRICTIONS
from tests.calibration.run import MOST, ranks_of, resumed
from tests.calibration.scenarios import SCENARIOS

SETS = 300


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_ranks_are_uniform(name):
    found = ranks_of(SCENARIOS[name], SETS, file_of(Path(".calibration"), name))
    table = summary(found.head(SETS))
    # one in two hundred runs of a calibrated model fails: its seeds are fixed
    assert table["ecdf_p"].min() * len(table) > 0.005, table
    assert table["chi2_p"].min() * len(table) > 0.005, table


@pytest.mark.slow
@pytest.mark.parametrize("name", RESTRICTIONS)
def test_ranks_of_exact_draws_are_uniform(name):
    table = summary(resumed(RESTRICTIONS[name], SETS, file_of(Path(".calibration"), name)).head(SETS))
    assert table["ecdf_p"].min() * len(table) > 0.005, table
    assert table["chi2_p"].min() * len(table) > 0.005, table


@pytest.mark.slow
def test_intervals_under_a_reference_cover_at_least_as_often_as_they_say():
    trials = resumed(coverage.one_trial, SETS, file_of(Path(".calibration"), coverage.NAME)).head(SETS)
    found = coverage.coverage(trials).set_index("strategy")
    assert (found["bias"].abs() < 4 * found["bias_error"]).all(), found
    assert abs(found.loc["MAR", "covered"] - 0.95) < 4 * np.sqrt(0.95 * 0.05 / SETS), found
    assert (found["covered"].drop("MAR") > 0.95).all(), found
    assert (found["mean_se"] / found["sd"]).drop("MAR").min() > 1.1, found


def test_the_truth_of_a_trial_is_that_of_a_large_one():
    """Values after leaving, moved as each strategy says; to 4 Monte Carlo errors of a trial of 400,000."""
    large, size = coverage.trial(0, per_arm=200_000), 400_000
    y, drug = large[list(coverage.VISITS)].to_numpy(), (large["arm"] == "drug").to_numpy()
    for arm in ("control", "drug"):
        here = y[drug == (arm == "drug")]
        for t in (1, 2, 3):
            share = float((np.isfinite(here).sum(axis=1) == t).mean())
            assert abs(share - coverage.leaving(arm)[t - 1]) < 4 * np.sqrt(0.15 / len(here))
    fixed = {s: coverage.EFFECT * (s == "MAR") for s in coverage.STRATEGIES}
    for strategy in coverage.STRATEGIES:
        completed, rng = y.copy(), np.random.default_rng(1)
        for t in (1, 2, 3):
            rows = np.flatnonzero(np.isfinite(y).sum(axis=1) == t)
            on_drug = drug[rows, None] * coverage.EFFECT
            base = coverage.ON_BASE * large["base"].to_numpy()[rows, None]
            mean = on_drug if strategy != "CR" else 0 * on_drug
            later = drug[rows, None] * fixed[strategy][t:]
            if strategy == "CIR":
                later = on_drug[:, t - 1, None] + 0 * on_drug[:, t:]
            gain = np.linalg.solve(coverage.COV[:t, :t], coverage.COV[:t, t:])
            rest = coverage.COV[t:, t:] - coverage.COV[t:, :t] @ gain
            known = y[rows, :t] - base - mean[:, :t]
            noise = rng.multivariate_normal(np.zeros(4 - t), rest, len(rows))
            completed[rows, t:] = base + later + known @ gain + noise
        last = completed[:, 3]
        difference = last[drug].mean() - last[~drug].mean()
        assert abs(difference - coverage.truth(strategy)) < 4 * 2 * last.std() / np.sqrt(size), strategy


def test_the_tests_of_ranks_see_bias_and_wrong_width():
    rng = np.random.default_rng(2)
    uniform = rng.integers(0, MOST + 1, SETS)
    assert ecdf_p(uniform, MOST) > 0.05
    assert chi_square(uniform, MOST) > 0.05
    narrow = np.clip(np.round(MOST * rng.beta(0.5, 0.5, SETS)), 0, MOST).astype(int)
    shifted = np.round(MOST * rng.beta(1.6, 1.0, SETS)).astype(int)
    assert max(ecdf_p(narrow, MOST), ecdf_p(shifted, MOST)) < 0.01


def test_one_line_in_twenty_leaves_the_band():
    rng, out = np.random.default_rng(3), 0
    _, low, high = band(SETS, MOST)
    for _ in range(400):
        ranks = np.sort(rng.integers(0, MOST + 1, SETS))
        below = np.searchsorted(ranks, np.arange(1, MOST + 1), side="left") / SETS
        out += bool(np.any((below < low - 1e-12) | (below > high + 1e-12)))
    assert abs(out / 400 - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)
