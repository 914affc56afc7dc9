"""Each example of a server is short, has a policy, and a page with its command and a request."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from querybudget import Policy

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/servers"
FOLDER = ROOT / "docs/servers"
PAGES = "\n".join(page.read_text() for page in FOLDER.glob("*.md"))
SHOWN = " ".join(PAGES.replace("\\\n", " ").split())
APPS = sorted(EXAMPLES.glob("*_app.py"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_of_a_server_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.stem)
def test_the_command_of_an_example_is_on_its_page(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    command = " ".join(said.partition("\n\n")[2].replace("\\", " ").split())
    assert command
    assert f"$ {command}" in SHOWN
    assert f"`examples/servers/{path.name}`" in PAGES


@pytest.mark.parametrize(
    "path", [*APPS, EXAMPLES / "vllm_app.py"], ids=lambda path: path.stem.removesuffix("_app")
)
def test_an_example_of_a_server_has_a_policy_that_is_right(path: Path) -> None:
    policy = Policy.load(path.with_name(f"{path.stem.removesuffix('_app')}.yaml"), environ={})
    assert len(policy.budgets) == 3


@pytest.mark.parametrize(
    "page",
    [page for page in sorted(FOLDER.glob("*.md")) if page.stem != "mcp"],
    ids=lambda page: page.stem,
)
def test_every_page_has_the_same_request_and_client_to_try_its_example_with(page: Path) -> None:
    assert tried(page) == tried(FOLDER / "fastapi.md")


def tried(page: Path) -> str:
    """Return what a page says after the command, but for the port, the model and the policy."""
    said = page.read_text().partition("In another terminal")[2].partition("`make test-servers")[0]
    assert said
    said = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", said)
    return re.sub(r"servers/\w+\.yaml", "POLICY", said).replace('"MODEL"', '"tern"')
