"""Access logs as JSON: of Caddy, Envoy, nginx and Traefik."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.traffic.log_reading import Reading
from querybudget.traffic.log_values import clock_of, first, mapping, micros_of, text_of, whole
from querybudget.traffic.record import TrafficRecord
from querybudget.traffic.row_logs import model_in, plain, used_in
from querybudget.units import SECOND

_STARTS = (
    "StartUTC",
    "start_time",
    "ts",
    "time_iso8601",
    "msec",
    "timestamp",
    "@timestamp",
    "time",
)
_LOCAL = "time_local"
_METHODS = ("RequestMethod", "method", "request_method")
_TARGETS = (
    *("RequestPath", "x-envoy-origin-path", "x_envoy_origin_path", "request_uri", "uri", "path"),
    "url",
)
_STATUSES = ("DownstreamStatus", "response_code", "status", "OriginStatus")
_USERS = ("ClientUsername", "user_id", "remote_user", "who")
_CLIENTS = (
    *("client_ip", "ClientHost", "remote_ip", "remote_addr", "x_forwarded_for", "x-forwarded-for"),
    *("downstream_remote_address", "clientip"),
)
_SIZES = ("RequestContentSize", "bytes_received", "bytes_read", "request_length")
_IDS = ("request_id", "x-request-id", "req_id", "request_X-Request-Id")
_NANOSECONDS = 1_000
_MILLISECONDS = 1_000


def json_access_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line of an access log as JSON.

    Raises:
        ValueError: It is none.
    """
    row = mapping(msgspec.json.decode(line))
    row = {**row, **mapping(row.get("request"))}
    method, target = _asked(row)
    status = whole(first(row, _STATUSES))
    if not method or not target.startswith("/") or not status:
        raise ValueError("no line of an access log: expected a method, a path and a status")
    user = text_of(first(row, _USERS)).strip("-")
    client = text_of(first(row, _CLIENTS)).partition(",")[0]
    kind, name = ("user", user) if user else ("client_address", _host(client))
    duration, named = _duration(row), {plain(name): value for name, value in row.items()}
    return TrafficRecord(
        at=_began(row, duration),
        identity=reading.hashed(kind, name) if name else "anonymous",
        request_id=text_of(first(row, _IDS)).strip("-")[:128],
        method=method[:16],
        path=target.partition("?")[0][:200],
        model=model_in(named),
        input_bytes=whole(first(row, _SIZES)),
        usage=used_in(named),
        status=status,
        duration=duration,
    )


def _asked(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return method and target: nginx may have them in its request line alone."""
    method, target = text_of(first(row, _METHODS)), text_of(first(row, _TARGETS))
    words = text_of(row.get("request")).split()
    if words and not (method and target):
        method, target = words[0], words[1] if words[1:] else ""
    return method, target


def _began(row: Mapping[str, Any], duration: int) -> int:
    """Return when a call began: nginx and Caddy write when it ended."""
    found = first(row, _STARTS)
    if found is None:
        return clock_of(text_of(row.get(_LOCAL)), "%d/%b/%Y:%H:%M:%S %z")
    at = micros_of(found)
    return at if "StartUTC" in row or "start_time" in row else max(0, at - duration)


def _duration(row: Mapping[str, Any]) -> int:
    """Return a duration: of Traefik in ns, of Envoy in ms, of Caddy and nginx in s."""
    if "Duration" in row:
        return whole(row["Duration"]) // _NANOSECONDS
    if "start_time" in row:
        return whole(row.get("duration") or row.get("duration_ms")) * _MILLISECONDS
    try:
        return whole(float(first(row, ("duration", "request_time")) or 0) * SECOND)
    except (TypeError, ValueError, OverflowError):
        return 0


def _host(address: str) -> str:
    """Return an address without its port."""
    host, colon, port = address.rpartition(":")
    bare = colon and port.isdecimal() and (":" not in host or host.endswith("]"))
    return host.strip("[]") if bare else address
