"""What all pictures share: paper, colours, and how they are saved."""

from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["DARK", "GREY", "IMPUTED", "RECORDED", "Canvas", "plain", "save"]

# blue and vermilion of Okabe and Ito (2008), told apart in every common colour blindness and in print by lightness
RECORDED = "#0072B2"
IMPUTED = "#D55E00"
DARK = "#333333"
GREY = "#8A8A8A"


class Canvas(Figure):
    """A matplotlib figure without global state, which notebooks show by themselves."""

    def _repr_png_(self) -> bytes:
        stream = BytesIO()
        save(self, stream)
        return stream.getvalue()


def save(fig: Figure, path: str | Path | BytesIO, *, dpi: int = 150) -> None:
    """Write a figure to a file, by suffix (`.png`, `.svg`, `.pdf`), at 150 dots an inch.

    Parameters
    ----------
    fig : Figure
        The figure.
    path : str, Path or BytesIO
        Where to; a stream gets PNG.
    dpi : int
        Dots an inch.

    Examples
    --------
    >>> import io
    >>> from mnarkit.plots import Canvas, save
    >>> stream = io.BytesIO()
    >>> save(Canvas(), stream)
    >>> stream.getvalue()[1:4]
    b'PNG'
    """
    options: dict[str, Any] = {"format": "png"} if isinstance(path, BytesIO) else {}
    fig.savefig(path, dpi=dpi, facecolor="white", **options)


def plain(ax: Axes) -> Axes:
    """Leave the frame at the left and at the bottom alone, in grey."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=DARK, labelsize=9)
    return ax
