"""Every `python` block of the README and the pages runs, every `yaml` block is a whole policy.

The blocks of a page are taken in order: a policy is saved as policy.yaml for the code after it, and
code sees what code before it defined. Blocks marked otherwise (`py`, `console`, `text`) are shown
only.
"""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import querybudget
import querybudget.testing
from querybudget.cli.main import command_parser
from querybudget.events import DecisionEvent
from querybudget.policy.model import Policy
from querybudget.policy.schema import json_schema

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_works(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("QUERYBUDGET_SECRET", "SECRET"):
        monkeypatch.setenv(variable, "0123456789abcdef0123456789abcdef")
    text, names = page.read_text(), dict[str, Any]()
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language == "yaml":
            Path("policy.yaml").write_text(code)
            Policy.load("policy.yaml")
        else:
            # Blank lines before it, so that a traceback has the page's own line numbers.
            lines = text.count("\n", 0, block.start(2))
            exec(compile("\n" * lines + code, page, "exec"), names)  # noqa: S102


def test_the_readme_s_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / "README.md").read_text())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_page_on_installing_has_every_extra_and_every_command() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = re.findall(r"^  (\w+)  ", command_parser().format_help(), re.MULTILINE)
    assert len(commands) > 20
    assert sorted(rows) == sorted([*project["optional-dependencies"], *commands])


def test_the_reference_has_every_public_name_of_the_package_and_of_the_testing_kit() -> None:
    pages = (ROOT / "docs" / "reference").glob("*.md")
    texts = [page.read_text() for page in pages]
    described = {name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}
    homes = {name: f"querybudget.{home}" for name, home in querybudget._MODULE_OF.items()}
    kit = {name: getattr(querybudget.testing, name) for name in querybudget.testing.__all__}
    homes |= {name: thing.__module__ for name, thing in kit.items()}
    assert len(homes) > 40
    assert [
        name
        for name, home in homes.items()
        if not described & {home, f"{home}.{name}", *_where(home, name)}
    ] == []


def _where(home: str, name: str) -> set[str]:
    """The ways to name something that a package takes from one of its modules."""
    module = str(getattr(getattr(import_module(home), name), "__module__", home))
    return {module, f"{module}.{name}"}


def test_the_pages_name_every_member_of_an_event() -> None:
    pages = [(ROOT / "docs" / name).read_text() for name in ("events.md", "coverage.md")]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", "\n".join(pages), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    assert [name for name in DecisionEvent.__struct_fields__ if name not in named] == []


def test_the_schema_on_the_site_is_the_one_that_policies_are_read_by() -> None:
    site = pytest.importorskip("tools.site", reason="the site is built with MkDocs")
    assert json.loads(site.policy_schema()) == json_schema()


@pytest.mark.parametrize(
    ("columns", "fits"), [(["who", "calls"], True), (["who", "calls", "a longer text " * 3], False)]
)
def test_cells_carry_their_column_s_name_where_a_phone_cannot_show_the_table(
    columns: list[str], fits: bool
) -> None:
    site = pytest.importorskip("tools.site", reason="the site is built with MkDocs")
    names = "".join(f"<th>{name}</th>" for name in columns)
    cells = '<td class="x">1</td>' * len(columns)
    table = f'<table><tr>{names}</tr><tr class="doc">{cells}</tr></table>'
    assert ("data-rows" in site.on_page_content(table)) is not fits
    assert site.on_page_content(table).count("data-label") == (0 if fits else len(columns))


def test_each_page_of_the_reference_is_in_its_index_and_in_the_navigation() -> None:
    folder = ROOT / "docs" / "reference"
    pages = {page.name for page in folder.glob("*.md")}
    linked = set(re.findall(r"\]\((\w+\.md)\)", (folder / "index.md").read_text()))
    listed = re.findall(r"reference/(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert pages - {"index.md"} == linked
    assert sorted(listed) == sorted(pages)
