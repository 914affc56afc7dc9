"""The pages that show the whole server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from querybudget.console.phrases import charged_words, sentences
from querybudget.console.policy_source import policy_source
from querybudget.console.site import OWN, named, reading
from querybudget.console.survey import Survey, counted
from querybudget.errors import QueryBudgetError
from querybudget.policy.model import Policy
from querybudget.text import limit

REMEMBERED = 1_000
"""Calls that the overview adds up."""

CALLS = 100
"""Calls on their page."""

AUDITED = 200

MEMBERS = 500
"""Accounts of a group on its page."""


async def overview(request: Request) -> Response:
    """Show how everything is."""
    site = await reading(request)
    limiter, problem = site.limiter, ""
    try:
        survey = await site.surveyor.survey()
    except QueryBudgetError as error:  # what can be seen without the store is seen all the more
        survey, problem = Survey(limiter.clock()), str(error)
    return site.page(
        request,
        "overview.html",
        survey=survey,
        problem=problem,
        counts=counted(await site.admin.recent(REMEMBERED)),
        health=await limiter.check(),
        policy_hash=limiter.policy_hash,
        source=limiter.policy.source,
        budgets=[*budget_rows(limiter.policy)],
    )


async def calls(request: Request) -> Response:
    """List the last calls."""
    site = await reading(request)
    records = await site.admin.recent(CALLS)
    return site.page(request, "calls.html", records=records, most=CALLS)


async def call(request: Request) -> Response:
    """Say what was decided about one call, and why."""
    site = await reading(request)
    name = request.path_params.get("request_id", "") or request.query_params.get("id", "").strip()
    record = await named(site.admin.find(name)) if name else None
    if record is None:
        raise HTTPException(404, f"No call with the request id {name!r} is remembered. {OWN}")
    units = {budget.name: budget.quota.unit.value for budget in site.limiter.policy.budgets}
    charged = [
        (budget, charged_words(amount, units.get(budget, "")))
        for budget, amount in record.charged.items()
    ]
    words = [*sentences(record)]
    return site.page(request, "call.html", record=record, sentences=words, charged=charged)


async def policy(request: Request) -> Response:
    """Show the policy."""
    site = await reading(request)
    known = site.limiter.policy
    return site.page(
        request,
        "policy.html",
        policy=known,
        policy_hash=site.limiter.policy_hash,
        source=policy_source(known.source),
        budgets=[*budget_rows(known)],
    )


async def audit(request: Request) -> Response:
    """List what operators did."""
    site = await reading(request)
    entries = await site.admin.audit(AUDITED)
    return site.page(request, "audit.html", entries=entries, most=AUDITED)


async def overrides(request: Request) -> Response:
    """List what operators have changed for accounts."""
    site = await reading(request)
    return site.page(request, "overrides.html", overrides=(await site.admin.overrides()).entries)


async def groups(request: Request) -> Response:
    """List the linked groups."""
    site = await reading(request)
    settings, found = site.limiter.policy.linking, await site.admin.groups()
    return site.page(request, "groups.html", groups=found, linking=settings)


async def group(request: Request) -> Response:
    """Show one linked group: its accounts, and why each belongs to it."""
    site = await reading(request)
    found = await named(site.admin.group(request.path_params["name"]))
    return site.page(request, "group.html", group=found, most=MEMBERS)


def budget_rows(known: Policy) -> Iterator[dict[str, Any]]:
    """Describe each budget of a policy."""
    for budget in known.budgets:
        yield {
            "name": budget.name,
            "limit": limit(budget.quota),
            "unit": budget.quota.unit.value,
            "mode": budget.mode.value,
            "per": " and ".join(budget.per),
            "on_store_error": budget.on_store_error.value,
        }
