"""A policy as nodes that know where they were written, and the problems found in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from msgspec import Struct

from querybudget.errors import PolicyError, PolicyProblem

Path = tuple[str | int, ...]
"""Where in the policy: keys and indexes from the top."""

SECRET_PART = 30  # characters of a variable's value that no message shows

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Scalar(Struct, frozen=True):
    """A word, number, truth value or nothing.

    Attributes:
        value: As YAML or Python has it.
        text: As written, with environment variables replaced.
        line: From 1; 0 where there is none.
        template: The text as written where a variable was replaced, shown in messages instead of
            the value, which may be secret; empty where no variable was replaced.
        void: A problem with it has been noted; there is no value.
    """

    value: str | float | bool | None
    text: str
    line: int = 0
    template: str = ""
    void: bool = False


class Items(Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]
    line: int = 0


class Entries(Struct, frozen=True):
    """A mapping.

    Attributes:
        nodes: The value of each key.
        line: Where it starts.
        lines: The line of each key.
    """

    nodes: Mapping[str, Node]
    line: int = 0
    lines: Mapping[str, int] = {}


Node = Scalar | Items | Entries


class Problems:
    """Collects problems, and finds the line of each.

    Attributes:
        source: Name of what is read.
        root: The tree once it is read; lines are looked up in it.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node = Scalar(None, "")
        self._unknown: list[PolicyProblem] = []
        self._noted: list[PolicyProblem] = []
        self._wrong: set[Path] = set()
        self._indexes: dict[Path, dict[str, int]] = {}

    def add_unknown(self, path: Path, message: str) -> None:
        """Note that there is no key such as the last of `path`; it stands before others there."""
        self._unknown.append(self._problem(path, message, self.line(path)))

    def add(self, path: Path, message: str, line: int | None = None) -> None:
        """Note a problem at `path`. What an environment variable holds is left out."""
        node, node_line = self._reach(path)
        if isinstance(node, Scalar) and node.template and node.text[:SECRET_PART] in message:
            expected = message.partition(", found ")[0]
            message = f"{expected}, found what `{node.template}` stands for"
        self._noted.append(self._problem(path, message, node_line if line is None else line))

    def _problem(self, path: Path, message: str, line: int) -> PolicyProblem:
        self._wrong.update(path[:length] for length in range(len(path) + 1))
        return PolicyProblem(self.source, line, _written(path), message)

    def wrong(self, path: Path) -> bool:
        """Whether there is a problem at `path` or inside it."""
        return path in self._wrong

    def keys(self, path: Path) -> Collection[str]:
        """Return the keys of the mapping at `path`; none where something else stands there."""
        node, _ = self._reach(path)
        return node.nodes.keys() if isinstance(node, Entries) else ()

    def mapping(self, path: Path) -> bool:
        """Whether a mapping stands at `path`."""
        return isinstance(self._reach(path)[0], Entries)

    def line(self, path: Path) -> int:
        """Return the line of what stands at `path`; 0 where there is no text."""
        return self._reach(path)[1]

    def item(self, path: Path, word: str) -> Path:
        """Return the path of `word` in the list at `path`, or `path` if it stands there alone."""
        if path not in self._indexes:
            node, _ = self._reach(path)
            items = node.items if isinstance(node, Items) else ()
            self._indexes[path] = {
                item.text: index
                for index, item in reversed(tuple(enumerate(items)))
                if isinstance(item, Scalar)
            }
        index = self._indexes[path].get(word)
        return path if index is None else (*path, index)

    def stop_if_any(self) -> None:
        """Raise the problems noted so far, in the order of the file.

        Raises:
            PolicyError: There is at least one problem.
        """
        if found := [*self._unknown, *self._noted]:
            raise PolicyError(tuple(sorted(found, key=lambda problem: problem.line)))

    def stop(self, path: Path, message: str, line: int | None = None) -> PolicyError:
        """Return the error to raise where reading cannot go on: this problem and all before it."""
        self.add(path, message, line)
        return PolicyError((*self._unknown, *self._noted))

    def _reach(self, path: Path) -> tuple[Node, int]:
        """Return the last node there is on the way to `path`, and its line."""
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
        if _WORD.fullmatch(step)
        else f"[{step!r}]"
        for step in path
    )
    return "$" + "".join(steps)
