"""Promises of the functions that read text."""

from __future__ import annotations

import contextlib
import copy
import re
import zlib
from collections.abc import Callable

from querybudget import notation, redact
from querybudget.adapters.generic import Pointer
from querybudget.adapters.lax import Json
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS, style_features
from querybudget.embedding.capabilities import heuristics
from querybudget.embedding.chunking import habits
from querybudget.embedding.chunking.chunks import WHOLE, Cutter
from querybudget.embedding.chunking.repeats import Repeats
from querybudget.embedding.normalization.words import Reader
from querybudget.embedding.static import MAX_SAMPLE, StaticEmbedder, sample
from querybudget.embedding.wordpiece import normalise
from querybudget.policy.model import CAPABILITIES
from tests.fuzz.pieces import Pieces

_OPTIONS = re.compile(r"(?:^|\s)\(?A[).:]\s[^\n]{0,300}?\s+\(?B[).:]\s")
_CREDENTIALS = re.compile(r"://\S*@")
_SHORT = 300
"""Characters of texts on which a slow, plain reference is tried."""


def style(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    features, words = style_features(text)
    if not features:
        assert not words
        assert not text[:400].strip()
        return
    assert len(features) == len(STYLE_FEATURES)
    assert all(0 <= feature <= 4_000 for feature in features)
    assert len(words) == WORD_BITS // 8
    if len(text) <= _SHORT:
        found = _OPTIONS.search(text) is not None
        assert features[STYLE_FEATURES.index("options")] == 100 * found


def words(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert len(normalise(text)) <= len(text) + 64
    pieces = StaticEmbedder.load()._pieces
    rows = pieces.rows(text)
    assert all(0 <= row < pieces.size for row in rows)
    assert len(rows) <= len(text) + 64
    assert pieces.rows(text) == rows


def samples(data: bytes) -> None:
    pieces = Pieces(data)
    text = pieces.text() * (1 + pieces.number() * 16)
    assert len(sample(text)) <= MAX_SAMPLE + 3


_HEURISTICS = heuristics(tuple(CAPABILITIES))
_NO_FEATURES = (0,) * len(STYLE_FEATURES)


def capabilities(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    features, _ = style_features(text)
    for _, shows in _HEURISTICS:
        assert shows(text, features or _NO_FEATURES) in (True, False)


def secrets(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    if len(text) <= _SHORT:
        shown = redact.redact_error(text)
        assert shown == _CREDENTIALS.sub("://", text)
        assert len(redact.redact_names(text)) <= len(text)
    before, _, after = text.partition("\n")
    redact.redact_error(before, after)
    scheme, separator, place = redact.redact_url(text).partition("://")
    assert scheme == "sqlite" or not separator or "@" not in place


_READERS: tuple[Callable[[str], object], ...] = (
    notation.limit,
    notation.amount_of,
    notation.burst,
    notation.duration,
    notation.size,
    notation.factor,
    notation.share,
    notation.price_per_million,
    notation.price_per_request,
)


def limits(data: bytes) -> None:
    pieces = Pieces(data)
    read, text = pieces.choice(_READERS), pieces.text()
    with contextlib.suppress(ValueError):
        found = read(text)
        if isinstance(found, notation.Limit):
            assert notation.limit(str(found)) == found
        elif isinstance(found, int):
            assert 0 <= found < 2**63
    assert len(notation.brief(text)) <= notation.LONGEST_SHOWN + 2


def pointers(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(ValueError):
        pointer = Pointer(text)
        document: Json = {"a": [1, {"b": None}], "": {"": 2}}
        found = pointer.find(document)
        if pointer.put(document, 7):
            assert pointer.find(document) == 7
        else:
            assert pointer.find(document) == found


_EMBEDDER = StaticEmbedder.load()
_PURE = copy.copy(_EMBEDDER)
_PURE.lexicon = None


def kernel(data: bytes) -> None:
    """Hold the compiled kernel to the Python forms."""
    pieces = Pieces(data)
    text = pieces.text() * (1 + pieces.number() % 8)
    lexicon = _EMBEDDER.lexicon
    bare = Reader(_EMBEDDER.vocabulary)
    if lexicon is None:
        return
    short = sample(text)
    assert _EMBEDDER.vectors([short]).tobytes() == _PURE.vectors([short]).tobytes()
    reader = Reader(_EMBEDDER.vocabulary, lexicon)
    assert reader.is_plain(text) == bare.is_plain(text)
    assert reader.is_readable(text) == bare.is_readable(text)
    assert reader.share(text) == bare.share(text)
    unknown = reader.unknown_if_plain(text)
    assert unknown == (bare.unknown(text) if bare.is_plain(text) else None)
    assert reader.unknown(text) == bare.unknown(text)
    _count(text, data)
    cutter = Cutter(data[:4] or b"k")
    assert len(text) <= WHOLE or cutter.cut(text) == cutter._cut(text)
    repeats = Repeats(b"k")
    for each in (text, text, f"and {text}"):
        assert len(repeats.without("caller", each)) <= len(each)


def _count(text: str, data: bytes) -> None:
    """Hold the counting of rows of words to the words in Python."""
    mark, side = zlib.crc32(data), len(data) & 1
    words = text.encode("utf-8", "surrogatepass").split(b" ")
    if side:
        words.reverse()
    one, other = habits.Counts(8), habits.Counts(8)
    for _ in range(2):
        last, before = mark, list[int]()
        for word in words[:-1]:
            last = zlib.crc32(word, last)
            before.append(other.before(last))
        assert [*one.counted(text, mark, side)] == before
        assert one.counts == other.counts
