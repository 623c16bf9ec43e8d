"""Spec files: reading is data only, and every problem is one line with the place in the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Any

from mnarkit.errors import SpecError
from mnarkit.priors import Amount, Prior
from mnarkit.spec.data_models import Growth, MvNormal, Regression, Regressions
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.encode import VERSION, to_dict, to_json, to_yaml
from mnarkit.spec.limits import Limits
from mnarkit.spec.missingness import MAR, Heckman, Selection
from mnarkit.spec.odds_ratio import OddsRatio
from mnarkit.spec.pattern_mixture import PatternMixture, Scale, Shift
from mnarkit.spec.reference import Reference
from mnarkit.spec.restriction import Restriction
from mnarkit.spec.shared import SharedParameter
from mnarkit.spec.spec import Spec
from mnarkit.spec.text import MAX_BYTES, parse_json, parse_yaml

__all__ = ["from_dict", "from_json", "from_yaml", "read_spec", "to_dict", "to_json", "to_yaml"]

_MODELS = (Regression, Regressions, MvNormal, Growth)
_BELIEFS = (MAR, Selection, Heckman, Dropout, SharedParameter, PatternMixture, Reference, Limits)
_COMPONENTS = (Shift, Scale, OddsRatio, Restriction)
_SPREAD = {MvNormal: "columns", Growth: "columns", Regressions: "regressions", PatternMixture: "components"}
_FILE_KEYS = ("mnarkit_spec", "because", "model", "missingness")
_NAMES = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "true/false"}


def read_spec(path: str | Path) -> Spec:
    """Read a spec file, `.yaml`, `.yml` or `.json`; a spec file is data and cannot run code.

    Parameters
    ----------
    path : str or Path
        The file, as written by `Spec.to_yaml` or `Spec.to_json`, or by hand.

    Returns
    -------
    Spec
        Equal to the one that was written.

    Raises
    ------
    SpecError
        A file that cannot be read, or what is wrong in it and where: `spec.yaml: missingness[0].formla is not ...`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import mnarkit as mk
    >>> spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y"), because="high values are withheld")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "spec.yaml"
    >>> _ = path.write_text(spec.to_yaml(), encoding="utf-8")
    >>> mk.read_spec(path) == spec
    True
    """
    file = Path(path)
    parse = {".yaml": from_yaml, ".yml": from_yaml, ".json": from_json}.get(file.suffix.lower())
    if parse is None:
        raise SpecError(f"{path}: a spec file ends in .yaml, .yml or .json, not in {file.suffix!r}")
    return parse(_contents(file), str(path))


def from_yaml(text: str, where: str = "the spec") -> Spec:
    """Read the spec that a YAML text says; `where` stands in front of each error."""
    return from_dict(parse_yaml(text, where), where)


def from_json(text: str, where: str = "the spec") -> Spec:
    """Read the spec that a JSON text says; `where` stands in front of each error."""
    return from_dict(parse_json(text, where), where)


def from_dict(data: object, where: str = "the spec") -> Spec:
    """Read the spec that dicts, lists, text and numbers say; `where` stands in front of each error.

    Raises
    ------
    SpecError
        One line with the place and what is allowed there.
    """
    top = _At(where)
    content = _mapping(data, top)
    _version(content, top)
    _known(content, _FILE_KEYS, "a spec file", top)
    if "model" not in content:
        raise top.error("has no model; add model: {kind: Regression, formula: ...}")
    model = _kind(content["model"], _MODELS, top.field("model"))
    beliefs = _list_of(_BELIEFS)(content.get("missingness", []), top.field("missingness"))
    because = _text(content.get("because", ""), top.field("because"))
    return _build(lambda: Spec(model, *beliefs, because=because), top)


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a file: `spec.yaml: missingness[0].priors.rho`."""

    where: str
    path: str = ""

    def field(self, name: str) -> "_At":
        return _At(self.where, f"{self.path}.{name}" if self.path else name)

    def item(self, k: int) -> "_At":
        return _At(self.where, f"{self.path}[{k}]")

    def error(self, problem: str, kind: type[SpecError] = SpecError) -> SpecError:
        return kind(f"{self.where}: {self.path} {problem}" if self.path else f"{self.where}: {problem}")


