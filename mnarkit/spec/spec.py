"""A spec: one data model, the beliefs about its holes, and the reason in words."""

from dataclasses import dataclass

from mnarkit.errors import SpecError
from mnarkit.formula import parse
from mnarkit.spec.check_shared import shared_model
from mnarkit.spec.data_models import DataModel, Growth, MvNormal, Regression, Regressions
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.encode import to_json, to_yaml
from mnarkit.spec.indicator_order import check_indicator_order
from mnarkit.spec.limits import Limits
from mnarkit.spec.missingness import MAR, Heckman, Missingness, Selection
from mnarkit.spec.pattern_mixture import Component, PatternMixture
from mnarkit.spec.reference import Reference
from mnarkit.spec.restriction import Restriction
from mnarkit.spec.shared import SharedParameter

__all__ = ["Spec", "require_spec"]

_BELIEFS = (MAR, Selection, Heckman, Dropout, SharedParameter, PatternMixture, Reference, Limits)
_OF_INDICATORS = (Selection, Heckman, Dropout, SharedParameter)


@dataclass(frozen=True, slots=True, init=False)
class Spec:
    """A data model and one or several beliefs about why its values are missing.

    Parameters
    ----------
    model : Regression, Regressions, MvNormal or Growth
        The data model.
    *missingness : MAR, Selection, Heckman, Dropout, SharedParameter, PatternMixture, Reference or Limits
        The beliefs, at most one selection model a column; none is MAR. Holes that no belief names are taken as
        ignorable given the values seen and the other indicators. Limits are data, and stay under every belief.
    because : str
        The reason, in words; it goes into the audit record.

    Raises
    ------
    SpecError
        Something else than a data model or a belief, two selection models of one column, or a column not in the model.

    Examples
    --------
    >>> import mnarkit as mk
    >>> spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y"), because="high values are withheld")
    >>> spec.mar() == mk.Spec(mk.Regression("y ~ x"))
    True
    """

    model: DataModel
    missingness: tuple[Missingness, ...]
    because: str = ""

    def __init__(self, model: DataModel, *missingness: Missingness, because: str = "") -> None:
        if not isinstance(model, (Regression, Regressions, MvNormal, Growth)):
            raise SpecError(
                "a spec starts with a data model, Regression(...), Regressions(...), MvNormal(...) or Growth(...), not "
                f"{model!r}"
            )
        wrong = [b for b in missingness if not isinstance(b, _BELIEFS)]
        if wrong:
            raise SpecError(
                "a belief is MAR, Selection, Heckman, Dropout, SharedParameter, PatternMixture, Reference or Limits, "
                f"not {wrong[0]!r}"
            )
        if not isinstance(because, str):
            raise SpecError(f"because= is a reason in words, not {because!r}")
        beliefs = tuple(_with_waves(model, b) for b in missingness) or (MAR(),)
        _one_selection_each(beliefs)
        check_indicator_order(beliefs)
        _modelled_columns(model, beliefs)
        _one_reference(beliefs)
        _one_restriction(model, beliefs)
        _shared_alone(beliefs)
        _random_terms(model, beliefs)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "missingness", tuple(beliefs))
        object.__setattr__(self, "because", because)

    @property
    def is_mar(self) -> bool:
        """Whether no belief departs from MAR; limits are data."""
        return all(isinstance(b, (MAR, Limits)) for b in self.missingness)

    @property
    def selections(self) -> tuple[Selection | Heckman | Dropout | SharedParameter, ...]:
        """The beliefs with a model of an indicator, in order."""
        return tuple(b for b in self.missingness if isinstance(b, _OF_INDICATORS))

    @property
    def pattern_mixtures(self) -> tuple[PatternMixture, ...]:
        """The beliefs with declared amounts, in order."""
        return tuple(b for b in self.missingness if isinstance(b, PatternMixture))

    @property
    def dropout(self) -> Dropout | None:
        """The dropout model, if there is one."""
        return next((b for b in self.missingness if isinstance(b, Dropout)), None)

    @property
    def limits(self) -> tuple[Limits, ...]:
        """What is known of holes, in order."""
        return tuple(b for b in self.missingness if isinstance(b, Limits))

    @property
    def amounts(self) -> tuple[Component, ...]:
        """The declared amounts of all pattern mixtures, in order."""
        return tuple(c for belief in self.pattern_mixtures for c in belief.amounts)

    @property
    def restriction(self) -> Restriction | None:
        """The identifying restriction, if there is one."""
        return next((b.restriction for b in self.pattern_mixtures if b.restriction is not None), None)

    @property
    def reference(self) -> Reference | None:
        """The reference-based belief, if there is one."""
        return next((b for b in self.missingness if isinstance(b, Reference)), None)

    def under(self, *missingness: Missingness, because: str = "") -> "Spec":
        """Keep the data model and its limits, which are data, and take other beliefs; new limits take their place."""
        limits = () if any(isinstance(b, Limits) for b in missingness) else self.limits
        return Spec(self.model, *missingness, *limits, because=because)

    def mar(self) -> "Spec":
        """Give the MAR counterpart: the same data model and limits, ignorable holes."""
        return Spec(self.model, *self.limits)

    def to_yaml(self) -> str:
        """Say the spec as YAML text, which `read_spec` reads back exactly."""
        return to_yaml(self)

    def to_json(self) -> str:
        """Say the spec as JSON text, which `read_spec` reads back exactly."""
        return to_json(self)

    def __str__(self) -> str:
        lines = [f"Data model    {self.model}"]
        for belief in self.missingness:
            title = "Known" if isinstance(belief, Limits) else "Missingness"
            lines += [f"{title:13} {belief}", f"  untestable  {belief.assumption}"]
            lines += [f"  because     {belief.because}"] if belief.because else []
        named = {c for b in self.missingness if not isinstance(b, Limits) for c in b.columns}
        free = [c for c in self.model.columns if c not in named]
        if any(isinstance(b, Dropout) or _of_leaving(b) for b in self.missingness):
            free = [*free, "any wave before leaving"] if free else ["any wave before leaving"]
        if free and not self.is_mar and self.reference is None and self.restriction is None:
            lines.append(f"Ignorable     holes in {', '.join(free)}: given the values seen and the other indicators")
        lines += [f"Because       {self.because}"] if self.because else []
        return "\n".join(lines)


