"""Calls that profiles observe, charged on one server.

Coverage is computed by clients; scripts know windows, and profiles as bytes with a version. A call
is decided on what this process knows of its accounts, and the script charges it only if profiles
and windows are still as they were known. If they are not, it returns the accounts, and the call is
decided again. So the usual call takes one round trip, and profiles change together with budgets.

Calls of one identity that are made at the same time are decided on each other: each takes for
granted that those before it succeed. If one does not, those after it are decided again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from cachetools import LRUCache

from querybudget import ledger
from querybudget.coverage import Stage
from querybudget.coverage.response import PERCENT
from querybudget.errors import StoreError
from querybudget.ledger import Account, Charge, Decision
from querybudget.ledger.bucket_line import BucketLine
from querybudget.ledger.coverage import CoverageDecision, evaluate, update_profile
from querybudget.ledger.windows import SlidingState
from querybudget.stores.loops import PerLoop
from querybudget.stores.redis import codec
from querybudget.stores.redis.codec import ANY_PROFILE, MAX_NUMBER, Deciding
from querybudget.stores.redis.single_server import (
    ReserveReply,
    SingleServerOps,
    admission,
    charged_partitions,
    repeated,
)
from querybudget.units import MICRO, SECOND, Micros, Millionths, Unit, priced

TRIES = 8
"""Tries of a call whose accounts other clients change each time. The last charges it all the same,
and its profile lacks the call."""

MAX_KNOWN = 4_096
"""Accounts of which the last state is kept."""

REFRESH = 10 * SECOND
"""µs after which a group is read again that only calibrates: no script checks its version."""

FULL = 100
"""The last percent of strain that prices tell apart."""

_BUCKETS = Unit.BUCKETS


class Known(msgspec.Struct, eq=False):
    """What this process knows of an account.

    Attributes:
        version: Version of its profile.
        profile: Its profile, packed.
        since: When the account was opened, µs.
        read: When it was read, µs.
        root: What the server said; the same for all that was derived from it.
        packed: The account's records as they were read.
        windows: Windows of buckets that were needed since.
    """

    version: bytes
    profile: bytes
    since: int
    read: int
    root: object
    packed: Mapping[str, bytes]
    windows: Mapping[str, SlidingState]

    def account(self) -> Account:
        """Return the account for the ledger, with its profile and no window."""
        return Account(self.since, profile=codec.unpack_profile(self.profile))

    def window(self, key: str) -> SlidingState:
        """Return a copy of a window."""
        window = self.windows.get(key)
        if window is not None:
            return SlidingState(window.total, window.marks.copy(), window.debt, window.due)
        packed = self.packed.get(key)
        return codec.unpack_sliding(packed) if packed else SlidingState()


def known(account: bytes, now: int) -> Known:
    """Return what is known of an account that was just read; empty if there is none."""
    if not account:
        return Known(codec.NO_PROFILE, b"", now, now, object(), {}, {})
    version, profile = codec.profile_of(account)
    return Known(
        version, profile, codec.since(account), now, object(), dict(codec.records(account)), {}
    )


class Draft(msgspec.Struct, eq=False):
    """A call as it is decided on what is known.

    Attributes:
        coverage: What lines of buckets do to it.
        before: What was known of the accounts that it was decided on.
        after: What will be known of them if the script charges it.
        partitions: Of the accounts that take part; those of lines come first.
        deciding: What the script is told.
    """

    coverage: CoverageDecision
    before: Mapping[str, Known]
    after: Mapping[str, Known]
    partitions: Sequence[str]
    deciding: Deciding


class CoverageOps:
    """Charges calls that profiles observe.

    Attributes:
        missed: Calls that their profiles lack, because other clients changed them too often.
    """

    def __init__(self, single: SingleServerOps) -> None:
        self._single = single
        self._caches: PerLoop[LRUCache[str, Known]] = PerLoop(_cache)
        self.missed = 0

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none, and let profiles observe a call that is admitted.

        Raises:
            StoreError: Its accounts changed at each attempt.
        """
        for tries_left in reversed(range(TRIES)):
            now = await self._learn(charge)
            draft = self._draft(charge, now, fold=tries_left > 0)
            if draft is None:
                refusal = await self._refused(charge)
                if refusal is not None:
                    return refusal
                continue
            reply = await self._send(charge, draft)
            decision = self._answer(charge, draft, reply)
            if decision is not None:
                self.missed += not tries_left and reply.kind != "D" and decision.admitted
                return decision
        raise StoreError("the accounts of a call changed at each attempt to charge it")

    def drop(self, partitions: Sequence[str]) -> None:
        """Forget what is known of accounts."""
        for partition in partitions:
            self._known.pop(partition, None)

    @property
    def _known(self) -> LRUCache[str, Known]:
        return self._caches.get()

    async def _learn(self, charge: Charge) -> Micros:
        """Read those accounts that are not known; return about the server's time."""
        now, cache = self._single.now(), self._known
        calibrating = charge.calibration.partitions if charge.calibration else ()
        missing: dict[str, Known | None] = {}
        for partition in _observing(charge):
            found = cache.get(partition)
            if found is None or (partition in calibrating and now - found.read > REFRESH):
                missing[partition] = found
        if missing:
            now, accounts = await self._single.read(list(missing))
            for (partition, old), account in zip(missing.items(), accounts, strict=True):
                if cache.get(partition) is old:  # else another call has learnt it meanwhile
                    cache[partition] = known(account, now)
        return Micros(now)

    def _draft(self, charge: Charge, now: int, *, fold: bool) -> Draft | None:
        """Decide a call on what is known; None if it is refused.

        Args:
            charge: The call's.
            now: µs.
            fold: Whether profiles observe it, and what it is decided on is checked.
        """
        before = {partition: self._known[partition] for partition in _observing(charge)}
        accounts = _accounts(charge, before)
        coverage = evaluate(accounts, charge, now)
        lines = [(n, line) for n, line in enumerate(coverage.bucket_lines) if line]
        if any(line.refuses and not line.line.shadow for _, line in lines):
            return None
        partitions = dict.fromkeys(charged_partitions(charge.lines))
        profiles = _folded(charge, coverage, accounts, before, now) if fold else {}
        partitions |= dict.fromkeys((*charge.profiled[:1], *profiles))
        wanted = [
            (
                before[partition].version if fold and partition in accounts else ANY_PROFILE,
                partition in profiles,
            )
            for partition in partitions
        ]
        ranges = [(n, *_range(line)) for n, line in lines] if fold else []
        deciding = Deciding(
            priced(charge.price, coverage.price),
            {n: line.amount for n, line in lines},
            [n for n, line in lines if line.stage is Stage.REFUSE],
            decided=codec.pack_decided(wanted, ranges),
            profiles=[profiles[name] for name in partitions if name in profiles],
        )
        for _, line in lines:
            line.window.charge(line.line.quota, line.amount, now)
        after = _after(charge, accounts, before, profiles)
        return Draft(coverage, before, after, list(partitions), deciding)

    async def _send(self, charge: Charge, draft: Draft) -> ReserveReply:
        """Run the script. What it would change is known from now on, until it says otherwise."""
        cache = self._known
        cache.update(draft.after)
        try:
            reply = await self._single.charge(charge, draft.partitions, draft.deciding)
        except BaseException:
            self.drop(list(draft.after))
            raise
        if reply.kind == "A":
            for bucket_line, (_, left, _) in zip(
                draft.coverage.bucket_lines, reply.lines, strict=True
            ):
                if bucket_line and left != _left(bucket_line):
                    cache.pop(bucket_line.line.partition, None)
            return reply
        for partition, derived in draft.after.items():
            current = cache.get(partition)
            if current is not None and current.root is not derived.root:
                continue  # another call has learnt better
            if partition in reply.accounts and reply.kind != "F":
                cache[partition] = known(reply.accounts[partition], reply.now)
            else:
                cache.pop(partition, None)
        return reply

    def _answer(self, charge: Charge, draft: Draft, reply: ReserveReply) -> Decision | None:
        """Return the decision that a script's reply means; None to try again."""
        if reply.kind == "A":
            price = Millionths(draft.deciding.price)
            return draft.coverage.added_to(admission(charge, reply, price))
        if reply.kind == "S":
            return None
        accounts = {name: one.account() for name, one in draft.before.items()}
        accounts |= codec.unpack_accounts(reply.accounts, reply.now)
        if reply.kind == "D":
            return repeated(charge, accounts, reply)
        decision = ledger.reserve(accounts, charge, reply.now)
        if decision.admitted == (reply.kind == "F"):
            return decision
        # The last try, which checks nothing: charged at a price of a moment ago.
        return repeated(charge, accounts, reply) if reply.kind == "F" else None

    async def _refused(self, charge: Charge) -> Decision | None:
        """Return the ledger's refusal of a call, on its accounts as they are; None without one."""
        partitions = charge.partitions
        now, packed = await self._single.read(partitions)
        blobs = dict(zip(partitions, packed, strict=True))
        for partition in _observing(charge):
            self._known[partition] = known(blobs[partition], now)
        decision = ledger.reserve(codec.unpack_accounts(blobs, now), charge, now)
        return None if decision.admitted else decision


