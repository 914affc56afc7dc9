"""What a request may do: read, or change as well."""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from querybudget.console.guesses import Guesses
from querybudget.console.sessions import COOKIE, Session, Sessions
from querybudget.errors import QueryBudgetError
from querybudget.limiter import Limiter
from querybudget.overrides import AuditEntry, Effect, Override
from querybudget.units import Micros

logger = logging.getLogger("querybudget")

LONGEST_BODY = 64 * 1024
MOST_FIELDS = 30

FORM = "application/x-www-form-urlencoded"
READ_ONLY = "This console is read-only: no token is configured."

_BEARER = "bearer "
_OWN_SITES = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site (Fetch Metadata, W3C) of requests that no other site has caused."""


class Access:
    """Decides what requests may do.

    Args:
        token: The console's token; None if nothing can be changed.
        limiter: Its store keeps which sessions have ended.
        public_read: Whether anybody may read.

    Attributes:
        sessions: Checks tokens; None without one.
        public: Whether anybody may read.
    """

    def __init__(self, token: str | None, limiter: Limiter, *, public_read: bool) -> None:
        self.sessions = None if token is None else Sessions(token)
        self.public = public_read or token is None
        self._guesses = Guesses(limiter.clock)
        self._limiter, self._clock = limiter, limiter.clock

    def session(self, request: Request) -> Session | None:
        """Return the session that a request belongs to, as far as this process knows."""
        if self.sessions is None:
            return None
        session = self.sessions.read(request.cookies.get(COOKIE, ""), self._clock())
        if session is None:
            return None
        name = self.sessions.name(session)
        ended = any(entry.id == name for entry in self._limiter.feed.stored)
        return None if ended else session

    async def current(self, request: Request) -> Session | None:
        """Return the session that a request belongs to, after a look whether it ended elsewhere."""
        if self.session(request) is not None:
            await self._limiter.feed.refresh()
        return self.session(request)

    async def end(self, session: Session) -> None:
        """End a session, in every process that shares the store; here even if the store fails."""
        if self.sessions is None:
            return
        now = Micros(self._clock())
        self.sessions.end(session, now)
        administering = self._limiter.administering
        if not administering.able:
            return
        name = self.sessions.name(session)
        entry = Override(
            name, name, effect=Effect.LOGOUT, until=Micros(session.until), at=now, by=session.by
        )
        audit = AuditEntry(now, session.by, "logout", "", "the session has ended everywhere")
        try:
            await administering.override(entry, audit)
        except QueryBudgetError as error:
            logger.warning("a session of the console has ended in this process alone: %s", error)

    def knows(self, request: Request) -> bool:
        """Return whether a request that was let pass is of somebody who has the token."""
        return self.session(request) is not None or "authorization" in request.headers

    async def takes(self, request: Request, token: str) -> bool:
        """Return whether a token is right, and count it if it is not.

        Raises:
            HTTPException: 403 without a token to compare with; 429 after too many wrong ones.
        """
        if self.sessions is None:
            raise HTTPException(403, READ_ONLY)
        right = self.sessions.is_token(token)
        if wait := await self._guesses.wait(request, right=right):
            message = f"Too many wrong tokens. Try again in {wait} s."
            raise HTTPException(429, message, {"retry-after": str(wait)})
        return right

    async def check_api(self, request: Request, *, change: bool) -> None:
        """Let a request of the API pass.

        A cookie is enough to read. To change something takes the token itself, which no other site
        can make a browser send.

        Raises:
            HTTPException: 401, 403 or 429.
        """
        given = request.headers.get("authorization", "")
        if given[: len(_BEARER)].lower() == _BEARER:
            if await self.takes(request, given[len(_BEARER) :].strip()):
                return
            raise HTTPException(401, "The token is wrong.", {"www-authenticate": "Bearer"})
        if self.sessions is None and change:
            raise HTTPException(403, READ_ONLY)
        if change or not (self.public or await self.current(request)):
            raise HTTPException(401, "A token is needed.", {"www-authenticate": "Bearer"})

    async def form(self, request: Request) -> tuple[Session, dict[str, str]]:
        """Return the session and the fields of a form that changes something.

        Raises:
            HTTPException: It is not from a session, or not from one of this session's pages.
        """
        if self.sessions is None:
            raise HTTPException(403, READ_ONLY)
        session = await self.current(request)
        if session is None:
            raise HTTPException(401, "Your session has ended. Log in again.")
        fields = await read_form(request)
        if not self.sessions.is_form_token(session, fields.get("csrf", "")):
            raise HTTPException(403, "This form is not from your session. Reload its page.")
        return session, fields


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form that this site has sent.

    Raises:
        HTTPException: It is from another site, of another type, or too large.
    """
    if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        raise HTTPException(403, "This form is from another site.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415, f"Expected a form ({FORM}).")
    body = await read_body(request)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "This form cannot be read.") from None
    return dict(fields)


async def read_body(request: Request) -> bytes:
    """Return a request's body.

    Raises:
        HTTPException: It is longer than `LONGEST_BODY`, or did not arrive.
    """
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_BODY:
                raise HTTPException(413, f"Expected at most {LONGEST_BODY} bytes.")
    except ClientDisconnect:
        raise HTTPException(400, "The request ended early.") from None
    return bytes(body)
