"""Logs with one call a row, of any program: members or columns are known by their usual names.

They are what observability tools export (Langfuse, Helicone), and tables that people have written
themselves. Names count without case, spaces and signs: ``startTime`` is ``Start time``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from querybudget.adapters.base import Usage
from querybudget.traffic.api_logs import usage_in
from querybudget.traffic.log_reading import Reading, SumsError
from querybudget.traffic.log_values import first, mapping, micros_of, text_of, whole
from querybudget.traffic.record import TrafficRecord

_STARTS = ("starttime", "requestcreatedat", "createdat", "timestamp", "datetime", "time", "ts")
_ENDS = ("endtime", "responsecreatedat", "completedat")
_WHO = (
    *("apikeyhash", "apikey", "keyid", "apikeyid", "userid", "requestuserid", "heliconeuser"),
    *("user", "customer", "enduser", "username"),
)
_MODELS = ("modelgroup", "model", "modelname", "requestmodel", "responsemodel", "providedmodelname")
_INPUT = ("prompttokens", "inputtokens", "inputusage", "tokensin", "requesttokens")
_OUTPUT = ("completiontokens", "outputtokens", "outputusage", "tokensout", "responsetokens")
_USAGES = ("usage", "usagedetails")
_MILLISECONDS = ("latencyms", "durationms", "delayms", "responsems", "elapsedms")
_IDS = ("requestid", "heliconeid", "traceid", "id")
_PATHS = ("path", "requestpath", "endpoint")
_STATUSES = ("statuscode", "responsestatus", "httpstatus", "status")
_SUMS = frozenset({"nummodelrequests", "apirequests", "totalrequests", "nrequests", "requestcount"})
_SAYS = (*_MODELS, *_INPUT, *_OUTPUT, *_USAGES)


def row_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a row as JSON.

    Raises:
        ValueError: It is none.
    """
    return any_row(mapping(msgspec.json.decode(line)), reading)


def any_row(row: Mapping[str, Any], reading: Reading) -> TrafficRecord:
    """Return the record of a row.

    Raises:
        SumsError: It adds up many calls.
        ValueError: It has no time, or says nothing of a model.
    """
    named = {plain(name): value for name, value in row.items()}
    refuse_sums(named)
    if first(named, _SAYS) is None:
        raise ValueError("no row about a call: expected a model or tokens")
    at = micros_of(first(named, _STARTS))
    end, who = first(named, _ENDS), text_of(first(named, _WHO))
    return TrafficRecord(
        at=at,
        identity=reading.hashed("user", who) if who else "anonymous",
        request_id=text_of(first(named, _IDS))[:128],
        path=text_of(first(named, _PATHS)).partition("?")[0][:200],
        model=model_in(named),
        usage=used_in(named),
        status=whole(first(named, _STATUSES)),
        duration=max(0, micros_of(end) - at) if end else whole(first(named, _MILLISECONDS)) * 1_000,
    )


def plain(name: object) -> str:
    """Return a name without case, spaces and signs."""
    return "".join(filter(str.isalnum, str(name))).lower()


def knows(names: Iterable[str]) -> bool:
    """Return True if a row with these plain names is one about a call, or about many."""
    found = set(names)
    return not found.isdisjoint(_STARTS) and not found.isdisjoint({*_SAYS, *_SUMS})


def refuse_sums(named: Mapping[str, Any]) -> None:
    """Refuse a row, with plain names, that adds up many calls.

    Raises:
        SumsError: It does.
    """
    nested = named.get("results")
    items = cast("list[object]", nested) if isinstance(nested, list) else []
    inner = mapping(next(iter(items), None))
    if not _SUMS.isdisjoint(named) or not _SUMS.isdisjoint(map(plain, inner)):
        raise SumsError


def model_in(named: Mapping[str, Any]) -> str:
    """Return the model of a row with plain names; empty without one."""
    return text_of(first(named, _MODELS))[:200]


def used_in(named: Mapping[str, Any]) -> Usage | None:
    """Return the tokens of a row with plain names; None without any."""
    prompt, answer = first(named, _INPUT), first(named, _OUTPUT)
    if prompt is not None or answer is not None:
        return Usage(whole(prompt), output=whole(answer))
    nested = mapping(first(named, _USAGES))
    if "input" in nested or "output" in nested:
        return Usage(whole(nested.get("input")), output=whole(nested.get("output")))
    return usage_in(nested)
