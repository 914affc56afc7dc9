"""Who may change things: the token, and the sessions of people who have given it.

A session is a cookie that is signed with a key made from the token: every worker with the same
token takes it, and it ends when the token changes. The console keeps only which sessions their
owners have ended, until they would have ended anyhow. It keeps them in this process, and in a store
that keeps overrides, where the other processes read them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from querybudget.errors import SetupError
from querybudget.redact import shown
from querybudget.units import SECOND

COOKIE = "querybudget_console"
LASTS = 8 * 3_600 * SECOND
"""µs after which a session ends."""

SHORTEST_TOKEN = 16
"""Characters. Shorter ones can be guessed."""

LONGEST_NAME = 60
"""Characters kept of an operator's name."""

_LONGEST_COOKIE = 1_000


class Session(msgspec.Struct, frozen=True):
    """One person who has given the token.

    Attributes:
        id: Random name.
        by: Who it is, for the audit log; empty if nobody said.
        until: When it ends, µs since the epoch.
    """

    id: str
    by: str
    until: int


class Sessions:
    """Checks tokens, signs sessions, and makes the tokens of forms.

    Args:
        token: The console's token.

    Raises:
        SetupError: It is too short.
    """

    def __init__(self, token: str) -> None:
        if len(token) < SHORTEST_TOKEN:
            raise SetupError(
                f"expected a console token of at least {SHORTEST_TOKEN} characters, found"
                f" {len(token)} (`openssl rand -hex 32` makes one)"
            )
        self._token = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"querybudget console sessions", "sha256")
        self._ended: dict[str, int] = {}
        """Ids of sessions that were ended, and when each would have ended, µs since the epoch."""

    def is_token(self, given: str) -> bool:
        """Return True for the token, after the same time for every text of that length."""
        found = hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(found, self._token)

    def begin(self, by: str, now: int) -> tuple[Session, str]:
        """Return a new session and its cookie's value."""
        session = Session(os.urandom(16).hex(), shown(by.strip())[:LONGEST_NAME], now + LASTS)
        body = urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")
        return session, f"{body}.{self._signature('session', body)}"

    def read(self, cookie: str, now: int) -> Session | None:
        """Return the session of a cookie; None if it is not ours or has ended."""
        body, dot, signature = cookie.partition(".")
        if not dot or len(cookie) > _LONGEST_COOKIE or not cookie.isascii():
            return None
        if not hmac.compare_digest(signature, self._signature("session", body)):
            return None
        session = msgspec.json.decode(urlsafe_b64decode(body + "=="), type=Session)
        return session if now < session.until and session.id not in self._ended else None

    def end(self, session: Session, now: int) -> None:
        """End a session: whoever has a copy of its cookie can do nothing with it any more."""
        self._ended = {name: until for name, until in self._ended.items() if now < until}
        self._ended[session.id] = session.until

    def name(self, session: Session) -> str:
        """Return the name under which a store keeps that a session has ended."""
        return f"session-{self._signature('ended', session.id)[:32]}"

    def form_token(self, session: Session) -> str:
        """Return what every form of a session must send along."""
        return self._signature("form", session.id)

    def is_form_token(self, session: Session, given: str) -> bool:
        """Return True if a form was made for this session."""
        return given.isascii() and hmac.compare_digest(given, self.form_token(session))

    def __repr__(self) -> str:
        return "Sessions(...)"

    def _signature(self, use: str, text: str) -> str:
        return hmac.new(self._key, f"{use}:{text}".encode(), "sha256").hexdigest()
