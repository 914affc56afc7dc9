"""Server-sent events: the data of each event, in order, from bytes as they arrive.

The rules are those of the WHATWG HTML standard, section 9.2.6: lines end in LF, CR or CRLF, a
leading byte order mark is dropped, comments and unknown fields are skipped, several ``data`` lines
are joined by LF, and an event counts only once a blank line has ended it. Event names and ids are
not kept: every dialect of model servers repeats what matters in the data.
"""

from __future__ import annotations

EVENT_LIMIT = 8 * 1024 * 1024
"""Most bytes of one event that are kept; a longer event is skipped."""

_BOM = b"\xef\xbb\xbf"
_LF = 10
_DATA = b"data: "


class EventStream:
    """Splits a stream into the data of whole events, however its bytes are cut.

    It holds one unfinished event and nothing else, so its memory is bounded by ``limit`` bytes. The
    same bytes give the same events, whatever pieces they arrive in.

    Attributes:
        between: True if nothing is pending: the next bytes begin an event.
        skipped: Bytes of events that were too long.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_held",
        "_limit",
        "_line",
        "_lost",
        "_started",
        "between",
        "skipped",
    )

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._line = bytearray()  # the unfinished line
        self._data: list[bytes] = []  # data lines of the unfinished event
        self._held = 0  # bytes in both
        self._lost = False  # the unfinished event is too long
        self._after_cr = False  # a following LF belongs to the CR before it
        self._started = False  # past the place of a byte order mark
        self.between = False
        self.skipped = 0

    def end(self) -> list[bytes]:
        """Return the data of an event that no blank line has ended, now that no bytes follow.

        The standard drops it, and some servers leave that line out.
        """
        events: list[bytes] = []
        if self._line:
            self._end_line(events)
        self._end_event(events)
        return events

    def feed(self, chunk: bytes, /) -> list[bytes]:
        """Take the next bytes.

        Returns:
            The data of each event that these bytes complete, in order.
        """
        # Servers send one whole event at a time; only proxies cut and join events.
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
            self._line[:] = b":"  # marks the line as not blank
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
        if self._lost:
            self.skipped += self._held
        elif self._data:
            events.append(b"\n".join(self._data))
        self._data.clear()
        self._held = 0
        self._lost = False


def _only_data(chunk: bytes) -> bytes | None:
    """Return the data of a chunk that is one event: ``data: ...``, with ``event: ...`` or not."""
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
