"""The audit record: data fingerprint, spec, reasons, assumptions, seeds, sampler health, versions."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mnarkit.fit import Fit
from mnarkit.spec.encode import to_dict

__all__ = ["audit", "write_audit"]

_PACKAGES = (
    "mnarkit",
    "pymc",
    "pytensor",
    "nutpie",
    "arviz",
    "numba",
    "numpy",
    "scipy",
    "pandas",
    "formulaic",
    "statsmodels",
)


def audit(fit: Fit, **more: Any) -> dict[str, Any]:
    """Everything that a rerun needs, as plain values.

    Parameters
    ----------
    fit : Fit
        The fit.
    **more
        Further entries, e.g. `imputations={"m": 20, "seed": 2}`.

    Returns
    -------
    dict
        Ready for JSON.
    """
    frame = fit.data.frame
    attrs = fit.draws.attrs
    sizes = fit.draws["posterior"].sizes
    return {
        "data": {
            "sha256": fit.data.fingerprint(),
            "rows": fit.data.n,
            "columns": list(fit.data.columns),
            "holes": {c: int((~fit.data.seen(c)).sum()) for c in frame.columns if not fit.data.seen(c).all()},
        },
        "spec": to_dict(fit.spec),
        "untestable_assumptions": [b.assumption for b in fit.spec.missingness],
        "notes": list(fit.notes),
        "sampling": {
            "seed": fit.seed,
            "chains": int(sizes["chain"]),
            "draws": int(sizes["draw"]),
            **{
                name: _plain(attrs[name])
                for name in ("tune", "target_accept", "sampler", "divergences", "rhat_max", "ess_min")
                if name in attrs
            },
            "default_priors": json.loads(attrs["default_priors"]),
        },
        **more,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def write_audit(record: dict[str, Any], folder: Path) -> Path:
    """Write `audit.json`."""
    path = folder / "audit.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
