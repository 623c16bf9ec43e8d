"""What the factored engine does with the unseen cells of each column, and why, in words."""

from mnarkit.factored.layout import Layout
from mnarkit.factored.random_terms import INTEGRATED, RandomTerms
from mnarkit.spec.engine import Block

__all__ = ["blocks_of"]


def blocks_of(layout: Layout) -> tuple[Block, ...]:
    """Say what becomes of every column's holes, and of random effects."""
    cells = [part for j in range(len(layout.coded)) for part in _of_column(layout, j)]
    return (*cells, *(_of_random_terms(f.random) for f in layout.factors if f.random is not None))


def _of_random_terms(random: RandomTerms) -> Block:
    groups = f"{random.known} levels of {random.bar.group}"
    left = len(random.labels) - random.known
    rest = f", those of {left} levels without a value from the population afterwards" if left else ""
    if random.marginal:
        how = "integrated out, being normal and linear, and drawn given each draw of the parameters"
    elif random.shared:
        how = "sampled beside the parameters, as the model of the holes reads them"
    elif random.family in INTEGRATED:
        how = "sampled beside the parameters, as unseen values that it reads are summed over"
    else:
        how = "sampled beside the parameters, not centered, having no closed form"
    name = f"random effects {random.bar} of {random.name}"
    return Block(name, "marginal" if random.marginal else "latent", f"{how} ({groups}){rest}")


def _of_column(layout: Layout, j: int) -> list[Block]:
    one, roles = layout.coded[j], layout.roles
    found, grid, axis = [], layout.grids[j], layout.designs.axes[j]
    leaf, summed, latent = (int(r[:, j].sum()) for r in (roles.leaf, roles.summed & ~roles.pointwise, roles.latent))
    if grid is not None and axis is not None:
        split = f", split at {', '.join(f'{b:.4g}' for b in axis.breaks)}" if axis.breaks else ""
        how = f"integrated over {grid.values.shape[1]} fixed points a row{split}"
        found.append(Block(one.column, "marginal", how, len(grid.rows)))
    if summed:
        count = one.family.support == "counts"
        over = f"the counts 0 to {one.bounds[1]:.0f}" if count else f"its {len(one.levels or ())} levels"
        found.append(Block(one.column, "marginal", f"summed over {over}", summed))
    if latent:
        how = "sampled beside the parameters, being continuous and read elsewhere"
        found.append(Block(one.column, "latent", how, latent))
    if leaf:
        how = "left out, being read by nothing else that is known, and drawn afterwards"
        found.append(Block(one.column, "marginal", how, leaf))
    return found
