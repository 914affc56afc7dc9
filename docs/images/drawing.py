"""Shapes of the diagrams: SVG that takes the colours of the page, and has its own elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

# On the site, docs/site.css sets these variables for the light and the dark scheme.
STYLE = """
.qb rect.paper { fill: var(--qb-paper, #ffffff) }
.qb text { font: 15px system-ui, sans-serif; fill: var(--qb-ink, #1f2430) }
.qb text.small { font-size: 13px; fill: var(--qb-faint, #566074) }
.qb text.code { font: 14px ui-monospace, monospace }
.qb .box { fill: var(--qb-box, #eef1fb); stroke: var(--qb-edge, #8f9bc4); stroke-width: 1.2 }
.qb .frame { fill: none; stroke: var(--qb-edge, #8f9bc4); stroke-dasharray: 5 4 }
.qb .line { fill: none; stroke: var(--qb-edge, #8f9bc4); stroke-width: 1.4 }
.qb .grid { stroke: var(--qb-edge, #8f9bc4); stroke-width: .6; opacity: .45 }
.qb .first { fill: none; stroke: var(--qb-first, #3949ab); stroke-width: 2.6 }
.qb .second { fill: none; stroke: var(--qb-second, #c2410c); stroke-width: 2.6 }
.qb .other { fill: none; stroke: var(--qb-edge, #8f9bc4); stroke-width: 1.1 }
.qb .dashed { stroke-dasharray: 7 4 }
.qb text.first { fill: var(--qb-first, #3949ab); stroke: none }
.qb text.second { fill: var(--qb-second, #c2410c); stroke: none }
.qb .tip { fill: var(--qb-edge, #8f9bc4) }
""".strip().replace("\n", "")

WIDTH = 480
"""Of every diagram: narrow enough that its letters can be read on a phone."""


def svg(name: str, height: float, title: str, parts: Iterable[str]) -> str:
    """Return a whole picture. `name` keeps its marker apart from those of others on a page."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="qb" viewBox="0 0 {WIDTH} {height:g}"'
        f' role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">'
    )
    marker = (
        f'<defs><marker id="{name}-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    paper = f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="8"/>'
    body = "\n".join(parts).replace("#tip", f"#{name}-tip")
    return f"{head}\n<style>{STYLE}</style>\n{marker}\n{paper}\n{body}\n</svg>\n"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    """Return a line of text that is centred at `x`, or begins or ends there."""
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attribute}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, *lines: str) -> str:
    """Return a box with lines of text, the first large and the others small."""
    middle = y + height / 2 + 5 - 9 * (len(lines) - 1)
    words = [
        text(x + width / 2, middle + 18 * number, line, "small" if number else "")
        for number, line in enumerate(lines)
    ]
    shape = f'<rect class="box" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    return "\n".join([shape, *words])


def frame(x: float, y: float, width: float, height: float) -> str:
    """Return a dashed frame around other things."""
    size = f'width="{width:g}" height="{height:g}"'
    return f'<rect class="frame" x="{x:g}" y="{y:g}" {size} rx="10"/>'


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    """Return a line through the points, with a tip at the last one."""
    path = "L".join(f"{x:g} {y:g}" for x, y in points)
    kind = "line dashed" if dashed else "line"
    return f'<path class="{kind}" d="M{path}" marker-end="url(#tip)"/>'


def curve(points: Iterable[tuple[float, float]], kind: str) -> str:
    """Return a line through the points of a chart."""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{path}"/>'


def rule(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a faint line of a chart's grid."""
    return f'<line class="grid" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'
