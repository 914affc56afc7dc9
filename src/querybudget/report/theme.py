"""How pictures look: on a wide page and on a phone. In dark, the page turns their lightness round.

The colours of series are those of Okabe and Ito, which people who are colour-blind can tell apart
("Color Universal Design", 2008). Nothing is told by colour alone.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from querybudget.errors import SetupError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, YELLOW = "#cc79a7", "#56b4e9", "#b8a600"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, RED)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

COLOURS, MAX_COVERAGE = 256, 1
"""Colours of a picture, so that it is a third as large, and Pillow's way to keep the rare ones."""

DOTS = 140
"""Dots per inch."""


PAPER, INK, FAINT, SOFT, MUTE = "#ffffff", "#1b2230", "#d5dae1", "#eef1f5", "#8a94a3"
"""Colours of the ground, of words, of rules, of what is behind, and of what matters little."""


class Look(msgspec.Struct, frozen=True):
    """One way in which a picture is drawn.

    Attributes:
        name: ``wide`` or ``narrow``.
        width: Inches.
    """

    name: str
    width: float

    @property
    def narrow(self) -> bool:
        """Whether it is for a phone."""
        return self is NARROW


WIDE, NARROW = Look("wide", 9.6), Look("narrow", 4.1)
LOOKS = (WIDE, NARROW)

Draw = Callable[["Figure", Look], None]
"""Draws onto an empty figure."""


def picture(draw: Draw, look: Look, height: float, narrow_height: float) -> bytes:
    """Draw a picture.

    Args:
        draw: Draws it.
        look: How.
        height: Inches, on a wide page of 9.6.
        narrow_height: Inches, on a phone of 4.1.

    Returns:
        A PNG.

    Raises:
        SetupError: matplotlib is not installed.
    """
    matplotlib = plotting()
    size = (look.width, narrow_height if look.narrow else height)
    with matplotlib.rc_context(_SETTINGS):
        figure = import_module("matplotlib.figure").Figure(size, dpi=DOTS, layout="constrained")
        draw(figure, look)
        drawn, written = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png")
    image = (
        import_module("PIL.Image")
        .open(drawn)
        .convert("RGB")
        .quantize(COLOURS, MAX_COVERAGE, dither=0)
    )
    image.save(written, format="png", optimize=True)
    return written.getvalue()


@functools.cache
def plotting() -> Any:  # noqa: ANN401 - a package
    """Return matplotlib, which draws without a screen.

    Raises:
        SetupError: It is not installed.
    """
    try:
        matplotlib = import_module("matplotlib")
    except ImportError:
        raise SetupError(
            "reports need matplotlib and jinja2: pip install 'querybudget[report]'"
        ) from None
    matplotlib.use("Agg")
    return matplotlib


_SETTINGS: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "font.size": 9,
}
