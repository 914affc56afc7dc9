from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.buckets import BucketState
from querybudget.coverage.observation import FINE
from querybudget.ledger.windows import State, fresh
from querybudget.testing.contracts.charge_logs import BucketLog
from querybudget.units import MICRO, Algorithm, Quota, Unit

DAY = 86_400_000_000
START = 1_000_000_000


def buckets(limit: int = 400, window: int = 30 * DAY) -> Quota:
    return Quota("breadth", Unit.BUCKETS, limit * MICRO, window, Algorithm.DISTINCT, limit * MICRO)


@dataclass(frozen=True)
class Step:
    """Wait, then ask for `cells`; later the call succeeds, fails, or (None) is lost."""

    pause: int
    cells: tuple[int, ...]
    weight: int
    answered: bool | None
    lasts: int
    hold: int


cells = st.lists(st.integers(0, 12) | st.integers(0, FINE - 1), max_size=5, unique=True).map(
    lambda found: tuple(sorted(found))
)
weights = st.sampled_from((MICRO, MICRO, 3 * MICRO, 500_000))
histories = st.lists(
    st.builds(
        Step,
        st.integers(0, 3) | st.integers(0, 150),
        cells,
        weights,
        st.sampled_from((True, True, False, None)),
        st.integers(0, 4),
        st.sampled_from((1, 30, 200, 10_000)),
    ),
    max_size=20,
)
windows = st.sampled_from((1, 7, 15, 16, 100, 150, 450))


class Walk:
    """A bucket state beside a log of all visits."""

    def __init__(self, quota: Quota, now: int = START) -> None:
        self.quota, self.now = quota, now
        self.state, self.log = BucketState(), BucketLog(quota)
        self.count = 0

    def ask(self, cells: tuple[int, ...], weight: int = MICRO, hold: int = 10_000) -> str:
        self.count += 1
        name = f"r{self.count}"
        self.state.room(self.quota, self.now)
        novelty = self.state.novelty(cells, weight)
        assert novelty == self.log.novelty(cells, weight, self.now)
        expires = self.now + hold
        self.state.reserve(name, cells, weight, novelty, self.quota, self.now, expires)
        self.log.visit(name, cells, weight, self.now)
        return name

    def end(self, name: str, cells: tuple[int, ...], *, answered: bool) -> None:
        if answered:
            self.state.commit(name, cells)
        else:
            self.state.release(name, cells)
            self.log.give_back(name)

    def visit(self, *cells: int, weight: int = MICRO) -> None:
        self.end(self.ask(cells, weight), cells, answered=True)

    def left(self) -> int:
        return self.state.room(self.quota, self.now)

    def play(self, history: list[Step]) -> Walk:
        """Play `history`, comparing what is left at every step."""
        pending: list[tuple[int, int, str, Step]] = []
        for index, step in enumerate(history):
            self.now += step.pause
            for call in [call for call in pending if call[0] <= index]:
                pending.remove(call)
                _, expires, name, asked = call
                # An expired call is not released: the ledger does not ask for it.
                answered = bool(asked.answered) or self.now >= expires
                self.end(name, asked.cells, answered=answered)
            name = self.ask(step.cells, step.weight, step.hold)
            if step.answered is not None:
                expires = self.now + step.hold
                pending.append((index + 1 + step.lasts, expires, name, step))
            assert self.left() == self.log.left(self.now)
        return self


@given(windows, histories, st.lists(st.integers(0, 200), max_size=5))
def test_the_remaining_buckets_agree_with_a_log_of_all_visits(
    window: int, history: list[Step], pauses: list[int]
) -> None:
    walk = Walk(buckets(window=window)).play(history)
    for pause in pauses:
        walk.now += pause
        assert walk.left() == walk.log.left(walk.now)


@given(windows, histories)
def test_a_bucket_counts_for_a_window_at_least_and_less_than_a_slot_longer(
    window: int, history: list[Step]
) -> None:
    quota = buckets(window=window)
    walk = Walk(quota)
    asked: list[tuple[int, int]] = []
    for step in history:
        walk.now += step.pause
        walk.visit(*step.cells)
        asked += [(cell, walk.now) for cell in step.cells]
        used = quota.limit - walk.left()
        within = {cell for cell, at in asked if at > walk.now - window}
        longer = {cell for cell, at in asked if at > walk.now - window - quota.slot}
        assert len(within) * MICRO <= used <= len(longer) * MICRO


