"""Every `python` block of the README and the pages runs, every `yaml` block is a whole policy.

The blocks of a page are taken in order: a policy is saved as policy.yaml for the code after it, and
code sees what code before it defined. Blocks marked otherwise (`py`, `console`, `text`) are shown
only.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from querybudget.cli.main import command_parser
from querybudget.policy.model import Policy

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
