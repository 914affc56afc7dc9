"""YAML text or a mapping to a tree of nodes.

Scalars are read as the YAML 1.2 core schema says: `off` and `no` are words, `12:30` is no number.
Aliases and merge keys (`<<`) work; tags do not. How deep a policy nests and how many nodes it comes
to, aliases followed, are bounded, so that no small file grows large.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import yaml
from yaml import events

from querybudget.policy.diagnostics import Entries, Items, Node, Path, Problems, Scalar
from querybudget.policy.environment import UnsetError, expand

__all__ = ["from_mapping", "from_text"]

DEPTH = 32
DIGITS = 300  # of a whole number; Python reads longer ones slowly, or not at all
NODES = 100_000

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = {"!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"}
_INT = re.compile(r"[-+]?[0-9](?:_?[0-9])*")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9](?:_?[0-9])*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def from_text(text: str, environ: Mapping[str, str], problems: Problems) -> Node:
    """Read YAML.

    Raises:
        PolicyError: It is no YAML, holds more than one document, or is too deep or too large.
    """
    try:
        node = _Composer(yaml.parse(text, Loader=_Loader), environ, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"expected YAML, found a syntax error: {error.problem or error.context}"
        raise problems.stop((), message, mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        problem = str(error).splitlines()[0]
        raise problems.stop((), f"expected YAML, found a syntax error: {problem}", 0) from None
    problems.root = node
    return node


def from_mapping(
    source: Mapping[str, object], environ: Mapping[str, str], problems: Problems
) -> Node:
    """Read a mapping of the values that YAML has: mappings, lists, text, numbers, truth, None.

    Raises:
        PolicyError: It is too deep or too large.
    """
    node = _Composer(iter(()), environ, problems).python(source, ())
    problems.root = node
    return node


class _Composer:
    def __init__(
        self, stream: Iterator[events.Event], environ: Mapping[str, str], problems: Problems
    ) -> None:
        self._stream = stream
        self._environ = environ
        self._mistakes = problems
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def document(self) -> Node:
        node: Node = Scalar(None, "", 1)
        documents = 0
        for event in self._stream:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._mistakes.stop(
                        (), "expected one document, found a second", _line(event)
                    )
                node = self._node(next(self._stream), ())
        return node

    def python(self, value: object, path: Path) -> Node:
        self._grow(path, 0)
        if isinstance(value, Mapping):
            return self._python_mapping(cast("Mapping[object, object]", value), path)
        if isinstance(value, list | tuple):
            items = cast("Sequence[object]", value)
            return Items(tuple(self.python(item, (*path, i)) for i, item in enumerate(items)))
        if isinstance(value, str):
            return self._filled(str(value), path, 0)
        if value is None or isinstance(value, bool | int | float):
            return Scalar(value, _text(value))
        found = type(value).__name__
        self._mistakes.add(path, f"expected text, a number, a list or a mapping, found {found}", 0)
        return Scalar(None, "", void=True)

    def _python_mapping(self, value: Mapping[object, object], path: Path) -> Entries:
        nodes: dict[str, Node] = {}
        for key, item in value.items():
            if isinstance(key, str):
                nodes[key] = self.python(item, (*path, key))
            else:
                self._mistakes.add(path, f"expected keys of text, found {key!r}", 0)
        return Entries(nodes)

    def _node(self, event: events.Event, path: Path) -> Node:
        line = _line(event)
        if isinstance(event, events.AliasEvent):
            return self._alias(event, path, line)
        self._grow(path, line)
        before = self._count
        if isinstance(event, events.ScalarEvent):
            node: Node = self._scalar(event, path, line)
        elif isinstance(event, events.SequenceStartEvent):
            self._refuse_tag(event.tag, path, line)
            node = Items(tuple(self._items(path)), line)
        else:
            self._refuse_tag(getattr(event, "tag", None), path, line)
            node = self._mapping(path, line)
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = node, self._count - before + 1
        return node

    def _items(self, path: Path) -> Iterator[Node]:
        for index, event in enumerate(self._stream):
            if isinstance(event, events.SequenceEndEvent):
                return
            yield self._node(event, (*path, index))

    def _mapping(self, path: Path, line: int) -> Entries:
        nodes: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        for event in self._stream:
            if isinstance(event, events.MappingEndEvent):
                break
            key, at = self._key(event, path), _line(event)
            node = self._node(next(self._stream), (*path, key))
            if key == "<<":
                merged.append(node)
            elif key in nodes:
                again = f"expected each key once, found `{key}` again (first on line {lines[key]})"
                self._mistakes.add((*path, key), again, at)
            else:
                nodes[key], lines[key] = node, at
        for node in merged:
            self._merge(node, nodes, lines, path)
        return Entries(nodes, line, lines)

    def _merge(
        self, source: Node, nodes: dict[str, Node], lines: dict[str, int], path: Path
    ) -> None:
        for entries in source.items if isinstance(source, Items) else (source,):
            if not isinstance(entries, Entries):
                self._mistakes.add((*path, "<<"), "expected a mapping to merge", source.line)
                continue
            for key, node in entries.nodes.items():
                if key not in nodes:
                    nodes[key], lines[key] = node, entries.lines[key]

    def _key(self, event: events.Event, path: Path) -> str:
        if isinstance(event, events.AliasEvent):
            node = self._alias(event, path, _line(event))
            if isinstance(node, Scalar):
                return node.text
        elif isinstance(event, events.ScalarEvent):
            self._grow(path, _line(event))
            return str(event.value)
        raise self._mistakes.stop(
            path, "expected a word as the key, found a list or a mapping", _line(event)
        )

    def _alias(self, event: events.AliasEvent, path: Path, line: int) -> Node:
        found = self._anchors.get(str(event.anchor))
        if found is None:
            raise self._mistakes.stop(
                path, f"expected `&{event.anchor}` before `*{event.anchor}`", line
            )
        self._grow(path, line, found[1])
        return found[0]

    def _grow(self, path: Path, line: int, by: int = 1) -> None:
        self._count += by
        if len(path) > DEPTH:
            raise self._mistakes.stop(
                path[:4], f"expected at most {DEPTH} levels, found more", line
            )
        if self._count > NODES:
            raise self._mistakes.stop(
                path[:4], f"expected at most {NODES} values, found more", line
            )

    def _refuse_tag(self, tag: str | None, path: Path, line: int) -> None:
        word = (tag or "!").replace("tag:yaml.org,2002:", "!!")
        if word not in _CORE:
            self._mistakes.add(path, f"expected no tag, found `{word}`", line)

    def _scalar(self, event: events.ScalarEvent, path: Path, line: int) -> Scalar:
        text = str(event.value)
        self._refuse_tag(event.tag, path, line)
        if event.implicit[0]:  # plain, without quotes or a tag
            value = _resolved(text)
            if not isinstance(value, str):
                return Scalar(value, text, line)
        return self._filled(text, path, line)

    def _filled(self, text: str, path: Path, line: int) -> Scalar:
        if "${" not in text:
            return Scalar(text, text, line)
        try:
            value = expand(text, self._environ)
        except UnsetError as unset:
            self._mistakes.add(path, str(unset), line)
            return Scalar(None, "", line, text, void=True)
        return Scalar(value, value, line, text)


def _line(event: events.Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 0


def _resolved(text: str) -> str | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) <= DIGITS else float("inf")
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _text(value: float | None) -> str:
    if value is None:
        return "null"
    return repr(value).lower()
