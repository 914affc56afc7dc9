"""LiteLLM's spend logs: rows of its table ``LiteLLM_SpendLogs``, as JSON or CSV.

Its callbacks write the same to S3 and other places, with ``response_cost`` instead of ``spend``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.adapters.base import Call, Usage
from querybudget.traffic.api_logs import call_of, texts_of, usage_in
from querybudget.traffic.log_reading import Reading, SumsError
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


def is_spend(row: Mapping[str, Any]) -> bool:
    """Return True if a row is one of spend logs, or of what callbacks of LiteLLM write."""
    return "startTime" in row and ("spend" in row or "response_cost" in row)


def spend_row(row: Mapping[str, Any], reading: Reading) -> TrafficRecord:
    """Return the record of a row.

    Raises:
        SumsError: It adds up the calls of a day.
        ValueError: It is no such row, or has no time.
    """
    if not is_spend(row):
        raise ValueError("no row of spend logs: expected `startTime` and `spend`")
    if "users" in row and "models" in row and "request_id" not in row:
        raise SumsError
    at, kind = micros_of(row["startTime"]), text_of(row.get("call_type"))
    operation, path = _OPERATIONS.get(kind) or _OPERATIONS.get(kind.removeprefix("a"), ("", ""))
    metadata = mapping(row.get("metadata"))
    # The key is a hash already; it is hashed again, so that nobody finds it by LiteLLM's.
    key = first(row, ("api_key",)) or first(metadata, ("user_api_key_hash", "user_api_key"))
    user = text_of(key) or text_of(first(row, ("user", "end_user")))
    team = text_of(first(row, ("team_id",)) or metadata.get("user_api_key_team_id"))
    end, failed = first(row, ("endTime",)), text_of(row.get("status")) == "failure"
    call = _call(row, path)
    return TrafficRecord(
        at=at,
        identity=reading.hashed("api_key", user) if user else "anonymous",
        partitions={"team": f"team:{reading.hashed('team', team)}"} if team else {},
        request_id=text_of(first(row, ("request_id", "id")))[:128],
        path=path,
        operation=operation,
        model=text_of(first(row, ("model_group", "model")))[:200],
        max_output=call.max_output,
        input_bytes=call.input_bytes,
        usage=None if failed else _used(row, metadata),
        status=_FAILED if failed else 200,
        duration=max(0, micros_of(end) - at) if end else 0,
        texts=texts_of(call) if reading.prompts else (),
    )


def _used(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> Usage:
    """Return the tokens used: newer versions say in the metadata what was cached."""
    usage = usage_in(metadata.get("usage_object"))
    return usage or Usage(
        whole(row.get("prompt_tokens")), output=whole(row.get("completion_tokens"))
    )


def _call(row: Mapping[str, Any], path: str) -> Call:
    """Return what was asked, which is there with `store_prompts_in_spend_logs` alone."""
    asked = {**mapping(row.get("model_parameters")), **mapping(row.get("proxy_server_request"))}
    if not asked.get("messages") and isinstance(row.get("messages"), list):
        asked["messages"] = row["messages"]
    return call_of(path, asked if asked.get("messages") else {})
