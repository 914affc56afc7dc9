"""Accounts that another version of querybudget wrote: what has another form starts anew."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group, GroupChange
from querybudget.coverage.observation import Chunk, Observation
from querybudget.coverage.stream import SUMS, Stream
from querybudget.ledger import Account
from querybudget.ledger.windows import LeaseState, SlidingState
from querybudget.stores.redis import codec
from querybudget.stores.sqlite.rows import AccountRow, _pack

FAR = 2**80
"""A moment that no store can hold."""

CALL = Observation(said=(Chunk(1, 7, 0, bytes(32), bytes(256), (1,) * 24, 0, (1, 2)),))


def profile() -> CallerProfile:
    found = CallerProfile()
    found.observe(CALL, 1)
    return found


def group() -> Group:
    found = Group()
    found.add(GroupChange(first=True), 1)
    return found


def read(packed: bytes) -> Account:
    return AccountRow("key", (0, 0, 0, packed), 1).account


def written(account: Account, **others: object) -> bytes:
    """Return an account as another version might have written it."""
    fields = msgspec.to_builtins(account, builtin_types=(bytes, bytearray))
    for name, value in others.items():
        fields[account.__struct_fields__.index(name)] = value
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    "other", [["c", 1, 2], ["cffffffff", 0], [1, 2], "sketch", {"cells": b""}, 7], ids=repr
)
def test_a_profile_of_another_version_is_left_out_and_all_else_stays(other: object) -> None:
    account = Account(5, {"sliding:a": SlidingState(3)}, {"id": 9}, profile())
    assert read(written(account, profile=other)) == msgspec.structs.replace(account, profile=None)
    assert codec.unpack_profile(msgspec.msgpack.encode(other)) is None


def test_a_window_of_another_version_is_left_out_and_all_else_stays() -> None:
    account = Account(5, {"lease:a": LeaseState({"a": 1})}, {"id": 9}, profile())
    windows = {**msgspec.to_builtins(account.windows), "distinct:b": ["b", b"", 3]}
    assert read(written(account, windows=windows)) == account


def test_a_profile_with_other_sums_is_none() -> None:
    packed = msgspec.to_builtins(profile(), builtin_types=(bytes, bytearray))
    said = type(profile()).__struct_fields__.index("said") + 1
    assert codec.unpack_profile(msgspec.msgpack.encode(packed)) == profile()
    packed[said][0][0].append(0)
    assert codec.unpack_profile(msgspec.msgpack.encode(packed)) is None


def test_damaged_streams_and_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="sums"):
        Stream(sums=[0] * (len(SUMS) + 1))
    with pytest.raises(ValueError, match="bitmaps"):
        CallerProfile(cells=bytearray(1))
    with pytest.raises(ValueError, match="histogram"):
        Group(peaks=[1])


@pytest.mark.parametrize("made", [profile, group])
def test_a_debt_beyond_all_time_does_not_damage_a_profile(made: object) -> None:
    account = Account(5, {"sliding:a": SlidingState(3, debt=1, due=FAR)}, {}, made())  # type: ignore[operator]
    assert read(_pack(account)).profile == account.profile


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_profile_is_none_or_can_be_used(at: int, byte: int) -> None:
    packed = bytearray(codec.pack_profile(profile()))
    packed[at % len(packed)] = byte
    found = codec.unpack_profile(bytes(packed))
    if isinstance(found, CallerProfile):
        for now in (0, 1, 10**14):
            found.novelty(CALL)
            found.observe(CALL, now)
            found.score(now)
