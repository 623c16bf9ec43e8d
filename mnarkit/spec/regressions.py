"""Regressions of one column each, of any family: alone, or one for every incomplete variable."""

from dataclasses import dataclass
from typing import Literal

from mnarkit.bars import Bar
from mnarkit.errors import FormulaError, SpecError
from mnarkit.families import FAMILIES, Family
from mnarkit.formula import Formula, parse
from mnarkit.priors import is_finite_number
from mnarkit.spec.model_priors import RANDOM_PRIORS, Priors, model_priors

__all__ = ["Regression", "Regressions", "read_formula"]

type FamilyName = Literal[
    "normal",
    "student_t",
    "skew_normal",
    "lognormal",
    "bernoulli",
    "ordinal",
    "categorical",
    "poisson",
    "negative_binomial",
    "gamma",
    "beta",
]
type Bounds = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Regression:
    """y_i given x_i follows a family whose linear predictor is x_i' β; by default y_i = x_i' β + ε_i, ε_i ~ N(0, σ²).

    Parameters
    ----------
    formula : str
        `"y ~ x1 + x2"`; the closed list of functions is in `mnarkit.formula`. Predictors with holes need a regression
        of their own: see `Regressions`. `"y ~ x + time + (1 + time | id)"`: random intercepts and slopes by the levels
        of a column, normal and correlated, for clusters and repeated measures in long tables.
    family : str
        With its one link: `normal`, `student_t`, `skew_normal` (identity, of the mean), `lognormal` (identity, of the
        logarithm), `bernoulli` (logit), `ordinal` (cumulative logit), `categorical` (softmax, against the first level),
        `poisson`, `negative_binomial`, `gamma` (log) or `beta` (logit).
    bounds : (low, high), optional
        `beta`: between which its values lie, (0, 1) by default. `poisson`, `negative_binomial`: (0, largest count
        that an unseen value is taken to have), by default far above the recorded ones.
    priors : mapping of str to Prior, optional
        For `coef` (all slopes), `intercept`, and what the family has besides: `sd`, `scale` and `df`, `skew`, `cv` or
        `spread`; `random_sd` and `random_corr` of random terms; the defaults are in the reference of models, on
        standardised columns.

    Raises
    ------
    FormulaError
        The formula cannot be read or has no response.
    SpecError
        An unknown family or prior, or bounds that it does not take.

    Examples
    --------
    >>> import mnarkit as mk
    >>> mk.Regression("lwage ~ educ + exper").columns
    ('lwage',)
    >>> print(mk.Regression("visits ~ age", family="poisson"))
    visits ~ age, Poisson, log link
    >>> print(mk.Regression("score ~ age + (1 | school)"))
    score ~ age + (1 | school), normal residuals
    """

    formula: str
    family: FamilyName = "normal"
    bounds: Bounds = None
    priors: Priors = None

    def __post_init__(self) -> None:
        parsed = read_formula(self.formula, "Regression")
        if parsed.kind != "value":
            raise FormulaError(f"Regression takes 'y ~ x', a column on the left, not {self.formula!r}")
        if parsed.response in parsed.columns:
            raise FormulaError(
                f"{parsed.response!r} stands on both sides of {self.formula!r}; leave it out on the right"
            )
        family = FAMILIES.get(self.family) if isinstance(self.family, str) else None
        if family is None:
            raise SpecError(f"the family {self.family!r} is not known; Regression has {', '.join(FAMILIES)}")
        if parsed.bar is not None and family.name == "categorical":
            raise FormulaError(
                f"categorical has a predictor for every level, and takes no random terms {parsed.bar}; take bernoulli "
                "or ordinal, or leave them out"
            )
        if family.name == "ordinal" and not any(t.name == "1" for t in parsed.terms):
            raise FormulaError(
                f"the cutpoints of an ordinal model stand for the intercept of {self.formula!r}; keep it"
            )
        names = ("coef", *(() if family.name == "ordinal" else ("intercept",)), *family.auxiliary)
        names += () if parsed.bar is None else RANDOM_PRIORS
        object.__setattr__(self, "formula", parsed.text)
        object.__setattr__(self, "bounds", _bounds(self.bounds, family))
        object.__setattr__(
            self, "priors", model_priors(self.priors, "Regression", names=tuple(n for n in names if n != "cutpoints"))
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns: the response alone."""
        return (str(parse(self.formula).response),)

    @property
    def predictors(self) -> Formula:
        """The right-hand side, without random terms."""
        return parse(self.formula).fixed

    @property
    def bar(self) -> Bar | None:
        """The random terms."""
        return parse(self.formula).bar

    @property
    def reads(self) -> frozenset[str]:
        """The columns on the right-hand side, those of random terms too."""
        return parse(self.formula).columns

    def __str__(self) -> str:
        bounds = "" if self.bounds is None else f", on {self.bounds[0]:g} to {self.bounds[1]:g}"
        return f"{self.formula}, {FAMILIES[self.family].says}{bounds}"


@dataclass(frozen=True, slots=True, init=False)
class Regressions:
    """f(y_1, …, y_p | x) = Π_j f(y_j | its predictors): a regression for every incomplete column, covariates included.

    An unseen value enters every term that reads its column, squares and interactions included, as one and the same
    value: the model of a covariate is compatible with the models of what it explains.

    Parameters
    ----------
    *regressions : Regression
        One or more, in any order, none explaining a column by which it is itself explained.

    Raises
    ------
    SpecError
        Something else than regressions, a column with two, or a cycle among them.

    References
    ----------
    Ibrahim, J., Lipsitz, S. & Chen, M.-H. (1999). Missing covariates in generalized linear models when the missing data
    mechanism is non-ignorable. JRSS B 61, 173-190, eq. 2.1.

    Examples
    --------
    >>> import mnarkit as mk
    >>> model = mk.Regressions(
    ...     mk.Regression("relapse ~ bmi + I(bmi**2) + smoker", family="bernoulli"),
    ...     mk.Regression("bmi ~ smoker + age"),
    ...     mk.Regression("smoker ~ age", family="bernoulli"),
    ... )
    >>> model.columns
    ('relapse', 'bmi', 'smoker')
    """

    regressions: tuple[Regression, ...]

    def __init__(self, *regressions: Regression) -> None:
        wrong = [r for r in regressions if not isinstance(r, Regression)]
        if wrong or not regressions:
            raise SpecError(f"Regressions takes one or more of Regression, not {wrong[0] if wrong else 'nothing'!r}")
        object.__setattr__(self, "regressions", tuple(regressions))
        twice = sorted({c for c in self.columns if self.columns.count(c) > 1})
        if twice:
            raise SpecError(f"{twice[0]!r} has {self.columns.count(twice[0])} regressions; a column can have one")
        cycle = _cycle({r.columns[0]: r.reads & set(self.columns) for r in regressions})
        if cycle:
            path = " <- ".join(map(repr, cycle))
            raise SpecError(
                f"the regressions explain columns by each other: {path}; take one of these predictors out, so that the "
                "columns can be drawn one after another"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns: the responses."""
        return tuple(r.columns[0] for r in self.regressions)

    @property
    def predictors(self) -> Formula:
        """The terms of all regressions together."""
        names = dict.fromkeys(term.name for r in self.regressions for term in r.predictors.terms)
        return parse(" + ".join(names) if "1" in names else " + ".join(["0", *names]))

    @property
    def ordered(self) -> tuple[Regression, ...]:
        """The regressions, every column after those by which it is explained."""
        done: list[Regression] = []
        left = list(self.regressions)
        while left:
            waiting = {r.columns[0] for r in left}
            done += [r for r in left if not r.reads & waiting]
            left = [r for r in left if r.reads & waiting]
        return tuple(done)

    def __str__(self) -> str:
        return "; ".join(map(str, self.regressions))


def read_formula(text: object, what: str) -> Formula:
    """Read a formula that was given as text.

    Raises
    ------
    FormulaError
        Not text, or not a formula.
    """
    if not isinstance(text, str):
        raise FormulaError(f"{what} takes a formula as text, not {text!r}")
    return parse(text)


def _bounds(given: object, family: Family) -> Bounds:
    if given is None:
        return None
    if family.support not in ("interval", "counts"):
        raise SpecError(f"the family {family.name!r} takes no bounds; those with bounds are beta and the counts")
    pair = tuple(given) if isinstance(given, (tuple, list)) else ()
    if len(pair) != 2 or not all(map(is_finite_number, pair)) or not pair[0] < pair[1]:
        raise SpecError(f"bounds= is a pair of numbers (low, high), low < high, not {given!r}")
    low, high = float(pair[0]), float(pair[1])
    if family.support == "counts" and (low != 0 or not high.is_integer()):
        raise SpecError(f"bounds= of counts is (0, the largest count that an unseen value has), not {given!r}")
    return low, high


def _cycle(reads: dict[str, frozenset[str]]) -> tuple[str, ...]:
    """Find columns that explain each other in a ring, the first named again at the end; none gives an empty tuple."""
    left = dict(reads)
    while True:
        free = [c for c, on in left.items() if not on & left.keys()]
        if not free:
            break
        left = {c: on for c, on in left.items() if c not in free}
    if not left:
        return ()
    path = [next(iter(left))]
    while path.count(path[-1]) < 2:
        path.append(min(left[path[-1]] & left.keys()))
    return tuple(path[path.index(path[-1]) :])
