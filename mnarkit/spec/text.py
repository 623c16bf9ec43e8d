"""Plain data as YAML and JSON text, and back: without tags, aliases and duplicate keys, reading cannot run or hang."""

import json
import re
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from mnarkit.errors import SpecError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "parse_json", "parse_yaml", "write_json", "write_yaml"]

MAX_BYTES = 100_000
MAX_DEPTH = 20
_DIGITS = 18
_OTHER_BREAKS = frozenset("\r\x85\u2028\u2029")


def parse_yaml(text: str, where: str) -> object:
    """Read the one document of a YAML text; only true and false are booleans, and 012 stays text."""
    _small(text, where)
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise SpecError(f"{where}: {line}{_one_line(error.problem or error.context)}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: not YAML text: {_one_line(error)}") from error


def parse_json(text: str, where: str) -> object:
    """Read the value of a JSON text, without NaN and Infinity."""
    _small(text, where)
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise SpecError(f"{where}: line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise SpecError(f"{where}: nested deeper than {MAX_DEPTH} levels; a spec needs fewer than 8") from error
    except _JsonError as error:
        raise SpecError(f"{where}: {error}") from error


def write_yaml(data: object) -> str:
    """Dicts, lists, text and numbers as YAML text, which YAML 1.1 and 1.2 readers read alike."""
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1_000_000)


def write_json(data: object) -> str:
    """Dicts, lists, text and numbers as JSON text."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


class _JsonError(ValueError):
    """JSON that a spec file may not hold."""


def _small(text: str, where: str) -> None:
    if len(text) > MAX_BYTES:
        raise SpecError(f"{where}: {len(text):,} characters; a spec file has at most {MAX_BYTES:,} bytes")


def _one_line(message: object) -> str:
    return " ".join(str(message).split())[:300]


def _integer(digits: str) -> int | float:
    """Read an int, or a float where it is absurdly long: Python refuses to read such an int."""
    return int(digits) if len(digits) <= _DIGITS else float(digits)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    double = _double([key for key, _ in pairs])
    if double is not None:
        raise _JsonError(_stands_twice(pairs[double][0]))
    return dict(pairs)


def _double(keys: Sequence[Hashable]) -> int | None:
    """Find the first key that stood before."""
    first: dict[Hashable, int] = {}
    return next((k for k, key in enumerate(keys) if first.setdefault(key, k) != k), None)


def _stands_twice(key: object) -> str:
    return f"the key {str(key)[:60]!r} stands twice; keep one"


def _no_constant(name: str) -> float:
    raise _JsonError(f"{name} is not a number that a spec can hold")


class _Loader(yaml.SafeLoader):
    """SafeLoader with fewer types, and without what can bite: aliases, tags, duplicate keys, depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse("anchors and aliases (& and *) are not read; write the value out", event)
        if getattr(event, "tag", None) is not None:
            self._refuse("tags (!...) are not read; a spec file holds plain text, numbers, lists and mappings", event)
        if self.depth >= MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels; a spec needs fewer than 8", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        nodes = [key for key, _ in node.value]
        keys = [self.construct_object(key, deep=True) for key in nodes]
        for key, at in zip(keys, nodes, strict=True):
            if not isinstance(key, Hashable):
                self._refuse("a key is a list or a mapping; keys are text", at)
        double = _double(keys)
        if double is not None:
            self._refuse(_stands_twice(keys[double]), nodes[double])
        return super().construct_mapping(node, deep=deep)

    def _refuse(self, problem: str, at: yaml.Event | yaml.Node) -> None:
        raise yaml.constructor.ConstructorError(None, None, problem, at.start_mark)


def _yaml_integer(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    return _integer(node.value)


def _yaml_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(node.value)


class _Dumper(yaml.SafeDumper):
    """Block style, but priors and plain lists on one line; text with line breaks as it reads."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        return super().represent_mapping(tag, mapping, flow_style="prior" in mapping)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=not any(isinstance(v, dict) for v in sequence))


def _yaml_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Write line breaks as they read, and those that YAML would turn into others escaped."""
    style = '"' if _OTHER_BREAKS.intersection(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


# the types of a plain scalar; the first that fits counts, and whatever fits none is text
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")
_NUMBER_STARTS = list("-+.0123456789")

_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, _NUMBER_STARTS)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _NUMBER_STARTS)
_Loader.add_constructor("tag:yaml.org,2002:int", _yaml_integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _yaml_float)
# on top of what YAML 1.1 quotes when writing: the text '1e-3' would be read as a number
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _NUMBER_STARTS)
_Dumper.add_representer(str, _yaml_text)
