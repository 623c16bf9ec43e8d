"""The probit selection model in JAGS, a chain a process, the unseen values as latent nodes."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

MODEL = """
model {
  for (i in 1:n) {
    y[i] ~ dnorm(b[1] + b[2] * x1[i] + b[3] * x2[i], tau)
    probit(q[i]) <- g[1] + g[2] * z[i] + g[3] * y[i]
    r[i] ~ dbern(q[i])
  }
  for (j in 1:3) { b[j] ~ dnorm(0, 0.01); g[j] ~ dnorm(0, 0.4444) }
  sd ~ dunif(0, 20)
  tau <- pow(sd, -2)
}
"""
SCRIPT = """
model in "model.txt"
data in "data.txt"
compile, nchains(1)
parameters in "start.txt"
initialize
update {warmup}
monitor b
monitor g
monitor sd
update {draws}
coda *, stem("out")
exit
"""


def installed() -> bool:
    """Whether the program is there."""
    return shutil.which("jags") is not None


def _vector(name: str, values: np.ndarray) -> str:
    told = ", ".join("NA" if np.isnan(v) else f"{v:.12g}" for v in values)
    return f'"{name}" <- c({told})\n'


def selection(table: pd.DataFrame, *, draws: int, chains: int = 2) -> xr.Dataset:
    """As many warm-up draws as draws, the chains side by side."""
    folders = [Path(tempfile.mkdtemp()) for _ in range(chains)]
    for k, folder in enumerate(folders):
        (folder / "model.txt").write_text(MODEL)
        data = f'"n" <- {len(table)}\n' + "".join(_vector(c, table[c].to_numpy()) for c in ("y", "x1", "x2", "z"))
        (folder / "data.txt").write_text(data + _vector("r", table["y"].isna().to_numpy(dtype=float)))
        (folder / "start.txt").write_text(f'".RNG.name" <- "base::Mersenne-Twister"\n".RNG.seed" <- {k + 1}\n')
        (folder / "run.txt").write_text(SCRIPT.format(warmup=draws, draws=draws))
    running = [subprocess.Popen(["jags", "run.txt"], cwd=f, stdout=subprocess.DEVNULL) for f in folders]
    for process in running:
        process.wait()
    made = [_coda(folder) for folder in folders]
    for folder in folders:
        shutil.rmtree(folder)
    return xr.Dataset({name: (("chain", "draw"), np.stack([m[name] for m in made])) for name in made[0]})


def _coda(folder: Path) -> dict[str, np.ndarray]:
    values = np.loadtxt(folder / "outchain1.txt")[:, 1]
    index = [line.split() for line in (folder / "outindex.txt").read_text().splitlines() if line.strip()]
    return {name: values[int(first) - 1 : int(last)] for name, first, last in index}
