"""Anything that can be done to a store, in any order, beside a log that forgets nothing."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from querybudget.coverage import Response, Visit
from querybudget.ledger import GRACE, Charge, Decision, Line, Reservation
from querybudget.quota import MICRO, Algorithm, Quota
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from tests.ledger.oracle import Expected, Oracle
from tests.ledger.strategies import breadths, quotas, responses, visits

T = TypeVar("T")


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, as the memory store's never do."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the memory store waited")


class Machine(RuleBasedStateMachine):
    @initialize(
        plain=st.tuples(*(quotas(name=name) for name in ("one", "two", "three"))),
        covered=st.tuples(*(breadths(name) for name in ("wide", "wider"))),
        answers=st.lists(st.none() | responses(), min_size=2, max_size=2),
        start=st.integers(10**9, 10**9 + 10_000),
    )
    def begin(
        self,
        plain: tuple[Quota, ...],
        covered: tuple[Quota, ...],
        answers: list[Response | None],
        start: int,
    ) -> None:
        self.budgets = plain + covered
        self.answers = dict(zip((quota.name for quota in covered), answers, strict=True))
        self.clock = ManualClock(start)
        self.store = MemoryStore(self.clock)
        self.oracle = Oracle()
        self.reservations: list[Reservation] = []
        self.wait: tuple[Charge, int] | None = None
        self.count = 0

    @rule(
        data=st.data(),
        hold=st.sampled_from((1, 50, 200, 1_000)),
        price=st.sampled_from((MICRO, MICRO, 1_500_000, 3_333_333)),
        visit=visits(),
    )
    def reserve(self, data: st.DataObject, hold: int, price: int, visit: Visit) -> None:
        chosen = data.draw(
            st.lists(
                st.tuples(st.sampled_from(self.budgets), st.sampled_from("ab"), st.booleans()),
                min_size=1,
                max_size=4,
                unique_by=lambda wanted: (wanted[0].name, wanted[1]),
            )
        )
        lines = tuple(
            self._line(data, budget, partition, shadow=shadow and data.draw(st.booleans()))
            for budget, partition, shadow in chosen
        )
        self.count += 1
        looked_at = any(buckets(line) for line in lines) or data.draw(st.booleans())
        watched = ("a", "b") if looked_at else ()
        charge = Charge(f"r{self.count}", lines, hold, price, visit if looked_at else None, watched)
        self._reserve(charge)

    def _line(self, data: st.DataObject, quota: Quota, partition: str, *, shadow: bool) -> Line:
        if quota.algorithm is Algorithm.LEASE:
            return Line(partition, quota, MICRO, MICRO, shadow)
        if quota.algorithm is Algorithm.DISTINCT:
            weight = data.draw(st.sampled_from((MICRO, MICRO, 3 * MICRO)))
            return Line(partition, quota, weight, weight, shadow, self.answers[quota.name])
        amount = data.draw(st.integers(0, quota.capacity + 3))
        least = data.draw(st.just(amount) | st.integers(0, amount))
        return Line(partition, quota, amount, least, shadow)

    def _reserve(self, charge: Charge) -> Decision:
        decision = now(self.store.reserve(charge))
        expected = self.oracle.reserve(charge, self.clock.now)
        assert expected == Expected(
            decision.reservation.held if decision.reservation else None,
            decision.price,
            decision.stage,
            decision.delay,
            decision.shadow_price,
            decision.shadow_stage,
        )
        if decision.reservation:
            self.reservations.append(decision.reservation)
            self.wait = None
        elif decision.wait and not any(leases(line) for line in charge.lines):
            self.wait = charge, self.clock.now + decision.wait
        return decision

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(self.reservations[-3:]))
        amounts = [
            data.draw(st.just(0) | st.integers(0, max(0, held)) | st.integers(0, 60))
            for held in reservation.held
        ]
        self._settle(reservation, amounts)

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def settle_at_what_was_held(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(self.reservations))
        amounts = [max(0, held) for held in reservation.held]
        self._settle(reservation, amounts)

    def _settle(self, reservation: Reservation, amounts: list[int]) -> None:
        self.wait = None
        settled = now(self.store.settle(reservation, amounts))
        assert settled is self.oracle.settle(reservation.id, amounts, self.clock.now)

    @rule(us=st.integers(1, 5) | st.integers(6, 150), long=st.sampled_from((0,) * 9 + (GRACE,)))
    def pause(self, us: int, long: int) -> None:
        self.clock.advance(us=us + long)

    @precondition(lambda self: self.wait)
    @rule()
    def wait_as_told(self) -> None:
        assert self.wait
        charge, moment = self.wait
        self.wait = None
        if moment > self.clock.now:
            self.clock.now = moment - 1
            self.count += 1
            assert not self._reserve(renamed(charge, f"r{self.count}")).admitted
            self.clock.now = moment
            self.count += 1
            assert self._reserve(renamed(charge, f"r{self.count}")).admitted

    @invariant()
    def every_budget_holds_what_the_log_says(self) -> None:
        for partition in "ab":
            found = now(self.store.peek(partition, self.budgets))
            for quota, (left, _) in zip(self.budgets, found, strict=True):
                assert left == self.oracle.left(partition, quota, self.clock.now), quota


def leases(line: Line) -> bool:
    return line.quota.algorithm is Algorithm.LEASE


def buckets(line: Line) -> bool:
    return line.quota.algorithm is Algorithm.DISTINCT


def renamed(charge: Charge, name: str) -> Charge:
    return msgspec.structs.replace(charge, id=name)


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMemoryMachine = Machine.TestCase
