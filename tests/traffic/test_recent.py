"""The last calls are remembered, found by any of their ids, and never more than fit."""

from __future__ import annotations

import msgspec
import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.testing import FakeModel, drive, http_scope, memory_limiter, request
from querybudget.traffic import Recent
from querybudget.traffic.record import SHORTEST_ID, best_match

pytestmark = pytest.mark.anyio

RULES = {"identity": ["api_key"], "budgets": [{"name": "rpm", "limit": "999/minute"}]}
CHAT = {"model": "m", "messages": []}


async def serve(recent: Recent, *keys: str) -> None:
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(RULES, hooks=[recent]))
    for number, key in enumerate(keys):
        scope = http_scope("/v1/chat/completions", key=key, headers={"x-request-id": f"r-{number}"})
        await drive(app, scope, request(CHAT))


async def test_a_call_is_found_by_our_id_and_by_the_one_that_it_came_with() -> None:
    recent = Recent()
    await serve(recent, "a", "b")
    found = recent.find("r-0")
    assert found is not None
    assert recent.find(found.request_id) == found
    assert recent.find("r-2") is None


async def test_a_call_is_found_by_the_beginning_of_our_id_that_the_console_shows() -> None:
    recent = Recent()
    await serve(recent, "a", "b")
    call = recent.last(1)[0]
    shown = call.request_id[:SHORTEST_ID]
    assert recent.find(f"{shown}…") == recent.find(shown) == call
    assert recent.find(shown[:-1]) is None
    two = [msgspec.structs.replace(call, request_id=f"{shown}{end}") for end in "xy"]
    with pytest.raises(LookupError, match="more than one call has an id that begins with"):
        best_match(shown, two)
    liar = msgspec.structs.replace(call, request_id="req_0", sent_id=shown)
    assert best_match(shown, [liar, call]) == call


async def test_no_caller_hides_another_s_call_behind_an_id_of_its_own() -> None:
    recent = Recent()
    await serve(recent, "victim")
    (victim,) = recent.last(1)
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(RULES, hooks=[recent]))
    headers = {"x-request-id": victim.request_id}
    scope = http_scope("/v1/chat/completions", key="liar", headers=headers)
    await drive(app, scope, request(CHAT))
    assert recent.last(1)[0].sent_id == victim.request_id
    assert recent.find(victim.request_id) == victim


async def test_the_last_calls_are_newest_first_of_all_or_of_one_account() -> None:
    recent = Recent()
    await serve(recent, "a", "b", "a")
    assert [one.sent_id for one in recent.last(2)] == ["r-2", "r-1"]
    account = recent.last(1)[0].identity
    assert [one.sent_id for one in recent.last(9, account)] == ["r-2", "r-0"]


async def test_neither_calls_nor_bytes_exceed_their_bound() -> None:
    few, small = Recent(calls=2), Recent(size=1_500)
    await serve(few, *"abcdef")
    await serve(small, *"abcdef")
    assert [one.sent_id for one in few.last(9)] == ["r-5", "r-4"]
    assert 0 < len(small) < 6
    assert small._held == sum(map(len, small._records)) <= 1_500
