"""A line on standard error for work that takes long."""

import sys
import time
from types import TracebackType
from typing import Self

__all__ = ["Progress"]

_QUIET = 2.0  # seconds before anything is shown
_EVERY = 0.2  # seconds between two updates


class Progress:
    """Tell the iteration, the objective and the change; silent for the first two seconds."""

    def __init__(self, wanted: bool, max_iter: int) -> None:
        # a file or a pipe keeps every line: the progress is for someone who watches
        watched = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._wanted, self._max_iter = wanted and watched, max_iter
        self._next = time.monotonic() + _QUIET
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def update(self, iteration: int, objective: float, change: float) -> None:
        """Show an iteration, if it is time."""
        if not self._wanted or time.monotonic() < self._next:
            return
        self._next, self._shown = time.monotonic() + _EVERY, True
        line = f"EM {iteration} of at most {self._max_iter}: objective {objective:.6f}, change {change:.2g}"
        sys.stderr.write(f"\r{line:<79}")
        sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\n")
