"""`Recent`: a hook that remembers the last calls, for the console and for finding one by its id."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from querybudget.events import DecisionEvent
from querybudget.traffic.own import record_in
from querybudget.traffic.record import TrafficRecord, best_match, record_of, shown_id

_ENCODE = msgspec.json.Encoder().encode


class Recent:
    """Remembers the records of the last calls, without what they hold. Pass it as a hook.

    Args:
        calls: Calls that are remembered at most.
        size: Bytes that their records may take together.
    """

    def __init__(self, calls: int = 5_000, size: int = 4 << 20) -> None:
        self._calls = calls
        self._size = size
        self._held = 0
        self._records = deque[bytes]()

    def __call__(self, event: DecisionEvent) -> None:
        """Remember a call."""
        record = _ENCODE(record_of(event))
        self._records.append(record)
        self._held += len(record)
        while len(self._records) > self._calls or self._held > self._size:
            self._held -= len(self._records.popleft())

    def __len__(self) -> int:
        return len(self._records)

    def find(self, request_id: str, /) -> TrafficRecord | None:
        """Return the call of this id: ours, or else the last of the application or a caller.

        Callers send what ids they like, so one of these never hides a call that is ours. The
        beginning of ours is enough, as the console shows it.

        Raises:
            LookupError: Several calls have an id that begins so.
        """
        return best_match(request_id, self._with(shown_id(request_id)))

    def last(self, limit: int, account: str = "", /) -> Sequence[TrafficRecord]:
        """Return the last calls, newest first.

        Args:
            limit: Calls at most.
            account: Key of the caller's account or of one of its pools; empty for all calls.
        """
        found = list[TrafficRecord]()
        for record in self._with(account):
            if len(found) >= limit:
                break
            if not account or account in (record.identity, *record.partitions.values()):
                found.append(record)
        return found

    def _with(self, text: str) -> Iterator[TrafficRecord]:
        """Yield the records that contain a text, newest first."""
        wanted = text.encode("utf-8", "surrogatepass")
        return (record_in(one) for one in reversed(self._records) if wanted in one)
