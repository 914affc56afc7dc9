"""Nodes to the structs of `querybudget.policy.file`, noting every problem on the way.

msgspec stops at the first thing it does not expect, so structs, lists and mappings are walked here,
and msgspec converts each leaf. What is wrong is noted and left out: the field keeps its default, or
is `UNSET` where it may be.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType

from querybudget import notation
from querybudget.policy.diagnostics import Entries, Items, Node, Path, Problems, Scalar
from querybudget.text import listed, nearest

S = TypeVar("S", bound=Struct)

FEW_KEYS = 6
"""A longer list of known keys is shown only if none of them is similar to an unknown one."""

_OTHER_NAMES = {
    "token bucket": "gcra",
    "leaky bucket": "gcra",
    "observe": "shadow",
    "monitor": "shadow",
    "dry run": "shadow",
}
"""What others call the words of a policy."""

_NOTHING = Entries({})


class Shape(Struct, frozen=True):
    """The parts of a field's type.

    Attributes:
        type: Without annotations, and without None and `UNSET`.
        whole: As msgspec converts it, bounds included.
        unset: Whether the field becomes `UNSET` if its value is wrong, instead of its default.
        notes: What its `Meta` say, `extra` included; see `querybudget.policy.fields`.
    """

    type: Any
    whole: Any
    unset: bool
    notes: Mapping[str, Any]


def read(struct: type[S], node: Node, problems: Problems) -> S:
    """Read a whole file; its problems are added to `problems`."""
    return _struct(struct, node, (), {}, problems)


@cache
def shape(annotation: Any) -> Shape:  # noqa: ANN401 - a type form, of which Python has no type
    """Return the parts of a field's annotation."""
    notes: dict[str, Any] = {}
    unset, whole = False, annotation
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *metas = get_args(annotation)
            for meta in metas:
                notes = _notes(meta) | notes  # the outer annotation is the field's own, and wins
        elif get_origin(annotation) in (Union, UnionType):
            unset |= UnsetType in get_args(annotation)
            (annotation,) = set(get_args(annotation)) - {NoneType, UnsetType}
            whole = annotation
        else:
            return Shape(annotation, whole, unset, notes)


@cache
def keys_of(struct: type[Struct]) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """Return the shape of each key of a mapping, and the keys that it must have."""
    fields = msgspec.structs.fields(struct)
    shapes = {field.encode_name: shape(field.type) for field in fields}
    required = tuple(
        field.encode_name
        for field in fields
        if field.default is UNSET or shapes[field.encode_name].notes.get("required")
    )
    return shapes, required


@cache
def _names_of(struct: type[Struct]) -> dict[str, str]:
    """Return the fields of a mapping's keys."""
    return {field.encode_name: field.name for field in msgspec.structs.fields(struct)}


def _notes(meta: msgspec.Meta) -> dict[str, Any]:
    notes = {"description": meta.description, "ge": meta.ge, "le": meta.le, **(meta.extra or {})}
    return {name: value for name, value in notes.items() if value is not None}


def _struct(
    struct: type[S], node: Node, path: Path, notes: Mapping[str, Any], problems: Problems
) -> S:
    entries = _entries(node, path, notes, problems)
    if entries is None:
        return struct()
    shapes, required = keys_of(struct)
    values = dict[str, Any]()
    for key, item in entries.nodes.items():
        if key not in shapes:
            problems.add_unknown((*path, key), _unknown(key, shapes))
            continue
        value = _value(shapes[key], item, (*path, key), problems)
        if value is not UNSET or shapes[key].unset:
            values[key] = value
    unknown = [key for key in entries.nodes if key not in shapes]
    meant = "".join(nearest(key, shapes) for key in unknown)
    for key in required:
        if key not in entries.nodes and f"`{key}`" not in meant:
            problems.add((*path, key), f"expected `{key}`, found none")
    beside = notes.get("beside", ())
    chosen = [key for key in entries.nodes if key in shapes and key not in beside]
    if notes.get("one") and len(chosen) != 1 and (chosen or not unknown):
        keys = listed([key for key in shapes if key not in beside])
        problems.add(path, f"expected exactly one of {keys}, found {len(chosen)}")
    names = _names_of(struct)
    return struct(**{names[key]: value for key, value in values.items()})


def _entries(
    node: Node, path: Path, notes: Mapping[str, Any], problems: Problems
) -> Entries | None:
    """Return the mapping, or the one that a shorter notation stands for; None if it is wrong."""
    if isinstance(node, Entries):
        return node
    if words := notes.get("words"):
        return _chosen(node, path, words, problems)
    if isinstance(node, Items) and notes.get("several"):
        return Entries({notes["short"]: node}, node.line, {notes["short"]: node.line})
    if isinstance(node, Scalar) and not node.void:
        text = isinstance(node.value, str)
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        if (short := notes.get("short")) and (text or (number and notes.get("number"))):
            return Entries({short: node}, node.line, {short: node.line})
        if notes.get("word") and isinstance(node.value, str):
            return Entries({node.value: _NOTHING}, node.line, {node.value: node.line})
    _add_wrong(node, path, notes.get("expected", "a mapping"), problems)
    return None


