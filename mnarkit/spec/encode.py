"""A spec as plain data and as text: what a spec file says."""

from dataclasses import fields, is_dataclass
from typing import Any

from mnarkit.priors import Prior
from mnarkit.spec.text import write_json, write_yaml

__all__ = ["VERSION", "to_dict", "to_json", "to_yaml"]

VERSION = 1


def to_dict(spec: object) -> dict[str, Any]:
    """Say a spec in dicts, lists, text and numbers; fields that have their default are left out.

    Parameters
    ----------
    spec : Spec
        The spec.

    Returns
    -------
    dict
        Read back exactly by `mnarkit.spec.files.from_dict`.

    Examples
    --------
    >>> import mnarkit as mk
    >>> from mnarkit.spec.encode import to_dict
    >>> to_dict(mk.Spec(mk.Regression("y ~ x")))
    {'mnarkit_spec': 1, 'model': {'kind': 'Regression', 'formula': 'y ~ x'}, 'missingness': [{'kind': 'MAR'}]}
    """
    encoded = _fields(spec)
    reason = {"because": encoded.pop("because")} if "because" in encoded else {}
    return {"mnarkit_spec": VERSION} | reason | encoded


def to_yaml(spec: object) -> str:
    """Say a spec as YAML text, read back exactly by `mnarkit.spec.files.from_yaml`."""
    return write_yaml(to_dict(spec))


def to_json(spec: object) -> str:
    """Say a spec as JSON text, read back exactly by `mnarkit.spec.files.from_json`."""
    return write_json(to_dict(spec))


def _encode(value: object) -> Any:
    match value:
        case Prior():
            encoded = _fields(value)
            return {"prior": encoded.pop("family"), **encoded}
        case tuple():
            return [_encode(v) for v in value]
        case str():
            return str.__str__(value)
        case bool() | int():
            return value
        case float():
            return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return {"kind": type(value).__name__, **_fields(value)}


def _fields(value: Any) -> dict[str, Any]:
    """Field values by name, without defaults and empty priors."""
    if not is_dataclass(value):
        raise TypeError(f"{value!r} is not a part of a spec")
    every = {f.name: (getattr(value, f.name), f.default) for f in fields(value)}
    said = {n: v for n, (v, default) in every.items() if v != default and not (v == () and default is None)}
    return {name: _field(name, x) for name, x in said.items()}


def _field(name: str, value: Any) -> Any:
    if name == "priors":
        return {k: _encode(v) for k, v in value}
    if name == "amount" and isinstance(value, tuple) and isinstance(value[0], tuple) and len(value[0]) == 2:
        return [{"level": _encode(level), "amount": _encode(each)} for level, each in value]
    return _encode(value)
