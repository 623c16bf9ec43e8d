from . import errors
from .analyze import (
    Estimates,
    Logistic,
    PatternAverage,
    analyze,
    average_patterns,
    cross_validated,
    pattern_average,
    predict,
)
from .build import build
from .compare import Comparison, compare
from .data import IncompleteData
from .datasets import load_dataset
from .diagnose import Diagnosis, diagnose, loo
from .elicit import Elicited, elicit
from .em import EMFit, InverseWishart, Jeffreys, Ridge, em
from .explore import Exploration, explore
from .fit import Fit, load_fit
from .impute import Completed, Imputations, impute, read_imputations
from .mixed import Mixed, mix_posteriors
from .normal.translate import Translation, selection_of_shift, shift_of_selection
from .plan import Plan, plan
from .pool import Pooled, PooledTest, pool, pool_test
from .priors import Prior
from .report import report
from .reshape import to_long, to_wide
from .sample import sample
from .sensitivity import Grid, LocalSensitivity, Sensitivity, TippingPoint, isni, sensitivity, tipping_point
from .simulate import simulate
from .spec.data_models import Growth, MvNormal, Regression, Regressions
from .spec.dropout import Dropout
from .spec.files import read_spec
from .spec.limits import Limits
from .spec.missingness import MAR, Heckman, Selection
from .spec.odds_ratio import OddsRatio
from .spec.pattern_mixture import PatternMixture, Scale, Shift
from .spec.reference import Reference
from .spec.restriction import Restriction
from .spec.shared import SharedParameter
from .spec.spec import Spec
from .strategies import register_strategy
from .variances import Variances, variances

__version__: str

__all__ = [
    "MAR",
    "Comparison",
    "Completed",
    "Diagnosis",
    "Dropout",
    "EMFit",
    "Elicited",
    "Estimates",
    "Exploration",
    "Fit",
    "Grid",
    "Growth",
    "Heckman",
    "Imputations",
    "IncompleteData",
    "InverseWishart",
    "Jeffreys",
    "Limits",
    "LocalSensitivity",
    "Logistic",
    "Mixed",
    "MvNormal",
    "OddsRatio",
    "PatternAverage",
    "PatternMixture",
    "Plan",
    "Pooled",
    "PooledTest",
    "Prior",
    "Reference",
    "Regression",
    "Regressions",
    "Restriction",
    "Ridge",
    "Scale",
    "Selection",
    "Sensitivity",
    "SharedParameter",
    "Shift",
    "Spec",
    "TippingPoint",
    "Translation",
    "Variances",
    "analyze",
    "average_patterns",
    "build",
    "compare",
    "cross_validated",
    "diagnose",
    "elicit",
    "em",
    "errors",
    "explore",
    "impute",
    "isni",
    "load_dataset",
    "load_fit",
    "loo",
    "mix_posteriors",
    "pattern_average",
    "plan",
    "pool",
    "pool_test",
    "predict",
    "read_imputations",
    "read_spec",
    "register_strategy",
    "report",
    "sample",
    "selection_of_shift",
    "sensitivity",
    "shift_of_selection",
    "simulate",
    "tipping_point",
    "to_long",
    "to_wide",
    "variances",
]
