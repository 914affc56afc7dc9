"""Usage and text in the answers of servers' own APIs, event by event or whole."""

from __future__ import annotations

from querybudget.adapters.answer_totals import AnswerTotals
from querybudget.adapters.base import Call, Meter, Usage
from querybudget.adapters.members import JSON, Json, content_of, fold, folded
from querybudget.adapters.metering import answer_meter
from querybudget.adapters.usage_shapes import added, larger, usage_in, usage_of

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
    read = AnswerReader().read
    return answer_meter(call, content_type, read, read, read)


class AnswerReader:
    """Reads one answer of any form.

    Servers that answer many prompts at once report each one's usage, by an id of its own; later
    figures of one id replace earlier ones.
    """

    __slots__ = ("_reports",)

    def __init__(self) -> None:
        self._reports: dict[str, Usage] = {}

    def read(self, data: bytes, totals: AnswerTotals) -> None:
        """Add one event, one element of an array or a whole body to `totals`."""
        if data.strip() == b"[DONE]":
            totals.complete = True
            return
        document = JSON.decode(data)
        for answer in document if isinstance(document, list) else (document,):
            if isinstance(answer, dict):
                self._add(answer, totals)
            else:
                totals.output_bytes += content_of(answer).size

    def _add(self, answer: dict[str, Json], totals: AnswerTotals) -> None:
        text = content_of({k: v for k, v in answer.items() if fold(k) not in _NO_TEXT})
        totals.output_bytes += text.size
        usage = _usage_of(answer)
        if usage is None:
            return
        name = _id(answer)
        if name in self._reports or len(self._reports) < MAX_ANSWERS:
            self._reports[name] = larger(self._reports.get(name), usage)
        total: Usage | None = None
        for report in self._reports.values():
            total = added(total, report)
        totals.usage = added(Usage(), total or Usage())
        totals.complete = totals.complete or bool(usage.output) or not text.size


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
