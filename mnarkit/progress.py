"""A line on standard error for work that takes long, for someone who watches."""

import sys
import time
from types import TracebackType
from typing import Self

__all__ = ["Line"]

_QUIET = 2.0  # seconds before anything is shown
_EVERY = 0.2  # seconds between two updates
_WIDTH = 79


class Line:
    """One line that is written over; silent for the first two seconds, and always where nobody watches."""

    def __init__(self, wanted: bool) -> None:
        # a file or a pipe keeps every line: the progress is for a terminal or a notebook
        self._wanted = wanted and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self._next = time.monotonic() + _QUIET
        self._shown = False

    def __enter__(self) -> Self:
        return self

    @property
    def due(self) -> bool:
        """Whether it is time to tell something."""
        return self._wanted and time.monotonic() >= self._next

    def tell(self, text: str) -> None:
        """Show a text, if it is time."""
        if not self.due:
            return
        self._next, self._shown = time.monotonic() + _EVERY, True
        sys.stderr.write(f"\r{text:<{_WIDTH}}")
        sys.stderr.flush()

    def tell_share(self, done: int, of: int, what: str) -> None:
        """Show a bar, if it is time."""
        if self.due:
            filled = round(30 * done / of)
            self.tell(f"{what} {done} of {of} [{'█' * filled}{'·' * (30 - filled)}]")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\n")
