"""What servers, and the proxies in front of them, may take a request's path for.

A path that a server routes as it stands is *plain*: segments of ordinary characters, none of them
``.`` or ``..``. Receivers disagree about all others. httpx and browsers fold dot segments, some
before and some after decoding ``%2e``; nginx merges slashes; Java servers drop ``;parameters``;
.NET and browsers read a backslash as a slash; a URL that is put together from a decoded path ends
at its first ``?`` or ``#``, loses its line breaks, and names a host after ``//``. So such a path
has several readings, and whoever decides by the path looks at each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

LONGEST_KEY = 200
"""Paths longer than this are not cached."""

LONGEST_READ = 1024
"""A longer path, if it is not plain, has only its normal form besides: `is_too_long` says so."""

LONGEST = 16 * 1024
"""No path is longer: servers have limits of 8 KiB (nginx) to 64 KiB."""

DECODINGS = 3
"""Times that a path is decoded beyond what the server has decoded: each proxy may do so once. One
that could be decoded further is not read: `is_too_long` says so."""

_PLAIN = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[\w.~!$&'()*+,=:@-]+)*/?", re.ASCII)
_END = re.compile(r"[?#]")
_PARAMETERS = re.compile(r";[^/]*")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]")
_ORIGIN = re.compile(r"\A(?:[A-Za-z][A-Za-z0-9+.-]*:/{2,}[^/]*|//[^/]*)")


def _without_origin(path: str) -> str:
    return _ORIGIN.sub("", path)


def _without_query(path: str) -> str:
    return _END.split(path, maxsplit=1)[0]


def _without_controls(path: str) -> str:
    return _UNSEEN.sub("", path)


def _with_slashes(path: str) -> str:
    return path.replace("\\", "/")


def _without_parameters(path: str) -> str:
    return _PARAMETERS.sub("", path)


_STEPS: tuple[Callable[[str], str], ...] = (
    _without_origin,
    _without_query,
    _without_controls,
    _with_slashes,
    _without_parameters,
)
"""What some receivers do to a path and others do not."""


def is_plain(path: str) -> bool:
    """Return True if every receiver reads a decoded path alike. One slash at its end is allowed."""
    return _cached(path) if len(path) <= LONGEST_KEY else _is_plain(path)


def _is_plain(path: str) -> bool:
    return _PLAIN.fullmatch(path) is not None


_cached = lru_cache(maxsize=4096)(_is_plain)


def is_too_long(path: str) -> bool:
    """Return True if a path is too long, or may be read in more ways than are looked at."""
    if len(path) > LONGEST or is_plain(path):
        return len(path) > LONGEST
    if len(path) > LONGEST_READ:
        return True
    last = _without_controls(_decoded(path, path)[-1])
    return unquote(last) != last


def readings(path: str, raw: str = "") -> tuple[str, ...]:
    """Return what a path may be taken for, each once; the path itself comes first.

    Args:
        path: As the server has decoded it.
        raw: As it was sent; empty if that is not known.
    """
    if is_plain(path):
        return (path,)
    if len(path) > LONGEST_READ:
        return tuple(dict.fromkeys((path, normal(path))))
    texts = dict.fromkeys(_decoded(raw or path, path))
    for step in _STEPS:
        texts = dict.fromkeys([*texts, *map(step, texts)])
    found = dict.fromkeys((path,))
    for text in texts:
        folded = _folded(text)
        found.update(dict.fromkeys((_merged(text), folded, _merged(folded))))
    return tuple(found)


def normal(path: str) -> str:
    """Return the normal form of a path: decoded and folded, without what some receivers drop.

    A plain path is its own normal form, but for a slash at its end.
    """
    text = _decoded(path, path)[-1]
    for step in _STEPS:
        text = step(text)
    return _merged(text)


def _decoded(raw: str, path: str) -> list[str]:
    """Return a path as sent, as the server decoded it, and decoded further.

    What drops control characters may do so before it decodes, and they may stand within an escape.
    So the path is decoded with and without them. The last is the one without.
    """
    found, bare = [raw, path], path
    for _ in range(DECODINGS):
        path, bare = unquote(path), unquote(_without_controls(bare))
        found += (path, bare)
    return found


def _folded(path: str) -> str:
    """Fold dot segments as RFC 3986 does (section 5.2.4): an empty segment counts as one."""
    folded: list[str] = []
    for segment in path.lstrip("/").split("/"):
        if segment == "..":
            del folded[-1:]
        elif segment != ".":
            folded.append(segment)
    return "/" + "/".join(folded).rstrip("/")


def _merged(path: str) -> str:
    """Merge repeated slashes, then fold dot segments, as nginx does."""
    folded: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del folded[-1:]
        elif segment not in {"", "."}:
            folded.append(segment)
    return "/" + "/".join(folded)
