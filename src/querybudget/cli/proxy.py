"""`querybudget proxy`: budgets in front of a model server that is no ASGI application."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from querybudget.cli.commands import TOKEN, add_command, add_policy, argument, policy_of
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.asgi.types import ASGIApp, Receive, Scope, Send
    from querybudget.cli.commands import Commands
    from querybudget.policy.model import Policy
    from querybudget.proxy import Upstream

SETTINGS = "QUERYBUDGET_PROXY"
"""The environment variable by which workers learn what the command was given."""


GRACE = 30
"""Seconds that answers which are under way may take when the proxy is told to end."""

LOADING = 60
"""Seconds that a worker may take to load. On a busy machine uvicorn's own 5 would end it again."""


def add_parser(commands: Commands) -> None:
    """Add ``proxy``."""
    parser = add_command(
        commands,
        "proxy",
        "put budgets in front of a model server, such as Ollama or llama.cpp",
        run,
        "querybudget proxy --upstream http://127.0.0.1:11434 --policy policy.yaml",
    )
    parser.add_argument("--upstream", required=True, metavar="URL", help="the model server")
    add_policy(parser, "a policy file (YAML), or preset:NAME")
    _add_listening(parser)
    _add_asking(parser)
    group = parser.add_argument_group("the console")
    group.add_argument(
        "--console",
        metavar="PATH",
        help="a path such as /console, at which the console is; default: none",
    )
    group.add_argument(
        "--token-env",
        metavar="NAME",
        default=TOKEN,
        help="variable with its token; without one it changes nothing; default: %(default)s",
    )


def _add_listening(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("listening")
    group.add_argument("--host", default="127.0.0.1", help="address; default: %(default)s")
    group.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0 for any")
    group.add_argument("--uds", metavar="PATH", help="a Unix socket, instead of a port")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="default: 1")
    group.add_argument("--tls-cert", metavar="FILE", help="certificate, to serve HTTPS")
    group.add_argument("--tls-key", metavar="FILE", help="its private key")
    group.add_argument("--access-log", action="store_true", help="log every request")
    group.add_argument(
        "--grace",
        type=int,
        default=GRACE,
        metavar="N",
        help="seconds that open answers may take when it is told to end; default: %(default)s",
    )
    group.add_argument(
        "--trusted-proxy",
        action="append",
        metavar="NET",
        help="network whose X-Forwarded-* headers are sent on; repeatable. Default: the"
        " `trusted_proxies` of the policy's `client_address`",
    )


