from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from querybudget.replay.ordering import Ordered
from tests.replay.records import record


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 60))
def test_records_come_in_order_and_none_is_lost_unsaid(times: list[int], window: int) -> None:
    ordered = Ordered([record(time, str(n)) for n, time in enumerate(times)], window)
    found = list(ordered)
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert len(found) + ordered.late == ordered.read == len(times)
    if len(times) <= window:
        assert ordered.late == 0


@given(st.lists(st.integers(0, 3), max_size=30))
def test_those_of_one_time_stay_as_they_are(times: list[int]) -> None:
    found = list(Ordered([record(time, str(n)) for n, time in enumerate(times)], 100))
    assert [(one.at, int(one.identity)) for one in found] == sorted(
        (one.at, int(one.identity)) for one in found
    )
