"""SGLang's lines about finished requests (``--log-requests``), as text or as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.adapters.base import Usage
from querybudget.traffic.log_reading import Reading, UnrelatedLineError
from querybudget.traffic.log_values import mapping, micros_of, text_of, whole
from querybudget.traffic.record import TrafficRecord
from querybudget.units import SECOND

_LINE = re.compile(
    r"\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[^\]]{0,40}\] (?P<rest>.*)", re.DOTALL
)
_FINISH = "Finish: obj="
_FIGURE = re.compile(
    r"'(prompt_tokens|completion_tokens|cached_tokens|e2e_latency)': (\d{1,18}(?:\.\d{1,9})?)"
)
_ID = re.compile(r"'id': '([^']{1,128})'")
_MOST_NEW = re.compile(r"'max_new_tokens': (\d{1,18})")
_EVENTS = "request."
_FINISHED = "request.finished"
_OUT = ", out={"


def sglang_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line about a finished request. It has the tokens, but no caller.

    Raises:
        UnrelatedLineError: It is about something else.
        ValueError: It is no line of SGLang.
    """
    del reading
    if line.lstrip()[:1] == b"{":
        return _of_json(mapping(msgspec.json.decode(line)))
    found = _LINE.match(line.decode("utf-8", "replace"))
    if found is None:
        raise UnrelatedLineError(own=False)
    rest = found["rest"]
    if not rest.startswith(_FINISH):
        raise UnrelatedLineError(own=True)
    asked, _, answered = rest.rpartition(_OUT)
    figures = {name: float(number) for name, number in _FIGURE.findall(answered)}
    bound, name = _MOST_NEW.search(asked), _ID.search(answered)
    return _record(found["time"], figures, name[1] if name else "", bound[1] if bound else None)


def _of_json(row: Mapping[str, Any]) -> TrafficRecord:
    event = text_of(row.get("event"))
    if not event.startswith(_EVENTS):
        raise ValueError("no line of SGLang")
    if event != _FINISHED:
        raise UnrelatedLineError(own=True)
    asked, answered = mapping(row.get("obj")), mapping(row.get("out"))
    return _record(
        row.get("timestamp"),
        mapping(answered.get("meta_info")),
        text_of(row.get("rid")),
        mapping(asked.get("sampling_params")).get("max_new_tokens"),
    )


def _record(
    time: object, figures: Mapping[str, Any], request_id: str, bound: object
) -> TrafficRecord:
    prompt, lasted = whole(figures.get("prompt_tokens")), figures.get("e2e_latency")
    duration = whole(lasted * SECOND) if isinstance(lasted, int | float) else 0
    return TrafficRecord(
        at=max(0, micros_of(time) - duration),
        identity="anonymous",
        request_id=request_id[:128],
        path="/v1/chat/completions",
        operation="chat",
        max_output=whole(bound) or None,
        usage=Usage(
            prompt,
            cached_input=min(whole(figures.get("cached_tokens")), prompt),
            output=whole(figures.get("completion_tokens")),
        ),
        status=200,
        duration=duration,
    )