def require_spec(given: object) -> None:
    """Refuse what is no spec, and show the one that was probably meant.

    Raises
    ------
    SpecError
        A formula, a data model, or anything else.
    """
    if isinstance(given, Spec):
        return
    match given:
        case Regression(formula=formula):
            model = f'mk.Regression("{formula}")'
        case Regressions():
            model = "mk.Regressions(...)"
        case str(text) if "~" in text:
            model = f'mk.Regression("{text.strip()}")'
        case MvNormal():
            names = ", ".join(f'"{c}"' for c in given.columns)
            model = f"mk.MvNormal({names}{f', given="{given.given}"' if given.given != '1' else ''})"
        case _:
            model = 'mk.Regression("y ~ x")'
    shown = repr(given)
    raise SpecError(
        f"a spec is needed, not {shown if len(shown) <= 60 else type(given).__name__}; wrap the data model: "
        f"mk.Spec({model})"
    )


def _one_selection_each(beliefs: tuple[Missingness, ...]) -> None:
    dropouts = [b for b in beliefs if isinstance(b, Dropout)]
    if len(dropouts) > 1:
        raise SpecError(f"{len(dropouts)} dropout models stand in one spec; it can have one")
    # a selection model of a wave beside a dropout model is of its holes before leaving
    columns = [c for b in beliefs if isinstance(b, _OF_INDICATORS) and b not in dropouts for c in b.columns]
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise SpecError(f"{twice[0]!r} has {columns.count(twice[0])} models of its holes; a column can have one")
    if any(isinstance(b, MAR) for b in beliefs) and sum(not isinstance(b, Limits) for b in beliefs) > 1:
        raise SpecError(
            "MAR() stands beside another belief; columns that no belief names are ignorable anyway, leave MAR() out"
        )


