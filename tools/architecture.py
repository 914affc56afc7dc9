"""Write what docs/architecture.md shows of the import order: a table of layers, and a picture.

    python -m tools.architecture

The layers are read from pyproject.toml, where import-linter holds the code to them; what a package
does is the first sentence of its docstring; the arrows are the imports that grimp finds in the
installed package. Run it after a change of any of these; a test fails until then.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import grimp

PACKAGE = "querybudget"
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "imports.svg"
BEGIN, END = "<!-- layers: begin -->\n", "<!-- layers: end -->\n"

# The picture, in pixels.
WIDTH, ROW, BOX, TOP = 760, 58, 30, 14
CHARACTER, PADDING, GAP, SHIFT = 8.2, 22, 26, 110

NOT_DRAWN = "errors"
"""Nearly every package imports it."""

Layers = list[list[str]]
Graph = Mapping[str, frozenset[str]]


def layers() -> Layers:
    """The layers of pyproject.toml, highest first, each a list of module names."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    contracts = settings["importlinter"]["contracts"]
    rows: list[str] = next(c["layers"] for c in contracts if c["id"] == "layers")
    return [[name.strip(" ()") for name in row.split("|")] for row in rows]


def purpose(module: str) -> str:
    """The first sentence of a top-level module's docstring, without its full stop."""
    spec = find_spec(f"{PACKAGE}.{module}")
    if spec is None or spec.origin is None:
        return ""
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def table() -> str:
    """The layers as a Markdown table, highest first."""
    lines = ["| Layer | Package or module | What it is |", "|---:|---|---|"]
    order = layers()
    for number, row in zip(range(len(order), 0, -1), order, strict=True):
        lines += [f"| {number} | `{name}` | {purpose(name)} |" for name in row]
    return "\n".join(lines) + "\n"


def page() -> str:
    """docs/architecture.md with the table as it should be."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table() + "\n" + END + after


@cache
def module_graph() -> Graph:
    """Each module of the package, and the modules that it imports when it is run."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    return {
        module: frozenset(graph.find_modules_directly_imported_by(module))
        for module in sorted(graph.modules)
    }


def package_graph() -> Graph:
    """Each top-level package or module, and those that it imports."""
    known = {name for row in layers() for name in row}
    imports: dict[str, set[str]] = {name: set() for name in sorted(known)}
    for module, targets in module_graph().items():
        source = _top(module)
        if source in known:
            imports[source] |= {_top(target) for target in targets} & known - {source}
    return {name: frozenset(targets) for name, targets in imports.items()}


def cycles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other, directly or not (Tarjan's components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        path.append(module)
        for target in sorted(graph.get(module, ())):
            if target not in order:
                visit(target)
            if target in path:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == order[module]:
            group = path[path.index(module) :]
            del path[path.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in order:
            visit(module)
    return found


def picture() -> str:
    """The packages by layer, an arrow to each that is imported and not already reached."""
    order, graph = layers(), package_graph()
    boxes = {
        name: (x, TOP + ROW * row, width)
        for row, names in enumerate(order)
        for name, x, width in _spread(names, row)
    }
    height = TOP + ROW * (len(order) - 1) + BOX + TOP
    arrows = [
        _arrow(boxes[source], boxes[target])
        for source in boxes
        for target in sorted(_nearest(source, graph))
    ]
    drawn = [_box(name, *place) for name, place in boxes.items()]
    return "\n".join([_HEAD.format(width=WIDTH, height=height), *arrows, *drawn, "</svg>", ""])


def _top(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.").partition(".")[0]


def _reached(names: Iterable[str], graph: Graph) -> set[str]:
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        for target in graph[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen


def _nearest(source: str, graph: Graph) -> frozenset[str]:
    return graph[source] - _reached(graph[source], graph) - {NOT_DRAWN}


def _spread(names: list[str], row: int) -> list[tuple[str, float, float]]:
    """The boxes of one row, side by side: name, left edge, width.

    A box alone in its row stands left or right of the middle, so that long arrows pass beside it.
    """
    widths = [len(name) * CHARACTER + PADDING for name in names]
    gap = max(float(GAP), (WIDTH - sum(widths)) / (len(names) + 1) / 1.6)
    x = (WIDTH - sum(widths) - gap * (len(names) - 1)) / 2
    if len(names) == 1:
        x += SHIFT if row % 2 else -SHIFT
    places: list[tuple[str, float, float]] = []
    for name, width in zip(names, widths, strict=True):
        places.append((name, round(x, 1), round(width, 1)))
        x += width + gap
    return places


def _box(name: str, x: float, y: float, width: float) -> str:
    middle = round(x + width / 2, 1)
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{BOX}" rx="4"/>'
        f'<text x="{middle}" y="{y + 20}">{escape(name)}</text>'
    )


def _arrow(source: tuple[float, float, float], target: tuple[float, float, float]) -> str:
    x, y = round(source[0] + source[2] / 2, 1), source[1] + BOX
    to_x, to_y = round(target[0] + target[2] / 2, 1), target[1] - 2
    bend = round((to_y - y) / 2, 1)
    return f'<path d="M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"/>'


_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" \
aria-label="The packages of querybudget by layer, with an arrow to each that is imported">
<style>
rect {{ fill: #eef2ff; stroke: #4a5aa8; }}
text {{ font: 14px monospace; text-anchor: middle; fill: #1c2340; }}
path {{ fill: none; stroke: #8791b8; marker-end: url(#tip); }}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0L8 4L0 8z" style="fill: #8791b8; stroke: none"/></marker></defs>
<rect width="{width}" height="{height}" style="fill: #ffffff; stroke: none"/>"""


def main() -> None:
    PAGE.write_text(page())
    PICTURE.write_text(picture())


if __name__ == "__main__":
    main()
