"""`StoreMachine`: any calls of a store, in any order, compared with an oracle.

    class MyMachine(StoreMachine):
        def make_store(self, clock: Clock) -> Store:
            return MyStore(clock=clock)

    TestMyStore = MyMachine.TestCase

Hypothesis draws budgets and calls, and `Oracle` says what each answer must be. A failure is shrunk
to the fewest steps.

The machine is for stores that are atomic and exact: answers of other stores cannot be predicted.
For a store that keeps only some kinds of window, define `budgets`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from querybudget.coverage import BucketResponse, Observation
from querybudget.coverage.calibration import Calibration
from querybudget.ledger import GRACE, Charge, Decision, Line, Reservation, Settled
from querybudget.stores import Clock, Renews, Store
from querybudget.testing.clock import ManualClock
from querybudget.testing.contracts import strategies as draws
from querybudget.testing.contracts.oracle import Oracle, found_in
from querybudget.units import MICRO, Algorithm, Millionths, Quota, Unit

PARTITIONS = ("a", "b")
"""An identity and its group."""

CALIBRATION = Calibration("b")

MAX_ORACLES = 4
"""With more oracles than this, no step is run whose order may stay unknown."""

T = TypeVar("T")

_Step = tuple[Callable[[Oracle], object], object]
"""What an oracle is asked, and what the store answered."""


def _reopens(machine: StoreMachine) -> bool:
    return type(machine).reopen_store is not StoreMachine.reopen_store


class StoreMachine(RuleBasedStateMachine):
    """A store compared with an oracle. Inherit it, and define `make_store`.

    Attributes:
        examples: Number of histories.
        steps: Largest number of steps of a history.
    """

    examples: ClassVar[int] = 150
    steps: ClassVar[int] = 40

    # -- What a subclass says ---------------------------------------------------------------------

    def make_store(self, clock: Clock) -> Store:
        """Return an empty store that takes the time from `clock`."""
        raise NotImplementedError("a store's machine says how to make one: define make_store")

    def reopen_store(self, clock: Clock) -> Store:
        """Open the store again, after the last one was closed.

        Define it for stores whose accounts outlive them; others are never closed and reopened.
        """
        raise NotImplementedError("this store is not durable")

    async def empty(self, store: Store) -> None:
        """Empty a store that was just made, if its accounts outlive it."""

    def budgets(self) -> st.SearchStrategy[tuple[Quota, ...]]:
        """Draw the budgets of a history; their names must differ."""
        plain = (draws.quotas(name=name) for name in ("one", "two", "three"))
        return st.tuples(*plain, *(draws.bucket_quotas(name) for name in ("wide", "wider")))

    # -- The machine ------------------------------------------------------------------------------

    def __init_subclass__(cls, **more: Any) -> None:  # noqa: ANN401 - passed on as it is
        super().__init_subclass__(**more)
        cls.TestCase.settings = settings(
            max_examples=cls.examples,
            stateful_step_count=cls.steps,
            deadline=None,  # how fast a store is, is for a benchmark to say
            suppress_health_check=[HealthCheck.too_slow],  # the same
        )

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._clock = ManualClock()
        self._store: Store | None = None
        self._oracles = [Oracle()]  # several while two orders explain the answers
        self._budgets: tuple[Quota, ...] = ()
        self._answers: dict[str, BucketResponse | None] = {}
        self._reservations: list[Reservation] = []
        self._wait: tuple[Charge, int] | None = None
        self._opened = set[str]()
        self._count = 0

    def teardown(self) -> None:
        try:
            if self._store is not None:
                self._run(self._store.aclose())
        finally:
            self._runner.close()

    @initialize(data=st.data(), start=st.integers(10**9, 10**9 + 10_000))
    def begin(self, data: st.DataObject, start: int) -> None:
        self._budgets = data.draw(self.budgets())
        covered = [quota for quota in self._budgets if quota.unit is Unit.BUCKETS]
        self._answers = {quota.name: data.draw(st.none() | draws.responses()) for quota in covered}
        self._clock.now = start
        self._store = self.make_store(self._clock)
        self._run(self.empty(self._store))

    @rule(
        data=st.data(),
        hold=st.sampled_from((1, 50, 200, 1_000)),
        price=st.sampled_from((MICRO, MICRO, 1_500_000, 3_333_333)),
        observation=draws.observations(),
    )
    def reserve(self, data: st.DataObject, hold: int, price: int, observation: Observation) -> None:
        self._reserve(self._charge(data, hold, price, observation))

    @rule(
        data=st.data(),
        hold=st.sampled_from((50, 1_000)),
        price=st.sampled_from((MICRO, 1_500_000)),
        observation=draws.observations(),
    )
    def reserve_twice_at_once(
        self, data: st.DataObject, hold: int, price: int, observation: Observation
    ) -> None:
        """Reserve the same lines twice at the same time, in opposite orders.

        The calls differ in nothing else, so different answers show which was the first.
        """
        one = self._charge(data, hold, price, observation)
        other = msgspec.structs.replace(self._named(one), lines=one.lines[::-1])

        async def both() -> Sequence[Decision]:
            return await asyncio.gather(self.store.reserve(one), self.store.reserve(other))

        answers = list(zip((one, other), self._run(both()), strict=True))
        self._explain([self._reserving(*answer) for answer in answers], alike=True)
        for charge, decision in answers:
            self._remember(charge, decision)

    @precondition(lambda self: self._reservations and len(self._oracles) <= MAX_ORACLES)
    @rule(
        data=st.data(),
        hold=st.sampled_from((50, 1_000)),
        observation=draws.observations(),
        used=st.integers(0, 60),
    )
    def reserve_and_settle_at_once(
        self, data: st.DataObject, hold: int, observation: Observation, used: int
    ) -> None:
        """Start a call while another ends: neither is lost, in either order."""
        charge = self._charge(data, hold, MICRO, observation)
        ending = data.draw(st.sampled_from(self._reservations[-3:]))
        amounts = [used] * len(ending.held)

        ends_first = data.draw(st.booleans())

        async def both() -> tuple[Decision, Settled]:
            begins, ends = self.store.reserve(charge), self.store.settle(ending, amounts)
            if ends_first:
                settled, decision = await asyncio.gather(ends, begins)
                return decision, settled
            return await asyncio.gather(begins, ends)

        decision, settled = self._run(both())
        steps = [self._reserving(charge, decision), self._settling(ending, amounts, settled)]
        self._explain(steps)
        self._remember(charge, decision)
        self._wait = None  # the refund may have shortened it

    @precondition(lambda self: self._reservations)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Settle a recent call, at any amounts."""
        reservation = data.draw(st.sampled_from(self._reservations[-3:]))
        amounts = [
            data.draw(st.just(0) | st.integers(0, max(0, held)) | st.integers(0, 60))
            for held in reservation.held
        ]
        self._settle(reservation, amounts)

    @precondition(lambda self: self._reservations)
    @rule(data=st.data())
    def settle_at_what_was_held(self, data: st.DataObject) -> None:
        """Settle any call at what it holds, even one that was settled."""
        reservation = data.draw(st.sampled_from(self._reservations))
        self._settle(reservation, [max(0, held) for held in reservation.held])

    @precondition(lambda self: self._reservations)
    @rule(data=st.data(), used=st.integers(0, 60))
    def settle_twice_at_once(self, data: st.DataObject, used: int) -> None:
        """Settle a call by two tasks: one of them is too late."""
        reservation = data.draw(st.sampled_from(self._reservations[-3:]))
        amounts = [used] * len(reservation.held)
        self._wait = None

        async def both() -> list[Settled]:
            settle = self.store.settle
            return await asyncio.gather(*(settle(reservation, amounts) for _ in range(2)))

        steps = [self._settling(reservation, amounts, settled) for settled in self._run(both())]
        self._explain(steps, alike=True)

    @precondition(lambda self: self._reservations and isinstance(self._store, Renews))
    @rule(data=st.data(), ttl=st.sampled_from((1, 50, 1_000)))
    def renew(self, data: st.DataObject, ttl: int) -> None:
        """Hold a recent call for longer, even one that was settled or has expired."""
        assert isinstance(self.store, Renews), "the precondition of this rule"
        last = len(self._reservations) - 1
        index = data.draw(st.integers(max(0, last - 2), last))
        reservation, now = self._reservations[index], self._clock.now
        expires = self._run(self.store.renew(reservation, ttl))
        self._agree(lambda oracle: oracle.renew(reservation.id, ttl, now), expires)
        self._wait = None  # a lease may be held again
        if expires:
            self._reservations[index] = msgspec.structs.replace(reservation, expires=expires)

    @rule(us=st.integers(1, 5) | st.integers(6, 150), long=st.sampled_from((0,) * 9 + (GRACE,)))
    def pause(self, us: int, long: int) -> None:
        self._clock.advance(us=us + long)

    @precondition(lambda self: self._wait)
    @rule()
    def wait_and_retry(self) -> None:
        """Retry a refused call 1 µs too early, and in time."""
        assert self._wait, "the precondition of this rule"
        charge, moment = self._wait
        self._wait = None
        if moment > self._clock.now:
            self._clock.now = moment - 1
            assert not self._reserve(self._named(charge)).admitted, "admitted before its wait ended"
            self._clock.now = moment
            assert self._reserve(self._named(charge)).admitted, "refused after its wait"

    @rule(partition=st.sampled_from(PARTITIONS))
    def forget(self, partition: str) -> None:
        now, self._wait = self._clock.now, None
        used = any(
            self._oracles[0].left(partition, quota, now) != quota.capacity
            for quota in self._budgets
        )
        for oracle in self._oracles:
            oracle.forget(partition)
        forgotten = self._run(self.store.forget(partition))
        assert forgotten or not used, f"nothing known of {partition!r}, which has used something"
        opened = partition in self._opened
        assert opened or not forgotten, f"{partition!r} had an account, though nothing was admitted"
        self._opened.discard(partition)

    @precondition(_reopens)
    @rule()
    def close_and_reopen(self) -> None:
        """Close the store and open it again: nothing changes."""
        self._run(self.store.aclose())
        self._store = self.reopen_store(self._clock)

    @invariant()
    def every_budget_holds_what_the_log_says(self) -> None:
        """After every step, `peek` agrees with the oracle."""
        now = self._clock.now
        for partition in PARTITIONS:
            found = self._run(self.store.peek(partition, self._budgets))
            for quota, (left, reset) in zip(self._budgets, found, strict=True):
                self._agree(partial(_left, partition, quota, now), left)
                self._agree(partial(_left, partition, quota, now + reset), quota.capacity)

    # -- Inside -----------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        assert self._store is not None, "a machine starts by making a store"
        return self._store

    def _run(self, waiting: Coroutine[Any, Any, T]) -> T:
        # `Runner.run` would also look after an interrupt, which takes longer than most steps.
        return self._runner.get_loop().run_until_complete(waiting)

    def _charge(
        self, data: st.DataObject, hold: int, price: int, observation: Observation
    ) -> Charge:
        chosen = data.draw(
            st.lists(
                st.tuples(
                    st.sampled_from(self._budgets), st.sampled_from(PARTITIONS), st.booleans()
                ),
                min_size=1,
                max_size=4,
                unique_by=lambda wanted: (wanted[0].name, wanted[1]),
            )
        )
        lines = tuple(
            draws.draw_line(data, budget, partition, self._answers.get(budget.name), shadow=shadow)
            for budget, partition, shadow in chosen
        )
        charge = Charge("", lines, hold, Millionths(price))
        if any(map(_covers, lines)) or data.draw(st.booleans()):
            charge = msgspec.structs.replace(
                charge,
                observation=observation,
                profiled=PARTITIONS,
                calibration=data.draw(st.sampled_from((None, CALIBRATION))),
            )
        return self._named(charge)

    def _named(self, charge: Charge) -> Charge:
        """Return the same charge with a new id."""
        self._count += 1
        return msgspec.structs.replace(charge, id=f"r{self._count}")

    def _reserve(self, charge: Charge) -> Decision:
        decision = self._run(self.store.reserve(charge))
        self._agree(*self._reserving(charge, decision))
        self._remember(charge, decision)
        return decision

    def _remember(self, charge: Charge, decision: Decision) -> None:
        """Remember what later steps need of a decision."""
        self._wait = None
        if decision.reservation:
            self._reservations.append(decision.reservation)
            self._opened.update(charge.partitions)
        elif (
            decision.wait
            and not any(map(_leases, charge.lines))
            and not self._oracles[0].scored(self._clock.now)
        ):
            self._wait = charge, self._clock.now + decision.wait

    def _settle(self, reservation: Reservation, amounts: Sequence[int]) -> None:
        self._wait = None
        found = self._run(self.store.settle(reservation, amounts))
        self._agree(*self._settling(reservation, amounts, found))

    def _reserving(self, charge: Charge, decision: Decision) -> _Step:
        now = self._clock.now
        return lambda oracle: oracle.reserve(charge, now), found_in(decision)

    def _settling(
        self, reservation: Reservation, amounts: Sequence[int], settled: Settled
    ) -> _Step:
        now = self._clock.now
        return lambda oracle: oracle.settle(reservation.id, amounts, now), settled

    def _agree(self, says: Callable[[Oracle], object], found: object) -> None:
        """Keep the oracles that agree with the store; at least one must."""
        said = [(oracle, says(oracle)) for oracle in self._oracles]
        self._oracles = [oracle for oracle, expected in said if expected == found]
        assert self._oracles, f"expected {said[0][1]}, found {found}"

    def _explain(self, steps: Sequence[_Step], *, alike: bool = False) -> None:
        """Keep an oracle for each order of two steps that explains the answers.

        Args:
            steps: The two steps that ran at the same time, and the answers.
            alike: The steps differ only in their ids, so one of two fitting orders is enough.
        """
        fitting: list[Oracle] = []
        for before in self._oracles:
            for order in (steps, steps[::-1]):
                oracle = before.copy()
                if all(says(oracle) == found for says, found in order):
                    fitting.append(oracle)
                    if alike:
                        break
        assert fitting, f"no order of two steps explains {[found for _, found in steps]}"
        self._oracles = fitting


def _left(partition: str, quota: Quota, now: int, oracle: Oracle) -> int:
    return oracle.left(partition, quota, now)


def _leases(line: Line) -> bool:
    return line.quota.algorithm is Algorithm.LEASE


def _covers(line: Line) -> bool:
    return line.quota.unit is Unit.BUCKETS
