"""The readings of a body that servers do not all read alike.

An ordinary body has one: strict JSON in UTF-8, in which no object names a member twice, in any
spelling. Of any other body this makes up to three, each in that form:

- what Python's ``json`` reads: UTF-16 and UTF-32, NaN and the infinities, lone surrogates; the last
  of a member given twice;
- what Go's ``encoding/json`` reads: names in any case, with the Kelvin sign for a K and the long s
  for an S; text after the document, and bytes that are not UTF-8; two values of one member put
  together;
- what streaming readers read, which stop at the first of a member given twice.

Each of them is two readings if it has an ``extra_body``, whose members some proxies put in place of
the request's own, as OpenAI's client does before it sends; and one more for each ``extra_body``
within it, which the next proxy puts in place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Final, TypeAlias

import msgspec

from querybudget.adapters.lax import LONGEST_NUMBER, Json
from querybudget.errors import BodyError

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

SPREAD: Final = "extra_body"
"""The member whose members some proxies put in place of the request's own."""

MOST_SPREAD = 3
"""Proxies in a row that put these members in place; no body that has more of them is read."""

LONGEST_NAME = 40
"""No name that adapters read is longer."""

MAX_ODD = 1_000
"""Objects that readers differ about, in one body; no client sends so many."""

LARGEST_ODD = 256 * 1024
"""Bytes of a body in which an object names a member twice, or in a spelling of its own; no client
sends such a body, and it is read several times."""

LARGEST_SPREAD = 64 * 1024
"""Bytes of a body in which several proxies in a row find members to put in place."""

DEEPEST = 64
"""Two values of one member are put together to this depth."""

_Pairs: TypeAlias = "list[tuple[str, Json]]"
_Object: TypeAlias = "dict[str, Json]"

# A string, to its end or the body's, or a comma that ends a list of members or elements.
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.?)*+(?:"|\Z))|,(?=\s*[}\]])', re.DOTALL)
_ENDING_COMMA = re.compile(r",\s*+[}\]]")
_FOLDED = {0x17F: "s", 0x212A: "k"}


class TooMuchError(BodyError):
    """A body holds more than is read. It counts by its size, and no other reading is tried."""


def folded(name: str) -> str:
    """Return a name in lower case, as Go's ``encoding/json`` compares it with ASCII names."""
    return name.lower() if name.isascii() else name.translate(_FOLDED).lower()


def is_misspelt(name: str) -> bool:
    """Return True if only readers that ignore case take a name for one of `NAMES`."""
    return len(name) <= LONGEST_NAME and _short_is_misspelt(name)


def misspelt(name: str, names: Mapping[str, str] = NAMES) -> bool:
    """Return True if only readers that ignore case take a name for one that is read."""
    if len(name) > LONGEST_NAME:
        return False
    spelt = names.get(name.lower() if name.isascii() else folded(name))
    return spelt is not None and spelt != name


_short_is_misspelt = lru_cache(1024)(misspelt)


def readings(body: bytes, names: Mapping[str, str] = NAMES) -> Iterator[bytes]:
    """Yield what servers may read in a body, as strict JSON, one reading at a time.

    Each costs about as much as reading the body once with ``json.loads``.

    Args:
        body: The body, decompressed.
        names: The members that matter, by their names in lower case.

    Yields:
        The body as Python, streaming readers and Go read it; only the first, if every object names
        its members once and in their own spelling. Nothing, if no reader can read it, or if reading
        it so often takes too long.
    """
    odd: list[tuple[_Object, _Pairs]] = []
    exact = frozenset(names.values())
    wrong = is_misspelt if names is NAMES else partial(misspelt, names=names)
    document = _document(body, partial(_object, odd, wrong, exact))
    twice = any(len({*map(_name, pairs)}) < len(pairs) for _, pairs in odd)
    spreads = _spreads(document)
    if document is None or spreads > MOST_SPREAD:
        return
    if len(body) > (LARGEST_SPREAD if spreads > 1 else LARGEST_ODD if odd else len(body)):
        return
    yield from _spread(document)
    if twice:
        _read_again(odd, partial(_first, exact, wrong))
        yield from _spread(document)
    if not odd:
        return
    _read_again(odd, partial(_as_go, exact, names))  # This takes the objects apart.
    yield from _spread(document)


def _spread(document: Json) -> Iterator[bytes]:
    """Yield a document, and with the members that one proxy after another puts in place."""
    if not isinstance(document, dict) or SPREAD not in document:
        yield _encoded(document)
        return
    extra, document = document[SPREAD], {**document, SPREAD: None}
    yield _encoded(document)
    while isinstance(extra, dict):
        document = {**document, SPREAD: None, **extra}
        extra, document[SPREAD] = document[SPREAD], None
        yield _encoded(document)


def _spreads(document: Json) -> int:
    """Return how many proxies in a row find members to put in place, at most one too many."""
    count = 0
    while isinstance(document, dict) and count <= MOST_SPREAD:
        document = document.get(SPREAD)
        count += isinstance(document, dict)
    return count


def _name(pair: tuple[str, Json]) -> str:
    return pair[0]


def _read_again(odd: list[tuple[_Object, _Pairs]], make: Callable[[_Pairs], _Object]) -> None:
    for members, pairs in odd:
        read = make(pairs)
        members.clear()
        members.update(read)


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
    try:
        return _decoded(decoder, text)
    except (ValueError, RecursionError):  # malformed, too deep, or too odd
        if _ENDING_COMMA.search(text) is None:
            return None
    try:
        return _decoded(decoder, _TRAILING_COMMA.sub(_kept, text))
    except (ValueError, RecursionError):
        return None


def _decoded(decoder: json.JSONDecoder, text: str) -> Json:
    document: Json = decoder.raw_decode(text)[0]
    return document


def _text(body: bytes) -> str:
    """Return a body as text, in the encoding that Python's reader detects."""
    encoding = json.detect_encoding(body)
    try:
        text = body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        text = body.decode(encoding, "replace")
    return text.lstrip(" \t\r\n")


def _kept(match: re.Match[str]) -> str:
    return match[1] or ""


def _object(
    odd: list[tuple[_Object, _Pairs]],
    wrong: Callable[[str], bool],
    exact: frozenset[str],
    pairs: _Pairs,
) -> _Object:
    members = dict(pairs)
    spelt = [] if members.keys() <= exact else [n for n in members if n not in exact and wrong(n)]
    if spelt or len(members) < len(pairs):
        if len(odd) == MAX_ODD:
            raise ValueError("there are too many odd objects")
        odd.append((members, pairs))
        for name in spelt:
            del members[name]
    return members


def _first(exact: frozenset[str], wrong: Callable[[str], bool], pairs: _Pairs) -> _Object:
    return {n: value for n, value in reversed(pairs) if n in exact or not wrong(n)}


def _as_go(exact: frozenset[str], names: Mapping[str, str], pairs: _Pairs) -> _Object:
    members: _Object = {}
    for name, value in pairs:
        known = name
        if name not in exact and len(name) <= LONGEST_NAME:
            known = names.get(folded(name), name)
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
    return int(text) if len(text) <= LONGEST_NUMBER else None
