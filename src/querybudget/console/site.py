"""What the pages of one console have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from querybudget.admin.protocol import AccountNameError, Admin
from querybudget.console.access import READ_ONLY, Access
from querybudget.console.rendering import templates
from querybudget.console.survey import Surveyor
from querybudget.limiter import Limiter

_Answer = TypeVar("_Answer")

STREAMS = 20
"""Browsers and programs that may watch decisions at once, in one process."""

METERED = "querybudget"
"""In a scope's state: the middleware has charged this very request to the one who watches."""

NOT_DECIDING = (
    "This console decides no calls. Switch modes and load the policy on the console of a server"
    " that does (`querybudget.console.app`, or the proxy's), or change the policy's file."
)

OWN = "Each worker remembers its own last calls; a traffic log has those of all."
"""Why a call may not be found."""

NOTES = {
    "grant": "Granted.",
    "override": "The limit is changed.",
    "allow": "Allowed: the budgets count, and refuse nothing.",
    "block": "Blocked: every call is refused from now on.",
    "remove": "Removed.",
    "gone": "It was removed already.",
    "pardon": "Pardoned: the score starts again, what was used stays.",
    "blank": "There was nothing to pardon.",
    "forget": "Forgotten.",
    "unlink": "Unlinked, and never to be linked again.",
    "relink": "It may be linked again.",
    "mode": "The mode is switched: here at once, and within seconds wherever this policy runs on"
    " this store, until it is switched back or another policy is loaded.",
    "mode-here": "The mode is switched in this process alone, until a policy is loaded or it ends.",
    "reload": "The policy is loaded. What callers have used is kept.",
}
"""What a page says after a change, by the word in its address."""


class Site:
    """One console.

    Args:
        limiter: What decides the calls.
        admin: What is shown and changed.
        access: What requests may do.
        title: The console's name.
        deciding: Whether the limiter decides calls, or only knows the policy and the store.
        tick: Seconds between two looks for new calls.

    Attributes:
        streams: Free places of `STREAMS`, for those who have no token.
        own_streams: As many for those who have it, which nobody else can take.
        surveyor: Makes the overview's figures.
    """

    def __init__(
        self,
        limiter: Limiter,
        admin: Admin,
        access: Access,
        *,
        title: str,
        deciding: bool = True,
        tick: float = 1.0,
    ) -> None:
        self.limiter, self.admin, self.access = limiter, admin, access
        self.title, self.deciding, self.tick = title, deciding, tick
        self.streams = asyncio.Semaphore(STREAMS)
        self.own_streams = asyncio.Semaphore(STREAMS)
        self.surveyor = Surveyor(admin, limiter.clock)
        self._templates = templates()

    def page(
        self, request: Request, name: str, status: int = 200, /, **values: object
    ) -> HTMLResponse:
        """Return a page."""
        session = self.access.session(request)
        sessions = self.access.sessions
        policy = self.limiter.policy
        common: dict[str, object] = {
            "base": base_of(request),
            "title": self.title,
            "here": name.removesuffix(".html"),
            "now": self.limiter.clock(),
            "session": session,
            "csrf": sessions.form_token(session) if sessions and session else "",
            "has_token": sessions is not None,
            "read_only": READ_ONLY,
            "deciding": self.deciding,
            "units": {budget.name: budget.quota.unit.value for budget in policy.budgets},
            "metered": METERED in request.scope.get("state", {}),
            "note": NOTES.get(request.query_params.get("done", ""), ""),
        }
        text = self._templates.get_template(name).render({**common, **values})
        return HTMLResponse(text, status)

    def check_deciding(self) -> None:
        """Let a change of the policy pass.

        Raises:
            HTTPException: 409 if this process decides no calls.
        """
        if not self.deciding:
            raise HTTPException(409, NOT_DECIDING)

    def part(self, request: Request, name: str, values: Mapping[str, Any]) -> str:
        """Return a part of a page."""
        common = {"base": base_of(request), "now": self.limiter.clock()}
        return self._templates.get_template(name).render({**common, **values})


def site_of(request: Request) -> Site:
    """Return the console that a request is for."""
    return cast("Site", request.app.state.site)


async def reading(request: Request) -> Site:
    """Return the console of a page that is only read.

    Raises:
        HTTPException: 303 to the login, if it is needed first.
    """
    site = site_of(request)
    if await site.access.current(request) or site.access.public:
        return site
    place = request.url.path.removeprefix(request.scope.get("root_path", "")).lstrip("/")
    query = f"?{request.url.query}" if request.url.query else ""
    target = quote(f"{place}{query}", safe="")
    raise HTTPException(303, headers={"location": f"{base_of(request)}/login?next={target}"})


class SeveralAccounts(HTTPException):
    """404 for a name that more than one account has."""


async def named(answer: Awaitable[_Answer]) -> _Answer:
    """Return what the admin answers.

    Raises:
        HTTPException: 404 if there is no account of that name; 400 if a cursor or an order is none.
        SeveralAccounts: There is more than one.
    """
    try:
        return await answer
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    except LookupError as error:
        words = str(error.args[0]) if error.args else "There is no such account."
        several = isinstance(error, AccountNameError) and error.several
        raise (SeveralAccounts if several else HTTPException)(404, words) from None


def base_of(request: Request) -> str:
    """Return where the console is mounted, without a slash at the end, for addresses."""
    return quote(str(request.scope.get("root_path", "")).rstrip("/"))


def see(request: Request, place: str, done: str = "") -> RedirectResponse:
    """Send the browser to a page of the console.

    Args:
        request: The request.
        place: A path below the console, without a slash before it.
        done: A key of `NOTES`.
    """
    query = f"?done={done}" if done else ""
    return RedirectResponse(f"{base_of(request)}/{place}{query}", 303)


def account_place(key: str) -> str:
    """Return the path of an account's page, below the console."""
    return f"accounts/{quote(key, safe='')}"