@given(windows, histories, cells, weights)
def test_a_repeat_is_free(
    window: int, history: list[Step], cells: tuple[int, ...], weight: int
) -> None:
    walk = Walk(buckets(window=window)).play(history)
    walk.visit(*cells, weight=weight)
    assert walk.state.novelty(cells, weight) == 0
    left = walk.left()
    walk.visit(*cells, weight=weight)
    assert walk.left() == left


@given(windows, histories, cells, weights)
def test_a_failed_call_leaves_no_trace(
    window: int, history: list[Step], cells: tuple[int, ...], weight: int
) -> None:
    walk = Walk(buckets(window=window)).play(history)
    left = walk.left()
    name = walk.ask(cells, weight)
    walk.end(name, cells, answered=False)
    assert walk.left() == left


def test_two_calls_pending_on_a_bucket_count_once_and_either_may_fail() -> None:
    for failing in (0, 1):
        walk = Walk(buckets())
        names = [walk.ask((7,)), walk.ask((7,))]
        assert walk.left() == 399 * MICRO
        walk.end(names[failing], (7,), answered=False)
        assert walk.left() == 399 * MICRO
        walk.end(names[1 - failing], (7,), answered=False)
        assert walk.left() == 400 * MICRO


def test_a_heavier_call_pays_only_what_it_weighs_more() -> None:
    walk = Walk(buckets())
    walk.visit(7)
    assert walk.state.novelty((7, 8), 3 * MICRO) == 5 * MICRO
    walk.visit(7, 8, weight=3 * MICRO)
    walk.visit(7, 8)
    assert walk.left() == 394 * MICRO


def test_a_bucket_visited_heavily_long_ago_and_lightly_since_weighs_little_again() -> None:
    walk = Walk(buckets(window=150))
    walk.visit(7, weight=3 * MICRO)
    walk.now += 100
    walk.visit(7)
    assert walk.left() == 397 * MICRO
    walk.now += 60
    assert walk.left() == 399 * MICRO


def test_a_call_that_ends_late_does_not_make_a_later_visit_older() -> None:
    walk = Walk(buckets(window=150))
    slow = walk.ask((7,))
    walk.now += 100
    walk.visit(7)
    walk.end(slow, (7,), answered=True)
    walk.now += 100
    assert walk.left() == walk.log.left(walk.now) == 399 * MICRO


def test_buckets_of_weight_zero_are_not_kept() -> None:
    walk = Walk(buckets())
    walk.visit(1, 2, weight=0)
    assert walk.state.blank
    assert not walk.state.layers


@given(windows, histories, cells, weights, st.integers(0, 3_000_000))
def test_a_wait_ends_exactly_when_the_amount_fits(
    window: int, history: list[Step], cells: tuple[int, ...], weight: int, spare: int
) -> None:
    walk = Walk(buckets(window=window)).play(history)
    walk.left()
    most = weight * len(cells) + spare
    wait = walk.state.wait_until_below(walk.quota, most, walk.now, cells, weight)
    assert walk.log.used(walk.now + wait, cells, weight) <= most
    if wait:
        assert walk.log.used(walk.now + wait - 1, cells, weight) > most


@given(windows, histories)
def test_the_decay_schedule_lists_what_will_be_used_from_each_moment_on(
    window: int, history: list[Step]
) -> None:
    walk = Walk(buckets(window=window)).play(history)
    walk.left()
    schedule = walk.state.decay_schedule(walk.quota, walk.now)
    assert schedule[0] == (walk.now, walk.log.used(walk.now))
    assert schedule[-1][1] == 0
    for moment, used in schedule:
        assert walk.log.used(moment) == used
    for (_, used), (moment, _) in pairwise(schedule):
        assert walk.log.used(moment - 1) == used


@given(windows, histories)
def test_the_reset_is_when_no_bucket_counts_any_more(window: int, history: list[Step]) -> None:
    walk = Walk(buckets(window=window)).play(history)
    walk.left()
    reset = walk.state.reset(walk.quota, walk.now)
    assert walk.log.used(walk.now + reset) == 0
    assert walk.state.blank == (not reset)
    if reset:
        assert walk.log.used(walk.now + reset - 1)


# -- Packed ---------------------------------------------------------------------------------------


@given(windows, histories)
def test_a_state_is_the_same_after_encoding_and_decoding(window: int, history: list[Step]) -> None:
    walk = Walk(buckets(window=window)).play(history)
    packed = msgspec.msgpack.encode(walk.state)
    again = msgspec.msgpack.decode(packed, type=State)
    assert again == walk.state
    assert msgspec.msgpack.encode(again) == packed


@given(windows, histories)
def test_the_same_history_gives_the_same_bytes(window: int, history: list[Step]) -> None:
    one, other = (Walk(buckets(window=window)).play(history) for _ in range(2))
    assert msgspec.msgpack.encode(one.state) == msgspec.msgpack.encode(other.state)


