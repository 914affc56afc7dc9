"""Which buckets a partition visited in a window: exact, bounded, and packed in memory.

A window is divided into 15 slots. A visit counts until its whole slot is one window old: at least
one window, and less than one slot longer. At most 16 slots can count at a time, so four bits
identify a visit's slot. A visited bucket takes two bytes: twelve bits of bucket, four of slot.

A bucket's weight is the largest weight of its live visits (usually all equal). Usage is therefore
a function of the visits alone, independent of their order, and a repeat costs nothing. Visits are
kept in one *layer* per weight, without those that no longer matter because a heavier visit of the
same bucket is at least as recent.

A call's buckets are *pending* until the call is settled. Pending buckets count like visits, so
parallel calls cannot exceed the limit together, and are released if the call fails. If a call is
never settled, its buckets count as visited when the call was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import final

import msgspec

from querybudget.coverage.response import Stage
from querybudget.units import AGES, Quota

_Visit = tuple[int, int, int]
"""Weight in µ-buckets, bucket, slot number."""


class Pending(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A bucket of a call that is not settled yet.

    Attributes:
        weight: Weight of the bucket, µ-buckets.
        slot: Number of the slot in which the call was made.
        expires: When the bucket counts as visited, whatever the outcome of the call; µs.
    """

    weight: int
    slot: int
    expires: int


