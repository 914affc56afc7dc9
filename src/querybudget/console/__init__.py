"""The console: a Starlette application that shows what the limiter does, and changes it.

    from querybudget import Limiter, QueryBudgetMiddleware, console, load_policy

    recent = Recent()
    limiter = Limiter(load_policy("policy.yaml"), hooks=[recent])
    app.add_middleware(QueryBudgetMiddleware, limiter=limiter)
    app.mount("/console", console.app(limiter, token=os.environ["CONSOLE_TOKEN"], recent=recent))

Its pages are made on the server and can be read without JavaScript. To change something takes the
token. Without one the console is read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from querybudget.admin import Admin, LocalAdmin, RecentCalls
from querybudget.limiter import Limiter

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["app"]


def app(
    limiter: Limiter,
    *,
    token: str | None = None,
    public_read: bool = False,
    recent: RecentCalls | None = None,
    title: str = "querybudget",
    admin: Admin | None = None,
    deciding: bool = True,
    allowed_hosts: Sequence[str] = (),
) -> Starlette:
    """Return the console of a limiter, to be mounted at any path or served by itself.

    Args:
        limiter: The limiter that the middleware uses.
        token: What people log in with, and programs send as bearer token; at least 16 characters.
            None for a console that can be read by everybody and changes nothing.
        public_read: Whether everybody may read, although there is a token.
        recent: Remembers the last calls, and is one of the limiter's hooks; without it the console
            shows no calls.
        title: Its name on every page.
        admin: What is shown and changed; by default, what the limiter's own store keeps.
        deciding: Whether the limiter decides calls. If not, as where it only knows the policy and
            the store of other processes, there are no modes to switch and no policy to load.
        allowed_hosts: Names under which it answers, as in ``Host`` without the port; by
            default any.

    Raises:
        SetupError: jinja2 is not installed, or the token is too short.
    """
    from querybudget.console.access import Access  # noqa: PLC0415 - its libraries are an extra
    from querybudget.console.application import console_of  # noqa: PLC0415
    from querybudget.console.site import Site  # noqa: PLC0415

    access = Access(token, limiter, public_read=public_read)
    admin = admin or LocalAdmin(limiter, recent)
    return console_of(Site(limiter, admin, access, title=title, deciding=deciding), allowed_hosts)