def _add_asking(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("asking the model server")
    times = {
        "--connect-timeout": ("10s", "to connect"),
        "--timeout": ("10 minutes", "of silence, before an answer or within it"),
        "--total-timeout": (None, "for an answer in all; default: no end"),
    }
    for name, (default, says) in times.items():
        end = "; default: %(default)s" if default else ""
        group.add_argument(
            name, type=_duration, default=default, metavar="TIME", help=f"time {says}{end}"
        )
    group.add_argument(
        "--connections",
        type=int,
        default=1_000,
        metavar="N",
        help="connections at once, by each worker; default: %(default)s",
    )
    group.add_argument(
        "--keep-host", action="store_true", help="send the caller's Host, not the upstream's"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to end.

    Returns:
        0; 1 if it could not start.

    Raises:
        SetupError: uvicorn is missing, or an argument cannot work.
        PolicyError: The policy is wrong.
    """
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupError(
            "the proxy needs another package: pip install 'querybudget[cli]'"
        ) from None
    from msgspec import json  # noqa: PLC0415 - each command loads its own

    from querybudget.cli.console import allowed_hosts  # noqa: PLC0415
    from querybudget.cli.listening import check_address  # noqa: PLC0415
    from querybudget.policy import load_policy  # noqa: PLC0415
    from querybudget.proxy.upstream import check_upstream  # noqa: PLC0415

    upstream = _upstream(arguments, load_policy(policy_of(arguments)))
    check_upstream(upstream)
    place = _console_place(arguments.console)
    hosts = allowed_hosts(arguments.host, ()) if not arguments.uds else ()
    if not arguments.uds:
        check_address(arguments.host, arguments.port)
    settings = (arguments.policy, upstream, place, arguments.token_env, hosts)
    os.environ[SETTINGS] = json.encode(settings).decode()
    listening = _listening(arguments)
    _log()
    try:
        uvicorn.run("querybudget.cli.proxy:worker_app", factory=True, **listening)
    except SystemExit:  # it could not start, and has logged why
        return 1
    finally:
        del os.environ[SETTINGS]
    return 0


def worker_app() -> ASGIApp:
    """Return the application of one worker, from the environment."""
    from msgspec import json  # noqa: PLC0415

    from querybudget.proxy import Upstream, app  # noqa: PLC0415

    _log()
    settings = json.decode(
        os.environ[SETTINGS], type=tuple[str, Upstream, str, str, tuple[str, ...]]
    )
    policy, upstream, place, variable, hosts = settings
    if not place:
        return app(upstream, policy)
    token = os.environ.get(variable) or None
    # With a token nobody reads without it, and no browser sends a session to another name.
    return _with_console(policy, upstream, place, token, () if token else hosts)


def _with_console(
    policy: str, upstream: Upstream, place: str, token: str | None, hosts: tuple[str, ...]
) -> ASGIApp:
    """Return the proxy, with the console of its limiter at a path of its own."""
    from starlette.routing import Mount, Router  # noqa: PLC0415

    from querybudget import console  # noqa: PLC0415
    from querybudget.admin import LocalAdmin  # noqa: PLC0415
    from querybudget.limiter import Limiter  # noqa: PLC0415
    from querybudget.policy import load_policy  # noqa: PLC0415
    from querybudget.proxy import app  # noqa: PLC0415
    from querybudget.traffic import Recent  # noqa: PLC0415

    recent = Recent()
    limiter = Limiter(load_policy(policy), hooks=[recent])
    admin = LocalAdmin(limiter, recent)
    shown = console.app(limiter, token=token, admin=admin, allowed_hosts=hosts)
    proxied = app(upstream, limiter=limiter)
    router = Router([Mount(place, shown)], redirect_slashes=False, default=proxied)

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        inner: ASGIApp = proxied if scope["type"] == "lifespan" else router
        await inner(scope, receive, send)

    return served


def _console_place(path: str | None) -> str:
    if path is None:
        return ""
    place = path.rstrip("/")
    if not place.startswith("/") or "{" in place:
        raise SetupError(f"expected a path for the console such as /console, found {path!r}")
    return place


def _upstream(arguments: argparse.Namespace, policy: Policy) -> Upstream:
    from querybudget.proxy import Upstream  # noqa: PLC0415
    from querybudget.units import NO_TIME  # noqa: PLC0415

    trusted: list[str] | None = arguments.trusted_proxy
    if trusted is None:
        chain = [resolver for resolver in policy.identity if resolver.kind == "client_address"]
        trusted = [network for resolver in chain for network in resolver.trusted_proxies]
    return Upstream(
        url=arguments.upstream,
        connect=arguments.connect_timeout,
        read=arguments.timeout,
        whole=arguments.total_timeout or NO_TIME,
        connections=arguments.connections,
        keep_host=arguments.keep_host,
        trusted_proxies=tuple(dict.fromkeys(trusted)),
    )


def _listening(arguments: argparse.Namespace) -> dict[str, Any]:
    from querybudget.proxy.tunnel import LARGEST  # noqa: PLC0415
    from querybudget.proxy.upgrades import NAME  # noqa: PLC0415

    return {
        "http": NAME,
        "host": arguments.host,
        "port": arguments.port,
        "uds": arguments.uds,
        "workers": arguments.workers,
        "ssl_certfile": arguments.tls_cert,
        "ssl_keyfile": arguments.tls_key,
        "access_log": arguments.access_log,
        "timeout_graceful_shutdown": arguments.grace,
        "timeout_worker_healthcheck": LOADING,
        "ws_max_size": LARGEST,
        "lifespan": "on",
        "log_config": None,
        # The answers have the model server's own, and the policy says whom to trust.
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
    }


@argument
def _duration(text: str) -> int:
    from querybudget import notation  # noqa: PLC0415

    return notation.duration(text)


def _log() -> None:
    """Log to standard error what this package and uvicorn say."""
    import logging  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("websockets").setLevel(logging.WARNING)
