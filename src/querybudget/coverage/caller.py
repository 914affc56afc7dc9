"""The profile of one caller: where its calls have been, and how much they resemble a sweep.

Each call's chunks are told apart by whether they enter *new ground*: a pair of cells in which this
caller has never been. Only these are taken into a stream. What a caller says and what it feeds to
the model are different streams, and so are the first two system prompts of a caller,
so that several applications behind one key are not judged as one broad caller. All other system
prompts share one stream. The score is that of the most suspect stream.

The score rises at once and falls slowly, so that callers do not oscillate between stages. While a
caller stays away it falls by `DECAY` a day, and by `EASE` while it goes on about known matters. So
neither waiting nor repeats make up for a sweep, and a false alarm ends by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from querybudget.coverage.calibration import BINS, Calibration, bin_of
from querybudget.coverage.evidence import FIRST_LOOK, look, newer, next_look, score, suspicion
from querybudget.coverage.group import (
    ALL_TAILS,
    DAY,
    DECAY,
    LATER_LOOKS,
    LIFETIME,
    POOL_LOOKS,
    GroupChange,
)
from querybudget.coverage.most_suspect import are_tasks, judged
from querybudget.coverage.observation import BUCKETS, CELLS_PER_BUCKET, Chunk, Observation
from querybudget.coverage.reason import Reason
from querybudget.coverage.response import SUSPECT_SCORE, Stage
from querybudget.coverage.stream import FORM, MOST, Newest, Stream, begins
from querybudget.coverage.trace import Trace

EASE = 10_000
"""How far the score of a caller falls in a day without new ground, whatever else is sent."""

HOUR = DAY // 24
"""µs after which a call renews a score that has fallen meanwhile."""

TEMPLATES = 2
"""System prompts of a caller that have a stream of their own."""

NEWEST = 8
"""Newest chunks of a stream that say enough for a later look."""

FED = -1
"""Number of the stream of what is fed, which is judged as a whole alone: documents differ more."""

_CELL_BYTES = BUCKETS // 8
_OPAQUE_BITS = 384
_OPAQUE_BYTES = frozenset({0, _OPAQUE_BITS // 8, 64})
"""Sizes of the bitmap of what cannot be read: before the first, and of profiles that are older."""
_EVERY_OTHER = (0x55, 0xAA)


class CallerProfile(msgspec.Struct, array_like=True, tag=f"c{FORM}"):
    """The profile of one caller.

    Attributes:
        since: When its first call was seen, or its sums were last halved; µs.
        calls: Calls.
        cells: Bitmap of the pairs of fine cells entered.
        opaque: Bitmap of what was sent and cannot be read, by hash; empty before the first.
        templates: The first system prompts seen.
        said: One stream for each of `templates`, then one for all others.
        fed: The stream of what comes with what is asked.
        last_score: The score when it was last computed; `score` is what remains of it.
        scored_at: When that was, µs.
        looked_at: When a stream was last looked at, µs.
        reasons: What the last score consisted of, strongest first.
        stages: The last stage by quota.
        looked: Number of `ALL_TAILS` that its groups know of.
        peak: The highest score ever, millionths.
        counted: Bin of `peak` in which it is counted for calibration; -1 if it is not.
        halved: How often everything was halved.
        tails: For each of the looks that its groups know of: in how many of the tails they count
            it; -1 at a look that they have not counted.
        withdrawn: What `tails` was when the caller was last pardoned, until its groups are told.
        trace: When it calls and what it declares; None where nothing links accounts.
        joining: Whether its groups do not know yet that it is a member.
        owed: Index of the look that they do not know yet; -1 for none.
        newest: The newest chunks of one of `said`.
    """

    since: int = 0
    calls: int = 0
    cells: bytearray = msgspec.field(default_factory=lambda: bytearray(_CELL_BYTES))
    opaque: bytearray = msgspec.field(default_factory=bytearray)
    templates: list[int] = msgspec.field(default_factory=list[int])
    said: list[Stream] = msgspec.field(default_factory=list[Stream])
    fed: Stream | None = None
    last_score: int = 0
    scored_at: int = 0
    looked_at: int = 0
    reasons: tuple[Reason, ...] = ()
    stages: dict[str, Stage] = msgspec.field(default_factory=dict[str, Stage])
    looked: int = 0
    peak: int = 0
    counted: int = -1
    halved: int = 0
    tails: list[int] = msgspec.field(default_factory=list[int])
    withdrawn: list[int] = msgspec.field(default_factory=list[int])
    trace: Trace | None = None
    joining: bool = False
    owed: int = -1
    newest: Newest = msgspec.field(default_factory=Newest)

    def __post_init__(self) -> None:
        """Refuse what was stored and is damaged."""
        if len(self.cells) != _CELL_BYTES or len(self.opaque) not in _OPAQUE_BYTES:
            raise ValueError("expected a profile's bitmaps")
        named = len(self.templates)
        if named > TEMPLATES or not named <= len(self.said) <= named + 1:
            raise ValueError("expected a stream for each system prompt")
        if not -1 <= self.counted < BINS or min(self.calls, self.looked, self.halved) < 0:
            raise ValueError("expected a profile's counts")
        if max(len(self.tails), len(self.withdrawn)) > len(ALL_TAILS):
            raise ValueError("expected a profile's looks")
        if not -1 <= self.owed < max(1, len(self.tails)):
            raise ValueError("expected a look that groups do not know")

    @property
    def blank(self) -> bool:
        """Whether it knows nothing."""
        return not self.calls

    def score(self, now: int) -> int:
        """Return the sweep score in millionths, on the scale of a spent share.

        0 is an ordinary caller; 650_000 is as suspect as having spent 65 % of a bucket budget.
        """
        return max(0, self.last_score - DECAY * max(0, now - self.scored_at) // DAY)

    @property
    def stands_out(self) -> bool:
        """Whether few honest callers showed as much at its latest look that its groups count."""
        return any(self._latest(1))

    @property
    def ordinary(self) -> bool:
        """Whether the two latest looks that its groups count have found it in no tail."""
        return self._latest(2) == [0, 0]

    def _latest(self, number: int) -> list[int]:
        """Return its tails at the latest looks that its groups count."""
        return [tail for tail in self.tails if tail >= 0][-number:]

    def cleared(self, calls: int | None, now: int) -> bool:
        """Return whether what its pools are suspected of says nothing of this caller.

        No budget holds it for what it covers itself. If it is old and has made enough calls, it was
        in no tail of honest callers at its latest look; if not, at the two latest ones. Nine in ten
        honest callers are in none, and of a sweep's accounts one in fifty.

        Args:
            calls: Calls from which on a caller may be established; None of one that is not.
            now: µs.
        """
        if self.stages or self.score(now) >= SUSPECT_SCORE:
            return False
        return self.ordinary or (calls is not None and self.calls >= calls and not self.stands_out)

    def novelty(self, observation: Observation) -> int:
        """Return how many new buckets a call would enter, at most one for each of its chunks."""
        cells = {chunk.cell // CELLS_PER_BUCKET for chunk in observation.said if chunk.cell >= 0}
        cells.update(chunk.cell // CELLS_PER_BUCKET for chunk in observation.fed if chunk.cell >= 0)
        entered = self.cells
        new = sum([not entered[cell >> 3] >> (cell & 7) & 1 for cell in cells])
        if observation.opaque:
            bits = 8 * len(self.opaque) or _OPAQUE_BITS
            found = {digest % bits for digest in observation.opaque}
            new += sum([not _has_bit(self.opaque, bit) for bit in found])
        return new

    def observe(
        self,
        observation: Observation,
        now: int,
        established: Calibration | None = None,
        *,
        verified: bool = True,
    ) -> GroupChange | None:
        """Add an admitted call.

        Args:
            observation: The call.
            now: µs since the epoch.
            established: Says when a caller counts for calibration, if this one is old enough and
                verified.
            verified: Whether the application is known to serve the caller. Until then its groups
                hear nothing: made-up keys neither accuse a pool nor hide anybody in it.

        Returns:
            What changes in the caller's groups; None if nothing does.
        """
        first = not self.calls
        if first:
            self.since = now
        elif now - self.since > LIFETIME:
            self._halve(now)
        self.calls += 1
        if observation.marks is not None:
            self.trace = self.trace or Trace()
            self.trace.note(observation.marks, now)
        if self.last_score and now - self.scored_at >= HOUR:
            self._record(now)
        self._enter_opaque(observation.opaque)
        said, items = self._entered(observation.said, observation.items)
        fed, listed = self._entered(observation.fed, observation.fed_items)
        reached = -1
        if said:
            number = self._stream(observation.template)
            reached = self._add(self.said[number], said, now, number, items)
        if fed:
            self.fed = self.fed or Stream()
            listed = listed if listed and are_tasks(fed) else []
            reached = max(reached, self._add(self.fed, fed, now, FED, listed))
        self.joining = self.joining or first
        if reached in POOL_LOOKS:
            self._reach_first(reached)
        return self._change(established) if verified else None

    def pardon(self) -> bool:
        """Take back what the caller is suspected of: score, reasons, stages and evidence.

        The cells that it has entered stay known ground, and its calls stay counted. Evidence comes
        only of new ground from now on.

        A pool that counted the caller takes that back when it admits the caller's next call, and
        its own score falls at once by what the caller had added. If the caller covers new ground
        as a sweep does, it is counted again. What others have added stays; `Group.pardon` clears
        that. For calibration, the caller counts from its next call on as one without a score.

        Returns:
            Whether there was anything to take back.
        """
        held = (self.last_score, self.peak, self.stages, self.looked, self.fed)
        if not any(held) and all(stream == Stream() for stream in self.said):
            return False
        self.last_score = self.scored_at = self.looked_at = self.peak = self.looked = 0
        self.reasons, self.stages = (), {}
        self.said, self.fed = [Stream() for _ in self.said], None
        self.newest = Newest()
        self._skip_owed()
        if self.tails:
            self.withdrawn, self.tails = self.tails, []
        return True

    def _add(
        self,
        stream: Stream,
        chunks: Sequence[Chunk],
        now: int,
        number: int,
        items: Sequence[int] = (),
    ) -> int:
        """Add new ground to a stream; return its last look if it was looked at, else -1.

        What a call says is looked at as if it came chunk by chunk, so that packing gives no more
        room. What is fed is looked at once a call: looks at one document would confirm each other.
        """
        begin, newest = begins(chunks, items, stream.last_point), judged(chunks, items)
        done, reached = 0, -1
        while done < len(chunks):
            room = min(next_look(stream), self.newest.room(number))
            some = slice(done, len(chunks) if number == FED else done + room)
            added = stream.observe(chunks[some], begin[some], newest[some])
            reached, done = max(reached, self._look(stream, added, now, number)), some.stop
        return reached

    def _look(self, stream: Stream, added: Sequence[int], now: int, number: int) -> int:
        """Look at a stream that has grown, if it is time; return its last look, or -1."""
        part = () if number == FED else self.newest.add(number, added)
        reasons = look(stream, part, fed=number == FED)
        if number == self.newest.number:
            self._look_later(stream, part or self.newest.sums)
        if not reasons:
            return -1
        if stream.chunks >= FIRST_LOOK:
            self.looked_at = now
            self._record(now, reasons)
        if stream.chunks >= MOST:
            stream.halve()
        return stream.looked

    def _record(self, now: int, reasons: tuple[Reason, ...] = ()) -> None:
        """Keep a new score if it is higher than what remains of the last one."""
        streams = [*self.said, self.fed] if self.fed else self.said
        judged = [
            score(suspicion(each, fed=each is self.fed))
            for each in streams
            if each.looked >= FIRST_LOOK
        ]
        found = max(judged, default=0) - EASE * (now - self.looked_at) // DAY
        if reasons and found >= self.score(now):
            self.reasons = reasons
        self.last_score = max(found, self.score(now))
        self.scored_at = now
        self.peak = max(self.peak, self.last_score)

    def _stream(self, template: int) -> int:
        """Return the place in `said` of a system prompt's stream, which may be a new one."""
        templates, said = self.templates, self.said
        if template not in templates and len(templates) < TEMPLATES:
            templates.append(template)
            said.insert(len(templates) - 1, Stream())
        if template in templates:
            return templates.index(template)
        if len(said) == TEMPLATES:
            said.append(Stream())
        return TEMPLATES

    def _entered(
        self, chunks: Sequence[Chunk], items: Sequence[int] = ()
    ) -> tuple[list[Chunk], list[int]]:
        """Return the chunks that enter new ground, and their items; note where they have been."""
        new, bits = list[int](), self.cells
        for place, chunk in enumerate(chunks):
            cell = chunk.cell // CELLS_PER_BUCKET  # below zero without one
            if cell >= 0 and not bits[cell >> 3] >> (cell & 7) & 1:
                bits[cell >> 3] |= 1 << (cell & 7)
                new.append(place)
        return [chunks[place] for place in new], [items[place] for place in new] if items else []

    def _enter_opaque(self, digests: Sequence[int]) -> None:
        if digests and not self.opaque:
            self.opaque = bytearray(_OPAQUE_BITS // 8)
        for digest in digests:
            bit = digest % (8 * len(self.opaque))
            self.opaque[bit >> 3] |= 1 << (bit & 7)

    def _reach_first(self, reached: int) -> None:
        """Note what one of the first looks says."""
        number = POOL_LOOKS.index(reached)
        if number >= self.looked:
            streams = [*self.said, self.fed] if self.fed else self.said
            self._reach(number, max(one.evidence for one in streams if one.looked == reached))

    def _look_later(self, stream: Stream, newest: Sequence[int]) -> None:
        """Look at a stream whose newest chunks are apart, if the caller has said enough.

        All that it says counts: whoever begins anew under another system prompt is looked at there.
        """
        if newest[0] < NEWEST or self.looked == len(ALL_TAILS):
            return
        said = sum([one.chunks for one in self.said])
        number = len(POOL_LOOKS) + bisect_right(LATER_LOOKS, said) - 1
        if number >= max(self.looked, len(POOL_LOOKS)):
            self._reach(number, newer(stream, newest))

    def _reach(self, number: int, evidence: int) -> None:
        """Note what a look says that groups count; only the latest is owed to them."""
        self.looked = number + 1
        self._skip_owed()
        self.tails += [-1] * (number - len(self.tails))
        self.tails.append(sum(evidence > 1_000 * bound for bound in ALL_TAILS[number]))
        self.owed = number

    def _skip_owed(self) -> None:
        """Forget a look that groups have never heard of, so that it is never taken back there."""
        if self.owed >= 0:
            self.tails[self.owed], self.owed = -1, -1

    def _change(self, established: Calibration | None) -> GroupChange | None:
        first, number, self.joining, self.owed = self.joining, self.owed, False, -1
        tail = self.tails[number] if number >= 0 else 0
        old = new = self.counted
        if established is not None and self.calls >= established.calls:
            new = bin_of(self.peak)
        if not first and number < 0 and old == new and not self.withdrawn:
            return None
        self.counted = new
        withdrawn, self.withdrawn = tuple(self.withdrawn), []
        # Accounts of a sweep grow old too: who is suspect then says nothing of honest ones.
        newly = tuple(self.tails) if old < 0 <= new and not self.stages else ()
        return GroupChange(first, number, tail, old, new, withdrawn, newly)

    def _halve(self, now: int) -> None:
        """Let everything count half, so that no look is a first one again."""
        self.since, self.halved = now, self.halved + 1
        kept = _EVERY_OTHER[self.halved & 1]
        self.cells = bytearray(byte & kept for byte in self.cells)
        self.opaque = bytearray(byte & kept for byte in self.opaque)
        for stream in [*self.said, *([self.fed] if self.fed else [])]:
            stream.halve()


def _has_bit(bits: bytearray, index: int) -> int:
    return bits[index >> 3] >> (index & 7) & 1 if bits else 0
