"""A store that fails in the ways a script says, and a wait that needs no clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from querybudget.errors import StoreError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.stores import Clock, MemoryStore
from querybudget.units import Micros, Quota

__all__ = ["TURNS", "Scripted", "hurried", "turns"]

TURNS = 20
"""Turns of the event loop that `hurried` waits for an answer."""


async def turns(count: int = 4 * TURNS) -> None:
    """Let everything else go on for a number of turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def hurried(futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
    """A guard's wait, by turns of the event loop and not by the time of day."""
    for _ in range(TURNS):
        done = all(future.done() for future in futures)
        await asyncio.sleep(0)
        if done:
            return


_T = TypeVar("_T")

_RAISED: dict[str, Callable[[], BaseException]] = {
    "fails": lambda: StoreError("redis://user:hunter2@db:6379 refused the connection"),
    "breaks": lambda: OSError("hunter2"),
    "cancels": asyncio.CancelledError,
}


class Scripted:
    """Accounts in memory, and for each reserve or settle a word that says how it goes.

    works      as a store should
    fails      raises StoreError
    breaks     raises what no store should
    hangs      never answers
    late       does it, and answers when the gate opens
    lost       does it, and raises StoreError; what a reserve holds is undone, as stores do by name
    gone       does it, and raises StoreError; nothing undoes it
    nonsense   answers with nothing
    cancels    raises CancelledError

    Attributes:
        script: Words for the next verbs; `ever` once it is empty.
        ever: The word for every verb after the script.
        asked: The verbs that were asked, in order.
        gate: Lets late answers out.
    """

    def __init__(
        self,
        clock: Clock,
        script: Iterable[str] = (),
        *,
        suspends: bool = True,
        ever: str = "works",
    ) -> None:
        self.suspends = suspends
        self.inner = MemoryStore(clock)
        self.script = deque(script)
        self.ever = ever
        self.asked: list[str] = []
        self.gate = asyncio.Event()

    async def reserve(self, charge: Charge) -> Decision:
        self.asked.append("reserve")

        async def lost() -> None:
            decision = await self.inner.reserve(charge)
            if decision.reservation is not None and any(decision.reservation.held):
                await self.inner.settle(decision.reservation, [0] * len(charge.lines))

        return await self._do(lambda: self.inner.reserve(charge), lost)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        self.asked.append("settle")

        async def lost() -> None:
            await self.inner.settle(reservation, amounts)

        return await self._do(lambda: self.inner.settle(reservation, amounts), lost)

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        self.asked.append("renew")

        async def lost() -> None:
            await self.inner.renew(reservation, ttl)

        return await self._do(lambda: self.inner.renew(reservation, ttl), lost)

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return await self.inner.peek(partition, quotas)

    async def forget(self, partition: str) -> bool:
        return await self.inner.forget(partition)

    async def aclose(self) -> None:
        self.asked.append("aclose")

    async def _do(
        self, verb: Callable[[], Awaitable[_T]], lost: Callable[[], Awaitable[None]]
    ) -> _T:
        if self.suspends:
            await asyncio.sleep(0)
        word = self.script.popleft() if self.script else self.ever
        if word in _RAISED:
            error = _RAISED[word]()
            raise error
        match word:
            case "works":
                return await verb()
            case "hangs":
                await asyncio.Event().wait()
            case "late":
                answer = await verb()
                await self.gate.wait()
                return answer
            case "lost" | "gone":
                await (lost() if word == "lost" else verb())
                raise StoreError("the answer was lost")
            case "nonsense":
                return None  # type: ignore[return-value] # what a store must not do
            case _:
                pass
        raise AssertionError("a word that no script has")
