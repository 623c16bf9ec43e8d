"""EM under MAR against Amelia, on tables larger and wider, and from files larger than memory.

`uv run python -m tests.benchmarks.em` (Amelia: Debian package `r-cran-amelia`; skipped where it is not installed).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mnarkit as mk
from mnarkit.em.start import to_standard
from mnarkit.normal.expectation import expected_products

AMELIA = """
suppressMessages(library(Amelia))
args <- commandArgs(trailingOnly = TRUE)
n <- as.integer(args[1]); p <- as.integer(args[2])
x <- matrix(readBin(args[3], "double", n * p), n, p, byrow = TRUE)
x[is.nan(x)] <- NA
colnames(x) <- paste0("y", 0:(p - 1))
took <- system.time(a <- amelia(x, m = 1, boot.type = "none", p2s = 0, tolerance = as.double(args[4])))[["elapsed"]]
cat(took, "\\n")
write(c(a$mu, a$covMatrices[, , 1]), args[5], ncolumns = 1)
"""


def table(n: int, p: int, holes: float) -> np.ndarray:
    """Correlations of 0.4, holes at random."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal((n, p))
    y *= np.sqrt(0.6)
    y += np.sqrt(0.4) * rng.standard_normal((n, 1))
    y[rng.random((n, p)) < holes] = np.nan
    return y


def framed(y: np.ndarray) -> pd.DataFrame:
    """A frame around an array, without a copy."""
    return pd.DataFrame(y, columns=[f"y{j}" for j in range(y.shape[1])], copy=False)


def timed_em(y: np.ndarray, repeats: int = 5) -> tuple[mk.EMFit, float]:
    """Median seconds from an array to the maximum, after one warm-up call."""
    spec = mk.Spec(mk.MvNormal(*(f"y{j}" for j in range(y.shape[1]))))
    fit = mk.em(spec, framed(y), progress=False)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        fit = mk.em(spec, framed(y), progress=False)
        seconds.append(time.perf_counter() - began)
    return fit, float(np.median(seconds))


def amelia(y: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Mean, covariance and seconds of Amelia's EM (its one imputation included), loading the data not counted."""
    if shutil.which("Rscript") is None:
        return None
    n, p = y.shape
    with tempfile.TemporaryDirectory() as folder:
        script, data, out = (Path(folder) / name for name in ("a.R", "y.bin", "out.txt"))
        script.write_text(AMELIA)
        y.tofile(data)
        done = subprocess.run(
            ["Rscript", script, str(n), str(p), data, str(tolerance), out], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print("  Amelia is not installed:", (done.stderr.strip().splitlines() or ["?"])[-1])
            return None
        values = np.loadtxt(out)
    # Amelia tells standardised moments, the columns ordered by their holes
    order = np.argsort(np.isnan(y).sum(axis=0), kind="stable")
    mean, cov = np.empty(p), np.empty((p, p))
    mean[order], cov[np.ix_(order, order)] = values[:p], values[p:].reshape(p, p)
    sd = np.nanstd(y, axis=0, ddof=1)
    return mean * sd + np.nanmean(y, axis=0), cov * np.outer(sd, sd), float(done.stdout.split()[0])


def shortfall(fit: mk.EMFit, mean: np.ndarray, cov: np.ndarray, top: float) -> float:
    """How far the log likelihood at other estimates lies below the maximum."""
    moments = fit.curvature.moments  # type: ignore[union-attr]
    coef, standard = to_standard(mean[:, None], cov, moments.terms, moments)
    return top - expected_products(coef, standard, moments)[2]


def against_amelia(n: int, p: int, holes: float, tolerance: float) -> None:
    """One table, both programs."""
    y = table(n, p, holes)
    fit, seconds = timed_em(y)
    spec = mk.Spec(mk.MvNormal(*fit.columns))
    best = mk.em(spec, framed(y), tol=1e-13, start=fit, progress=False)
    top = shortfall(best, best.coef[:, 0], best.cov, 0.0) * -1
    mine = shortfall(fit, fit.coef[:, 0], fit.cov, top)
    patterns = len(fit.curvature.moments.seen)  # type: ignore[union-attr]
    print(
        f"{n:,} x {p}, {holes:.0%} holes, {patterns} patterns: {seconds:.3f} s, {fit.evaluations} maps, "
        f"{mine:.1e} below the maximal log likelihood",
        flush=True,
    )
    peer = amelia(y, tolerance)
    if peer is None:
        print("  Amelia: skipped", flush=True)
        return
    mean, cov, took = peer
    print(
        f"  Amelia, tolerance {tolerance:g}: {took:.2f} s, {shortfall(fit, mean, cov, top):.1e} below the maximum: "
        f"{took / seconds:.0f} x",
        flush=True,
    )


def growth() -> None:
    """Ten times the rows."""
    small = timed_em(table(1_000_000, 10, 0.15))[1]
    large = timed_em(table(10_000_000, 10, 0.15), repeats=3)[1]
    print(f"10,000,000 rows: {large:.2f} s, {large / small:.1f} x the time of 1,000,000", flush=True)


def memory_now(what: str) -> float:
    """Memory of this process by /proc, in GB: `VmRSS` now, `VmHWM` at its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return float(line.split()[1]) / 1e6


def memory() -> None:
    """Peak memory while a table of 10,000,000 x 10 is fitted in a fresh process, above what it held before."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.em", "fit"], capture_output=True, text=True, check=True
    )
    before, peak = map(float, done.stdout.split())
    print(
        f"10,000,000 x 10 (0.80 GB): {before:.2f} GB before, {peak:.2f} GB at the peak: "
        f"{(0.8 + peak - before) / 0.8:.2f} x the input",
        flush=True,
    )