def _chosen(
    node: Items | Scalar, path: Path, words: Mapping[str, str], problems: Problems
) -> Entries:
    """Return the mapping that a list of words stands for, with the value of each word."""
    items = node.items if isinstance(node, Items) else (node,)
    nodes: dict[str, Node] = {}
    for index, item in enumerate(items):
        item_path = (*path, index) if isinstance(node, Items) else path
        word = item.value if isinstance(item, Scalar) else None
        if not isinstance(word, str) or word not in words:
            _add_wrong(item, item_path, listed(words), problems, _near(item, words))
        elif word in nodes:
            problems.add(item_path, f"expected each word once, found `{word}` again")
        else:
            nodes[word] = Scalar(words[word], words[word], item.line)
    return Entries(nodes, node.line, {word: scalar.line for word, scalar in nodes.items()})


def _value(field: Shape, node: Node, path: Path, problems: Problems) -> object:
    """Return the value of a field, or `UNSET` where it is wrong, which is then noted."""
    origin = get_origin(field.type)
    if "notation" in field.notes:
        return _parsed(field, node, path, problems)
    if field.notes.get("json") and not isinstance(node, Scalar):
        return msgspec.json.encode(_plain(node)).decode()
    if struct := _struct_of(field):
        return _struct(struct, node, path, field.notes, problems)
    if origin is tuple:
        return _items(shape(get_args(field.type)[0]), node, path, problems)
    if origin is dict:
        return _mapping(shape(get_args(field.type)[1]), node, path, problems)
    return _leaf(field, node, path, problems)


def _items(item: Shape, node: Node, path: Path, problems: Problems) -> object:
    if isinstance(node, Items):
        places = [(each, (*path, index)) for index, each in enumerate(node.items)]
    elif isinstance(node, Entries) and not _struct_of(item):
        words = _words(item.type)
        expected = f"{listed(words)}, or a list of them" if words else "a list"
        _add_wrong(node, path, expected, problems)
        return UNSET
    else:
        places = [(node, path)]
    values = [_value(item, each, where, problems) for each, where in places]
    return tuple(value for value in values if value is not UNSET)


def _mapping(item: Shape, node: Node, path: Path, problems: Problems) -> object:
    if not isinstance(node, Entries):
        _add_wrong(node, path, "a mapping", problems)
        return UNSET
    values = {key: _value(item, each, (*path, key), problems) for key, each in node.nodes.items()}
    return {key: value for key, value in values.items() if value is not UNSET}


def _parsed(field: Shape, node: Node, path: Path, problems: Problems) -> object:
    if not isinstance(node, Scalar) or node.void or node.value is None:
        _add_wrong(node, path, field.notes["expected"], problems)
        return UNSET
    name = field.notes["notation"]
    try:
        return node.text if name == "str" else getattr(notation, name)(node.text)
    except ValueError as error:
        if node.template:
            _add_wrong(node, path, field.notes["expected"], problems)
        else:
            problems.add(path, str(error))
        return UNSET


def _plain(node: Node) -> object:
    """Return what is written, as it is, for a document of another kind."""
    if isinstance(node, Entries):
        return {key: _plain(each) for key, each in node.nodes.items()}
    if isinstance(node, Items):
        return [_plain(each) for each in node.items]
    return node.value


def _leaf(field: Shape, node: Node, path: Path, problems: Problems) -> object:
    if isinstance(node, Scalar) and not node.void and node.value is not None:
        try:
            return msgspec.convert(node.value, field.whole, strict=not node.template)
        except msgspec.ValidationError:
            pass
    if field.type is str and isinstance(node, Scalar) and isinstance(node.value, int | float):
        problems.add(path, "expected text, found a number or a truth value (put it in quotes)")
        return UNSET
    words = _words(field.type)
    expected = field.notes.get("expected") or _expected(field.type, words)
    near = _near(node, words)
    if field.type is int and isinstance(node, Scalar) and isinstance(node.value, str):
        near = " in quotes, which is text" if node.value.isdecimal() and not node.template else near
    _add_wrong(node, path, expected, problems, near)
    return UNSET


def _struct_of(field: Shape) -> type[Struct] | None:
    kind: object = field.type
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None


def _words(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a type form
    if get_origin(kind) is Literal:
        return tuple(str(value) for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(str(member.value) for member in kind)
    return ("true", "false") if kind is bool else ()


# -- What messages say -----------------------------------------------------------------------------


def _expected(kind: Any, words: tuple[str, ...]) -> str:  # noqa: ANN401 - a type form
    if words:
        return listed(words)
    return {str: "text", int: "a whole number"}.get(kind, "something else")


def _near(node: Node, words: Collection[str]) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str) and not node.template:
        name = node.value.replace("_", " ").replace("-", " ").lower()
        if _OTHER_NAMES.get(name) in words:
            return f" (here it is called `{_OTHER_NAMES[name]}`)"
        return nearest(node.value, words)
    return ""


def _unknown(key: str, shapes: Mapping[str, Shape]) -> str:
    if not shapes:
        return f"expected no keys, found `{key}`"
    near = nearest(key, shapes)
    known = "a known key" if near and len(shapes) > FEW_KEYS else listed(shapes)
    return f"expected {known}, found `{key}`{near}"


def _add_wrong(node: Node, path: Path, expected: str, problems: Problems, near: str = "") -> None:
    if isinstance(node, Scalar) and node.void:
        return
    problems.add(path, f"expected {expected}, found {_found(node)}{near}")


def _found(node: Node) -> str:
    match node:
        case Entries():
            return "a mapping"
        case Items():
            return "a list"
        case Scalar(template=str(template)) if template:
            return f"what `{template}` stands for"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=str(), text=text):
            return notation.brief(text)
        case Scalar(text=text):
            return text
