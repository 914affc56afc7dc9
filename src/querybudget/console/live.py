"""Decisions as they happen, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from querybudget.admin.protocol import Admin
from querybudget.console.site import Site, reading, site_of
from querybudget.errors import QueryBudgetError
from querybudget.traffic.record import TrafficRecord

EVENTS = "text/event-stream"

MOST = 200
"""Calls that are sent at once. Of more, the last are sent."""

ALIVE = 10
"""Looks without a new call after which a comment keeps the connection open."""

LIFE = 20
"""Looks after which a stream ends, because servers that stop wait for open answers. A browser
begins another one at once, its session is checked again, and it is told what it missed."""

_MOMENT = re.compile("[0-9]{1,18}")
_BEGIN = b"retry: 500\n: decisions as they happen\n\n"


async def rows(request: Request) -> Response:
    """Stream each new call as a row of the table of calls."""
    site = await reading(request)

    def row(record: TrafficRecord) -> str:
        return site.part(request, "call_row.html", {"record": record})

    return _stream(site, request, row)


async def events(request: Request) -> Response:
    """Stream each new call as JSON."""
    site = site_of(request)
    await site.access.check_api(request, change=False)
    return _stream(site, request, lambda record: msgspec.json.encode(record).decode())


def _stream(site: Site, request: Request, written: Callable[[TrafficRecord], str]) -> Response:
    if request.method == "HEAD":
        return Response(media_type=EVENTS)
    places = site.own_streams if site.access.knows(request) else site.streams
    if places.locked():
        raise HTTPException(503, "Too many are watching already.", {"retry-after": "30"})
    since = _since(request)
    body = new_calls(site, written, site.limiter.clock() if since is None else since, places)
    headers = {"x-accel-buffering": "no"}  # so nginx passes it on at once
    return StreamingResponse(body, media_type=EVENTS, headers=headers)


async def new_calls(
    site: Site,
    written: Callable[[TrafficRecord], str],
    since: int,
    places: asyncio.Semaphore | None = None,
) -> AsyncIterator[bytes]:
    """Yield events.

    Args:
        site: The console.
        written: A call to the text of its event.
        since: The moment from which calls are new, µs since the epoch.
        places: One of them is taken; by default, of `Site.streams`.
    """
    async with places or site.streams:
        begin = await _last(site.admin)
        known = _names(record for record in begin if record.at + record.duration <= since)
        quiet = 0
        yield _BEGIN
        for _ in range(LIFE):
            now, records = site.limiter.clock(), await _last(site.admin)
            new = [record for record in reversed(records) if _name(record) not in known]
            known, quiet = _names(records), 0 if new else quiet + 1
            if new:
                yield "".join(_event(written(record), now) for record in new).encode()
            elif quiet % ALIVE == 0:
                yield b": still here\n\n"
            await asyncio.sleep(site.tick)


async def _last(admin: Admin) -> Sequence[TrafficRecord]:
    try:
        return await admin.recent(MOST)
    except QueryBudgetError:
        return ()  # the next look may find them


def _name(record: TrafficRecord) -> tuple[str, int, str]:
    return record.request_id, record.at, record.identity


def _names(records: Iterable[TrafficRecord]) -> frozenset[tuple[str, int, str]]:
    return frozenset(map(_name, records))


def _since(request: Request) -> int | None:
    """When a page was made, or when a browser that comes back was last told something."""
    text = request.headers.get("last-event-id") or request.query_params.get("since", "")
    return int(text) if _MOMENT.fullmatch(text) else None


def _event(text: str, now: int) -> str:
    lines = "".join(f"data: {line}\n" for line in text.splitlines() if line.strip())
    return f"event: call\nid: {now}\n{lines}\n"
