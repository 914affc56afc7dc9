"""The pages that show accounts."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from querybudget.admin.protocol import AccountView
from querybudget.console.site import Site, account_place, named, reading, see, site_of
from querybudget.console.survey import CALLER
from querybudget.console.walk import SHADES, SIDE, walk
from querybudget.overrides import ANY_BUDGET
from querybudget.policy.model import Policy
from querybudget.policy.naming import RESOLVERS, CallerName

OWN_CALLS = 20
"""Calls on the page of an account."""

ROWS = 50
"""Accounts on a page, in the store's order."""

SORTED = 100
"""Accounts on a page in another order."""

MOST_PAGES = 20
"""Pages that are read to fill one of a kind."""

SORTS = {
    "": "as kept",
    "score": "score",
    "spent": "money spent",
    "calls": "calls",
    "seen": "last seen",
}
KINDS = {"": "all accounts", "callers": "callers", "shared": "shared ones"}
SPANS = {
    "3600": "for 1 hour",
    "86400": "for 1 day",
    "604800": "for 7 days",
    "2592000": "for 30 days",
    "0": "until removed",
}
"""Seconds for which an override applies, as forms offer them."""

_OF_KIND = {resolver: kind for kind, resolver in RESOLVERS.items()}
_WORDS = {
    "user": "user",
    "api_key": "API key",
    "header": "header",
    "claim": "claim",
    "address": "address",
    "partition": "pool of",
}
"""The kinds of `CallerName`, in words."""


async def accounts(request: Request) -> Response:
    """List accounts, or go to the one that was searched for."""
    site = await reading(request)
    asked = request.query_params
    search, problem = asked.get("q", "").strip(), ""
    if search:
        try:
            found = await named(site.admin.account(search))
        except HTTPException as error:
            problem = error.detail
        else:
            return see(request, account_place(found.account))
    sort, kind, cursor = asked.get("sort", ""), asked.get("kind", ""), asked.get("cursor", "")
    sorts = {**SORTS, **{name: f"use of {name}" for name in budget_names(site)}}
    if sort and sort in sorts:
        rows, cursor = (
            [each for each in await site.surveyor.top(sort, SORTED) if _is(each, kind)],
            "",
        )
    else:
        rows, cursor = await _rows(site, cursor, kind)
    return site.page(
        request,
        "accounts.html",
        404 if problem else 200,
        rows=rows,
        cursor=cursor,
        first=not asked.get("cursor"),
        search=search,
        problem=problem,
        sort=sort,
        sorts=sorts,
        kind=kind,
        kinds=KINDS,
        most=SORTED,
        names=caller_names(site.limiter.policy),
    )


async def find_caller(request: Request) -> Response:
    """Go to the account of a caller who is named as they are known outside.

    The name comes in a form, since addresses of pages stand in logs and histories.
    """
    site = site_of(request)
    _, fields = await site.access.form(request)
    kind, value = fields.get("kind", ""), fields.get("value", "").strip()
    if kind not in caller_names(site.limiter.policy) or not value:
        raise HTTPException(400, "Say who: a name, and what it is the name of.")
    kind, _, name = kind.partition(" ")
    key = site.limiter.rules.part_of(CallerName(kind, value, name))
    found = await named(site.admin.account(key))
    return see(request, account_place(found.account))


def caller_names(policy: Policy) -> dict[str, str]:
    """Return what callers and pools can be named by, and the words for it."""
    kinds = [(_OF_KIND.get(spec.kind, spec.kind), spec.name) for spec in policy.identity]
    kinds += [("partition", name) for name in policy.partitions]
    return {f"{kind} {name}".strip(): f"{_WORDS[kind]} {name}".strip() for kind, name in kinds}


async def account(request: Request) -> Response:
    """Show one account."""
    site = await reading(request)
    return await account_page(site, request, await account_of(site, request))


async def account_page(
    site: Site,
    request: Request,
    view: AccountView,
    given: Mapping[str, str] | None = None,
    problem: str = "",
) -> Response:
    """Return the page of an account.

    Args:
        site: The console.
        request: The request.
        view: The account.
        given: What a form said that could not be done: it is shown again.
        problem: Why not; empty if nothing was wrong.
    """
    return site.page(
        request,
        "account.html",
        400 if problem else 200,
        given=given or {},
        problem=problem,
        account=view,
        calls=await site.admin.recent(OWN_CALLS, view.account),
        walk=walk(view.cells, site.limiter.analyzer),
        side=SIDE,
        shades=SHADES,
        parts=view.account.split("|"),
        budget_names=budget_names(site),
        any_budget=ANY_BUDGET,
        spans=SPANS,
    )


async def confirm_forget(request: Request) -> Response:
    """Ask whether an account is really to be forgotten."""
    site = await reading(request)
    return site.page(request, "forget.html", account=await account_of(site, request))


async def account_of(site: Site, request: Request) -> AccountView:
    """Return the account that a path names.

    Raises:
        HTTPException: There is none, or there are several.
    """
    return await named(site.admin.account(request.path_params["key"]))


def budget_names(site: Site) -> list[str]:
    """Return the names of the policy's budgets."""
    return [budget.name for budget in site.limiter.policy.budgets]


def _is(view: AccountView, kind: str) -> bool:
    return kind not in {"callers", "shared"} or (view.kind == CALLER) == (kind == "callers")


async def _rows(site: Site, cursor: str, kind: str) -> tuple[list[AccountView], str]:
    rows = list[AccountView]()
    for _ in range(MOST_PAGES):
        page = await named(site.admin.accounts(cursor, ROWS))
        rows += [each for each in page.accounts if _is(each, kind)]
        cursor = page.cursor
        if not cursor or len(rows) >= ROWS:
            break
    return rows, cursor
