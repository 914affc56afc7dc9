"""Content codings (RFC 9110, section 8.4.1): which can be decoded, and decoding piece by piece.

``gzip`` (RFC 1952) and ``deflate`` (RFC 1950, or RFC 1951 as some senders have it) always can;
``br`` (RFC 7932) and ``zstd`` (RFC 8878) where the packages brotli and zstandard are installed. A
decoder holds only a piece at a time, whatever it is fed, and looks at each byte of it once.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Protocol

from querybudget.asgi.types import Scope

PIECE = 64 * 1024
"""Bytes that a decoder is fed at once, and about the most that all but ``zstd`` return at once."""

ZSTD_SLICE = 256
"""Bytes that a zstd decoder is fed at once. Four bytes can stand for a block of 128 KiB, so that a
slice becomes 8 MiB at most."""

ZSTD_WINDOW = 8 << 20
"""Bytes of the largest window of ``zstd`` that a receiver has to support (RFC 9659)."""

MOST_CODINGS = 4
"""Codings in a row, beyond which nothing is decoded."""

MOST_MEMBERS = 64
"""Members of gzip data, beyond which it counts as damaged: senders write one, or one for each of a
few parts."""

RATIO = 100
"""How many times its size a compressed body may become; text of any language becomes less than 20
times its size."""

SMALL = 1 << 20
"""Bytes that a compressed body may become, whatever its size."""

LONGEST_LIST = 1_000
"""Bytes of a header with codings, beyond which it is not read; a few names are a tenth of it."""

UNKNOWN = "unknown"
"""Stands for the codings of a header that is too long: nothing decodes it."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
_GZIP_MAGIC = 0x1F
_ALIASES = {"x-gzip": "gzip"}
_DEFLATE_METHOD = 8


class DamagedError(Exception):
    """The data is not what its coding says."""


class BombError(DamagedError):
    """The data becomes far more than any text would before its last coding is removed."""


class Decoder(Protocol):
    """Decodes one stream of one coding."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes, and return what they decode to, in pieces.

        Raises:
            DamagedError: The data is not in this coding.
        """
        ...


def codings_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, ...]:
    """Return the codings of a body, in the order in which they were applied; ``()`` without any.

    Several headers are one list (RFC 9110, section 5.3). Names are in lower case, and ``identity``
    is left out.
    """
    if b"content-encoding" not in dict(headers):  # as most bodies
        return ()
    return parse_codings(b",".join(value for name, value in headers if name == b"content-encoding"))


def parse_codings(value: bytes) -> tuple[str, ...]:
    """Return the codings of a Content-Encoding header, as `codings_of` does."""
    return _parsed(value) if len(value) <= LONGEST_LIST else (UNKNOWN,)


@lru_cache(maxsize=256)
def _parsed(value: bytes) -> tuple[str, ...]:
    words = [word.strip().lower() for word in value.decode("latin-1").split(",")]
    return tuple(_ALIASES.get(word, word) for word in words if word not in {"", "identity"})


@cache
def decodable() -> frozenset[str]:
    """The codings that can be decoded here."""
    return frozenset(name for name, make in _DECODERS.items() if make() is not None)


def decoder_for(codings: Sequence[str]) -> Decoder | None:
    """Return a decoder of all these codings, the last one first; None if one cannot be decoded."""
    if len(codings) > MOST_CODINGS or not decodable().issuperset(codings):
        return None
    decoders = [made for name in reversed(codings) if (made := _DECODERS[name]()) is not None]
    return decoders[0] if len(decoders) == 1 else _Chain(decoders)


def acceptable(value: bytes) -> bytes:
    """Return an Accept-Encoding header without the codings that cannot be decoded here.

    A ``*`` is left out too, unless it forbids every other coding. If nothing is left, it is
    ``identity``: an empty header, or none, would leave the choice to the server.
    """
    return _acceptable(value) if len(value) <= LONGEST_LIST else b"identity"


@lru_cache(maxsize=256)
def _acceptable(value: bytes) -> bytes:
    kept: list[str] = []
    for word in value.decode("latin-1").split(","):
        name, _, parameters = word.strip().partition(";")
        name = name.strip().lower()
        known = name == "identity" or _ALIASES.get(name, name) in decodable()
        if known or (name == "*" and _forbids(parameters)):
            kept.append(word.strip())
    return ", ".join(kept).encode("latin-1") or b"identity"


def accepting_decodable(scope: Scope) -> Scope:
    """Return a request's scope that asks for no answer in a coding that cannot be decoded here."""
    headers = scope["headers"]
    for name, value in headers:
        if name == b"accept-encoding" and acceptable(value) != value:
            changed = [(n, acceptable(v) if n == b"accept-encoding" else v) for n, v in headers]
            return {**scope, "headers": changed}
    return scope


def _forbids(parameters: str) -> bool:
    name, _, weight = parameters.partition("=")
    try:
        return name.strip().lower() == "q" and float(weight) == 0
    except ValueError:
        return False


