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

GRACE = 5.0
"""Seconds that closing gives messages: each is tried once more, at once."""

AT_ONCE = 8
"""Messages that are sent at the same time at closing; before, it is one after the other."""

_SUCCESS, _REDIRECT = 200, 300
_TOO_MANY, _SERVER_ERROR = 429, 500

logger = logging.getLogger("querybudget")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON body of a webhook.

    Attributes:
        id: Of the message; the same when it is sent again.
        kind: What happened.
        at: When, µs since the epoch.
        text: The same in a sentence.
        account: Key of the account concerned; empty for none.
        tier: The caller's tier, if a caller is concerned.
        request_id: Id of the call that showed it.
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
    """A URL whose path may be a secret, as that of many receivers is: logs show only its host."""

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

    A message whose attempt is cancelled, as when an event loop ends, waits for the next one.

    Args:
        url: Receives ``POST`` requests.
        secret: Signs them.
        client: Sends requests; one of its own by default.
        clock: µs since the epoch; the system's by default.
        sleep: Waits a number of seconds.
        jitter: Returns a number from 0 to 1.
        grace: Seconds that closing gives messages.

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
        grace: float = GRACE,
    ) -> None:
        self.address(url, secret)
        self._client, self._clock = client, clock or system_clock()
        self._sleep, self._jitter, self._grace = sleep, jitter, grace
        self._waiting = deque[Message]()
        self._task: asyncio.Task[None] | None = None
        self._pause: asyncio.Future[None] | None = None
        self._closing = self._full = False
        self.dropped = 0

    def address(self, url: str, secret: str) -> None:
        """Send to this URL from now on, and sign with this secret: what waits already, too.

        Raises:
            SetupError: The URL is none, or the secret is empty. Nothing changes.
        """
        if not url.startswith(("http://", "https://")):
            raise SetupError(f"expected the URL of a webhook, found {redact_url(url)}")
        try:
            parsed = _SecretURL(url)
        except httpx.InvalidURL:
            raise SetupError(f"expected the URL of a webhook, found {_place(url)}") from None
        if not secret:
            raise SetupError("expected a secret that signs webhooks, found an empty one")
        self._url, self._secret = parsed, secret.encode()

    def send(self, message: Message) -> None:
        """Send a message soon; it is dropped if too many wait already."""
        if len(self._waiting) >= MOST:
            self.dropped += 1
            if not self._full:
                logger.warning("webhooks are lost: %d wait for %s already", MOST, self._url)
            self._full = True
            return
        self._full = False
        self._waiting.append(message)
        self._send_soon()

    def _send_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the event loop has ended
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._send_all(1))

    async def _send_all(self, at_once: int) -> None:
        client = self._client
        if client is None:  # a new one reads certificates, which takes tens of milliseconds
            client = await asyncio.to_thread(httpx.AsyncClient, timeout=10)
        try:
            await asyncio.gather(*(self._send_each(client) for _ in range(at_once)))
        finally:
            if client is not self._client:
                await client.aclose()

    async def _send_each(self, client: httpx.AsyncClient) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            try:
                await self._send(client, message)
            except asyncio.CancelledError:
                self._waiting.appendleft(message)
                raise

    async def _send(self, client: httpx.AsyncClient, message: Message) -> None:
        """Try a message until it is taken; at closing, once more."""
        body, why = msgspec.json.encode(message), ""
        for attempt in range(1, ATTEMPTS + 1):
            last = self._closing or attempt == ATTEMPTS
            try:
                status = await self._post(client, body)
            except httpx.HTTPError as error:
                why = error_type(error)
            else:
                if _SUCCESS <= status < _REDIRECT:
                    return
                why = f"status {status}"
                # It will not take this message another time either.
                last = last or (status != _TOO_MANY and status < _SERVER_ERROR)
            if last:
                break
            await self._wait(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)))
        self.dropped += 1
        logger.warning("a webhook (%s) did not reach %s: %s", message.kind, self._url, why)

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> int:
        """Send a body and return the status of the answer."""
        request = httpx.Request("POST", self._url, content=body, headers=self._headers(body))
        request.url = self._url  # it has made a plain one of it
        request.extensions["timeout"] = client.timeout.as_dict()
        return (await client.send(request, follow_redirects=False)).status_code

    def _headers(self, body: bytes) -> dict[str, str]:
        at = self._clock() // SECOND
        return {
            "content-type": "application/json",
            "user-agent": "querybudget",
            SIGNATURE: signature(self._secret, at, body),
        }

    async def _wait(self, longest: float) -> None:
        """Wait half of this time at least, or until closing begins."""
        if self._closing:
            return
        pause = asyncio.ensure_future(self._sleep(longest * (0.5 + self._jitter() / 2)))
        self._pause = pause
        try:
            await asyncio.wait((pause,))
        finally:
            pause.cancel()

    async def aclose(self) -> None:
        """Try each message once more at once, for `grace` seconds. What is left then is lost."""
        self._closing = True
        try:
            await self._finish(asyncio.get_running_loop())
        finally:
            self._closing = False
        if lost := len(self._waiting):
            self._waiting.clear()
            self.dropped += lost
            logger.warning("%d webhooks were not sent to %s before the end", lost, self._url)

    async def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        sending = set[asyncio.Task[None]]()
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            sending.add(self._task)
            if self._pause is not None:
                self._pause.cancel()
        if self._waiting:
            sending.add(loop.create_task(self._send_all(AT_ONCE)))
        if not sending:
            return
        _, left = await asyncio.wait(sending, timeout=self._grace)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
