"""The command line: what it writes, and that a refusal is one line on stderr, exit code 2, nothing half-written."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit import cli
from mnarkit.errors import ConvergenceWarning, DataError
from mnarkit.report import new_folder

SPEC = mk.Spec(mk.Regression("income ~ age"), mk.Selection("missing(income) ~ income"), because="high incomes hide")
GOOD = SPEC.to_yaml()


def table(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    age = rng.normal(40, 8, n)
    income = 20 + 0.5 * age + rng.normal(0, 4, n)
    return pd.DataFrame({"income": np.where(rng.random(n) < 0.25, np.nan, income), "age": age}).round(3)


T = table()
CSV = T.to_csv(index=False)


def run(*words: object, here: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of `mnarkit words`."""
    here.setattr(sys, "argv", ["mnarkit", *map(str, words)])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(GOOD, encoding="utf-8")
    Path("data.csv").write_text(CSV, encoding="utf-8")
    return tmp_path


# file name, contents, what is said of it
DATA: dict[str, tuple[str, str | bytes | None, str]] = {
    "missing": ("nowhere.csv", None, "'nowhere.csv' is not there; name a table"),
    "suffix": ("data.xlsx", "x", "'data.xlsx' ends in '.xlsx'; a table is .csv, .tsv or .parquet"),
    "no suffix": ("data", CSV, "'data' ends in ''; a table is .csv, .tsv or .parquet"),
    "empty": ("d.csv", "", "'d.csv' is empty; a table has a line of column names, and a line for each row"),
    "header alone": ("d.csv", "income,age\n", "the table has 0 rows and 2 columns; at least one of each is needed"),
    "double name": (
        "d.csv",
        "income,age,age\n1,2,3\n",
        "'d.csv' has 2 columns named 'age'; rename or drop the doubles",
    ),
    "double name, tabs": ("d.tsv", "age\tage\n1\t2\n", "'d.tsv' has 2 columns named 'age'; rename or drop the doubles"),
    "long row": ("d.csv", "income,age\n1,2,3\n4,5,6\n", "'d.csv' has 3 cells in line 2 and 2 column names; give every"),
    "short row": ("d.csv", "income,age\n1,2\n4\n", "'d.csv' has 1 cells in line 3 and 2 column names; give every row"),
    "semicolons": (
        "d.csv",
        CSV.replace(",", ";"),
        "one column named 'income;age'; its cells seem to be separated by ';'",
    ),
    "not UTF-8": (
        "d.csv",
        "income,âge\n1,2\n".encode("latin-1"),
        "'d.csv' is not UTF-8 text (byte 7); save it as UTF-",
    ),
    "not parquet": ("d.parquet", "income", "'d.parquet' cannot be read as a table: "),
    "a dot for missing": ("d.csv", T.to_csv(index=False, na_rep="."), "'income' is not numeric: "),
    "infinite": ("d.csv", CSV + "inf,40\n", "'income' has 1 infinite values; make them missing or finite"),
    "nothing recorded": (
        "d.csv",
        T.assign(income=np.nan).to_csv(index=False),
        "'income' has no recorded value in 60 row",
    ),
    "no holes": ("d.csv", T.dropna().to_csv(index=False), "no hole in 'income' ("),
    "constant": (
        "d.csv",
        T.assign(age=7).to_csv(index=False),
        "'age' among the predictors of 'income' is constant in al",
    ),
    "too few": (
        "d.csv",
        "income,age\n1,2\n,4\n4,7\n",
        "'income' has 2 recorded values for 3 parameters (Intercept, age, ",
    ),
    "other column": (
        "d.csv",
        CSV.replace("age", "Age"),
        "the spec names 'age'; the columns are 'income', 'Age' — did yo",
    ),
    "missing predictor": ("d.csv", CSV + "30,\n", "'age' has 1 holes; predictors must be fully seen"),
}

