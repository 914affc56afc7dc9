"""Chooses what of a call is looked at: what its caller has not sent before, cut into chunks."""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from hashlib import blake2b
from heapq import nsmallest
from operator import attrgetter
from typing import TypeAlias

import msgspec

from querybudget.adapters.base import Channel, Segment
from querybudget.coverage.observation import GOES_ON, OF_NO_LIST
from querybudget.embedding.chunking.choice import bounded, chosen_of, draw
from querybudget.embedding.chunking.chunks import Cutter
from querybudget.embedding.chunking.continuing import Found as _Found
from querybudget.embedding.chunking.continuing import Piece, continued
from querybudget.embedding.chunking.items import items, numbered
from querybudget.embedding.chunking.records import records
from querybudget.embedding.chunking.repeats import HEAD, TAIL, Repeats
from querybudget.embedding.chunking.smalltalk import without_small_talk
from querybudget.embedding.normalization.folding import LONGEST, Folder
from querybudget.embedding.normalization.marks import joined

REMEMBERED = 1 << 14
"""Segments that are remembered as sent by their caller, twice over."""

MAX_SEGMENTS = 512
"""New segments of a call that are read, at most. Of more, the key chooses."""

MAX_LOOKED_UP = 16_384
"""Segments of a call that are looked up, at most."""

MAX_READ = 1 << 18
"""Characters of new segments that are cut into chunks, at most. Of more, parts are read, and those
of what is said come first."""

PART = 1 << 14
"""Characters of a part of a segment that is too long to be read as a whole."""

TURN = 2_000
"""Characters that are folded before other tasks get a turn, so that no call holds up the rest."""

LARGE = 32_768
"""Characters of a call that are new and read in a thread, so that other requests go on meanwhile.
Segments are looked up in one if there are more than `MAX_SEGMENTS`. What a thread and the event
loop share are dictionaries and bitmaps, of which no more than one entry changes at a time."""

MAX_FOLDED = 32_768
"""Characters of a call's new segments that are folded as a whole. Of more, and of long segments,
what hides the chosen chunks is undone in each of them alone."""

_DIGEST = 8  # bytes
_LETTER = 2  # characters of a segment that is a letter of what others spell
_SPELT = 8  # such segments in a row
_TEXT = attrgetter("text")


class Excerpt(msgspec.Struct, frozen=True, gc=False):
    """A chunk of a call that is looked at.

    Attributes:
        digest: Keyed hash of the chunk, 64 bits.
        channel: How it gets into the prompt.
        text: The chunk with whatever hides it undone; None if it has been looked at before.
        opaque: Whether it is no language.
        item: Number of the item that it belongs to, in the order of the call. Only what is said is
            divided into items.
    """

    digest: int
    channel: Channel
    text: str | None = None
    opaque: bool = False
    item: int = 0


class _State(enum.Enum):
    """What has been found out about a chunk that is new."""

    KNOWN = enum.auto()
    """It has been looked at before, perhaps of another caller."""
    RAW = enum.auto()
    """It may be hidden."""
    FOLDED = enum.auto()
    """It may be no language."""
    PLAIN = enum.auto()


class _Part(msgspec.Struct, frozen=True, gc=False):
    """A chunk that is new."""

    channel: Channel
    text: str
    state: _State
    long: bool = False
    """Whether it is of a long text, from whose chunks repeats are still to be taken off."""
    item: int = 0


Steps: TypeAlias = Generator[int, None, list[Excerpt]]
"""The work on one call: yields the characters of each step before it, and returns the excerpts."""


def _new(found: Sequence[_Found]) -> int:
    """Return the characters of a call that are new."""
    return sum([len(one[0].text) for one in found if one[2] is None])


