"""A store closed and opened again between any two steps, beside one in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.coverage.group import LIFETIME
from querybudget.ledger import GRACE, Charge, Line, Reservation
from querybudget.stores import MemoryStore
from querybudget.stores.sqlite.store import SWEEP_EVERY, SqliteStore
from querybudget.testing import ManualClock
from querybudget.testing.contracts.strategies import bucket_quotas, observations, quotas, responses
from querybudget.units import MICRO, ORDINARY_PRICE, Algorithm, Quota, Unit

pytestmark = pytest.mark.slow

DAY = 24 * 3_600 * MICRO
PARTITIONS = ("a", "b", "c")


@dataclass(frozen=True)
class Step:
    """Wait, and maybe reopen; then ask for `charge`, settle the call `back` calls ago, or forget.

    Rows that do not matter any more are swept at each call, so that it is seen if they do. No
    account is left alone for longer than a profile lives: then a file forgets it, and memory keeps
    it for as long as there is room.
    """

    pause: int
    reopen: bool
    charge: Charge | None
    back: int
    used: int
    forget: str


@st.composite
def charges(draw: st.DrawFn, budgets: Sequence[Quota]) -> Charge:
    response, observation = draw(st.none() | responses()), draw(observations())
    chosen = draw(
        st.lists(
            st.tuples(st.sampled_from(budgets), st.sampled_from(PARTITIONS)),
            min_size=1,
            max_size=4,
            unique_by=lambda wanted: (wanted[0].name, wanted[1]),
        )
    )
    lines: list[Line] = []
    for quota, partition in chosen:
        if quota.unit is Unit.BUCKETS:
            lines.append(Line(partition, quota, MICRO, MICRO, response=response))
            continue
        amount = MICRO if quota.algorithm is Algorithm.LEASE else draw(st.integers(0, 45))
        lines.append(Line(partition, quota, amount, amount, shadow=draw(st.booleans())))
    looked_at = any(line.quota.unit is Unit.BUCKETS for line in lines)
    profiled = PARTITIONS[: draw(st.integers(1, 3))] if looked_at else ()
    hold = draw(st.sampled_from((1, 50, 1_000)))
    return Charge(
        "", tuple(lines), hold, ORDINARY_PRICE, observation if looked_at else None, profiled
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    budgets = [draw(quotas(name="one")), draw(quotas(name="two")), draw(bucket_quotas())]
    pauses = st.integers(0, 3) | st.integers(0, 130) | st.sampled_from((0, 0, GRACE, 29 * DAY))
    step = st.builds(
        Step,
        pauses,
        st.booleans(),
        st.none() | charges(budgets),
        st.integers(1, 4),
        st.sampled_from((0, 0, 1, 30, 90)),
        st.sampled_from(("", "", "", *PARTITIONS)),
    )
    return draw(st.lists(step, min_size=1, max_size=40))


@given(histories())
@settings(max_examples=60)
def test_a_store_reopened_between_any_two_steps_says_what_the_memory_store_says(
    history: list[Step],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(history, Path(folder) / "budgets.db"))


async def play(history: list[Step], path: Path) -> None:
    clock = ManualClock()
    memory, store = MemoryStore(clock), SqliteStore(path, clock)
    made: list[Reservation] = []
    used = dict[str, int]()
    for number, step in enumerate(history):
        if all(clock.now + step.pause - at <= LIFETIME for at in used.values()):
            clock.advance(us=step.pause)
        if step.reopen:
            await store.aclose()
            store = SqliteStore(path, clock)
        if step.charge is not None:
            charge = msgspec.structs.replace(step.charge, id=f"r{number}")
            store._charges = SWEEP_EVERY - 1
            used |= dict.fromkeys([line.partition for line in charge.lines], clock.now)
            used |= dict.fromkeys(charge.profiled, clock.now)
            decision = await store.reserve(charge)
            assert decision == await memory.reserve(charge)
            made += [decision.reservation] if decision.reservation else []
        elif step.forget:
            # Where one forgets what does not matter any more, there is none in the file.
            assert await store.forget(step.forget) <= await memory.forget(step.forget)
        elif len(made) >= step.back:
            reservation = made[-step.back]
            amounts = [step.used] * len(reservation.lines)
            settled = await store.settle(reservation, amounts)
            assert settled is await memory.settle(reservation, amounts)
    await store.aclose()
