"""The options in a store's URL: which there are, and which values they take.

redis-py takes any, and fails at its first connection if it does not know one. A URL that can never
work fails the start instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from querybudget.text import listed, nearest

_TRUTHS = {"true", "false", "yes", "no", "y", "n", "t", "f", "on", "off", "1", "0"}
_CHECKS_OF_CERTIFICATES = {"none", "optional", "required"}
_DATABASE = re.compile(r"/?\d*/?")

Check: TypeAlias = Callable[[str], bool]


def _anything(_: str) -> bool:
    return True


def _whole(value: str) -> bool:
    return value.isascii() and value.isdecimal()


def _positive(value: str) -> bool:
    return _whole(value) and int(value) > 0


def _seconds(value: str) -> bool:
    try:
        return 0 < float(value) < math.inf
    except ValueError:
        return False


def _truth(value: str) -> bool:
    return value.lower() in _TRUTHS


def _certificate_check(value: str) -> bool:
    return value in _CHECKS_OF_CERTIFICATES


def _protocol(value: str) -> bool:
    return value in {"2", "3"}


_SERVER: dict[str, Check] = {
    "db": _whole,
    "username": _anything,
    "password": _anything,
    "client_name": _anything,
    "health_check_interval": _whole,
    "max_connections": _positive,
    "protocol": _protocol,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _truth,
    "socket_timeout": _seconds,
}
_TLS: dict[str, Check] = {
    "ssl_ca_certs": _anything,
    "ssl_ca_data": _anything,
    "ssl_ca_path": _anything,
    "ssl_cert_reqs": _certificate_check,
    "ssl_certfile": _anything,
    "ssl_check_hostname": _truth,
    "ssl_ciphers": _anything,
    "ssl_keyfile": _anything,
    "ssl_min_version": _whole,
    "ssl_password": _anything,
}
_FILES = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
_SENTINEL: dict[str, Check] = {
    "db": _whole,
    "sentinel_username": _anything,
    "sentinel_password": _anything,
}
_EXPECTED: dict[Check, str] = {
    _whole: "a whole number",
    _positive: "a whole number above 0",
    _seconds: "seconds above 0",
    _truth: "true or false",
    _certificate_check: "none, optional or required",
    _protocol: "2 or 3",
}
_OURS = {
    "decode_responses": "accounts are bytes",
    "encoding": "accounts are bytes",
    "encoding_errors": "accounts are bytes",
    "legacy_responses": "the store sets it",
    "retry_on_error": "the store tries again by itself",
    "retry_on_timeout": "the store tries again by itself",
    "timeout": "set `timeout` under `store` in the policy",
}
"""Options of redis-py that would change what the store reads, and why to leave them out."""


def check_url(kind: str, rest: str) -> None:
    """Check the database and the options of a URL.

    Args:
        kind: Its scheme, with ``redis`` for ``valkey``.
        rest: What comes behind ``://``.

    Raises:
        ValueError: One is unknown or has a value that it cannot have; its value is not repeated.
    """
    parts = urlsplit(f"//{rest}") if kind != "redis+unix" else urlsplit(rest)
    if kind in {"redis", "rediss"} and not _DATABASE.fullmatch(parts.path):
        raise ValueError("expected the number of a database behind the host, as in `/0`")
    if kind == "redis+cluster" and parts.path.strip("/") not in {"", "0"}:
        raise ValueError("expected no database behind the hosts: a cluster has only number 0")
    known = {
        "redis": _SERVER,
        "rediss": _SERVER | _TLS,
        "redis+unix": _SERVER,
        "redis+sentinel": _SENTINEL,
    }.get(kind, {})
    seen = set[str]()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in seen:
            raise ValueError(f"expected the option `{name}` once, found it twice")
        seen.add(name)
        _check_option(kind, known, name, value)


def _check_option(kind: str, known: dict[str, Check], name: str, value: str) -> None:
    if name in known:
        if not value or not known[name](value):
            expected = _EXPECTED.get(known[name], "a value")
            raise ValueError(f"expected {expected} for the option `{name}`, found another value")
        return
    if name in _OURS:
        raise ValueError(f"leave the option `{name}` out: {_OURS[name]}")
    if name in _TLS and kind == "redis":
        raise ValueError(f"the option `{name}` needs TLS: expected rediss:// before the host")
    if not known:
        raise ValueError(f"expected no options, found `{name}`")
    near = nearest(name, known)
    expected = "a known option" if near else listed(known)
    raise ValueError(f"expected {expected}, found `{name}`{near}")


def files_in(rest: str) -> list[tuple[str, str]]:
    """Return the options of a URL that name files or folders, with those."""
    query = rest.partition("?")[2]
    return [(name, value) for name, value in parse_qsl(query) if name in _FILES]
