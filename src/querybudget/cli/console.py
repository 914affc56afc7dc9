"""`querybudget console`: the console of a store that several processes share."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from querybudget.cli.commands import TOKEN, add_command, add_policy, policy_of
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from querybudget.cli.commands import Commands
    from querybudget.policy.model import Policy

HOST, PORT = "127.0.0.1", 8_321
HIGHEST_PORT = 65_535
OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")

NOTE = """\
The console shows and changes what is in the policy's store, so the policy must name a store that
several processes share (redis://, sqlite:///), and the secret that the servers use. Mount the
console in the server itself to see calls as they are decided, or for accounts in memory.
"""


def add_parser(commands: Commands) -> None:
    """Add the command's arguments."""
    example = "querybudget console --policy policy.yaml --token-env CONSOLE_TOKEN"
    says = "serve the console of a shared store"
    parser = add_command(commands, "console", says, run, example)
    parser.epilog = f"{parser.epilog}\n\n{NOTE}"
    add_policy(parser, "the policy that the servers use")
    parser.add_argument("--host", default=HOST, help="address to listen on; default: %(default)s")
    parser.add_argument(
        "--port", default=PORT, type=_port, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--token-env",
        metavar="NAME",
        help=f"variable with the token; by default {TOKEN}. Without a token the console"
        " is read-only",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which browsers may ask for it; repeatable. Default: any, or"
        " those of this machine if it listens on a loopback address",
    )
    parser.add_argument(
        "--public-read", action="store_true", help="let everybody read although there is a token"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve the console until it is stopped.

    Raises:
        PolicyError: The policy is wrong.
        SetupError: An extra is missing, there is no token where one was named, or the store is not
            shared.
    """
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupError(
            "`querybudget console` needs uvicorn: pip install 'querybudget[cli,console]'"
        ) from None
    from querybudget.cli.listening import check_address  # noqa: PLC0415 - as each loads its own
    from querybudget.cli.operator import without_functions  # noqa: PLC0415
    from querybudget.policy import load_policy  # noqa: PLC0415

    token = _token(arguments.token_env)
    check_address(arguments.host, arguments.port)
    app = shared_console(
        without_functions(load_policy(policy_of(arguments))),
        token,
        public_read=arguments.public_read,
        allowed_hosts=allowed_hosts(arguments.host, arguments.allowed_host),
    )
    place = f"http://{arguments.host}:{arguments.port}/"
    print(f"console at {place}{'' if token else ' (read-only: there is no token)'}", flush=True)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning")
    return 0


def allowed_hosts(listening: str, named: Sequence[str]) -> tuple[str, ...]:
    """Return the names under which a console answers that listens on an address.

    On a loopback address these are the machine's own, and those that were named: no site can then
    read it by a name of its own that leads there. Otherwise the named ones, or any.
    """
    try:
        loopback = ipaddress.ip_address(listening).is_loopback
    except ValueError:
        loopback = listening == "localhost"
    own = (*OWN_NAMES, f"[{listening}]" if ":" in listening else listening) if loopback else ()
    return tuple(dict.fromkeys((*own, *named)))


def shared_console(
    policy: Policy,
    token: str | None,
    *,
    public_read: bool = False,
    allowed_hosts: Sequence[str] = (),
) -> Starlette:
    """Return the console of a policy's store.

    Raises:
        SetupError: The store keeps accounts in one process, or the token is too short.
    """
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.routing import Mount  # noqa: PLC0415

    from querybudget import console  # noqa: PLC0415
    from querybudget.backends import SCHEMES  # noqa: PLC0415
    from querybudget.limiter import Limiter  # noqa: PLC0415

    scheme = policy.store.url.partition("://")[0]
    guarantees = SCHEMES.get(scheme)
    if guarantees is not None and guarantees.reach == "process":
        raise SetupError(
            f"expected a policy whose store several processes share, found {scheme}://: mount the"
            " console in the server instead (`app.mount('/console', console.app(limiter))`)"
        )
    if not policy.secret:
        print(
            "querybudget: warning: the policy has no `secret`, so callers cannot be named here and"
            " cells are not those of the servers",
            file=sys.stderr,
        )
    limiter = Limiter(policy)
    app = console.app(
        limiter,
        token=token,
        public_read=public_read,
        deciding=False,
        allowed_hosts=allowed_hosts,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with limiter:
            limiter.feed.wake(limiter.clock())  # no call does
            yield

    return Starlette(routes=[Mount("/", app)], lifespan=lifespan)


def _token(variable: str | None) -> str | None:
    token = os.environ.get(variable or TOKEN)
    if variable and not token:
        raise SetupError(f"expected the console's token in the variable {variable}, found nothing")
    return token or None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, found {text!r}")
    return int(text)