SPECS: dict[str, tuple[str, str | None, str]] = {
    "missing": ("nowhere.yaml", None, "nowhere.yaml: there is no such file"),
    "suffix": ("s.txt", GOOD, "s.txt: a spec file ends in .yaml, .yml or .json, not in '.txt'"),
    "empty": ("s.yaml", "", "s.yaml: must be a mapping (name: value), not empty"),
    "misspelt": (
        "s.yaml",
        GOOD.replace("formula: m", "formla: m"),
        "s.yaml: missingness[0].formla is not a field of Sel",
    ),
    "double key": ("s.yaml", GOOD + "because: x\n", "the key 'because' stands twice; keep one"),
    "version": (
        "s.yaml",
        GOOD.replace("spec: 1", "spec: 2"),
        "s.yaml: is a spec of version 2; this mnarkit reads vers",
    ),
    "call": (
        "s.yaml",
        GOOD.replace("~ age", "~ open(age)"),
        "holds 'open(age)', which is not allowed; the functions are",
    ),
    "Heckman": (
        "s.yaml",
        GOOD.replace("Selection", "Heckman"),
        "write 'recorded(y) ~ ...', not 'missing(income) ~ inc",
    ),
    "unknown column": (
        "s.yaml",
        GOOD.replace("~ age", "~ agee"),
        "the spec names 'agee'; the columns are 'income', 'age'",
    ),
}

OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "draws": (("--draws", "0"), "draws= is a whole number of at least 1, not 0"),
    "chains": (("--chains", "0"), "chains= is a whole number of at least 1, not 0"),
    "acceptance": (("--target-accept", "2"), "target_accept= lies inside (0, 1), not 2.0"),
    "seed": (("--seed", "-1"), "--seed is a whole number of at least 0, not -1"),
    "a file": (("--out", "data.csv", "--overwrite"), "'data.csv' is a file; name a folder with --out"),
    "below a file": (("--out", "data.csv/run"), "data.csv' is a file; name another folder with --out"),
}


