"""Indicators that depend on other indicators: each on earlier ones, in some order."""

from collections.abc import Sequence

from mnarkit.errors import SpecError
from mnarkit.formula import parse
from mnarkit.spec.missingness import Heckman, Missingness, Selection

__all__ = ["check_indicator_order", "indicator_order"]


def indicator_order(beliefs: Sequence[Missingness]) -> tuple[str, ...]:
    """Order the columns whose holes have a model so that each stands after those whose holes its formula reads.

    Raises
    ------
    SpecError
        There is no such order.
    """
    reads = {b.columns[0]: _read(b) for b in beliefs if isinstance(b, (Selection, Heckman))}
    order: list[str] = []
    while len(order) < len(reads):
        free = [c for c, needs in reads.items() if c not in order and not (needs & reads.keys()) - {*order}]
        if not free:
            left = [c for c in reads if c not in order]
            raise SpecError(
                f"{', '.join(f'missing({c})' for c in left)} depend{'s' if len(left) == 1 else ''} on "
                f"{'itself' if len(left) == 1 else 'each other'}: an indicator depends on earlier ones, in some order; "
                "leave a term out"
            )
        order += free
    return tuple(order)


def check_indicator_order(beliefs: Sequence[Missingness]) -> None:
    """Refuse indicators that depend on each other in a circle.

    Raises
    ------
    SpecError
        Which.
    """
    indicator_order(beliefs)


def _read(belief: Selection | Heckman) -> frozenset[str]:
    return frozenset(c for term in parse(belief.formula).terms for c in term.holes)
