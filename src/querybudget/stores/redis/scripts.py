"""The Lua scripts: one for each operation, assembled from the files of `lua/`.

A script is called by its digest, and sent in full to a server that does not know it. Scripts of two
versions of querybudget may serve the same accounts at once: what they share is the layout of an
account, which has a version (`lua/account.lua`).
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

_ACCOUNT = ("numbers", "account", "period")


class Script(NamedTuple):
    """A script and the digest by which servers know it."""

    text: bytes
    digest: bytes


def reserve() -> Script:
    """Return the script that charges all lines or none."""
    return _script(*_ACCOUNT, "quota", "reserve")


def settle() -> Script:
    """Return the script that replaces what is held by what was used."""
    return _script(*_ACCOUNT, "clock", "quota", "windows", "corrections", "settle")


def renew() -> Script:
    """Return the script that holds a reservation for longer."""
    return _script(*_ACCOUNT, "clock", "quota", "windows", "corrections", "renew")


def fold() -> Script:
    """Return the script that stores a profile."""
    return _script("numbers", "clock", "account", "fold")


def pardon() -> Script:
    """Return the script that stores the profile of an account that was pardoned."""
    return _script("numbers", "clock", "account", "pardon")


def override() -> Script:
    """Return the script that adds or removes an override, and notes it."""
    return _script("numbers", "clock", "override")


def overrides() -> Script:
    """Return the script that reads all overrides."""
    return _script("overrides")


def read() -> Script:
    """Return the script that reads the time and accounts."""
    return _script("numbers", "clock", "read")


@cache
def _script(*files: str) -> Script:
    folder = resources.files("querybudget.stores.redis") / "lua"
    head = "".join(f"local {name} = {value}\n" for name, value in _CONSTANTS.items())
    parts = [head, *((folder / f"{name}.lua").read_text("utf-8") for name in files)]
    text = _stripped("\n".join(parts)).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


def _stripped(text: str) -> str:
    """Return the text without comments and indentation: less to send to a server."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))