@final
class BucketState(msgspec.Struct, array_like=True, tag="b"):
    """The buckets of one partition and quota.

    Attributes:
        window: Window that the slots are numbered by, µs.
        tail: Oldest slot that still counts.
        head: Newest slot so far; a clock that goes back does not open an older one.
        total: Weight of all visited and pending buckets, µ-buckets.
        stage: Last stage entered.
        layers: Visits by weight, ascending: two bytes for each bucket, ascending by bucket.
        pending: By bucket, then by reservation; the newest is last.
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

    # -- Like any window --------------------------------------------------------------------------

    def room(self, quota: Quota, now: int) -> int:
        """Return the µ-buckets left, after dropping visits that no longer count."""
        if quota.window != self.window:
            self._change_window(quota, now)
        tail = (now - quota.window + 1) // quota.slot
        if tail > self.tail:
            self._drop_before(tail)
        return quota.limit - self.total

    def charge(self, quota: Quota, amount: int, now: int) -> None:
        """Do nothing: `reserve` charges buckets."""

    def adjust(self, quota: Quota, amount: int, at: int, now: int) -> None:
        """Do nothing: `commit` and `release` settle buckets."""

    def wait(self, quota: Quota, amount: int, now: int) -> int:
        """Return the µs until `amount` fits, if all of it is new then."""
        return self.wait_until_below(quota, quota.limit - amount, now)

    def reset(self, quota: Quota, now: int) -> int:
        """Return the µs until no bucket counts any more."""
        if not self.total:
            return 0
        return self._expiry(quota, self._newest_slot()) - now

    @property
    def blank(self) -> bool:
        """Whether no bucket counts."""
        return not self.total

    # -- Buckets ----------------------------------------------------------------------------------

    def novelty(self, cells: Iterable[int], weight: int) -> int:
        """Return the µ-buckets that visiting `cells` at this weight would add."""
        added = 0
        for cell in cells:
            known = self.weight(cell)
            if known < weight:
                added += weight - known
        return added

    def weight(self, cell: int) -> int:
        """Return a bucket's weight in µ-buckets; 0 if it does not count."""
        heaviest = 0
        for weight, packed in self.layers.items():
            if weight > heaviest and _find(packed, cell) >= 0:
                heaviest = weight
        entries = self.pending.get(cell)
        if entries is not None:
            heaviest = max(heaviest, *(entry.weight for entry in entries.values()))
        return heaviest

    def reserve(
        self,
        name: str,
        cells: Sequence[int],
        weight: int,
        novelty: int,
        quota: Quota,
        now: int,
        expires: int,
    ) -> None:
        """Make `cells` pending for the reservation `name`; `novelty` is what they add."""
        if not weight or not cells:
            return
        self.total += novelty
        self.head = slot = max(self.head, now // quota.slot)
        entry = Pending(weight, slot, expires)
        pending = self.pending
        while pending and self._expire_pending(next(iter(pending)), now):
            pass
        for cell in cells:
            others: dict[str, Pending] = {}
            if cell in pending and not self._expire_pending(cell, now):
                others = pending.pop(cell)
            others[name] = entry
            pending[cell] = others

    def commit(self, name: str, cells: Iterable[int]) -> None:
        """Turn a reservation's pending `cells` into visits."""
        for cell in cells:
            entry = self._pop_pending(name, cell)
            if entry:
                self._add_visit((entry.weight, cell, entry.slot))

    def renew(self, name: str, cells: Iterable[int], now: int, expires: int) -> None:
        """Keep a reservation's `cells` pending until `expires`; if that is late, visit them."""
        for cell in cells:
            entry = self.pending.get(cell, {}).get(name)
            if entry is None:
                continue
            if entry.expires > now:
                self.pending[cell][name] = msgspec.structs.replace(entry, expires=expires)
            else:
                self.commit(name, (cell,))

    def release(self, name: str, cells: Iterable[int]) -> None:
        """Remove a reservation's pending `cells` as if it had not been made."""
        for cell in cells:
            entry = self._pop_pending(name, cell)
            if entry:
                self.total -= max(0, entry.weight - self.weight(cell))

    def decay_schedule(
        self, quota: Quota, now: int, cells: Iterable[int] = (), weight: int = 0
    ) -> list[tuple[int, int]]:
        """Return how usage falls if no further bucket is visited.

        Args:
            quota: The quota.
            now: µs.
            cells: Buckets counted throughout, in addition to the visits.
            weight: Weight of each of them, µ-buckets.

        Returns:
            Pairs of a moment in µs and the µ-buckets used from then on, ascending from `now`.
        """
        heaviest = dict.fromkeys(cells, weight)
        total = weight * len(heaviest)
        slots: list[list[_Visit]] = [[] for _ in range(AGES)]
        for visit in self._all_visits():
            slots[visit[2] - self.tail].append(visit)
        schedule: list[tuple[int, int]] = []
        for age in reversed(range(AGES)):
            before = total
            for heavy, cell, _ in slots[age]:
                known = heaviest.get(cell, 0)
                if heavy > known:
                    heaviest[cell] = heavy
                    total += heavy - known
            if total != before:
                schedule.append((self._expiry(quota, self.tail + age), before))
        schedule.append((now, total))
        return schedule[::-1]

    def wait_until_below(
        self, quota: Quota, maximum: int, now: int, cells: Iterable[int] = (), weight: int = 0
    ) -> int:
        """Return the µs until at most `maximum` is used, with `cells` as in `decay_schedule`."""
        schedule = self.decay_schedule(quota, now, cells, weight)
        return next(moment for moment, used in schedule if used <= maximum) - now

    def visited(self) -> Iterator[_Visit]:
        """Yield weight, bucket and slot of every settled visit."""
        tail = self.tail
        for weight, packed in self.layers.items():
            for high, low in zip(packed[::2], packed[1::2], strict=True):
                yield weight, high << 4 | low >> 4, tail + (low - tail & 15)

    # -- Internals --------------------------------------------------------------------------------

    def _expiry(self, quota: Quota, slot: int) -> int:
        """Return the moment at which the last possible visit of a slot is one window old."""
        return (slot + 1) * quota.slot - 1 + quota.window

    def _all_visits(self) -> Iterator[_Visit]:
        """Yield all visits, settled and pending."""
        yield from self.visited()
        for cell, entries in self.pending.items():
            for entry in entries.values():
                yield entry.weight, cell, entry.slot

    def _newest_slot(self) -> int:
        if self.pending:
            entries = next(reversed(self.pending.values()))
            if next(reversed(entries.values())).slot == self.head:
                return self.head
        return max(slot for _, _, slot in self._all_visits())

    def _pop_pending(self, name: str, cell: int) -> Pending | None:
        entries = self.pending.get(cell)
        if entries is None:
            return None
        entry = entries.pop(name, None)
        if not entries:
            del self.pending[cell]
        return entry

    def _add_visit(self, visit: _Visit) -> None:
        """Keep a visit unless a heavier one is as new; drop lighter ones that are no newer."""
        weight, cell, slot = visit
        obsolete: list[int] = []
        for other, packed in self.layers.items():
            index = _find(packed, cell)
            if index < 0:
                continue
            known = self.tail + (packed[index + 1] - self.tail & 15)
            if other >= weight and known >= slot:
                return
            if other < weight and known <= slot:
                obsolete.append(other)
        for lighter in obsolete:
            self._write(lighter, cell, b"")
        self._write(weight, cell, _pack(cell, slot))

    def _write(self, weight: int, cell: int, entry: bytes) -> None:
        """Replace a bucket's two bytes in a layer; an empty `entry` removes them."""
        layers = self.layers
        packed = layers.get(weight)
        if packed is None:
            layers[weight] = entry
            self.layers = dict(sorted(layers.items()))
            return
        index = _find(packed, cell)
        start, end = (index, index + 2) if index >= 0 else (~index, ~index)
        packed = packed[:start] + entry + packed[end:]
        if packed:
            layers[weight] = packed
        else:
            del layers[weight]

    def _expire_pending(self, cell: int, now: int) -> bool:
        """Turn a bucket's expired reservations into visits; return True if none is pending."""
        entries = self.pending[cell]
        while entries:
            name, entry = next(iter(entries.items()))
            if entry.expires > now:
                return False
            del entries[name]
            self._add_visit((entry.weight, cell, entry.slot))
        del self.pending[cell]
        return True

    def _drop_before(self, tail: int) -> None:
        """Drop visits in slots before `tail`."""
        visits = list(self.visited())
        self.tail, self.head = tail, max(self.head, tail)
        self._rebuild(visits, self.pending)

    def _change_window(self, quota: Quota, now: int) -> None:
        """Renumber all slots for another window. No visit expires earlier because of it."""
        length, visits = -(-self.window // (AGES - 1)), list(self.visited())

        def renumbered(slot: int) -> int:
            return min((slot + 1) * length - 1, now) // quota.slot

        self.window = quota.window
        self.tail = max(0, (now - quota.window + 1) // quota.slot)
        self.head = max(self.tail, renumbered(self.head))
        pending = {
            cell: {
                name: msgspec.structs.replace(entry, slot=renumbered(entry.slot))
                for name, entry in entries.items()
            }
            for cell, entries in self.pending.items()
        }
        self._rebuild([(weight, cell, renumbered(slot)) for weight, cell, slot in visits], pending)

    def _rebuild(
        self, visits: Iterable[_Visit], pending: Mapping[int, Mapping[str, Pending]]
    ) -> None:
        """Keep those of these visits and pending buckets that still count, and nothing else."""
        newest: dict[int, int] = {}
        layers: dict[int, list[bytes]] = {}
        for weight, cell, slot in sorted(visits, reverse=True):
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
        for weight, cell, _ in self._all_visits():
            heaviest[cell] = max(weight, heaviest.get(cell, 0))
        self.total = sum(heaviest.values())


def _find(packed: bytes, cell: int) -> int:
    """Return the index of a bucket's two bytes, or the complement of where they belong."""
    low, high = 0, len(packed) >> 1
    while low < high:
        middle = low + high >> 1
        index = middle << 1
        found = packed[index] << 4 | packed[index + 1] >> 4
        if found < cell:
            low = middle + 1
        elif found > cell:
            high = middle
        else:
            return index
    return ~(low << 1)


def _pack(cell: int, slot: int) -> bytes:
    return bytes((cell >> 4, (cell & 15) << 4 | slot & 15))
