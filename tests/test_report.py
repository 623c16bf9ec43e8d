"""report: one file without links in which every assumption stands in bold and no text of the user becomes HTML."""

import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.errors import DataError, MnarkitWarning, SpecError
from mnarkit.plots import Canvas
from mnarkit.report import new_folder, save_fit, save_imputations
from mnarkit.report.html import table
from tests.drawn import drawn_fit
from tests.test_cli import run

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img", "link", "br", "hr"}


def small(n: int = 60, name: str = "x") -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x = rng.normal(size=n)
    y = 1 + 0.5 * x + rng.normal(size=n)
    return pd.DataFrame({"y": np.where(rng.random(n) < 0.3, np.nan, y), name: x})


MODEL = mk.Regression("y ~ x")
LATE = mk.PatternMixture(mk.Shift("y", -0.5, unit="sd"), because=f"a reason with {EVIL} & quotes \"'")


@pytest.fixture(scope="module")
def fit() -> mk.Fit:
    return drawn_fit(mk.Spec(MODEL, because=EVIL), small())


@pytest.fixture(scope="module")
def page(fit: mk.Fit, tmp_path_factory: pytest.TempPathFactory) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MnarkitWarning)
        drawn = mk.impute(fit, 5, seed=3, under=LATE)
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert mk.report(fit, path, imputations=drawn, title=f"A trial {EVIL}") == path
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Which elements stand open, which texts stand in which, what is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.strong, self.fetched, self.headings = [], [], [], []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(v) for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        assert tag != "script"
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "strong":
            self.strong.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []  # every element is closed, in order
    return reader


def test_nothing_is_fetched_and_no_text_becomes_html(page: str) -> None:
    reader = read(page)
    assert len(reader.fetched) >= 3  # patterns, forest, recorded and imputed
    assert all(one.startswith("data:image/png;base64,") for one in reader.fetched)
    assert "url(" not in page
    assert "@import" not in page
    assert EVIL not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3  # title, reasons
    assert "default-src 'none'" in page


def test_every_assumption_stands_in_bold_and_the_parts_are_there(page: str, fit: mk.Fit) -> None:
    reader = read(page)
    for assumption in (*(b.assumption for b in fit.spec.missingness), LATE.assumption):
        assert assumption in reader.strong
    assert reader.headings == [
        "What is assumed",
        "Data and holes",
        "Estimates",
        "Assumptions side by side",
        "Checks, and what was identified",
        "Recorded and imputed values",
        "Posterior",
        "How to rerun",
    ]
    assert fit.data.fingerprint() in page
    assert "--seed 7" in page
    assert "mnarkit fit spec.yaml data.csv" in page
    assert "does not rank MAR against MNAR" in page


def test_the_numbers_are_those_of_the_imputations(page: str, fit: mk.Fit) -> None:
    pooled = mk.pool(mk.analyze(mk.impute(fit, 5, seed=3, under=LATE), "y ~ x")).to_frame()
    for value in (pooled["estimate"][1], pooled["std_error"][1], pooled["fmi"][1]):
        assert f">{value:.4g}<" in page


def test_a_fit_under_mar_has_nothing_beside_it(fit: mk.Fit, tmp_path: Path) -> None:
    path = mk.report(fit, tmp_path / "mar.html", m=3)
    assert "Assumptions side by side" not in read(path.read_text(encoding="utf-8")).headings


def test_stress_and_figures_are_put_in(fit: mk.Fit, tmp_path: Path) -> None:
    made = mk.sensitivity(fit, "y ~ x", {"y": mk.Grid(-1, 1, unit="sd", points=3)}, m=3, seed=1)
    figures = {"One more <figure>": Canvas(figsize=(2, 1))}
    path = mk.report(fit, tmp_path / "s.html", m=3, stress=[made], figures=figures)
    text = path.read_text(encoding="utf-8")
    assert "How far must the assumption go?" in read(text).headings
    assert "no data can tell which value holds" in text
    assert "One more &lt;figure&gt;" in text


def test_a_column_name_is_text(tmp_path: Path) -> None:
    name = "a<b>&c"
    frame = small(name="x").assign(**{name: lambda t: t["y"]})
    path = mk.report(drawn_fit(mk.Spec(MODEL), frame), tmp_path / "n.html", m=3)
    text = path.read_text(encoding="utf-8")
    read(text)
    assert "a&lt;b&gt;&amp;c" in text


def test_tables_say_numbers_shortly() -> None:
    made = table(pd.DataFrame({"a": [1.23456, np.nan], "b": [True, False], "c": ["x", "<"], "n": [12345, 2]}))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", made)
    assert cells == ["1.235", "yes", "x", "12345", "–", "no", "&lt;", "2"]


def test_bad_input_is_one_line(fit: mk.Fit, tmp_path: Path) -> None:
    there = tmp_path / "r.html"
    there.write_text("kept", encoding="utf-8")
    other = drawn_fit(mk.Spec(MODEL), small(50))
    drawn = mk.impute(other, 2, seed=1)
    for call, error, message in (
        (lambda: mk.report("fit"), SpecError, "report takes a Fit"),  # pyright: ignore[reportArgumentType]
        (lambda: mk.report(fit, there), DataError, "exists and is kept"),
        (lambda: mk.report(fit, tmp_path / "f.html", analyses=len), SpecError, "are formulas, 'y ~ x', not builtin"),  # pyright: ignore[reportArgumentType]
        (lambda: mk.report(fit, tmp_path), DataError, "is a folder; name a file"),
        (lambda: mk.report(fit, tmp_path / "no" / "r.html"), DataError, "there is no folder"),
        (lambda: mk.report(fit, tmp_path / "a.html", imputations=drawn), DataError, "of another table than the fit"),
    ):
        with pytest.raises(error, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)
    assert there.read_text(encoding="utf-8") == "kept"
    assert mk.report(fit, there, m=2, overwrite=True).stat().st_size > 10_000


def test_the_command_line_reports_a_run_with_its_own_imputations(
    fit: mk.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with new_folder(folder) as work:
        save_fit(fit, work)
        save_imputations(fit, mk.impute(fit, 4, seed=9), ["y ~ 1"], work)
    assert run("report", folder, here=monkeypatch)[0] == 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "m = 4 imputations (seed 9)" in text
    pooled = pd.read_csv(folder / "pooled.csv")
    assert f">{pooled['estimate'][0]:.4g}<" in text
    code, _, err = run("report", folder, here=monkeypatch)
    assert code == 2
    assert "report.html' exists and is kept" in err
    assert run("report", folder, "-m", 0, "--out", tmp_path / "r.html", here=monkeypatch)[0] == 2
    assert run("report", folder, "-m", 3, "--seed", 1, "--overwrite", here=monkeypatch)[0] == 0
    assert "m = 3 imputations (seed 1)" in (folder / "report.html").read_text(encoding="utf-8")
