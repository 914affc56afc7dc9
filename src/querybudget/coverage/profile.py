"""What a partition's calls have looked like, and how much of a sweep they look.

An identity has one sketch of all its calls, and one for each of its busiest templates (system
prompts): traffic sent under another template, to cover a sweep, does not thin that one out. A pool
has the sums of its identities' sketches. The score is judged at set numbers of calls, not at every
call, and rises at once and falls slowly, so that nobody flaps. It falls with time too, so that
whoever is refused for it can come back; their next call is judged at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add, itemgetter

import msgspec

from querybudget.coverage.observation import Observation
from querybudget.coverage.score import CHECKPOINTS, LIFE, Reason, judge, judge_pool, reasons
from querybudget.coverage.sketch import Sketch, blank_sums

__all__ = ["Profile", "ProfileDelta", "Reason", "judge_members"]

TEMPLATES = 3
"""Templates of an identity that have a sketch of their own, where it has more than one."""

PERIOD = 30 * 24 * 3_600 * 1_000_000
"""µs after which a sketch is begun anew."""

EASE = 100_000
"""How far the score falls at a checkpoint that finds less, and in a day."""

DAY = 24 * 3_600 * 1_000_000
HOUR = DAY // 24
"""µs after which a caller who has a score is judged anew at any call."""


class ProfileDelta(msgspec.Struct, frozen=True, gc=False):
    """What one call added to its identity's sums, for the pools that the identity is in.

    Attributes:
        sums: As `querybudget.coverage.sketch.SUMS` names them.
        first: Whether it is the first call of its identity.
    """

    sums: list[int]
    first: bool


class Profile(msgspec.Struct, array_like=True):
    """One partition.

    Attributes:
        found: The score at the last judgement; `score` is what is left of it.
        at: When that was, µs.
        whole: All calls of an identity; None for a pool.
        template: The first template seen.
        templates: Sketches of the busiest templates, once there is a second one.
        since: For a pool: when its first call was seen, µs.
        members: For a pool: identities added up.
        sums: For a pool: their sums.
        judged: For a pool: calls at its last judgement.
        why: What the last judgement was made of, strongest first.
    """

    found: int = 0
    at: int = 0
    whole: Sketch | None = None
    template: int = 0
    templates: dict[int, Sketch] = msgspec.field(default_factory=dict[int, Sketch])
    since: int = 0
    members: int = 0
    sums: list[int] = msgspec.field(default_factory=list[int])
    judged: int = 0
    why: tuple[Reason, ...] = ()

    @property
    def queries(self) -> int:
        """Calls in the present sketch or pool."""
        return self.whole.queries if self.whole else self.sums[0] if self.sums else 0

    def score(self, now: int) -> int:
        """The sweep score, in millionths, on the scale of a spent share.

        0 is the ordinary caller, and 700_000 is as suspect as having spent 70 % of a bucket budget.
        """
        return max(0, self.found - EASE * max(0, now - self.at) // DAY)

    def see(self, observation: Observation, now: int) -> ProfileDelta:
        """Take in a call of this identity, and judge anew where it is time to.

        Args:
            observation: The call; one without buckets changes nothing.
            now: µs since the epoch.

        Returns:
            What to `add` to the profiles of the identity's pools.
        """
        delta = self._see(observation, now)
        for other in observation.more:
            added = self._see(other, now)
            if added.sums:
                sums = list(map(add, delta.sums, added.sums)) if delta.sums else added.sums
                delta = ProfileDelta(sums, first=delta.first or added.first)
        return delta

    def _see(self, observation: Observation, now: int) -> ProfileDelta:
        if observation.coarse < 0:
            return ProfileDelta([], first=False)
        if self.whole is None or self.whole.queries >= LIFE or now - self.whole.since > PERIOD:
            self.whole, self.template, self.templates = Sketch(now), observation.template, {}
        whole = self.whole
        own = self._own(observation.template, now)
        delta = whole.see(observation)
        due = whole.queries in CHECKPOINTS or self._overdue(now)
        if own is not None:
            own.see(observation)
            due = due or own.queries in CHECKPOINTS
        if due:
            judged = [(judge(sketch.sums), sketch.sums) for sketch in self._sketches()]
            found, sums = max(judged, key=itemgetter(0))
            self.find(found, reasons(sums), now)
        return ProfileDelta(delta, first=whole.queries == 1)

    def add(self, delta: ProfileDelta, now: int) -> None:
        """Take in what a call added to the profile of an identity of this pool."""
        if not delta.sums:
            return
        if not self.sums or now - self.since > PERIOD:
            self.since, self.members, self.judged, self.sums = now, 0, 0, blank_sums()
        self.members += delta.first or not self.members
        self.sums = list(map(add, self.sums, delta.sums))
        if self.sums[0] * 4 >= self.judged * 5 or self._overdue(now):
            self.judged = self.sums[0]
            self.find(*judge_members(self.sums, self.members), now)

    def find(self, found: int, why: tuple[Reason, ...], now: int) -> None:
        """Note what was found: more at once, less slowly."""
        self.found = max(found, self.score(now) - EASE)
        self.why = why
        self.at = now

    def _sketches(self) -> list[Sketch]:
        return [self.whole or Sketch(), *self.templates.values()]

    def _overdue(self, now: int) -> bool:
        return self.found > 0 and now - self.at >= HOUR

    def _own(self, template: int, now: int) -> Sketch | None:
        """The sketch of a template; None while there is only one."""
        if not self.templates:
            if template == self.template:
                return None
            first = msgspec.msgpack.decode(msgspec.msgpack.encode(self.whole), type=Sketch)
            self.templates[self.template] = first
        own = self.templates.get(template)
        if own is None:
            if len(self.templates) >= TEMPLATES:
                sketches = self.templates
                del sketches[min(sketches, key=lambda key: sketches[key].queries)]
            own = self.templates[template] = Sketch(now)
        return own


def judge_members(sums: Sequence[int], members: int) -> tuple[int, tuple[Reason, ...]]:
    """The score of a pool, in millionths, and what it is made of.

    Args:
        sums: Of its identities, added up.
        members: How many they are.
    """
    return judge_pool(sums, members), reasons(sums, members)
