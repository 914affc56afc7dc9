"""Sending webhooks: signed, one after the other, and again while the receiver fails."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable

import httpx
import msgspec

from querybudget.errors import SetupError
from querybudget.redact import error_type, redact_url
from querybudget.stores import Clock, system_clock
from querybudget.units import SECOND

SIGNATURE = "X-QueryBudget-Signature"

MOST = 1_000
"""Messages that wait to be sent; what comes above is dropped and counted."""

ATTEMPTS = 6
"""Times that a message is tried; the waits between them add up to half a minute at most."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds."""

DRAINING = 5.0
"""Seconds that closing waits for messages under way."""

_SERVER_ERROR = 500
_TOO_MANY = 429

logger = logging.getLogger("querybudget")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON body of a webhook.

    Attributes:
        id: Of the message; the same when it is sent again.
        kind: What happened.
        at: When, µs since the epoch.
        text: It in a sentence.
        account: Key of the account concerned; empty for none.
        tier: The caller's tier, if a caller is concerned.
        request_id: The call that showed it.
        budgets: The budgets concerned.
        policy: Hash of the policy.
        share: Millionths of a budget used, or of calls disturbed.
    """

    id: str
    kind: str
    at: int
    text: str
    account: str = ""
    tier: str = ""
    request_id: str = ""
    budgets: tuple[str, ...] = ()
    policy: str = ""
    share: int = 0


class _SecretURL(httpx.URL):
    """A URL whose path may be a secret, as many receivers have it: logs show only the host."""

    def __str__(self) -> str:
        return _place(super().__str__())


def _place(url: str) -> str:
    scheme, _, rest = redact_url(url).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/..."


def signature(secret: bytes, at: int, body: bytes) -> str:
    """Return what the header `SIGNATURE` says of a body that is sent at a time in seconds."""
    signed = hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class Sender:
    """Sends messages in the background, and tries again while the receiver fails.

    Args:
        url: Receives ``POST`` requests.
        secret: Signs them.
        client: Sends requests; one of its own by default.
        clock: µs since the epoch; the system's by default.
        sleep: Waits a number of seconds.
        jitter: Returns a number from 0 to 1.

    Raises:
        SetupError: The URL is none, or the secret is empty.

    Attributes:
        dropped: Messages that were lost.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        client: httpx.AsyncClient | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise SetupError(f"expected the URL of a webhook, found {redact_url(url)}")
        try:
            self._url = _SecretURL(url)
        except httpx.InvalidURL:
            raise SetupError(f"expected the URL of a webhook, found {_place(url)}") from None
        if not secret:
            raise SetupError("expected a secret that signs webhooks, found an empty one")
        self._secret = secret.encode()
        self._client, self._clock = client, clock or system_clock()
        self._sleep, self._jitter = sleep, jitter
        self._waiting = deque[Message]()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def send(self, message: Message) -> None:
        """Send a message soon; it is dropped if too many wait already."""
        if len(self._waiting) >= MOST:
            self.dropped += 1
            return
        self._waiting.append(message)
        self._send_soon()

    def _send_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the event loop has ended
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._send_all())

    async def _send_all(self) -> None:
        client = self._client or httpx.AsyncClient(timeout=10)
        try:
            while self._waiting:
                await self._send(client, self._waiting.popleft())
        finally:
            if client is not self._client:
                await client.aclose()

    async def _send(self, client: httpx.AsyncClient, message: Message) -> None:
        body, why = msgspec.json.encode(message), ""
        for attempt in range(ATTEMPTS):
            if attempt:
                longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
                await self._sleep(longest * (0.5 + self._jitter() / 2))
            try:
                headers = self._headers(body)
                request = httpx.Request("POST", self._url, content=body, headers=headers)
                request.url = self._url  # it has made a plain one of it
                request.extensions["timeout"] = client.timeout.as_dict()
                answer = await client.send(request, follow_redirects=False)
            except httpx.HTTPError as error:
                why = error_type(error)
                continue
            if answer.is_success:
                return
            why = f"status {answer.status_code}"
            if answer.status_code != _TOO_MANY and answer.status_code < _SERVER_ERROR:
                break  # it will not take this message another time either
        self.dropped += 1
        logger.warning("a webhook (%s) did not reach %s: %s", message.kind, self._url, why)

    def _headers(self, body: bytes) -> dict[str, str]:
        at = self._clock() // SECOND
        return {
            "content-type": "application/json",
            "user-agent": "querybudget",
            SIGNATURE: signature(self._secret, at, body),
        }

    async def aclose(self) -> None:
        """Give messages under way some time."""
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return
        _, left = await asyncio.wait((task,), timeout=DRAINING)
        if left:
            task.cancel()
            lost = len(self._waiting) + 1
            self._waiting.clear()
            self.dropped += lost
            logger.warning("%d webhooks were not sent before the end", lost)
