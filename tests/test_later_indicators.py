"""Models of holes that read whether other columns are recorded."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.errors import MnarkitError
from mnarkit.formula import design, parse
from mnarkit.normal.layout import designs_of, lay_out
from mnarkit.spec.indicator_order import indicator_order
from tests.cases import SPECS, table


def test_the_columns_of_later_indicators_are_whether_cells_were_measured() -> None:
    frame = table(60)
    spec, data = SPECS["joint, later indicators"], IncompleteData.of(frame)
    later = lay_out(spec, data, designs_of(spec, data)).indicators[1]
    first, third = frame["y1"].isna(), frame["y3"].isna() & frame["lod"].isna()
    assert later.w_terms == ("Intercept", "missing(y1)", "missing(y3)", "missing(y1):z")
    np.testing.assert_array_equal(later.w, np.column_stack([np.ones(60), first, third, first * frame["z"]]))


def test_a_design_is_rebuilt_for_rows_with_other_holes() -> None:
    data = pd.DataFrame({"y": [1.0, np.nan, 3.0], "word": ["a", None, None]})
    built = design(parse("missing(y) ~ missing(word) + missing(y)"), IncompleteData.of(data))
    np.testing.assert_array_equal(built.matrix[:, 1:], [[0, 0], [1, 1], [1, 0]])
    np.testing.assert_array_equal(built.rebuild(data.assign(y=[np.nan, 1.0, 2.0]))[:, 2], [1, 0, 0])


def test_em_of_a_later_indicator_is_a_probit_on_the_earlier_one() -> None:
    rng = np.random.default_rng(3)
    n = 3000
    y = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    first = y[:, 0] + rng.normal(size=n) > 0.5
    second = -0.8 + 0.9 * first + rng.normal(size=n) > 0
    data = pd.DataFrame({"y1": np.where(first, np.nan, y[:, 0]), "y2": np.where(second, np.nan, y[:, 1])})
    spec = mk.Spec(mk.MvNormal("y1", "y2"), mk.Selection("missing(y1) ~ y1"), mk.Selection("missing(y2) ~ missing(y1)"))
    fit = mk.em(spec, data, progress=False)

    def minus_loglik(theta: np.ndarray) -> float:
        return -stats.norm.logcdf(np.where(second, 1, -1) * (theta[0] + theta[1] * first)).sum()

    best = optimize.minimize(minus_loglik, [0.0, 0.0], method="BFGS", options={"gtol": 1e-8})
    found = [fit.params[f"missing(y2) ~ {t}"] for t in ("Intercept", "missing(y1)")]
    np.testing.assert_allclose(found, best.x, atol=1e-5)


def test_indicators_stand_in_an_order() -> None:
    later = [mk.Selection("missing(a) ~ missing(b) + missing(q)"), mk.Selection("missing(b) ~ b"), mk.MAR()]
    assert indicator_order(later) == ("b", "a")


MODEL = mk.MvNormal("y1", "y2", given="x")
DATA = table(60).assign(whole=1.0)
REFUSED = {
    "a circle": (
        lambda: mk.Spec(
            MODEL, mk.Selection("missing(y1) ~ missing(y2)"), mk.Selection("missing(y2) ~ missing(y1) + y1")
        ),
        "missing(y1), missing(y2) depend on each other",
    ),
    "itself": (lambda: mk.Spec(MODEL, mk.Selection("missing(y1) ~ missing(y1)")), "missing(y1) depends on itself"),
    "in a data model": (lambda: mk.Regression("y1 ~ missing(x)"), "stands on the right of a model of holes alone"),
    "in a hazard": (lambda: mk.Dropout("missing(x)", waves=("y1", "y2")), "a model of holes alone"),
    "of an expression": (lambda: mk.Selection("missing(y1) ~ missing(y2 + x)"), "missing takes one column"),
    "of what has no holes": (
        lambda: mk.em(mk.Spec(MODEL, mk.Selection("missing(y1) ~ missing(whole)")), DATA),
        "is always 0: 'whole' has no holes in 60 rows",
    ),
    "no such column": (
        lambda: mk.em(mk.Spec(MODEL, mk.Selection("missing(y1) ~ missing(y22)")), DATA),
        "did you mean 'y2'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(MnarkitError, match=re.escape(said)) as error:
        make()
    assert "\n" not in str(error.value)
