"""The scripts say what the ledger says: every number of every answer, whatever was done before."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.backends import StoreSettings
from querybudget.coverage import BucketResponse, Stage
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.observation import COARSE, FINE, Chunk, Observation
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS
from querybudget.ledger import Account, Charge, Decision, Line, Reservation, Settled
from querybudget.ledger.calendar import Calendar
from querybudget.ledger.windows import LARGEST_USE, LONGEST_WAIT
from querybudget.stores import MemoryStore
from querybudget.stores.redis import RedisStore, codec
from querybudget.testing import ManualClock
from querybudget.testing.contracts.fixtures import RATES, quota_of, seen
from querybudget.testing.contracts.strategies import (
    bucket_quota,
    bucket_quotas,
    observations,
    quotas,
    responses,
)
from querybudget.units import (
    MICRO,
    SECOND,
    Algorithm,
    Millionths,
    Period,
    Quota,
    Unit,
)
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

START = 1_764_000_000_000_000
DAY = 86_400 * SECOND
PREFIXES = itertools.count()
BERLIN = ZoneInfo("Europe/Berlin")
LARGE = 2**51
"""Limits and amounts of which a few together can still be counted exactly."""


@dataclass
class Both:
    """A store in Redis and one in memory, to which the same is done."""

    url: str
    start: int = START
    clock: ManualClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = ManualClock(self.start)
        storage = StoreSettings(self.url, prefix=f"both-{next(PREFIXES)}")
        self.redis = RedisStore(storage, clock=self.clock)
        self.memory = MemoryStore(self.clock)
        self.runner = asyncio.Runner()
        self.reservations: list[Reservation] = []
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.run(self.redis.aclose())
        self.runner.close()

    def reserve(
        self,
        lines: Sequence[Line],
        price: int = MICRO,
        hold: int = 600 * SECOND,
        observation: Observation | None = None,
        profiled: tuple[str, ...] = (),
        calibration: Calibration | None = None,
    ) -> Decision:
        self.count += 1
        charge = Charge(
            f"r{self.count}",
            tuple(lines),
            hold,
            Millionths(price),
            observation,
            profiled,
            calibration=calibration,
        )
        found = self.runner.run(self.redis.reserve(charge))
        expected = self.runner.run(self.memory.reserve(charge))
        assert found == expected
        if found.reservation:
            self.reservations.append(found.reservation)
        return found

    def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        found = self.runner.run(self.redis.settle(reservation, amounts))
        assert found is self.runner.run(self.memory.settle(reservation, amounts))
        return found

    def profiles(self, *partitions: str) -> bool:
        """Whether both have the same profiles."""
        _, packed = self.runner.run(self.redis._single.read(partitions))
        accounts = [codec.unpack_account(blob) if blob else Account() for blob in packed]
        mine = [self.memory._find(partition) or Account() for partition in partitions]
        return [one.profile for one in accounts] == [one.profile for one in mine]

    def peek(self, partition: str, known: Sequence[Quota]) -> None:
        found = self.runner.run(self.redis.peek(partition, known))
        assert found == self.runner.run(self.memory.peek(partition, known))


def limits_of(kind: Algorithm, name: str) -> st.SearchStrategy[Quota]:
    """Quotas as policies have them, of any size."""

    def made(limit: int, window: int, burst: int, period: Period) -> Quota:
        lease, calendar = kind is Algorithm.LEASE, kind is Algorithm.CALENDAR
        return Quota(
            name,
            Unit.CONCURRENT if lease else Unit.TOKENS,
            (limit % 5 + 1) * MICRO if lease else limit,
            0 if lease else period.length if calendar else window,
            kind,
            burst or limit,
            Calendar(period, BERLIN) if calendar else None,
        )

    sizes = st.integers(1, 50).map(lambda n: n * MICRO) | st.integers(1, LARGE)
    windows = st.integers(1, 120).map(lambda n: n * SECOND) | st.integers(1, 400 * DAY)
    periods = st.sampled_from((Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH))
    return st.builds(made, sizes, windows, st.just(0) | sizes, periods)


PLAIN = (Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR, Algorithm.LEASE)
real = settings(max_examples=60)


@real
@given(data=st.data())
def test_amounts_times_and_prices_of_any_size_are_counted_exactly(
    redis_server: RedisServer, data: st.DataObject
) -> None:
    known = [data.draw(limits_of(kind, f"{kind}")) for kind in PLAIN]
    with Both(redis_server.url) as both:
        for _ in range(data.draw(st.integers(1, 12))):
            match data.draw(st.sampled_from("rrrrsspp")):
                case "r":
                    _reserve_any(both, known, data)
                case "s" if both.reservations:
                    reservation = data.draw(st.sampled_from(both.reservations))
                    amounts = [
                        data.draw(st.integers(0, 2 * max(0, held) + 3) | st.integers(0, 2**70))
                        for held in reservation.held
                    ]
                    both.settle(reservation, amounts)
                case _:
                    both.clock.advance(us=data.draw(st.integers(0, 400 * DAY) | PAUSES))
            for partition in "ab":
                both.peek(partition, known)


PAUSES = st.integers(0, 120 * SECOND)

SLOWEST = Quota("slow", Unit.TOKENS, 1, 595_911_297_039, Algorithm.GCRA, 20_000)
"""A millionth of a token in a week: the level of 15,115 of them leaks for 285 years."""


@pytest.mark.parametrize("amount", [15_113, 15_115, 15_116, 20_000])
def test_a_level_that_leaks_for_centuries_resets_in_at_most_285_years(
    redis_server: RedisServer, amount: int
) -> None:
    with Both(redis_server.url) as both:
        decision = both.reserve([Line("a", SLOWEST, amount, amount)])
        assert decision.lines[0].reset == min(amount * SLOWEST.window, LONGEST_WAIT)
        both.peek("a", [SLOWEST])
        both.reserve([Line("a", SLOWEST, amount, amount)])


@pytest.mark.parametrize("kind", RATES, ids=str)
@pytest.mark.parametrize("days", [1, 400])
@pytest.mark.parametrize("limit", [MICRO, LARGEST_USE])
def test_a_debt_without_measure_is_cut_as_by_the_ledger(
    redis_server: RedisServer, kind: Algorithm, days: int, limit: int
) -> None:
    """By calls that were open together, in a window that has ended where it is of a day."""
    wide = quota_of(kind, limit, window=days * DAY, unit=Unit.TOKENS)
    with Both(redis_server.url) as both:
        for _ in range(3):
            both.reserve([Line("a", wide, MICRO, 0)], hold=2 * DAY)
        both.clock.advance(us=DAY)
        for reservation, used in zip(both.reservations, (2**51, 2**80, 1), strict=True):
            both.settle(reservation, [used])
            both.peek("a", [wide])


def _reserve_any(both: Both, known: Sequence[Quota], data: st.DataObject) -> None:
    chosen = data.draw(
        st.lists(
            st.tuples(st.sampled_from(known), st.sampled_from("ab"), st.booleans()),
            min_size=1,
            max_size=5,
            unique_by=lambda wanted: (wanted[0].name, wanted[1]),
        )
    )
    lines: list[Line] = []
    for quota, partition, shadow in chosen:
        if quota.algorithm is Algorithm.LEASE:
            lines.append(Line(partition, quota, MICRO, MICRO, shadow))
            continue
        capacity = quota.capacity
        amount = data.draw(st.integers(0, capacity) | st.integers(0, min(capacity, 9 * MICRO)))
        minimum = data.draw(st.just(amount) | st.integers(0, amount))
        lines.append(Line(partition, quota, amount, minimum, shadow))
    price = data.draw(st.sampled_from((MICRO, MICRO, 1_500_000, 999_999_937)))
    both.reserve(lines, price, data.draw(st.integers(1, 900 * SECOND)))


@real
@given(data=st.data())
def test_buckets_prices_and_stages_equal_the_ledgers(
    redis_server: RedisServer, data: st.DataObject
) -> None:
    covered = [data.draw(bucket_quotas(name)) for name in ("wide", "wider")]
    plain = [data.draw(quotas(name=name)) for name in ("one", "two")]
    answers = {quota.name: data.draw(st.none() | responses()) for quota in covered}
    with Both(redis_server.url, 10**9) as both:
        for _ in range(data.draw(st.integers(1, 15))):
            match data.draw(st.sampled_from("rrrrssp")):
                case "r":
                    observation = data.draw(observations())
                    lines = _covered(data, covered, plain, answers)
                    both.reserve(
                        lines,
                        hold=data.draw(HOLDS),
                        observation=observation,
                        profiled=("a", "b"),
                        calibration=data.draw(st.sampled_from((None, Calibration("b")))),
                    )
                case "s" if both.reservations:
                    reservation = data.draw(st.sampled_from(both.reservations))
                    used = data.draw(st.sampled_from((0, 1, 30)))
                    both.settle(reservation, [used] * len(reservation.lines))
                case _:
                    both.clock.advance(us=data.draw(st.integers(1, 200)))
            for partition in "ab":
                both.peek(partition, covered + plain)


HOLDS = st.sampled_from((1, 50, 1_000))


@real
@given(
    asked=st.lists(st.tuples(observations(), st.integers(0, 40)), min_size=1, max_size=6),
    windows=st.lists(st.sampled_from((1, 15, 100, 150, 450)), min_size=2, max_size=3),
)
def test_a_window_that_a_policy_changes_is_followed_as_by_the_ledger(
    redis_server: RedisServer, asked: list[tuple[Observation, int]], windows: list[int]
) -> None:
    """By the next call that is charged: what is refused changes nothing that is kept."""
    with Both(redis_server.url, 10**9) as both:
        for window in windows:
            quota = bucket_quota(20, window, "wide")
            for observation, pause in asked:
                line = Line("a", quota, MICRO, MICRO, shadow=True)
                decision = both.reserve([line], observation=observation, profiled=("a",))
                assert decision.reservation
                if pause % 2:
                    both.settle(decision.reservation, [MICRO])
                both.peek("a", [quota])
                both.clock.advance(us=pause)


def _covered(
    data: st.DataObject,
    covered: Sequence[Quota],
    plain: Sequence[Quota],
    answers: dict[str, BucketResponse | None],
) -> list[Line]:
    lines: list[Line] = []
    for quota in (*covered, *plain):
        shadow = data.draw(st.booleans())
        partition = data.draw(st.sampled_from("ab"))
        if quota.unit is Unit.BUCKETS:
            weight = data.draw(st.sampled_from((MICRO, MICRO, 3 * MICRO)))
            lines.append(Line(partition, quota, weight, weight, shadow, answers[quota.name]))
        elif quota.algorithm is Algorithm.LEASE:
            lines.append(Line(partition, quota, MICRO, MICRO, shadow))
        else:
            amount = data.draw(st.integers(0, quota.capacity))
            lines.append(Line(partition, quota, amount, amount // 2, shadow))
    return lines


WIDE = Quota("breadth", Unit.BUCKETS, 4_000 * MICRO, 30 * DAY, Algorithm.SLIDING, 4_000 * MICRO)
TOKENS = Quota("tokens", Unit.TOKENS, 10**6 * MICRO, DAY, Algorithm.SLIDING, 10**6 * MICRO)
ANSWER = BucketResponse(stages=((Stage.SLOW, 100_000), (Stage.DEGRADE, 600_000)))


def chunk(draw: random.Random) -> Chunk:
    """A text as a sweep makes them: another subject, other words, in whole sentences."""
    cell = draw.randrange(FINE)
    return Chunk(
        draw.randrange(2**32),
        cell,
        cell * COARSE // FINE,
        bytes(draw.randrange(256) for _ in range(32)),
        draw.randbytes(WORD_BITS // 8),
        tuple(draw.randrange(100) for _ in STYLE_FEATURES),
        0,
        (draw.randrange(-127, 128), draw.randrange(-127, 128)),
        draw.randrange(2**12),
    )


def shown(draw: random.Random) -> Observation:
    return Observation(
        said=tuple([chunk(draw) for _ in range(draw.randrange(6))]),
        fed=tuple([chunk(draw) for _ in range(draw.randrange(6))]),
        opaque=tuple([draw.randrange(2**32) for _ in range(draw.randrange(2))]),
        template=draw.randrange(4),
    )


@pytest.mark.parametrize("seed", range(6))
def test_redis_has_the_same_profiles_scores_and_reasons_as_the_ledger(
    redis_server: RedisServer, seed: int
) -> None:
    draw = random.Random(seed)
    reasons = 0
    with Both(redis_server.url) as both:
        for _ in range(70):
            who = f"member-{draw.randrange(1 if seed % 2 else 3)}"
            lines = (
                Line(who, TOKENS, 90 * MICRO, 10 * MICRO),
                Line(who, WIDE, MICRO, MICRO, seed % 3 == 0, ANSWER),
                Line("pool", WIDE, MICRO, MICRO, response=ANSWER),
            )
            calibration = Calibration("everyone", callers=1, age=SECOND, calls=9)
            decision = both.reserve(
                lines,
                observation=shown(draw),
                profiled=(who, "pool", "everyone"),
                calibration=calibration if seed % 2 else None,
            )
            reasons += len(decision.reasons) > 0
            assert decision.reservation
            used = 0 if draw.random() < 0.1 else 80 * MICRO
            both.settle(decision.reservation, [used, used and MICRO, used and MICRO])
            both.clock.advance(us=draw.choice((0, SECOND, 3_700 * SECOND)))
            both.peek("pool", [WIDE])
            assert both.profiles(who, "pool", "everyone")
    assert reasons > 5


def test_calls_at_once_of_one_identity_are_all_in_its_profile(redis_server: RedisServer) -> None:
    """By two workers, which find the profile changed by each other again and again."""
    clock = ManualClock(START)
    storage = StoreSettings(
        redis_server.url, timeout=60 * SECOND, prefix=f"folded-{next(PREFIXES)}"
    )
    stores = [RedisStore(storage, clock=clock) for _ in range(2)]

    async def run() -> int:
        charges = [
            Charge(
                f"c{n}",
                (Line("one", WIDE, MICRO, MICRO), Line("pool", WIDE, MICRO, MICRO)),
                DAY,
                observation=seen(n),
                profiled=("one", "pool"),
            )
            for n in range(400)
        ]
        calls = (stores[n % 2].reserve(charge) for n, charge in enumerate(charges))
        decisions = await asyncio.gather(*calls)
        assert all(decision.admitted for decision in decisions)
        _, (blob,) = await stores[0]._single.read(["one"])
        for store in stores:
            await store.aclose()
        profile = codec.unpack_account(blob).profile
        assert isinstance(profile, CallerProfile)
        return profile.calls

    calls = asyncio.run(run())
    missed = sum(store.missed for store in stores)
    assert calls == 400 - missed
    assert missed < 400 // 4


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), calls=st.integers(1, 60), pause=st.sampled_from((0, DAY // 30)))
def test_whatever_a_caller_sends_its_packed_profile_takes_at_most_two_kilobytes(
    seed: int, calls: int, pause: int
) -> None:
    draw, profile, now = random.Random(seed), CallerProfile(), START
    for _ in range(calls):
        now += pause
        profile.observe(
            Observation(
                said=tuple([chunk(draw) for _ in range(draw.randrange(32))]),
                fed=tuple([chunk(draw) for _ in range(draw.randrange(32))]),
                opaque=tuple([draw.randrange(2**32) for _ in range(draw.randrange(64))]),
                template=draw.randrange(9),
                marks=tuple([draw.randrange(2**32) for _ in range(8)]),
            ),
            now,
        )
        assert len(codec.pack_profile(profile)) <= 2_048
    assert codec.unpack_profile(codec.pack_profile(profile)) == profile
