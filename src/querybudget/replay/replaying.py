"""Replays a log under one policy, or two, and says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from msgspec.structs import replace

from querybudget.coroutines import run_now
from querybudget.identity.identity import ANONYMOUS
from querybudget.limiter import Admission, PromptAnalyzer
from querybudget.limiter.conditions import needs_analysis
from querybudget.policy.model import Budget, Mode, Policy
from querybudget.replay.ground import LoggedGround, has_ground
from querybudget.replay.logged import was_refused
from querybudget.replay.ordering import WINDOW, Ordered
from querybudget.replay.player import Player
from querybudget.replay.results import Difference, Happening, PassedOver, Played, Replayed
from querybudget.replay.tallies import Change, Tallies
from querybudget.traffic import Problem, TrafficRecord
from querybudget.units import NO_TIME, Micros, Unit

MOST_PROBLEMS = 20
"""Lines passed over that are named."""

PEEKED = 1_000
"""Records that are looked at to know whether a log has texts."""

EVERY = 1_000
"""Records between two reports of progress."""

NO_TEXTS = "it looks into what calls hold, and the log says nothing of that: it has no texts"
BY_THE_LOG = (
    "the log has no texts: what is new ground, what is asked for and how suspect a caller is are"
    " taken as the log says"
)

Report = Callable[[int, int], None]
"""Takes the number of records replayed so far, and the time of the last in µs since the epoch."""

Watch = Callable[[TrafficRecord, Admission], None]
"""Takes a record, and how its call was decided."""

_SLOWED = frozenset({Happening.SLOWED, Happening.DEGRADED})


class Lines:
    """The records of a log; notes what is passed over.

    Args:
        items: Records and problems, as `querybudget.traffic.read` yields them.
    """

    def __init__(self, items: Iterable[TrafficRecord | Problem]) -> None:
        self._items = items
        self.malformed = 0
        self.problems: list[PassedOver] = []

    def __iter__(self) -> Iterator[TrafficRecord]:
        for item in self._items:
            if isinstance(item, Problem):
                self.malformed += 1
                if len(self.problems) < MOST_PROBLEMS:
                    self.problems.append(PassedOver(item.file, item.line, item.message))
            else:
                yield item


class Side:
    """One policy in a replay, and what it does.

    Args:
        policy: The policy, as written.
        texts: Whether the log has texts.
        ground: Whether it says what was new ground.
        analyzer: Analyzes texts; by default, the one that the policy needs.

    Attributes:
        left_out: Why budgets are not replayed, by their names.
    """

    def __init__(
        self, policy: Policy, *, texts: bool, ground: bool, analyzer: PromptAnalyzer | None = None
    ) -> None:
        self._policy = policy
        self._ground = None
        self.left_out = dict[str, str]()
        if not texts:
            policy, self.left_out = without_texts(policy, ground=ground)
            if policy.counts_buckets:
                analyzer = self._ground = LoggedGround(policy)
        self.player = Player(policy.silent(), analyzer=analyzer)
        self.tallies = Tallies(policy.source)

    async def play(self, record: TrafficRecord) -> tuple[Admission | None, frozenset[Happening]]:
        """Decide a record's call, and count what happened to it."""
        if self._ground is not None:
            self._ground.record = record
        admission = await self.player.play(record)
        kinds = self.tallies.add(record.at, record.identity, admission)
        if record.verdict and admission is not None:
            same = was_refused(record) is (admission.refusal is not None)
            self.tallies.agreed += same
            self.tallies.differed += not same
        return admission, kinds

    def result(self) -> Played:
        """Return what happened."""
        return self.tallies.result(self.left_out, tuple(self._caveats()))

    def _caveats(self) -> Iterator[str]:
        logged = self.player.logged
        if self.tallies.callers == {ANONYMOUS}:
            yield "the log names no callers: all its calls count as one caller's"
        for name in sorted(logged.unnamed):
            yield f"the log does not say the {name} of all callers: these are each on their own"
        if logged.strange_tiers:
            named = ", ".join(sorted(logged.strange_tiers)[:5])
            yield f"the policy has no tier {named}: its callers are of tier default"
        if self._ground is not None:
            yield BY_THE_LOG
        if self.player.limiter.rules.histories is not None:
            yield "every caller is a newcomer at the beginning of the log: tiers ask how old it is"
        if self._policy.override_sources:
            yield "overrides that are read while a server runs are left out"
        if any("template" in budget.per for budget in self._policy.budgets):
            yield "a log has no system prompts as such: `per: template` pools nobody"


