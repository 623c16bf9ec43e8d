"""What told each parameter: prior, exclusion, or the shape of a distribution."""

from dataclasses import dataclass

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from mnarkit.diagnose.beliefs import Carrier, carriers, late_amounts
from mnarkit.diagnose.information import point_of, shape_share, standard_errors
from mnarkit.diagnose.prior_draws import log_prior_of, prior_of
from mnarkit.diagnose.replicate_normal import is_plain
from mnarkit.diagnose.scalars import scalars_of
from mnarkit.fit import Fit
from mnarkit.sample.target import Target
from mnarkit.spec.exclusions import exclusions_of
from mnarkit.spec.missingness import Heckman

__all__ = ["LABELS", "RELEVANT", "Identified", "Judged", "identify_normal", "labelled", "reads", "relevance", "widths"]

LABELS = (
    "learned given an exclusion",
    "learned through distributional shape",
    "mixed",
    "prior only",
    "learned from what is recorded",
)
_EXCLUSION, _SHAPE, _MIXED, _PRIOR, _RECORDED = LABELS
_UNMOVED = 0.1  # contraction below which the data have told nothing
_MOST = 0.5  # share of the information that an exclusion must give to be what told the parameter
_LITTLE = 0.2  # and below which it is shape alone
RELEVANT = 0.01  # level of the test that an excluded column moves what it is said to move
_TIED = 0.1  # share of a parameter's posterior variance that goes with one of the belief
_PRIOR_DRAWS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """What told each parameter.

    Attributes
    ----------
    table : DataFrame
        One row a parameter: `parameter mean sd prior_mean prior_sd contraction prior_sensitivity likelihood_sensitivity
        ml_std_error from_exclusion from_shape columns label through`. `contraction` is 1 - posterior / prior variance;
        the sensitivities are the change of the posterior per doubling of the power of prior or likelihood (above 0.05
        is notable); `ml_std_error` comes from the likelihood's information; `from_exclusion` and `from_shape` are
        shares of what is known, the rest is the prior's; `through` is the parameter of the belief that it goes with.
    prior : Dataset
        Draws from the prior, with the posterior's names and dims.
    weak : mapping of str to tuple of str
        By parameter, the declared exclusions that move nothing.
    """

    table: pd.DataFrame
    prior: xr.Dataset
    weak: dict[str, tuple[str, ...]]


def identify_normal(fit: Fit, *, seed: int) -> Identified | None:
    """Label every parameter of a fit of the extended normal; None for beliefs that are not plain.

    References
    ----------
    Kallioinen, N., Paananen, T., Bürkner, P.-C. & Vehtari, A. (2024). Detecting and diagnosing prior and likelihood
    sensitivity with power-scaling. Statistics and Computing 34, 57, section 2.
    """
    target = Target.of(fit.spec, fit.data) if is_plain(fit) else None
    if target is None:
        return None
    posterior = scalars_of(fit.draws["posterior"].to_dataset())
    prior = prior_of(target, _PRIOR_DRAWS, seed)
    before = scalars_of(prior)
    rows = [widths(name, draws, before[name]) for name, draws in posterior.items() if name in before]
    table = pd.DataFrame(rows)
    table = table.join(_sensitivities(fit, posterior, table["parameter"].tolist()))
    point = point_of(fit)
    errors = standard_errors(fit, point)
    table["ml_std_error"] = [errors.get(_ml_name(name), np.nan) for name in table["parameter"]]
    judged = Judged({}, {}, {})
    for carrier in carriers(fit.spec, fit.data):
        if carrier.name in posterior:
            _judge(fit, carrier, table, shape_share(fit, point, carrier), judged)
    for name, inside in late_amounts(fit.spec, fit.data).items():
        if name in posterior:
            judged.shares[name] = _amount(fit, table, name) if inside else (0.0, 0.0)
            judged.columns[name] = tuple(c for c in fit.spec.model.columns if c not in name) if inside else ()
    return Identified(labelled(table, posterior, judged), prior, judged.weak)


