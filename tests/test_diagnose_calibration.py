"""Alarms and labels over data sets drawn from known truths: an hour and more, `pytest -m slow`."""

import os
from pathlib import Path

import pytest

from tests import diagnose_scenarios, identified_scenarios

SETS = 100


def folder(tmp_path: Path) -> Path:
    """Where rows are kept: a folder that outlives the test, if there is one, to go on after a stop."""
    kept = os.environ.get("MNARKIT_TABLES")
    return Path(kept) if kept else tmp_path


@pytest.mark.slow
def test_the_predictive_check_has_power_and_few_false_alarms(tmp_path: Path):
    rows = diagnose_scenarios.run(folder(tmp_path), SETS)
    found = diagnose_scenarios.summary(rows).set_index("scenario")
    print(found.to_string())
    for name, scenario in diagnose_scenarios.SCENARIOS.items():
        rate, error = found.loc[name, "either"], found.loc[name, "mc_error"]
        if scenario.true:
            assert rate <= 0.10 + 3 * max(error, (0.1 * 0.9 / SETS) ** 0.5), name
    for name in (
        "log-normal errors, regression, MAR",
        "log-normal errors, selection",
        "z (0.5 per sd) omitted from the missingness, selection",
        "z omitted, MAR, z moves y by 0.3 sd",
    ):
        assert found.loc[name, "either"] >= 0.8, name


@pytest.mark.slow
def test_labels_say_what_told_a_parameter(tmp_path: Path):
    rows = identified_scenarios.run(folder(tmp_path), SETS)
    print(identified_scenarios.summary(rows).to_string())
    exclusion = rows["label"] == "learned given an exclusion"
    share = exclusion.groupby(rows["scenario"]).mean()
    assert share["strong exclusion (1 per sd)"] >= 0.9
    for name in ("same predictors, skewed errors", "same predictors, skewed errors, Heckman"):
        assert not rows.loc[rows["scenario"] == name, "any_exclusion"].any(), name
    assert share["declared exclusion that moves nothing"] <= 0.05
    assert set(rows.loc[rows["scenario"] == "late shift with a prior", "label"]) == {"prior only"}
