"""What reads a stranger's text takes linear time, and the text of one call a bounded time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable

import pytest

from benchmarks.hostile.texts import UNITS, text
from querybudget import notation, redact
from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.adapters.model_names import _find_in_path
from querybudget.adapters.readings import readings
from querybudget.adapters.sse import EventStream
from querybudget.asgi import encodings
from querybudget.coverage import style
from querybudget.coverage.observation import MAX_CHUNKS
from querybudget.coverage.style import style_features
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.embedding.capabilities import heuristics
from querybudget.embedding.chunking.chunks import Cutter
from querybudget.embedding.chunking.repeats import Repeats
from querybudget.embedding.chunking.selection import MAX_READ, MAX_SEGMENTS
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.normalization.folding import Folder
from querybudget.embedding.normalization.words import Reader
from querybudget.embedding.static import StaticEmbedder, sample
from querybudget.embedding.wordpiece import WordPiece, normalise
from querybudget.identity import identify
from querybudget.paths import is_plain, normal
from querybudget.policy.model import CAPABILITIES, Capability
from tests.fuzz.edge import CHAIN, HASH, HEADERS
from tests.growth.instructions import instructions

SHORT = 200
"""Characters; four times as many take at most about four times the instructions."""

ALLOWANCE = 300
"""Instructions that any text takes, and that the growth of a short one may be off by."""

SAID = Channel.SAID
READER = Reader({"bread": 0, "kettles": 1, "word": 2, "words": 3})
PIECES = WordPiece([*"abcdefghijklmnopqrstuvwxyz", *(f"##{a}" for a in "abcdefghij"), "水"])


def heuristic(prompt: str) -> list[bool]:
    features, _ = style_features(prompt)
    return [shows(prompt, features or (0,) * 24) for _, shows in heuristics(tuple(CAPABILITIES))]


def fresh_style(prompt: str) -> object:
    style._CACHE.clear()
    return style_features(prompt)


def fresh_rows(prompt: str) -> object:
    PIECES._cache.clear()
    return PIECES.rows(prompt)


def events(prompt: str) -> object:
    return EventStream().feed(prompt.encode("utf-8", "replace"))


def events_byte_by_byte(prompt: str) -> None:
    stream = EventStream()
    for byte in prompt.encode("utf-8", "replace"):
        stream.feed(bytes([byte]))


def limit(prompt: str) -> None:
    for read in (notation.limit, notation.duration, notation.size, notation.factor):
        try:
            read(prompt)
        except ValueError:
            continue


def callers(prompt: str) -> None:
    """Each carrier of a key or an address, one after the other."""
    value = prompt.encode("utf-8", "replace")
    for name in HEADERS:
        scope = {"type": "http", "client": ("192.0.2.1", 1), "headers": [(name, value)]}
        identify(CHAIN, HASH, {**scope, "query_string": value if name == b"cookie" else b""})


def codings(prompt: str) -> None:
    value = prompt.encode("utf-8", "replace")
    encodings._parsed.__wrapped__(value)
    encodings._acceptable.__wrapped__(value)


def path_readings(prompt: str) -> None:
    normal(f"/{prompt}")
    is_plain(f"/{prompt}")
    _find_in_path(f"/v1{prompt}:generate")
    adapter_for(f"/v1/{prompt}", "POST", ())


def body_readings(prompt: str) -> None:
    list(readings(prompt.encode("utf-8", "surrogatepass")))
    list(readings(json.dumps({"messages": prompt}).encode()))


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "style_features": fresh_style,
    "normalise": normalise,
    "WordPiece.rows": fresh_rows,
    "sample": sample,
    "heuristics": heuristic,
    "Cutter.cut": lambda prompt: Cutter(b"key").cut(prompt * 3),
    "Folder.fold": Folder(READER).fold,
    "Reader.is_language": READER.is_language,
    "Repeats.without": lambda prompt: Repeats(b"key").without("caller", prompt),
    "redact_url": redact.redact_url,
    "redact_error": redact.redact_error,
    "redact_error with a URL": lambda found: redact.redact_error(found, f"redis://{found}@host"),
    "redact_names": redact.redact_names,
    "notation": limit,
    "identify": callers,
    "codings": codings,
    "paths": path_readings,
    "readings": body_readings,
    "EventStream.feed": events,
    "EventStream.feed, byte by byte": events_byte_by_byte,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_four_times_the_text_takes_at_most_four_times_the_instructions(name: str) -> None:
    function = FUNCTIONS[name]
    for unit in UNITS:
        one, four = (instructions(function, text(unit, n * SHORT)) for n in (1, 4))
        assert four <= 4.5 * one + ALLOWANCE, unit


@pytest.fixture(scope="module")
def analyzer() -> EmbeddingAnalyzer:
    shown = tuple(Capability(name) for name in CAPABILITIES)
    return EmbeddingAnalyzer(
        StaticEmbedder.load(), Codebook.load(), shown, b"sixteen or more bytes"
    )


def analyzed(analyzer: EmbeddingAnalyzer, texts: Iterable[str]) -> int:
    call = Call(Dialect.OPENAI, "embeddings", segments=tuple(Segment(SAID, t) for t in texts))
    loop = asyncio.new_event_loop()
    try:
        return instructions(lambda: loop.run_until_complete(analyzer.analyze(call, "caller")))
    finally:
        loop.close()


@pytest.mark.parametrize("unit", ["made-up words", "emoji", "signs that are sentences", "options"])
def test_a_call_of_four_times_the_text_takes_at_most_four_times_the_instructions(
    analyzer: EmbeddingAnalyzer, unit: str
) -> None:
    one, four = (
        analyzed(analyzer, [f"{n} of {size} {text(unit, size)}" for n in range(MAX_CHUNKS)])
        for size in (3_000, 12_000)
    )
    assert four <= 4.5 * one


def test_longer_texts_take_no_more_than_the_most_that_is_read(analyzer: EmbeddingAnalyzer) -> None:
    one, four = (
        analyzed(analyzer, [f"{size} " + text("made-up words", size)])
        for size in (2 * MAX_READ, 8 * MAX_READ)
    )
    assert four <= 2 * one


def test_many_new_texts_take_no_more_than_the_most_that_are_read(
    analyzer: EmbeddingAnalyzer,
) -> None:
    one, four = (
        analyzed(analyzer, [f"text {n} of {times}" for n in range(times * MAX_SEGMENTS)])
        for times in (1, 4)
    )
    assert four <= 2.5 * one  # each text is still hashed, to draw those that are read
