"""build: a spec on a table as a plain PyMC model with named dims."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor

from mnarkit.build.blocks import add_amounts, add_correlation, add_data_model, add_indicator, add_structure
from mnarkit.build.factored import build_factored
from mnarkit.build.ops import ExtendedNormal
from mnarkit.data import IncompleteData
from mnarkit.errors import SpecError
from mnarkit.normal.coords import coords_of
from mnarkit.normal.joint import deviations
from mnarkit.normal.layout import KernelData, Layout, designs_of, kernel_data, lay_out
from mnarkit.normal.likelihood import pack
from mnarkit.normal.parameters import Parameters, kernel_parameters
from mnarkit.normal.scaling import Scaling, standardise
from mnarkit.normal.structure import from_partial
from mnarkit.spec.check import check
from mnarkit.spec.engine import engine_of
from mnarkit.spec.events import fitted_table
from mnarkit.spec.spec import Spec, require_spec

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
    `mk.sample(..., model=model)`. `mk.plan(spec, df)` says which unseen values it has and which are integrated out.

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
    require_spec(spec)
    data = IncompleteData.of(df)
    if engine_of(spec, data).name == "factored":
        return build_factored(spec, data).model
    if spec.restriction is not None:
        raise SpecError(f"{spec.restriction} is drawn exactly by mk.sample(spec, df), without a PyMC model")
    return build_parts(spec, data).model


def build_parts(spec: Spec, data: IncompleteData) -> Built:
    """Build the model, and keep the layouts behind it."""
    check(spec, data)
    data = fitted_table(spec, data)
    layout = lay_out(spec, data, designs_of(spec, data))
    standard, scaling = standardise(layout)
    rows = kernel_data(standard)
    with pm.Model(coords=coords_of(layout)) as model:
        coef, cov, random = _data_model(spec, standard, scaling)
        numbered = list(enumerate(zip(spec.selections, standard.indicators, strict=True)))
        betas = [add_indicator(b, i, scaling, k, random) for k, (b, i) in numbered]
        rhos = [add_correlation(b, b.columns[0]) for b in spec.selections]
        amounts = add_amounts(standard.amounts)
        inside = [amounts[a.name] for a in standard.model_amounts]
        named = Parameters(coef, cov, [z for z, _ in betas], rhos, inside, random)
        arguments = kernel_parameters(named, standard, rows, pt)
        reals, whole = pack(rows.arrays)
        kernel = ExtendedNormal("together" if rows.together else "plain")
        outputs: Any = kernel(*arguments, pm.Data("table", reals), pm.Data("patterns", whole))
        pm.Potential("loglik", outputs[0])
        if rows.crowd is not None:
            _add_sampled_rows(arguments, rows.crowd)
        _in_own_units(coef, cov, layout, scaling)
        for k, (_, indicator) in numbered:
            pm.Deterministic(indicator.name, betas[k][1], dims=(f"{indicator.name}_term",))
    return Built(model, layout, standard, scaling, rows)


def _add_sampled_rows(arguments: tuple[Any, ...], crowd: tuple[np.ndarray, ...]) -> None:
    """`unseen_z`, deviations of the unseen values of rows with too many correlated propensities, and their signs."""
    sampled = pm.Normal("unseen_z", 0, 1, shape=deviations(crowd))
    reals, whole = pack(crowd)
    outputs: Any = ExtendedNormal("crowded")(
        *arguments, sampled, pm.Data("sampled_table", reals), pm.Data("sampled_patterns", whole)
    )
    pm.Potential("sampled_loglik", outputs[0])


def _data_model(spec: Spec, standard: Layout, scaling: Scaling) -> tuple[Any, Any, Any]:
    """Coefficients, covariance, and the covariance of the random terms of a growth curve."""
    structure = standard.structure
    if structure is None:
        return *add_data_model(spec.model, standard, scaling), None
    pieces, coef, cov = add_structure(structure, spec.model, standard, scaling)
    intercept = np.array([t == "Intercept" for t in standard.terms])
    scale: Any = pm.Data("structure_scale", scaling.scale[0])
    back: Any = pm.Data("structure_x_map", scaling.x_map)
    if structure.basis is None:
        shape = pieces.shape
        if structure.kind.startswith("TOEP"):
            shape = pt.stack(from_partial(shape.T, structure.p)[1:]).T
        pm.Deterministic("lag_corr", shape, dims=("lag",) if standard.arms is None else ("arm", "lag"))
        return coef, cov, None
    onto: Any = structure.back
    first = np.zeros((len(structure.curve), len(intercept)))
    first[0] = np.where(intercept, scaling.center[0], 0.0)
    mean = scale * pt.dot(pt.dot(onto, pieces.mean), back.T) + pm.Data("structure_origin", first)
    random = structure.random(pieces, pt)
    spread = scale**2 * random
    sd = pt.sqrt(pt.diag(spread))
    pm.Deterministic("growth", mean, dims=("curve", "term"))
    pm.Deterministic("random_sd", sd, dims=("curve",))
    if len(structure.curve) > 1:
        pm.Deterministic("random_corr", spread / (sd[:, None] * sd[None, :]), dims=("curve", "curve_2"))
    pm.Deterministic("residual_sd", scale * pieces.sd, dims=("column_name" if structure.by_wave else "common_sd",))
    return coef, cov, random


def _in_own_units(coef: Any, cov: Any, layout: Layout, scaling: Scaling) -> None:
    scale: Any = pm.Data("y_scale", scaling.scale)
    back: Any = pm.Data("x_map", scaling.x_map)
    origin = pm.Data("y_origin", np.where(np.array(layout.terms) == "Intercept", scaling.center[:, None], 0.0))
    pm.Deterministic("coef", scale[:, None] * coef @ back.T + origin, dims=("column_name", "term"))
    arms = () if layout.arms is None else ("arm",)
    p = len(layout.columns)
    sd = pt.sqrt(cov[..., np.arange(p), np.arange(p)]) if p > 1 else pt.sqrt(cov[..., 0])
    pm.Deterministic("sd", scale * sd, dims=(*arms, "column_name"))
    if p > 1:
        corr = cov / (sd[..., :, None] * sd[..., None, :])
        pm.Deterministic("corr", corr, dims=(*arms, "column_name", "column_name_2"))