@dataclass(frozen=True, slots=True)
class Judged:
    """What told each parameter of the belief, as it is found."""

    shares: dict[str, tuple[float, float]]  # from exclusions, from shape
    columns: dict[str, tuple[str, ...]]
    weak: dict[str, tuple[str, ...]]


def widths(name: str, draws: np.ndarray, before: np.ndarray) -> dict[str, object]:
    """Posterior beside prior; spreads of the prior by its quartiles, which every prior has."""
    low, high = np.quantile(before, [0.25, 0.75])
    spread = (high - low) / 1.349
    return {
        "parameter": name,
        "mean": float(draws.mean()),
        "sd": float(draws.std()),
        "prior_mean": float(np.median(before)),
        "prior_sd": float(spread),
        "contraction": float(np.clip(1 - draws.var() / spread**2, 0.0, 1.0)) if spread > 0 else 0.0,
    }


def _sensitivities(fit: Fit, posterior: dict[str, np.ndarray], names: list[str]) -> pd.DataFrame:
    log_prior = log_prior_of(fit)
    if log_prior is None:
        return pd.DataFrame({f"{g}_sensitivity": np.full(len(names), np.nan) for g in ("prior", "likelihood")})
    loglik = fit.draws["log_likelihood"].to_dataset()["unit"].transpose("chain", "draw", "obs").values.sum(axis=2)
    dims = ("chain", "draw")
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({f"p{i}": (dims, posterior[name]) for i, name in enumerate(names)}),
            "log_prior": xr.Dataset({"total": (dims, log_prior)}),
            "log_likelihood": xr.Dataset({"total": (dims, loglik)}),
        }
    )
    made = {group: az.psense(tree, group=group) for group in ("prior", "likelihood")}
    each = {f"{g}_sensitivity": [float(v[f"p{i}"]) for i in range(len(names))] for g, v in made.items()}
    return pd.DataFrame(each)


def _ml_name(name: str) -> str:
    """How `EMFit` names a parameter of the posterior."""
    stem, _, rest = name.partition("[")
    rest = rest.removesuffix("]")
    if stem == "coef":
        column, _, term = rest.partition(", ")
        return f"{column} ~ {term}"
    kind, _, column = stem.partition("_")
    if kind in ("missing", "recorded"):
        return f"{kind}({column}) ~ {rest}"
    return f"rho({column})" if kind == "rho" else f"dropout ~ {rest}"


def _judge(fit: Fit, carrier: Carrier, table: pd.DataFrame, shape: float, judged: Judged) -> None:
    """Share a parameter of the belief out among prior, exclusions and shape."""
    known = _contraction(table, carrier.name)
    moved = relevance(fit, carrier)
    strong = tuple(c for c, p in moved.items() if p < RELEVANT)
    judged.weak[carrier.name] = tuple(c for c in moved if c not in strong)
    from_shape = known * (1.0 if not strong else shape if np.isfinite(shape) else 0.5)
    judged.shares[carrier.name] = known - from_shape, from_shape
    judged.columns[carrier.name] = strong


def _contraction(table: pd.DataFrame, name: str) -> float:
    return float(table["contraction"].to_numpy()[table["parameter"].tolist().index(name)])


def relevance(fit: Fit, carrier: Carrier) -> dict[str, float]:
    """p-value, by declared exclusion, of its moving what it is said to move (Wald, from the posterior)."""
    belief = fit.spec.selections[carrier.position]
    left = exclusions_of(belief, fit.spec.model)  # type: ignore[arg-type]
    posterior = fit.draws["posterior"].to_dataset()
    column = carrier.column
    stem = "dropout" if carrier.name.startswith("dropout") else carrier.name.partition("[")[0]
    stem = f"recorded_{column}" if isinstance(belief, Heckman) else stem
    made = {}
    for name in left.excluded:
        made[name] = _wald(posterior[stem], f"{stem}_term", name)
    own = f"coef_{column}" in posterior  # of a factored fit, which has no correlations
    for name in left.shadow:
        if own:
            made[name] = _wald(posterior[f"coef_{column}"], f"{column}_term", name)
        elif name in fit.spec.model.columns:
            made[name] = _correlated(posterior, column, name)
        else:
            made[name] = _wald(posterior["coef"].sel(column_name=column), "term", name)
    return made


