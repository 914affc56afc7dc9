"""What the documentation site does beyond MkDocs: mkdocs.yml names this file under `hooks`.

- A page takes in sections of the README where it names them, `<!-- README: What it guarantees -->`.
- Diagrams become a part of their page, so that they have its colours, light and dark.
- Cells of wide tables carry their column's name, which a phone shows (docs/assets/site.css).
- Each page in docs/servers is in the navigation.
- The policy's JSON Schema is a file of the site.
- The foot of each page says which version it describes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from itertools import zip_longest
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

DIAGRAM = re.compile(r'<img[^>]*\bsrc="[^"]*images/(\w+)\.svg"[^>]*>')
SECTION = re.compile(r"^<!-- README: (.+) -->$", re.MULTILINE)
TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
HEADING = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
ROW = re.compile(r"<tr[^>]*>.*?</tr>", re.DOTALL)
CELL = re.compile(r"<td([^>]*)>")
TEXT = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")

CHANGELOG = "changelog:"
"""Stands for the changelog's address in the foot, until the page is known."""

SERVERS = {"Servers": "servers.md"}

NARROW = 46
"""A table of so many characters, in the longest cells of its columns, fits a phone as it is."""

SPACE = 4
"""Characters that would fit between two columns."""

MANY = 7
"""A table of so many columns stands close, so that it fits beside the navigation."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Say in the foot of each page which version it describes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    config.copyright = (
        f"querybudget {project['version']}, licence {project['license']}."
        f' <a href="{CHANGELOG}">What has changed</a>.'
    )
    for group in config.nav or ():
        for pages in group.values():
            if isinstance(pages, list) and SERVERS in pages:
                pages[pages.index(SERVERS)] = {"Servers": _server_pages()}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Publish the JSON Schema of the policy, as `querybudget schema` prints it."""
    files.append(File.generated(config, "policy.schema.json", content=policy_schema()))
    return files


def policy_schema() -> str:
    """Return the JSON Schema of the policy file, by the command of this source."""
    ran = subprocess.run(
        [sys.executable, "-m", "querybudget", "schema"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def on_page_markdown(markdown: str, **_: object) -> str:
    """Take in the README's sections, whose links lead from the root of the repository."""
    readme = (ROOT / "README.md").read_text()
    return SECTION.sub(lambda name: _section(readme, name[1]), markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Make the foot's link lead to the changelog from wherever the page is."""
    return output.replace(CHANGELOG, "../" * page.url.count("/") + "changelog/")


def on_page_content(html: str, **_: object) -> str:
    """Take the diagrams in, and name the cells of wide tables."""
    return TABLE.sub(_named, DIAGRAM.sub(_taken_in, html))


def _section(readme: str, name: str) -> str:
    _, heading, text = readme.partition(f"\n## {name}\n")
    if not heading:
        raise PluginError(f"the README has no section {name!r}")
    body, _, _ = text.partition("\n## ")
    return f"## {name}\n{body}".replace("](docs/", "](").rstrip()


def _server_pages() -> list[str]:
    """The page on all servers, then those of single ones as they are in their folder."""
    folder = ROOT / "docs" / "servers"
    own = sorted(path.name for path in folder.glob("*.md") if path.name != "index.md")
    home = "servers/index.md" if (folder / "index.md").exists() else "servers.md"
    return [home, *(f"servers/{name}" for name in own)]


def _taken_in(image: re.Match[str]) -> str:
    picture = ROOT / "docs" / "images" / f"{image[1]}.svg"
    text = picture.read_text()
    return text.replace("\n", "") if 'class="qb"' in text else image[0]


def _named(table: re.Match[str]) -> str:
    names = [TAG.sub("", name).strip() for name in HEADING.findall(table[0])]
    if _width(table[0]) <= NARROW:
        return table[0]
    body = ROW.sub(lambda row: _labelled(row[0], names), table[0])
    kind = ' data-rows="close"' if len(names) >= MANY else " data-rows"
    return body.replace("<table>", f"<table{kind}>", 1)


def _width(table: str) -> int:
    """The characters of the longest cell of each column, and the space between columns."""
    rows = [[TAG.sub("", cell).strip() for cell in TEXT.findall(row)] for row in ROW.findall(table)]
    columns = zip_longest(*rows, fillvalue="")
    return sum(max(map(len, column)) + SPACE for column in columns)


def _labelled(row: str, names: list[str]) -> str:
    columns = iter(names)

    def label(cell: re.Match[str]) -> str:
        name = next(columns, "").replace('"', "&quot;")
        return f'<td{cell[1]} data-label="{name}">' if name else cell[0]

    return CELL.sub(label, row)
