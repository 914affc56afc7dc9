"""What forms change. Each needs a session and the token of its forms, and is noted by the admin."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from querybudget.admin.validation import ACTIONS
from querybudget.console import running
from querybudget.console.access import read_form
from querybudget.console.account_pages import SPANS, account_of, account_page
from querybudget.console.sessions import COOKIE, LASTS
from querybudget.console.site import account_place, base_of, named, see, site_of
from querybudget.errors import SetupError
from querybudget.overrides import ANY_BUDGET, Effect, Override
from querybudget.policy.model import Mode
from querybudget.redact import shown
from querybudget.units import MICRO, NO_TIME, SECOND, Micros, Millionths

LONGEST_REASON = 200
_MOST = 10**12
"""Units: the largest figure that a form takes."""


async def log_in(request: Request) -> Response:
    """Show the form for the token, or take it."""
    site = site_of(request)
    target = _target(request.query_params.get("next", ""))
    if request.method != "POST":
        return site.page(request, "login.html", target=target, problem="")
    fields = await read_form(request)
    target = _target(fields.get("next", ""))
    if not await site.access.takes(request, fields.get("token", "")):
        return site.page(request, "login.html", 403, target=target, problem="The token is wrong.")
    response = see(request, target)
    sessions = site.access.sessions
    if sessions is not None:
        _, cookie = sessions.begin(fields.get("by", ""), site.limiter.clock())
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=LASTS // SECOND,
            path=base_of(request) or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return response


async def log_out(request: Request) -> Response:
    """End the session of this browser, and of every copy of its cookie."""
    access = site_of(request).access
    session, _ = await access.form(request)
    await access.end(session)
    response = see(request, "")
    response.delete_cookie(COOKIE, path=base_of(request) or "/", httponly=True, samesite="strict")
    return response


async def change_account(request: Request) -> Response:
    """Add an override: grant, override, allow or block."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    view = await account_of(site, request)
    action = fields.get("action", "")
    if action not in ACTIONS:
        raise HTTPException(400, "There is no such action.")
    part = fields.get("part") or view.account
    if part != view.account and part not in view.account.split("|"):
        raise HTTPException(400, "This is no part of the account's key.")
    try:
        entry = _override(fields, action, part, session.by, site.limiter.clock())
        await site.admin.change(entry, action)
    except (HTTPException, SetupError) as error:
        words = error.detail if isinstance(error, HTTPException) else str(error)
        return await account_page(site, request, view, fields, words)
    site.surveyor.stale()
    return see(request, account_place(view.account), action)


async def pardon(request: Request) -> Response:
    """Take back what an account is suspected of."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    view = await account_of(site, request)
    done = await site.admin.pardon(view.account, session.by, _reason(fields))
    site.surveyor.stale()
    return see(request, account_place(view.account), "pardon" if done else "blank")


async def forget(request: Request) -> Response:
    """Erase an account."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    view = await account_of(site, request)
    await site.admin.forget(view.account, session.by, _reason(fields))
    site.surveyor.stale()
    return see(request, "accounts", "forget")


async def remove_override(request: Request) -> Response:
    """Remove an override."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    gone = await site.admin.remove(request.path_params["id"], session.by, _reason(fields))
    return see(request, "overrides", "remove" if gone else "gone")


async def unlink(request: Request) -> Response:
    """Take an account, or all accounts of a group, out of groups for good."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    await named(site.admin.unlink(request.path_params["name"], session.by, _reason(fields)))
    site.surveyor.stale()
    return see(request, "groups", "unlink")


async def relink(request: Request) -> Response:
    """Let an account be linked again."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    name = request.path_params["name"]
    await named(site.admin.relink(name, session.by, _reason(fields)))
    site.surveyor.stale()
    return see(request, account_place(name), "relink")


async def change_mode(request: Request) -> Response:
    """Enforce a budget, or let it only report."""
    site = site_of(request)
    session, fields = await site.access.form(request)
    site.check_deciding()
    name, word = request.path_params["name"], fields.get("mode", "")
    if word not in set(Mode):
        raise HTTPException(400, "There is no such mode.")
    await running.set_mode(site.limiter, name, Mode(word), session.by)
    return see(request, "policy", "mode" if running.is_shared(site.limiter) else "mode-here")


async def reload(request: Request) -> Response:
    """Load the policy again from its file; without a form, show what would change."""
    site = site_of(request)
    if request.method != "POST":
        if await site.access.current(request) is None:
            return see(request, "login?next=policy")
        site.check_deciding()
        changes = await running.changes(site.limiter)
        return site.page(request, "reload.html", changes=changes)
    session, _ = await site.access.form(request)
    site.check_deciding()
    await running.reload(site.limiter, session.by)
    site.surveyor.stale()
    return see(request, "policy", "reload")


# -- What fields say -----------------------------------------------------------------------------


def _override(fields: dict[str, str], action: str, part: str, by: str, now: int) -> Override:
    seconds = fields.get("span", "")
    if seconds not in SPANS:
        raise HTTPException(400, "Choose for how long.")
    limit = _number(fields, "limit", 0) if action == "override" else 0
    factor = _number(fields, "factor", MICRO) if action == "grant" else MICRO
    amount = _number(fields, "amount", 0) if action == "grant" else 0
    if ACTIONS[action] is Effect.LIMIT and (limit, factor, amount) == (0, MICRO, 0):
        raise HTTPException(400, "Say how the limit changes.")
    return Override(
        id="",
        account=part,
        budget=fields.get("budget", "") or ANY_BUDGET,
        effect=ACTIONS[action],
        limit=limit,
        factor=Millionths(factor),
        amount=amount,
        until=Micros(now + int(seconds) * SECOND) if seconds != "0" else NO_TIME,
        by=by,
        reason=_reason(fields),
    )


def _number(fields: dict[str, str], name: str, default: int) -> int:
    text = fields.get(name, "").strip().replace(",", "")
    if not text:
        return default
    try:
        value = Decimal(text) if len(text) < 30 else Decimal("NaN")  # noqa: PLR2004 - no figure is
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 < value <= _MOST:
        raise HTTPException(400, f"Expected a number above 0 for {name}, found {shown(text)!r}.")
    return int(value * MICRO)


def _reason(fields: dict[str, str]) -> str:
    return shown(fields.get("reason", "").strip())[:LONGEST_REASON]


def _target(text: str) -> str:
    """Return a path below the console to go to: never another site's."""
    allowed = text.isascii() and text.isprintable() and not set(text) & set("\\ \"'<>")
    return text if allowed and not text.startswith("/") and "//" not in text else ""
