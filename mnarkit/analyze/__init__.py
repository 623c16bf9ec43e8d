"""One analysis on every completed table, and whether it is congenial."""

from mnarkit.analyze.analyze import Analysis, analyze
from mnarkit.analyze.by_pattern import PatternAverage, average_patterns, pattern_average
from mnarkit.analyze.congenial import uncongenial
from mnarkit.analyze.cross_validated import cross_validated
from mnarkit.analyze.logistic import Logistic
from mnarkit.analyze.predict import predict
from mnarkit.estimates import Estimates

__all__ = [
    "Analysis",
    "Estimates",
    "Logistic",
    "PatternAverage",
    "analyze",
    "average_patterns",
    "cross_validated",
    "pattern_average",
    "predict",
    "uncongenial",
]
