"""LiteLLM's spend logs: rows of its table ``LiteLLM_SpendLogs``, as JSON or CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.adapters.base import Usage
from querybudget.traffic.log_reading import Reading
from querybudget.traffic.log_values import first, mapping, micros_of, text_of, whole
from querybudget.traffic.record import TrafficRecord

_OPERATIONS = {
    "completion": ("chat", "/v1/chat/completions"),
    "text_completion": ("completions", "/v1/completions"),
    "embedding": ("embeddings", "/v1/embeddings"),
    "responses": ("responses", "/v1/responses"),
    "anthropic_messages": ("messages", "/v1/messages"),
}
_FAILED = 500


def spend_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a row as JSON.

    Raises:
        ValueError: It is none.
    """
    return spend_row(mapping(msgspec.json.decode(line)), reading)


def spend_row(row: Mapping[str, Any], reading: Reading) -> TrafficRecord:
    """Return the record of a row.

    Raises:
        ValueError: It has no start, or no tokens.
    """
    if "startTime" not in row or "spend" not in row:
        raise ValueError("no row of spend logs: expected `startTime` and `spend`")
    at, kind = micros_of(row["startTime"]), text_of(row.get("call_type"))
    operation, path = _OPERATIONS.get(kind.removeprefix("a"), ("", ""))
    if kind in _OPERATIONS:
        operation, path = _OPERATIONS[kind]
    # The key is a hash already; it is hashed again, so that nobody finds it by LiteLLM's.
    user = text_of(first(row, ("api_key", "user", "end_user")))
    end = first(row, ("endTime",))
    failed = text_of(row.get("status")) == "failure"
    team = text_of(row.get("team_id"))
    usage = Usage(whole(row.get("prompt_tokens")), output=whole(row.get("completion_tokens")))
    return TrafficRecord(
        at=at,
        identity=reading.hashed("api_key", user) if user else "anonymous",
        partitions={"team": f"team:{reading.hashed('team', team)}"} if team else {},
        request_id=text_of(row.get("request_id"))[:128],
        path=path,
        operation=operation,
        model=text_of(first(row, ("model_group", "model")))[:200],
        usage=None if failed else usage,
        status=_FAILED if failed else 200,
        duration=max(0, micros_of(end) - at) if end else 0,
    )
