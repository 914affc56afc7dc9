"""Which buckets a partition has visited in the window: exact, bounded, mergeable, packed as it is.

A window is kept in 15 slots. A visit counts until its whole slot is one window old: never less
than a window, and less than one slot longer. So at any time 16 slots can count, and four bits say
which one a visit lies in: a visited bucket is two bytes, twelve bits of bucket and four of slot.

A bucket weighs what the heaviest of the visits that count weighed; mostly all weigh the same. So
what is used is a function of the visits alone, whatever the order they came in, and a repeat costs
nothing. Visits are kept in one *layer* for each weight, less those that make no difference any
more: older than a heavier visit of the same bucket.

A call's buckets are *pending* until it is settled. They count like any visit, so that parallel
calls cannot pass the limit together, and are given back if the call fails. Those of a call that is
never settled go on counting, as visits made when it was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import final

import msgspec

from querybudget.coverage.response import Stage
from querybudget.units import AGES, Quota

__all__ = ["BucketState", "merge"]

_Visit = tuple[int, int, int]
"""Weight in µ-buckets, bucket, number of the slot."""


class Pending(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A bucket of a call that is not settled.

    Attributes:
        weight: What it weighs, µ-buckets.
        slot: Number of the slot it was asked in.
        expires: When it counts as visited, whatever the call came to; µs.
    """

    weight: int
    slot: int
    expires: int


