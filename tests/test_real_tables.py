"""Every table to try things on, with a spec that a person could mean, is sampled without a divergence."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.data import IncompleteData
from mnarkit.factored.check import check_factored
from mnarkit.spec.check import check
from mnarkit.spec.engine import engine_of
from tests.refs import SHARED

# Tables that are not sampled, and why; at most two
WITHOUT: dict[str, str] = {}


@dataclass(frozen=True)
class Case:
    """A spec for a table of the folder, how the table is prepared, and the draws of each chain."""

    spec: mk.Spec
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame
    draws: int = 400


def wide(subject: str, time: str, value: str, *keep: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A row a subject, with the columns that do not change."""

    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        return mk.to_wide(frame[[subject, time, value, *keep]], subject=subject, time=time, value=value)

    return prepare


def first_completed(frame: pd.DataFrame) -> pd.DataFrame:
    first = frame.loc[frame["imp"] == frame["imp"].min(), ["id", "wave", "cistot", "sex"]]
    return mk.to_wide(first, subject="id", time="wave", value="cistot")


SIX = tuple(f"y{k}" for k in range(1, 7))
SEVERITY = ("y_i_0", "y_i_1", "y_i_3", "y_i_6")
CASES = {
    "asthma_long": Case(
        mk.Spec(
            mk.Growth("fev_2", "fev_4", "fev_8", "fev_12", times=(2, 4, 8, 12), given="C(treat) + base"),
            mk.SharedParameter("intercept + slope + C(treat)"),
        ),
        wide("id", "time", "fev", "treat", "base"),
    ),
    "asthma_long, as it is": Case(mk.Spec(mk.Regression("fev ~ C(treat) * time + base + (1 + time | id)"))),
    "clusters": Case(
        mk.Spec(
            mk.Regressions(
                mk.Regression("y_i ~ x1_i + d_j + (1 | level2id)"), mk.Regression("x1_i ~ d_j + (1 | level2id)")
            )
        )
    ),
    "drug_growth_long": Case(
        mk.Spec(mk.Growth(*SEVERITY, times=(0, 1, 3, 6), given="d_j"), mk.SharedParameter("slope + d_j")),
        wide("level2id", "time_i", "y_i", "d_j"),
        draws=1000,  # its chains mix slowly: about one independent draw in eight
    ),
    "drug_growth_long, as it is": Case(
        mk.Spec(
            mk.Regression("y_i ~ d_j * sqrt(time_i) + (1 + sqrt(time_i) | level2id)"),
            mk.Selection("missing(y_i) ~ y_i + time_i + d_j", link="logit"),
        )
    ),
    "growth_known_truth": Case(
        mk.Spec(
            mk.Growth(*(f"y_{k}" for k in range(5)), times=range(5), given="group"),
            mk.SharedParameter("intercept + slope + group"),
        ),
        wide("l2id", "time", "y", "group"),
    ),
    "growth_long": Case(
        mk.Spec(
            mk.Growth(*(f"y_i_{k}" for k in range(6)), times=range(6)),
            mk.Dropout("current", waves=tuple(f"y_i_{k}" for k in range(6))),
        ),
        wide("level2id", "time_i", "y_i"),
    ),
    "growth_wide": Case(mk.Spec(mk.Growth(*SIX, times=range(6)), mk.SharedParameter("slope"))),
    "growth_wide2": Case(mk.Spec(mk.Growth(*SIX, times=range(6)), mk.SharedParameter("slope", of="missing"))),
    # 13 rows do not tell ten correlations of columns that nearly add up: their prior has to
    "hald13": Case(mk.Spec(mk.MvNormal("x1", "x2", "x3", "x4", "x5", priors={"corr": mk.Prior("lkj", 5)}))),
    "heart9": Case(
        mk.Spec(mk.MvNormal("Plac.15", "Low.15", "High.15", "Plac.90", "Low.90", "High.90", covariance="CSH"))
    ),
    "language279": Case(mk.Spec(mk.MvNormal("FLAS", "SATV", "SATM", "ENG", "HGPA", "CGPA", given="MLAT"))),
    "mediation300": Case(mk.Spec(mk.MvNormal("m", "y", "v2", "a1"), mk.Selection("missing(y) ~ y + m"))),
    "menss": Case(mk.Spec(mk.MvNormal("e", "c", given="trt + age"), mk.Selection("missing(e) ~ e + trt + age"))),
    "nhanes25": Case(mk.Spec(mk.MvNormal("bmi", "hyp", "chl", given="age"))),
    "reading138": Case(mk.Spec(mk.MvNormal("read1", "read2", "read3", "read9", "behsymp1", "lrnprob1"))),
    "smoking_imputed5": Case(
        mk.Spec(mk.MvNormal(*(f"cistot_{k}" for k in range(1, 7)), given="sex", covariance="ARH(1)")), first_completed
    ),
    "spending2001": Case(
        mk.Spec(
            mk.Regression("lambexp ~ age + female + educ + blhisp + totchr + ins"),
            mk.Heckman("recorded(lambexp) ~ age + female + educ + blhisp + totchr + ins + income"),
        )
    ),
    "survey630": Case(mk.Spec(mk.MvNormal("y2", "y1", "x1", "x3"), mk.Selection("missing(y2) ~ y2 + y1"))),
    "survey630b": Case(mk.Spec(mk.MvNormal("y", "v3", "x1", "v4"), mk.Selection("missing(y) ~ y + v3", link="logit"))),
    "trial437": Case(mk.Spec(mk.MvNormal("x1", "x2", "x3", "y", given="d1"), mk.Selection("missing(y) ~ y + x3 + d1"))),
}


def table(name: str) -> pd.DataFrame:
    """One table as it is on disk, or a skipped test."""
    path = SHARED / "data" / f"{name.split(',')[0]}.csv"
    if not path.is_file():
        pytest.skip(f"table '{name}' is not here")
    return pd.read_csv(path)


def test_every_table_has_a_spec_or_a_reason():
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the tables are not here")
    assert {path.stem for path in folder.glob("*.csv")} == {*(name.split(",")[0] for name in CASES), *WITHOUT}
    assert len(WITHOUT) <= 2


@pytest.mark.parametrize("name", CASES)
def test_a_spec_fits_its_table(name):
    case = CASES[name]
    data = IncompleteData.of(case.prepare(table(name)))
    checked = check_factored if engine_of(case.spec, data).name == "factored" else check
    checked(case.spec, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_real_table_is_sampled_without_a_divergence(name):
    case = CASES[name]
    frame = case.prepare(table(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mk.errors.ConvergenceWarning)  # what it says is asserted below
        settings = {"draws": case.draws, "tune": 600, "chains": 2, "target_accept": 0.95}
        fit = mk.sample(case.spec, frame, **settings, seed=11, progress=False)
    assert fit.draws.attrs["divergences"] == 0
    # of 800 draws or more; the largest of up to fifty R-hats of chains that agree stays below this
    assert fit.draws.attrs["rhat_max"] < 1.03
    assert fit.draws.attrs["ess_min"] > 100
    imputed = mk.impute(fit, m=2, seed=1)
    assert not imputed[0][list(case.spec.model.columns)].isna().to_numpy().any()
