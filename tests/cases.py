"""A catalogue of specs with tables drawn from them: shared by the tests, the calibration and the benchmarks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

import mnarkit as mk


@dataclass(frozen=True)
class Case:
    """A spec and a table that it can be fitted to."""

    spec: mk.Spec
    table: pd.DataFrame


def table(n: int = 60, seed: int = 3) -> pd.DataFrame:
    """Two predictors, three jointly normal columns; y1 missing not at random, y2 and y3 at random."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(n) < 0.5, "drug", "placebo")
    x = rng.normal(10, 2, n)
    noise = rng.multivariate_normal(np.zeros(3), [[4, 1, 0.5], [1, 2, 0.3], [0.5, 0.3, 1]], n)
    y = np.column_stack([5 + 0.5 * x + (arm == "drug"), 20 - 0.2 * x, 3 + 0.1 * x]) + noise
    frame = pd.DataFrame(y, columns=["y1", "y2", "y3"]).assign(x=x, arm=arm, z=rng.normal(size=n))
    complete = frame.copy()
    frame.loc[0.3 * (complete["y1"] - 10) + 0.4 * frame["z"] + rng.normal(size=n) > 0.4, "y1"] = np.nan
    frame.loc[rng.random(n) < 0.2, "y2"] = np.nan
    frame.loc[rng.random(n) < 0.2, "y3"] = np.nan
    frame.loc[0, ["y1", "y2", "y3"]] = np.nan
    return frame.assign(**bounds(complete, rng))


