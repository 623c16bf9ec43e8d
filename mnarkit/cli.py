"""The command line: thin over the same functions; imports wait until a command needs them."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Data missing not at random: declare why, fit, impute, pool, compare.",
)

SpecFile = Annotated[Path, typer.Argument(help="A spec, .yaml or .json.", show_default=False)]
DataFile = Annotated[
    Path, typer.Argument(help="A table: .csv, .tsv or .parquet; an empty cell is missing.", show_default=False)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Seed = Annotated[int, typer.Option(help="Seed of every random number.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the run folder goes.")] = Path("mnarkit-demo"),
    overwrite: Overwrite = False,
    seed: Seed = 1,
    m: Annotated[int, typer.Option("-m", help="Imputations of each belief.")] = 50,
) -> None:
    """753 women, 428 recorded wages: the same equation under seven assumptions, side by side."""
    _check_m_and_seed(m, seed)
    from mnarkit.demo import run_demo

    run_demo(out, overwrite=overwrite, seed=seed, m=m)


@app.command()
def explore(
    data: DataFile,
    by: Annotated[str | None, typer.Option(help="A column: rates by its levels, or by five bins.")] = None,
    figures: Annotated[Path | None, typer.Option(help="A folder for the summary and its figures, as PNG.")] = None,
    seed: Seed = 1,
    overwrite: Overwrite = False,
) -> None:
    """Look at the holes of a table: rates, patterns, what goes with them, jumps, heaps, Little's test."""
    _check_m_and_seed(1, seed)
    if figures is not None:
        from mnarkit.report.folder import refuse_existing

        refuse_existing(figures, overwrite=overwrite, holds="explore.txt", option="--figures")
    import mnarkit as mk

    found = mk.explore(_read_table(data), by, seed=seed)
    typer.echo(str(found))
    if figures is not None:
        from mnarkit.report import save_figures

        names = save_figures(found, figures, overwrite=overwrite)
        typer.echo(f"\nwritten to {figures}: {', '.join(names)}")


