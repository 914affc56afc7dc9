"""The console as one Starlette application."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from querybudget.console import account_pages, api, changes, live, pages
from querybudget.console.shield import Shield
from querybudget.console.site import SeveralAccounts, Site, site_of
from querybudget.errors import PolicyError, QueryBudgetError, SetupError, StoreError

_FORMS = ("GET", "POST")
_STATIC = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def console_of(site: Site, hosts: Sequence[str] = ()) -> Starlette:
    """Return the application of a console that answers under some names; empty for any."""
    console = Starlette(
        routes=_routes(),
        middleware=[Middleware(Shield, hosts=hosts)],
        exception_handlers={
            HTTPException: _problem,
            QueryBudgetError: _problem,
        },
    )
    console.state.site = site
    return console


def _routes() -> list[BaseRoute]:
    return [
        Route("/", pages.overview),
        Route("/accounts", account_pages.accounts),
        Route("/caller", account_pages.find_caller, methods=["POST"]),
        Route("/accounts/{key:path}/change", changes.change_account, methods=["POST"]),
        Route("/accounts/{key:path}/pardon", changes.pardon, methods=["POST"]),
        Route("/accounts/{key:path}/forget", account_pages.confirm_forget),
        Route("/accounts/{key:path}/forget", changes.forget, methods=["POST"]),
        Route("/accounts/{key:path}", account_pages.account),
        Route("/calls", pages.calls),
        Route("/calls/stream", live.rows),
        Route("/call", pages.call),
        Route("/calls/{request_id:path}", pages.call),
        Route("/policy", pages.policy),
        Route("/policy/reload", changes.reload, methods=_FORMS),
        Route("/budgets/{name:path}/mode", changes.change_mode, methods=["POST"]),
        Route("/overrides", pages.overrides),
        Route("/overrides/{id:path}/remove", changes.remove_override, methods=["POST"]),
        Route("/groups", pages.groups),
        Route("/groups/{name:path}", pages.group),
        Route("/unlink/{name:path}", changes.unlink, methods=["POST"]),
        Route("/relink/{name:path}", changes.relink, methods=["POST"]),
        Route("/audit", pages.audit),
        Route("/login", changes.log_in, methods=_FORMS),
        Route("/logout", changes.log_out, methods=["POST"]),
        Route("/static/{name}", _static),
        *_api(),
    ]


def _api() -> list[BaseRoute]:
    return [
        Route("/api/accounts", api.list_accounts),
        Route("/api/accounts/{key:path}/pardon", api.pardon, methods=["POST"]),
        Route("/api/accounts/{key:path}/forget", api.forget, methods=["POST"]),
        Route("/api/accounts/{key:path}", api.show_account),
        Route("/api/top", api.list_top),
        Route("/api/overrides", api.list_overrides),
        Route("/api/overrides", api.add_override, methods=["POST"]),
        Route("/api/overrides/{id:path}", api.remove_override, methods=["DELETE"]),
        Route("/api/groups", api.list_groups),
        Route("/api/groups/{name:path}", api.show_group),
        Route("/api/unlink/{name:path}", api.unlink, methods=["POST"]),
        Route("/api/unlink/{name:path}", api.relink, methods=["DELETE"]),
        Route("/api/audit", api.list_audit),
        Route("/api/calls", api.list_calls),
        Route("/api/calls/{request_id:path}", api.show_call),
        Route("/api/events", live.events),
        Route("/api/policy", api.show_policy),
        Route("/api/reload", api.reload, methods=["POST"]),
        Route("/api/budgets/{name:path}/mode", api.change_mode, methods=["POST"]),
    ]


async def _static(request: Request) -> Response:
    """Return the stylesheet, the script or the icon: there is nothing else."""
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404, "There is no such file.")
    text = files("querybudget.console").joinpath("static", name).read_text("utf-8")
    return Response(text, media_type=_STATIC[name])


async def _problem(request: Request, error: Exception) -> Response:
    """Say what is wrong, as JSON below ``api/`` and as a page elsewhere."""
    status, words, headers = _said(error)
    if 300 <= status < 400:  # noqa: PLR2004 - where to go instead
        return Response(status_code=status, headers=headers)
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if path.startswith("/api/"):
        said: dict[str, object] = {"error": words}
        if isinstance(error, SeveralAccounts):
            said["several"] = True
        return Response(msgspec.json.encode(said), status, headers, media_type="application/json")
    page = site_of(request).page(request, "problem.html", status, problem=words, status=status)
    page.headers.update(headers)
    return page


def _said(error: Exception) -> tuple[int, str, dict[str, str]]:
    match error:
        case HTTPException():
            return error.status_code, error.detail, dict(error.headers or {})
        case StoreError():
            return 503, f"The store does not answer: {error}", {"retry-after": "5"}
        case PolicyError():
            return 400, str(error), {}
        case SetupError():
            return 409, str(error), {}
        case _:
            return 500, "Something went wrong.", {}
