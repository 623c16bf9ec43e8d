"""The demonstration: one wage equation, and the mean log wage of all 753 women, under seven assumptions."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri, stdtrit

from mnarkit.analyze import analyze
from mnarkit.datasets import load_dataset
from mnarkit.em import em
from mnarkit.errors import IdentificationWarning
from mnarkit.fit import Fit
from mnarkit.impute import Imputations, impute
from mnarkit.plots import forest, recorded_imputed, save
from mnarkit.pool import pool
from mnarkit.report import audit, new_folder, save_fit
from mnarkit.report.audit import write_audit
from mnarkit.report.folder import refuse_existing
from mnarkit.sample import sample
from mnarkit.spec.data_models import Regression
from mnarkit.spec.encode import to_dict
from mnarkit.spec.missingness import Heckman, Selection
from mnarkit.spec.pattern_mixture import PatternMixture, Shift
from mnarkit.spec.spec import Spec

__all__ = ["run_demo"]

EQUATION, MEAN = "lwage ~ educ + exper + expersq", "lwage ~ 1"
MODEL = Regression(EQUATION)
HECKMAN = Spec(
    MODEL,
    Heckman("recorded(lwage) ~ educ + exper + expersq + age + kidslt6 + kidsge6 + nwifeinc"),
    because="Women offered low wages stay at home. Children, age and other income move working, not the wage.",
)
OMISSION = Spec(
    MODEL,
    Selection("missing(lwage) ~ lwage + age + kidslt6 + kidsge6 + nwifeinc"),
    because="The wage alone decides, and schooling and experience act through the wage only.",
)
SHIFTS = (-0.2, -0.4)


@dataclass(frozen=True, slots=True)
class Assumption:
    """A row of the demonstration: its name, its estimates, and what it assumes, rests on, and leaves open."""

    name: str
    estimates: pd.DataFrame
    assumes: str
    rests_on: str
    untold: str


def run_demo(out: str | Path, *, overwrite: bool = False, seed: int = 1, m: int = 50) -> None:
    """Fit, impute and compare on the women of Mroz (1987), print the comparison and write a run folder.

    Parameters
    ----------
    out : path
        The run folder; one that exists is kept unless `overwrite`.
    overwrite : bool
        Replace an existing folder.
    seed : int
        Seed of the samplers; the imputations take `seed + 1`.
    m : int
        Imputations of each belief.

    Raises
    ------
    DataError
        The folder exists.
    """
    refuse_existing(Path(out), overwrite=overwrite)
    console = Console()
    began = time.perf_counter()
    wages = load_dataset("wages")
    holes = int(wages["lwage"].isna().sum())
    console.print(
        f"[bold]Wages of married women[/bold] (Mroz 1987): {len(wages)} women, log wage (US$ of 1975 an hour) recorded "
        f"for {len(wages) - holes}, missing for the {holes} who did not work."
    )
    fits = _fits(console, wages, seed)
    with _step(console, f"impute {m} times under each belief, analyze and pool"):
        imputed = _imputed(fits, m, seed + 1)
        rows = [_complete_cases(wages), _maximum_likelihood(wages), *_pooled_rows(imputed, fits)]
    _print_table(console, rows)
    _print_sentences(console, rows)
    with _step(console, "write the run folder"), new_folder(out, overwrite=overwrite) as folder:
        _write(folder, fits, imputed, rows, seed, m)
    console.print(
        f"\nWritten to [bold]{out}[/bold] in {time.perf_counter() - began:.0f} s: " + ", ".join(_contents(Path(out)))
    )
    console.print(
        f"Next: look at {Path(out) / 'figures'}; for a table of your own: mnarkit fit spec.yaml data.csv --out run"
    )


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    """Say what is going on and how long it took."""
    began = time.perf_counter()
    with console.status(f"{what} …"):
        yield
    console.print(f"  {what}: {time.perf_counter() - began:.1f} s", style="dim", highlight=False)


def _fits(console: Console, wages: pd.DataFrame, seed: int) -> dict[str, Fit]:
    named = {"MAR": Spec(MODEL), "Heckman": HECKMAN, "selection": OMISSION}
    fits = {}
    for name, spec in named.items():
        with _step(console, f"sample {name}, 4 chains of 1,000"), warnings.catch_warnings():
            warnings.simplefilter("ignore", IdentificationWarning)  # the sentences are printed below the table
            fits[name] = sample(spec, wages, seed=seed, progress=False)
    return fits


def _imputed(fits: dict[str, Fit], m: int, seed: int) -> dict[str, Imputations]:
    names = {"MAR, imputed": "MAR", "Heckman": "Heckman", "selection (omission)": "selection"}
    made = {name: impute(fits[fit], m, seed=seed) for name, fit in names.items()}
    for amount in SHIFTS:
        late = PatternMixture(Shift("lwage", amount, unit="sd"))
        made[f"shift of {amount:g} sd"] = impute(fits["MAR"], m, seed=seed, under=late)
    return made


def _complete_cases(wages: pd.DataFrame) -> Assumption:
    seen = wages.dropna(subset=["lwage"])
    return Assumption(
        "complete cases",
        _of_one_table(seen),
        f"the {len(seen)} recorded women stand for all {len(wages)}",
        "nothing: it looks at recorded wages alone",
        "with only the response unseen it equals MAR for the equation, but not for the mean, which ignores that the "
        "others have less schooling and experience",
    )


def _of_one_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Least squares on one complete table, 95% t intervals."""
    parts = []
    for formula in (EQUATION, MEAN):
        made = analyze([frame], formula)
        error = np.sqrt(made.variances[0])
        quantile = stdtrit(made.df_complete or np.inf, 0.975)
        parts.append(_with_interval(formula, made.terms, made.estimates[0], error, quantile))
    return pd.concat(parts, ignore_index=True)


