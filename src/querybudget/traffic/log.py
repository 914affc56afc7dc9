"""`TrafficLog`: a hook that writes one line of JSON for each call."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Self

import msgspec

from querybudget.events import DecisionEvent
from querybudget.policy.outputs import Rotation, TrafficLogSettings
from querybudget.stores import Clock, system_clock
from querybudget.traffic.line_writer import LineWriter
from querybudget.traffic.log_files import compressor
from querybudget.traffic.record import record_of

DAILY = Rotation()
"""A file a day, or for each 100 MiB; a hundred are kept."""

_ENCODE = msgspec.json.Encoder().encode


class TrafficLog:
    """Writes the record of each call to files, as JSON Lines. Pass it as a hook.

    It never waits for a disk: lines that a slow disk cannot take are dropped, counted and said in
    the log. Prompts are not written unless `prompts` is set, and credentials never are. The limiter
    closes it; it opens again with the next call.

    Args:
        path: For example ``traffic.jsonl``, ``traffic.jsonl.gz`` or ``traffic.jsonl.zst``. Each
            file that is written has its time and process added to this name.
        prompts: Whether what the model reads is written too.
        rotate: When the next file begins, and how many are kept.
        clock: µs since the epoch; the system's by default.

    Raises:
        SetupError: The path asks for zstd, and its library is missing.

    Attributes:
        wants_texts: Whether events must hold what the model reads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        prompts: bool = False,
        rotate: Rotation = DAILY,
        clock: Clock | None = None,
    ) -> None:
        where = Path(path)
        compressor(where.name)  # now, and not with the first call
        self.wants_texts = prompts
        self._writer = LineWriter(where, rotate, clock or system_clock(), private=prompts)

    @classmethod
    def of(cls, settings: TrafficLogSettings, clock: Clock | None = None) -> Self:
        """Return the traffic log that a policy asks for."""
        rotate = settings.rotate
        return cls(settings.path, prompts=settings.prompts, rotate=rotate, clock=clock)

    def __call__(self, event: DecisionEvent) -> None:
        """Write a call's record."""
        record = record_of(event, prompts=self.wants_texts)
        self._writer.put(_ENCODE(record) + b"\n")

    @property
    def dropped(self) -> int:
        """Records that were lost, because the disk was too slow or refused them."""
        return self._writer.dropped

    def flush(self) -> None:
        """Wait until everything is written."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits, and end the file."""
        self._writer.close()

    async def aclose(self) -> None:
        """Close without holding up the event loop."""
        await asyncio.to_thread(self.close)
