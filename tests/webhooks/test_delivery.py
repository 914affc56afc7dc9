"""Messages reach a real server that is slow, fails or redirects, and few are lost at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from querybudget.testing import ManualClock, serving
from querybudget.units import SECOND, Micros
from querybudget.webhooks import SIGNATURE, Message, Sender, signature
from querybudget.webhooks.delivery import MOST

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef"


class Server:
    """A receiver on a socket. Paths say how it behaves."""

    def __init__(self) -> None:
        self.bodies = list[bytes]()
        self.paths = list[str]()
        self.headers = list[str]()
        self.failures = 0
        self.came = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        routes = [Route("/{how}", self._take, methods=["GET", "POST"])]
        self.app = Starlette(routes=routes)

    async def _take(self, request: Request) -> Response:
        how = request.path_params["how"]
        self.paths.append(how)
        self.bodies.append(await request.body())
        self.headers.append(request.headers[SIGNATURE])
        self._loop.call_soon_threadsafe(self.came.set)
        if how == "redirect":
            return RedirectResponse("/elsewhere", 307)
        if how == "hang":
            await asyncio.Event().wait()
        if self.failures:
            self.failures -= 1
            return Response(status_code=503)
        return Response(status_code=204)

    @property
    def ids(self) -> list[str]:
        return [msgspec.json.decode(body)["id"] for body in self.bodies]


@pytest.fixture(name="server")
async def _server() -> Server:
    return Server()


@pytest.fixture(name="url")
def _url(server: Server) -> Iterator[str]:
    with serving(server.app) as url:
        yield url


def message(name: str = "a") -> Message:
    return Message(id=name, kind="refused", at=1, text="A call was refused.")


class Pauses:
    """Waits between attempts that end at once, or never."""

    def __init__(self, *, end: bool) -> None:
        self.begun, self._end = asyncio.Event(), end

    async def __call__(self, seconds: float) -> None:
        self.begun.set()
        if not self._end:
            await asyncio.Event().wait()


async def sent(sender: Sender, *names: str) -> None:
    for name in names:
        sender.send(message(name))
    await sender.aclose()


async def test_a_server_that_fails_first_gets_each_message_signed_until_it_takes_it(
    server: Server, url: str
) -> None:
    server.failures = 2
    clock = ManualClock(Micros(1_700_000_000 * SECOND))
    sender = Sender(f"{url}/hook", SECRET, clock=clock, sleep=Pauses(end=True))
    sender.send(message())
    while len(server.bodies) < 3:
        await server.came.wait()
        server.came.clear()
    await sent(sender, "b")
    assert server.ids == ["a", "a", "a", "b"]
    at = clock() // SECOND
    assert server.headers == [signature(SECRET.encode(), at, body) for body in server.bodies]
    assert sender.dropped == 0


async def test_no_redirect_is_followed_to_another_place(
    server: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(f"{url}/redirect", SECRET)
    await sent(sender, "a")
    assert server.paths == ["redirect"]
    assert sender.dropped == 1
    assert "status 307" in caplog.text


async def test_closing_ends_the_wait_between_two_attempts_and_tries_once_more(
    server: Server, url: str
) -> None:
    server.failures = 1
    pauses = Pauses(end=False)
    sender = Sender(f"{url}/hook", SECRET, sleep=pauses)
    sender.send(message())
    await pauses.begun.wait()
    await sent(sender, *"bcd")
    assert sorted(server.ids) == ["a", "a", "b", "c", "d"]
    assert sender.dropped == 0


async def test_closing_waits_for_no_further_attempt_and_says_what_it_lost(
    server: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.failures = 9
    sender = Sender(f"{url}/hook", SECRET, sleep=Pauses(end=False))
    await sent(sender, *"abc")
    assert sorted(server.ids) == ["a", "b", "c"]
    assert sender.dropped == 3
    assert caplog.text.count("did not reach") == 3


async def test_a_receiver_that_hangs_holds_closing_up_for_the_grace_alone(
    server: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(f"{url}/hang", SECRET, grace=0.0)
    sender.send(message())
    await server.came.wait()
    await sent(sender, "b")
    assert sender.dropped == 2
    assert "2 webhooks were not sent to http://127.0.0.1" in caplog.text
    assert "hang" not in caplog.text


async def test_what_one_receiver_did_not_take_yet_goes_to_its_successor(
    server: Server, url: str
) -> None:
    server.failures = 1
    pauses = Pauses(end=False)
    sender = Sender(f"{url}/hook", SECRET, sleep=pauses)
    sender.send(message())
    await pauses.begun.wait()
    sender.address(f"{url}/new", "another-secret-of-16")
    await sent(sender, "b")
    assert server.paths == ["hook", "new", "new"]
    at = int(server.headers[-1].partition(",")[0].removeprefix("t="))
    assert server.headers[-1] == signature(b"another-secret-of-16", at, server.bodies[-1])


def test_a_message_whose_event_loop_ends_is_sent_in_the_next_one() -> None:
    took = list[str]()

    async def take(asked: httpx.Request) -> httpx.Response:
        took.append(msgspec.json.decode(asked.content)["id"])
        if len(took) == 1:
            await asyncio.Event().wait()
        return httpx.Response(204)

    client = httpx.AsyncClient(transport=httpx.MockTransport(take))
    sender = Sender("http://x/hook", SECRET, client=client)

    async def begin() -> None:
        sender.send(message())
        while not took:  # noqa: ASYNC110 - the event loop has nothing else to do
            await asyncio.sleep(0)

    asyncio.run(begin())
    asyncio.run(sender.aclose())
    assert took == ["a", "a"]
    assert sender.dropped == 0


async def test_the_first_message_that_is_lost_in_a_queue_that_is_full_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = Sender("http://127.0.0.1:1/hook", SECRET, grace=0.0)
    for _ in range(MOST + 3):
        sender.send(message())
    assert sender.dropped == 3
    assert caplog.text.count("webhooks are lost: 1000 wait for http://127.0.0.1:1/...") == 1
    await sender.aclose()
    assert sender.dropped == MOST + 3