def _maximum_likelihood(wages: pd.DataFrame) -> Assumption:
    fit = em(Spec(MODEL), wages)
    parts = []
    for formula in (EQUATION, MEAN):
        table = fit.project(formula)
        parts.append(_with_interval(formula, table["term"], table["estimate"], table["std_error"], ndtri(0.975)))
    return Assumption(
        "MAR, EM",
        pd.concat(parts, ignore_index=True),
        "given schooling and experience, women without a recorded wage would be offered what the others earn",
        f"the likelihood of the {fit.n} recorded wages (log likelihood {fit.loglik:.1f})",
        "whether reasons to stay at home that are not in the table go with low wages",
    )


def _with_interval(formula: str, terms: Any, estimate: Any, error: Any, quantile: Any) -> pd.DataFrame:
    estimate, error = np.asarray(estimate), np.asarray(error)
    low, high = estimate - quantile * error, estimate + quantile * error
    numbers = {"estimate": estimate, "std_error": error, "ci_low": low, "ci_high": high}
    return pd.DataFrame({"analysis": formula, "term": list(terms), **numbers})


def _pooled(imputations: Imputations) -> pd.DataFrame:
    parts = [pool(analyze(imputations, formula)).to_frame().assign(analysis=formula) for formula in (EQUATION, MEAN)]
    return pd.concat(parts, ignore_index=True)