class _Chain:
    """Decodes codings that were applied one upon another.

    What lies between two of them is bounded as a decoded body is: it may stand for next to nothing
    in the end, whatever its size.
    """

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        self._decoders = decoders
        self._between = [0] * len(decoders)
        self._given = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._given += len(data)
        pieces: Iterator[bytes] = iter((data,))
        for place, decoder in enumerate(self._decoders):
            pieces = self._each(place, decoder, pieces)
        return pieces

    def _each(self, place: int, decoder: Decoder, pieces: Iterable[bytes]) -> Iterator[bytes]:
        most = max(SMALL, RATIO * self._given)
        for piece in pieces:
            if place:
                self._between[place] += len(piece)
                if self._between[place] > most:
                    raise BombError("the data between two codings is too large")
            yield from decoder.decode(piece)


class _Inflate:
    """Decodes ``gzip`` data, of one member or several, or ``deflate`` data."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream: Any = None  # zlib has no public name for its type
        self._members = 0
        self._over = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            yield from self._inflate(view[start : start + PIECE])

    def _inflate(self, rest: bytes | memoryview) -> Iterator[bytes]:
        while not self._over and (rest or self._stream is not None):
            stream = self._begin(rest[0]) if self._stream is None else self._stream
            if stream is None:
                return
            before = stream.copy()
            try:
                piece = stream.decompress(rest, PIECE)
            except zlib.error as error:
                yield from _until_damage(before, bytes(rest))
                raise DamagedError(str(error)) from None
            if piece:
                yield piece
            if stream.eof:
                rest, self._stream = stream.unused_data, None
                self._over = not self._gzip
                continue
            rest = stream.unconsumed_tail
            if not rest and len(piece) < PIECE:  # otherwise the stream may hold more
                return

    def _begin(self, first: int) -> Any:  # noqa: ANN401 - see above
        """Return the next stream, by its first byte; None if nothing else follows."""
        if self._gzip and self._members and first != _GZIP_MAGIC:  # padding, which readers skip
            self._over = True
            return None
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise DamagedError("expected fewer members")
        self._stream = zlib.decompressobj(_GZIP if self._gzip else _deflate_bits(first))
        return self._stream


def _until_damage(stream: Any, data: bytes) -> Iterator[bytes]:  # noqa: ANN401 - see above
    """Return what data decodes to before the byte that is wrong, as readers do that go bytewise.

    zlib returns nothing of what it decoded in a call that fails, even if only a checksum is wrong.
    """
    step = len(data)
    while data and step:
        attempt = stream.copy()
        try:
            piece = attempt.decompress(data[:step], PIECE)
        except zlib.error:
            step //= 2
            continue
        if piece:
            yield piece
        stream, data = attempt, attempt.unconsumed_tail + data[step:]


def _deflate_bits(first: int) -> int:
    """Return the window bits of ``deflate`` data: zlib's format, gzip's, or none at all."""
    if first == _GZIP_MAGIC:
        return _GZIP
    return _ZLIB if first & 0x0F == _DEFLATE_METHOD else _RAW


class _Brotli:
    """Decodes ``br`` data."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - it has no types
        self._stream = module.Decompressor()
        self._error: type[Exception] = module.error

    def decode(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            rest: bytes | memoryview = view[start : start + PIECE]
            while piece := self._process(rest):
                yield piece
                rest = b""  # what is left of its output

    def _process(self, data: bytes | memoryview) -> bytes:
        if self._stream.is_finished():
            return b""
        try:
            return bytes(self._stream.process(data, output_buffer_limit=PIECE))
        except self._error as error:
            raise DamagedError(str(error)) from None


class _Zstd:
    """Decodes ``zstd`` data, of one frame or several."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - it may not be installed
        decompressor = module.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._stream = decompressor.decompressobj(read_across_frames=True)
        self._error: type[Exception] = module.ZstdError

    def decode(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(view), ZSTD_SLICE):
            try:
                piece = self._stream.decompress(view[start : start + ZSTD_SLICE])
            except self._error as error:
                raise DamagedError(str(error)) from None
            for at in range(0, len(piece), PIECE):
                yield piece[at : at + PIECE]


def _brotli() -> Decoder | None:
    module = _installed("brotli")
    # Before 1.2, nothing bounded what one call returns.
    bounded = hasattr(getattr(module, "Decompressor", None), "can_accept_more_data")
    return _Brotli(module) if bounded else None


def _zstd() -> Decoder | None:
    module = _installed("zstandard")
    return _Zstd(module) if module is not None else None


@cache
def _installed(name: str) -> Any:  # noqa: ANN401 - a module
    try:
        return import_module(name)
    except ImportError:
        return None


_DECODERS: dict[str, Callable[[], Decoder | None]] = {
    "gzip": lambda: _Inflate(gzip=True),
    "deflate": lambda: _Inflate(gzip=False),
    "br": _brotli,
    "zstd": _zstd,
}
