"""Our own traffic logs: one `TrafficRecord` a line."""

from __future__ import annotations

import msgspec

from querybudget.traffic.record import TrafficRecord

_DECODE = msgspec.json.Decoder(TrafficRecord).decode


def record_in(line: bytes) -> TrafficRecord:
    """Return the record that a line holds.

    Raises:
        ValueError: It holds none.
    """
    return _DECODE(line)
