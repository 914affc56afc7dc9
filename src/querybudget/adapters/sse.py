"""Server-sent events, framed as their bytes arrive: the data of each event, in order.

The rules are those of the WHATWG HTML standard, section 9.2.6: lines end in LF, CR or CRLF, a
leading byte order mark is dropped, comments and unknown fields are skipped, several ``data`` lines
are joined by LF, and what no blank line has closed is never an event. Event names and ids are not
kept: every dialect of model servers repeats what matters inside the data.
"""

from __future__ import annotations

__all__ = ["EVENT_LIMIT", "EventStream"]

EVENT_LIMIT = 8 * 1024 * 1024
"""Bytes of one event that are kept; a longer event is passed over."""

_BOM = b"\xef\xbb\xbf"
_LF = 10
_DATA = b"data: "


class EventStream:
    """Takes the bytes of a stream however they are cut, and gives the data of whole events.

    It holds one unfinished event and nothing else, so its memory is bounded by ``limit``. The same
    bytes give the same events, whatever the pieces they come in.

    Args:
        limit: Bytes of one event that are kept; an event with more is passed over.

    Attributes:
        between: Nothing is pending: the next bytes begin an event.
    """

    __slots__ = ("_after_cr", "_data", "_held", "_limit", "_line", "_lost", "_started", "between")

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._line = bytearray()  # what there is of the line that has not ended yet
        self._data: list[bytes] = []  # data lines of the event that has not ended yet
        self._held = 0  # bytes in both
        self._lost = False  # the event that has not ended yet is too long
        self._after_cr = False  # an LF that comes next belongs to the CR before it
        self._started = False  # past the place where a byte order mark may stand
        self.between = False

    def feed(self, chunk: bytes, /) -> list[bytes]:
        """Take the next bytes.

        Returns:
            The data of every event that these bytes complete, in order.
        """
        # Servers send one whole event at a time; only proxies cut and join them.
        if self.between and len(chunk) <= self._limit and (data := _only_data(chunk)) is not None:
            return [data]
        events: list[bytes] = []
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        for line in chunk.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            self._take(text)
            if len(text) < len(line):
                self._end_line(events)
        self._after_cr = self._after_cr or chunk.endswith(b"\r")
        self.between = self._started and not (
            self._line or self._data or self._lost or self._after_cr
        )
        return events

    def _take(self, piece: bytes) -> None:
        if not piece:
            return
        self._held += len(piece)
        if self._held > self._limit:
            self._lost = True
            self._data.clear()
            self._line[:] = b":"  # enough to know that the line is not blank
        else:
            self._line += piece

    def _end_line(self, events: list[bytes]) -> None:
        line = bytes(self._line)
        self._line.clear()
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        if not line:
            self._end_event(events)
        elif not self._lost:
            self._read_field(line)

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        else:
            self._held -= len(line)

    def _end_event(self, events: list[bytes]) -> None:
        if self._data and not self._lost:
            events.append(b"\n".join(self._data))
        self._data.clear()
        self._held = 0
        self._lost = False


def _only_data(chunk: bytes) -> bytes | None:
    """The data of a chunk that is exactly one event: ``data: ...``, after ``event: ...`` or not."""
    lines = chunk.splitlines()
    if lines[-1:] != [b""] or chunk[-1] != _LF:
        return None
    match lines:
        case [data, _]:
            pass
        case [name, data, _] if name.startswith(b"event:"):
            pass
        case _:
            return None
    return data[len(_DATA) :] if data.startswith(_DATA) else None
