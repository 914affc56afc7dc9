"""The page of a report: one HTML file that fetches nothing, and its pictures."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from querybudget.errors import SetupError
from querybudget.report.theme import LOOKS, Draw, picture

PAGE = "report.html"


class Tile(msgspec.Struct, frozen=True):
    """One figure at the top of the page, and what it is."""

    figure: str
    words: str


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    Attributes:
        name: Its head.
        number: Whether it has figures.
        code: Whether it has keys.
    """

    name: str
    number: bool = False
    code: bool = False


class Section(msgspec.Struct):
    """A part of the page.

    Attributes:
        name: Names it, and its PNG.
        title: Its heading.
        words: What it shows.
        draw: Draws its picture; None without one.
        heights: Inches of the picture, on a wide page and on a phone.
        alt: The picture in words.
        columns: Of its table.
        rows: Of its table: texts, or several texts.
        missing: What cannot be shown, and why; empty for nothing.
        pictures: The picture in each look, as ``data:`` URLs.
    """

    name: str
    title: str
    words: str
    draw: Draw | None = None
    heights: tuple[float, float] = (3.6, 3.6)
    alt: str = ""
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[str | Sequence[str]]] = ()
    missing: str = ""
    pictures: dict[str, str] = {}


class Page(msgspec.Struct):
    """A report.

    Attributes:
        title: What it is about.
        about: When, how much, by which policy.
        tiles: The figures at its top.
        notes: What a reader has to know.
        sections: The rest, in order.
    """

    title: str
    about: str
    tiles: list[Tile]
    notes: list[str] = []
    sections: list[Section] = []


def write(page: Page, folder: Path) -> list[Path]:
    """Write a report's page and its pictures into a folder; return their paths, the page first.

    Raises:
        SetupError: The extra ``report`` is not installed.
        OSError: It cannot be written.
    """
    from querybudget import __version__  # noqa: PLC0415 - reads the package's metadata

    environment = _environment()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for section in page.sections:
        if section.draw is None:
            continue
        drawn = {look.name: picture(section.draw, look, *section.heights) for look in LOOKS}
        section.pictures = {name: _data(png) for name, png in drawn.items()}
        path = folder / f"{section.name}.png"
        path.write_bytes(drawn["wide"])
        written.append(path)
    template = environment.get_template(PAGE)
    members: Mapping[str, Any] = msgspec.structs.asdict(page)
    path = folder / PAGE
    text = template.render(version=__version__, column_cells=_cells, **members)
    path.write_text(text, encoding="utf-8")
    return [path, *written]


def _cells(
    section: Section, row: Sequence[str | Sequence[str]]
) -> Iterator[tuple[Column, str | Sequence[str]]]:
    return zip(section.columns, row, strict=True)


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@functools.cache
def _environment() -> Any:  # noqa: ANN401 - an extra's class
    try:
        jinja2 = import_module("jinja2")
    except ImportError:
        raise SetupError(
            "reports need matplotlib and jinja2: pip install 'querybudget[report]'"
        ) from None
    text = files("querybudget.report").joinpath("templates/page.html").read_text("utf-8")
    loader = jinja2.DictLoader({PAGE: text})
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
