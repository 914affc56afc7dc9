"""What a partition's calls have looked like, and how much of a sweep they look.

An identity has one sketch of all its calls, and one for each of its busiest templates (system
prompts): traffic sent under another template, to cover a sweep, does not thin that one out. A pool
has the sums of its identities' sketches. The score is judged at set numbers of calls, not at every
call, and rises at once and falls slowly, so that nobody flaps.
"""

from __future__ import annotations

from operator import add

import msgspec

from querybudget.coverage.score import CHECKPOINTS, LIFE, Reason, judge, judge_pool, reasons
from querybudget.coverage.sketch import Sketch, blank_sums
from querybudget.coverage.visit import Visit

__all__ = ["Profile", "Reason", "Step"]

TEMPLATES = 3
"""Templates of an identity that have a sketch of their own, where it has more than one."""

PERIOD = 30 * 24 * 3_600 * 1_000_000
"""µs after which a sketch is begun anew."""

EASE = 100_000
"""How far the score falls at a checkpoint that finds less, at most."""


class Step(msgspec.Struct, frozen=True, gc=False):
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
        score: The sweep score in millionths, on the scale of a spent share: 0 for the ordinary
            caller, and 700_000 is as suspect as having spent 70 % of a bucket budget.
        whole: All calls of an identity; None for a pool.
        template: The first template seen.
        templates: Sketches of the busiest templates, once there is a second one.
        since: For a pool: when its first call was seen, µs.
        members: For a pool: identities added up.
        sums: For a pool: their sums.
        judged: For a pool: calls at its last judgement.
    """

    score: int = 0
    whole: Sketch | None = None
    template: int = 0
    templates: dict[int, Sketch] = msgspec.field(default_factory=dict[int, Sketch])
    since: int = 0
    members: int = 0
    sums: list[int] = msgspec.field(default_factory=list[int])
    judged: int = 0

    @property
    def queries(self) -> int:
        """Calls in the present sketch or pool."""
        return self.whole.queries if self.whole else self.sums[0] if self.sums else 0

    def see(self, visit: Visit, now: int) -> Step:
        """Take in a call of this identity, and judge anew where it is time to.

        Args:
            visit: The call; one without buckets changes nothing.
            now: µs since the epoch.

        Returns:
            What to `add` to the profiles of the identity's pools.
        """
        step = self._see(visit, now)
        for other in visit.more:
            added = self._see(other, now)
            if added.sums:
                sums = list(map(add, step.sums, added.sums)) if step.sums else added.sums
                step = Step(sums, first=step.first or added.first)
        return step

    def _see(self, visit: Visit, now: int) -> Step:
        if visit.coarse < 0:
            return Step([], first=False)
        if self.whole is None or self.whole.queries >= LIFE or now - self.whole.since > PERIOD:
            self.whole, self.template, self.templates = Sketch(now), visit.template, {}
        whole = self.whole
        own = self._own(visit.template, now)
        step = whole.see(visit)
        found = judge(whole.sums) if whole.queries in CHECKPOINTS else None
        if own is not None:
            own.see(visit)
            if own.queries in CHECKPOINTS:
                found = max(found or 0, judge(own.sums))
        if found is not None:
            self.score = max(found, self.score - EASE)
        return Step(step, first=whole.queries == 1)

    def add(self, step: Step, now: int) -> None:
        """Take in what a call added to the profile of an identity of this pool."""
        if not step.sums:
            return
        if not self.sums or now - self.since > PERIOD:
            self.since, self.members, self.judged, self.sums = now, 0, 0, blank_sums()
        self.members += step.first or not self.members
        self.sums = list(map(add, self.sums, step.sums))
        if self.sums[0] * 4 >= self.judged * 5:
            self.judged = self.sums[0]
            self.score = max(judge_pool(self.sums, self.members), self.score - EASE)

    def reasons(self) -> tuple[Reason, ...]:
        """What speaks for and against, strongest first; empty while there is too little."""
        if self.whole is None:
            return reasons(self.sums, self.members) if self.sums else ()
        sketches = [self.whole, *self.templates.values()]
        return reasons(max(sketches, key=lambda sketch: judge(sketch.sums)).sums)

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
