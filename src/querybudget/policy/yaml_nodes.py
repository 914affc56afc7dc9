"""YAML text or a mapping to a tree of nodes.

Scalars are read as the YAML 1.2 core schema says: `off` and `no` are words, `12:30` is no number.
Aliases and merge keys (`<<`) work; tags do not. `${NAME}` and `${NAME:-default}` are replaced by
environment variables after parsing, so that no value can add a key or a list; `$${` stands for a
plain `${`.

The nodes are made from PyYAML's events, so that their depth and number, with aliases followed, are
bounded while the text is read. `yaml.compose()` recurses in C until a deep file ends the process,
and refuses an anchor that is used again, which YAML 1.2 allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import yaml
from yaml import events

from querybudget.notation import brief
from querybudget.policy.diagnostics import Entries, Items, Node, Path, Problems, Scalar
from querybudget.text import nearest

OPENSSL_HINT = " (give the one that your servers have; `openssl rand -hex 32` makes a new one)"
MAX_DEPTH = 32
MAX_NODES = 100_000
MAX_DIGITS = 300  # of a whole number; Python reads longer ones slowly, or not at all

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {"!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"}
_INT = re.compile(r"[-+]?[0-9](?:_?[0-9])*")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9](?:_?[0-9])*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER = re.compile(r"\$?[0-9]{1,3}")
_GROUP = re.compile(r"[0-9]{3}(?![0-9])")
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


class UnsetError(ValueError):
    """A variable is not set and has no default, or is not written as one."""


def from_text(text: str, environ: Mapping[str, str], problems: Problems) -> Node:
    """Read YAML.

    Raises:
        PolicyError: It is no YAML, holds more than one document, or is too deep or too large.
    """
    try:
        node = _EventReader(yaml.parse(text, Loader=_Loader), environ, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context
        if mark and text.split("\n")[mark.line].lstrip(" ").startswith("\t"):
            problem = "a tab (indent with spaces)"
        message = f"expected YAML, found a syntax error: {problem}"
        raise problems.stop((), message, mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        problem = str(error).splitlines()[0]
        raise problems.stop((), f"expected YAML, found a syntax error: {problem}", 0) from None
    except UnicodeEncodeError:
        raise problems.stop((), "expected YAML, found a lone surrogate in it", 0) from None
    problems.root = node
    return node


def from_mapping(
    source: Mapping[str, object], environ: Mapping[str, str], problems: Problems
) -> Node:
    """Read a mapping of the values that YAML has: mappings, lists, text, numbers, truth, None.

    Raises:
        PolicyError: It is too deep or too large.
    """
    node = _ObjectReader(environ, problems).node(source, ())
    problems.root = node
    return node


def expand(text: str, environ: Mapping[str, str], hint: str = "") -> str:
    """Replace the variables of `text`, once: a variable's own value is not expanded again.

    Args:
        text: As written.
        environ: The variables.
        hint: What to append where an unset variable resembles no other.

    Raises:
        UnsetError: A variable without default is not set, or `${` is followed by no name.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            raise UnsetError("expected `${NAME}` or `${NAME:-default}` (`$${` for a plain `${`)")
        if default is not None:
            return environ.get(name) or str(default)
        if name not in environ:
            near = nearest(name, environ) or hint
            raise UnsetError(f"the environment variable `{name}` is not set{near}")
        return environ[name]

    return _VARIABLE.sub(value, text)


class _Reader:
    """What both readers do: bound the nodes, and expand the text of scalars."""

    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems
        self._nodes = 0

    def _count(self, path: Path, line: int, nodes: int = 1) -> None:
        self._nodes += nodes
        if len(path) > MAX_DEPTH:
            message = f"expected at most {MAX_DEPTH} levels, found more"
            raise self._problems.stop(path[:4], message, line)
        if self._nodes > MAX_NODES:
            message = f"expected at most {MAX_NODES} values, found more"
            raise self._problems.stop(path[:4], message, line)

    def _text(self, text: str, path: Path, line: int) -> Scalar:
        if "${" not in text:
            return Scalar(text, text, line)
        try:
            hint = OPENSSL_HINT if path == ("secret",) else ""
            value = expand(text, self._environ, hint)
        except UnsetError as unset:
            self._problems.add(path, str(unset), line)
            return Scalar(None, "", line, text, void=True)
        return Scalar(value, value, line, text)


class _ObjectReader(_Reader):
    def node(self, value: object, path: Path) -> Node:
        self._count(path, 0)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), path)
        if isinstance(value, list | tuple):
            items = cast("Sequence[object]", value)
            return Items(tuple(self.node(item, (*path, i)) for i, item in enumerate(items)))
        if isinstance(value, str):
            return self._text(str(value), path, 0)
        if value is None or isinstance(value, bool | int | float):
            return Scalar(value, "null" if value is None else repr(value).lower())
        kind = type(value).__name__
        message = f"expected text, a number, a list or a mapping, found {kind}"
        self._problems.add(path, message, 0)
        return Scalar(None, "", void=True)

    def _mapping(self, value: Mapping[object, object], path: Path) -> Entries:
        nodes: dict[str, Node] = {}
        for key, item in value.items():
            if isinstance(key, str):
                nodes[key] = self.node(item, (*path, key))
            else:
                self._problems.add(path, f"expected keys of text, found {key!r}", 0)
        return Entries(nodes)


