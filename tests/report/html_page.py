"""A report's page, parsed."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = frozenset({"meta", "img", "source", "br", "link", "input"})


class Html(HTMLParser):
    """A page.

    Attributes:
        text: What it says.
        tags: Every tag, and its attributes.
        sections: What each section says.
        tables: The rows of each section's table, their heads left out.
        unclosed: Tags that were not closed in order.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.text = ""
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.sections: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.unclosed: list[str] = []
        self._section = ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag == "section":
            self._section = found["id"]
            self.sections[self._section] = ""
            self.tables[self._section] = []
        elif tag == "tr" and self._section:
            self.tables[self._section].append([])
        elif tag == "td":
            self.tables[self._section][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag
        if tag == "section":
            self.tables[self._section] = [row for row in self.tables[self._section] if row]
            self._section = ""

    def handle_data(self, data: str) -> None:
        if "style" in self.unclosed:
            return
        self.text += data
        if self._section:
            self.sections[self._section] += data
            if "td" in self.unclosed:
                self.tables[self._section][-1][-1] += data
