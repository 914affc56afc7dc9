"""What the store knows of callers, for tiers that ask: read once, kept, and kept up to date.

A caller's account says when it was made. Beside the policy's budgets it has windows of a year that
count the calls that were answered and what they cost, and one that notes trouble. These are charged
after a call has ended, in the background where the store may wait, and at the ordinary price: what
a price makes a call count does not make its caller better known.

The first call of a caller in a process waits for one read of its account. A store that fails, and
one that knows nothing, make the caller a newcomer. So does an account on probation: what nobody has
verified is new, however old.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from functools import lru_cache
from itertools import count

import msgspec

from querybudget import ledger
from querybudget.adapters.base import Call, Usage
from querybudget.coroutines import run_now
from querybudget.coverage import Stage
from querybudget.errors import StoreError
from querybudget.identity import ANONYMOUS
from querybudget.ledger import Charge, Decision, Line
from querybudget.limiter.admission import Admission, Refusal
from querybudget.limiter.conditions import models_of_call
from querybudget.limiter.cost import dearest, price_of, usd
from querybudget.notation import LARGEST
from querybudget.policy.history import NEWCOMER, History
from querybudget.policy.model import Policy
from querybudget.policy.prices import ModelPrice
from querybudget.resilience.store import ResilientStore
from querybudget.stores import AccountRecord, Clock
from querybudget.stores.accounts import SEPARATOR
from querybudget.units import (
    MICRO,
    SECOND,
    Algorithm,
    Micros,
    MicroUnits,
    Period,
    Quota,
    Unit,
)

REMEMBERED = 100_000
"""Callers remembered. The least recently seen is dropped, and read again with its next call."""

REFRESH = 60 * SECOND
"""µs after which a caller's account is read again, since other workers serve it too."""

STRANGER = 10 * SECOND
"""µs for which a key that the store does not know is not read again, unless it is answered."""

TROUBLE = 3_600 * SECOND
"""µs for which trouble is not noted again."""

MODELS = 1_024
"""Models whose price is cached."""

_YEAR = Period.YEAR.length


def _year_of(name: str, unit: Unit) -> Quota:
    return Quota(name, unit, LARGEST, _YEAR, Algorithm.SLIDING, LARGEST)


# No budget has such a name: the policy's have no colon.
CALLS = _year_of("history:calls", Unit.REQUESTS)
SPENT = _year_of("history:spent", Unit.USD)
TROUBLED = _year_of("history:troubled", Unit.REQUESTS)
_QUOTAS = (CALLS, SPENT, TROUBLED)


class _Known(msgspec.Struct):
    """A caller that this process knows.

    Attributes:
        history: What the store knows of it, and what this process has to add.
        due: When its account is to be read again, µs.
    """

    history: History
    due: int


class Prices:
    """What calls cost in money, by the prices of a policy's models.

    Args:
        policy: The policy.
    """

    def __init__(self, policy: Policy) -> None:
        self._models: Mapping[str, ModelPrice] = policy.models
        self._price = lru_cache(MODELS)(self._dearest)

    def cost(self, call: Call, usage: Usage) -> int:
        """Return what a call costs, µ-dollars; 0 for a model without a price."""
        price = self._price(models_of_call(call)) if self._models else None
        return 0 if price is None else usd(price, call, usage)

    def _dearest(self, names: tuple[str, ...]) -> ModelPrice | None:
        found = (price_of(self._models, name) for name in names)
        return dearest([price for price in found if price is not None])