def _with_waves(model: DataModel, belief: Missingness) -> Missingness:
    """Name the waves of a shared-parameter model that takes all of its growth model."""
    return shared_model(model, belief) if isinstance(belief, SharedParameter) else belief


def _of_leaving(belief: Missingness) -> bool:
    return isinstance(belief, SharedParameter) and belief.of == "dropout"


def _shared_alone(beliefs: tuple[Missingness, ...]) -> None:
    shared = [b for b in beliefs if isinstance(b, SharedParameter)]
    inside = [c for b in beliefs if isinstance(b, PatternMixture) for c in b.amounts if c.of == "model"]
    known = [b for b in beliefs if isinstance(b, (*_OF_INDICATORS, Limits)) and b not in shared]
    others = [*known, *inside, *shared[1:]]
    if shared and others:
        raise SpecError(
            f"{others[0]} and {shared[0]} stand in one spec: their indicators are correlated by random terms and "
            "unseen values at once, which is not supported; give them as two specs, or an amount with of='prediction'"
        )


def _random_terms(model: DataModel, beliefs: tuple[Missingness, ...]) -> None:
    bars = [(b, parse(b.formula).bar) for b in beliefs if isinstance(b, Selection)]
    found = [(b, bar) for b, bar in bars if bar is not None]
    if found and not isinstance(model, (Regression, Regressions)):
        raise SpecError(
            f"{found[0][0]} has random terms {found[0][1]}, for tables with several rows a level, and "
            f"{type(model).__name__} has a row a unit; take Regression(...) or Regressions(...) as the data model"
        )


def _one_reference(beliefs: tuple[Missingness, ...]) -> None:
    references = [b for b in beliefs if isinstance(b, Reference)]
    if not references:
        return
    if len(references) > 1:
        raise SpecError(f"{len(references)} reference-based beliefs stand in one spec; use by_subject= for several")
    inside = [c for b in beliefs if isinstance(b, PatternMixture) for c in b.amounts if c.of == "model"]
    other = [b for b in beliefs if isinstance(b, _OF_INDICATORS)]
    limits = [b for b in beliefs if isinstance(b, Limits)]
    if limits:
        raise SpecError(
            f"{references[0]} imputes from the values before an event, and {limits[0]} is not one; give them as two "
            "specs"
        )
    if inside or other:
        raise SpecError(
            f"{references[0]} is fitted under MAR, and {(*other, *inside)[0]} is not; give them as two specs, or the "
            "amount with of='prediction'"
        )


def _one_restriction(model: DataModel, beliefs: tuple[Missingness, ...]) -> None:
    """A restriction has the fit to itself; amounts may be added to what it predicts."""
    mixtures = [b for b in beliefs if isinstance(b, PatternMixture)]
    restrictions = [b.restriction for b in mixtures if b.restriction is not None]
    if not restrictions:
        return
    if len(restrictions) > 1:
        raise SpecError(f"{len(restrictions)} restrictions stand in one spec; keep one")
    other = [b for b in beliefs if not isinstance(b, PatternMixture)]
    other += [c for b in mixtures for c in b.amounts if c.of == "model"]
    if other:
        raise SpecError(
            f"{restrictions[0]} says where every wave's distribution is taken from, and {other[0]} says it otherwise; "
            "keep one, or give amounts with of='prediction'"
        )
    if not isinstance(model, MvNormal) or model.covariance != "UN" or model.by is not None or model.priors:
        raise SpecError(
            f"{restrictions[0]} takes each wave's regression from its own donors, so the data model is MvNormal of the "
            "waves in their order, with covariance='UN' and without priors= or by="
        )


def _amounts(belief: Missingness) -> tuple[Component, ...]:
    return belief.amounts if isinstance(belief, PatternMixture) else ()


def _modelled_columns(model: DataModel, beliefs: tuple[Missingness, ...]) -> None:
    for belief in beliefs:
        predictors = [p for c in _amounts(belief) for p in c.predictors]
        for column in (*belief.columns, *predictors):
            if column not in model.columns:
                raise SpecError(
                    f"{belief} speaks of {column!r}, which the data model does not model; its modelled columns are "
                    f"{', '.join(map(repr, model.columns))}"
                )