def _pooled_rows(imputed: dict[str, Imputations], fits: dict[str, Fit]) -> list[Assumption]:
    rho = np.asarray(fits["Heckman"].draws["posterior"].to_dataset()["rho_lwage"])
    omission = fits["selection"].draws["posterior"].to_dataset()["missing_lwage"]
    slope = np.asarray(omission.sel(missing_lwage_term="lwage"))
    omitted = f"{slope.mean():.2f} (posterior sd {slope.std():.2f})"
    told = {
        "MAR, imputed": (
            "as MAR by EM; the imputations add the uncertainty of the 325 wages",
            "the same likelihood, with wide priors",
            "the same",
        ),
        "Heckman": (
            "wage and participation share unobserved causes (normal errors, correlation ρ); children, age and other "
            "income move participation, not the wage",
            f"that exclusion; under it ρ = {rho.mean():.2f} (posterior sd {rho.std():.2f})",
            "whether children, age or other income lower the wage itself",
        ),
        "selection (omission)": (
            "the wage itself decides who works; schooling and experience play no part besides, a belief by omission",
            "that omission (they act as shadow variables): it moves the coefficient of lwage to "
            f"{omitted}, and every answer with it",
            "the imputations alone do not show it: put educ, exper and expersq back and see whether the coefficient of "
            "lwage stays",
        ),
    }
    for amount in SHIFTS:
        told[f"shift of {amount:g} sd"] = (
            f"unseen log wages lie {-amount:g} residual sd below what MAR predicts",
            "the declared amount alone",
            "the amount: no data can correct it; ask which amount would change the conclusion",
        )
    return [Assumption(name, _pooled(imputations), *told[name]) for name, imputations in imputed.items()]


def _print_table(console: Console, rows: Sequence[Assumption]) -> None:
    table = Table(
        title="\nEstimate (standard error): the wage equation, and the mean log wage of all 753", title_justify="left"
    )
    table.add_column("assumption", no_wrap=True)
    columns = {"educ": EQUATION, "exper": EQUATION, "expersq": EQUATION, "mean log wage": MEAN}
    for name in columns:
        table.add_column("expersq x 100" if name == "expersq" else name, justify="right")
    for row in rows:
        cells = []
        for name, formula in columns.items():
            of_analysis = row.estimates[row.estimates["analysis"] == formula]
            found = of_analysis[of_analysis["term"] == ("Intercept" if formula == MEAN else name)].iloc[0]
            unit = 100 if name == "expersq" else 1
            cells.append(f"{unit * found['estimate']:.3f} ({unit * found['std_error']:.3f})")
        table.add_row(row.name, *cells)
    console.print(table)


def _print_sentences(console: Console, rows: Sequence[Assumption]) -> None:
    for row in rows:
        console.print(f"\n[bold]{row.name}[/bold]", highlight=False)
        console.print(f"  assumes   {row.assumes}.", highlight=False)
        console.print(f"  rests on  {row.rests_on}.", highlight=False)
        console.print(f"  untold    {row.untold}.", highlight=False)
    console.print(
        "\nNo data can tell which of these assumptions is true; they say what each would imply.", style="bold"
    )


def _write(
    folder: Path, fits: dict[str, Fit], imputed: dict[str, Imputations], rows: Sequence[Assumption], seed: int, m: int
) -> None:
    heckman = fits["Heckman"]
    save_fit(heckman, folder)
    imputed["Heckman"].to_parquet(folder / "imputations")
    table = pd.concat([row.estimates.assign(assumption=row.name) for row in rows], ignore_index=True)
    front = ["assumption", "analysis", "term"]
    table[[*front, *table.columns.drop(front)]].to_csv(folder / "pooled.csv", index=False)
    (folder / "figures").mkdir()
    save(recorded_imputed(imputed["Heckman"], "lwage"), folder / "figures" / "recorded_imputed.png")
    named = table["term"].where(table["analysis"] != MEAN, "mean log wage of all 753")
    shown = table.assign(term=named)
    terms = ["educ", "exper", "mean log wage of all 753"]
    save(forest(shown, terms=terms), folder / "figures" / "estimates.png")
    others = {
        name: {"spec": to_dict(fit.spec), "seed": fit.seed, "notes": list(fit.notes)} for name, fit in fits.items()
    }
    drawn = {name: {"m": m, "seed": made.seed, "late": [str(b) for b in made.under]} for name, made in imputed.items()}
    write_audit(audit(heckman, all_fits=others, imputations=drawn, analyses=[EQUATION, MEAN]), folder)


def _contents(folder: Path) -> list[str]:
    """The files of a folder, folders with their count."""
    return [f"{p.name}/ ({len(list(p.iterdir()))} files)" if p.is_dir() else p.name for p in sorted(folder.iterdir())]
