"""Usage and text in the answers of servers' own APIs, event by event or whole."""

from __future__ import annotations

from msgspec.structs import astuple

from querybudget.adapters.answer_totals import AnswerTotals
from querybudget.adapters.base import Call, Meter, Usage
from querybudget.adapters.lax import Json
from querybudget.adapters.members import JSON, content_of, fold, folded
from querybudget.adapters.metering import answer_meter
from querybudget.adapters.usage_shapes import token_ids_in, usage_in, usage_of
from querybudget.adapters.usage_sums import added, larger

MAX_ANSWERS = 1024
"""Answers of one call whose usage is kept apart."""

_NO_TEXT = frozenset(
    {
        "amazonbedrockinvocationmetrics",
        "citationmetadata",
        "context",
        "details",
        "error",
        "eventtype",
        "generationsettings",
        "groundingmetadata",
        "logprobs",
        "meta",
        "metainfo",
        "prompt",
        "promptfeedback",
        "safetyratings",
        "status",
        "timings",
        "toptokens",
        "usage",
        "usagemetadata",
    }
)
"""Members of an answer that hold no generated text; llama.cpp repeats the prompt in one."""


def native_meter(call: Call, content_type: str) -> Meter:
    """Return a meter for an answer of any server's own API."""
    return answer_meter(call, content_type, read_native, read_native, read_native)


def read_native(data: bytes, totals: AnswerTotals) -> None:
    """Add one event, one element of an array or a whole body to `totals`.

    Servers that answer many prompts at once report each one's usage, by an id of its own; later
    figures of one id replace earlier ones.
    """
    if data.strip() == b"[DONE]":
        totals.complete = True
        return
    document = JSON.decode(data)
    for answer in document if isinstance(document, list) else (document,):
        if isinstance(answer, dict):
            _add(answer, totals)
        else:
            totals.output_bytes += content_of(answer).size


def _add(answer: dict[str, Json], totals: AnswerTotals) -> None:
    text = content_of({k: v for k, v in answer.items() if fold(k) not in _NO_TEXT})
    totals.output_bytes += text.size
    totals.token_ids += token_ids_in(answer)
    usage = _usage_of(answer)
    if usage is None and totals.token_ids:
        usage = Usage(output=totals.token_ids)
    if usage is None:
        return
    name = hash(_id(answer))
    before = totals.parts.get(name)
    if before is None and len(totals.parts) >= MAX_ANSWERS:
        name = hash("")
        before = totals.parts.get(name)
    now = totals.parts[name] = larger(before, usage)
    totals.usage = _replaced(totals.usage or Usage(), before or Usage(), now)
    totals.complete = totals.complete or bool(usage.output) or not text.size


def _replaced(total: Usage, before: Usage, now: Usage) -> Usage:
    """Return a sum of reports in which one has grown from `before` to `now`, as a new object."""
    three = zip(astuple(total), astuple(before), astuple(now), strict=True)
    return Usage(*[whole - old + new for whole, old, new in three])


def _usage_of(answer: dict[str, Json]) -> Usage | None:
    usage = usage_in(answer)
    for details in folded(answer).get("details", ()):
        # TGI reports the answers of best_of that it does not return.
        for other in folded(details).get("bestofsequences", ()):
            for report in other if isinstance(other, list) else ():
                if isinstance(report, dict) and (more := usage_of(report)) is not None:
                    usage = added(usage, Usage(output=more.output))
    return usage


def _id(answer: dict[str, Json]) -> str:
    """Return what tells one of many answers from the others; empty for a single one."""
    members = folded(answer)
    for meta in members.get("metainfo", ()):
        for name in folded(meta).get("id", ()):
            return str(name)[:100]
    index = members.get("index", [""])[0]
    return str(index)[:100] if "tokensevaluated" in members else ""
