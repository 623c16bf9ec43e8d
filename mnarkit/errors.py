"""Errors say what was given, what is allowed, and the fix; warnings say what a result rests on."""

__all__ = [
    "CongenialityWarning",
    "ConvergenceError",
    "ConvergenceWarning",
    "DataError",
    "FormulaError",
    "IdentificationWarning",
    "MnarkitError",
    "MnarkitWarning",
    "SpecError",
]


class MnarkitError(Exception):
    """Whatever mnarkit refuses; its message is one line, and the command line exits with 2."""


class DataError(MnarkitError, ValueError):
    """The table cannot be used as it is."""


class SpecError(MnarkitError, ValueError):
    """A specification that is malformed, or that does not fit the table."""


class FormulaError(SpecError):
    """A formula that cannot be read, or that asks for more than the closed list allows."""


class ConvergenceError(MnarkitError, RuntimeError):
    """An algorithm that could not produce a result worth returning."""


class MnarkitWarning(UserWarning):
    """Whatever mnarkit wants to be read before a result is used."""


class ConvergenceWarning(MnarkitWarning):
    """A sampler or an optimiser that did not settle."""


class IdentificationWarning(MnarkitWarning):
    """What a result that the data alone cannot give is identified by."""


class CongenialityWarning(MnarkitWarning):
    """An analysis that asks for more than the imputation model contains."""
