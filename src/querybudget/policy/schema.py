"""The policy file as JSON Schema, for editors that complete keys and mark errors.

It is made from the structs of `querybudget.policy.file`, so it says what the loader takes. It
cannot say everything: patterns only outline notations, and the loader alone checks references to
other parts of the file.
"""

from __future__ import annotations

import enum
from typing import Any, Literal, get_args, get_origin

import msgspec

from querybudget.policy.decode import Shape, keys_of, shape
from querybudget.policy.file import PolicyFile
from querybudget.policy.model import EstimateSettings, GenericRoute
from querybudget.policy.prices import ModelPrice, TokenWeights

Schema = dict[str, Any]

_VARIABLE: Schema = {"$ref": "#/$defs/variable"}
_NAMES: dict[type, str] = {
    EstimateSettings: "estimate",
    GenericRoute: "route",
    ModelPrice: "model",
    TokenWeights: "weights",
}
_TYPES = {str: "string", int: "integer", bool: "boolean"}


def json_schema() -> Schema:
    """Return the schema, in draft 2020-12."""
    definitions: Schema = {
        "variable": {
            "type": "string",
            "pattern": r"\$\{",
            "description": "An environment variable: ${NAME} or ${NAME:-default}.",
        }
    }
    root = _object(PolicyFile, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "querybudget policy",
        **root,
        "$defs": definitions,
    }


def _object(struct: type[msgspec.Struct], definitions: Schema) -> Schema:
    shapes, required = keys_of(struct)
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(struct)}
    return {
        "type": "object",
        "description": " ".join((struct.__doc__ or "").split()),
        "properties": {
            key: _property(field, None if key in required else defaults[key], definitions)
            for key, field in shapes.items()
        },
        "required": list(required),
        "additionalProperties": False,
    }


def _property(field: Shape, default: object, definitions: Schema) -> Schema:
    schema = dict(_value(field, definitions))
    if description := field.notes.get("description"):
        schema["description"] = description
    if "notation" not in field.notes and isinstance(default, str | int):
        schema["default"] = default.value if isinstance(default, enum.Enum) else default
    return schema


def _value(field: Shape, definitions: Schema) -> Schema:
    if "schema" in field.notes:
        return dict(field.notes["schema"])
    kind = field.type
    if get_origin(kind) is tuple:
        item = _value(shape(get_args(kind)[0]), definitions)
        return {"anyOf": [item, {"type": "array", "items": item}]}
    if get_origin(kind) is dict:
        item = _value(shape(get_args(kind)[1]), definitions)
        return {"type": "object", "additionalProperties": item}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _reference(kind, field, definitions)
    return _leaf(field)


def _reference(struct: type[msgspec.Struct], field: Shape, definitions: Schema) -> Schema:
    """Define a mapping once; refer to it, or to a shorter notation for it."""
    name = _NAMES.get(struct, struct.__name__.removesuffix("File").lower())
    shapes, _ = keys_of(struct)
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _object(struct, definitions)
        if field.notes.get("one"):
            most = 1 + len(field.notes.get("beside", ()))
            definitions[name] |= {"minProperties": 1, "maxProperties": most}
    reference: Schema = {"$ref": f"#/$defs/{name}"}
    if short := field.notes.get("short"):
        return {"anyOf": [_value(shapes[short], definitions), reference]}
    if words := field.notes.get("words"):
        word: Schema = {"anyOf": [{"enum": list(words)}, _VARIABLE]}
        return {"anyOf": [word, {"type": "array", "items": word}, reference]}
    if field.notes.get("word"):
        beside = field.notes.get("beside", ())
        choices = {key: value for key, value in shapes.items() if key not in beside}
        bare = [key for key, value in choices.items() if not keys_of(value.type)[1]]
        return {"anyOf": [{"enum": bare}, reference, _VARIABLE]}
    return reference


def _leaf(field: Shape) -> Schema:
    kind = field.type
    if get_origin(kind) is Literal:
        return {"anyOf": [{"enum": list(get_args(kind))}, _VARIABLE]}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"anyOf": [{"enum": [member.value for member in kind]}, _VARIABLE]}
    schema: Schema = {"type": _TYPES[kind]}
    if "ge" in field.notes:
        schema["minimum"] = field.notes["ge"]
    if "le" in field.notes:
        schema["maximum"] = field.notes["le"]
    return schema if kind is str else {"anyOf": [schema, _VARIABLE]}
