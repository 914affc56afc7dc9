"""The policy file as JSON Schema, for editors that complete keys and mark mistakes.

Made from the structs of `querybudget.policy.file`, so that it says what the loader takes. It cannot
say everything: notations are sketched by patterns, and what refers to something else in the file is
left to the loader.
"""

from __future__ import annotations

import enum
from typing import Any, Literal, get_args, get_origin

import msgspec

from querybudget.policy.decode import Shape, keys_of, shape
from querybudget.policy.file import PolicyFile

__all__ = ["json_schema"]

Schema = dict[str, Any]

_VARIABLE: Schema = {"$ref": "#/$defs/variable"}
_SIMPLE = {str: "string", int: "integer", bool: "boolean"}


def json_schema() -> Schema:
    """The schema, in draft 2020-12."""
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


def _object(of: type[msgspec.Struct], definitions: Schema) -> Schema:
    shapes, required = keys_of(of)
    defaults = {
        field.name: field.default
        for field in msgspec.structs.fields(of)
        if field.name not in required
    }
    return {
        "type": "object",
        "description": " ".join((of.__doc__ or "").split()),
        "properties": {
            name: _described(each, defaults.get(name), definitions) for name, each in shapes.items()
        },
        "required": list(required),
        "additionalProperties": False,
    }


def _described(field: Shape, default: object, definitions: Schema) -> Schema:
    schema = dict(_value(field, definitions))
    if description := field.notes.get("description"):
        schema["description"] = description
    if "notation" not in field.notes and isinstance(default, str | int):
        schema["default"] = default.value if isinstance(default, enum.Enum) else default
    return schema


def _value(field: Shape, definitions: Schema) -> Schema:
    if "schema" in field.notes:
        return dict(field.notes["schema"])
    of = field.type
    if get_origin(of) is tuple:
        item = _value(shape(get_args(of)[0]), definitions)
        return {"anyOf": [item, {"type": "array", "items": item}]}
    if get_origin(of) is dict:
        item = _value(shape(get_args(of)[1]), definitions)
        return {"type": "object", "additionalProperties": item}
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        return _reference(of, field, definitions)
    return _leaf(field)


def _reference(of: type[msgspec.Struct], field: Shape, definitions: Schema) -> Schema:
    name = of.__name__.removesuffix("File").removesuffix("Settings").lower()
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _object(of, definitions)
        if field.notes.get("one"):
            definitions[name] |= {"minProperties": 1, "maxProperties": 1}
    reference: Schema = {"$ref": f"#/$defs/{name}"}
    if short := field.notes.get("short"):
        (named,) = (each for each in msgspec.structs.fields(of) if each.name == short)
        return {"anyOf": [_value(shape(named.type), definitions), reference]}
    if chosen := field.notes.get("words"):
        word: Schema = {"anyOf": [{"enum": list(chosen)}, _VARIABLE]}
        return {"anyOf": [word, {"type": "array", "items": word}, reference]}
    if field.notes.get("word"):
        words = [each.name for each in msgspec.structs.fields(of) if _bare(shape(each.type))]
        return {"anyOf": [{"enum": words}, reference, _VARIABLE]}
    return reference


def _bare(field: Shape) -> bool:
    return not keys_of(field.type)[1]


def _leaf(field: Shape) -> Schema:
    of = field.type
    if get_origin(of) is Literal:
        return {"anyOf": [{"enum": list(get_args(of))}, _VARIABLE]}
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return {"anyOf": [{"enum": [member.value for member in of]}, _VARIABLE]}
    schema: Schema = {"type": _SIMPLE[of]}
    if "ge" in field.notes:
        schema["minimum"] = field.notes["ge"]
    if "le" in field.notes:
        schema["maximum"] = field.notes["le"]
    return schema if of is str else {"anyOf": [schema, _VARIABLE]}
