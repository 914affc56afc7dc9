"""The readings of a body that servers do not all read alike.

An ordinary body has one: strict JSON in UTF-8, in which no object names a member twice, in any
spelling. Of any other body this makes up to three, each in that form:

- what Python's ``json`` reads: UTF-16 and UTF-32, NaN and the infinities, lone surrogates; the last
  of a member given twice;
- what Go's ``encoding/json`` reads: names in any case, with the Kelvin sign for a K and the long s
  for an S; text after the document, and bytes that are not UTF-8; two values of one member put
  together;
- what streaming readers read, which stop at the first of a member given twice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, TypeAlias

import msgspec

from querybudget.adapters.lax import Json

NAMES: Final[Mapping[str, str]] = {
    name.lower(): name
    for name in (
        # Of requests.
        *("model", "models", "fallbacks", "messages", "input", "prompt", "instructions", "suffix"),
        *("system", "stream", "background", "echo", "n", "best_of", "tools", "functions"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "include"),
        *("logprobs", "top_logprobs", "prompt_logprobs", "requests", "options", "num_predict"),
        *("inputs", "parameters", "max_new_tokens", "images", "documents", "query", "texts"),
        *("contents", "generationConfig", "maxOutputTokens", "candidateCount", "parts"),
        *("systemInstruction", "inlineData", "functionCall", "functionResponse", "args"),
        *("system_instruction", "generation_config", "max_output_tokens", "candidate_count"),
        *("inline_data", "function_call", "function_response", "params", "body", "url"),
        # Of messages and their parts.
        *("role", "content", "text", "refusal", "thinking", "reasoning", "reasoning_content"),
        *("tool_calls", "type", "image_url", "input_audio", "audio_url", "video_url", "file"),
        *("file_data", "source", "data", "output", "arguments", "action", "operation", "summary"),
    )
}
"""The members that adapters read, by their names in lower case."""

LONGEST_NAME = 40
"""No name that adapters read is longer."""

DEEPEST = 64
"""Two values of one member are put together to this depth."""

LONGEST_INTEGER = 400
"""Digits of an integer, at most: no server holds a larger one."""

_Pairs: TypeAlias = "list[tuple[str, Json]]"
_Object: TypeAlias = "dict[str, Json]"

# A string, to its end or the body's, or a comma that ends a list of members or elements.
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.?)*+(?:"|\Z))|,(?=\s*[}\]])', re.DOTALL)
_FOLDED = {0x17F: "s", 0x212A: "k"}


def folded(name: str) -> str:
    """Return a name in lower case, as Go's ``encoding/json`` compares it with ASCII names."""
    return name.lower() if name.isascii() else name.translate(_FOLDED).lower()


def misspelt(name: str, names: Mapping[str, str] = NAMES) -> bool:
    """Return True if only readers that ignore case take a name for one that is read."""
    return len(name) <= LONGEST_NAME and names.get(folded(name), name) != name


def readings(body: bytes, names: Mapping[str, str] = NAMES) -> Iterator[bytes]:
    """Yield what servers may read in a body, as strict JSON, one reading at a time.

    Each costs about as much as reading the body once with ``json.loads``.

    Args:
        body: The body, decompressed.
        names: The members that matter, by their names in lower case.

    Yields:
        The body as Python, Go and streaming readers read it; only the first, if no object has two
        spellings of a member; nothing, if no reader can read it.
    """
    odd: list[tuple[_Object, _Pairs]] = []
    document = _document(body, partial(_object, odd, names, frozenset(names.values())))
    if document is None:
        return
    yield _encoded(document)
    for make in (_first, _as_go):  # The last takes the objects apart.
        if odd:
            for members, pairs in odd:
                read = make(names, pairs)
                members.clear()
                members.update(read)
            yield _encoded(document)


def _document(body: bytes, make: Callable[[_Pairs], _Object]) -> Json:
    """Return the first JSON value of a body; None if there is none, or it is nested too deeply."""
    decoder = json.JSONDecoder(
        object_pairs_hook=make,
        parse_constant=_null,
        parse_float=_finite,
        parse_int=_whole,
        strict=False,
    )
    text = _text(body)
    for attempt in (_same, _without_trailing_commas):
        try:
            document: Json = decoder.raw_decode(attempt(text))[0]
        except (ValueError, RecursionError):
            continue
        return document
    return None


def _text(body: bytes) -> str:
    """Return a body as text, in the encoding that Python's reader detects."""
    encoding = json.detect_encoding(body)
    try:
        text = body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        text = body.decode(encoding, "replace")
    return text.lstrip(" \t\r\n")


def _same(text: str) -> str:
    return text


def _without_trailing_commas(text: str) -> str:
    return _TRAILING_COMMA.sub(_kept, text)


def _kept(match: re.Match[str]) -> str:
    return match[1] or ""


def _object(
    odd: list[tuple[_Object, _Pairs]],
    names: Mapping[str, str],
    exact: frozenset[str],
    pairs: _Pairs,
) -> _Object:
    members = dict(pairs)
    twice = len(members) < len(pairs)
    if twice or not (members.keys() <= exact or not any(misspelt(n, names) for n in members)):
        odd.append((members, pairs))
        for name in [name for name in members if misspelt(name, names)]:
            del members[name]
    return members


def _first(names: Mapping[str, str], pairs: _Pairs) -> _Object:
    return {name: value for name, value in reversed(pairs) if not misspelt(name, names)}


def _as_go(names: Mapping[str, str], pairs: _Pairs) -> _Object:
    members: _Object = {}
    for name, value in pairs:
        known = names.get(folded(name), name) if len(name) <= LONGEST_NAME else name
        members[known] = _together(members[known], value) if known in members else value
    return members


def _together(before: Json, after: Json, depth: int = 0) -> Json:
    """Return two values of one member as Go puts them together. The first is changed in place."""
    if after is None:
        return before
    if depth == DEEPEST:
        return after
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in after.items():
            known = name in before
            before[name] = _together(before[name], value, depth + 1) if known else value
        return before
    if isinstance(before, list) and isinstance(after, list):
        both = min(len(before), len(after))
        after[:both] = [_together(before[at], after[at], depth + 1) for at in range(both)]
    return after


def _encoded(document: Json) -> bytes:
    try:
        return msgspec.json.encode(document)
    except (ValueError, RecursionError):  # lone surrogates
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace")


def _null(_constant: str) -> None:
    """Read NaN and the infinities, which strict JSON does not have, as null."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(text: str) -> float | None:
    return int(text) if len(text) < LONGEST_INTEGER else None
