from . import errors
from .analyze import Estimates, analyze, predict
from .build import build
from .data import IncompleteData
from .datasets import load_dataset
from .em import EMFit, InverseWishart, Jeffreys, Ridge, em
from .explore import Exploration, explore
from .fit import Fit, load_fit
from .impute import Completed, Imputations, impute, read_imputations
from .pool import Pooled, PooledTest, pool, pool_test
from .priors import Prior
from .sample import sample
from .spec.data_models import MvNormal, Regression
from .spec.files import read_spec
from .spec.missingness import MAR, Heckman, PatternMixture, Scale, Selection, Shift
from .spec.spec import Spec

__version__: str

__all__ = [
    "MAR",
    "Completed",
    "EMFit",
    "Estimates",
    "Exploration",
    "Fit",
    "Heckman",
    "Imputations",
    "IncompleteData",
    "InverseWishart",
    "Jeffreys",
    "MvNormal",
    "PatternMixture",
    "Pooled",
    "PooledTest",
    "Prior",
    "Regression",
    "Ridge",
    "Scale",
    "Selection",
    "Shift",
    "Spec",
    "analyze",
    "build",
    "em",
    "errors",
    "explore",
    "impute",
    "load_dataset",
    "load_fit",
    "pool",
    "pool_test",
    "predict",
    "read_imputations",
    "read_spec",
    "sample",
]