@given(st.permutations(range(20)), st.lists(st.integers(0, 12), min_size=20, max_size=20))
def test_visits_of_one_slot_give_the_same_bytes_in_any_order(
    order: list[int], found: list[int]
) -> None:
    one, other = Walk(buckets()), Walk(buckets())
    for cell in found:
        one.visit(cell)
    for index in order:
        other.visit(found[index])
    assert msgspec.msgpack.encode(one.state) == msgspec.msgpack.encode(other.state)


@pytest.mark.slow
def test_400_buckets_pack_into_less_than_a_kilobyte_and_all_of_them_into_eight() -> None:
    for visited, most in ((400, 1_000), (FINE, 2 * FINE + 64)):
        walk = Walk(buckets(limit=FINE))
        for cell in range(visited):
            walk.visit(cell * 7 % FINE)
        assert walk.left() == (FINE - visited) * MICRO
        assert len(msgspec.msgpack.encode(walk.state)) < most


@given(st.lists(st.tuples(st.integers(0, 20), cells, weights), max_size=200))
def test_no_visit_is_kept_that_makes_no_difference(
    visits: list[tuple[int, tuple[int, ...], int]],
) -> None:
    walk = Walk(buckets(window=150))
    for pause, wanted, weight in visits:
        walk.now += pause
        walk.visit(*wanted, weight=weight)
    kept = sorted(walk.state.visited(), reverse=True)
    newest: dict[int, int] = {}
    for _, cell, slot in kept:
        assert slot > newest.get(cell, -1)
        newest[cell] = slot


@pytest.mark.slow
def test_calls_that_are_never_settled_do_not_stay_pending_for_ever() -> None:
    walk = Walk(buckets())
    for index in range(3_000):
        walk.now += 10
        walk.ask((index % 50, 50 + index % 7), hold=1_000)
    assert sum(len(entries) for entries in walk.state.pending.values()) < 500
    assert walk.left() == (400 - 57) * MICRO


# -- Clock and policy -----------------------------------------------------------------------------


@given(windows, histories, st.integers(0, 2_000), cells)
def test_a_clock_that_goes_back_drops_no_visit(
    window: int, history: list[Step], back: int, cells: tuple[int, ...]
) -> None:
    walk = Walk(buckets(window=window)).play(history)
    left = walk.left()
    walk.now -= back
    assert walk.left() == left
    novelty = walk.state.novelty(cells, MICRO)
    walk.state.reserve("behind", cells, MICRO, novelty, walk.quota, walk.now, 2**62)
    walk.state.commit("behind", cells)
    walk.now += back
    assert walk.left() <= left


def test_a_visit_made_while_the_clock_is_behind_counts_as_long_as_any() -> None:
    walk = Walk(buckets(window=150))
    walk.visit(1)
    reset = walk.state.reset(walk.quota, walk.now)
    walk.now -= 70
    walk.visit(2)
    walk.now += 70 + reset - 1
    assert walk.left() == 398 * MICRO
    walk.now += 1
    assert walk.left() == 400 * MICRO


@given(histories, st.sampled_from((100, 150)), windows, st.integers(0, 300))
def test_a_change_of_window_drops_no_visit_inside_it(
    history: list[Step], before: int, after: int, pause: int
) -> None:
    walk = Walk(buckets(window=before)).play(history)
    walk.now += pause
    quota = buckets(window=after)
    left = walk.state.room(quota, walk.now)
    within = {cell for _, cell, _, at in walk.log.visits if at > walk.now - min(before, after)}
    longest = max(before, after) + walk.quota.slot + quota.slot
    known = {cell for _, cell, _, at in walk.log.visits if at > walk.now - longest}
    assert len(within) * 500_000 <= quota.limit - left <= len(known) * 3 * MICRO
    assert walk.state.room(quota, walk.now + after + quota.slot) == quota.limit


def test_a_bucket_state_works_wherever_a_window_does() -> None:
    quota = buckets(limit=2)
    window = fresh(quota)
    assert isinstance(window, BucketState)
    assert (window.room(quota, START), window.wait(quota, MICRO, START)) == (2 * MICRO, 0)
    window.charge(quota, MICRO, START)
    window.adjust(quota, -MICRO, START, START)
    assert window.room(quota, START) == 2 * MICRO
    window.reserve("r", (1, 2), MICRO, 2 * MICRO, quota, START, START + 1)
    assert window.wait(quota, MICRO, START) == window.reset(quota, START)
