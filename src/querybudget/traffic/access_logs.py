"""Access logs as text: those of nginx and uvicorn."""

from __future__ import annotations

import re

from querybudget.adapters.base import Usage
from querybudget.traffic.log_reading import NoTimeError, Reading
from querybudget.traffic.log_values import clock_of, micros_of, seconds_of, whole, without_colours
from querybudget.traffic.record import TrafficRecord

_NGINX = re.compile(
    r"(?P<address>\S+) \S+ (?P<user>[^\[]*?) \[(?P<time>[^\]]{20,32})\] "
    r'"(?P<method>[A-Z]{3,7}) (?P<target>[^" ]+)(?: [^"]*)?" '
    r"(?P<status>\d{3}) (?:\d+|-)(?P<rest>.*)"
)
_MORE = re.compile(r' (rt|id|who|model|in|out|length)=(?:"([^"]*)"|(\S*))')
_UVICORN_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*")
_UVICORN_CLIENT = re.compile(r"[0-9A-Fa-f.:\[\]]+:\d+")
_UVICORN_ASKED = re.compile(
    r'(?P<method>[A-Z]{3,7}) (?P<target>[^" ]+)(?: [^"]*)?" (?P<status>\d{3})(?!\d)'
)


def nginx_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line in nginx's combined format, and the members of ours beside it.

    Raises:
        ValueError: It has another form.
    """
    found = _NGINX.match(line.decode("utf-8", "replace").rstrip())
    if found is None:
        raise ValueError("no line of an access log")
    more = {name: quoted or plain for name, quoted, plain in _MORE.findall(found["rest"])}
    user = "" if found["user"] == "-" else found["user"]
    who = more.get("who", "").strip("-") or user
    kind, name = ("user", who) if who else ("client_address", found["address"])
    usage = Usage(whole(more.get("in")), output=whole(more.get("out")))
    return TrafficRecord(
        at=clock_of(found["time"], "%d/%b/%Y:%H:%M:%S %z"),
        identity=reading.hashed(kind, name),
        request_id=more.get("id", "").strip("-")[:128],
        method=found["method"],
        path=found["target"].partition("?")[0][:200],
        model=more.get("model", "").strip("-")[:200],
        input_bytes=whole(more.get("length")),
        usage=usage if usage.input or usage.output else None,
        status=int(found["status"]),
        duration=seconds_of(more.get("rt", "")),
    )


def uvicorn_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line of uvicorn's access log.

    Raises:
        NoTimeError: It has no time, which uvicorn writes only if it is told to.
        ValueError: It has another form.
    """
    before, _, after = without_colours(line).partition(' - "')
    client, asked = before.split()[-1:], _UVICORN_ASKED.match(after)
    if asked is None or not client or _UVICORN_CLIENT.fullmatch(client[0]) is None:
        raise ValueError("no line of an access log")
    time = _UVICORN_TIME.match(before)
    if time is None:
        raise NoTimeError("no time: begin uvicorn's access format with %(asctime)s")
    return TrafficRecord(
        at=micros_of(time[0]),
        identity=reading.hashed("client_address", client[0].rpartition(":")[0]),
        method=asked["method"],
        path=asked["target"].partition("?")[0][:200],
        status=int(asked["status"]),
    )
