"""A policy as nodes that know where they were written, and the mistakes found in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from querybudget.errors import PolicyError, PolicyProblem

__all__ = ["Entries", "Items", "Node", "Path", "Problems", "Scalar"]

Path = tuple[str | int, ...]
"""Where in the policy: keys and indexes from the top."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word, number, truth value or nothing.

    Attributes:
        value: As YAML or Python has it.
        text: As written, environment variables filled in.
        line: From 1; 0 where there is none.
        filled: What was written where a variable was filled in, to be shown in place of the value,
            which may be secret; empty where none was.
        void: A mistake in it has been noted; there is no value.
    """

    value: str | float | bool | None
    text: str
    line: int = 0
    filled: str = ""
    void: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping.

    Attributes:
        nodes: The value of each key.
        line: Where it starts.
        lines: Where each key stands.
    """

    nodes: Mapping[str, Node]
    line: int = 0
    lines: Mapping[str, int] = field(default_factory=dict[str, int])


Node = Scalar | Items | Entries


class Problems:
    """Collects mistakes, and finds the line of each.

    Attributes:
        source: Name of what is read.
        root: The tree, once it is read; lines are looked up in it.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node = Scalar(None, "")
        self._found: list[PolicyProblem] = []

    def add(self, path: Path, message: str, line: int | None = None) -> None:
        """Note that there is a mistake at `path`."""
        line = self._reach(path)[1] if line is None else line
        self._found.append(PolicyProblem(self.source, line, _written(path), message))

    def wrong(self, path: Path) -> bool:
        """Whether there is a mistake at `path`, or in what stands there."""
        written = _written(path)
        within = (f"{written}.", f"{written}[")
        return any(
            problem.path == written or problem.path.startswith(within) for problem in self._found
        )

    def keys(self, path: Path) -> Collection[str]:
        """Return the keys of the mapping at `path`; none where something else stands there."""
        node, _ = self._reach(path)
        return node.nodes.keys() if isinstance(node, Entries) else ()

    def mapping(self, path: Path) -> bool:
        """Whether a mapping stands at `path`."""
        return isinstance(self._reach(path)[0], Entries)

    def item(self, path: Path, word: str) -> Path:
        """The path of `word` in the list at `path`, or `path` where a single word stands there."""
        node, _ = self._reach(path)
        for index, item in enumerate(node.items if isinstance(node, Items) else ()):
            if isinstance(item, Scalar) and item.text == word:
                return (*path, index)
        return path

    def stop_if_any(self) -> None:
        """Raise what was noted, in the order of the file.

        Raises:
            PolicyError: There is at least one mistake.
        """
        if self._found:
            raise PolicyError(tuple(sorted(self._found, key=lambda problem: problem.line)))

    def stop(self, path: Path, message: str, line: int | None = None) -> PolicyError:
        """The error to raise where reading cannot go on: this mistake and all before it."""
        self.add(path, message, line)
        return PolicyError(tuple(self._found))

    def _reach(self, path: Path) -> tuple[Node, int]:
        """The last node there is on the way to `path`, and its line."""
        node, line = self.root, self.root.line
        for step in path:
            if isinstance(node, Entries) and isinstance(step, str) and step in node.nodes:
                line, node = node.lines.get(step, 0), node.nodes[step]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                line = node.line
            elif step != 0 or isinstance(node, Items):  # an only item may stand without its list
                break
        return node, line


def _written(path: Path) -> str:
    steps = (
        f"[{step}]"
        if isinstance(step, int)
        else f".{step}"
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step)
        else f"[{step!r}]"
        for step in path
    )
    return "$" + "".join(steps)
