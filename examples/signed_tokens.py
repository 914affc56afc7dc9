"""Custom authentication: signed tokens, checked by a middleware that runs before the budgets.

The authentication sets `scope["user"]` and `scope["auth"]`, which the resolvers `user` and `claim`
read. A token is `payload.signature`: JSON and its HMAC-SHA256, both in base64. To see it:
python examples/signed_tokens.py
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from collections import Counter
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from querybudget import QueryBudgetMiddleware
from querybudget.testing import FakeModel, drive, http_scope, request

POLICY = {
    "identity": ["user"],
    "partitions": {"team": {"claim": "team"}},
    "budgets": [
        {"name": "requests", "limit": "60 requests/minute"},
        {"name": "team-requests", "limit": "100 requests/minute", "per": "team"},
    ],
}


def sign(claims: dict[str, Any], key: bytes) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode())
    signature = base64.urlsafe_b64encode(hmac.digest(key, payload, "sha256"))
    return f"{payload.decode()}.{signature.decode()}"


def claims_of(token: str, key: bytes) -> dict[str, Any] | None:
    payload, _, signature = token.encode("latin-1").partition(b".")
    expected = base64.urlsafe_b64encode(hmac.digest(key, payload, "sha256"))
    if not hmac.compare_digest(signature, expected):
        return None
    try:
        return dict(json.loads(base64.urlsafe_b64decode(payload)))
    except (ValueError, TypeError, binascii.Error):
        return None


class SignedTokens:
    """Admits requests with a token that was signed with the key."""

    def __init__(self, app: ASGIApp, key: bytes) -> None:
        self.app = app
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        claims = claims_of(authorization.removeprefix("Bearer "), self.key)
        if claims is None:
            await PlainTextResponse("sign in first", 401)(scope, receive, send)
            return
        # The budgets run after this, so they know the caller.
        await self.app({**scope, "user": claims["sub"], "auth": claims}, receive, send)


def protect(model: ASGIApp, key: bytes) -> ASGIApp:
    return SignedTokens(QueryBudgetMiddleware(model, policy=POLICY), key)


async def main() -> None:
    """Ask a fake model with a forged token, and with one of a person who asks too often."""
    app = protect(FakeModel(), b"key")
    body = request({"model": "m", "messages": []})
    for name, key in (("forged", b"another key"), ("ada", b"key")):
        token = sign({"sub": name, "team": "red"}, key)
        answers = [await drive(app, http_scope(key=token), body) for _ in range(61)]
        print(name, dict(Counter(answer.status for answer in answers)))


if __name__ == "__main__":
    asyncio.run(main())
