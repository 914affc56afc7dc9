"""Our own traffic logs: one `TrafficRecord` a line."""

from __future__ import annotations

import msgspec

from querybudget.adapters.base import Usage
from querybudget.adapters.request import MAX_CHOICES
from querybudget.traffic.record import TrafficRecord

LATEST = 253_402_300_799_000_000
"""The end of the year 9999 in µs: no date is later."""

MOST = 1 << 42
"""No call counts more of anything."""

_DECODE = msgspec.json.Decoder(TrafficRecord).decode


def record_in(line: bytes) -> TrafficRecord:
    """Return the record that a line holds, with figures that a call can have.

    Raises:
        ValueError: It holds none.
    """
    record = _DECODE(line)
    if not 0 <= record.at <= LATEST:
        raise ValueError("expected `at` in µs from 1970 to 9999")
    usage, bound = record.usage, record.max_output
    if (
        0 < record.items <= MOST
        and 0 < record.choices <= MAX_CHOICES
        and 0 <= record.input_bytes <= MOST
        and 0 <= record.input_tokens <= MOST
        and 0 <= record.images <= MOST
        and 0 <= record.duration <= LATEST
        and 0 <= record.delay <= LATEST
        and (bound is None or 0 <= bound <= MOST)
        and (usage is None or _can_be(usage))
    ):
        return record
    raise ValueError("expected figures that a call can have, found a negative or too large one")


def _can_be(usage: Usage) -> bool:
    parts = usage.cached_input + usage.cache_write
    return (
        min(msgspec.structs.astuple(usage)) >= 0
        and parts <= usage.input <= MOST
        and usage.cache_write_1h <= usage.cache_write
        and usage.audio_input + usage.image_input <= usage.input
        and usage.reasoning <= usage.output <= MOST
        and usage.audio_output + usage.image_output <= usage.output
        and usage.searches <= MOST
    )
