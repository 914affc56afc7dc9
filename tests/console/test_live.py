from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request

from querybudget.console import live
from querybudget.console.site import STREAMS, Site
from querybudget.traffic.record import TrafficRecord
from tests.console.conftest import MakeConsole
from tests.console.fake_admin import NOW, FakeAdmin, record


@pytest.fixture
def site(make: MakeConsole) -> Site:
    found: Site = make(FakeAdmin(calls=[record("before")])).app.state.site  # type: ignore[attr-defined]
    found.tick = 0
    return found


def stream(site: Site, since: int = NOW) -> AsyncIterator[bytes]:
    def named(record: TrafficRecord) -> str:
        return f"{record.request_id}\n\n of two lines"

    return live.new_calls(site, named, since)


@pytest.mark.anyio
async def test_calls_that_are_decided_from_now_on_arrive_once_and_in_order(site: Site) -> None:
    admin, events = site.admin, stream(site)
    assert isinstance(admin, FakeAdmin)
    assert b"retry:" in await anext(events)
    admin.calls += [record("one"), record("two")]
    assert await anext(events) == (
        b"event: call\nid: %d\ndata: one\ndata:  of two lines\n\n" % NOW
        + b"event: call\nid: %d\ndata: two\ndata:  of two lines\n\n" % NOW
    )
    admin.calls.append(record("three"))
    assert b"data: three" in await anext(events)


@pytest.mark.anyio
async def test_calls_between_a_page_and_its_stream_are_not_lost(site: Site) -> None:
    admin = site.admin
    assert isinstance(admin, FakeAdmin)
    admin.calls += [record("since", at=NOW + 1), record("too", at=NOW + 2)]
    events = stream(site, since=NOW)
    await anext(events)
    event = await anext(events)
    assert b"data: since" in event
    assert b"data: too" in event
    assert b"data: before" not in event


def test_a_browser_that_comes_back_is_told_what_it_missed() -> None:
    def since(query: bytes = b"", header: bytes = b"") -> int | None:
        headers = [(b"last-event-id", header)] if header else []
        return live._since(Request({"type": "http", "query_string": query, "headers": headers}))

    assert since(b"since=5") == 5
    assert since(b"since=5", b"7") == 7
    assert [since(), since(b"since=x"), since(b"since=-1"), since(b"since=" + b"9" * 30)] == [
        None
    ] * 4


@pytest.mark.anyio
async def test_a_quiet_stream_says_that_it_is_alive_and_ends_in_the_end(site: Site) -> None:
    sent = [each async for each in stream(site)]
    assert sent[1:] == [b": still here\n\n"] * (live.LIFE // live.ALIVE)


@pytest.mark.anyio
async def test_a_stream_outlives_a_server_that_cannot_be_reached(site: Site) -> None:
    admin, events = site.admin, stream(site)
    assert isinstance(admin, FakeAdmin)
    await anext(events)
    admin.unreachable = True
    assert await anext(events) == b": still here\n\n"
    admin.unreachable = False
    admin.calls.append(record("after"))
    assert b"data: after" in await anext(events)


@pytest.mark.anyio
async def test_only_so_many_watch_at_once(site: Site, make: MakeConsole) -> None:
    streams = [stream(site) for _ in range(STREAMS)]
    for each in streams:
        await anext(each)
    assert site.streams.locked()
    assert not site.own_streams.locked()  # who has the token finds a place
    for each in streams:
        await each.aclose()  # type: ignore[attr-defined]
    assert not site.streams.locked()
