"""Access logs: of nginx, uvicorn, and vLLM's lines about requests."""

from __future__ import annotations

import re

from querybudget.adapters.base import Usage
from querybudget.traffic.log_reading import Reading, UnrelatedLineError
from querybudget.traffic.log_values import clock_of, micros_of, whole
from querybudget.traffic.record import TrafficRecord
from querybudget.units import SECOND

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
_VLLM = re.compile(
    r".{0,100}?INFO (?P<time>\d\d-\d\d \d\d:\d\d:\d\d)(?P<ms>\.\d+)? .{0,100}?"
    r"Received request (?P<id>[^\s:]{1,128}): "
    r"(?:prompt: (?P<prompt>.*), )?params: SamplingParams\((?P<params>[^)]*)"
    r"(?:.*?prompt_token_ids: (?P<tokens>\[[0-9, ]*\]|None))?",
    re.DOTALL,
)
_VLLM_LINE = re.compile(r".{0,100}?(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PARAMETER = re.compile(r"(?<!\w)(n|max_tokens)=(\d{1,18})")


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
        duration=_seconds(more.get("rt", "")),
    )


def uvicorn_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line of uvicorn's access log.

    Raises:
        ValueError: It has another form, or no time, which uvicorn writes only if it is told to.
    """
    before, _, after = _plain(line).partition(' - "')
    client, asked = before.split()[-1:], _UVICORN_ASKED.match(after)
    if asked is None or not client or _UVICORN_CLIENT.fullmatch(client[0]) is None:
        raise ValueError("no line of an access log")
    time = _UVICORN_TIME.match(before)
    if time is None:
        raise ValueError("no time: begin uvicorn's access format with %(asctime)s")
    return TrafficRecord(
        at=micros_of(time[0]),
        identity=reading.hashed("client_address", client[0].rpartition(":")[0]),
        method=asked["method"],
        path=asked["target"].partition("?")[0][:200],
        status=int(asked["status"]),
    )


def vllm_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line that vLLM writes about a request (``--enable-log-requests``).

    It names no caller, no model and no answer; all are one caller's. Newer versions leave out
    the prompt.

    Raises:
        UnrelatedLineError: It is about something else.
        ValueError: It is about a request in a form that is not known.
    """
    text = _plain(line)
    found = _VLLM.match(text)
    if found is None:
        if "Received request" in text:
            raise ValueError("a request in a form that is not known")
        raise UnrelatedLineError(own=_VLLM_LINE.match(text) is not None)
    parameters = {name: int(number) for name, number in _PARAMETER.findall(found["params"])}
    listed, request_id = found["tokens"] or "", found["id"]
    tokens = listed.count(",") + 1 if any(map(str.isdigit, listed)) else 0
    chat = request_id.startswith("chatcmpl")
    moment = clock_of(f"{reading.year}-{found['time']}", "%Y-%m-%d %H:%M:%S")
    return TrafficRecord(
        at=moment + _seconds(f"0{found['ms'] or ''}"),
        identity="anonymous",
        request_id=request_id,
        path="/v1/chat/completions" if chat else "/v1/completions",
        operation="chat" if chat else "completions",
        choices=max(1, parameters.get("n", 1)),
        max_output=parameters.get("max_tokens"),
        input_bytes=0 if tokens else max(0, len((found["prompt"] or "").encode()) - 2),
        input_tokens=tokens,
    )


def _plain(line: bytes) -> str:
    """Return a line of text without the colours that it has on a terminal."""
    return _COLOURS.sub("", line.decode("utf-8", "replace"))


def _seconds(text: str) -> int:
    try:
        return max(0, int(float(text) * SECOND))
    except (ValueError, OverflowError):
        return 0
