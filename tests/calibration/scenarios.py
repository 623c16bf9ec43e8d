"""A spec for each mechanism whose priors do not depend on the table, and the predictors that its tables have.

Priors are in raw units, and no formula has an intercept (`one` is a column of ones), so that nothing is centered: a
prior of an intercept is otherwise one at the centre of the recorded values. The means of a growth curve alone have that
prior, N(0, 10²) in sds: flat for data that fix them to a tenth of a sd, and the model is the same for every level.
The prior of a random intercept beside a slope is for the mean time of the recorded rows, which every table has.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

import mnarkit as mk


@dataclass(frozen=True)
class Scenario:
    """What is calibrated: tables of n rows, drawn from the prior of `spec`; `nominal` is one ordinary truth.

    Every `thin`-th draw is compared with the truth; sampled cells need more distance.
    """

    spec: mk.Spec
    nominal: dict
    n: int = 150
    masked: tuple[str, ...] = ()
    thin: int = 5


def raw(family: str, *values: float) -> mk.Prior:
    return mk.Prior(family, *values, unit="raw")


DATA = {"coef": raw("normal", 0, 1), "sd": raw("half_normal", 1.5), "corr": mk.Prior("lkj", 2)}
OF_Y = {"one": raw("normal", -0.5, 0.5), "y": raw("normal", 0.3, 0.4), "z": raw("normal", 0.5, 0.5)}
OF_V = {"one": raw("normal", -0.5, 0.5), "v": raw("normal", 0.3, 0.4), "x": raw("normal", 0.0, 0.5)}
Y = mk.Regression("y ~ 0 + one + x", priors={k: p for k, p in DATA.items() if k != "corr"})
PAIR = mk.MvNormal("y", "v", given="0 + one + x", priors=DATA)
WAVES = ("w0", "w1", "w2", "w3")
HAZARD = {"one": raw("normal", -1.2, 0.3), "previous": raw("normal", 0, 0.4), "current": raw("normal", 0.3, 0.4)}
HAZARD_BY_ARM = {t: p for t, p in HAZARD.items() if t != "current"} | {
    f"current:arm[{a}]": raw("normal", m, 0.4) for a, m in (("drug", 0.3), ("none", 0.0))
}
ONE = {"coef": [[0.5, 0.7]], "sd": [1.2]}
TWO = {"coef": [[0.5, 0.7], [-0.3, 0.3]], "sd": [1.2, 0.8], "corr": [[1.0, 0.5], [0.5, 1.0]]}
FOUR = {"coef": np.zeros((4, 1)), "sd": np.ones(4), "corr": 0.5 + 0.5 * np.eye(4)}
MISSING_Y, MISSING_V = {"one": -0.5, "y": 0.3, "z": 0.5}, {"one": -0.5, "v": 0.3, "x": 0.0}
CURVE = {
    "growth": [[0.5], [0.3]],
    "random_sd": [1.0, 0.5],
    "random_corr": [[1.0, 0.2], [0.2, 1.0]],
    "residual_sd": [0.7] * 4,
}
LIMITED = mk.Limits("v", low=0.6, because="the scale ends there")
OF_TERMS = {"one": raw("normal", -1.2, 0.3), "intercept": raw("normal", 0.3, 0.4), "slope": raw("normal", 0.3, 0.4)}
CURVED = mk.Growth(*WAVES, times=(0, 1, 2, 4), priors=DATA)
OF_LATER = {"one": raw("normal", -0.8, 0.5), "missing(y)": raw("normal", 0.5, 0.5), "v": raw("normal", 0.3, 0.4)}
OF_BINARY = {"one": raw("normal", -0.5, 0.5), "y": raw("normal", 0.5, 1.0), "z": raw("normal", 0.5, 0.5)}
OF_COUNT = {"one": raw("normal", -0.5, 0.5), "y": raw("normal", 0.1, 0.2), "z": raw("normal", 0.5, 0.5)}
FLAT = {"coef": raw("normal", 0, 1)}
COUNT = mk.Regression("y ~ 0 + one + x", family="poisson", priors={"coef": raw("normal", 0, 0.5)})
TWO_FACTORS = mk.Regressions(
    mk.Regression("y ~ 0 + one + v + x", priors={k: p for k, p in DATA.items() if k != "corr"}),
    mk.Regression("v ~ 0 + one + x", priors={k: p for k, p in DATA.items() if k != "corr"}),
)
SPREAD = {"random_sd": raw("half_normal", 1.0), "random_corr": mk.Prior("lkj", 2)}
OWN = {k: p for k, p in DATA.items() if k != "corr"}
LINES = mk.Regression("y ~ 0 + one + x + time + (1 + time | id)", priors=OWN | SPREAD)
LEVELS = mk.Regression("y ~ 0 + one + x + (1 | id)", priors=OWN | {"random_sd": raw("half_normal", 1.0)})
OF_SQUARE = {"one": raw("normal", -0.8, 0.5), "y": raw("normal", 0.2, 0.4), "I(y ** 2)": raw("normal", 0.1, 0.2)}
OF_STEP = {"one": raw("normal", -0.8, 0.5), "above(y, 0.5)": raw("normal", 0.8, 0.8), "z": raw("normal", 0.4, 0.4)}
BY_ARM = mk.MvNormal("y", "v", given="0 + one + x", by="arm", priors=DATA)
TWO_ARMS = {"sd": [[1.2, 0.8], [0.9, 1.4]], "corr": [[[1.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 1.0]]]}
BINARY_COVARIATE = mk.Regressions(
    mk.Regression("y ~ 0 + one + v + x", priors=OWN),
    mk.Regression("v ~ 0 + one + x", family="bernoulli", priors=FLAT),
)
OF_COVARIATE = {"one": raw("normal", -0.8, 0.5), "v": raw("normal", 0.5, 1.0), "x": raw("normal", 0.3, 0.4)}
RHO = {"rho": mk.Prior("normal", 0, 0.8)}
SHIFT = mk.Shift("y", mk.Prior("normal", -0.5, 0.5), unit="raw", of="model")

SCENARIOS: dict[str, Scenario] = {
    "Selection, probit": Scenario(
        mk.Spec(Y, mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_Y)), ONE | {"missing_y": MISSING_Y}
    ),
    "Selection, logit": Scenario(
        mk.Spec(Y, mk.Selection("missing(y) ~ 0 + one + y + z", link="logit", priors=OF_Y)),
        ONE | {"missing_y": MISSING_Y},
    ),
    "Selection, two correlated propensities": Scenario(
        mk.Spec(
            PAIR,
            mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_Y),
            mk.Selection("missing(v) ~ 0 + one + v + x", priors=OF_V),
        ),
        TWO | {"missing_y": MISSING_Y, "missing_v": MISSING_V},
    ),
    "Selection, three logits of a row": Scenario(
        mk.Spec(
            mk.MvNormal("y", "v", "u", given="0 + one + x", priors=DATA),
            mk.Selection("missing(y) ~ 0 + one + y + z", link="logit", priors=OF_Y),
            mk.Selection("missing(v) ~ 0 + one + v + x", link="logit", priors=OF_V),
            mk.Selection("missing(u) ~ 0 + one + u", link="logit", priors={"one": OF_Y["one"], "u": OF_Y["y"]}),
        ),
        {"coef": np.zeros((3, 2)), "sd": np.ones(3), "corr": 0.5 + 0.5 * np.eye(3)}
        | {"missing_y": MISSING_Y, "missing_v": MISSING_V, "missing_u": {"one": -0.5, "u": 0.3}},
        n=100,
    ),
    "Heckman": Scenario(
        mk.Spec(
            Y,
            mk.Heckman(
                "recorded(y) ~ 0 + one + x + z",
                priors={t: raw("normal", 0.4, 0.5) for t in ("one", "x", "z")} | RHO,
            ),
        ),
        ONE | {"recorded_y": [0.4, 0.3, 0.6], "rho_y": 0.3},
    ),
    "Dropout": Scenario(
        mk.Spec(
            mk.MvNormal(*WAVES, given="0 + one", priors=DATA),
            mk.Dropout("0 + one + previous + current", waves=WAVES, by_wave=(), priors=HAZARD),
        ),
        FOUR | {"dropout": {"one": -1.2, "previous": 0.0, "current": 0.3}},
        n=100,
    ),
    "Dropout, slopes by arm": Scenario(
        mk.Spec(
            mk.MvNormal(*WAVES, given="0 + one", priors=DATA),
            mk.Dropout("0 + one + previous + current:arm", waves=WAVES, by_wave=(), priors=HAZARD_BY_ARM),
        ),
        FOUR | {"dropout": {"one": -1.2, "previous": 0.0, "current:arm[drug]": 0.3, "current:arm[none]": 0.0}},
        n=100,
    ),
    "PatternMixture, of='model'": Scenario(
        mk.Spec(PAIR, mk.PatternMixture(SHIFT)), TWO | {"shift_y": -0.5}, masked=("y", "v")
    ),
    "SharedParameter, dropout": Scenario(
        mk.Spec(CURVED, mk.SharedParameter("0 + one + intercept + slope", by_wave=(), priors=OF_TERMS)),
        CURVE | {"dropout": {"one": -1.2, "intercept": 0.3, "slope": 0.3}},
        n=60,
    ),
    "SharedParameter, every hole": Scenario(
        mk.Spec(
            CURVED,
            mk.SharedParameter("0 + one + intercept + slope", of="missing", by_wave=(), priors=OF_TERMS),
        ),
        CURVE | {"missing": {"one": -1.2, "intercept": 0.3, "slope": 0.3}},
        n=50,
    ),
    "Limits": Scenario(mk.Spec(PAIR, mk.Limits("y", high=-0.3), LIMITED), TWO, n=120),
    "Limits and selection": Scenario(
        mk.Spec(PAIR, mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_Y), LIMITED),
        TWO | {"missing_y": MISSING_Y},
        n=120,
    ),
    "Selection, on an earlier indicator": Scenario(
        mk.Spec(
            PAIR,
            mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_Y),
            mk.Selection("missing(v) ~ 0 + one + missing(y) + v", priors=OF_LATER),
        ),
        TWO | {"missing_y": MISSING_Y, "missing_v": {"one": -0.8, "missing(y)": 0.5, "v": 0.3}},
        n=120,
    ),
    "Bernoulli with selection": Scenario(
        mk.Spec(
            mk.Regression("y ~ 0 + one + x", family="bernoulli", priors=FLAT),
            mk.Selection("missing(y) ~ 0 + one + y + z", link="logit", priors=OF_BINARY),
        ),
        {"coef_y": [0.3, 1.0], "missing_y": {"one": -0.5, "y": 0.5, "z": 0.5}},
    ),
    "Poisson with selection": Scenario(
        mk.Spec(COUNT, mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_COUNT)),
        {"coef_y": [0.3, 0.5], "missing_y": {"one": -0.5, "y": 0.1, "z": 0.5}},
        n=80,
    ),
    "Regressions, an incomplete covariate": Scenario(
        mk.Spec(TWO_FACTORS, mk.Selection("missing(v) ~ 0 + one + v + x", priors=OF_V)),
        {"coef_y": [0.3, 0.7, 0.3], "sd_y": 1.0, "coef_v": [0.0, 0.5], "sd_v": 1.0, "missing_v": MISSING_V},
        n=60,
        masked=("y",),
        thin=6,
    ),
    "Random intercept and slope": Scenario(
        mk.Spec(LINES),
        {
            "coef_y": [0.5, 0.3, 0.3],
            "sd_y": 0.8,
            "random_sd_y": [1.0, 0.5],
            "random_corr_y": [[1.0, 0.2], [0.2, 1.0]],
        },
        n=80,
        masked=("y",),
    ),
    "Random intercept with selection": Scenario(
        mk.Spec(LEVELS, mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_Y)),
        {"coef_y": [0.5, 0.3], "sd_y": 0.8, "random_sd_y": [1.0], "missing_y": MISSING_Y},
        n=48,
        thin=6,
    ),
    "Selection, a square": Scenario(
        mk.Spec(Y, mk.Selection("missing(y) ~ 0 + one + y + I(y**2)", link="logit", priors=OF_SQUARE)),
        {"coef_y": [0.5, 0.7], "sd_y": 1.2, "missing_y": {"one": -0.8, "y": 0.2, "I(y ** 2)": 0.1}},
        n=60,
    ),
    "Selection, above a threshold": Scenario(
        mk.Spec(Y, mk.Selection("missing(y) ~ 0 + one + above(y, 0.5) + z", priors=OF_STEP)),
        {"coef_y": [0.5, 0.7], "sd_y": 1.2, "missing_y": {"one": -0.8, "above(y, 0.5)": 0.8, "z": 0.4}},
        n=60,
    ),
    "A covariance for each arm, selection": Scenario(
        mk.Spec(BY_ARM, mk.Selection("missing(y) ~ 0 + one + y + z", priors=OF_Y)),
        TWO | TWO_ARMS | {"missing_y": MISSING_Y},
        n=120,
        masked=("v",),
    ),
    "Regressions, a binary incomplete covariate": Scenario(
        mk.Spec(BINARY_COVARIATE, mk.Selection("missing(v) ~ 0 + one + v + x", link="logit", priors=OF_COVARIATE)),
        {
            "coef_y": [0.3, 0.7, 0.3],
            "sd_y": 1.0,
            "coef_v": [0.3, 0.8],
            "missing_v": {"one": -0.8, "v": 0.5, "x": 0.3},
        },
        n=80,
        masked=("y",),
    ),
    "Growth": Scenario(mk.Spec(mk.Growth(*WAVES, times=(0, 1, 2, 4), priors=DATA)), CURVE, n=100, masked=WAVES[1:]),
}


def predictors(scenario: Scenario) -> pd.DataFrame:
    """Fully seen columns, and the holes that no mechanism makes: 30 % of the columns `masked`, never a whole row."""
    rng, n = np.random.default_rng(1), scenario.n
    frame = pd.DataFrame({"one": np.ones(n), "x": rng.normal(size=n), "z": rng.normal(size=n)})
    row = np.arange(n)
    frame = frame.assign(id=row // 4, time=row % 4 - 1.0, arm=np.where(row % 2, "drug", "none"))
    for column in scenario.spec.model.columns:
        frame[column] = 0.0
    holes = rng.random((n, len(scenario.masked))) < 0.3
    if len(scenario.masked) > 1 and set(scenario.masked) == set(scenario.spec.model.columns):
        holes[holes.all(axis=1), -1] = False
    for j, column in enumerate(scenario.masked):
        frame.loc[holes[:, j], column] = np.nan
    return frame