class _EventReader(_Reader):
    def __init__(
        self, stream: Iterator[events.Event], environ: Mapping[str, str], problems: Problems
    ) -> None:
        super().__init__(environ, problems)
        self._stream = stream
        self._anchors: dict[str, tuple[Node, int]] = {}  # with the number of nodes in it

    def document(self) -> Node:
        node: Node = Scalar(None, "", 1)
        documents = 0
        for event in self._stream:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    message = "expected one document, found a second"
                    raise self._problems.stop((), message, _line(event))
                node = self._node(next(self._stream), ())
        return node

    def _node(self, event: events.Event, path: Path) -> Node:
        line = _line(event)
        if isinstance(event, events.AliasEvent):
            return self._alias(event, path, line)
        self._count(path, line)
        before = self._nodes
        self._check_tag(getattr(event, "tag", None), path, line)
        if isinstance(event, events.ScalarEvent):
            node: Node = self._scalar(event, path, line)
        elif isinstance(event, events.SequenceStartEvent):
            node = Items(tuple(self._items(path)), line)
        else:
            node = self._mapping(path, line, flow=bool(getattr(event, "flow_style", None)))
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = node, self._nodes - before + 1
        return node

    def _scalar(self, event: events.ScalarEvent, path: Path, line: int) -> Scalar:
        text = str(event.value)
        value = _resolved(text) if event.implicit[0] else text  # plain: no quotes and no tag
        return self._text(text, path, line) if isinstance(value, str) else Scalar(value, text, line)

    def _items(self, path: Path) -> Iterator[Node]:
        for index, event in enumerate(self._stream):
            if isinstance(event, events.SequenceEndEvent):
                return
            yield self._node(event, (*path, index))

    def _mapping(self, path: Path, line: int, *, flow: bool) -> Entries:
        nodes: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        last, torn = "", dict[str, list[str]]()
        for event in self._stream:
            if isinstance(event, events.MappingEndEvent):
                break
            key, key_line = self._key(event, path), _line(event)
            node = self._node(next(self._stream), (*path, key))
            if flow and _goes_on(key, node, nodes.get(last)):
                torn.setdefault(last, []).append(key)
            elif key == "<<":
                merged.append(node)
            elif key in nodes:
                again = f"expected each key once, found `{key}` again (first on line {lines[key]})"
                self._problems.add((*path, key), again, key_line)
            else:
                nodes[key], lines[key] = node, key_line
                last = key
        for key, rest in torn.items():
            nodes[key] = self._torn(nodes[key], rest, (*path, key), lines[key])
        for node in merged:
            self._merge(node, nodes, lines, path)
        return Entries(nodes, line, lines)

    def _torn(self, first: Node, rest: Sequence[str], path: Path, line: int) -> Scalar:
        """Note that the commas of a number have made keys of what follows them."""
        text = brief(",".join([first.text if isinstance(first, Scalar) else "", *rest]))
        message = f"expected quotes around {text} inside {{...}}, found commas without them"
        self._problems.add(path, message, line)
        return Scalar(None, "", line, void=True)

    def _merge(
        self, source: Node, nodes: dict[str, Node], lines: dict[str, int], path: Path
    ) -> None:
        for entries in source.items if isinstance(source, Items) else (source,):
            if not isinstance(entries, Entries):
                self._problems.add((*path, "<<"), "expected a mapping to merge", source.line)
                continue
            for key, node in entries.nodes.items():
                if key not in nodes:
                    nodes[key], lines[key] = node, entries.lines[key]

    def _key(self, event: events.Event, path: Path) -> str:
        line = _line(event)
        if isinstance(event, events.AliasEvent):
            node = self._alias(event, path, line)
            if isinstance(node, Scalar):
                return node.text
        elif isinstance(event, events.ScalarEvent):
            self._count(path, line)
            return str(event.value)
        message = "expected a word as the key, found a list or a mapping"
        raise self._problems.stop(path, message, line)

    def _alias(self, event: events.AliasEvent, path: Path, line: int) -> Node:
        name = str(event.anchor)
        if name not in self._anchors:
            raise self._problems.stop(path, f"expected `&{name}` before `*{name}`", line)
        node, size = self._anchors[name]
        self._count(path, line, size)
        return node

    def _check_tag(self, tag: str | None, path: Path, line: int) -> None:
        word = (tag or "!").replace("tag:yaml.org,2002:", "!!")
        if word not in _TAGS:
            self._problems.add(path, f"expected no tag, found `{word}`", line)


def _goes_on(key: str, node: Node, before: Node | None) -> bool:
    """Whether a key is what follows a comma in a number: `{limit: 2,000 tokens/day}`."""
    return (
        isinstance(before, Scalar)
        and isinstance(node, Scalar)
        and not node.text
        and _GROUP.match(key) is not None
        and _NUMBER.fullmatch(before.text) is not None
    )


def _line(event: events.Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 0


def _resolved(text: str) -> str | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) <= MAX_DIGITS else float("inf")
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
