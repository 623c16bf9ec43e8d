"""Posteriors made by hand, for tests of what comes after sampling."""

import numpy as np
import pandas as pd
import xarray as xr

import mnarkit as mk
from mnarkit.data import IncompleteData


def fit_of(spec: mk.Spec, frame: pd.DataFrame, *, draws: int = 60, vary: float = 0.05, **center: object) -> mk.Fit:
    """A fit with given posterior centers, one chain; every draw is another one."""
    rng, arrays = np.random.default_rng(5), {}
    for name, value in center.items():
        made = np.broadcast_to(np.asarray(value, float), (1, draws, *np.shape(value)))
        noise = vary * rng.normal(size=made.shape)
        dims = ("chain", "draw", *(f"{name}_dim_{i}" for i in range(np.ndim(value))))
        arrays[name] = (dims, made if name == "corr" else made * np.exp(noise) if name == "sd" else made + noise)
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, coords={"chain": [0], "draw": np.arange(draws)})})
    tree.attrs = {"spec": spec.to_json(), "seed": 11}
    return mk.Fit(spec, IncompleteData.of(frame), tree, 11, ("made by hand",))


def two_columns(n: int = 80, seed: int = 1) -> pd.DataFrame:
    """`y` and `v` above 0 with holes, `x` and `arm` without, and a recorded event."""
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(10, 2, n), np.where(rng.random(n) < 0.5, "drug", "placebo")
    y = 30 + 2 * x - (arm == "drug") + 3 * rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "v": 15 + 0.5 * x + 1.5 * rng.normal(size=n), "x": x, "arm": arm})
    frame["ill"] = (rng.random(n) < 1 / (1 + np.exp(-(y - 50) / 6))).astype(float)
    frame.loc[rng.random(n) < 0.4, "y"] = np.nan
    frame.loc[rng.random(n) < 0.3, "v"] = np.nan
    return frame


def joint_fit(frame: pd.DataFrame | None = None, *beliefs: object) -> mk.Fit:
    """A fit of both columns on x and arm."""
    known = {"coef": [[30.0, 2.0, 1.0], [15.0, 0.5, 0.0]], "sd": [3.0, 1.5], "corr": [[1.0, -0.6], [-0.6, 1.0]]}
    spec = mk.Spec(mk.MvNormal("y", "v", given="x + arm"), *beliefs)
    return fit_of(spec, two_columns() if frame is None else frame, **known)


def difference(table: pd.DataFrame) -> tuple:
    """Means of the arms, of values below 60."""
    groups = [table.loc[table["arm"] == arm, "y"].clip(upper=60) for arm in ("drug", "placebo")]
    means = {"drug": groups[0].mean(), "placebo": groups[1].mean()}
    return means, [group.var() / len(group) for group in groups], len(table) - 2