def _cache() -> LRUCache[str, Known]:
    return LRUCache(MAX_KNOWN)


def _observing(charge: Charge) -> tuple[str, ...]:
    """Return the partitions of the accounts that a call is decided on, or that may observe it."""
    lines = [line.partition for line in charge.lines if line.quota.unit is _BUCKETS]
    return tuple(dict.fromkeys((*charge.profiled, *lines)))


def _accounts(charge: Charge, before: Mapping[str, Known]) -> dict[str, Account]:
    """Return the accounts that lines of buckets are decided on."""
    accounts: dict[str, Account] = {}
    wanted = [*charge.profiled[:1]]
    wanted += charge.calibration.partitions if charge.calibration else ()
    lines = [line for line in charge.lines if line.quota.unit is _BUCKETS]
    wanted += [line.partition for line in lines]
    for partition in wanted:
        if partition not in accounts:
            accounts[partition] = before[partition].account()
    for line in lines:
        key = line.quota.key
        accounts[line.partition].windows[key] = before[line.partition].window(key)
    return accounts


def _folded(
    charge: Charge,
    coverage: CoverageDecision,
    accounts: dict[str, Account],
    before: Mapping[str, Known],
    now: int,
) -> dict[str, bytes]:
    """Let profiles observe the call; return those that changed, packed. Adds to `accounts`."""
    change = None
    profiles: dict[str, bytes] = {}
    for partition, old in before.items():  # the identity's first
        if partition not in accounts:
            if change is None:
                continue
            accounts[partition] = old.account()
        account = accounts[partition]
        change = update_profile(partition, account, charge, coverage, change, now)
        packed = codec.pack_profile(account.profile)
        if packed != old.profile:
            profiles[partition] = packed
    return profiles


