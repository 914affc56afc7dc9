"""Content codings: every one that servers read, in bounded pieces and bounded work."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.asgi import encodings
from querybudget.asgi.encodings import (
    LONGEST_LIST,
    MOST_MEMBERS,
    PIECE,
    SMALL,
    BombError,
    DamagedError,
    acceptable,
    codings_of,
    decodable,
    decoder_for,
    parse_codings,
)


def raw_deflate(plain: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(plain) + stream.flush()


def halves(encode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda plain: encode(plain[: len(plain) // 2]) + encode(plain[len(plain) // 2 :])


ENCODE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip, two members": ("gzip", halves(gzip.compress)),
    "gzip, padded": ("gzip", lambda plain: gzip.compress(plain) + bytes(8)),
    "deflate": ("deflate", zlib.compress),
    "deflate, raw": ("deflate", raw_deflate),
    "deflate, gzip": ("deflate", gzip.compress),
    "br": ("br", lambda plain: bytes(brotli.compress(plain, quality=3))),
    "zstd": ("zstd", zstandard.compress),
    "zstd, two frames": ("zstd", halves(zstandard.compress)),
    "gzip, then br": ("gzip, br", lambda plain: bytes(brotli.compress(gzip.compress(plain)))),
    "zstd twice": ("zstd,zstd", lambda plain: zstandard.compress(zstandard.compress(plain))),
}
BOMBS = {
    "gzip": gzip.compress(b" " * 50_000_000),
    "deflate": zlib.compress(b" " * 50_000_000),
    "br": bytes(brotli.compress(b" " * 50_000_000, quality=3)),
    "zstd": zstandard.compress(b" " * 50_000_000),
}


def decode(name: str, data: bytes, cut: int = 1 << 20) -> bytes:
    decoder = decoder_for(parse_codings(name.encode()))
    assert decoder is not None
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    return b"".join(out for piece in pieces for out in decoder.decode(piece))


@pytest.mark.parametrize(("name", "encode"), ENCODE.values(), ids=ENCODE.keys())
@settings(max_examples=40)
@given(plain=st.binary(max_size=2_000), repeated=st.sampled_from([1, 500]), cut=st.integers(1, 99))
def test_what_was_encoded_is_decoded_however_the_bytes_are_cut(
    name: str, encode: Callable[[bytes], bytes], plain: bytes, repeated: int, cut: int
) -> None:
    assert decode(name, encode(plain * repeated), cut) == plain * repeated


@pytest.mark.parametrize("name", BOMBS.keys())
def test_a_bomb_is_decoded_in_pieces_that_do_not_add_up_in_memory(name: str) -> None:
    decoder = decoder_for((name,))
    assert decoder is not None
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in decoder.decode(BOMBS[name])]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 2 * PIECE
    assert peak < 20_000_000


@pytest.mark.parametrize(("name", "encode"), ENCODE.values(), ids=ENCODE.keys())
@settings(max_examples=40)
@given(noise=st.binary(min_size=1, max_size=300), at=st.integers(0, 200))
def test_damaged_data_raises_nothing_but_a_damaged_error(
    name: str, encode: Callable[[bytes], bytes], noise: bytes, at: int
) -> None:
    whole = encode(b"some text, " * 30)
    for data in (noise, whole[:at], whole[:at] + noise + whole[at + len(noise) :], whole + noise):
        with suppress(DamagedError):
            decode(name, data)


def test_gzip_of_many_members_is_damaged_after_a_few() -> None:
    member = gzip.compress(b"")
    assert decode("gzip", member * MOST_MEMBERS) == b""
    with pytest.raises(DamagedError):
        decode("gzip", member * (MOST_MEMBERS + 1))


EMPTY_BLOCKS = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0\0\0\xff\xff" * (SMALL // 5 * 8)
"""Gzip data of many empty blocks, which become nothing."""


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_data_that_is_large_only_between_two_codings_is_a_bomb(name: str) -> None:
    decoder = decoder_for(("gzip", name))
    assert decoder is not None
    bomb = ENCODE[name][1](EMPTY_BLOCKS)
    assert len(bomb) < SMALL // 50
    with pytest.raises(BombError):
        list(decoder.decode(bomb))


def test_a_long_text_in_two_codings_is_no_bomb() -> None:
    text = b"How do I bake bread at home? " * 300_000
    assert decode("gzip, br", bytes(brotli.compress(gzip.compress(text, 1), quality=1))) == text


def test_a_header_of_more_codings_than_anyone_has_is_not_read() -> None:
    many = b"gzip," * LONGEST_LIST
    assert acceptable(many) == b"identity"
    assert decoder_for(parse_codings(many)) is None
    assert decoder_for(parse_codings(b"," * (LONGEST_LIST + 1))) is None


class CountingStream:
    """A stream of zlib that adds up the bytes it was given."""

    given = 0

    def __init__(self, bits: int) -> None:
        self._stream: Any = zlib.decompressobj(bits)

    def decompress(self, data: bytes, most: int) -> bytes:
        CountingStream.given += len(data)
        return bytes(self._stream.decompress(data, most))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.mark.parametrize("members", [1, MOST_MEMBERS])
def test_twice_the_data_is_twice_the_work(monkeypatch: pytest.MonkeyPatch, members: int) -> None:
    class Zlib:
        decompressobj = CountingStream
        error = zlib.error

    monkeypatch.setattr(encodings, "zlib", Zlib)
    steps = []
    for size in (1, 2, 4):
        part = bytes(range(256)) * 200 * size
        data = b"".join(gzip.compress(part, 0) for _ in range(members))
        CountingStream.given = 0
        decode("gzip", data)
        steps.append(CountingStream.given / len(data))
    assert max(steps) < 3


@pytest.mark.parametrize(
    ("headers", "codings"),
    [
        ([], ()),
        ([(b"content-encoding", b"")], ()),
        ([(b"content-encoding", b"identity")], ()),
        ([(b"content-encoding", b" GZip ")], ("gzip",)),
        ([(b"content-encoding", b"x-gzip, identity,,BR")], ("gzip", "br")),
        ([(b"content-encoding", b"gzip"), (b"content-encoding", b"br")], ("gzip", "br")),
        ([(b"content-encoding", b"gz\xffip")], ("gz\xffip",)),
    ],
)
def test_codings_are_one_list_in_any_case(
    headers: list[tuple[bytes, bytes]], codings: tuple[str, ...]
) -> None:
    assert codings_of(headers) == codings


def test_what_cannot_be_decoded_has_no_decoder() -> None:
    assert decoder_for(("compress",)) is None
    assert decoder_for(("gzip", "compress")) is None
    assert decoder_for(("gzip",) * 5) is None


def test_codings_whose_packages_are_missing_are_not_decodable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encodings, "_installed", lambda _name: None)
    decodable.cache_clear()
    encodings._acceptable.cache_clear()
    try:
        assert decodable() == {"gzip", "deflate"}
        assert decoder_for(("br",)) is None
        assert acceptable(b"gzip, br, zstd") == b"gzip"
        assert acceptable(b"br") == b"identity"
    finally:
        decodable.cache_clear()
        encodings._acceptable.cache_clear()


def test_a_brotli_that_cannot_bound_its_output_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        class Decompressor: ...

    monkeypatch.setattr(encodings, "_installed", lambda name: Old if name == "brotli" else None)
    decodable.cache_clear()
    try:
        assert "br" not in decodable()
    finally:
        decodable.cache_clear()


@pytest.mark.parametrize(
    ("asked", "passed_on"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate, br, zstd"),
        (b"gzip;q=0.5, compress, x-gzip", b"gzip;q=0.5, x-gzip"),
        (b"GZIP ; q=1", b"GZIP ; q=1"),
        (b"*", b"identity"),
        (b"*;q=0.1, gzip", b"gzip"),
        (b"gzip, *;q=0", b"gzip, *;q=0"),
        (b"identity;q=0, *;q=0", b"identity;q=0, *;q=0"),
        (b"dcb, dcz, compress", b"identity"),
        (b"", b"identity"),
        (b"\xff", b"identity"),
    ],
)
def test_only_codings_that_can_be_decoded_are_asked_for(asked: bytes, passed_on: bytes) -> None:
    assert acceptable(asked) == passed_on


def decoded_in(size: int, data: bytes, coding: str) -> bytes:
    decoder, pieces = decoder_for((coding,)), list[bytes]()
    assert decoder is not None
    with suppress(DamagedError):
        for start in range(0, len(data), size):
            pieces += decoder.decode(data[start : start + size])
    return b"".join(pieces)


def test_data_with_a_wrong_checksum_decodes_to_its_end() -> None:
    plain = b'{"messages":[]}'
    assert decoded_in(PIECE, gzip.compress(plain)[:-8] + b"\0" * 8, "gzip") == plain
    assert decoded_in(PIECE, zlib.compress(plain)[:-4] + b"\0" * 4, "deflate") == plain


def test_damaged_data_decodes_to_the_same_however_it_is_cut() -> None:
    plain = b"".join(b'{"n":%d},' % (number * number) for number in range(20_000))
    data = bytearray(zlib.compress(plain))
    data[len(data) // 2] ^= 0xFF
    found = {decoded_in(size, bytes(data), "deflate") for size in (100, 4_096, len(data))}
    assert len(found) == 1
