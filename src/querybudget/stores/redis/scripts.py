"""The Lua of the store: one operation in each file of `lua/`, and what several of them share.

The operations on accounts are functions of one library, which Redis 7 and Valkey keep (`FUNCTION
LOAD`). Each is a script too, for servers that have no functions or do not let us load any. A
library is named by its digest, so several versions of querybudget may use one server: what they
share is the layout of an account, which has a version (`lua/account.lua`).
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

from querybudget.coverage.group import LIFETIME
from querybudget.ledger import GRACE
from querybudget.ledger.windows import LONGEST_DEBT

PROBATION = 3_600_000
"""ms for which an account is kept after its last call while its caller was never verified."""

_CONSTANTS = {
    "GRACE": GRACE,
    "LIFETIME": LIFETIME,
    "LONGEST_DEBT": LONGEST_DEBT,
    "PROBATION": PROBATION,
}
"""Constants of the ledger in Python that the one in Lua shares."""

_SHARED = ("numbers", "clock", "account", "period", "quota", "windows", "corrections")
_NEEDED = {
    "reserve": _SHARED[:-1],
    "settle": _SHARED,
    "renew": _SHARED[:-1],
    "fold": _SHARED[:3],
    "pardon": _SHARED[:3],
    "read": _SHARED[:2],
}
"""Operations on accounts, and what each needs of `_SHARED`. All take several calls at once."""

_ON_A_FULL_SERVER = {"settle", "read"}
"""Operations that pass when the server's memory is full: they free some, or take none."""


class Script(NamedTuple):
    """An operation.

    Attributes:
        text: Its script.
        digest: By which servers know that.
        function: Its name as a function; empty if it has none, and takes one call at a time.
        library: What has to be loaded for that.
    """

    text: bytes
    digest: bytes
    function: bytes = b""
    library: bytes = b""


def reserve() -> Script:
    """Return the operation that charges all lines or none."""
    return _operation("reserve")


def settle() -> Script:
    """Return the operation that replaces what is held by what was used."""
    return _operation("settle")


def renew() -> Script:
    """Return the operation that holds a reservation for longer."""
    return _operation("renew")


def fold() -> Script:
    """Return the operation that stores a profile."""
    return _operation("fold")


def pardon() -> Script:
    """Return the operation that stores the profile of an account that was pardoned."""
    return _operation("pardon")


def read() -> Script:
    """Return the operation that reads the time and accounts."""
    return _operation("read")


def override() -> Script:
    """Return the script that adds or removes an override, and notes it."""
    return _alone("override", "numbers", "clock")


def overrides() -> Script:
    """Return the script that reads all overrides."""
    return _alone("overrides")


@cache
def _operation(name: str) -> Script:
    text = _text(*_NEEDED[name], name, "batch") + f"return each({name}, KEYS, ARGV)\n"
    library, names = _library()
    return Script(text.encode(), _digest(text), names[name], library)


@cache
def _alone(name: str, *shared: str) -> Script:
    text = _text(*shared, name) + f"return {name}(KEYS, ARGV)\n"
    return Script(text.encode(), _digest(text))


@cache
def _library() -> tuple[bytes, dict[str, bytes]]:
    """Return the library of all operations on accounts, and the names of its functions."""
    text = _text(*_SHARED, *_NEEDED, "batch")
    library = f"querybudget_{_digest(text).decode()[:16]}"
    table = ", ".join(f"{name} = {name}" for name in _NEEDED)
    # While a library is loaded there is no `math` yet, so its first call defines the rest.
    parts = [
        f"#!lua name={library}\n",
        f"local function defined()\n{text}return each, {{ {table} }}\nend\n",
        "local each, operations\n",
    ]
    names = dict[str, bytes]()
    for name in _NEEDED:
        names[name] = f"{library}_{name}".encode()
        flags = "'allow-oom'" if name in _ON_A_FULL_SERVER else ""
        parts.append(
            f"redis.register_function{{function_name='{library}_{name}', flags={{{flags}}},"
            " callback=function(KEYS, ARGV)\nif not each then each, operations = defined() end\n"
            f"return each(operations.{name}, KEYS, ARGV)\nend}}\n"
        )
    return "".join(parts).encode(), names


def _text(*files: str) -> str:
    folder = resources.files("querybudget.stores.redis") / "lua"
    head = "".join(f"local {name} = {value}\n" for name, value in _CONSTANTS.items())
    parts = [head, *((folder / f"{name}.lua").read_text("utf-8") for name in files)]
    return _stripped("\n".join(parts))


def _digest(text: str) -> bytes:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()


def _stripped(text: str) -> str:
    """Return the text without comments and indentation: less to send to a server."""
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("--"))
