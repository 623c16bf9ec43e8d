from . import errors
from .analyze import Estimates, Logistic, analyze, cross_validated, predict
from .build import build
from .compare import Comparison, compare
from .data import IncompleteData
from .datasets import load_dataset
from .diagnose import Diagnosis, diagnose, loo
from .em import EMFit, InverseWishart, Jeffreys, Ridge, em
from .explore import Exploration, explore
from .fit import Fit, load_fit
from .impute import Completed, Imputations, impute, read_imputations
from .mixed import Mixed, mix_posteriors
from .pool import Pooled, PooledTest, pool, pool_test
from .priors import Prior
from .report import report
from .reshape import to_long, to_wide
from .sample import sample
from .sensitivity import Grid, Sensitivity, TippingPoint, sensitivity, tipping_point
from .spec.data_models import Growth, MvNormal, Regression
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
    "Logistic",
    "Mixed",
    "MvNormal",
    "OddsRatio",
    "PatternMixture",
    "Pooled",
    "PooledTest",
    "Prior",
    "Reference",
    "Regression",
    "Restriction",
    "Ridge",
    "Scale",
    "Selection",
    "Sensitivity",
    "SharedParameter",
    "Shift",
    "Spec",
    "TippingPoint",
    "Variances",
    "analyze",
    "build",
    "compare",
    "cross_validated",
    "diagnose",
    "em",
    "errors",
    "explore",
    "impute",
    "load_dataset",
    "load_fit",
    "loo",
    "mix_posteriors",
    "pool",
    "pool_test",
    "predict",
    "read_imputations",
    "read_spec",
    "register_strategy",
    "report",
    "sample",
    "sensitivity",
    "tipping_point",
    "to_long",
    "to_wide",
    "variances",
]
