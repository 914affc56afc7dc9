"""Puts a log in the order of its times: it was written as calls ended, not as they began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, heappushpop

from querybudget.replay.logged import was_refused
from querybudget.traffic.record import TrafficRecord

WINDOW = 20_000
"""Records that are held back until all that may come before them are read."""


class Ordered:
    """The records of a log by their times; those of one time stay as they are, refused calls last.

    A refused call is logged at once and an admitted one as it ends, and of one time it was mostly
    the admitted ones that left nothing for the other.

    Args:
        records: In the order of the log.
        window: Records held back. One that comes later than so many after its turn is passed over.

    Attributes:
        late: Records passed over.
        read: Records read.
    """

    def __init__(self, records: Iterable[TrafficRecord], window: int = WINDOW) -> None:
        self._records = records
        self._window = window
        self.late = 0
        self.read = 0

    def __iter__(self) -> Iterator[TrafficRecord]:
        held: list[tuple[int, bool, int, TrafficRecord]] = []
        last = 0
        for number, record in enumerate(self._records):
            self.read += 1
            at = record.at
            if at < last:
                self.late += 1
            elif len(held) < self._window:
                heappush(held, (at, was_refused(record), number, record))
            else:
                entry = at, was_refused(record), number, record
                last, _, _, first = heappushpop(held, entry)
                yield first
        while held:
            yield heappop(held)[3]
