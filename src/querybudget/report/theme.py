"""How pictures look: in light and dark, on a wide page and on a phone.

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

DOTS = 150
"""Dots per inch."""


class Look(msgspec.Struct, frozen=True):
    """One way in which a picture is drawn.

    Attributes:
        name: ``light``, ``dark``, and each followed by ``-narrow``.
        narrow: Whether it is for a phone.
        paper, ink, faint, soft: Colours of the ground, of words, of rules, and of what is behind.
        blue: Blue that can be seen on the paper.
    """

    name: str
    narrow: bool
    paper: str
    ink: str
    faint: str
    soft: str
    blue: str = BLUE

    @property
    def series(self) -> tuple[str, ...]:
        """Colours of series."""
        return (self.blue, *SERIES[1:])


_LIGHT = ("#ffffff", "#1b2230", "#d5dae1", "#eef1f5")
_DARK = ("#12161c", "#e4e8ee", "#3a4350", "#1f2630")

LOOKS = (
    Look("light", narrow=False, paper=_LIGHT[0], ink=_LIGHT[1], faint=_LIGHT[2], soft=_LIGHT[3]),
    Look("dark", False, *_DARK, blue="#4aa3df"),
    Look("light-narrow", True, *_LIGHT),
    Look("dark-narrow", True, *_DARK, blue="#4aa3df"),
)

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
    size = (4.1, narrow_height) if look.narrow else (9.6, height)
    with matplotlib.rc_context(_settings(look)):
        figure = import_module("matplotlib.figure").Figure(size, dpi=DOTS, layout="constrained")
        draw(figure, look)
        written = io.BytesIO()
        figure.savefig(written, format="png", metadata={"Software": None})
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


def _settings(look: Look) -> dict[str, Any]:
    return {
        "figure.facecolor": look.paper,
        "axes.facecolor": look.paper,
        "axes.edgecolor": look.faint,
        "axes.labelcolor": look.ink,
        "axes.titlecolor": look.ink,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": look.faint,
        "grid.linewidth": 0.6,
        "text.color": look.ink,
        "xtick.color": look.ink,
        "ytick.color": look.ink,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "font.size": 9,
    }
