"""Promises of what is packed: accounts that are damaged, and coverage that is written and read."""

from __future__ import annotations

import contextlib
import struct
import zlib

import msgspec

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.observation import COARSE, FINE, Chunk, Observation
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS
from querybudget.errors import StoreError
from querybudget.stores.redis import codec
from querybudget.stores.sqlite.rows import AccountRow
from tests.fuzz.pieces import Pieces

DAMAGED = (StoreError, LookupError, ValueError, struct.error, zlib.error, msgspec.DecodeError)
"""What reading a damaged account may raise; stores say which account it is."""


def rows(data: bytes) -> None:
    with contextlib.suppress(StoreError):
        AccountRow("key", (0, 0, 0, data), 1)


def accounts(data: bytes) -> None:
    with contextlib.suppress(*DAMAGED):
        codec.unpack_account(data)
    with contextlib.suppress(*DAMAGED):
        codec.unpack_profile(data)


def observation(pieces: Pieces) -> Observation:
    fine = (pieces.number() << 8 | pieces.number()) % FINE
    chunk = Chunk(
        digest=pieces.number(),
        cell=fine if pieces.number() % 8 else -1,
        coarse=pieces.number() % COARSE,
        point=bytes(pieces.number() for _ in range(32)),
        words=bytes(pieces.number() for _ in range(4)).ljust(WORD_BITS // 8, b"\0"),
        style=tuple(pieces.number() for _ in STYLE_FEATURES),
    )
    return Observation(said=(chunk,), template=pieces.number() % 8, opaque=(pieces.number(),))


def profiles(data: bytes) -> None:
    """A profile is the same after it was packed, and its score stays within bounds."""
    pieces, profile, now = Pieces(data), CallerProfile(), 1_000_000
    for _ in range(1 + len(data) // 64):
        now += 1 << pieces.number() % 48
        profile.observe(observation(pieces), now)
        assert 0 <= profile.score(now) <= 2_000_000
    packed = codec.pack_profile(profile)
    assert codec.unpack_profile(packed) == profile
    assert codec.pack_profile(codec.unpack_profile(packed)) == packed
