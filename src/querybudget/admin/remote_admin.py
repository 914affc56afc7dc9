"""`RemoteAdmin`: what operators do, through the console of another process."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from querybudget.admin.protocol import (
    AccountList,
    AccountNameError,
    AccountView,
    LinkedGroup,
    Report,
)
from querybudget.errors import SetupError, StoreError
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.traffic.record import TrafficRecord

SECONDS = 30.0
"""How long an answer may take."""

LONGEST = 600.0
"""Seconds that an answer may take for which every account is read."""

_NOT_FOUND, _ERROR, _SERVER, _TOKEN = 404, 400, 500, 401

_Answer = TypeVar("_Answer")


class AccessError(SetupError):
    """The console takes no token, or not this one."""


class _Done(msgspec.Struct):
    removed: bool = False
    pardoned: bool = False
    forgotten: int = 0
    unlinked: int = 0
    relinked: int = 0


class _Refused(msgspec.Struct):
    error: str = ""
    several: bool = False


class RemoteAdmin:
    """`Admin` through the JSON API of a console.

    Nothing is tried again: after a `StoreError`, a change may have been made.

        async with RemoteAdmin("https://models.example.com/console", token) as admin:
            account = await admin.account("3f2a91c0")

    Args:
        url: Where the console is mounted.
        token: The console's token; empty where reading needs none.
        transport: Sends requests; the network by default.

    Raises:
        SetupError: The URL is none of HTTP.
    """

    def __init__(
        self, url: str, token: str = "", *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise SetupError(f"expected the URL of a console, found {url!r}")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/",
            headers=headers,
            timeout=SECONDS,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections. Closing twice does nothing."""
        await self._client.aclose()

    async def accounts(
        self, cursor: str = "", limit: int = 100, *, internal: bool = False
    ) -> AccountList:
        """Return some accounts: those that nobody's calls use only if asked for."""
        asked = {"internal": "1"} if internal else {}
        return await self._get(AccountList, "accounts", cursor=cursor, limit=limit, **asked)

    async def account(self, key: str) -> AccountView:
        """Return one account."""
        return await self._get(AccountView, f"accounts/{_quoted(key)}")

    async def top(
        self, by: str = "score", limit: int = 10, *, report: Report | None = None
    ) -> Sequence[AccountView]:
        """Return the first accounts by ``score``, ``spent``, ``calls``, ``seen`` or a budget."""
        del report
        kind, params = tuple[AccountView, ...], {"by": by, "limit": limit}
        return await self._ask(kind, "GET", "top", params=params, timeout=LONGEST)

    async def change(self, entry: Override, action: str) -> Override:
        """Add an override: ``grant``, ``override``, ``allow`` or ``block``."""
        body = {**msgspec.to_builtins(entry), "action": action}
        return await self._ask(Override, "POST", "overrides", json=body)

    async def remove(self, name: str, by: str = "", reason: str = "") -> bool:
        """Remove an override by its id; return whether there was one."""
        note = {"by": by, "reason": reason}
        try:
            done = await self._ask(_Done, "DELETE", f"overrides/{_quoted(name)}", params=note)
        except LookupError:
            return False
        return done.removed

    async def pardon(self, key: str, by: str = "", reason: str = "") -> bool:
        """Take back what an account is suspected of; return whether there was anything."""
        return (await self._change(key, "pardon", by, reason)).pardoned

    async def forget(self, key: str, by: str = "", reason: str = "") -> int:
        """Erase a caller; return the number of accounts erased."""
        return (await self._change(key, "forget", by, reason)).forgotten

    async def overrides(self) -> Overrides:
        """Return all overrides."""
        return await self._get(Overrides, "overrides")

    async def groups(self) -> Sequence[LinkedGroup]:
        """Return the linked groups, the largest first, without their accounts."""
        return await self._get(tuple[LinkedGroup, ...], "groups")

    async def group(self, name: str) -> LinkedGroup:
        """Return one linked group, by its key or a beginning of it, ``group:`` left out or not."""
        return await self._get(LinkedGroup, f"groups/{_quoted(name)}")

    async def unlink(self, name: str, by: str = "", reason: str = "") -> int:
        """Unlink an account, or all accounts of a group; return the number of accounts."""
        note = {"by": by, "reason": reason}
        return (await self._ask(_Done, "POST", f"unlink/{_quoted(name)}", json=note)).unlinked

    async def relink(self, name: str, by: str = "", reason: str = "") -> int:
        """Take `unlink` back; return the number of accounts."""
        note = {"by": by, "reason": reason}
        path = f"unlink/{_quoted(name)}"
        return (await self._ask(_Done, "DELETE", path, params=note)).relinked

    async def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        """Return what operators did, newest first."""
        return await self._get(tuple[AuditEntry, ...], "audit", limit=limit)

    async def find(self, request_id: str) -> TrafficRecord | None:
        """Return a recent call by the id that its caller was told; None if it is not remembered."""
        try:
            return await self._get(TrafficRecord, f"calls/{_quoted(request_id)}")
        except LookupError:
            return None

    async def recent(self, limit: int = 100, account: str = "") -> Sequence[TrafficRecord]:
        """Return the last calls, newest first; of one account if it is named."""
        return await self._get(tuple[TrafficRecord, ...], "calls", limit=limit, account=account)

    async def _change(self, key: str, what: str, by: str, reason: str) -> _Done:
        note = {"by": by, "reason": reason}
        return await self._ask(_Done, "POST", f"accounts/{_quoted(key)}/{what}", json=note)

    async def _get(self, kind: type[_Answer], path: str, **params: str | int) -> _Answer:
        return await self._ask(kind, "GET", path, params=params)

    async def _ask(
        self,
        kind: type[_Answer],
        method: str,
        path: str,
        **sent: Any,  # noqa: ANN401 - what httpx takes
    ) -> _Answer:
        try:
            answer = await self._client.request(method, path, **sent)
        except (httpx.TimeoutException, httpx.TransportError) as error:
            raise StoreError(f"the console did not answer: {type(error).__name__}") from error
        if answer.status_code >= _ERROR:
            raise _error(answer)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"expected the answer of a console, found something else: {error}"
            ) from error


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _error(answer: httpx.Response) -> Exception:
    """Return what the console's admin raised, as far as its status says."""
    try:
        refused = msgspec.json.decode(answer.content, type=_Refused)
    except msgspec.MsgspecError:
        refused = _Refused()
    said = refused.error or f"the console answered with status {answer.status_code}"
    if answer.status_code == _NOT_FOUND:
        return AccountNameError(said, several=refused.several)
    if answer.status_code == _TOKEN:
        return AccessError(said)
    return StoreError(said) if answer.status_code >= _SERVER else SetupError(said)
