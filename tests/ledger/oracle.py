"""What the ledger must say, worked out slowly from a log of every charge ever made.

Nothing is forgotten, merged or advanced here: each answer is summed anew from the whole log, in
exact fractions where rates are concerned. Only the words are shared with the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Protocol

from querybudget.coverage import Stage
from querybudget.ledger import Charge, Line, Settled
from querybudget.quota import MICRO, Algorithm, Quota
from tests.ledger.bucket_log import BucketLog

DAY = 24 * 3_600 * 1_000_000


class Log(Protocol):
    def left(self, now: int) -> int: ...
    def charge(self, name: str, amount: int, now: int, expires: int) -> None: ...
    def correct(self, name: str, difference: int, now: int) -> None: ...


@dataclass
class SlidingLog:
    """A charge counts for one window from the last charge of its slot on.

    Debt counts until the limit has paid, window by window, for all that was used when it was made.
    """

    quota: Quota
    entries: list[tuple[str, int, int]] = field(default_factory=list)
    back: dict[str, int] = field(default_factory=dict)
    debts: list[tuple[int, int]] = field(default_factory=list)

    def left(self, now: int) -> int:
        slots = {at // self.quota.slot for _, at, _ in self.entries}
        held = sum(self._held(slot, now) for slot in slots)
        return self.quota.limit - held - self._debt(now)

    def _debt(self, now: int) -> int:
        """All of it is paid when the last of it is."""
        return sum(amount for _, amount in self.debts) if self._due() > now else 0

    def _due(self) -> int:
        return max((due for due, _ in self.debts), default=0)

    def _held(self, slot: int, now: int) -> int:
        inside = [entry for entry in self.entries if entry[1] // self.quota.slot == slot]
        if max(at for _, at, _ in inside) + self.quota.window <= now:
            return 0
        return sum(amount - self.back.get(name, 0) for name, _, amount in inside)

    def charge(self, name: str, amount: int, now: int, expires: int) -> None:
        if amount:
            self.entries.append((name, now, amount))

    def correct(self, name: str, difference: int, now: int) -> None:
        if difference > 0:
            self._overshoot(name, difference, now)
        else:
            self._give_back(name, -difference, now)

    def _overshoot(self, name: str, amount: int, now: int) -> None:
        if self._due() <= now:
            self.debts.clear()
        fitting = min(amount, max(0, self.left(now)))
        self.charge(f"{name} debt", fitting, now, 0)
        if amount > fitting:
            used = self.quota.limit - self.left(now) + amount - fitting
            due = now + ceil(Fraction(used, self.quota.limit)) * self.quota.window
            self.debts.append((due, amount - fitting))

    def _give_back(self, name: str, amount: int, now: int) -> None:
        at = next((at for entry, at, _ in self.entries if entry == name), None)
        if at is None or not self._held(at // self.quota.slot, now):
            return
        paid = min(amount, self._debt(now))
        if paid:
            self.debts.append((0, -paid))
        self.back[name] = amount
        self.charge(f"{name} pays", paid, now, 0)


@dataclass
class EvenLog:
    """GCRA: a level that leaks at the rate, replayed from the first charge in fractions."""

    quota: Quota
    moves: list[tuple[int, int]] = field(default_factory=list)

    def left(self, now: int) -> int:
        return floor(self.quota.burst - self._level(now))

    def _level(self, now: int) -> Fraction:
        level, last = Fraction(0), 0
        for at, amount in [*self.moves, (now, 0)]:
            leaked = Fraction(self.quota.limit * (at - last), self.quota.window)
            level, last = max(Fraction(0), max(Fraction(0), level - leaked) + amount), at
        return level

    def charge(self, name: str, amount: int, now: int, expires: int) -> None:
        self.moves.append((now, amount))

    def correct(self, name: str, difference: int, now: int) -> None:
        self.moves.append((now, difference))


@dataclass
class CalendarLog:
    """Periods are walked from the first charge on; what is above the limit is carried."""

    quota: Quota
    entries: list[tuple[str, int, int]] = field(default_factory=list)
    back: dict[str, tuple[int, int]] = field(default_factory=dict)

    def left(self, now: int) -> int:
        bounds = self.quota.bounds
        assert bounds
        if not self.entries:
            return self.quota.limit
        moment, carried = self.entries[0][1], 0
        while True:
            start, end = bounds(moment)
            used = carried + sum(
                amount - self._back(name, end, now)
                for name, at, amount in self.entries
                if start <= at < end
            )
            if now < end:
                return self.quota.limit - used
            moment, carried = end, max(0, used - self.quota.limit)
            if not carried:  # nothing happens until the next charge
                moment = min([now, *(at for _, at, _ in self.entries if at >= end)])

    def _back(self, name: str, end: int, now: int) -> int:
        at, amount = self.back.get(name, (0, 0))
        return amount if at < end else 0

    def charge(self, name: str, amount: int, now: int, expires: int) -> None:
        self.entries.append((name, now, amount))

    def correct(self, name: str, difference: int, now: int) -> None:
        if difference > 0:
            self.entries.append((f"{name} debt", now, difference))
        else:
            self.back[name] = (now, -difference)


@dataclass
class LeaseLog:
    """A call is open until it is settled or expires."""

    quota: Quota
    until: dict[str, int] = field(default_factory=dict)

    def left(self, now: int) -> int:
        return self.quota.limit - MICRO * sum(until > now for until in self.until.values())

    def charge(self, name: str, amount: int, now: int, expires: int) -> None:
        self.until[name] = expires

    def correct(self, name: str, difference: int, now: int) -> None:
        self.until[name] = now


LOGS = {
    Algorithm.SLIDING: SlidingLog,
    Algorithm.GCRA: EvenLog,
    Algorithm.CALENDAR: CalendarLog,
    Algorithm.LEASE: LeaseLog,
    Algorithm.DISTINCT: BucketLog,
}


@dataclass
class Held:
    charge: Charge
    held: tuple[int | None, ...]
    at: int
    price: int = MICRO
    settled: bool = False


@dataclass(frozen=True)
class Expected:
    """What a charge must come to."""

    held: tuple[int, ...] | None
    price: int
    stage: Stage
    delay: int
    shadow_price: int
    shadow_stage: Stage


@dataclass(frozen=True)
class View:
    """What a line of buckets says, by its log."""

    novelty: int
    price: int = MICRO
    stage: Stage = Stage.NONE
    begun: Stage = Stage.NONE
    delay: int = 0


class Oracle:
    """Reserve and settle over logs."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, str], Log] = {}
        self.held: dict[str, Held] = {}
        self.scores: dict[str, int] = {}

    def log(self, partition: str, quota: Quota) -> Log:
        return self.logs.setdefault((partition, quota.name), LOGS[quota.algorithm](quota))

    def left(self, partition: str, quota: Quota, now: int) -> int:
        return self.log(partition, quota).left(now)

    def buckets(self, partition: str, quota: Quota) -> BucketLog:
        log = self.log(partition, quota)
        assert isinstance(log, BucketLog)
        return log

    def view(self, charge: Charge, line: Line, now: int) -> View | None:
        if line.quota.algorithm is not Algorithm.DISTINCT:
            return None
        log = self.buckets(line.partition, line.quota)
        cells = charge.visit.cells if charge.visit else ()
        novelty, response = log.novelty(cells, line.amount, now), line.response
        fits = log.used(now, cells, line.amount) <= line.quota.limit
        if response is None:
            return View(novelty, stage=Stage.NONE if fits else Stage.REFUSE)
        score = self.scores.get(line.partition, 0) if response.scored else 0
        strain = max(score, log.share(now))
        begun = response.stage(strain, log.stage)
        stage = begun
        refusing = [begin for stage, begin in response.stages if stage is Stage.REFUSE]
        if begun is Stage.REFUSE and not novelty:
            # Only the score refuses a call that visits nothing new.
            eased = refusing[0] - min(100_000, refusing[0] // 2)
            if score < (eased if log.stage is Stage.REFUSE else refusing[0]):
                others = [known for known, _ in response.stages if known is not Stage.REFUSE]
                stage = max(others, default=Stage.NONE)
        delay = response.pause(strain) if stage else 0
        price = response.price(strain)
        return View(novelty, price, stage if fits else Stage.REFUSE, begun, delay)

    def reserve(self, charge: Charge, now: int) -> Expected:
        """What is held, -1 for a line left alone, and what else is decided."""
        views = [self.view(charge, line, now) for line in charge.lines]
        seen = [(line, view) for line, view in zip(charge.lines, views, strict=True) if view]
        real = [view for line, view in seen if not line.shadow]
        shadows = [view for line, view in seen if line.shadow]
        price = ceil(Fraction(charge.price * max((v.price for v in real), default=MICRO), MICRO))
        short: list[Line] = []
        costs: list[int] = []
        for line, view in zip(charge.lines, views, strict=True):
            room = self.left(line.partition, line.quota, now)
            if view:
                costs.append(view.novelty)
                fits = view.stage is not Stage.REFUSE
            else:
                costs.append(min(cost(line, line.amount, price), room))
                fits = cost(line, line.least, price) <= room
            if not fits:
                short.append(line)
        refused = any(not line.shadow for line in short)
        held = tuple(
            -1 if line.shadow and short else amount
            for line, amount in zip(charge.lines, costs, strict=True)
        )
        if not refused:
            self._hold(charge, views, held, price, now)
        return Expected(
            None if refused else held,
            price,
            max((view.stage for view in real), default=Stage.NONE),
            0 if refused else max((view.delay for view in real), default=0),
            max((view.price for view in shadows), default=MICRO),
            max((view.stage for view in shadows), default=Stage.NONE),
        )

    def _hold(
        self,
        charge: Charge,
        views: Sequence[View | None],
        held: tuple[int, ...],
        price: int,
        now: int,
    ) -> None:
        for line, view, amount in zip(charge.lines, views, held, strict=True):
            log = self.log(line.partition, line.quota)
            if amount < 0:
                continue
            if view and isinstance(log, BucketLog) and charge.visit:
                log.visit(charge.id, charge.visit.cells, line.amount, now)
                log.stage = view.begun
            else:
                log.charge(charge.id, amount, now, now + charge.hold)
        self.held[charge.id] = Held(charge, held, now, price)

    def settle(self, name: str, amounts: Sequence[int], now: int) -> Settled:
        entry = self.held[name]
        expires = entry.at + entry.charge.hold
        if entry.settled or now >= expires + DAY:
            return Settled.REPEATED
        entry.settled = True
        late = now >= expires
        for line, held, amount in zip(entry.charge.lines, entry.held, amounts, strict=True):
            log = self.log(line.partition, line.quota)
            if isinstance(log, BucketLog):
                if not amount and not late and held is not None and held >= 0:
                    log.give_back(name)
                continue
            if held is None or held < 0:
                continue
            lease = line.quota.algorithm is Algorithm.LEASE
            difference = cost(line, amount, entry.price) - held
            if lease or difference > 0 or not late:
                log.correct(name, difference, now)
        for line in entry.charge.lines:
            self._note(line, now)
        return Settled.LATE if late else Settled.DONE

    def _note(self, line: Line, now: int) -> None:
        """What stage a line's strain has begun, now that the call is over."""
        if line.quota.algorithm is Algorithm.DISTINCT and line.response:
            log = self.buckets(line.partition, line.quota)
            score = self.scores.get(line.partition, 0) if line.response.scored else 0
            log.stage = line.response.stage(max(score, log.share(now)), log.stage)


def cost(line: Line, amount: int, price: int) -> int:
    if line.quota.algorithm is Algorithm.LEASE:
        return amount
    return ceil(Fraction(amount * price, MICRO))
