"""build: a spec on a table as a plain PyMC model with named dims."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor

from mnarkit.build.blocks import add_amount, add_correlation, add_data_model, add_indicator
from mnarkit.build.ops import ExtendedNormal
from mnarkit.data import IncompleteData
from mnarkit.normal.layout import KernelData, Layout, Scaling, designs_of, kernel_data, lay_out, standardise
from mnarkit.normal.likelihood import pack
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.spec.check import check
from mnarkit.spec.spec import Spec

__all__ = ["Built", "build", "build_parts"]

pt: Any = pytensor.tensor  # untyped: PyTensor annotates its results as variables without arithmetic


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A PyMC model with what it was made from, in the columns' own units and standardised."""

    model: pm.Model
    layout: Layout
    standard: Layout
    scaling: Scaling
    rows: KernelData


def build(spec: Spec, df: object) -> pm.Model:
    """Log f(y_seen, r | θ) + log prior, the unseen values integrated out, as a plain PyMC model.

    Free variables end in `_z` and live on standardised columns; `coef` (column_name, term), `sd` (column_name), `corr`
    (column_name, column_name_2), `missing_y` or `recorded_y` (with dim `missing_y_term` …), `rho_y`, and `shift_y` are
    in the columns' own units. All data are `pm.Data`. The model can be extended and handed to
    `mk.sample(..., model=model)`.

    Parameters
    ----------
    spec : Spec
        Data model and beliefs.
    df : DataFrame
        The table.

    Returns
    -------
    pymc.Model
        Its likelihood is one `pm.Potential`, compiled by Numba (no JAX, no GPU); prior predictive sampling ignores it.

    Raises
    ------
    SpecError, DataError
        The spec does not fit the table.

    Examples
    --------
    >>> import mnarkit as mk
    >>> wages = mk.load_dataset("wages")
    >>> model = mk.build(mk.Spec(mk.Regression("lwage ~ educ"), mk.Selection("missing(lwage) ~ lwage + age")), wages)
    >>> [v.name for v in model.free_RVs]
    ['coef_z', 'sd_z', 'missing_lwage_z']
    """
    return build_parts(spec, IncompleteData.of(df)).model


def build_parts(spec: Spec, data: IncompleteData) -> Built:
    """Build the model, and keep the layouts behind it."""
    check(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    standard, scaling = standardise(layout)
    rows = kernel_data(standard)
    with pm.Model(coords=_coords(layout)) as model:
        coef, cov = add_data_model(spec.model, standard, scaling)
        numbered = list(enumerate(zip(spec.selections, standard.indicators, strict=True)))
        betas = [add_indicator(b, i, scaling, k) for k, (b, i) in numbered]
        rhos = [add_correlation(b, b.columns[0]) for b in spec.selections]
        amounts = {a.name: add_amount(a) for a in standard.amounts}
        inside = [amounts[a.name] for a in standard.model_amounts]
        arguments = kernel_parameters(Parameters(coef, cov, [z for z, _ in betas], rhos, inside), standard, rows, pt)
        reals, whole = pack(rows.arrays)
        outputs: Any = ExtendedNormal(rows.together)(*arguments, pm.Data("table", reals), pm.Data("patterns", whole))
        pm.Potential("loglik", outputs[0])
        _in_own_units(coef, cov, layout, scaling)
        for k, (_, indicator) in numbered:
            pm.Deterministic(indicator.name, betas[k][1], dims=(f"{indicator.name}_term",))
    return Built(model, layout, standard, scaling, rows)


def _coords(layout: Layout) -> dict[str, list[str]]:
    coords = {"column_name": list(layout.columns), "term": list(layout.terms)}
    if len(layout.columns) > 1:
        coords["column_name_2"] = list(layout.columns)
    return coords | {f"{i.name}_term": list(i.terms) for i in layout.indicators}


def _in_own_units(coef: Any, cov: Any, layout: Layout, scaling: Scaling) -> None:
    scale: Any = pm.Data("y_scale", scaling.scale)
    back: Any = pm.Data("x_map", scaling.x_map)
    origin = pm.Data("y_origin", np.where(np.array(layout.terms) == "Intercept", scaling.center[:, None], 0.0))
    pm.Deterministic("coef", scale[:, None] * coef @ back.T + origin, dims=("column_name", "term"))
    sd = pt.sqrt(pt.diag(cov)) if len(layout.columns) > 1 else pt.sqrt(cov[:, 0])
    pm.Deterministic("sd", scale * sd, dims=("column_name",))
    if len(layout.columns) > 1:
        pm.Deterministic("corr", cov / (sd[:, None] * sd[None, :]), dims=("column_name", "column_name_2"))
