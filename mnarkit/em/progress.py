"""A line on standard error while EM runs."""

from mnarkit.progress import Line

__all__ = ["Progress"]


class Progress(Line):
    """Tell the iteration, the objective and the change."""

    def __init__(self, wanted: bool, max_iter: int) -> None:
        super().__init__(wanted)
        self._max_iter = max_iter

    def update(self, iteration: int, objective: float, change: float) -> None:
        """Show an iteration, if it is time."""
        if self.due:
            self.tell(f"EM {iteration} of at most {self._max_iter}: objective {objective:.6f}, change {change:.2g}")
