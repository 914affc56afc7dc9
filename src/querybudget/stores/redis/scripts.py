"""The ledger in Lua, put together from its rooms: one script for each step, one reply for each.

A script is called by its digest, and sent whole where a server does not know it (any more). Two
versions of one may serve the same accounts at once: what they share is the layout of an account,
which has a number (`lua/account.lua`).

What looks at buckets is left out of the scripts for calls that have none: every call makes the
script's functions anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from querybudget.coverage import profile, response
from querybudget.ledger import GRACE
from querybudget.ledger.windows import LONGEST_DEBT

__all__ = ["Script", "judge", "read", "reserve", "settle"]

_CONSTANTS = {"GRACE": GRACE, "LONGEST_DEBT": LONGEST_DEBT}
_OF_PROFILES = {
    "EASE": response.HYSTERESIS,
    "SCORE_EASE": profile.DECAY,
    "FALL": profile.DAY // profile.DECAY,  # µs in which a score falls by a millionth
    "HOUR": profile.HOUR,
    "PERIOD": profile.LIFETIME,
}
"""What the ledger in Lua has in common with the ledger in Python."""

_BUCKETS = ("quota", "buckets", "responses")
_ACCOUNT = ("numbers", "account", "period")


@dataclass(frozen=True, slots=True)
class Script:
    """A script and its digest, by which servers know it."""

    text: bytes
    digest: bytes


def reserve(*, seen: bool) -> Script:
    """Charge all lines or none. `seen`: some of them are of buckets, or accounts are watched."""
    rooms = (*_BUCKETS, "look") if seen else ("quota",)
    return _script(*_ACCOUNT, *rooms, "reserve", seen=seen)


def settle(*, seen: bool) -> Script:
    """Replace what is held by what was used."""
    rooms = (*_BUCKETS, "visits", "profile") if seen else ("quota",)
    return _script(*_ACCOUNT, "clock", *rooms, "windows", "corrections", "settle", seen=seen)


def read() -> Script:
    """The time, and accounts as they are."""
    return _script("numbers", "clock", "read", seen=False)


def judge() -> Script:
    """Note what a pool's sums were found to come to."""
    return _script(*_ACCOUNT, "clock", *_BUCKETS, "profile", "judge", seen=True)


@cache
def _script(*rooms: str, seen: bool) -> Script:
    folder = resources.files("querybudget.stores.redis") / "lua"
    constants = _CONSTANTS | _OF_PROFILES if seen else _CONSTANTS
    head = "".join(f"local {name} = {value}\n" for name, value in constants.items())
    head += f"local SEEN = {'true' if seen else 'false'}\n"
    parts = [head, *((folder / f"{room}.lua").read_text("utf-8") for room in rooms)]
    text = _stripped("\n".join(parts)).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


def _stripped(text: str) -> str:
    """Without comments and indentation: less to send to a server that does not know it."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))
