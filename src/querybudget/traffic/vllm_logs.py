"""vLLM's lines about requests (``--enable-log-requests``)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from querybudget.traffic.log_reading import Reading, UnrelatedLineError
from querybudget.traffic.log_values import clock_of, seconds_of, without_colours
from querybudget.traffic.record import TrafficRecord
from querybudget.units import SECOND

_REQUEST = re.compile(
    r"(?P<before>.{0,100}?)INFO (?P<time>\d\d-\d\d \d\d:\d\d:\d\d)(?P<ms>\.\d+)? .{0,100}?"
    r"Received request (?P<id>[^\s:]{1,128}): "
    r"(?:prompt: (?P<prompt>.*), )?params: (?P<kind>Sampling|Pooling|BeamSearch)Params"
    r"(?P<params>\(.*?)(?:, prompt_token_ids: (?P<tokens>\[[0-9, ]*\]|None).*)?$",
    re.DOTALL,
)
_LINE = re.compile(r".{0,100}?(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d")
_YEAR = re.compile(r"\s*(\d{4})-\d\d-\d\d[T ]")
_PARAMETER = re.compile(r"(?<!\w)(n|max_tokens)=(\d{1,18})")
_PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "responses": "/v1/responses",
}
_BEGINNINGS = {"chatcmpl": "chat", "cmpl": "completions", "embd": "embeddings", "resp": "responses"}
_DAY, _HALF_A_YEAR = 86_400 * SECOND, 183 * 86_400 * SECOND


class VllmLines:
    """Reads lines in their order. Their times have no year: one far back begins the next year."""

    def __init__(self) -> None:
        self._year = 0
        self._last = 0

    def __call__(self, line: bytes, reading: Reading) -> TrafficRecord:
        """Return the record of a line about a request.

        It names no caller, no model and no answer; all are one caller's. Newer versions leave out
        the prompt.

        Raises:
            UnrelatedLineError: It is about something else.
            ValueError: It is about a request in a form that is not known.
        """
        text = without_colours(line).rstrip()
        found = _REQUEST.match(text)
        if found is None:
            if "Received request" in text:
                raise ValueError("a request in a form that is not known")
            raise UnrelatedLineError(own=_LINE.match(text) is not None)
        parameters = {name: int(number) for name, number in _PARAMETER.findall(found["params"])}
        listed, request_id = found["tokens"] or "", found["id"]
        tokens = listed.count(",") + 1 if any(map(str.isdigit, listed)) else 0
        operation = _operation(request_id, found["kind"])
        year = _YEAR.match(found["before"])  # of whoever collected the lines
        moment = self._moment(found["time"], reading, int(year[1]) if year else None)
        return TrafficRecord(
            at=moment + seconds_of(f"0{found['ms'] or ''}"),
            identity="anonymous",
            request_id=request_id,
            path=_PATHS[operation],
            operation=operation,
            choices=max(1, parameters.get("n", 1)),
            max_output=parameters.get("max_tokens"),
            input_bytes=0 if tokens else max(0, len((found["prompt"] or "").encode()) - 2),
            input_tokens=tokens,
        )

    def _moment(self, time: str, reading: Reading, year: int | None) -> int:
        """Return a time of which the year is given, or follows from the lines before."""
        if year is None:
            if not self._year:
                self._year = _first_year(time, reading)
            year = self._year
        moment = _in_year(time, year)
        if moment < self._last - _HALF_A_YEAR:
            self._year = year + 1
            moment = _in_year(time, self._year)
        self._last = max(self._last, moment)
        return moment


def _operation(request_id: str, kind: str) -> str:
    if kind == "Pooling":
        return "embeddings"
    return _BEGINNINGS.get(request_id.partition("-")[0].partition("_")[0], "completions")


def _first_year(time: str, reading: Reading) -> int:
    """Return the year of the first line: as given, or the latest that puts it in the past."""
    if reading.year is not None:
        return reading.year
    year = datetime.fromtimestamp(reading.latest // SECOND, UTC).year
    return year - (_in_year(time, year) > reading.latest + _DAY)


def _in_year(time: str, year: int) -> int:
    try:
        return clock_of(f"{year}-{time}", "%Y-%m-%d %H:%M:%S")
    except ValueError:  # the 29th of February of another year
        return clock_of(f"{year}-03-01{time[5:]}", "%Y-%m-%d %H:%M:%S")
