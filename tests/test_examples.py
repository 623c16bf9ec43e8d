"""Every script in examples/ runs as it stands, says what it promises, and is short enough to follow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# what each prints, and what it leaves in the folder that it is given
PROMISED = {
    "wages.py": (
        ("untestable", "Pooled over m = 50", "0.4 sd lower", "Crossing", "Diagnosis of 753 rows", "No data can tell"),
        ("report.html", "beliefs.png"),
    ),
    "trial.py": (
        (
            "the hazard of leaving follows",
            "after dropout the mean jumps",
            "BtheB 3 points worse",
            "jackknife",
            "Crossing",
        ),
        ("report.html", "beliefs.png"),
    ),
    "scores.py": (
        ("Fit of 935 rows", "feduc latent, sampled beside the parameters", "2 years less", "complete cases (663 men)"),
        ("report.html", "beliefs.png"),
    ),
    "utilities.py": (("factored", "Pooled over m = 20", "differences of all values"), ()),
    "detection_limit.py": (("Known", "holes of log_crp are known up to limits", "Pooled over m = 20"), ()),
}


def test_examples_are_short() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES.glob("*.py")}
    assert {name: count for name, count in lines.items() if count > 40} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMISED)
def test_an_example_runs_and_leaves_what_it_promises(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said, files = PROMISED[name]
    assert [one for one in said if one not in done.stdout] == []
    assert sorted(p.name for p in tmp_path.glob("out/*")) == sorted(files)
