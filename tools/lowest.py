"""Print the lowest versions that pyproject.toml allows of what users install, as constraints.

    python -m tools.lowest > constraints.txt

The tools of the tests stay at their newest, so that their faults of then are not ours. What both
need is held to the higher of the two bounds.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# What else those versions need: matplotlib 3.9 calls names that pyparsing 3.3 warns of.
OF_THEN = ("pyparsing<3.3",)
BOUND = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?>=(?P<version>[\d.]+)")


def main() -> None:
    project = tomllib.loads(PROJECT.read_text())
    extras = project["project"]["optional-dependencies"].values()
    lowest: dict[str, str] = {}
    for requirements in (project["project"]["dependencies"], *extras):
        for name, version in bounds(requirements):
            lowest[name] = max(version, lowest.get(name, "0"), key=numbers)
    for name, version in bounds(project["dependency-groups"]["test"]):
        if name in lowest:
            lowest[name] = max(version, lowest[name], key=numbers)
    for name, version in sorted(lowest.items()):
        print(f"{name}=={version}")
    for constraint in OF_THEN:
        print(constraint)


def bounds(requirements: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and lowest version of each requirement that has a bound."""
    for requirement in requirements:
        if found := BOUND.match(requirement):
            yield found["name"].lower(), found["version"]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    main()