def _contents(file: Path) -> str:
    try:
        if not file.is_file():
            raise SpecError(f"{file}: {'is not an ordinary file' if file.exists() else 'there is no such file'}")
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{file}: cannot be read ({error.strerror or error})") from error
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{file}: is larger than {MAX_BYTES:,} bytes, the most that a spec file has")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _version(content: Mapping[str, Any], at: _At) -> None:
    version = content.get("mnarkit_spec")
    if version is None:
        raise at.error(f"has no version of its layout; add mnarkit_spec: {VERSION}")
    if type(version) is not int or version != VERSION:
        raise at.error(f"is a spec of version {_show(version)}; this mnarkit reads version {VERSION}")


def _kind(data: object, classes: Sequence[type], at: _At) -> Any:
    """Read a value of one of the classes, chosen by `kind`."""
    content = _mapping(data, at)
    known = {c.__name__: c for c in classes}
    names = ", ".join(known)
    if "kind" not in content:
        raise at.error(f"has no kind; add kind: one of {names}")
    kind = content["kind"]
    if not isinstance(kind, str) or kind not in known:
        raise at.field("kind").error(f"{_show(kind)} is not known; use one of {names}{_nearest(kind, known)}")
    return _construct(known[kind], {k: v for k, v in content.items() if k != "kind"}, at)


def _construct(cls: type, content: Mapping[str, Any], at: _At) -> Any:
    _known(content, [f.name for f in fields(cls)], cls.__name__, at)
    needed = [f.name for f in fields(cls) if f.default is MISSING]
    for name in needed:
        if name not in content:
            raise at.error(f"has no {name}; {cls.__name__} needs {', '.join(needed)}")
    values = {name: _FIELDS[name](value, at.field(name)) for name, value in content.items()}
    spread = values.pop(_SPREAD.get(cls, ""), ())
    return _build(lambda: cls(*spread, **values), at)


def _build[T](make: Callable[[], T], at: _At) -> T:
    try:
        return make()
    except SpecError as error:
        message = str(error) if len(str(error)) <= 1000 else f"{str(error)[:1000]}..."
        raise _At(f"{at.where}: {at.path}" if at.path else at.where).error(message, type(error)) from error


def _known(content: Mapping[str, Any], names: Sequence[str], what: str, at: _At) -> None:
    for name in content:
        if name not in names:
            place = at.field(name if name.isidentifier() and len(name) <= 60 else _show(name))
            raise place.error(f"is not a field of {what}; its fields are {', '.join(names)}{_nearest(name, names)}")


def _mapping(data: object, at: _At) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise at.error(f"must be a mapping (name: value), not {_named(data)}")
    for key in data:
        if not isinstance(key, str):
            raise at.error(f"has the key {_show(key)}, which is {_named(key)}; write it in quotes")
    return data


def _text(value: object, at: _At) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise at.error("is empty; write text, or leave it out")
    fix = "; write it in quotes" if isinstance(value, (bool, int, float)) else ""
    raise at.error(f"must be text, not {_named(value)}{fix}")


def _text_or_texts(value: object, at: _At) -> str | tuple[str, ...]:
    return _texts(value, at) if isinstance(value, (list, tuple)) else _text(value, at)


def _truth(value: object, at: _At) -> bool:
    if isinstance(value, bool):
        return value
    raise at.error(f"is true or false, not {_named(value)}")


def _items(value: object, at: _At) -> list[tuple[Any, _At]]:
    if not isinstance(value, (list, tuple)):
        raise at.error(f"must be a list, not {_named(value)}")
    return [(item, at.item(k)) for k, item in enumerate(value)]


def _texts(value: object, at: _At) -> tuple[str, ...]:
    return tuple(_text(item, place) for item, place in _items(value, at))


def _list_of(classes: Sequence[type]) -> Callable[[object, _At], tuple[Any, ...]]:
    return lambda value, at: tuple(_kind(item, classes, place) for item, place in _items(value, at))


