"""Names of the dims of posterior draws."""

from mnarkit.normal.layout import Layout

__all__ = ["coords_of"]


def coords_of(layout: Layout) -> dict[str, list[str]]:
    """Labels of every dim that a parameter of this layout can have."""
    coords = {"column_name": list(layout.columns), "term": list(layout.terms)}
    if len(layout.columns) > 1:
        coords["column_name_2"] = list(layout.columns)
    coords |= {} if layout.arms is None else {"arm": list(layout.arms.labels)}
    structure = layout.structure
    if structure is not None:
        coords |= {"curve": list(structure.curve), "curve_2": list(structure.curve)} if structure.curve else {}
        coords |= {} if structure.by_wave else {"common_sd": ["all"]}
        coords |= {"lag": [str(k + 1) for k in range(structure.n_shape)]} if structure.basis is None else {}
    return coords | {f"{i.name}_term": list(i.terms) for i in layout.indicators}
