"""The Lua scripts: one for each operation, assembled from the files of `lua/`.

A script is called by its digest, and sent in full to a server that does not know it. Scripts of two
versions of querybudget may serve the same accounts at once: what they share is the layout of an
account, which has a version (`lua/account.lua`).

Every call creates a script's functions again, so scripts for calls without buckets leave out what
deals with buckets.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

from querybudget.coverage import profile, response
from querybudget.ledger import GRACE
from querybudget.ledger.windows import LONGEST_DEBT

PROBATION = 3_600_000
"""ms for which an account is kept after its last call while its caller was never verified."""

_CONSTANTS = {"GRACE": GRACE, "LONGEST_DEBT": LONGEST_DEBT, "PROBATION": PROBATION}
"""Constants of the ledger in Python that the one in Lua shares."""

_PROFILE_CONSTANTS = {
    "EASE": response.HYSTERESIS,
    "SCORE_EASE": profile.DECAY,
    "FALL": profile.DAY // profile.DECAY,  # µs in which a score falls by a millionth
    "HOUR": profile.HOUR,
    "PERIOD": profile.LIFETIME,
}

_ACCOUNT = ("numbers", "account", "period")
_BUCKETS = ("quota", "buckets", "responses")


class Script(NamedTuple):
    """A script and the digest by which servers know it."""

    text: bytes
    digest: bytes


def reserve(*, seen: bool) -> Script:
    """Return the script that charges all lines or none.

    Args:
        seen: Whether the call has an observation, so that buckets and profiles take part.
    """
    files = (*_BUCKETS, "look") if seen else ("quota",)
    return _script(*_ACCOUNT, *files, "reserve", seen=seen)


def settle(*, seen: bool) -> Script:
    """Return the script that replaces what is held by what was used. `seen`: as for `reserve`."""
    files = (*_BUCKETS, "visits", "profile") if seen else ("quota",)
    return _script(*_ACCOUNT, "clock", *files, "windows", "corrections", "settle", seen=seen)


def renew(*, seen: bool) -> Script:
    """Return the script that holds a reservation for longer. `seen`: as for `reserve`."""
    files = (*_BUCKETS, "visits") if seen else ("quota",)
    return _script(*_ACCOUNT, "clock", *files, "windows", "corrections", "renew", seen=seen)


def read() -> Script:
    """Return the script that reads the time and accounts."""
    return _script("numbers", "clock", "read", seen=False)


def judge() -> Script:
    """Return the script that stores a pool's score."""
    return _script(*_ACCOUNT, "clock", *_BUCKETS, "profile", "judge", seen=True)


@cache
def _script(*files: str, seen: bool) -> Script:
    folder = resources.files("querybudget.stores.redis") / "lua"
    constants = _CONSTANTS | _PROFILE_CONSTANTS if seen else _CONSTANTS
    head = "".join(f"local {name} = {value}\n" for name, value in constants.items())
    head += f"local SEEN = {'true' if seen else 'false'}\n"
    parts = [head, *((folder / f"{name}.lua").read_text("utf-8") for name in files)]
    text = _stripped("\n".join(parts)).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


def _stripped(text: str) -> str:
    """Return the text without comments and indentation: less to send to a server."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))