def refused(said: str, *words: object, here: pytest.MonkeyPatch) -> None:
    """One line on stderr, exit code 2, and the folder as it was."""
    before = contents(Path())
    code, _, err = run(*words, here=here)
    err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("note: "))
    assert code == 2, err
    assert said in err
    assert err.startswith("mnarkit: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert contents(Path()) == before


@pytest.mark.parametrize("command", ["em", "fit"])
@pytest.mark.parametrize("name", DATA)
def test_bad_data_are_refused(name: str, command: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, text, said = DATA[name]
    if text is not None:
        Path(file).write_bytes(text if isinstance(text, bytes) else text.encode())
    if command == "em" and name == "no holes":  # em drops the belief: a complete table is fine
        return
    refused(said, command, "spec.yaml", file, here=monkeypatch)


@pytest.mark.parametrize("command", ["em", "fit"])
@pytest.mark.parametrize("name", SPECS)
def test_bad_specs_are_refused(name: str, command: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, text, said = SPECS[name]
    if text is not None:
        Path(file).write_text(text, encoding="utf-8")
    refused(said, command, file, "data.csv", here=monkeypatch)


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options_are_refused(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, said = OPTIONS[name]
    refused(said, "fit", "spec.yaml", "data.csv", *words, here=monkeypatch)


@pytest.mark.parametrize("command", [("fit", "spec.yaml", "data.csv"), ("demo",)])
def test_a_folder_that_exists_is_kept(command: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("run").mkdir()
    Path("run/fit.json").write_text("mine")
    refused("'run' exists and is kept; name another folder with --out", *command, "--out", "run", here=monkeypatch)


def test_overwrite_replaces_run_folders_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a home folder or a project that was named by mistake."""
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years of work")
    said = "is not a run folder (it has no fit.json), and is kept even with --overwrite; name another folder"
    for out in ("thesis", "."):
        refused(said, "fit", "spec.yaml", "data.csv", "--overwrite", "--out", out, here=monkeypatch)


def test_a_failing_fit_leaves_what_is_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("run").mkdir()
    Path("run/fit.json").write_text("mine")
    Path("s.yaml").write_text(GOOD.replace("~ age", "~ agee"))
    for out in ("run", "new", "deep/new"):
        refused("'agee'", "fit", "s.yaml", "data.csv", "--overwrite", "--out", out, here=monkeypatch)


@pytest.mark.parametrize("m", ["0", "-2"])
@pytest.mark.parametrize("command", [("impute", "run"), ("demo",)])
def test_m_is_at_least_1(command: tuple[str, ...], m: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(f"a whole number of at least 1, not {m}", *command, "-m", m, here=monkeypatch)


def test_impute_wants_a_run_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("half").mkdir()
    Path("half/spec.yaml").write_text(GOOD)
    refused(
        "'half' is not a run folder: posterior.nc, data.parquet, fit.json missing", "impute", "half", here=monkeypatch
    )
    refused("'nowhere' is not a run folder: spec.yaml, posterior.nc", "impute", "nowhere", here=monkeypatch)


def test_em_prints_the_baseline(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    T.to_csv("data.tsv", index=False, sep="\t")
    T.to_parquet("data.parquet")
    Path("bom.csv").write_text(CSV + "\n\n", encoding="utf-8-sig")
    answers = {run("em", "spec.yaml", f, here=monkeypatch) for f in ("data.csv", "data.tsv", "data.parquet", "bom.csv")}
    assert len(answers) == 1, [a[1] + a[2] for a in answers]
    ((code, out, err),) = answers
    assert (code, err) == (0, "")
    assert "EM under MAR" in out
    assert "income ~ age" in out
    assert "EM under Selection missing(income) ~ income" in out  # the belief below its baseline


def test_em_saves_its_fit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("em", "spec.yaml", "data.csv", "--out", "made", here=monkeypatch)
    assert (code, err) == (0, "")
    assert "written to made" in out
    assert mk.EMFit.load("made").converged
    assert run("em", "spec.yaml", "data.csv", "--out", "made", here=monkeypatch)[0] == 2


# New folders


def test_a_new_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "run") as folder:
        (folder / "fit.json").write_text("1")
        assert not (tmp_path / "a" / "run").exists()
    assert contents(tmp_path / "a") == {"run": None, "run/fit.json": b"1"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_fails_leaves_nothing(overwrite: bool, tmp_path: Path) -> None:
    if overwrite:
        with new_folder(tmp_path / "run") as folder:
            (folder / "fit.json").write_text("old")
    before = contents(tmp_path)
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "run", overwrite=overwrite) as folder:
        (folder / "half").write_text(str(1 / 0 if (folder / "quarter").write_text("quarter") else 0))
    assert contents(tmp_path) == before


def test_a_folder_is_replaced_also_from_inside_and_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fit.json").write_text("old")
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "beside.txt").write_text("kept")
    for path, text in ((Path(), "one"), (tmp_path / "link", "two")):
        monkeypatch.chdir(tmp_path / "run")
        with new_folder(path, overwrite=True) as folder:
            (folder / "fit.json").write_text(text)
        assert (tmp_path / "run" / "fit.json").read_text() == text
        assert sorted(p.name for p in tmp_path.iterdir()) == ["beside.txt", "link", "run"]
    with pytest.raises(DataError, match="exists and is kept"), new_folder(tmp_path / "run"):
        pass


# A run from the spec to the pooled table


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """`mnarkit fit`, once for all tests."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "spec.yaml").write_text(GOOD, encoding="utf-8")
    (folder / "data.csv").write_text(CSV, encoding="utf-8")
    few = ("--draws", 100, "--tune", 100, "--chains", 2, "--seed", 3, "--quiet")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        code, out, err = run("fit", "spec.yaml", "data.csv", "--out", "run", *few, here=here)
    assert code == 0, err
    return folder / "run", out, err


def test_fit_writes_a_run_folder(whole: tuple[Path, str, str]) -> None:
    folder, out, err = whole
    assert sorted(p.name for p in folder.parent.iterdir()) == ["data.csv", "run", "spec.yaml"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "audit.json",
        "data.parquet",
        "fit.json",
        "posterior.nc",
        "spec.yaml",
    ]
    assert "untestable" in out
    assert "coef[income, age]" in out
    assert "mnarkit impute run -m 20" in out
    lines = err.splitlines()
    assert lines[0].startswith("note: 'missing(income) ~ income' is identified by (ii) age moving income")
    assert all(line.startswith("note: ") for line in lines)


def test_what_fit_warned_of_stays_in_notes_and_audit(whole: tuple[Path, str, str]) -> None:
    folder, _, err = whole
    warned = [line.removeprefix("note: ") for line in err.splitlines()]
    record = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    plan, *notes = record["notes"]
    assert plan == str(mk.load_fit(folder).notes[0])
    assert "income marginal" in plan  # how it was sampled is no warning
    assert notes == warned
    assert list(mk.load_fit(folder).notes) == record["notes"]
    assert len(warned) > 1, "100 draws of 2 chains cannot have 100 effective draws a chain for every parameter"
    assert record["sampling"] | {"seed": 3, "draws": 100, "chains": 2, "tune": 100} == record["sampling"]


def test_impute_adds_to_the_run_folder_and_keeps_it(
    whole: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    refused("the formula", "impute", "run", "-m", "3", "--analysis", "income ~ exec(age)", here=monkeypatch)
    refused("'agee'", "impute", "run", "-m", "3", "--analysis", "income ~ agee", here=monkeypatch)
    refused("m=201 is more than the 200 posterior draws", "impute", "run", "-m", "201", here=monkeypatch)
    refused("--seed is a whole number", "impute", "run", "--seed", "-1", here=monkeypatch)
    before = contents(Path("run"))
    monkeypatch.chdir("run")
    code, out, err = run("impute", ".", "-m", "2", here=monkeypatch)
    assert code == 0, err
    assert "2 imputations of 60 rows" in out
    monkeypatch.chdir(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    after = contents(Path("run"))
    assert {name: after[name] for name in before if name != "audit.json"} == {
        name: held for name, held in before.items() if name != "audit.json"
    }
    assert {name for name in after if name not in before} == {
        "figures",
        "figures/recorded_imputed_income.png",
        "imputations",
        "imputations/imputation-001.parquet",
        "imputations/imputation-002.parquet",
        "pooled.csv",
    }
    pooled = pd.read_csv("run/pooled.csv")
    assert pooled["analysis"].tolist() == ["income ~ age", "income ~ age", "income ~ 1"]
    assert np.isfinite(pooled["estimate"]).all()
    completed = pd.read_parquet("run/imputations/imputation-001.parquet")
    assert completed["income"].notna().all()
    assert json.loads((Path("run") / "audit.json").read_text())["imputations"]["m"] == 2
    refused("'run' already has imputations and pooled.csv, which are kept; say --ov", "impute", "run", here=monkeypatch)


def test_notes_of_others_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    cli._say(ConvergenceWarning("3 draws diverged"), ConvergenceWarning, "f.py", 1)
    cli._say(UserWarning("BLAS"), UserWarning, "f.py", 1)
    assert capsys.readouterr().err == "note: 3 draws diverged\n"


def test_an_interrupt_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_read_table", stop)
    code, _, err = run("em", "spec.yaml", "data.csv", here=monkeypatch)
    assert (code, err.count("\n")) == (130, 1)


def test_as_a_program(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mnarkit.cli", "demo", "-m", "0"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "mnarkit: -m is the number of imputations, a whole number of at least 1, not 0\n"


@pytest.mark.parametrize("words", [("fitt",), ("fit",), ("fit", "spec.yaml", "data.csv", "--draws", "many")])
def test_wrong_usage_exits_with_2(words: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run(*words, here=monkeypatch)
    assert code == 2
    assert "Usage: " in err
    assert "Traceback" not in err


HECKMAN = mk.Spec(mk.Regression("income ~ age"), mk.Heckman("recorded(income) ~ age")).to_yaml()


@pytest.mark.parametrize(
    ("spec", "method", "said"),
    [
        (mk.Spec(mk.Regression("income ~ age")).to_yaml(), "two", "--method is ML or two-step, not 'two'"),
        (mk.Spec(mk.Regression("income ~ age")).to_yaml(), "two-step", "--method two-step is for one Regression with"),
        (GOOD, "two-step", "--method two-step is for one Regression with one Heckman belief"),
        (HECKMAN, "ml", "--method is ML or two-step, not 'ml'"),
    ],
)
def test_a_method_is_refused_before_anything_is_fitted(
    spec: str, method: str, said: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("s.yaml").write_text(spec, encoding="utf-8")
    code, out, err = run("em", "s.yaml", "data.csv", "--method", method, "--quiet", here=monkeypatch)
    assert (code, out) == (2, "")
    assert err.startswith(f"mnarkit: {said}")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a file system that nobody may write to")
@pytest.mark.parametrize(
    "words",
    [("em", "spec.yaml", "data.csv", "--out"), ("explore", "data.csv", "--figures")],
    ids=["--out", "--figures"],
)
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(
    words: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(*words, "/proc/zz", here=monkeypatch)
    assert (code, out) == (2, "")
    assert err.startswith("mnarkit: '/proc/zz' cannot be made")
    assert f"name another folder with {words[-1]}" in err
    assert err.count("\n") == 1
