"""What a partition's calls have looked like, and how much they resemble a sweep.

An identity has one sketch of all its calls and one for each of its busiest templates (system
prompts), so traffic under another template cannot dilute a sweep. A pool has the sums of its
identities' sketches. The score is recomputed at fixed numbers of calls. It rises at once and falls
slowly, so that callers do not oscillate between stages. It also falls with time, so that a caller
refused for its score can return; the score is recomputed at that caller's next call.
"""

from __future__ import annotations

from operator import add, itemgetter

import msgspec

from querybudget.coverage.observation import Observation
from querybudget.coverage.reason import Reason
from querybudget.coverage.score import (
    CHECKPOINTS,
    MAX_CALLS,
    identity_score,
    pool_score,
    reasons,
)
from querybudget.coverage.sketch import Sketch, blank_sums

TEMPLATES = 3
"""Templates of an identity that have their own sketch, once it has used more than one."""

DAY = 24 * 3_600 * 1_000_000
LIFETIME = 30 * DAY
"""µs after which a new sketch starts."""

DECAY = 100_000
"""How far the score falls in a day, and at most at a checkpoint; millionths."""

HOUR = DAY // 24
"""µs after which any call of a caller with a score triggers a new score."""


class ProfileDelta(msgspec.Struct, frozen=True, gc=False):
    """What one call added to its identity's sums, for the pools of that identity.

    Attributes:
        sums: In the order of `querybudget.coverage.sketch.SUMS`; empty if nothing was added.
        first: Whether this is the identity's first call.
    """

    sums: list[int]
    first: bool


class Profile(msgspec.Struct, array_like=True):
    """The profile of one identity or pool.

    Attributes:
        last_score: The score when it was last computed; `score` is what remains of it.
        scored_at: When that was, µs.
        sketch: All calls of an identity; None for a pool.
        first_template: The first template seen.
        templates: Sketches of the busiest templates, once there is a second one.
        since: For a pool: when its first call was seen, µs.
        members: For a pool: identities added up.
        sums: For a pool: their sums.
        scored_calls: For a pool: calls when the score was last computed.
        reasons: What the last score consisted of, strongest first.
    """

    last_score: int = 0
    scored_at: int = 0
    sketch: Sketch | None = None
    first_template: int = 0
    templates: dict[int, Sketch] = msgspec.field(default_factory=dict[int, Sketch])
    since: int = 0
    members: int = 0
    sums: list[int] = msgspec.field(default_factory=list[int])
    scored_calls: int = 0
    reasons: tuple[Reason, ...] = ()

    @property
    def queries(self) -> int:
        """Calls in the present sketch or pool."""
        return self.sketch.queries if self.sketch else self.sums[0] if self.sums else 0

    def score(self, now: int) -> int:
        """Return the sweep score, in millionths, on the scale of a spent share.

        0 is an ordinary caller; 700_000 is as suspect as having spent 70 % of a bucket budget.
        """
        return max(0, self.last_score - DECAY * max(0, now - self.scored_at) // DAY)

    def observe(self, observation: Observation, now: int) -> ProfileDelta:
        """Add a call of this identity, and recompute the score if it is due.

        Args:
            observation: The call; one without buckets changes nothing.
            now: µs since the epoch.

        Returns:
            What to `add` to the profiles of the identity's pools.
        """
        delta = self._observe(observation, now)
        for other in observation.more:
            added = self._observe(other, now)
            if added.sums:
                sums = list(map(add, delta.sums, added.sums)) if delta.sums else added.sums
                delta = ProfileDelta(sums, first=delta.first or added.first)
        return delta

    def _observe(self, observation: Observation, now: int) -> ProfileDelta:
        if observation.coarse < 0:
            return ProfileDelta([], first=False)
        sketch = self.sketch
        if sketch is None or sketch.queries >= MAX_CALLS or now - sketch.since > LIFETIME:
            self.sketch = sketch = Sketch(now)
            self.first_template, self.templates = observation.template, {}
        template_sketch = self._sketch_of(observation.template, now)
        delta = sketch.observe(observation)
        due = sketch.queries in CHECKPOINTS or self._overdue(now)
        if template_sketch is not None:
            template_sketch.observe(observation)
            due = due or template_sketch.queries in CHECKPOINTS
        if due:
            sketches = [sketch, *self.templates.values()]
            scored = [(identity_score(each.sums), each.sums) for each in sketches]
            score, sums = max(scored, key=itemgetter(0))
            self._record(score, reasons(sums), now)
        return ProfileDelta(delta, first=sketch.queries == 1)

    def add(self, delta: ProfileDelta, now: int) -> None:
        """Add to a pool what a call added to the profile of one of its identities."""
        if not delta.sums:
            return
        if not self.sums or now - self.since > LIFETIME:
            self.since, self.members, self.scored_calls, self.sums = now, 0, 0, blank_sums()
        self.members += delta.first or not self.members
        self.sums = list(map(add, self.sums, delta.sums))
        if self.sums[0] * 4 >= self.scored_calls * 5 or self._overdue(now):
            self.scored_calls = self.sums[0]
            score = pool_score(self.sums, self.members)
            self._record(score, reasons(self.sums, self.members), now)

    def _record(self, score: int, why: tuple[Reason, ...], now: int) -> None:
        """Keep a new score: a higher one at once, a lower one at most `DECAY` below the last."""
        self.last_score = max(score, self.score(now) - DECAY)
        self.reasons = why
        self.scored_at = now

    def _overdue(self, now: int) -> bool:
        return self.last_score > 0 and now - self.scored_at >= HOUR

    def _sketch_of(self, template: int, now: int) -> Sketch | None:
        """Return the sketch of a template; None while there is only one template."""
        if not self.templates:
            if template == self.first_template:
                return None
            first = msgspec.msgpack.decode(msgspec.msgpack.encode(self.sketch), type=Sketch)
            self.templates[self.first_template] = first
        sketch = self.templates.get(template)
        if sketch is None:
            if len(self.templates) >= TEMPLATES:
                sketches = self.templates
                del sketches[min(sketches, key=lambda key: sketches[key].queries)]
            sketch = self.templates[template] = Sketch(now)
        return sketch
