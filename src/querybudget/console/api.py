"""The console's JSON API: what `RemoteAdmin` and your own programs speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from querybudget.admin.validation import ACTIONS
from querybudget.console import running
from querybudget.console.access import read_body
from querybudget.console.pages import budget_rows
from querybudget.console.policy_source import policy_source
from querybudget.console.site import OWN, Site, named, site_of
from querybudget.overrides import ANY_BUDGET, Effect, Override
from querybudget.policy.model import Mode
from querybudget.units import MICRO

MOST = 1_000
"""Entries that one answer holds."""

_Body = TypeVar("_Body")
_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Figure = Annotated[int, msgspec.Meta(ge=0, le=10**18)]


class _Change(msgspec.Struct, frozen=True):
    """An override, and what the audit log calls it. The id and the time are made here."""

    account: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    action: str = "override"
    budget: _Text = ANY_BUDGET
    effect: Effect = Effect.LIMIT
    limit: _Figure = 0
    factor: _Figure = MICRO
    amount: Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18)] = 0
    until: _Figure = 0
    by: _Text = ""
    reason: _Text = ""


class _Note(msgspec.Struct, frozen=True):
    """Who makes a change, and why."""

    by: _Text = ""
    reason: _Text = ""


class _Mode(msgspec.Struct, frozen=True):
    mode: Mode
    by: _Text = ""


async def list_accounts(request: Request) -> Response:
    """Return some accounts."""
    site = await _reading(request)
    cursor = request.query_params.get("cursor", "")
    internal = request.query_params.get("internal", "") == "1"
    return _json(await named(site.admin.accounts(cursor, _limit(request), internal=internal)))


async def show_account(request: Request) -> Response:
    """Return one account."""
    site = await _reading(request)
    return _json(await named(site.admin.account(request.path_params["key"])))


async def list_top(request: Request) -> Response:
    """Return the first accounts by something."""
    site = await _reading(request)
    by = request.query_params.get("by", "score")
    return _json(await named(site.surveyor.top(by, _limit(request, 10))))


async def list_overrides(request: Request) -> Response:
    """Return all overrides."""
    site = await _reading(request)
    return _json(await site.admin.overrides())


async def list_groups(request: Request) -> Response:
    """Return the linked groups."""
    site = await _reading(request)
    return _json(await site.admin.groups())


async def show_group(request: Request) -> Response:
    """Return one linked group."""
    site = await _reading(request)
    return _json(await named(site.admin.group(request.path_params["name"])))


async def unlink(request: Request) -> Response:
    """Take an account, or all of a group, out of groups for good."""
    site = await _changing(request)
    note = await _body(request, _Note)
    done = await named(site.admin.unlink(request.path_params["name"], note.by, note.reason))
    site.surveyor.stale()
    return _json({"unlinked": done})


async def relink(request: Request) -> Response:
    """Let an account, or all of a group, be linked again."""
    site = await _changing(request)
    done = await named(site.admin.relink(request.path_params["name"], *_noted(request)))
    site.surveyor.stale()
    return _json({"relinked": done})


async def list_audit(request: Request) -> Response:
    """Return what operators did."""
    site = await _reading(request)
    return _json(await site.admin.audit(_limit(request)))


async def list_calls(request: Request) -> Response:
    """Return the last calls."""
    site = await _reading(request)
    account = request.query_params.get("account", "")
    return _json(await site.admin.recent(_limit(request), account))


async def show_call(request: Request) -> Response:
    """Return one call."""
    site = await _reading(request)
    record = await named(site.admin.find(request.path_params["request_id"]))
    if record is None:
        raise HTTPException(404, f"No call with this request id is remembered. {OWN}")
    return _json(record)


async def show_policy(request: Request) -> Response:
    """Return the policy in use, without secrets."""
    site = await _reading(request)
    known = site.limiter.policy
    shown = {
        "source": known.source,
        "hash": site.limiter.policy_hash,
        "yaml": policy_source(known.source),
        "budgets": [*budget_rows(known)],
    }
    return _json(shown)


async def add_override(request: Request) -> Response:
    """Add an override."""
    site = await _changing(request)
    change = await _body(request, _Change)
    if change.action not in ACTIONS:
        raise HTTPException(400, f"expected an action of {', '.join(ACTIONS)}")
    fields: Mapping[str, Any] = msgspec.structs.asdict(change)
    given = {name: fields[name] for name in Override.__struct_fields__ if name in fields}
    override = Override(id="", **given)
    made = await named(site.admin.change(override, change.action))
    site.surveyor.stale()
    return _json(made, 201)


async def remove_override(request: Request) -> Response:
    """Remove an override."""
    site = await _changing(request)
    if not await site.admin.remove(request.path_params["id"], *_noted(request)):
        raise HTTPException(404, "There is no such override.")
    site.surveyor.stale()
    return _json({"removed": True})


async def pardon(request: Request) -> Response:
    """Take back what an account is suspected of."""
    site = await _changing(request)
    note = await _body(request, _Note)
    done = await named(site.admin.pardon(request.path_params["key"], note.by, note.reason))
    site.surveyor.stale()
    return _json({"pardoned": done})


async def forget(request: Request) -> Response:
    """Erase an account."""
    site = await _changing(request)
    note = await _body(request, _Note)
    erased = await named(site.admin.forget(request.path_params["key"], note.by, note.reason))
    site.surveyor.stale()
    return _json({"forgotten": erased})


async def change_mode(request: Request) -> Response:
    """Enforce a budget, or let it only report."""
    site = await _changing(request)
    site.check_deciding()
    name, body = request.path_params["name"], await _body(request, _Mode)
    change = await running.set_mode(site.limiter, name, body.mode, body.by)
    return _json(change)


async def reload(request: Request) -> Response:
    """Load the policy again from its file."""
    site = await _changing(request)
    site.check_deciding()
    note = await _body(request, _Note)
    change = await running.reload(site.limiter, note.by)
    site.surveyor.stale()
    return _json(change)


async def _reading(request: Request) -> Site:
    site = site_of(request)
    await site.access.check_api(request, change=False)
    return site


async def _changing(request: Request) -> Site:
    site = site_of(request)
    await site.access.check_api(request, change=True)
    return site


def _noted(request: Request) -> tuple[str, str]:
    """Return who makes a change without a body, and why."""
    asked = request.query_params
    return asked.get("by", "")[:200], asked.get("reason", "")[:200]


async def _body(request: Request, kind: type[_Body]) -> _Body:
    body = await read_body(request)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, str(error)) from None
    except RecursionError:
        raise HTTPException(400, "expected fewer values inside each other") from None


def _limit(request: Request, default: int = 100) -> int:
    text = request.query_params.get("limit", "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text)):  # noqa: PLR2004
        raise HTTPException(400, "expected a whole number above 0 as limit")
    return min(int(text), MOST)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
