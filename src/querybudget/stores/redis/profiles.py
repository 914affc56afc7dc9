"""Profiles, which clients update with compare-and-set.

Scoring a profile takes floating-point numbers, on which servers and versions would have to agree,
and reading its sketch of a kilobyte. So clients do both. They read the identity's profile, let it
observe the call, and settle with the result. The script stores it only if the profile's version is
still the one that was read. For a pool, which many clients add to at once, the script keeps the
sums and says when its score is due.

Calls of one identity that a process settles at the same time are observed together.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Sequence

import msgspec

from querybudget.coverage import Profile
from querybudget.coverage.score import pool_score, reasons
from querybudget.coverage.sketch import Sketch
from querybudget.errors import StoreError
from querybudget.ledger import Line, Reservation, Settled
from querybudget.stores.redis import codec
from querybudget.stores.redis.cluster import ClusterOps
from querybudget.stores.redis.single_server import (
    DuePool,
    ProfileUpdate,
    SettleOutcome,
    SingleServerOps,
)
from querybudget.units import Algorithm

TRIES = 8
"""Tries of a call whose profile another client changes each time. After the last, the profile lacks
the call; its budgets do not."""

_HEAD = struct.Struct(">IQH")
_RAW_DEFLATE = -15
"""zlib's window for a stream without header and checksum: the server returns what it was given."""

_Body = tuple[Sketch | None, int, dict[int, Sketch]]
_BODY = msgspec.msgpack.Decoder(_Body)


class _Call(msgspec.Struct, eq=False):
    """A call to settle and to observe."""

    reservation: Reservation
    amounts: Sequence[int]
    answer: asyncio.Future[Settled]
    settled: Settled | None = None

    def finish(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self.settled or Settled.REPEATED)


class ProfileSettler:
    """Settles calls that profiles observe."""

    def __init__(self, ops: SingleServerOps | ClusterOps) -> None:
        self._ops = ops
        self._waiting: dict[str, list[_Call]] = {}
        self._tasks = set[asyncio.Task[None]]()
        self.missed = 0

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Settle a call, and let the profiles of its identity and its pools observe it."""
        answer: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        call, identity = _Call(reservation, amounts, answer), reservation.profiled[0]
        if identity in self._waiting:
            self._waiting[identity].append(call)
        else:
            self._waiting[identity] = [call]
            task = asyncio.ensure_future(self._settle_waiting(identity))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def aclose(self) -> None:
        """Wait for calls that are being settled."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _settle_waiting(self, identity: str) -> None:
        while calls := self._waiting[identity]:
            self._waiting[identity] = []
            try:
                await self._settle_together(identity, calls)
            except Exception as error:  # noqa: BLE001 - raised from each call's `settle`
                for call in calls:
                    self._fail(call, error)
        del self._waiting[identity]

    async def _settle_together(self, identity: str, calls: Sequence[_Call]) -> None:
        for _ in range(TRIES):
            now, (account,) = await self._ops.read([identity])
            profile, version = unpack_profile(account)
            updates: list[ProfileUpdate | None] = []
            for call in calls:
                update = _observe(call, profile, version, now)
                version += update is not None
                updates.append(update)
            outcomes = await asyncio.gather(
                *(self._settle(call, update) for call, update in zip(calls, updates, strict=True)),
                return_exceptions=True,
            )
            calls = [
                call
                for call, outcome in zip(calls, outcomes, strict=True)
                if self._needs_retry(call, outcome)
            ]
            if not calls:
                return
        self.missed += len(calls)
        for call in calls:
            call.finish()

    async def _settle(self, call: _Call, update: ProfileUpdate | None) -> SettleOutcome:
        outcome = await self._ops.settle(
            call.reservation, call.amounts, update, only_observe=call.settled is not None
        )
        for pool in outcome.due:
            try:
                await self._score(pool, call.reservation.lines)
            except StoreError:  # the pool stays due, and the next call's outcome names it again
                break
        return outcome

    def _needs_retry(self, call: _Call, outcome: SettleOutcome | BaseException) -> bool:
        """Return whether a call has to be observed again; otherwise answer it."""
        if isinstance(outcome, BaseException):
            self._fail(call, outcome)
            return False
        if call.settled is None:
            call.settled = outcome.settled
        if not outcome.conflict:
            call.finish()
        return outcome.conflict

    def _fail(self, call: _Call, error: BaseException) -> None:
        """End a call that failed. One that has been settled is only missing from its profile."""
        if call.settled is not None:
            self.missed += 1
            call.finish()
        elif not call.answer.done():
            call.answer.set_exception(error)

    async def _score(self, pool: DuePool, lines: Sequence[Line]) -> None:
        score, why = pool_score(pool.sums, pool.members), reasons(pool.sums, pool.members)
        bucket_lines = [
            line
            for line in lines
            if line.partition == pool.partition and line.quota.algorithm is Algorithm.DISTINCT
        ]
        await self._ops.set_score(pool, score, codec.pack_reasons(why), bucket_lines)


def unpack_profile(account: bytes) -> tuple[Profile, int]:
    """Return an identity's whole profile and its version; a new profile if there is none."""
    record = codec.profile_record(account) if account else None
    if record is None:
        return Profile(), 0
    profile, version, body = codec.unpack_profile_head(record)
    if body[:1] == b"i":
        whole, template, templates = _BODY.decode(zlib.decompress(body[1:], _RAW_DEFLATE))
        profile.sketch, profile.first_template, profile.templates = whole, template, templates
    return profile, version


def pack_profile(profile: Profile) -> bytes:
    """Return an identity's profile as `settle.lua` takes it."""
    why = codec.pack_reasons(profile.reasons)
    body: _Body = profile.sketch, profile.first_template, profile.templates
    deflated = zlib.compress(msgspec.msgpack.encode(body), 6, _RAW_DEFLATE)
    return _HEAD.pack(profile.last_score, profile.scored_at, len(why)) + why + b"i" + deflated


def _observe(call: _Call, profile: Profile, version: int, now: int) -> ProfileUpdate | None:
    """Let a profile observe a call, and return the update to settle with, if any."""
    observation = call.reservation.observation
    if observation is None:
        return None
    delta = profile.observe(observation, now)
    if not delta.sums:
        return None
    return ProfileUpdate(version % 2**32, pack_profile(profile), delta.first, delta.sums)
