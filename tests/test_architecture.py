"""The shape of the package: what is listed, what may be imported where, what is public, and what its docstrings say."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import mnarkit as mk
from mnarkit import errors

PACKAGE = Path(mk.__file__).parent
ROOT = PACKAGE.parent
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
HEAVY = {"pymc", "pytensor", "nutpie", "arviz", "matplotlib"}
PUBLIC = {name: getattr(mk, name) for name in mk.__all__ if name != "errors"} | {
    f"errors.{name}": getattr(errors, name) for name in errors.__all__
}
# numpydoc: GL08 no docstring, PR01 a parameter not documented, PR02 one documented that is not there, RT01 no Returns
CHECKS = {"GL08", "PR01", "PR02", "RT01"}


def test_architecture_lists_every_module_and_no_other():
    listed = re.findall(r"`([\w/]+\.py)`", ARCHITECTURE.split("## The layers")[0])
    assert sorted(listed) == sorted(MODULES)


def test_architecture_says_the_layers_that_are_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(c["layers"] for c in settings["contracts"] if c["name"] == "layers")
    assert " > ".join(layers) in " ".join(ARCHITECTURE.split())


def test_a_module_has_at_most_400_lines():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def imports_in_functions(path: Path) -> list[int]:
    """Their line numbers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = [node for function in functions for node in ast.walk(function)]
    return [node.lineno for node in inside if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_command_line_alone_imports_inside_functions():
    assert [name for name, path in MODULES.items() if imports_in_functions(path)] == ["cli.py"]


EM = """
import mnarkit as mk
import pandas as pd
mk.em(mk.Spec(mk.Regression("y ~ x")), pd.DataFrame({"y": [1.0, 3.0, 2.0, None], "x": [0.0, 1.0, 2.0, 3.0]}))
"""


EXPLORE = """
import mnarkit as mk
import pandas as pd
print(mk.explore(pd.DataFrame({"y": [1.0, 3.0, 2.0, None], "x": [0.0, 1.0, 2.0, 3.0]})))
"""
LIGHT = {"em": ("-c", EM), "explore": ("-c", EXPLORE), "cli": ("-m", "mnarkit.cli", "--help")}


@pytest.mark.parametrize("call", LIGHT.values(), ids=LIGHT)
def test_neither_em_nor_explore_nor_the_command_line_loads_a_sampler_or_matplotlib(call):
    done = subprocess.run([sys.executable, "-X", "importtime", *call], capture_output=True, text=True, check=True)
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "mnarkit" in loaded
    assert loaded & HEAVY == set()


def test_public_names_are_sorted_and_those_of_the_stub():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    stub = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert mk.__all__ == sorted(imported) == sorted(stub)


def documented(thing: object) -> NumpyDocString:
    """Read the docstring as it stands, without what numpydoc would add to a class."""
    return NumpyDocString(inspect.getdoc(thing) or "")


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_say_parameters_and_results(name):
    thing = PUBLIC[name]
    # what a verb returns is described by its attributes: nobody calls its constructor
    noun = inspect.isclass(thing) and not documented(thing)["Parameters"]
    found = validate(f"{thing.__module__}.{thing.__qualname__}")["errors"]
    assert [text for code, text in found if code in CHECKS - ({"PR01"} if noun else set())] == []


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if dataclasses.is_dataclass(thing)])
def test_docstrings_name_every_field_of_a_value(name):
    doc = documented(PUBLIC[name])
    said = {word.strip("* ") for entry in (*doc["Parameters"], *doc["Attributes"]) for word in entry.name.split(",")}
    assert {field.name for field in dataclasses.fields(PUBLIC[name])} <= said
