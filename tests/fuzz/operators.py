"""Promises of what operators read from files, and of what the proxy sends on."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from querybudget.errors import PolicyError, SetupError
from querybudget.identity.networks import Networks
from querybudget.policy.load import load
from querybudget.policy.override_words import Known, read_overrides
from querybudget.proxy.hops import request_headers, target_of
from querybudget.traffic import Problem, TrafficRecord, read
from querybudget.traffic.read import FORMATS
from tests.fuzz.pieces import Pieces

_POLICY = load(
    {
        "version": 1,
        "secret": "sixteen or more bytes",
        "identity": ["api_key"],
        "partitions": {"team": {"claim": "team"}},
        "budgets": [{"name": "a", "limit": "1 request/day"}],
    },
    environ={},
)
_KNOWN = Known({"a": _POLICY.budgets[0].quota.unit}, _POLICY.identity, _POLICY.partitions)
_FORMATS: tuple[Any, ...] = (None, *FORMATS)
_SECRET = bytes(32)
_NOBODY = Networks(())
_ESCAPES = re.compile(rb"[/\\;]\.\.(?:[/\\;]|$)").search


@cache
def _folder() -> Path:
    """Return this process's folder. One for each input took most of the time."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def overrides(data: bytes) -> None:
    """A file of overrides is read, or an error says where it is wrong."""
    pieces = Pieces(data)
    name = pieces.choice(("a.yaml", "a.json", "a.csv"))
    path = _folder() / name
    path.write_bytes(pieces.rest())
    try:
        read_overrides(str(path), _KNOWN)
    except PolicyError as error:
        found = error
    else:
        return
    assert found.problems


def logs(data: bytes) -> None:
    """Each line of a log is a record, a problem or unrelated; or the file is said to be none."""
    pieces = Pieces(data)
    format_, prompts = pieces.choice(_FORMATS), pieces.number() % 2 == 1
    path = _folder() / "log"
    path.write_bytes(pieces.rest())
    try:
        found = list(read(path, format_, secret=_SECRET, prompts=prompts))
    except SetupError as error:
        assert str(path) in str(error)  # noqa: PT017 - what the promise asks of an error
        return
    assert len(found) <= len(data) + 1
    for each in found:
        assert isinstance(each, TrafficRecord | Problem)
        assert not isinstance(each, Problem) or each.line >= 0


def forwarding(data: bytes) -> None:
    """The proxy sends a path within the upstream's own, and no field that only a proxy may set."""
    *lines, path = Pieces(data).lines()
    fields = [line.partition(b":") for line in lines]
    scope = {
        "type": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": b"",
        "headers": [(name.lower(), value) for name, _, value in fields],
        "client": ("192.0.2.1", 1),
        "scheme": "http",
    }
    target = target_of(scope, b"/own")
    if target is not None:
        assert target.startswith(b"/own/")
        assert not _ESCAPES(unquote_to_bytes(unquote_to_bytes(target)))
    names = [name.replace(b"_", b"-") for name, _ in request_headers(scope, b"host", _NOBODY)]
    assert names.count(b"host") == 1
    assert not {b"x-forwarded-user", b"connection", b"proxy-authorization"} & {*names}
