"""What operators do through a console is what they do in its process."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from querybudget.admin import RemoteAdmin
from querybudget.errors import SetupError, StoreError
from querybudget.overrides import Override, Overrides
from querybudget.units import MICRO, Millionths

ENTRY = Override("1", "a" * 32, "own", factor=Millionths(2 * MICRO), by="ann")


class Console:
    """Answers with what it is told, and keeps what it was asked."""

    def __init__(self, status: int, answer: object) -> None:
        self.asked: list[httpx.Request] = []
        self._status, self._answer = status, answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(self._status, content=msgspec.json.encode(self._answer))

    @property
    def admin(self) -> RemoteAdmin:
        return RemoteAdmin("http://host/console/", "t", transport=httpx.MockTransport(self))


async def test_a_change_is_sent_with_its_action_and_the_token() -> None:
    console = Console(201, ENTRY)
    async with console.admin as admin:
        assert await admin.change(ENTRY, "grant") == ENTRY
    (request,) = console.asked
    assert (request.method, request.url.path) == ("POST", "/console/api/overrides")
    assert request.headers["authorization"] == "Bearer t"
    body = msgspec.json.decode(request.content)
    assert (body["action"], body["factor"], body["by"]) == ("grant", 2 * MICRO, "ann")


async def test_answers_are_read_as_what_they_are() -> None:
    assert await Console(200, Overrides("v", (ENTRY,))).admin.overrides() == Overrides(
        "v", (ENTRY,)
    )
    assert await Console(200, {"forgotten": 3}).admin.forget("a" * 8) == 3
    assert await Console(200, {"pardoned": True}).admin.pardon("a" * 8)
    assert await Console(200, {"removed": True}).admin.remove("1", "ann", "why")
    assert await Console(200, []).admin.top() == ()
    assert await Console(200, []).admin.audit() == ()
    assert await Console(200, []).admin.recent() == ()
    assert (await Console(200, {"accounts": [], "cursor": ""}).admin.accounts()).cursor == ""


async def test_a_key_cannot_lead_elsewhere() -> None:
    console = Console(404, {"error": "no such account"})
    with pytest.raises(LookupError, match="no such account"):
        await console.admin.account("../policy?x=1")
    assert console.asked[0].url.raw_path == b"/console/api/accounts/..%2Fpolicy%3Fx%3D1"


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, SetupError), (401, SetupError), (409, SetupError), (503, StoreError)],
)
async def test_what_the_console_refuses_is_raised_as_its_admin_would(
    status: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="because"):
        await Console(status, {"error": "because"}).admin.change(ENTRY, "grant")
    with pytest.raises(error, match=f"status {status}"):
        await Console(status, []).admin.overrides()


async def test_what_is_not_there_is_no_error() -> None:
    assert await Console(404, {}).admin.find("req_1") is None
    assert not await Console(404, {}).admin.remove("1")


async def test_a_console_that_does_not_answer_and_what_is_no_console() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    admin = RemoteAdmin("http://host", transport=httpx.MockTransport(gone))
    with pytest.raises(StoreError, match="did not answer: ConnectError"):
        await admin.audit()
    with pytest.raises(StoreError, match="something else"):
        await Console(200, {"hello": 1}).admin.account("a" * 8)
    with pytest.raises(SetupError, match="URL of a console"):
        RemoteAdmin("host")