def _wald(values: xr.DataArray, dim: str, column: str) -> float:
    """p-value of all terms that read a column being 0."""
    terms = [t for t in values[dim].values.tolist() if reads(str(t), column)]
    each = values.sel({dim: terms}).transpose("chain", "draw", ...).values
    draws = each.reshape(each.shape[0] * each.shape[1], -1)
    if not terms or np.ptp(draws) == 0:
        return 0.0 if terms else 1.0
    cov = np.atleast_2d(np.cov(draws.T))
    mean = draws.mean(axis=0)
    return float(stats.chi2.sf(mean @ np.linalg.lstsq(cov, mean)[0], draws.shape[1]))


def reads(term: str, column: str) -> bool:
    """Whether a term of a design, `x`, `x[T.b]`, `log(x)`, `x:z`, reads a column."""
    at = term.find(column)
    while at >= 0:
        before, after = term[at - 1 : at], term[at + len(column) : at + len(column) + 1]
        if not (before.isalnum() or before == "_") and not (after.isalnum() or after == "_"):
            return True
        at = term.find(column, at + 1)
    return False


def _correlated(posterior: xr.Dataset, column: str, other: str) -> float:
    values = posterior["corr"].sel(column_name=column, column_name_2=other).transpose("chain", "draw", ...).values
    z = np.arctanh(np.clip(values.reshape(*values.shape[:2], -1), -0.999999, 0.999999))
    each = 2 * stats.norm.sf(np.abs(z.mean(axis=(0, 1))) / np.maximum(z.std(axis=(0, 1)), 1e-12))
    return min(1.0, float(each.min()) * len(each))


def _amount(fit: Fit, table: pd.DataFrame, name: str) -> tuple[float, float]:
    """Shares of an amount inside the likelihood: only columns modelled jointly can tell it."""
    known = _contraction(table, name)
    return (known, 0.0) if len(fit.spec.model.columns) > 1 else (0.0, 0.0)


def labelled(table: pd.DataFrame, posterior: dict[str, np.ndarray], judged: Judged) -> pd.DataFrame:
    """Give every parameter its label; one that goes with a parameter of the belief takes that one's."""
    labels, through, shares, columns = [], [], [], []
    mine = {name: _label(*share) for name, share in judged.shares.items()}
    for row in table.itertuples():
        name = str(row.parameter)
        tied = _tied(posterior, name, list(judged.shares))
        said = mine.get(name, mine[tied] if tied else _RECORDED)
        labels.append(_PRIOR if float(str(row.contraction)) < _UNMOVED else said)
        through.append(tied or "")
        shares.append(judged.shares.get(name, (np.nan, np.nan)))
        columns.append(", ".join(judged.columns.get(name, judged.columns.get(tied or "", ()))))
    exclusion, shape = np.array(shares, dtype=float).reshape(-1, 2).T
    return table.assign(from_exclusion=exclusion, from_shape=shape, columns=columns, label=labels, through=through)


def _label(exclusion: float, shape: float) -> str:
    if exclusion + shape < _UNMOVED:
        return _PRIOR
    if exclusion >= _MOST:
        return _EXCLUSION
    return _SHAPE if exclusion <= _LITTLE and shape >= _MOST else _MIXED


def _tied(posterior: dict[str, np.ndarray], name: str, belief: list[str]) -> str | None:
    """The parameter of the belief with which this one goes most, if it does."""
    if name in belief or not belief:
        return None
    squares = {b: float(np.corrcoef(posterior[name].ravel(), posterior[b].ravel())[0, 1] ** 2) for b in belief}
    most = max(squares, key=lambda b: squares[b])
    return most if squares[most] >= _TIED else None