def _after(
    charge: Charge,
    accounts: Mapping[str, Account],
    before: Mapping[str, Known],
    profiles: Mapping[str, bytes],
) -> dict[str, Known]:
    """Return what will be known of accounts if the script charges the call."""
    name, after = codec.short_name(charge.id), dict[str, Known]()
    for partition, account in accounts.items():
        old = before[partition]
        windows = {key: one for key, one in account.windows.items() if type(one) is SlidingState}
        after[partition] = Known(
            name if partition in profiles else old.version,
            profiles.get(partition, old.profile),
            old.since,
            old.read,
            old.root,
            old.packed,
            {**old.windows, **windows},
        )
    return after


def _left(line: BucketLine) -> int:
    return line.line.quota.limit - line.window.total - line.window.debt


def _range(line: BucketLine) -> tuple[int, int]:
    """Return the least and the most that may be left for the same price and stage to follow."""
    least, most, limit = -MAX_NUMBER, MAX_NUMBER, line.line.quota.limit
    if line.idle:
        return least, most
    if line.touched is not None and line.amount == line.left:  # it may cost all that is left
        return line.left, line.left
    if line.line.shadow and line.amount > line.left:
        most = line.amount - 1
    elif line.line.shadow:
        least = line.amount
    response = line.line.response
    if response is None:
        return least, most
    percent = min(line.strain // PERCENT, FULL)
    low, high = percent * PERCENT, (percent + 1) * PERCENT if percent < FULL else MAX_NUMBER
    for stage, _ in response.stages:
        begin = response.threshold(stage, line.before)
        if line.strain >= begin:
            low = max(low, begin)
        else:
            high = min(high, begin)
    if low > line.score:
        most = min(most, limit + (-low * limit // MICRO))
    if high < MAX_NUMBER:
        least = max(least, limit + (-high * limit // MICRO) + 1)
    return least, most
