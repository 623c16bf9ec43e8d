"""The table of docs/reference/mechanisms.md: what each belief does beside each data model, asked of the code.

`uv run python -m tests.mechanisms` writes it; a test compares.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.factored.check import check_factored, check_late_factored
from mnarkit.factored.layout import designs_of, lay_out
from mnarkit.families import FAMILIES
from mnarkit.spec.check import check, check_late
from mnarkit.spec.engine import engine_of

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "mechanisms.md"
WAVES = ("w0", "w1", "w2", "w3")
THRESHOLDS = {"skew_normal": 4.0, "gamma": 5.0}
HEAD = """# Mechanisms by family

What becomes of the unseen values under each belief, beside each data model, asked of the code by
`uv run python -m tests.mechanisms`.

- **closed form**: integrated out in the likelihood of jointly normal columns; `em` and `sample`
- **summed**: every value that an unseen cell can have is summed over; `sample`
- **integrated**: summed over fixed points of each unseen cell; `sample`
- **sampled**: unseen cells are variables beside the parameters; `sample`
- **left out**: nothing else reads the cell, so that its density integrates to 1; `sample`
- **afterwards**: a late belief, applied to the imputations of any fit that has the model; no refit
- **drawn exactly**: from posteriors that are known, without a sampler
- **–**: refused, with one line that says why

"""


@cache
def table() -> pd.DataFrame:
    """Rows of four waves that people leave, and a column of each family with holes."""
    rng = np.random.default_rng(7)
    n = 120
    z, level = rng.normal(size=n), rng.integers(0, 3, n)
    values = {
        "normal": rng.normal(size=n),
        "student_t": rng.standard_t(5, n),
        "skew_normal": rng.gamma(4, 1, n),
        "lognormal": np.exp(rng.normal(size=n)),
        "bernoulli": (rng.random(n) < 0.4).astype(float),
        "ordinal": pd.Categorical.from_codes(level, ["low", "mid", "high"], ordered=True),
        "categorical": pd.Series(np.array(["a", "b", "c"], dtype=object)[level]),
        "poisson": rng.poisson(1.5, n).astype(float),
        "negative_binomial": rng.negative_binomial(2, 0.5, n).astype(float),
        "gamma": rng.gamma(3, 2, n),
        "beta": 0.05 + 0.9 * rng.beta(3, 2, n),
    }
    frame = pd.DataFrame(values)
    for column in values:
        frame.loc[rng.random(n) < 0.25, column] = None
    waves = rng.normal(size=(n, 1)) + 0.7 * rng.normal(size=(n, len(WAVES)))
    waves[np.arange(len(WAVES)) >= rng.integers(1, 7, n)[:, None]] = np.nan
    arm = np.where(np.arange(n) % 2, "drug", "control")
    frame = frame.assign(person=np.arange(n) // 4)
    return frame.assign(**dict(zip(WAVES, waves.T, strict=True)), z=z, arm=arm, y=z + rng.normal(size=n))


def beliefs(column: str) -> dict[str, tuple[tuple, bool]]:
    """Every belief about holes of a column, and whether it is given to `impute` instead of `sample`."""
    shift = mk.Shift(column, -0.5, unit="sd")
    return {
        "MAR": ((), False),
        "Selection, probit": ((mk.Selection(f"missing({column}) ~ {column} + z"),), False),
        "Selection, logit": ((mk.Selection(f"missing({column}) ~ {column} + z", link="logit"),), False),
        "Selection, threshold": (
            (mk.Selection(f"missing({column}) ~ above({column}, {THRESHOLDS.get(column, 0.6)}) + z"),),
            False,
        ),
        "Selection, slopes by arm": ((mk.Selection(f"missing({column}) ~ {column}:arm + z"),), False),
        "Selection, not linear": ((mk.Selection(f"missing({column}) ~ {column} + I({column}**2)"),), False),
        "Heckman": ((mk.Heckman(f"recorded({column}) ~ z"),), False),
        "Dropout": ((mk.Dropout("previous + current", waves=WAVES),), False),
        "Dropout, slopes by arm": ((mk.Dropout("previous + current:arm", waves=WAVES),), False),
        "SharedParameter": ((mk.SharedParameter("intercept + slope"),), False),
        "Limits": ((mk.Limits(column, high=-0.2 if column in WAVES else 0.5),), False),
        "Shift, of='model'": ((mk.PatternMixture(mk.Shift(column, -0.5, unit="sd", of="model")),), False),
        "Shift": ((mk.PatternMixture(shift),), True),
        "Scale": ((mk.PatternMixture(mk.Scale(column, 0.9)),), True),
        "OddsRatio": ((mk.PatternMixture(mk.OddsRatio(column, 2.0)),), True),
        "Restriction": ((mk.PatternMixture(mk.Restriction("NCMV")),), False),
        "Reference": ((mk.Reference("J2R", arm="arm", control="control"),), True),
    }


def models() -> dict[str, tuple[mk.spec.spec.DataModel, str]]:
    """Every data model, with the column that beliefs are about."""
    found: dict = {
        "MvNormal": (mk.MvNormal(*WAVES, given="arm"), "w2"),
        "MvNormal, by=": (mk.MvNormal(*WAVES, given="arm", by="arm"), "w2"),
        "Growth": (mk.Growth(*WAVES, times=(0, 1, 2, 3), given="arm"), "w2"),
        "normal": (mk.Regression("normal ~ z"), "normal"),
        "normal covariate": (mk.Regressions(mk.Regression("y ~ normal + z"), mk.Regression("normal ~ z")), "normal"),
    }
    for name in FAMILIES:
        if name != "normal":
            bounds = {"beta": (0.0, 1.2)}.get(name)
            found[name] = (mk.Regression(f"{name} ~ z", family=name, bounds=bounds), name)
    for name in ("normal", "bernoulli"):
        found[f"{name}, random terms"] = (mk.Regression(f"{name} ~ z + (1 | person)", family=name), name)
    return found


def cell(model: object, column: str, belief: tuple, late: bool) -> str:
    """What the code does with the column's holes."""
    data = IncompleteData.of(table())
    try:
        spec = mk.Spec(model, *(() if late else belief))
        factored = engine_of(spec, data).name == "factored"
        if factored:
            check_factored(spec, data)
            check_late_factored(spec, belief if late else (), data)
        else:
            check(spec, data)
            check_late(spec, belief if late else (), data)
    except mk.errors.MnarkitError:
        return "–"
    if late:
        return "afterwards"
    if not factored:
        return "drawn exactly" if spec.restriction is not None else "closed form"
    layout = lay_out(spec, data, designs_of(spec, data))
    j, roles = [one.column for one in layout.coded].index(column), layout.roles
    words = {
        "summed": roles.summed & ~roles.pointwise,
        "integrated": roles.pointwise,
        "sampled": roles.latent,
        "left out": roles.leaf,
    }
    return ", ".join(word for word, role in words.items() if role[:, j].any())


def page() -> str:
    """The page as text."""
    found = {name: {b: cell(m, c, *given) for b, given in beliefs(c).items()} for name, (m, c) in models().items()}
    rows = list(beliefs("w2"))
    text = HEAD + "| data model | " + " | ".join(rows) + " |\n|" + "---|" * (len(rows) + 1) + "\n"
    return text + "".join(f"| {name} | {' | '.join(cells[r] for r in rows)} |\n" for name, cells in found.items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
