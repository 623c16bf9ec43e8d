"""The page of a diagnosis, for a reader."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np

from mnarkit.diagnose.finding import Finding
from mnarkit.fit import Fit

__all__ = ["page"]

_WIDTH = 110
_HEADS = {
    "sampler": "Sampler: did it reach the posterior?",
    "imputations": "Imputations: imputed beside recorded values",
    "predictive": "Predictive: tables drawn from the model beside this one",
    "identification": "Identification: what told each parameter",
    "influence": "Influence: rows that move the parameters of the belief",
}
_CANNOT = (
    "What this page cannot do: it compares the model with what was recorded. Nothing here tests whether values are "
    "missing not at random. A model with the wrong belief can pass every check, and one with the right belief can fail "
    "for other reasons."
)


def page(fit: Fit, findings: Sequence[Finding]) -> str:
    """Write the findings part by part, alarms marked."""
    alarms = sum(one.alarm for one in findings)
    head = f"Diagnosis of {fit.data.n:,} rows under {' + '.join(map(str, fit.spec.missingness))}: "
    head += f"{alarms} alarm{'' if alarms == 1 else 's'} in {len(findings)} checks (marked !)"
    parts = [fill(head, _WIDTH)]
    for check, title in _HEADS.items():
        rows = [one for one in findings if one.check == check]
        if rows:
            parts.append("\n".join([title, *(_line(one) for one in rows)]))
    parts.append(fill(_CANNOT, _WIDTH))
    return "\n\n".join(parts)


def _line(one: Finding) -> str:
    number = f" [{one.measure} {one.number:.3g}]" if np.isfinite(one.number) and one.measure else ""
    return fill(
        f"{one.what}: {one.verdict}{number}",
        _WIDTH,
        initial_indent="! " if one.alarm else "  ",
        subsequent_indent="      ",
    )
