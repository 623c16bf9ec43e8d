"""What the factored engine does with the unseen cells of each column, and why, in words."""

from mnarkit.factored.layout import Layout
from mnarkit.factored.random_terms import INTEGRATED, RandomTerms

__all__ = ["strategy"]


def strategy(layout: Layout, because: str) -> str:
    """Say in a sentence what became of every column's holes."""
    said = [part for j in range(len(layout.coded)) for part in _of_column(layout, j)] or ["nothing is unseen"]
    said += [_of_random_terms(f.random) for f in layout.factors if f.random is not None]
    return f"factored ({because}): {'; '.join(said)}"


def _of_random_terms(random: RandomTerms) -> str:
    groups = f"{random.known} levels of {random.bar.group}"
    left = len(random.labels) - random.known
    rest = f", those of {left} levels without a value from the population afterwards" if left else ""
    if random.marginal:
        how = "integrated out, being normal and linear, and drawn given each draw of the parameters"
    elif random.shared:
        how = "sampled beside the parameters, as the model of the holes reads them"
    elif random.family in INTEGRATED:
        how = "sampled beside the parameters, as unseen values in its predictors are summed over"
    else:
        how = "sampled beside the parameters, not centered, having no closed form"
    return f"random effects {random.bar} of {random.name} {how} ({groups}){rest}"


def _of_column(layout: Layout, j: int) -> list[str]:
    one, roles = layout.coded[j], layout.roles
    leaf, summed, latent = (int(r[:, j].sum()) for r in (roles.leaf, roles.summed, roles.latent))
    found = []
    if summed:
        count = one.family.support == "counts"
        over = f"the counts 0 to {one.bounds[1]:.0f}" if count else f"its {len(one.levels or ())} levels"
        found.append(f"{one.column} summed over {over} ({summed} cells)")
    if latent:
        found.append(
            f"{one.column} sampled beside the parameters, being continuous and read elsewhere ({latent} cells)"
        )
    if leaf:
        found.append(f"{one.column} read by nothing else, drawn afterwards ({leaf} cells)")
    return found