def _number(value: object, at: _At) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise at.error(f"must be a number, not {_named(value)}")


def _numbers(value: object, at: _At) -> tuple[float, ...]:
    return tuple(_number(item, place) for item, place in _items(value, at))


def _scalar(value: object, at: _At) -> str | float | bool:
    if isinstance(value, (str, int, float)):
        return value
    raise at.error(f"must be text, a number or true/false, not {_named(value)}")


def _bound(value: object, at: _At) -> str | float:
    return value if isinstance(value, str) else _number(value, at)


def _amount(value: object, at: _At) -> Amount:
    """Read a number, or `{prior: normal, values: [0, 1]}`."""
    if not isinstance(value, dict):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        raise at.error(f"must be a number or a prior such as {{prior: normal, values: [0, 1]}}, not {_named(value)}")
    content = _mapping(value, at)
    _known(content, ("prior", "values", "unit"), "a prior", at)
    missing = [name for name in ("prior", "values") if name not in content]
    if missing:
        raise at.error(f"has no {missing[0]}; a prior is written {{prior: normal, values: [0, 1]}}")
    family = _text(content["prior"], at.field("prior"))
    values = [_number(item, place) for item, place in _items(content["values"], at.field("values"))]
    unit: Any = _text(content.get("unit", "sd"), at.field("unit"))
    return _build(lambda: Prior(family, *values, unit=unit), at)


def _declared(value: object, at: _At) -> Any:
    """Read an amount, a list of amounts, one a column, or a list of `{level: drug, amount: -0.3}`."""
    if not isinstance(value, (list, tuple)):
        return _amount(value, at)
    items = _items(value, at)
    if any(isinstance(item, dict) and "level" in item for item, _ in items):
        return tuple(_of_level(item, place) for item, place in items)
    return tuple(_amount(item, place) for item, place in items)


def _of_level(value: object, at: _At) -> tuple[Any, Any]:
    content = _mapping(value, at)
    _known(content, ("level", "amount"), "an amount by level", at)
    missing = [name for name in ("level", "amount") if name not in content]
    if missing:
        raise at.error(f"has no {missing[0]}; an amount by level is written {{level: drug, amount: -0.3}}")
    return _scalar(content["level"], at.field("level")), _declared(content["amount"], at.field("amount"))


def _priors(value: object, at: _At) -> dict[str, Amount]:
    return {name: _amount(prior, at.field(name)) for name, prior in _mapping(value, at).items()}


_FIELDS: Mapping[str, Callable[[object, _At], Any]] = {
    "formula": _text,
    "family": _text,
    "bounds": _numbers,
    "regressions": _list_of((Regression,)),
    "given": _text,
    "link": _text,
    "column": _text_or_texts,
    "unit": _text,
    "of": _text,
    "where": _text,
    "low": _bound,
    "high": _bound,
    "because": _text,
    "columns": _texts,
    "predictors": _texts,
    "waves": _texts,
    "covariance": _text,
    "degree": _number,
    "residual": _text,
    "by_wave": _texts,
    "death": _text,
    "amount": _declared,
    "by": _text,
    "cumulative": _truth,
    "carry": _truth,
    "corr": _number,
    "identification": _text,
    "sparse": _text,
    "priors": _priors,
    "components": _list_of(_COMPONENTS),
    "strategy": _text,
    "arm": _text,
    "control": _scalar,
    "event": _text,
    "by_subject": _text,
    "k0": _amount,
    "k1": _amount,
    "times": _numbers,
}

_SHORT = Repr(maxstring=60, maxother=60, maxlong=60, maxdict=3, maxlist=3, maxlevel=2)


def _show(value: object) -> str:
    return _SHORT.repr(value)


def _named(value: object) -> str:
    if value is None:
        return "empty"
    return f"{_NAMES.get(type(value), 'a number')} ({_show(value)})"


def _nearest(name: object, known: Sequence[str] | Mapping[str, Any]) -> str:
    lower = {k.lower(): k for k in known}
    near = get_close_matches(str(name)[:60].lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
