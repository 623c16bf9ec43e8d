"""One analysis on every completed table, and whether it is congenial."""

from mnarkit.analyze.analyze import Analysis, analyze
from mnarkit.analyze.congenial import uncongenial
from mnarkit.analyze.cross_validated import cross_validated
from mnarkit.analyze.logistic import Logistic
from mnarkit.analyze.predict import predict
from mnarkit.estimates import Estimates

__all__ = ["Analysis", "Estimates", "Logistic", "analyze", "cross_validated", "predict", "uncongenial"]