@final
class BucketState(msgspec.Struct, array_like=True, tag="b"):
    """The buckets of one partition and quota.

    Attributes:
        window: The window that slots were numbered by, µs.
        tail: The oldest slot that still counts.
        head: The newest slot there was: a clock that goes back opens no older one.
        total: What all visited and pending buckets weigh, µ-buckets.
        stage: The stage that was begun last.
        layers: By weight, ascending: two bytes for each bucket, ascending by bucket.
        pending: By bucket, then by reservation; what was asked last is last.
    """

    window: int = 0
    tail: int = 0
    head: int = 0
    total: int = 0
    stage: Stage = Stage.NONE
    layers: dict[int, bytes] = msgspec.field(default_factory=dict[int, bytes])
    pending: dict[int, dict[str, Pending]] = msgspec.field(
        default_factory=dict[int, dict[str, Pending]]
    )

    # -- As any window ----------------------------------------------------------------------------

    def room(self, quota: Quota, now: int) -> int:
        """µ-buckets that could be visited anew."""
        if quota.window != self.window:
            self._refit(quota, now)
        tail = (now - quota.window + 1) // quota.slot
        if tail > self.tail:
            self._forget(tail)
        return quota.limit - self.total

    def charge(self, quota: Quota, amount: int, now: int) -> None:
        """Buckets are taken by `take`."""

    def adjust(self, quota: Quota, amount: int, at: int, now: int) -> None:
        """Buckets are settled by `observation` and `give_back`."""

    def wait(self, quota: Quota, amount: int, now: int) -> int:
        """µs until `amount` fits, if all of it is new then."""
        return self.wait_until_below(quota, quota.limit - amount, now)

    def reset(self, quota: Quota, now: int) -> int:
        """µs until no bucket counts any more."""
        if not self.total:
            return 0
        return self._end(quota, self._newest()) - now

    @property
    def blank(self) -> bool:
        """Whether no bucket counts."""
        return not self.total

    # -- Buckets ----------------------------------------------------------------------------------

    def novelty(self, cells: Iterable[int], weight: int) -> int:
        """µ-buckets that visiting `cells` would add, each of them weighing `weight`."""
        added = 0
        for cell in cells:
            known = self.weight(cell)
            if known < weight:
                added += weight - known
        return added

    def weight(self, cell: int) -> int:
        """What a bucket weighs now, µ-buckets; 0 if it does not count."""
        heaviest = 0
        for weight, packed in self.layers.items():
            if weight > heaviest and _find(packed, cell) >= 0:
                heaviest = weight
        entries = self.pending.get(cell)
        if entries is not None:
            heaviest = max(heaviest, *(entry.weight for entry in entries.values()))
        return heaviest

    def take(
        self,
        name: str,
        cells: Sequence[int],
        weight: int,
        novelty: int,
        quota: Quota,
        now: int,
        expires: int,
    ) -> None:
        """Make `cells` pending for a reservation, which adds their `novelty`."""
        if not weight or not cells:
            return
        self.total += novelty
        self.head = slot = max(self.head, now // quota.slot)
        entry = Pending(weight, slot, expires)
        pending = self.pending
        while pending and self._lapsed(next(iter(pending)), now):
            pass
        for cell in cells:
            others: dict[str, Pending] = {}
            if cell in pending and not self._lapsed(cell, now):
                others = pending.pop(cell)
            others[name] = entry
            pending[cell] = others

    def observation(self, name: str, cells: Iterable[int]) -> None:
        """Let a reservation's pending `cells` be visited."""
        for cell in cells:
            entry = self._drop(name, cell)
            if entry:
                self.note((entry.weight, cell, entry.slot))

    def give_back(self, name: str, cells: Iterable[int]) -> None:
        """Let a reservation's pending `cells` be as if it had not been made."""
        for cell in cells:
            entry = self._drop(name, cell)
            if entry:
                self.total -= max(0, entry.weight - self.weight(cell))

    def decay_schedule(
        self, quota: Quota, now: int, cells: Iterable[int] = (), weight: int = 0
    ) -> list[tuple[int, int]]:
        """What will be used, if nobody visits anything more.

        Args:
            quota: The quota.
            now: µs.
            cells: Buckets that count all the time beside.
            weight: What each of them weighs, µ-buckets.

        Returns:
            Pairs of a moment in µs and the µ-buckets used from then on, ascending from `now`.
        """
        heaviest = dict.fromkeys(cells, weight)
        total = weight * len(heaviest)
        slots: list[list[_Visit]] = [[] for _ in range(AGES)]
        for observation in self._visits():
            slots[observation[2] - self.tail].append(observation)
        flow: list[tuple[int, int]] = []
        for age in reversed(range(AGES)):
            before = total
            for heavy, cell, _ in slots[age]:
                known = heaviest.get(cell, 0)
                if heavy > known:
                    heaviest[cell] = heavy
                    total += heavy - known
            if total != before:
                flow.append((self._end(quota, self.tail + age), before))
        flow.append((now, total))
        return flow[::-1]

    def wait_until_below(
        self, quota: Quota, most: int, now: int, cells: Iterable[int] = (), weight: int = 0
    ) -> int:
        """µs until at most `most` is used, with `cells` counted as by `decay_schedule`."""
        ends = (end for end, used in self.decay_schedule(quota, now, cells, weight) if used <= most)
        return next(ends) - now

    # -- Inside -----------------------------------------------------------------------------------

    def _end(self, quota: Quota, slot: int) -> int:
        """The moment when the last visit that a slot can hold is one window old."""
        return (slot + 1) * quota.slot - 1 + quota.window

    def _visits(self) -> Iterator[_Visit]:
        """All that counts, pending ones too."""
        yield from self.visited()
        for cell, entries in self.pending.items():
            for entry in entries.values():
                yield entry.weight, cell, entry.slot

    def visited(self) -> Iterator[_Visit]:
        """Weight, bucket and slot of every visit kept, pending ones apart."""
        tail = self.tail
        for weight, packed in self.layers.items():
            for high, low in zip(packed[::2], packed[1::2], strict=True):
                yield weight, high << 4 | low >> 4, tail + (low - tail & 15)

    def _newest(self) -> int:
        """The newest slot in which anything counts."""
        if self.pending:
            entries = next(reversed(self.pending.values()))
            if next(reversed(entries.values())).slot == self.head:
                return self.head
        return max(slot for _, _, slot in self._visits())

    def _drop(self, name: str, cell: int) -> Pending | None:
        entries = self.pending.get(cell)
        if entries is None:
            return None
        entry = entries.pop(name, None)
        if not entries:
            del self.pending[cell]
        return entry

    def note(self, observation: _Visit) -> None:
        """Keep a visit, unless a heavier one is as new; drop lighter ones that are no newer."""
        weight, cell, slot = observation
        useless: list[int] = []
        for other, packed in self.layers.items():
            at = _find(packed, cell)
            if at < 0:
                continue
            known = self.tail + (packed[at + 1] - self.tail & 15)
            if other >= weight and known >= slot:
                return
            if other < weight and known <= slot:
                useless.append(other)
        for lighter in useless:
            self._put(lighter, cell, b"")
        self._put(weight, cell, _pack(cell, slot))

    def _put(self, weight: int, cell: int, entry: bytes) -> None:
        layers = self.layers
        packed = layers.get(weight)
        if packed is None:
            layers[weight] = entry
            self.layers = dict(sorted(layers.items()))
            return
        at = _find(packed, cell)
        start, end = (at, at + 2) if at >= 0 else (~at, ~at)
        packed = packed[:start] + entry + packed[end:]
        if packed:
            layers[weight] = packed
        else:
            del layers[weight]

    def _lapsed(self, cell: int, now: int) -> bool:
        """Let a bucket be visited by calls that will not be settled; whether none is left."""
        entries = self.pending[cell]
        while entries:
            name, entry = next(iter(entries.items()))
            if entry.expires > now:
                return False
            del entries[name]
            self.note((entry.weight, cell, entry.slot))
        del self.pending[cell]
        return True

    def _forget(self, tail: int) -> None:
        """Drop what lies in slots before `tail`."""
        observations = list(self.visited())
        self.tail, self.head = tail, max(self.head, tail)
        self.hold(observations, self.pending)

    def _refit(self, quota: Quota, now: int) -> None:
        """Number all slots anew, for another window. Nothing counts shorter for it."""
        length, observations = -(-self.window // (AGES - 1)), list(self.visited())

        def renumbered(slot: int) -> int:
            return min((slot + 1) * length - 1, now) // quota.slot

        self.window = quota.window
        self.tail = max(0, (now - quota.window + 1) // quota.slot)
        self.head = max(self.tail, renumbered(self.head))
        moved = {
            cell: {
                name: msgspec.structs.replace(entry, slot=renumbered(entry.slot))
                for name, entry in entries.items()
            }
            for cell, entries in self.pending.items()
        }
        again = [(weight, cell, renumbered(slot)) for weight, cell, slot in observations]
        self.hold(again, moved)

    def hold(
        self, observations: Iterable[_Visit], pending: Mapping[int, Mapping[str, Pending]]
    ) -> None:
        """Keep these visits and those pending, as far as they count, and nothing else."""
        newest: dict[int, int] = {}
        layers: dict[int, list[bytes]] = {}
        for weight, cell, slot in sorted(observations, reverse=True):
            if slot > newest.get(cell, self.tail - 1):
                newest[cell] = slot
                layers.setdefault(weight, []).append(_pack(cell, slot))
        self.layers = {weight: b"".join(layers[weight][::-1]) for weight in sorted(layers)}
        self.pending = {}
        for cell, entries in pending.items():
            kept = {name: entry for name, entry in entries.items() if entry.slot >= self.tail}
            if kept:
                self.pending[cell] = kept
        heaviest: dict[int, int] = {}
        for weight, cell, _ in self._visits():
            heaviest[cell] = max(weight, heaviest.get(cell, 0))
        self.total = sum(heaviest.values())


def merge(one: BucketState, other: BucketState) -> BucketState:
    """What both hold together: every bucket at its latest visit.

    Associative, commutative and idempotent, so that parts may be merged in any order, and twice.

    Raises:
        ValueError: They were kept for different windows.
    """
    if not one.window or not other.window:
        one, other = (one, one) if one.window else (other, other)
    if one.window != other.window:
        raise ValueError(f"expected one window, found {one.window} and {other.window} µs")
    both = BucketState(
        one.window,
        max(one.tail, other.tail),
        max(one.head, other.head, one.tail, other.tail),
        stage=max(one.stage, other.stage),
    )
    both.hold([*one.visited(), *other.visited()], _together(one.pending, other.pending))
    return both


def _together(*parts: Mapping[int, Mapping[str, Pending]]) -> dict[int, dict[str, Pending]]:
    """Everything pending, what expires last coming last; the newest of what goes by one name."""
    newest: dict[tuple[int, str], Pending] = {}
    for part in parts:
        for cell, entries in part.items():
            for name, entry in entries.items():
                known = newest.get((cell, name), entry)
                newest[cell, name] = max(known, entry, key=_how_new)
    together: dict[int, dict[str, Pending]] = {}
    for cell, name, entry in sorted(((*key, entry) for key, entry in newest.items()), key=_when):
        together.setdefault(cell, {})[name] = entry
    return together


def _how_new(entry: Pending) -> tuple[int, int, int]:
    return entry.slot, entry.expires, entry.weight


def _when(asked: tuple[int, str, Pending]) -> tuple[int, int, int, int, str]:
    cell, name, entry = asked
    return entry.expires, entry.slot, entry.weight, cell, name


def _find(packed: bytes, cell: int) -> int:
    """Where a bucket's two bytes begin; without any, the complement of where they would."""
    low, high = 0, len(packed) >> 1
    while low < high:
        middle = low + high >> 1
        at = middle << 1
        found = packed[at] << 4 | packed[at + 1] >> 4
        if found < cell:
            low = middle + 1
        elif found > cell:
            high = middle
        else:
            return at
    return ~(low << 1)


def _pack(cell: int, slot: int) -> bytes:
    return bytes((cell >> 4, (cell & 15) << 4 | slot & 15))