def _all_at_once(steps: Steps) -> list[Excerpt]:
    """Return what the steps return, without a pause between them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            excerpts: list[Excerpt] = done.value
            return excerpts


class _Turns:
    """Lets other tasks run between the parts of a long text."""

    def __init__(self) -> None:
        self._left = TURN

    async def take(self, size: int) -> None:
        if size > self._left < TURN:
            await asyncio.sleep(0)
            self._left = TURN
        self._left -= size


class Selector:
    """Chooses the excerpts of calls, and remembers what their callers have sent.

    A segment that its caller has sent before as a whole is not read again: its chunks are chosen
    only where those of new segments leave room, and only those that are still known. What is
    remembered is numbers: hashes that this process alone makes, and digests.

    Args:
        folder: Undoes what hides a text.
        key: Secret of the deployment: it decides where texts are cut, and which chunks are chosen
            of a call that has more than `MAX_CHUNKS`.
    """

    def __init__(self, folder: Folder, key: bytes) -> None:
        self._folder = folder
        self._cutter = Cutter(key)
        self._repeats = Repeats(key)
        self._hash = blake2b(key=blake2b(key).digest(), digest_size=_DIGEST, person=b"chunk")
        self._seed = self._digest("") & 0xFFFFFFFF
        self._sent: dict[int, tuple[int, ...]] = {}
        self._sent_before: dict[int, tuple[int, ...]] = {}

    async def select(
        self, segments: Sequence[Segment], caller: str, known: Collection[int]
    ) -> list[Excerpt]:
        """Return what is looked at of a call, at most `MAX_CHUNKS`, in the order of the call.

        Args:
            segments: What the model reads.
            caller: Key of the identity that sends it.
            known: Digests of chunks that have been looked at.
        """
        if not self._folder.is_prepared:
            await asyncio.to_thread(self._folder.prepare)
        if len(segments) > MAX_SEGMENTS:
            found = await asyncio.to_thread(self._looked_up, segments, caller, known)
        else:
            found = self._looked_up(segments, caller, known)
        new = _new(found)
        steps = self._steps(found, new, caller, known)
        if new > LARGE:  # it takes long to look at
            return await asyncio.to_thread(_all_at_once, steps)
        turns = _Turns()
        while True:
            try:
                size = next(steps)
            except StopIteration as done:
                excerpts: list[Excerpt] = done.value
                return excerpts
            await turns.take(size)

    def _steps(self, found: list[_Found], new: int, caller: str, known: Collection[int]) -> Steps:
        """Do what `select` does, and yield before each step how many characters it is about."""
        if new > MAX_READ:
            found = _within(found)
        parts: dict[int, _Part] = {}
        before: list[int] = []
        channels: list[Channel] = []  # of each of them
        order: list[int] = []
        left, first = MAX_FOLDED, 0
        for segment, mark, digests in found:
            if digests is None:
                size = len(segment.text)
                yield size
                read, first = self._read(segment, caller, known, first, whole=size <= left)
                left -= size
                digests = bounded(read, self._seed)  # noqa: PLW2901 - as if it had been remembered
                parts.update({digest: read[digest] for digest in digests if digest not in parts})
                self._remember(mark, digests)
            else:
                before += digests
                channels += itertools.repeat(segment.channel, len(digests))
                if self._sent.get(mark) is not digests:
                    self._remember(mark, digests)
            order += digests
        # Of several channels, the first counts.
        sent = dict(zip(reversed(before), reversed(channels), strict=True))
        still_known = set(filter(known.__contains__, sent)).difference(parts)
        chosen = chosen_of(parts, still_known, self._seed)
        excerpts: list[Excerpt] = []
        for digest in dict.fromkeys(filter(chosen.__contains__, order)):
            part = parts.get(digest)
            if part is None:
                excerpts.append(Excerpt(digest, sent[digest]))
                continue
            yield len(part.text)
            excerpts.append(self._excerpt(digest, part, caller))
        return excerpts

    def _looked_up(
        self, segments: Sequence[Segment], caller: str, known: Collection[int]
    ) -> list[_Found]:
        """Return what is read of a call's segments, and what is remembered of each."""
        segments = _spelt(_spread(segments))
        marks = [*map(hash, zip(itertools.repeat(caller), map(_TEXT, segments)))]
        before, is_known = self._sent_before.get, known.__contains__
        # Nothing is remembered of what could not be embedded, or of which all is forgotten.
        found = continued(
            [
                (segment, mark, digests)
                if (digests := sent or before(mark))
                and (is_known(digests[0]) or any(map(is_known, digests)))
                else (segment, mark, None)
                for segment, mark, sent in zip(
                    segments, marks, map(self._sent.get, marks), strict=True
                )
            ]
        )
        if len(found) <= MAX_SEGMENTS:
            return found
        new = [n for n, (_, _, digests) in enumerate(found) if digests is None]
        if len(new) > MAX_SEGMENTS:
            drawn = {n: self._drawn(found[n][0].text) for n in new}
            said = [n for n in new if found[n][0].channel is Channel.SAID]
            kept = set(nsmallest(MAX_SEGMENTS // 2, said, key=drawn.__getitem__))
            others = [n for n in new if n not in kept]
            kept.update(nsmallest(MAX_SEGMENTS - len(kept), others, key=drawn.__getitem__))
            return [one for n, one in enumerate(found) if one[2] is not None or n in kept]
        return found

    def _read(
        self, segment: Segment, caller: str, known: Collection[int], first: int, *, whole: bool
    ) -> tuple[dict[int, _Part], int]:
        """Return the chunks of a segment that is new, by digest, and the number of the next item.

        Args:
            segment: The segment.
            caller: Key of the identity that sends it.
            known: Digests of chunks that have been looked at.
            first: Number of the segment's first item.
            whole: Whether the segment is folded as a whole.
        """
        is_said = segment.channel is Channel.SAID
        texts = records(segment.text) if is_said else [segment.text]
        parts: dict[int, _Part] = {}
        goes_on, item = isinstance(segment, Piece), first
        for one in texts:
            text, state, long = self._new(joined(one), caller, whole=whole)
            if is_said:
                text = without_small_talk(self._repeats.without_habits(caller, text))
            some = items(text) if is_said else numbered(text)
            for of_item in some:
                number = item if item > first or not goes_on else GOES_ON
                if not is_said and len(some) == 1:
                    number = OF_NO_LIST
                for chunk in self._cutter.cut(of_item):
                    digest = self._digest(chunk)
                    found = _State.KNOWN if digest in known else state
                    parts[digest] = _Part(segment.channel, chunk, found, long, number)
                item += 1
        return parts, item

    def _new(self, text: str, caller: str, *, whole: bool) -> tuple[str, _State, bool]:
        """Return what is new in a text, what is known of it, and whether it is long."""
        state, long = _State.RAW, len(text) > HEAD + TAIL
        if not long:
            text = self._repeats.without(caller, text)
        if whole and len(text) <= LONGEST:
            folded, plain = self._folder.fold_and_check(text)
            state = _State.PLAIN if plain else _State.FOLDED
            text = folded if folded == text or long else self._repeats.without(caller, folded)
        return text, state, long

    def _excerpt(self, digest: int, part: _Part, caller: str) -> Excerpt:
        text, state = part.text, part.state
        if state is _State.KNOWN:
            return Excerpt(digest, part.channel, item=part.item)
        if part.long:
            text = self._repeats.without(caller, text)
        if state is _State.RAW:
            text, plain = self._folder.fold_and_check(text)
            state = _State.PLAIN if plain else _State.FOLDED
        opaque = state is _State.FOLDED and not self._folder.is_language(text)
        return Excerpt(digest, part.channel, text, opaque, part.item)

    def _digest(self, text: str) -> int:
        digest = self._hash.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), "little")

    def _drawn(self, text: str) -> float:
        return draw(self._digest(text), len(text))

    def _remember(self, mark: int, digests: tuple[int, ...]) -> None:
        if self._sent.get(mark) is digests:
            return
        self._sent[mark] = digests
        if len(self._sent) > REMEMBERED:
            self._sent_before, self._sent = self._sent, {}


