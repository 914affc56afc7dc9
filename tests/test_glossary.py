"""docs/glossary.md has every public noun, and no noun has two meanings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import querybudget
from querybudget.policy.schema import json_schema

GLOSSARY = (Path(__file__).parents[1] / "docs" / "glossary.md").read_text()
ENTRY = re.compile(r"^(\*\*.+)\n((?::   |    ).+\n)+", re.MULTILINE)

PUBLIC = (
    "",
    "adapters",
    "adapters.base",
    "adapters.metering",
    "asgi",
    "backends",
    "breaker",
    "coverage",
    "embedding",
    "errors",
    "events",
    "identity",
    "ledger",
    "ledger.windows",
    "limiter",
    "policy",
    "policy.model",
    "policy.prices",
    "proxy",
    "refusals",
    "replay",
    "resilience",
    "stores",
    "testing",
    "testing.contracts",
    "units",
)
"""Modules of querybudget from whose `__all__` users and extenders import."""

SAME_FILE = {
    "asgi": "the protocol: the edge itself, and what drives it in tests",
    "base": "what all modules of a package have in common",
    "changes": "what operators have changed, as a store keeps it: in a file, and on a server",
    "callers": "callers by what people call them: those of the demo, and those of operators",
    "clock": "the time as stores take it: the system's, and one moved by hand",
    "console": "the console: its pages, and the command that serves them",
    "coverage": "what a partition covered: computed, charged, and tested",
    "file": "a file on disk as its reader sees it: of the policy, and of SQLite's accounts",
    "health": "the state of the store: found out, and shown over HTTP",
    "identity": "the package, and the module with its namesake",
    "linking": "links between accounts: the package, and what a policy says of it",
    "limiter": "the package, the module with its namesake, and limiters for tests",
    "proxy": "the package, and the command for it",
    "reloading": "another policy while it runs: what asks for it, and what it changes",
    "replay": "the package, and the command for it",
    "report": "the package, and the command for it",
    "schema": "the shape of data: of the policy, and of SQLite's tables",
    "store": "a store: of each kind, one that may fail, its contract, and the command for it",
    "types": "a package's data types: the ledger's, and ASGI's",
}
"""Names of several files that have one meaning in all of them, and which."""


def words(name: str) -> str:
    """`LineStatus`, `line_status`, `Line status` and `line statuses` alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+", " ", name)
    return " ".join(word.removesuffix("s") for word in spaced.lower().split())


def entries() -> Iterator[tuple[str, str]]:
    for entry in ENTRY.finditer(GLOSSARY):
        yield entry[1], entry[0]


def in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


HEADS = {words(head[2:].partition("**")[0]) for head, _ in entries()}
IN_HEADS = {words(code) for head, _ in entries() for code in in_code(head)}
IN_ENTRIES = {words(code) for _, entry in entries() for code in in_code(entry)}
FILES = {code for _, entry in entries() for code in in_code(entry) if code.endswith((".py", "/"))}


def public_classes() -> Iterator[tuple[str, type[Any]]]:
    for module in PUBLIC:
        loaded = importlib.import_module(f"querybudget.{module}".rstrip("."))
        for name in getattr(loaded, "__all__", ()):
            if not name.startswith("_") and inspect.isclass(value := getattr(loaded, name)):
                yield name, value


def modules() -> list[str]:
    """Dotted names without the package's own."""
    found = pkgutil.walk_packages(querybudget.__path__, "querybudget.")
    return [m.name.removeprefix("querybudget.") for m in found if not m.name.endswith("__main__")]


def policy_keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {key for item in schema for key in policy_keys(item)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {}))
    return own | {key for value in schema.values() for key in policy_keys(value)}


def test_the_glossary_is_sorted_and_has_each_entry_once() -> None:
    heads = [head.partition("**")[2].partition("**")[0].lower() for head, _ in entries()]
    assert heads == sorted(set(heads))


def test_every_entry_is_short() -> None:
    long = [head for head, entry in entries() if len(entry.splitlines()) > 6]
    assert long == []


def test_every_public_class_has_an_entry() -> None:
    names = {name for name, _ in public_classes()}
    assert sorted(n for n in names if words(n) not in HEADS | IN_HEADS | IN_ENTRIES) == []


def test_every_file_and_package_is_in_an_entry() -> None:
    names = {file.rstrip("/").removesuffix(".py").rpartition("/")[2] for file in FILES}
    known = {words(name) for name in names} | HEADS | IN_HEADS
    assert sorted(m for m in modules() if words(m.rpartition(".")[2]) not in known) == []


def test_every_key_of_the_policy_is_in_an_entry() -> None:
    keys = policy_keys(json_schema())
    assert len(keys) > 80
    assert sorted(key for key in keys if words(key) not in HEADS | IN_ENTRIES) == []


def test_the_glossary_names_no_file_that_does_not_exist() -> None:
    root = Path(querybudget.__file__).parent
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*")]
    files = {file.rstrip("/") for file in FILES if not file.startswith("build_")}
    missing = [f for f in files if not any(p == f or p.endswith(f"/{f}") for p in paths)]
    assert sorted(f for f in missing if not f.startswith("tools/")) == []


def test_no_public_class_has_the_name_of_another() -> None:
    homes = defaultdict(set)
    for name, cls in public_classes():
        homes[name].add(f"{cls.__module__}.{cls.__qualname__}")
    double = {name: sorted(found) for name, found in homes.items() if len(found) > 1}
    assert double == {}


def test_no_two_files_have_one_name_with_two_meanings() -> None:
    homes = defaultdict(list)
    for module in modules():
        homes[module.rpartition(".")[2]].append(module)
    double = {name: found for name, found in homes.items() if len(found) > 1}
    assert {name: found for name, found in double.items() if name not in SAME_FILE} == {}
    assert sorted(SAME_FILE) == sorted(double), "a name in SAME_FILE is no longer of two files"


@pytest.mark.parametrize("name", ["LineStatus", "line_status", "line status", "Line statuses"[:-2]])
def test_names_are_compared_by_their_words(name: str) -> None:
    assert words(name) == words("line status")