class Comparing:
    """What two policies do to the same calls."""

    def __init__(self) -> None:
        names = Difference.__struct_fields__
        self._changes = {name: Change() for name in names}

    def add(
        self,
        record: TrafficRecord,
        one: tuple[Admission | None, frozenset[Happening]],
        other: tuple[Admission | None, frozenset[Happening]],
    ) -> None:
        """Count a call by what happened to it under the policy, and under the other."""
        if one[1] == other[1]:
            return
        for word, kinds in _KINDS.items():
            was, now = not kinds.isdisjoint(one[1]), not kinds.isdisjoint(other[1])
            if was is now:
                continue
            name, (admission, happened) = (
                (f"newly_{word}", other) if now else (f"no_longer_{word}", one)
            )
            what = next(iter(kinds & happened))
            self._changes[name].add(record.at, record.identity, admission, what)

    def result(self) -> Difference:
        """Return what was counted."""
        return Difference(**{name: change.result() for name, change in self._changes.items()})


_KINDS = {
    "refused": frozenset({Happening.REFUSED}),
    "slowed": _SLOWED,
    "priced": frozenset({Happening.PRICED}),
}


class Replay:
    """A log and the policies that it is replayed under.

    An interrupt (Ctrl-C) ends it: what was found by then is the result.

    Args:
        items: The log's records and problems, as `querybudget.traffic.read` yields them.
        policies: One policy, or two to compare.
        logs: Names of the files.
        report: Called now and then with how far the replay is.
        window: Records that are held back to put them in order.
        analyzer: Analyzes texts; by default, the one that each policy needs.
        watch: Called with each call that the first policy's budgets apply to.

    Attributes:
        sides: What each policy does.
        interrupted: Whether it was ended before the end of the log.
        texts: Whether the log has texts.
        examined: Whether it has texts, or says what was new ground.

    Raises:
        SetupError: A policy cannot be set up here: its embedding is missing, for example.
    """

    def __init__(
        self,
        items: Iterable[TrafficRecord | Problem],
        policies: Sequence[Policy],
        *,
        logs: Sequence[str] = (),
        report: Report | None = None,
        window: int = WINDOW,
        analyzer: PromptAnalyzer | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._lines = Lines(items)
        self._ordered = Ordered(self._lines, window)
        self._records = iter(self._ordered)
        self._first = list(islice(self._records, PEEKED))
        self.texts = any(record.texts for record in self._first)
        ground = not self.texts and has_ground(self._first)
        self.examined = self.texts or ground
        self.sides = [
            Side(one, texts=self.texts, ground=ground, analyzer=analyzer) for one in policies
        ]
        self._logs, self._report, self._watch = tuple(logs), report, watch
        self._comparing = Comparing()
        self._began = self._last = NO_TIME
        self.interrupted = False

    def run(self) -> Replayed:
        """Replay the log, and return what was found."""
        # Only the analysis of texts waits for anything.
        if self.texts and any(side.player.limiter.analyzer is not None for side in self.sides):
            asyncio.run(self._run())
        else:
            run_now(self._run(), "expected a replay that waits for nothing")
        results = [side.result() for side in self.sides]
        compared = len(results) > 1
        return Replayed(
            logs=self._logs,
            first=self._began,
            last=self._last,
            malformed=self._lines.malformed,
            problems=tuple(self._lines.problems),
            late=self._ordered.late,
            interrupted=self.interrupted,
            policy=results[0],
            against=results[1] if compared else None,
            difference=self._comparing.result() if compared else None,
        )

    async def _run(self) -> None:
        try:
            await self._play(chain(self._first, self._records))
            for side in self.sides:
                await side.player.end()
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.interrupted = True
        for side in self.sides:
            if self.texts and side.player.limiter.analyzer is not None:  # nothing else is open
                await side.player.limiter.aclose()

    async def _play(self, records: Iterable[TrafficRecord]) -> None:
        one, *others = self.sides
        watch, report = self._watch, self._report
        for number, record in enumerate(records):
            found = await one.play(record)
            if watch is not None and found[0] is not None:
                watch(record, found[0])
            for other in others:
                self._comparing.add(record, found, await other.play(record))
            self._last = Micros(record.at)
            if not number:
                self._began = self._last
            if report is not None and not number % EVERY:
                report(number, record.at)


def without_texts(policy: Policy, *, ground: bool) -> tuple[Policy, dict[str, str]]:
    """Return a policy without the budgets that need texts, and the reason by their names.

    Args:
        policy: The policy.
        ground: Whether the log says what they hold: then all budgets stay. What it says of scores
            is calibrated already.
    """
    if ground:
        return replace(policy, adaptive=None), {}
    left_out = {budget.name: NO_TEXTS for budget in policy.budgets if _needs_texts(budget)}
    budgets = tuple(budget for budget in policy.budgets if budget.name not in left_out)
    return replace(policy, budgets=budgets, adaptive=None), left_out


def enforced(policy: Policy) -> Policy:
    """Return a policy whose budgets are all enforced."""
    budgets = tuple(replace(budget, mode=Mode.ENFORCE) for budget in policy.budgets)
    return replace(policy, budgets=budgets)


def _needs_texts(budget: Budget) -> bool:
    return budget.quota.unit is Unit.BUCKETS or needs_analysis(budget)