def _spread(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Return segments as they are, or `MAX_LOOKED_UP` of them at most, between equal gaps."""
    gap = -(-len(segments) // MAX_LOOKED_UP)
    return segments if gap <= 1 else segments[hash(segments[-1].text) % gap :: gap]


def _spelt(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Return segments; many in a row that are a letter each are one text."""
    short = sum(map(_LETTER.__ge__, map(len, map(_TEXT, segments))))
    return segments if short < _SPELT else [*_joined(segments)]


def _joined(segments: Iterable[Segment]) -> Iterator[Segment]:
    for (channel, letter), run in itertools.groupby(
        segments, key=lambda one: (one.channel, len(one.text) <= _LETTER)
    ):
        letters = [*run]
        if letter and len(letters) >= _SPELT:
            yield Segment(channel, "".join(one.text for one in letters))
        else:
            yield from letters


def _within(found: list[_Found]) -> list[_Found]:
    """Return what is read of a call: at most `MAX_READ` characters of its new segments."""
    new = [n for n, (_, _, digests) in enumerate(found) if digests is None]
    parts = {n: _parts(found[n][0].text) for n in new}
    chosen: set[tuple[int, int]] = set()
    left = MAX_READ
    for channel, reserved in ((Channel.SAID, MAX_READ // 2), (Channel.FED, 0), (Channel.SAID, 0)):
        ranked = sorted(
            (hash(part), n, at)
            for n, texts in parts.items()
            if found[n][0].channel is channel
            for at, part in enumerate(texts)
            if (n, at) not in chosen
        )
        for _, n, at in ranked:
            if left <= reserved:
                break
            chosen.add((n, at))
            left -= len(parts[n][at])
    read: list[_Found] = []
    for n, (segment, mark, digests) in enumerate(found):
        if n not in parts:
            read.append((segment, mark, digests))
            continue
        text = "\n".join(part for at, part in enumerate(parts[n]) if (n, at) in chosen)
        if text:
            read.append((msgspec.structs.replace(segment, text=text), mark, None))
    return read


def _parts(text: str) -> list[str]:
    return [text[start : start + PART] for start in range(0, len(text), PART)]
