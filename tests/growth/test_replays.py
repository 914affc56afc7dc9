"""A log of any length is replayed in bounded memory, each call in as many steps as any other."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from querybudget.replay.replaying import Replay
from querybudget.traffic.record import TrafficRecord
from tests.growth.instructions import lines
from tests.replay.records import policy, record

POLICY = policy(
    "{name: pace, limit: 20 requests/minute}",
    "{name: tokens, limit: 5000 tokens/day}",
    "{name: parallel, limit: 2 concurrent}",
)


def calls(number: int) -> Iterator[TrafficRecord]:
    return (record(n, f"{n % 50}", duration=5_000_000) for n in range(number))


def steps(number: int) -> int:
    return lines(Replay(calls(number), [POLICY], window=10).run)


def test_each_call_takes_the_same_number_of_steps() -> None:
    few, more, most = steps(200), steps(400), steps(800)
    assert most - more <= (more - few) * 2 * 1.2


def held(number: int) -> int:
    """Return the bytes that a replay of so many calls of 50 callers holds at most."""
    gc.collect()
    replay = Replay(calls(number), [POLICY], window=10)
    tracemalloc.start()
    try:
        replay.run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(tracemalloc.is_tracing(), reason="something else traces memory")
def test_memory_does_not_grow_with_the_log() -> None:
    held(200)  # what is imported and cached once
    assert held(1_600) < held(400) * 1.2