def fit_in_memory() -> None:
    """Make the table in place, fit it, and tell memory before and at the peak of the fit."""
    rng = np.random.default_rng(0)
    y = np.empty((10_000_000, 10))
    for a in range(0, len(y), 100_000):
        y[a : a + 100_000] = table(100_000, 10, 0.15) + rng.standard_normal()
    timed_em(y[:200_000], repeats=1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = memory_now("VmRSS")
    timed_em(y, repeats=1)
    print(before, memory_now("VmHWM"))


def parquet(folder: Path) -> None:
    """Fit the Parquet files in a folder, and tell the peak."""
    spec = mk.Spec(mk.MvNormal(*(f"y{j}" for j in range(10))))
    began = time.perf_counter()
    fit = mk.em(spec, folder, progress=False)
    print(fit.n, time.perf_counter() - began, memory_now("VmHWM"))


def larger_than_memory(size: float = 5.0) -> None:
    """Write Parquet files of so many GB, and read them in a fresh process."""
    folder = Path(tempfile.mkdtemp())
    try:
        part, written = 0, 0.0
        rng = np.random.default_rng(0)
        while written < size * 1e9:
            frame = framed(table(1_000_000, 10, 0.15) + rng.standard_normal())
            frame.to_parquet(folder / f"part{part:03}.parquet", compression=None, row_group_size=200_000)
            part, written = part + 1, written + os.path.getsize(folder / f"part{part:03}.parquet")
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.em", "parquet", folder], capture_output=True, text=True, check=True
        )
        n, seconds, gigabytes = map(float, done.stdout.split())
        print(
            f"Parquet of {written / 1e9:.2f} GB, {n:,.0f} rows: {seconds:.0f} s, peak memory {gigabytes:.2f} GB",
            flush=True,
        )
    finally:
        shutil.rmtree(folder)


def acceleration() -> None:
    """Evaluations of EM's map with 60 % holes, with and without acceleration."""
    ratios = []
    for n, p, seed in [
        (500, 5, 0),
        (1000, 8, 1),
        (400, 6, 2),
        (2000, 10, 3),
        (300, 4, 4),
        (800, 12, 5),
        (5000, 10, 6),
        (1000, 6, 7),
    ]:
        rng = np.random.default_rng(seed)
        y = rng.multivariate_normal(np.zeros(p), 0.5 + 0.5 * np.eye(p), n)
        y[rng.random(y.shape) < 0.6] = np.nan
        spec = mk.Spec(mk.MvNormal(*(f"y{j}" for j in range(p))))
        plain, quick = (mk.em(spec, framed(y), accelerate=a, progress=False) for a in (False, True))
        ratios.append(quick.evaluations / plain.evaluations)
        print(f"  {n} x {p}, 60 % holes: {quick.evaluations} maps against {plain.evaluations}", flush=True)
    print(f"acceleration: {min(ratios):.2f} to {max(ratios):.2f} of the evaluations of plain EM", flush=True)


def main() -> None:
    """All of it."""
    warnings.simplefilter("ignore")
    match sys.argv[1:]:
        case ["fit"]:
            fit_in_memory()
        case ["parquet", folder]:
            parquet(Path(folder))
        case _:
            against_amelia(1_000_000, 10, 0.15, 1e-6)
            against_amelia(5_000, 30, 0.10, 1e-6)
            growth()
            memory()
            larger_than_memory()
            acceleration()


if __name__ == "__main__":
    main()