class Histories:
    """The histories of callers, a bounded number of them.

    Args:
        store: Where accounts are.
        clock: µs since the epoch.
        size: Callers remembered.

    Attributes:
        clock: As given.
    """

    def __init__(self, store: ResilientStore, clock: Clock, size: int = REMEMBERED) -> None:
        self._store = store
        self.clock = clock
        self._size = size
        self._known = OrderedDict[str, _Known]()
        self._strangers: dict[str, int] = {}
        """Keys of which the store knows nothing, and when they are to be read again, µs."""
        self._troubled = OrderedDict[str, int]()
        self._owed: dict[str, list[int]] = {}
        """By caller: calls and µ-dollars that the store does not have yet."""
        self._sending = set[str]()
        prefix = os.urandom(8).hex()
        self._names = map(f"{prefix}h{{:x}}".format, count(1))

    def known(self, key: str) -> History:
        """Return what this process knows of a caller now, by the key of its identity."""
        found = self._known.get(key)
        return NEWCOMER if found is None else found.history

    def assume(self, key: str, history: History) -> None:
        """Use a history for a caller, whatever its account says: for tests and explanations."""
        self._keep(key, _Known(history, 1 << 63))

    async def look(self, key: str) -> None:
        """Read the account of a caller who is new to this process, or was read long ago.

        Only the first waits for a store that may wait.
        """
        found, now = self._known.get(key), self.clock()
        if found is None:
            if key != ANONYMOUS and now >= self._strangers.get(key, 0):
                await self._read(key)
            return
        self._known.move_to_end(key)
        if now >= found.due:
            found.due = now + REFRESH
            if self._store.guarded:
                _ = self._store.background.run(self._read(key))
            else:
                await self._read(key)

    def note(self, key: str, call: Call, usage: Usage, prices: Prices, charge: Charge) -> None:
        """Note an answered call of a verified caller.

        Args:
            key: Of the caller's identity.
            call: What was asked.
            usage: What it used.
            prices: Of the policy's models.
            charge: What was reserved for it.
        """
        if key == ANONYMOUS:
            return
        cost = prices.cost(call, usage)
        self._strangers.pop(key, None)
        self._add(key, 1, cost)
        found = self._known.get(key)
        if found is not None:
            before = found.history
            found.history = History(
                before.since,
                before.calls + 1,
                MicroUnits(before.spent + cost),
                before.troubled,
            )
        if key not in self._sending:
            self._run(self._send(key, charge.tier, charge.ttl))

    def trouble(self, admission: Admission) -> None:
        """Note that a verified caller is slowed, degraded or refused for what it covers itself."""
        key, now = admission.identity.key, admission.at
        if key == ANONYMOUS or not admission.verified or not _own_trouble(key, admission):
            return
        found = self._known.get(key)
        if found is not None:
            found.history = msgspec.structs.replace(found.history, troubled=now)
        if now - self._troubled.get(key, -TROUBLE) < TROUBLE:
            return
        self._troubled[key] = now
        self._troubled.move_to_end(key)
        if len(self._troubled) > self._size:
            self._troubled.popitem(last=False)
        if admission.reserved is not None:
            asked = admission.reserved.charge
            self._run(self._note_trouble(key, asked.tier, asked.ttl))

    async def _read(self, key: str) -> None:
        """Read a caller's account, for the first time or again."""
        try:
            record = await self._store.account(key)
        except StoreError:
            return  # what is known stays
        now = self.clock()
        if record is None or not record.known:
            self._known.pop(key, None)
            self._strangers.pop(key, None)
            if len(self._strangers) >= self._size:
                del self._strangers[next(iter(self._strangers))]
            self._strangers[key] = now + STRANGER
            return
        self._strangers.pop(key, None)
        calls, spent = self._owed.get(key, (0, 0))
        self._keep(key, _Known(_history_of(record, now, calls, spent), now + REFRESH))

    def _keep(self, key: str, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def _add(self, key: str, calls: int, spent: int) -> None:
        owed = self._owed.get(key)
        if owed is not None:
            owed[0] += calls
            owed[1] += spent
            return
        if len(self._owed) >= self._size:
            del self._owed[next(iter(self._owed))]
        self._owed[key] = [calls, spent]

    def _run(self, work: Coroutine[object, None, None]) -> None:
        """Run what is to be charged: at once if the store answers at once."""
        if self._store.guarded:
            _ = self._store.background.run(work)
            return
        run_now(work, "expected a store that does not suspend, found one that does")

    async def _send(self, key: str, tier: str, ttl: int) -> None:
        """Charge what is owed, until nothing is: calls that end meanwhile are charged together."""
        self._sending.add(key)
        try:
            while key in self._owed:
                calls, spent = self._owed.pop(key)
                try:
                    decision = await self._charge(key, tier, ttl, calls * MICRO, spent, 0)
                except StoreError:
                    self._add(key, calls, spent)  # the next call tries again
                    return
                self._learn(key, decision)
        finally:
            self._sending.discard(key)

    async def _note_trouble(self, key: str, tier: str, ttl: int) -> None:
        try:
            await self._charge(key, tier, ttl, 0, 0, MICRO)
        except StoreError:
            self._troubled.pop(key, None)  # the next trouble is noted again

    def _charge(
        self, key: str, tier: str, ttl: int, *amounts: int
    ) -> Coroutine[object, None, Decision]:
        lines = tuple(
            Line(key, quota, amount, amount) for quota, amount in zip(_QUOTAS, amounts, strict=True)
        )
        return self._store.add(Charge(next(self._names), lines, ttl, tier=tier))

    def _learn(self, key: str, decision: Decision) -> None:
        """Take from an answer what all workers together have counted."""
        found, now = self._known.get(key), self.clock()
        if found is None or found.due > now + REFRESH:  # or it is assumed
            return
        calls, spent = self._owed.get(key, (0, 0))
        uses = [(line.remaining, line.reset) for line in decision.lines]
        found.history = _history(found.history.since, uses, now, calls, spent)
        found.due = now + REFRESH


def _own_trouble(key: str, admission: Admission) -> bool:
    """Return True if a budget in buckets does something to a call for what its caller covers.

    That is one of the caller's own, or one that only suspects spend. What a pool has covered says
    nothing about one of its members.
    """
    decision = admission.decision
    if decision is None or not (admission.stage or admission.refusal is Refusal.ABNORMAL):
        return False
    return any(
        status.line.response is not None
        and not status.line.shadow
        and (
            key in status.line.partition.split(SEPARATOR)
            or status.line.response.suspects is not None
        )
        and (status.verdict or status.line.response.stage(status.strain, Stage.NONE))
        for status in decision.lines
    )


def _history_of(record: AccountRecord, now: int, calls: int, spent: int) -> History:
    account = record.account
    return _history(account.since, ledger.peek(account, _QUOTAS, now), now, calls, spent)


def _history(
    since: int, uses: Sequence[tuple[int, int]], now: int, calls: int, spent: int
) -> History:
    """Return a history from what is left of each quota and the µs until none of it is used.

    Args:
        since: When the account was made, µs.
        uses: In the order of the quotas.
        now: µs since the epoch.
        calls: Calls that the store does not have yet.
        spent: µ-dollars, likewise.
    """
    (calls_left, _), (money_left, _), (trouble_left, until) = uses
    return History(
        Micros(since),
        (LARGEST - calls_left) // MICRO + calls,
        MicroUnits(LARGEST - money_left + spent),
        Micros(now + until - _YEAR if trouble_left < LARGEST else 0),
    )
