"""Counting the text of an event without parsing it, once its frame is known.

In a stream, event after event is the same but for a few characters of text. Once one event has been
parsed, what stands before and after its text is remembered; a chunk that begins and ends likewise,
with plain text in between, is such an event, and the text's size is the size of what is in between.
This is exact, not an estimate: see `learn_frame`.
"""

from __future__ import annotations

import re

from querybudget.adapters.tally import UNREADABLE, AnswerTotals, Read

__all__ = ["Frame", "learn_frame"]

_ONE_EVENT = re.compile(rb"(?:event: [^\r\n]*\n)?data: ([^\r\n]+)\n\n")
_STRINGS = re.compile(rb'"([^"\\]*)"')
_PROBE = b"a probe that no server would send"
_LONGEST = 1024  # events longer than this are not worth remembering


class Frame:
    """What stands around the text of an event."""

    __slots__ = ("_after", "_before", "_end", "_shortest", "_start")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._start = len(before)
        self._end = -len(after)
        self._shortest = len(before) + len(after)

    def text_size(self, chunk: bytes) -> int:
        """UTF-8 bytes of the text in a chunk of this frame; -1 where it must be parsed."""
        if len(chunk) < self._shortest:
            return -1
        if not (chunk.startswith(self._before) and chunk.endswith(self._after)):
            return -1
        text = chunk[self._start : self._end]
        try:
            words = text.decode()
        except UnicodeDecodeError:
            return -1
        # Whatever JSON or the framing of events treats apart has to be parsed.
        plain = words.isprintable() and '"' not in words and "\\" not in words
        return len(text) if plain else -1


def learn_frame(chunk: bytes, size: int, read: Read) -> Frame | None:
    """Find the frame of an event whose text, as parsed, has so many bytes.

    Of the strings of that size, the one is taken in whose place a probe is read as text: by as many
    bytes as the probe has, and saying nothing else. So any plain text in that place counts by its
    size, and by nothing more.

    Args:
        chunk: Bytes that may be one whole event.
        size: Bytes of text that reading it added.
        read: Reads one event's data.
    """
    event = _ONE_EVENT.fullmatch(chunk) if len(chunk) <= _LONGEST else None
    if event is None:
        return None
    for string in _STRINGS.finditer(chunk):
        if len(string[1]) != size or string.start() < event.start(1):
            continue
        before, after = chunk[: string.start(1)], chunk[string.end(1) :]
        if _says_only_text(before[event.start(1) :] + _PROBE + after, read):
            return Frame(before, after)
    return None


def _says_only_text(data: bytes, read: Read) -> bool:
    totals = AnswerTotals()
    try:
        read(data, totals)
    except UNREADABLE:
        return False
    return totals.output_bytes == len(_PROBE) and totals.usage is None and not totals.complete