@app.command()
def em(
    spec: SpecFile,
    data: DataFile,
    out: Annotated[
        Path | None, typer.Option(help="A folder that the last fit is saved to.", show_default=False)
    ] = None,
    method: Annotated[str, typer.Option(help="ML, or two-step for a Heckman model.")] = "ML",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Maximum likelihood: the MAR baseline of a spec, and the spec itself if it departs from MAR.

    The table may also be a folder of Parquet files larger than memory, under MAR.
    """
    from mnarkit.report.folder import new_folder, refuse_existing

    if out is not None:
        refuse_existing(out, overwrite=overwrite)
    import mnarkit as mk

    belief = mk.read_spec(spec)
    _check_method(method, belief)
    table = data if data.is_dir() else _read_table(data)
    warnings.simplefilter("ignore", mk.errors.MnarkitWarning)  # a fit prints its notes
    made = mk.em(belief.mar(), table, progress=not quiet)
    typer.echo(str(made))
    if not belief.is_mar:
        made = mk.em(belief, table, method=method, progress=not quiet)  # type: ignore[arg-type]
        typer.echo(f"\n{made}")
    if out is not None:
        with new_folder(out, overwrite=overwrite) as folder:
            made.save(folder)
        typer.echo(f"written to {out}")


@app.command()
def fit(
    spec: SpecFile,
    data: DataFile,
    out: Annotated[Path, typer.Option(help="Where the run folder goes.")] = Path("run"),
    draws: Annotated[int, typer.Option(help="Posterior draws of each chain.")] = 1000,
    tune: Annotated[int, typer.Option(help="Warm-up draws of each chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    target_accept: Annotated[float, typer.Option(help="Target acceptance of NUTS.")] = 0.9,
    seed: Seed = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Sample the posterior of a spec and write a run folder."""
    from mnarkit.report.folder import refuse_existing

    refuse_existing(out, overwrite=overwrite)
    _check_m_and_seed(1, seed)
    import mnarkit as mk

    belief, table = mk.read_spec(spec), _read_table(data)
    from mnarkit.report import new_folder, save_fit

    typer.echo(str(belief))
    made = mk.sample(
        belief, table, draws=draws, tune=tune, chains=chains, target_accept=target_accept, seed=seed, progress=not quiet
    )
    with new_folder(out, overwrite=overwrite) as folder:
        save_fit(made, folder)
    import arviz as az

    summary = az.summary(made.draws, group="posterior", round_to="none", ci_prob=0.95, kind="all").round(4)
    typer.echo(summary.to_string())
    typer.echo(f"written to {out}; next: mnarkit impute {out} -m 20")


@app.command()
def impute(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    m: Annotated[int, typer.Option("-m", help="How many imputations.")] = 20,
    analysis: Annotated[list[str] | None, typer.Option(help="A formula to analyze and pool; may be repeated.")] = None,
    seed: Seed = 2,
    overwrite: Overwrite = False,
) -> None:
    """Draw imputations from a run folder, analyze and pool them."""
    from mnarkit.errors import DataError

    _check_m_and_seed(m, seed)
    held = [name for name in ("imputations", "pooled.csv") if (run / name).exists()]
    if held and not overwrite:
        raise DataError(
            f"{str(run)!r} already has {' and '.join(held)}, which are kept; say --overwrite to replace them"
        )
    import shutil

    import mnarkit as mk
    from mnarkit.report import default_analyses, new_folder, save_imputations

    made = mk.load_fit(run)
    drawn = mk.impute(made, m, seed=seed)
    with new_folder(run, overwrite=True) as folder:
        shutil.copytree(
            run, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("imputations", "pooled.csv", "figures")
        )
        pooled = save_imputations(made, drawn, analysis or default_analyses(made), folder)
    typer.echo(str(drawn))
    for result in pooled.values():
        typer.echo(f"\n{result}")
    typer.echo(f"\nwritten to {run}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The file; report.html in the folder if not said.")] = None,
    m: Annotated[int | None, typer.Option("-m", help="Imputations; those of the run, or 20.")] = None,
    analysis: Annotated[list[str] | None, typer.Option(help="A formula; those of the run if not said.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the imputations; that of the run, or 2.")] = None,
    title: Annotated[str | None, typer.Option(help="The title of the page.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML file about a run: assumptions, holes, estimates, checks, and how to rerun it."""
    _check_m_and_seed(1 if m is None else m, 0 if seed is None else seed)
    path = out or run / "report.html"
    if path.exists() and not overwrite:
        from mnarkit.errors import DataError

        raise DataError(f"{str(path)!r} exists and is kept; name another file with --out, or say --overwrite")
    import mnarkit as mk
    from mnarkit.report.folder import imputed_as

    made = mk.load_fit(run)
    held = {"m": 20, "seed": 2, "analyses": None} | imputed_as(run)
    written = mk.report(
        made,
        path,
        m=held["m"] if m is None else m,
        seed=held["seed"] if seed is None else seed,
        analyses=analysis or held["analyses"],
        title=title,
        overwrite=overwrite,
    )
    typer.echo(f"written to {written}")


@app.command()
def sensitivity(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    analysis: Annotated[str, typer.Argument(help="A formula, 'y ~ x'.", show_default=False)],
    column: Annotated[
        str, typer.Argument(help="A column whose unseen values move, or 'missing(y) ~ y'.", show_default=False)
    ],
    low: Annotated[float, typer.Option(help="Where the range begins.", show_default=False)],
    high: Annotated[float, typer.Option(help="Where it ends.", show_default=False)],
    unit: Annotated[str, typer.Option(help="sd, sd_observed, raw, percent or factor.")] = "sd",
    points: Annotated[int, typer.Option(help="How many values.")] = 21,
    by: Annotated[str | None, typer.Option(help="A column such as the arm: each level moves on its own.")] = None,
    term: Annotated[str | None, typer.Option(help="Find where the result of this term tips.")] = None,
    crosses: Annotated[str, typer.Option(help="What tips: estimate, interval or p.")] = "interval",
    at: Annotated[float, typer.Option(help="The value at which it tips.")] = 0.0,
    m: Annotated[int, typer.Option("-m", help="Imputations at each point.")] = 100,
    seed: Seed = 3,
    out: Annotated[Path | None, typer.Option(help="A folder for text, tables and figures.", show_default=False)] = None,
    overwrite: Overwrite = False,
) -> None:
    """Move what no data can tell over a range, and see what an analysis says; with --term, where it tips."""
    from mnarkit.report.folder import new_folder, refuse_existing

    if out is not None:
        refuse_existing(out, overwrite=overwrite, holds="sensitivity.txt")
    _check_m_and_seed(m, seed)
    import mnarkit as mk

    made = mk.load_fit(run)
    grid = {column: mk.Grid(low, high, points=points, unit=unit, by=by)}
    found = mk.sensitivity(made, analysis, grid, m=m, seed=seed)
    typer.echo(str(found))
    tip = None
    if term is not None:
        tip = mk.tipping_point(made, analysis, term=term, shift=grid, crosses=crosses, at=at, m=m, seed=seed)  # type: ignore[arg-type]
        typer.echo(f"\n{tip}")
    if out is None:
        return
    from mnarkit.plots import save, sensitivity_curve, tipping_curve, tipping_map

    with new_folder(out, overwrite=overwrite, holds="sensitivity.txt") as folder:
        text = str(found) if tip is None else f"{found}\n\n{tip}"
        (folder / "sensitivity.txt").write_text(text + "\n", encoding="utf-8")
        found.to_frame().to_csv(folder / "sensitivity.csv", index=False)
        if tip is not None:
            tip.to_frame().to_csv(folder / "tipping.csv", index=False)
            save((tipping_map if len(tip.axes) == 2 else tipping_curve)(tip), folder / "tipping.png")
        elif len(found.axes) == 1:
            for k, name in enumerate(found.terms):
                save(sensitivity_curve(found, name), folder / f"sensitivity-{k + 1}.png")
    typer.echo(f"\nwritten to {out}")


def _check_method(method: str, belief) -> None:
    """Before the MAR baseline is fitted, which does not read it."""
    import mnarkit as mk
    from mnarkit.errors import SpecError

    if method not in ("ML", "two-step"):
        raise SpecError(f"--method is ML or two-step, not {method!r}")
    heckman = len(belief.missingness) == 1 and isinstance(belief.missingness[0], mk.Heckman)
    if method == "two-step" and not (heckman and len(belief.model.columns) == 1):
        raise SpecError("--method two-step is for one Regression with one Heckman belief")
    if method == "two-step" and belief.missingness[0].priors:
        raise SpecError(
            "--method two-step estimates every coefficient and rho; leave priors out of the spec, or use ML"
        )


def _check_m_and_seed(m: int, seed: int) -> None:
    """Before any work is done."""
    from mnarkit.errors import SpecError

    if m < 1:
        raise SpecError(f"-m is the number of imputations, a whole number of at least 1, not {m}")
    if seed < 0:
        raise SpecError(f"--seed is a whole number of at least 0, not {seed}")


def _read_table(path: Path):
    import pandas as pd

    from mnarkit.errors import DataError

    readers = {
        ".csv": lambda p: pd.read_csv(
            p, low_memory=False
        ),  # otherwise a long column may be text here and numbers there
        ".tsv": lambda p: pd.read_csv(p, sep="\t", low_memory=False),
        ".parquet": pd.read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise DataError(f"{str(path)!r} ends in {path.suffix!r}; a table is .csv, .tsv or .parquet")
    if not path.is_file():
        raise DataError(f"{str(path)!r} is {'not a file' if path.exists() else 'not there'}; name a table")
    try:
        if path.suffix.lower() != ".parquet":
            _check_cells(path, "," if path.suffix.lower() == ".csv" else "\t")
        return readers[path.suffix.lower()](path)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (ValueError, OSError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a table: {str(error).splitlines()[0]}") from error


def _check_cells(path: Path, sign: str) -> None:
    """Refuse what pandas would repair silently: a name that stands twice, a row with more or fewer cells than names."""
    import csv
    from collections import Counter

    from mnarkit.errors import DataError

    what = repr(str(path))
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, delimiter=sign)
        try:
            header = next((row for row in rows if row), [])
            if not header:
                raise DataError(f"{what} is empty; a table has a line of column names, and a line for each row")
            other = next((s for s in ";\t," if len(header) == 1 and s in header[0]), None)
            if other:
                raise DataError(
                    f"{what} has one column named {header[0][:60]!r}; its cells seem to be separated by {other!r}: "
                    "separate them by commas in a .csv, by tabs in a .tsv"
                )
            twice = [(name, count) for name, count in Counter(header).items() if count > 1]
            if twice:
                raise DataError(f"{what} has {twice[0][1]} columns named {twice[0][0]!r}; rename or drop the doubles")
            for row in rows:
                if row and len(row) != len(header):
                    raise DataError(
                        f"{what} has {len(row)} cells in line {rows.line_num} and {len(header)} column names; "
                        "give every row one cell a column (an empty one is missing)"
                    )
        except csv.Error as error:
            raise DataError(f"{what} cannot be read as a table: line {rows.line_num}: {error}") from error


def main() -> None:
    """Run the command line; what mnarkit refuses is one line and exit code 2."""
    from mnarkit.errors import MnarkitError

    warnings.showwarning = _say
    try:
        app()
    except MnarkitError as error:
        typer.echo(f"mnarkit: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:  # typer turns an interrupt into this, silently
            typer.echo("mnarkit: interrupted; nothing was written", err=True)
        raise


def _say(message, category, filename, lineno, file=None, line=None) -> None:
    """Warnings of mnarkit as sentences; those of other packages concern developers."""
    from mnarkit.errors import MnarkitWarning

    if issubclass(category, MnarkitWarning):
        typer.echo(f"note: {message}", err=True)


if __name__ == "__main__":
    main()
