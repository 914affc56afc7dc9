"""What calls looked like, folded into profiles by whoever settles them.

A profile's judgement needs floating-point numbers that all servers and versions would have to agree
on, and its sketch a kilobyte of reading: so clients do both. They read the identity's profile, let
it take the call in, and settle with what it came to; the script takes that only if nobody has
changed the profile meanwhile. Of a pool, to which many add at once, the script keeps the sums, and
says when it is time to judge them.

Calls of one identity that this process settles at the same time are folded in together.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from querybudget.coverage import Profile
from querybudget.coverage.score import pool_score, reasons
from querybudget.coverage.sketch import Sketch
from querybudget.errors import StoreError
from querybudget.ledger import Line, Reservation, Settled
from querybudget.stores.redis import codec
from querybudget.stores.redis.single_server import Due, ProfileUpdate, SettleOutcome
from querybudget.units import Algorithm

__all__ = ["Profiles"]

TRIES = 8
"""How often a call is folded in anew, where another client was first each time. After that the
profile lacks a call; its budgets do not."""

_HEAD = struct.Struct(">IQH")
_RAW = -15
"""Deflated without a head and a checksum: the server keeps what it is given."""
_Body = tuple[Sketch | None, int, dict[int, Sketch]]
_BODY = msgspec.msgpack.Decoder(_Body)


class ServerOps(Protocol):
    """Steps on one server, or on several."""

    async def read(self, partitions: Sequence[str], /) -> tuple[int, list[bytes]]:
        """The time, and accounts as they are kept."""
        ...

    async def settle(
        self,
        reservation: Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None = None,
        *,
        again: bool = False,
    ) -> SettleOutcome:
        """Replace what is held by what was used."""
        ...

    async def judge(self, due: Due, found: int, why: bytes, lines: Sequence[Line]) -> None:
        """Note what a pool's sums were found to come to."""
        ...


class _Call(msgspec.Struct, eq=False):
    """A call to be settled and folded in."""

    reservation: Reservation
    amounts: Sequence[int]
    answer: asyncio.Future[Settled]
    settled: Settled | None = None


class Profiles:
    """Settles calls that profiles take in.

    Args:
        steps: Of the store.

    Attributes:
        missed: Calls that a profile lacks, since other clients were first too often.
    """

    def __init__(self, steps: ServerOps) -> None:
        self._steps = steps
        self._waiting: dict[str, list[_Call]] = {}
        self._folding = set[asyncio.Task[None]]()
        self.missed = 0

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Settle a call, and let its identity's profile and its pools' take it in."""
        answer: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        call, identity = _Call(reservation, amounts, answer), reservation.profiled[0]
        if identity in self._waiting:
            self._waiting[identity].append(call)
        else:
            self._waiting[identity] = [call]
            task = asyncio.ensure_future(self._fold_all(identity))
            self._folding.add(task)
            task.add_done_callback(self._folding.discard)
        return await answer

    async def aclose(self) -> None:
        """Wait for what is under way."""
        while self._folding:
            await asyncio.gather(*self._folding, return_exceptions=True)

    async def _fold_all(self, identity: str) -> None:
        while calls := self._waiting[identity]:
            self._waiting[identity] = []
            try:
                await self._fold(identity, calls)
            except Exception as error:  # noqa: BLE001 - it is the callers' to hear
                for call in calls:
                    self._fail(call, error)
        del self._waiting[identity]

    async def _fold(self, identity: str, calls: Sequence[_Call]) -> None:
        for _ in range(TRIES):
            now, (blob,) = await self._steps.read([identity])
            profile, version = unpacked(blob)
            steps: list[Awaitable[SettleOutcome]] = []
            for call in calls:
                update = _observed(call, profile, version, now)
                version += update is not None
                steps.append(self._settle(call, update))
            outcomes = await asyncio.gather(*steps, return_exceptions=True)
            calls = [
                call
                for call, outcome in zip(calls, outcomes, strict=True)
                if self._goes_on(call, outcome)
            ]
            if not calls:
                return
        self.missed += len(calls)
        for call in calls:
            _tell(call)

    async def _settle(self, call: _Call, update: ProfileUpdate | None) -> SettleOutcome:
        outcome = await self._steps.settle(
            call.reservation, call.amounts, update, again=call.settled is not None
        )
        for due in outcome.due:
            try:
                await self._judge(due, call.reservation.lines)
            except StoreError:  # it stays due: the next call says so again
                break
        return outcome

    def _goes_on(self, call: _Call, outcome: SettleOutcome | BaseException) -> bool:
        """Whether a call has to be folded in anew. Else whoever waits for it is told."""
        if isinstance(outcome, BaseException):
            self._fail(call, outcome)
            return False
        if call.settled is None:
            call.settled = outcome.settled
        if not outcome.changed:
            _tell(call)
        return outcome.changed

    def _fail(self, call: _Call, error: BaseException) -> None:
        """End a call that failed. One that is settled lacks only in its profile."""
        if call.settled is not None:
            self.missed += 1
            _tell(call)
        elif not call.answer.done():
            call.answer.set_exception(error)

    async def _judge(self, due: Due, lines: Sequence[Line]) -> None:
        score, why = pool_score(due.sums, due.members), reasons(due.sums, due.members)
        covered = [
            line
            for line in lines
            if line.partition == due.partition and line.quota.algorithm is Algorithm.DISTINCT
        ]
        await self._steps.judge(due, score, codec.packed_reasons(why), covered)


def unpacked(blob: bytes) -> tuple[Profile, int]:
    """An identity's profile in full, and its version; a new one where there is none."""
    record = codec.profile_of(blob) if blob else None
    if record is None:
        return Profile(), 0
    profile, version, body = codec.read_profile(record)
    if body[:1] == b"i":
        whole, template, templates = _BODY.decode(zlib.decompress(body[1:], _RAW))
        profile.sketch, profile.first_template, profile.templates = whole, template, templates
    return profile, version


def packed(profile: Profile) -> bytes:
    """An identity's profile as `settle.lua` takes it."""
    why = codec.packed_reasons(profile.reasons)
    body: _Body = profile.sketch, profile.first_template, profile.templates
    rest = zlib.compress(msgspec.msgpack.encode(body), 6, _RAW)
    return _HEAD.pack(profile.last_score, profile.scored_at, len(why)) + why + b"i" + rest


def _observed(call: _Call, profile: Profile, version: int, now: int) -> ProfileUpdate | None:
    """Let a profile take a call in; what is to be told of it."""
    observation = call.reservation.observation
    if observation is None:
        return None
    step = profile.observe(observation, now)
    if not step.sums:
        return None
    return ProfileUpdate(version % 2**32, packed(profile), step.first, step.sums)


def _tell(call: _Call) -> None:
    if not call.answer.done():
        call.answer.set_result(call.settled or Settled.REPEATED)