def bounds(complete: pd.DataFrame, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A limit above y3 in about half of the rows, and an interval around y2 in about two thirds."""
    n = len(complete)
    lod = np.where(rng.random(n) < 0.5, complete["y3"] + rng.exponential(1, n), np.nan)
    around = rng.random(n) < 0.7
    start = np.where(around, np.floor(complete["y2"]), np.nan)
    return {"lod": lod, "from2": start, "to2": np.where(rng.random(n) < 0.9, start + 1, np.nan)}


REGRESSION = mk.Regression("y1 ~ x + arm")
JOINT = mk.MvNormal("y1", "y2", "y3", given="x")
PAIR = mk.MvNormal("y1", "y2")

SPECS: dict[str, mk.Spec] = {
    "regression, MAR": mk.Spec(REGRESSION),
    "joint, MAR": mk.Spec(JOINT),
    "means, MAR": mk.Spec(mk.MvNormal("y1", "y2", "y3")),
    "no intercept, MAR": mk.Spec(mk.Regression("y1 ~ 0 + x")),
    "regression, probit": mk.Spec(REGRESSION, mk.Selection("missing(y1) ~ y1 + z")),
    "regression, logit": mk.Spec(REGRESSION, mk.Selection("missing(y1) ~ y1 + z", link="logit")),
    "joint, probit": mk.Spec(JOINT, mk.Selection("missing(y1) ~ y1 + y2 + arm")),
    "joint, logit on another column": mk.Spec(JOINT, mk.Selection("missing(y1) ~ y3 + x", link="logit")),
    "regression, Heckman": mk.Spec(REGRESSION, mk.Heckman("recorded(y1) ~ x + arm + z")),
    "joint, Heckman": mk.Spec(JOINT, mk.Heckman("recorded(y1) ~ x + z")),
    "regression, selection with priors": mk.Spec(
        REGRESSION,
        mk.Selection(
            "missing(y1) ~ y1 + z + x",
            priors={
                "y1": -0.3,
                "z": mk.Prior("student_t", 4, 0, 1),
                "x": mk.Prior("normal", 0, 0.2, unit="raw"),
                "Intercept": 0.7,
            },
        ),
    ),
    "regression, Heckman with a uniform rho": mk.Spec(
        REGRESSION,
        mk.Heckman("recorded(y1) ~ z", priors={"rho": mk.Prior("uniform", -1, 1), "z": mk.Prior("uniform", -2, 2)}),
    ),
    "regression, priors of the data model": mk.Spec(
        mk.Regression(
            "y1 ~ x",
            priors={
                "coef": mk.Prior("student_t", 4, 0, 1, unit="raw"),
                "intercept": mk.Prior("normal", 0, 2),
                "sd": mk.Prior("half_normal", 3, unit="raw"),
            },
        )
    ),
    "joint, shift inside the model": mk.Spec(JOINT, mk.PatternMixture(mk.Shift("y1", -0.5, unit="sd", of="model"))),
    "joint, shift given another column": mk.Spec(
        JOINT, mk.PatternMixture(mk.Shift("y1", -0.5, unit="sd", of="model", predictors=("y3",)))
    ),
    "joint, two shifts inside the model": mk.Spec(
        JOINT,
        mk.PatternMixture(
            mk.Shift("y1", mk.Prior("normal", -1, 0.5), unit="raw", of="model", where="arm == 'drug'"),
            mk.Shift("y2", 10, unit="percent", of="model"),
        ),
    ),
    "joint, scale inside the model": mk.Spec(JOINT, mk.PatternMixture(mk.Scale("y1", 1.2, of="model"))),
    "joint, scale and shift inside the model": mk.Spec(
        JOINT, mk.PatternMixture(mk.Scale("y1", 0.8, of="model"), mk.Shift("y2", 0.3, unit="sd_observed", of="model"))
    ),
    "joint, shifts by group inside the model": mk.Spec(
        JOINT,
        mk.PatternMixture(
            mk.Shift(
                ("y1", "y2"),
                {"drug": mk.Prior("normal", -1, 0.5), "placebo": mk.Prior("normal", 0.2, 0.3)},
                unit="raw",
                of="model",
                by="arm",
                corr=0.6,
            )
        ),
    ),
    "joint, cumulative shifts inside the model": mk.Spec(
        JOINT,
        mk.PatternMixture(
            mk.Shift(("y1", "y2", "y3"), -0.2, unit="sd", of="model", cumulative=True, where="arm == 'drug'"),
            mk.Shift(
                ("y2", "y3"),
                {"placebo": (0.1, mk.Prior("normal", -0.3, 0.2)), "drug": 0.0},
                unit="sd_observed",
                of="model",
                by="arm",
                cumulative=True,
            ),
        ),
    ),
    "regression, late shift": mk.Spec(
        REGRESSION, mk.PatternMixture(mk.Shift("y1", mk.Prior("normal", 0, 1), unit="sd"))
    ),
    "joint, selection and shift": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ y1 + x"), mk.PatternMixture(mk.Shift("y2", 0.5, unit="sd", of="model"))
    ),
    "means, two self-masking probits": mk.Spec(
        PAIR, mk.Selection("missing(y1) ~ y1"), mk.Selection("missing(y2) ~ y2 + z")
    ),
    "joint, two probits on each other's columns": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ y1 + y2 + z"), mk.Selection("missing(y2) ~ y1 + y2 + arm")
    ),
    "joint, two self-masking logits": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ y1 + z", link="logit"), mk.Selection("missing(y3) ~ y3 + arm", link="logit")
    ),
    "joint, logit and probit on each other's columns": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ y1 + y3", link="logit"), mk.Selection("missing(y3) ~ y1 + y3 + z")
    ),
    "joint, three self-masking probits": mk.Spec(
        JOINT,
        mk.Selection("missing(y1) ~ y1 + z"),
        mk.Selection("missing(y2) ~ y2 + arm"),
        mk.Selection("missing(y3) ~ y3 + y2"),
    ),
    "joint, slopes by group": mk.Spec(JOINT, mk.Selection("missing(y1) ~ y1:arm + y2 + z")),
    "joint, slopes and intercepts by group, logit": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ y1 + arm + y1:arm + x", link="logit")
    ),
    "joint, slopes by group with priors": mk.Spec(
        PAIR,
        mk.Selection(
            "missing(y1) ~ y1:arm + z",
            priors={
                "y1:arm[placebo]": -0.2,
                "y1:arm[drug]": mk.Prior("normal", 0, 0.3, unit="raw"),
                "z": mk.Prior("student_t", 4, 0, 1),
                "Intercept": 0.7,
            },
        ),
    ),
    "joint, two probits with slopes by group": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ arm:y1 + z"), mk.Selection("missing(y2) ~ y2 + y1:arm")
    ),
    "joint, slopes by group beside limits": mk.Spec(
        JOINT, mk.Selection("missing(y1) ~ y1:arm + y2"), mk.Limits("y2", low="from2", high="to2")
    ),
    "joint, Heckman and selection": mk.Spec(
        JOINT, mk.Heckman("recorded(y1) ~ x + z"), mk.Selection("missing(y2) ~ y2 + arm")
    ),
    "joint, later indicators": mk.Spec(
        JOINT,
        mk.Selection("missing(y1) ~ y1 + z"),
        mk.Selection("missing(y2) ~ missing(y1) + missing(y3) + y2 + missing(y1):z"),
        mk.Limits("y3", high="lod"),
    ),
    "regression, limits where": mk.Spec(REGRESSION, mk.Limits("y1", low=9, where="arm == 'drug'")),
    "joint, below a limit": mk.Spec(JOINT, mk.Limits("y3", high="lod")),
    "joint, between limits": mk.Spec(JOINT, mk.Limits("y2", low="from2", high="to2")),
    "joint, limits of two columns": mk.Spec(
        JOINT, mk.Limits("y2", low="from2", high="to2"), mk.Limits("y3", high="lod")
    ),
    "joint, limits of three columns": mk.Spec(
        JOINT,
        mk.Limits("y1", low=8, high=14),
        mk.Limits("y2", low="from2", high="to2"),
        mk.Limits("y3", high="lod"),
    ),
    "joint, selection, shift and limits": mk.Spec(
        JOINT,
        mk.Selection("missing(y1) ~ y1 + z"),
        mk.PatternMixture(mk.Shift("y2", -0.5, unit="sd", of="model")),
        mk.Limits("y3", high="lod"),
    ),
    "joint, logit beside an interval": mk.Spec(
        JOINT,
        mk.Selection("missing(y1) ~ y1 + y2", link="logit"),
        mk.Limits("y2", low="from2", high="to2"),
    ),
    "joint, Heckman beside limits": mk.Spec(
        JOINT, mk.Heckman("recorded(y1) ~ x + z"), mk.Limits("y2", low="from2", high="to2")
    ),
    "joint, selection and shift of columns with limits": mk.Spec(
        JOINT,
        mk.Selection("missing(y1) ~ y1 + z"),
        mk.PatternMixture(mk.Shift("y2", -0.5, unit="sd", of="model")),
        mk.Limits("y1", low=9, where="arm == 'drug'"),
        mk.Limits("y2", low="from2", high="to2"),
    ),
}
