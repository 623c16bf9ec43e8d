"""Points of a grid as tasks: in this process, in several, or on a cluster; each finished one is kept on disk."""

import hashlib
import json
import os
import pickle
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lazy_loader
import numpy as np

from mnarkit.errors import DataError, SpecError
from mnarkit.estimates import first_line
from mnarkit.progress import Line

__all__ = ["Runner", "checked_workers", "identity"]

joblib: Any = lazy_loader.load("joblib")

type Arrays = dict[str, np.ndarray]
type Task = Callable[[tuple[float, ...]], Arrays]

_WAIT = 0.02  # seconds between two looks at a cluster


@dataclass(frozen=True, slots=True, eq=False)
class Runner:
    """How the points of a grid are worked through.

    Attributes
    ----------
    workers : int
        Processes on this machine.
    client : object or None
        What has `submit(function, *arguments)` and returns futures with `done()` and `result()`: a Dask client, or an
        executor of `concurrent.futures`.
    folder : Path or None
        Where finished points are kept, and found again.
    about : dict
        What decides the numbers besides the point: it is hashed into the names of the files.
    progress : bool
        Whether to show a line.
    """

    workers: int
    client: Any
    folder: Path | None
    about: dict[str, Any]
    progress: bool

    def run(self, task: Task, points: Sequence[tuple[float, ...]], what: str) -> list[Arrays]:
        """Give the arrays of every point, in order; points that were finished before are read."""
        found = {i: kept for i, p in enumerate(points) if (kept := self.kept(p)) is not None}
        todo = [i for i in range(len(points)) if i not in found]
        with Line(self.progress) as line:
            for i, arrays in self._finished(task, [points[i] for i in todo], todo, what):
                found[i] = arrays
                self.keep(points[i], arrays)
                line.tell_share(len(found), len(points), f"{what}:")
        return [found[i] for i in range(len(points))]

    def kept(self, point: tuple[float, ...]) -> Arrays | None:
        """Read what was kept of a point; None if there is nothing, or nothing whole."""
        return None if self.folder is None else _read(self._path(self.folder, point))

    def keep(self, point: tuple[float, ...], arrays: Arrays) -> None:
        """Write a point into the folder, if there is one."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self._path(self.folder, point), arrays, self.about | {"point": list(point)})

    def _path(self, folder: Path, point: tuple[float, ...]) -> Path:
        text = json.dumps(self.about | {"point": [float(v).hex() for v in point]}, sort_keys=True)
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.npz"

    def _finished(
        self, task: Task, points: list[tuple[float, ...]], numbers: list[int], what: str
    ) -> Iterator[tuple[int, Arrays]]:
        """Points as they are done, in any order."""
        if self.client is not None:
            yield from _on_cluster(self.client, task, points, numbers)
        elif self.workers == 1 or len(points) < 2:
            for i, point in zip(numbers, points, strict=True):
                yield i, task(point)
        else:
            calls = (joblib.delayed(_numbered)(task, i, p) for i, p in zip(numbers, points, strict=True))
            pool = joblib.Parallel(n_jobs=min(self.workers, len(points)), return_as="generator_unordered")
            try:
                yield from pool(calls)
            except (pickle.PicklingError, BrokenProcessPool) as cause:
                raise DataError(
                    f"{what} cannot run in other processes ({first_line(cause)}); workers=1 runs it in this one"
                ) from cause


def _numbered(task: Task, i: int, point: tuple[float, ...]) -> tuple[int, Arrays]:
    return i, task(point)


def _on_cluster(
    client: Any, task: Task, points: list[tuple[float, ...]], numbers: list[int]
) -> Iterator[tuple[int, Arrays]]:
    waiting = {i: client.submit(task, point) for i, point in zip(numbers, points, strict=True)}
    try:
        while waiting:
            ready = [i for i, future in waiting.items() if future.done()]
            for i in ready:
                yield i, waiting.pop(i).result()
            if not ready:
                time.sleep(_WAIT)
    finally:
        for future in waiting.values():
            future.cancel()


def _read(path: Path) -> Arrays | None:
    """Read what was finished; a file that cannot be read is as none."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if name != "about"}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: Arrays, about: dict[str, Any]) -> None:
    """Write a file whole or not at all: under another name first, then renamed."""
    aside = path.with_suffix(f".{os.getpid()}.part")
    with aside.open("wb") as stream:
        np.savez(stream, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def checked_workers(workers: Any, client: Any) -> int:
    """Check a number of processes, None for one a core, and that a client can be given work."""
    if client is not None and not callable(getattr(client, "submit", None)):
        raise SpecError(f"client= has submit(function, argument), as a Dask client has, not {type(client).__name__}")
    if workers is None:
        return os.cpu_count() or 1
    if isinstance(workers, (int, np.integer)) and not isinstance(workers, bool) and workers >= 1:
        return int(workers)
    raise SpecError(f"workers= is a whole number of 1 or more, or None for one a core, not {workers!r}")


def identity(what: Any) -> str:
    """Name an analysis for the files: a formula by its text, a function by its name and compiled code.

    What a function reads from elsewhere (closures, globals) is not part of it.
    """
    code = getattr(what, "__code__", None)
    if code is None:
        return f"{type(what).__qualname__}: {what!s}"
    return f"{what.__module__}.{what.__qualname__} {_of_code(code)}"


def _of_code(code: Any) -> str:
    constants = [_of_code(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts]
    text = repr((code.co_code, constants, code.co_names, code.co_varnames))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
